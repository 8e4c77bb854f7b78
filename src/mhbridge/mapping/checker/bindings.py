"""
Reads what binds an item: paths, loops, records and choices of a supplier's mapping file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from mhbridge.errors import Span
from mhbridge.fhir.definitions import r4
from mhbridge.formats import PathError
from mhbridge.mapping import nodes
from mhbridge.mapping.checker.declarations import did_you_mean
from mhbridge.mapping.checker.environment import Environment, assignable
from mhbridge.mapping.checker.expressions import Resolver
from mhbridge.mapping.checker.structure import branches, only, without
from mhbridge.mapping.codes import CodeSystems
from mhbridge.mapping.expression import is_expression, parse_loop
from mhbridge.mapping.marks import Mark
from mhbridge.mapping.packs import DocumentType, Item
from mhbridge.mapping.reader import Items, Node, Pairs, Text
from mhbridge.mapping.syntax import PathNode
from mhbridge.mapping.types import BUILT_IN_RECORDS, Type
from mhbridge.model import Act

__all__ = ["Binder"]

#: The types whose `system` is a name from codes/systems.csv.
_SYSTEMATIC: Final = frozenset({"Coding", "Identifier", "Quantity"})
#: How the types that are no literals are written, where people try one.
_LITERALS: Final = {
    "CodeableConcept": "a concept in words is written {text: …}",
    "organisation": "an organisation is a map: {name: …}",
    "person": "a person is a map: {name: [{text: …}]}",
    "place": "a place is a map: {name: …}",
}


class Binder:
    """Turns the nodes of one mapping file into bindings."""

    def __init__(self, env: Environment, document: DocumentType) -> None:
        self.env = env
        self.file = env.file
        self.document = document

    def body(self, node: Node, item: Item, env: Environment) -> nodes.Binding | None:
        """What binds an item or a field."""
        match node:
            case Text():
                made: nodes.Binding | None = self._value(node, item, env)
            case Items():
                return self._list(node, item, env)
            case Pairs():
                made = self._map(node, item, env)
        if made is None or not item.type.many or isinstance(made, nodes.BindList | nodes.BindEach):
            return made
        if isinstance(made, nodes.BindValue) and isinstance(made.value, nodes.Read):
            return made
        return nodes.BindList(made.span, (made,))  # one value in the place of a list is a list of one

    def _value(self, node: Text, item: Item, env: Environment) -> nodes.Binding | None:
        if is_expression(node):
            value = Resolver(env).value(node, item.type)
            if value is None:
                return None
            if value.type.many and not item.type.many:
                self.file.report("E214", f"{item.name!r} is one {item.type}, and this is a list", node.span)
                return None
            if value.type != item.type and not all(
                any(assignable(have, want) for want in item.type.names) for have in value.type.names
            ):
                gives = f"{value.type}" if value.type.options else f"a {value.type}"
                self.file.report("E204", f"this gives {gives}, but {item.name!r} is a {item.type}", node.span)
                return None
            for stated in _stated(value) if item.type.name == "code" else ():
                self._possible(str(stated.value), item, stated.span)
            return nodes.BindValue(node.span, value)
        literal = literal_value(node.value, item.type, env.systems)
        coded = _CODED.fullmatch(node.value) if item.type.name == "CodeableConcept" else None
        if literal is None and coded is not None:
            self._system(coded[1], item.type.name, node.span, env)
            return None
        if literal is None:
            self.file.report(
                "E204",
                f"a literal cannot be {'an' if str(item.type)[0] in 'aeioAI' else 'a'} {item.type}",
                node.span,
                _LITERALS.get(item.type.name, "an expression begins with =" if "-" in node.value else ""),
            )
            return None
        if isinstance(literal, str):
            self._possible(literal, item, node.span)
        return nodes.BindValue(node.span, nodes.Literal(node.span, Type(item.type.name), literal))

    def _possible(self, stated: str, item: Item, span: Span) -> None:
        """That a code which the mapping states is one that the item can be."""
        if item.type.name != "code":
            return
        if item is self.document.items.get("act"):
            known = [act.value for act in Act]
        else:
            values = r4().valueset(item.binding) if item.binding else None
            known = [] if values is None or values.codes is None else sorted({code for _, code in values.codes})
        if known and stated not in known:
            some = f"one of {', '.join(known[:12])}{', …' if len(known) > 12 else ''}"
            self.file.report(
                "E219", f"{item.name!r} cannot be {stated!r}", span, did_you_mean(stated, known, some, least=0.75)
            )

    def _system(self, name: str, type_: str, span: Span, env: Environment) -> None:
        """That a system which the mapping states is one that somebody declares: a value of another would lose its."""
        known = {*env.systems.names(), *((env.issuers or ()) if type_ == "Identifier" else ())}
        if name not in known and ":" not in name:
            hint = did_you_mean(name, known, "code systems are named in codes/systems.csv")
            self.file.report("E401", f"unknown code system {name!r}", span, hint)

    def _list(self, node: Items, item: Item, env: Environment) -> nodes.Binding | None:
        if not item.type.many:
            self.file.report("E214", f"{item.name!r} is one {item.type}, not a list", node.span)
            return None
        entries = [self.body(entry, item, env) for entry in node.entries]
        return nodes.BindList(node.span, tuple(e for e in entries if e is not None))

    def _map(self, node: Pairs, item: Item, env: Environment) -> nodes.Binding | None:
        """The structure words of a map, outermost first: $each, $when, $case, $value; then what they are about."""
        if "$each" in node.entries:
            return self._each(node, item, env)
        if "$case" in node.keys or "$value" in node.keys:
            if "$when" in node.keys:
                condition = self._condition(node, env)
                body = self._map(without(node, "$when"), item, env)
                if condition is None or body is None:
                    return None
                return nodes.BindCase(node.span, ((condition, body),))
            word = "$case" if "$case" in node.keys else "$value"
            only(self.file, node, word)
            if word not in node.entries:
                return None
            return self._case(node, item, env) if word == "$case" else self.body(node.entries[word], item, env)
        return self._record(node, item, env)

    def _each(self, node: Pairs, item: Item, env: Environment) -> nodes.Binding | None:
        if not item.type.many:
            self.file.report(
                "E214",
                f"{item.name!r} is one {item.type}, and $each gives a list",
                node.keys["$each"],
                "read the first one with a plain path",
            )
            return None
        text = node.entries["$each"]
        assert env.format is not None
        assert env.scope is not None
        if not isinstance(text, Text):
            self.file.report(
                "E042",
                f"$each takes one path of {env.format.name}",
                text.span,
                "a path that begins with [ stands in single quotes: $each: '[…]'",
            )
            return None
        loop = parse_loop(self.file, text, env.format)
        if loop is None:
            return None
        assert isinstance(loop.over, PathNode)
        try:
            cursors, inside = env.format.loop(loop.over.path, env.scope)
        except PathError as error:
            Resolver(env).report_path(error, loop.over.span)
            return None
        body = self._map(without(node, "$each"), item.one(), env.inside(inside))
        if body is None:
            return None
        path = loop.over.path
        env.read_paths.add(path.text)
        mark = Mark(path.text, env.format.loop_spot(path, env.scope), item=item.name, rule=str(loop.over.span))
        return nodes.BindEach(node.span, cursors, path.text, body, mark)

    def _case(self, node: Pairs, item: Item, env: Environment) -> nodes.Binding | None:
        found: list[tuple[nodes.Condition | None, nodes.Binding]] = []
        for branch, test in branches(self.file, node):
            condition = None if test is None else Resolver(env).test(test)
            body = self._map(branch, item, env)
            if body is not None:
                found.append((condition, body))
        return nodes.BindCase(node.span, tuple(found))

    def _record(self, node: Pairs, item: Item, env: Environment) -> nodes.Binding | None:
        fields = self._fields(item.type.name)
        if fields is None:
            self.file.report("E204", f"{item.name!r} is a {item.type}, which has no fields to bind", node.span)
            return None
        bound: list[tuple[str, nodes.Binding]] = []
        for key, value in node.entries.items():
            if key == "$when":
                continue
            if key not in fields:
                hint = did_you_mean(key, (*fields, "$each", "$when"), f"one of {', '.join(fields)}")
                what = f"{'an' if item.type.name[0] in 'aeio' else 'a'} {item.type.name} has no field {key!r}"
                self.file.report("E202", what, node.keys[key], hint)
                continue
            inner = fields[key]
            body = self.body(value, inner, env.binding_of(inner, f"{env.item or item.name}.{key}"))
            if key == "system" and item.type.name in _SYSTEMATIC and isinstance(body, nodes.BindValue):
                for stated in _stated(body.value):
                    self._system(str(stated.value), item.type.name, stated.span, env)
            if body is not None:
                bound.append((key, body))
        record = self.document.records.get(item.type.name)
        for name, declared in (record.fields if record else {}).items():
            if declared.need == "mandatory" and name not in node.keys:
                self.file.report("E203", f"a {item.type.name} needs {name!r}", node.span)
        if not node.keys.keys() - {"$when"}:
            self.file.report("E042", f"a {item.type.name} with nothing in it is not bound", node.span)
            return None
        condition = self._condition(node, env)
        solid = record is None and item.type.name not in BUILT_IN_RECORDS
        return nodes.BindRecord(node.span, tuple(bound), condition, record.keeper if record else "", solid)

    def _fields(self, name: str) -> Mapping[str, Item] | None:
        record = self.document.records.get(name)
        if record is not None:
            return record.fields
        known = BUILT_IN_RECORDS.get(name)
        if known is None:
            known = Resolver(self.env).fields(name)
        return None if known is None else {n: Item(n, t, Span("", 1, 1, 1, 1)) for n, t in known.items()}

    def _condition(self, node: Pairs, env: Environment) -> nodes.Condition | None:
        return Resolver(env).test(node.entries["$when"]) if "$when" in node.entries else None


def _stated(value: nodes.Expression) -> Iterator[nodes.Literal]:
    """The literals that an expression may give as its value."""
    match value:
        case nodes.Literal():
            yield value
        case nodes.Alternatives():
            for term in value.terms:
                yield from _stated(term)
        case nodes.Choose():
            yield from _stated(value.then)
            if value.otherwise is not None:
                yield from _stated(value.otherwise)


_CODED: Final = re.compile(r'([a-z][a-z0-9-]*)#([^\s"]+)(?:\s+"([^"]*)")?')


def literal_value(text: str, type_: Type, systems: CodeSystems) -> Any:
    """A literal of a binding in the shape of its type; `None` when the type has no literals, or not this one."""
    match type_.name:
        case "boolean":
            return {"true": True, "false": False}.get(text)
        case "integer" | "positiveInt" | "unsignedInt" | "decimal":
            pattern = r"-?\d+(\.\d+)?" if type_.name == "decimal" else r"-?\d{1,9}"
            if re.fullmatch(pattern, text, re.ASCII) is None:
                return None
            return Decimal(text) if type_.name == "decimal" else int(text)
        case "CodeableConcept":
            coded = _CODED.fullmatch(text)
            if coded is None:
                return {"text": text} if text.strip() else None
            coding = dict(zip(("system", "code", "display"), coded.groups(), strict=True))
            known = systems.known(coding["system"])
            return {"coding": [{key: part for key, part in coding.items() if part}]} if known else None
        case "string" | "text" | "markdown":
            return text if text.strip() else None
        case "code" | "uri" | "date" | "dateTime" | "time" | "id":
            regex = r4().regex(type_.name)
            return text if regex is None or re.fullmatch(regex, text) else None
        case _:
            return None
