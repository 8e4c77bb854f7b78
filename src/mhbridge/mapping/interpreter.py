"""
The slow, obvious twin of the compiler: it walks the resolved tree for every message.

It exists to be compared with (the two must agree on every message) and to be read when somebody wonders what a mapping
means. It must stay simple; it must never be made fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mhbridge.errors import Span
from mhbridge.mapping import nodes
from mhbridge.mapping.leaves import as_list, asked, data_absent, fill, has_code, marks_of, splice, whole_as_text
from mhbridge.mapping.marks import DROPPED, flip
from mhbridge.mapping.run import Run
from mhbridge.model import ABSENT, DELETED, State, Unknown

__all__ = ["Interpreter"]


@dataclass
class _Frame:
    """Where the interpreter stands. `aliases`: alias → (element, 0-based place)."""

    run: Run
    cursor: Any = None
    items: Mapping[str, Any] = field(default_factory=dict)
    assembly: Any = None
    aliases: dict[str, tuple[Any, int]] = field(default_factory=dict)


class Interpreter:
    """Makes the same functions as `Compiler`, by walking."""

    def bind(self, items: tuple[nodes.BoundItem, ...], _span: Span) -> Callable[[Any, Run], dict[str, Any]]:
        """A function that reads the items of a message."""

        def bind(cursor: Any, run: Run) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for item in items:
                value = _binding(item.body, _Frame(run, cursor))
                if value is not ABSENT:
                    out[item.name] = value
            return out

        return bind

    def derive(self, derived: tuple[nodes.Derived, ...], _span: Span) -> Callable[[dict[str, Any], Run], None]:
        """A function that adds the derived items."""

        def derive(items: dict[str, Any], run: Run) -> None:
            for item in derived:
                value = _value(item.value, _Frame(run, items=items))
                value = as_list(value) if item.type.many else value
                if value is not ABSENT:
                    items[item.name] = value

        return derive

    def condition(self, condition: nodes.Condition, alias: str = "") -> Callable[..., bool]:
        """A function that decides over the items."""

        def exists(items: Any, assembly: Any, run: Run, element: Any, place: int) -> bool:
            return _holds(condition, _Frame(run, None, items, assembly, {alias: (element, place)}))

        return exists

    def expression(self, expression: nodes.Expression, alias: str = "") -> Callable[..., Any]:
        """A function that gives a value."""

        def value(items: Any, assembly: Any, run: Run, element: Any, place: int) -> Any:
            return _value(expression, _Frame(run, None, items, assembly, {alias: (element, place)}))

        return value

    def node(self, node: nodes.Node, _name: str, alias: str = "") -> Callable[..., Any]:
        """A function that writes a piece of output."""

        def write(items: Any, assembly: Any, run: Run, element: Any, place: int) -> Any:
            return _node(node, _Frame(run, None, items, assembly, {alias: (element, place)}))

        return write


def _present(node: nodes.Expression | nodes.Node, value: Any) -> bool:
    """Whether a value is present. What is empty is not, where the type has no values that are false."""
    return bool(value) if nodes.plain_truth(node) else not isinstance(value, State)


def _fields(value: Any, fields: tuple[str, ...]) -> Any:
    for name in fields:
        if not value:
            return value
        value = value.get(name, ABSENT)
    return value


def _value(node: nodes.Expression, at: _Frame) -> Any:
    match node:
        case nodes.Read():
            return node.take(node.find(at.cursor), at.cursor, at.run)
        case nodes.Literal():
            return node.value
        case nodes.ItemOf():
            if node.name == "message":
                return at.run.message.get(node.fields[0], ABSENT)
            return _fields(at.items.get(node.name, ABSENT), node.fields)
        case nodes.AliasOf():
            return _fields(at.aliases[node.alias][0], node.fields)
        case nodes.PositionOf():
            return at.aliases[node.alias][1] + 1
        case nodes.Apply():
            values = []
            for place, (arg, passing) in enumerate(zip(node.args, node.passing, strict=True)):
                value = _value(arg, at)
                if passing and not isinstance(arg, nodes.Literal) and not _present(arg, value):
                    if marks_of(node.args[:place]):
                        flip(at.run.trace, marks_of(node.args[: place + 1]), DROPPED)
                    return value
                values.append(value)
            return node.call(at.run, *values)
        case nodes.Alternatives():
            first: Any = ABSENT
            for term in node.terms:
                value = _value(term, at)
                if not (isinstance(value, State) and value.passes):
                    return value
                if first is ABSENT:
                    first = value
            return first
        case nodes.Choose():
            if _holds(node.condition, at):
                return _value(node.then, at)
            return ABSENT if node.otherwise is None else _value(node.otherwise, at)
        case nodes.Decide():
            return _holds(node.condition, at)
        case nodes.Reference():
            if node.element is None:
                return at.assembly.one(node.resource) if node.kind == "one" else at.assembly.all(node.resource)
            element = _value(node.element, at)
            ask = at.assembly.template if node.kind == "for" else at.assembly.element
            return ask(node.resource, element)


def _holds(node: nodes.Condition, at: _Frame) -> bool:
    match node:
        case nodes.Truth():
            value = _value(node.value, at)
            return _present(node.value, value) and value is not False
        case nodes.Present():
            return _present(node.value, _value(node.value, at))
        case nodes.Negation():
            return not _holds(node.term, at)
        case nodes.AnyOf():
            return any(_holds(term, at) for term in node.terms)
        case nodes.AllOf():
            return all(_holds(term, at) for term in node.terms)
        case nodes.Equal():
            left, right = _value(node.left, at), _value(node.right, at)
            return _present(node.left, left) and left == right
        case nodes.OneOf():
            value = _value(node.value, at)
            return not isinstance(value, State) and value in node.members
        case nodes.Coded():
            return has_code(_value(node.value, at), node.members)


def _binding(node: nodes.Binding, at: _Frame) -> Any:
    match node:
        case nodes.BindValue():
            return _value(node.value, at)
        case nodes.BindRecord():
            return _record(node, at)
        case nodes.BindEach():
            found: list[Any] = []
            without: State = ABSENT
            if node.mark.spot.asks:
                asked(node.mark, at.cursor, at.run)
            for cursor in node.loop.cursors(at.cursor):
                without = splice(found, _binding(node.body, _Frame(at.run, cursor)), without)
            return found or without
        case nodes.BindCase():
            for condition, branch in node.branches:
                if condition is None or _holds(condition, at):
                    return _binding(branch, at)
            return ABSENT
        case nodes.BindList():
            spliced: list[Any] = []
            state: State = ABSENT
            for entry in node.entries:
                state = splice(spliced, _binding(entry, at), state)
            return spliced or state


def _record(node: nodes.BindRecord, at: _Frame) -> Any:
    if node.when is not None and not _holds(node.when, at):
        return ABSENT
    record: dict[str, Any] = {}
    failures = at.run.failures
    found = not any(nodes.counts(body) for _, body in node.fields)
    empty: State = ABSENT
    for name, body in node.fields:
        value = _binding(body, at)
        if value is ABSENT:
            continue
        if node.solid and isinstance(value, State):
            empty = value
            continue
        record[name] = value
        if nodes.counts(body) and value is DELETED:
            empty = DELETED
        elif nodes.counts(body):
            found = True
    if node.whole and at.run.failures != failures:
        record = whole_as_text(record, node, at.cursor, at.run)
        found = bool(record)
    return record if found else empty


def _node(node: nodes.Node, at: _Frame) -> Any:
    match node:
        case nodes.Fixed():
            return node.value
        case nodes.Write():
            value = _value(node.value, at)
            return node.write(value, at.run) if node.write is not None and _present(node.value, value) else value
        case nodes.BuildWhen():
            return _node(node.body, at) if _holds(node.condition, at) else ABSENT
        case nodes.BuildCase():
            for condition, body in node.branches:
                if condition is None or _holds(condition, at):
                    return _node(body, at)
            return ABSENT
        case nodes.BuildEach():
            over = _value(node.value, at)
            if not over:
                return over
            found: list[Any] = []
            without: State = ABSENT
            for place, element in enumerate(over):
                inner = _Frame(at.run, at.cursor, at.items, at.assembly, {**at.aliases, node.alias: (element, place)})
                without = splice(found, _node(node.body, inner), without)
            return found or without
        case nodes.BuildList():
            spliced: list[Any] = []
            state: State = ABSENT
            for entry in node.entries:
                state = splice(spliced, _node(entry, at), state)
            return spliced or state
        case nodes.Build():
            return _object(node, at)


def _counts_now(node: nodes.Node, at: _Frame) -> bool:
    """Whether a piece that was written lets its object be written: of a list, an entry that counts must be present."""
    if isinstance(node, nodes.BuildList):
        return any(nodes.counts(entry) and _present(entry, _node(entry, at)) for entry in node.entries)
    return nodes.counts(node)


def _object(node: nodes.Build, at: _Frame) -> Any:
    out: dict[str, Any] = {}
    found = not nodes.counts(node)
    if node.base is not None:
        base = _node(node.base, at)
        if _present(node.base, base):
            out, found = dict(base), True
    for put in node.puts:
        value = _node(put.node, at)
        if not isinstance(put.node, nodes.Fixed) and not _present(put.node, value):
            if put.required and isinstance(value, Unknown):
                data_absent(out, put.key, value, put.primitive, put.many)
                found = True
            continue
        key = put.key if put.choice is None else put.choice(value)
        value = as_list(value) if put.many else value
        if node.base is not None:
            fill(out, key, value)
        else:
            out[key] = value
        found = found or _counts_now(put.node, at)
    return out if found or node.always else ABSENT
