"""
Bodies of resources: every element, choice, loop and extension resolved against the definitions of the target.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from mhbridge.errors import Span
from mhbridge.fhir.definitions import Element, Extension, Part
from mhbridge.mapping import nodes
from mhbridge.mapping.checker.declarations import did_you_mean
from mhbridge.mapping.checker.expressions import Environment, Resolver, assignable
from mhbridge.mapping.checker.literals import Literals
from mhbridge.mapping.expression import is_expression, parse, parse_loop
from mhbridge.mapping.reader import Items, Node, Pairs, Text, YamlFile
from mhbridge.mapping.types import Type
from mhbridge.mapping.writing import choice_key, chooser, writer

__all__ = ["Body", "joined"]

#: Item types whose present values may be falsy in Python.
_NUMBERS = frozenset({"boolean", "integer", "decimal", "positiveInt", "unsignedInt"})


class Body:
    """Resolves the body of one resource."""

    def __init__(self, literals: Literals, env: Environment, profile: str) -> None:
        self.literals, self.env, self.profile = literals, env, profile
        self.file = env.file
        self.definitions = literals.definitions

    def puts(self, node: Pairs, type_path: str, skip: tuple[str, ...] = ()) -> list[nodes.Put]:
        """The keys of an object of the type (or backbone element) at `type_path`."""
        found: list[nodes.Put] = []
        for key, value in node.entries.items():
            if key in skip:
                continue
            if key == "$extensions":
                found += self._extensions(value, type_path)
                continue
            if key.startswith("$"):
                self.file.report("E040", f"{key!r} has no place here", node.keys[key])
                continue
            element = self.definitions.element(type_path, key)
            if element is None:
                hint = self._nearest(key, type_path)
                self.file.report("E301", f"{type_path} has no element {key!r}", node.keys[key], hint)
                continue
            if key == "contained":
                self.file.report(
                    "E314",
                    "contained resources cannot be shared, referred to or checked alone",
                    node.keys[key],
                    "write it as a resource of its own",
                )
                continue
            put = self._put(key, value, element, node.keys[key])
            if put is not None:
                found.append(put)
        return found

    def _nearest(self, key: str, type_path: str) -> str:
        """A hint with the nearest element; a choice is found by its stem and shown as it is written."""
        written = {name.removesuffix("[x]"): name for name in self.definitions.elements(type_path)}
        near = get_close_matches(key, written, 1, 0.6)
        return f"did you mean {written[near[0]]!r}?" if near else f"one of {', '.join(written.values())}"

    def _put(self, key: str, value: Node, element: Element, span: Span) -> nodes.Put | None:
        if element.choice and key.endswith("[x]"):
            return self._choice(element, value, span)
        types = element.types
        if element.choice and len(types) > 1:
            types = tuple(t for t in element.types if key == choice_key(element.name.removesuffix("[x]"), t))
        body = self._node(value, element, types)
        if body is None:
            return None
        primitive = bool(types) and all(self.definitions.is_primitive(t) for t in types)
        return nodes.Put(span, key, body, element.many, element.min > 0, primitive)

    def _choice(self, element: Element, value: Node, span: Span) -> nodes.Put | None:
        """`value[x]`: the element is chosen by the value's type (§6.2.4)."""
        stem = element.name.removesuffix("[x]")
        if not isinstance(value, Text) or not is_expression(value):
            self.file.report(
                "E303",
                f"{element.name} takes an expression; to write a literal or an object, name the type",
                span,
                f"{choice_key(stem, element.types[0])}: …",
            )
            return None
        expression = Resolver(self.env).value(value, Type("any"))
        if expression is None:
            return None
        have = expression.type.names
        pairs: dict[str, str] = {}
        for name in have:
            target = name if name in element.types else next((t for t in element.types if assignable(name, t)), None)
            if target is None:
                self.file.report(
                    "E303", f"{element.path} cannot be a {name}", value.span, f"one of {', '.join(element.types)}"
                )
                return None
            pairs[name] = target
        if len(pairs) == 1:
            name, target = next(iter(pairs.items()))
            return nodes.Put(
                span,
                choice_key(stem, target),
                self._write(expression, name, target, value.span),
                element.many,
                element.min > 0,
                self.definitions.is_primitive(target),
            )
        choose, write = chooser(stem, pairs)
        return nodes.Put(
            span,
            stem,
            nodes.Write(value.span, expression, write, falsy=True),
            element.many,
            element.min > 0,
            choice=choose,
        )

    def _node(self, value: Node, element: Element, types: tuple[str, ...]) -> nodes.Node | None:
        match value:
            case Text():
                return self._text(value, element, types)
            case Items():
                if not element.many:
                    self.file.report("E303", f"{element.path} does not repeat", value.span)
                    return None
                entries = [self._node(entry, element, types) for entry in value.entries]
                return nodes.BuildList(value.span, tuple(e for e in entries if e is not None))
            case Pairs():
                return self._map(value, element, types)

    def _text(self, value: Text, element: Element, types: tuple[str, ...]) -> nodes.Node | None:
        if not types:
            self.file.report(
                "E303",
                f"{element.path} is an object: write its elements",
                value.span,
                ", ".join(list(self.definitions.elements(element.path))[:8]),
            )
            return None
        if not is_expression(value):
            type_ = types[0]
            literal = self.literals.of(value, element, type_, self.profile, self.file)
            return None if literal is None else nodes.Fixed(value.span, literal)
        want = Type(types[0], element.many)
        expression = Resolver(self.env).value(value, want)
        if expression is None:
            return None
        return self._expression(expression, element, types, value.span)

    def _expression(
        self, expression: nodes.Expression, element: Element, types: tuple[str, ...], span: Span
    ) -> nodes.Node | None:
        have = expression.type
        if have.many and not element.many:
            self.file.report("E214", f"{element.path} does not repeat, and this is a list", span, "first(…) says which")
            return None
        if have.options:
            self.file.report(
                "E303",
                f"this may be any of {', '.join(have.options)}",
                span,
                f"use {element.name} of a choice, value[x]",
            )
            return None
        target = next((t for t in types if t == have.name), None) or next(
            (t for t in types if assignable(have.name, t)), None
        )
        if target is None:
            self.file.report(
                "E303",
                f"{element.path} is a {' or '.join(types)}, and this is a {have}",
                span,
                "use ref(…)" if have.name in ("person", "organisation", "place") else "",
            )
            return None
        return self._write(expression, have.name, target, span)

    def _write(self, expression: nodes.Expression, have: str, target: str, span: Span) -> nodes.Write:
        return nodes.Write(span, expression, writer(have, target, many=expression.type.many), falsy=have in _NUMBERS)

    def _map(self, value: Pairs, element: Element, types: tuple[str, ...]) -> nodes.Node | None:
        if "$each" in value.entries:
            return self._each(value, element, types)
        if "$case" in value.entries:
            branches = []
            listed = value.entries["$case"]
            for branch in listed.entries if isinstance(listed, Items) else ():
                if not isinstance(branch, Pairs):
                    self.file.report("E042", "a branch of $case is a map", branch.span)
                    continue
                when = branch.entries.get("$when")
                condition = Resolver(self.env).test(when) if isinstance(when, Text) else None
                rest = _without(branch, "$when")
                body = self._map(rest, element, types)
                if body is not None:
                    branches.append((condition, body))
            return nodes.BuildCase(value.span, tuple(branches))
        if "$when" in value.entries:
            when = value.entries["$when"]
            condition = Resolver(self.env).test(when) if isinstance(when, Text) else None
            body = self._map(_without(value, "$when"), element, types)
            if condition is None or body is None:
                return None
            return nodes.BuildWhen(value.span, condition, body)
        if "$value" in value.entries:
            for key, span in value.keys.items():
                if key != "$value":
                    self.file.report("E040", f"{key!r} has no place beside $value", span)
            return self._node(value.entries["$value"], element, types)
        return self._object(value, element, types)

    def _each(self, value: Pairs, element: Element, types: tuple[str, ...]) -> nodes.Node | None:
        text = value.entries["$each"]
        loop = parse_loop(self.file, text, None) if isinstance(text, Text) else None
        if loop is None:
            return None
        over = Resolver(self.env).expression(loop.over, Type("any", many=True))
        if over is None:
            return None
        if not over.type.many:
            self.file.report("E214", f"$each needs a list; this is one {over.type}", text.span)
            return None
        alias = loop.alias or ""
        if alias in self.env.aliases or (self.env.document is not None and alias in self.env.document.items):
            self.file.report("E208", f"the alias {alias!r} hides another name", text.span)
            return None
        if not element.many:
            self.file.report("E214", f"{element.path} does not repeat", text.span)
            return None
        inner = Body(
            self.literals, self.env.with_alias(alias, Type(over.type.name, False, over.type.options)), self.profile
        )
        body = inner._map(_without(value, "$each"), element, types)
        return None if body is None else nodes.BuildEach(value.span, over, alias, body)

    def _object(self, value: Pairs, element: Element, types: tuple[str, ...]) -> nodes.Node | None:
        if len(types) > 1:
            self.file.report("E303", f"{element.path} is a choice: name the type", value.span)
            return None
        path = types[0] if types else element.path
        if types and self.definitions.is_primitive(path):
            if set(value.entries) == {"$extensions"}:
                self.file.report(
                    "E303",
                    f"{element.path} is a {path}; extensions of primitives are not written by mappings",
                    value.span,
                )
            else:
                self.file.report("E303", f"{element.path} is a {path}, not an object", value.span)
            return None
        base = None
        origin = value.entries.get("$from")
        if isinstance(origin, Text):
            tree = parse(self.file, origin, None, condition=not is_expression(origin))
            expression = None if tree is None else Resolver(self.env).expression(tree, Type(path))
            if expression is None:
                return None
            if not assignable(expression.type.name, path):
                self.file.report("E303", f"$from starts from a {path}, and this is a {expression.type}", origin.span)
                return None
            base = self._write(expression, expression.type.name, path, origin.span)
        return nodes.Build(value.span, tuple(self.puts(value, path, ("$from",))), base)

    # -- extensions -----------------------------------------------------------------------------------------

    def _extensions(self, value: Node, type_path: str) -> list[nodes.Put]:
        if not isinstance(value, Pairs):
            self.file.report("E042", "$extensions is written as `name: value` pairs", value.span)
            return []
        entries: list[nodes.Node] = []
        for name, node in value.entries.items():
            extension = self.definitions.extension(name)
            if extension is None:
                self.file.report(
                    "E304",
                    f"there is no extension {name!r}",
                    value.keys[name],
                    did_you_mean(name, self.definitions.names("extension")),
                )
                continue
            if not self._in_context(extension, type_path):
                self.file.report(
                    "E304",
                    f"{name} has no place on {type_path}",
                    value.keys[name],
                    f"it belongs on {', '.join(extension.contexts)}",
                )
                continue
            for one in node.entries if isinstance(node, Items) else (node,):
                built = self._extension(extension, one, value.keys[name])
                if built is not None:
                    entries.append(built)
        if not entries:
            return []
        return [nodes.Put(value.span, "extension", nodes.BuildList(value.span, tuple(entries)), many=True)]

    def _in_context(self, extension: Extension, type_path: str) -> bool:
        root = type_path.partition(".")[0]
        general = {"Element", type_path} | ({"Resource", "DomainResource"} if root == type_path else set())
        return (
            not extension.contexts
            or any(context in general or context.endswith(f".{type_path}") for context in extension.contexts)
            or any(
                self.definitions.element(*context.rpartition(".")[::2]) is not None
                and type_path in (self.definitions.element(*context.rpartition(".")[::2]) or _NONE).types
                for context in extension.contexts
                if "." in context
            )
        )

    def _extension(self, extension: Extension, value: Node, span: Span) -> nodes.Node | None:
        url = nodes.Put(span, "url", nodes.Fixed(span, extension.url), many=False)
        if not extension.parts:
            body = self._extension_value(extension.url, extension.value, extension.binding, value, span)
            return None if body is None else nodes.Build(span, (url, body))
        if not isinstance(value, Pairs):
            self.file.report(
                "E303", "this extension has parts: write them as pairs", value.span, ", ".join(extension.parts)
            )
            return None
        parts: list[nodes.Node] = []
        for name, node in value.entries.items():
            part: Part | None = extension.parts.get(name)
            if part is None:
                self.file.report(
                    "E304", f"the extension has no part {name!r}", value.keys[name], did_you_mean(name, extension.parts)
                )
                continue
            inner = self._extension_value(f"{extension.url}#{name}", part.types, part.binding, node, value.keys[name])
            if inner is not None:
                named = nodes.Put(value.keys[name], "url", nodes.Fixed(value.keys[name], name), many=False)
                parts.append(nodes.Build(value.keys[name], (named, inner)))
        return nodes.Build(span, (url, nodes.Put(span, "extension", nodes.BuildList(span, tuple(parts)), many=True)))

    def _extension_value(
        self, path: str, types: tuple[str, ...], binding: Any, value: Node, span: Span
    ) -> nodes.Put | None:
        element = Element(
            path=path, name="value[x]", types=types, min=1, many=False, choice=True, binding=binding, targets=()
        )
        if isinstance(value, Text) and is_expression(value):
            return self._choice(replace(element, min=0), value, span)
        type_ = types[0]
        if isinstance(value, Text):
            literal = self.literals.of(value, element, type_, "", self.file)
            return (
                None
                if literal is None
                else nodes.Put(span, choice_key("value", type_), nodes.Fixed(span, literal), many=False)
            )
        body = self._node(value, replace(element, choice=False), (type_,))
        return None if body is None else nodes.Put(span, choice_key("value", type_), body, many=False)


_NONE = Element(path="", name="", types=(), min=0, many=False, choice=False, binding=None, targets=())


def _without(node: Pairs, *keys: str) -> Pairs:
    """The same map less some keys."""
    return Pairs(
        node.span,
        {k: v for k, v in node.entries.items() if k not in keys},
        {k: v for k, v in node.keys.items() if k not in keys},
    )


def joined(file: YamlFile, puts: list[nodes.Put], added: list[nodes.Put]) -> list[nodes.Put]:
    """`adds`: new keys, and more entries of lists; it can change nothing (mapping language §6.6)."""
    merged = list(puts)
    for put in added:
        at = next((i for i, own in enumerate(merged) if own.key == put.key), None)
        if at is None:
            merged.append(put)
            continue
        own = merged[at]
        if own.many and put.many:
            merged[at] = replace(own, node=nodes.BuildList(own.span, (own.node, put.node)))
        elif isinstance(own.node, nodes.Build) and isinstance(put.node, nodes.Build):
            merged[at] = replace(
                own, node=replace(own.node, puts=tuple(joined(file, list(own.node.puts), list(put.node.puts))))
            )
        else:
            file.report("E307", f"{put.key!r} is written already, in {own.span}; adds can change nothing", put.span)
    return merged
