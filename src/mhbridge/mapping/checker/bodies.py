"""
Bodies of resources: every element, choice, loop and extension resolved against the definitions of the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, TypeAlias

from mhbridge.errors import Span
from mhbridge.fhir.definitions import Element, Extension, Part
from mhbridge.mapping import nodes
from mhbridge.mapping.checker.declarations import did_you_mean
from mhbridge.mapping.checker.environment import Environment, assignable
from mhbridge.mapping.checker.expressions import Resolver
from mhbridge.mapping.checker.literals import Literals
from mhbridge.mapping.checker.slices import of_no_slice
from mhbridge.mapping.checker.structure import branches, loop_over, only, without
from mhbridge.mapping.expression import is_expression, parse
from mhbridge.mapping.reader import Items, Node, Pairs, Text, YamlFile
from mhbridge.mapping.types import Type
from mhbridge.mapping.writing import choice_key, chooser, writer

__all__ = ["Body", "joined"]

#: What makes the node of a place from the YAML that is left when the structure words are taken off.
Maker: TypeAlias = "Callable[[Body, Node], nodes.Node | None]"


class Body:
    """
    Resolves the body of one resource.

    Args:
        partial: it is added to another body, which may write what is required.
    """

    def __init__(self, literals: Literals, env: Environment, profile: str, *, partial: bool = False) -> None:
        self.literals, self.env, self.profile, self.partial = literals, env, profile, partial
        self.file = env.file
        self.definitions = literals.definitions

    def puts(
        self, node: Pairs, type_path: str, skip: tuple[str, ...] = (), *, complete: bool = True
    ) -> list[nodes.Put]:
        """
        The keys of an object of the type (or backbone element) at `type_path`.

        Args:
            complete: there is nothing else that could write what is required.
        """
        found: list[nodes.Put] = []
        seen: dict[str, str] = {}
        for key, value in node.entries.items():
            if key in skip:
                continue
            if key.startswith("$") and key != "$extensions":
                self.file.report("E040", f"{key!r} has no place here", node.keys[key])
                continue
            element = self.definitions.element(type_path, "extension" if key == "$extensions" else key)
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
            if element.path in seen:
                what = f"{key!r} writes the same element as {seen[element.path]!r}"
                self.file.report("E307", what, node.keys[key], "an element has one line of origin")
                continue
            seen[element.path] = key
            if key == "$extensions":
                found += self._extensions(value, type_path)
            elif (put := self._put(key, value, element, node.keys[key])) is not None:
                found.append(put)
        if complete and not self.partial:
            self.check_required(type_path, set(seen), node.span, based="$from" in node.entries)
        return found

    def check_required(self, type_path: str, written: set[str], span: Span, *, based: bool = False) -> None:
        """That every element that the target requires is written at all; values that are missing are another matter."""
        for name, element in ({} if based else self.definitions.elements(type_path)).items():
            if element.min > 0 and element.path not in written:
                self.file.report("E316", f"{type_path} needs {name!r}, which is never written", span)

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
        before = len(self.file.diagnostics)
        body = self._node(value, element, types)
        if body is None:
            return None
        # What is wrong in it is not written, and would be missed.
        sound = len(self.file.diagnostics) == before
        profile = self.definitions.profile(self.profile) if sound and element.many and self.profile else None
        if profile is not None:
            for where, by, known in of_no_slice(profile, element.path, body):
                hint = f"the profile tells them by {by}: {' or '.join(map(repr, known))}"
                self.file.report("E309", f"this is none of the entries that {element.path} may have", where, hint)
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
        if expression.type.many:
            self.file.report(
                "E214", f"{element.path} does not repeat, and this is a list", value.span, "first(…) says which"
            )
            return None
        pairs: dict[str, str] = {}
        for name in expression.type.names:
            target = name if name in element.types else next((t for t in element.types if assignable(name, t)), None)
            if target is None:
                self.file.report(
                    "E303", f"{element.path} cannot be a {name}", value.span, f"one of {', '.join(element.types)}"
                )
                return None
            pairs[name] = target
        target = next(iter(pairs.values()))
        key, required, primitive = choice_key(stem, target), element.min > 0, self.definitions.is_primitive(target)
        if len(pairs) == 1:
            node = self._write(expression, expression.type.name, target, value.span)
            return nodes.Put(span, key, node, element.many, required, primitive)
        choose, write = chooser(stem, pairs)
        node = nodes.Write(value.span, expression, write)
        return nodes.Put(span, key, node, element.many, required, primitive, choice=choose)

    def _node(self, value: Node, element: Element, types: tuple[str, ...]) -> nodes.Node | None:
        """What stands at an element."""
        if isinstance(value, Items):
            if not element.many:
                self.file.report("E303", f"{element.path} does not repeat", value.span)
                return None
            entries = [self._node(entry, element, types) for entry in value.entries]
            return nodes.BuildList(value.span, tuple(e for e in entries if e is not None))

        def make(body: Body, node: Node) -> nodes.Node | None:
            if isinstance(node, Text):
                return body._text(node, element, types)
            return body._object(node, element, types) if isinstance(node, Pairs) else body._node(node, element, types)

        return self._structured(value, element.path, make, many=element.many)

    def _structured(self, value: Node, where: str, make: Maker, *, many: bool) -> nodes.Node | None:
        """The structure words of a map, outermost first: $each, $when, $case, $value; then what they are about."""
        if not isinstance(value, Pairs):
            return make(self, value)
        if "$each" in value.entries:
            return self._each(value, where, make, many=many)
        if "$when" in value.entries:
            condition = Resolver(self.env).test(value.entries["$when"])
            body = self._structured(without(value, "$when"), where, make, many=many)
            return None if condition is None or body is None else nodes.BuildWhen(value.span, condition, body)
        if "$case" in value.entries:
            only(self.file, value, "$case")
            found = []
            for branch, test in branches(self.file, value):
                condition = None if test is None else Resolver(self.env).test(test)
                body = self._structured(branch, where, make, many=many)
                if body is not None:
                    found.append((condition, body))
            return nodes.BuildCase(value.span, tuple(found))
        if "$value" in value.entries:
            only(self.file, value, "$value")
            return self._structured(value.entries["$value"], where, make, many=many)
        return make(self, value)

    def _each(self, value: Pairs, where: str, make: Maker, *, many: bool) -> nodes.Node | None:
        loop = loop_over(self.env, value.entries["$each"])
        if loop is None:
            return None
        over, alias, element = loop
        if not many:
            self.file.report("E214", f"{where} does not repeat", value.entries["$each"].span)
            return None
        inner = Body(self.literals, self.env.with_alias(alias, element), self.profile, partial=self.partial)
        body = inner._structured(without(value, "$each"), where, make, many=many)
        return None if body is None else nodes.BuildEach(value.span, over, alias, body)

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
        targets = [self._target(name, types) for name in have.names]
        if None in targets:
            wanted = " or ".join(types)
            hint = "use ref(…)" if have.name in ("person", "organisation", "place") else ""
            if have.options:
                hint = f"use {element.name} of a choice, value[x]"
            self.file.report("E303", f"{element.path} is a {wanted}, and this is a {have}", span, hint)
            return None
        writers = {(name, target): writer(name, target or "") for name, target in zip(have.names, targets, strict=True)}
        if len(set(writers.values())) > 1:
            self.file.report(
                "E303", f"this may be any of {', '.join(have.options)}, which are written differently", span
            )
            return None
        return self._write(expression, have.names[0], targets[0] or "", span)

    @staticmethod
    def _target(have: str, types: tuple[str, ...]) -> str | None:
        return have if have in types else next((t for t in types if assignable(have, t)), None)

    def _write(self, expression: nodes.Expression, have: str, target: str, span: Span) -> nodes.Write:
        return nodes.Write(span, expression, writer(have, target, many=expression.type.many))

    def _object(self, value: Pairs, element: Element, types: tuple[str, ...]) -> nodes.Node | None:
        if len(types) > 1:
            self.file.report("E303", f"{element.path} is a choice: name the type", value.span)
            return None
        path = types[0] if types else element.children or element.path
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
        if not value.entries:
            self.file.report("E042", "an object with nothing in it is not written", value.span)
            return None
        base = None
        if "$from" in value.entries:
            base = self._base(value.entries["$from"], path)
            if base is None:
                return None
        return nodes.Build(value.span, tuple(self.puts(value, path, ("$from",))), base)

    def _base(self, origin: Node, path: str) -> nodes.Write | None:
        """The object that `$from` starts from."""
        if not isinstance(origin, Text):
            self.file.report("E042", "$from takes one expression", origin.span)
            return None
        tree = parse(self.file, origin, None, condition=not is_expression(origin))
        expression = None if tree is None else Resolver(self.env).expression(tree, Type(path))
        if expression is None:
            return None
        have = expression.type
        if have.many or have.options or not assignable(have.name, path):
            self.file.report("E303", f"$from starts from a {path}, and this is a {have}", origin.span)
            return None
        return self._write(expression, have.name, path, origin.span)

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
            entries += self._of_extension(name, extension, node, value.keys[name])
        if not entries:
            return []
        return [nodes.Put(value.span, "extension", nodes.BuildList(value.span, tuple(entries)), many=True)]

    def _of_extension(self, name: str, extension: Extension, node: Node, span: Span) -> list[nodes.Node]:
        """The extensions of one name: each entry of a sequence, or one."""
        if isinstance(node, Items) and not extension.many and len(node.entries) > 1:
            self.file.report("E304", f"{name} does not repeat", node.span)

        def make(body: Body, one: Node) -> nodes.Node | None:
            return body._extension(extension, one, span)

        listed = node.entries if isinstance(node, Items) else (node,)
        built = (self._structured(one, name, make, many=extension.many) for one in listed)
        return [one for one in built if one is not None]

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
        for name, part in extension.parts.items():
            if part.min > 0 and name not in value.entries:
                self.file.report("E316", f"the extension needs its part {name!r}, which is never written", span)
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
