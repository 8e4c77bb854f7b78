"""
What one message became, value by value: element ← item ← what the source said there ← place in the mapping.

It walks the resolved trees as the interpreter does, and remembers beside every value which reads it came from. It is
slow, and holds values: it is only for whoever asks for the trace of a message that they hold themselves. It must never
be called while messages are worked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from mhbridge.formats import Message
from mhbridge.mapping import interpreter as twin
from mhbridge.mapping import marks, nodes
from mhbridge.mapping.assembly import Made
from mhbridge.mapping.leaves import splice
from mhbridge.mapping.marks import Trace
from mhbridge.mapping.provenance import as_recorded
from mhbridge.mapping.run import Run
from mhbridge.mapping.supplier import SupplierMapping
from mhbridge.mapping.translation import seed_of
from mhbridge.model import ABSENT, MASKED, Recorded, State, Unknown

__all__ = ["Origin", "Traced", "trace"]

_READ: Final = frozenset({marks.READ, marks.READ_IN_PART, marks.DELETES, marks.KEPT, marks.COMPARED})


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Where a value came from.

    Args:
        path: of the leaf as the format calls it: `OBX[7]-5`; empty where the mapping states the value.
        said: what stands there, as it stands; a value of the message.
        place: place in the mapping.
    """

    path: str
    said: str
    place: str


@dataclass(frozen=True, slots=True)
class Traced:
    """
    One value of the output.

    Args:
        element: `Condition[2].code`.
        value: what was written; a value of the message.
        items: the items that it was made of, `diagnoses[2].code`.
        build: place in the build.
    """

    element: str
    value: Any
    items: tuple[str, ...]
    origins: tuple[Origin, ...]
    build: str


#: Where the parts of a value came from: reads, or the same by field, or by place in a list.
_Sources: TypeAlias = "tuple[Origin, ...] | dict[str, Any] | list[Any]"


@dataclass
class _Known:
    """A record or list among the items: what it is called, and where its parts came from."""

    value: Any
    name: str
    sources: _Sources


@dataclass
class _Walk:
    """The trace of one message. `records`: id → record or list among the items."""

    mapping: SupplierMapping
    message: Message
    items: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, _Sources] = field(default_factory=dict)
    records: dict[int, _Known] = field(default_factory=dict)
    derived: dict[str, nodes.Expression] = field(default_factory=dict)
    populated: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.populated = dict(self.mapping.format.populated(self.message))

    # -- reading --------------------------------------------------------------------------------------------

    def bind(self, run: Run) -> None:
        cursor = self.mapping.format.cursor(self.message)
        for item in self.mapping.file.items:
            value, sources = self._binding(item.body, twin._Frame(run, cursor))  # noqa: SLF001  # its twin, too
            if not isinstance(value, State):
                self.items[item.name], self.sources[item.name] = value, sources
                self._register(value, item.name, sources)

    def take(self, value: Any, name: str, origin: Origin) -> None:
        """An item that the message itself does not say."""
        self.items[name], self.sources[name] = value, (origin,)
        self._register(value, name, (origin,))

    def _register(self, value: Any, name: str, sources: _Sources) -> None:
        if isinstance(value, dict):
            self.records[id(value)] = _Known(value, name, sources)
            for key, inner in value.items():
                below = sources.get(key, ()) if isinstance(sources, dict) else sources
                self._register(inner, f"{name}.{key}", below)
        elif isinstance(value, list):
            self.records[id(value)] = _Known(value, name, sources)
            for place, inner in enumerate(value):
                below = sources[place] if isinstance(sources, list) and place < len(sources) else sources
                self._register(inner, f"{name}[{place + 1}]", below)

    def _binding(self, node: nodes.Binding, at: twin._Frame) -> tuple[Any, _Sources]:
        match node:
            case nodes.BindValue():
                start = len(at.run.trace)
                value = twin._value(node.value, at)  # noqa: SLF001
                return value, self._origins(at.run.trace[start:], str(node.span))
            case nodes.BindRecord():
                start = len(at.run.trace)
                value = twin._record(node, at)  # noqa: SLF001
                read = at.run.trace[start:]
                if not isinstance(value, dict):
                    return value, ()
                parts = {name: self._binding(body, at)[1] for name, body in node.fields if name in value}
                whole = self._origins(read, str(node.span))
                return value, {name: parts.get(name) or whole for name in value}
            case nodes.BindEach():
                cursors = node.loop.cursors(at.cursor)
                return self._spliced(self._binding(node.body, replace(at, cursor=one)) for one in cursors)
            case nodes.BindCase():
                for condition, branch in node.branches:
                    if condition is None or twin._holds(condition, at):  # noqa: SLF001
                        return self._binding(branch, at)
                return ABSENT, ()
            case nodes.BindList():
                return self._spliced(self._binding(entry, at) for entry in node.entries)

    @staticmethod
    def _spliced(found: Iterator[tuple[Any, _Sources]]) -> tuple[Any, _Sources]:
        values: list[Any] = []
        sources: list[Any] = []
        state: Any = ABSENT
        for value, origin in found:
            count = len(values)
            state = splice(values, value, state)
            several = isinstance(value, list) and isinstance(origin, list) and len(origin) == len(value)
            sources += origin if several and isinstance(origin, list) else [origin] * (len(values) - count)
        return (values or state), sources

    def _origins(self, entries: Trace, place: str) -> tuple[Origin, ...]:
        format_, source = self.mapping.format, self.mapping.source
        found: dict[Origin, None] = {}
        for mark, kind, raw, _cursor in entries:
            if kind not in _READ or mark.decides:
                continue
            raws = raw[0] if kind == marks.READ_IN_PART else raw
            cells = [] if raws is None else list(mark.spot.cells(raws, mark.reads))
            for cell, mask in cells:
                there = mask & self.populated.get(cell, 0)  # a conversion reads what may not be there
                for bit in range(there.bit_length()):
                    if there >> bit & 1:
                        path = format_.path(self.message, cell, bit, source, exact=True)
                        found[Origin(path, format_.leaf(self.message, cell, bit), mark.rule)] = None
        return tuple(found) or (Origin("", "", place),)

    # -- building -------------------------------------------------------------------------------------------

    def named(self, node: Any, at: twin._Frame) -> tuple[tuple[str, ...], tuple[Origin, ...]]:
        """The items below an expression, and where they came from."""
        names: dict[str, None] = {}
        origins: dict[Origin, None] = {}
        for one in nodes.walk(node):
            if isinstance(one, nodes.ItemOf):
                shown = ".".join((one.name, *one.fields))
                if one.name in self.derived:
                    inner, more = self.named(self.derived[one.name], at)
                    names[f"{shown} ({', '.join(inner)})" if inner else shown] = None
                    origins.update(dict.fromkeys(more))
                elif one.name in self.sources:
                    names[shown] = None
                    origins.update(dict.fromkeys(_flat(_descend(self.sources[one.name], one.fields))))
                elif one.name == "message":
                    names[shown] = None
            elif isinstance(one, nodes.Reference) and one.element is None:
                names[f"ref({one.resource})"] = None
            elif isinstance(one, nodes.AliasOf):
                for known in self._behind(at.aliases[one.alias][0], one.fields):
                    names[".".join((known.name, *one.fields))] = None
                    origins.update(dict.fromkeys(_flat(_descend(known.sources, one.fields))))
        return tuple(names), tuple(origins)

    def _each(self, node: nodes.Expression, at: twin._Frame, count: int) -> list[tuple[Origin, ...]]:
        """Where each of several values came from, where that is known one by one."""
        sources: _Sources = ()
        if isinstance(node, nodes.ItemOf):
            sources = _descend(self.sources.get(node.name, ()), node.fields)
        elif isinstance(node, nodes.AliasOf) and (known := self._behind(at.aliases[node.alias][0], node.fields)):
            sources = _descend(known[0].sources, node.fields)
        return [tuple(_flat(one)) for one in sources] if isinstance(sources, list) and len(sources) == count else []

    def _behind(self, element: Any, fields: tuple[str, ...]) -> list[_Known]:
        """What an alias stands for; a template may stand for several records of one person."""
        if id(element) in self.records:
            return [self.records[id(element)]]
        if not isinstance(element, Mapping):
            return [one for one in self.records.values() if isinstance(one.value, list) and element in one.value][:1]
        if fields and fields[0] not in element:
            return []  # nothing comes from there, and all that has no such field has the same nothing
        wanted = element.get(fields[0]) if fields else element.get("identifiers") or element.get("name")
        key = fields[0] if fields else ("identifiers" if element.get("identifiers") else "name")
        like = [k for k in self.records.values() if isinstance(k.value, dict) and k.value.get(key) is wanted]
        return like or [k for k in self.records.values() if isinstance(k.value, dict) and k.value.get(key) == wanted]

    def write(self, node: nodes.Node, at: twin._Frame, path: str, into: list[Traced]) -> None:
        """Note what a piece of output writes; it is known to be present."""
        match node:
            case nodes.Fixed():
                into.append(Traced(path, node.value, (), (), str(node.span)))
            case nodes.Write():
                value = twin._node(node, at)  # noqa: SLF001
                names, origins = self.named(node.value, at)
                if isinstance(value, list):
                    each = self._each(node.value, at, len(value))
                    for place, one in enumerate(value, 1):
                        own = each[place - 1] if each else origins
                        into.append(Traced(f"{path}[{place}]", one, names, own, str(node.span)))
                else:
                    into.append(Traced(path, value, names, origins, str(node.span)))
            case nodes.BuildWhen():
                self.write(node.body, at, path, into)
            case nodes.BuildCase():
                for condition, body in node.branches:
                    if condition is None or twin._holds(condition, at):  # noqa: SLF001
                        self.write(body, at, path, into)
                        return
            case nodes.BuildList() | nodes.BuildEach():
                self._several(node, at, path, into)
            case nodes.Build():
                base = twin._node(node.base, at) if node.base is not None else {}  # noqa: SLF001
                if node.base is not None and isinstance(base, dict):
                    self.write(node.base, at, path, into)
                for put in node.puts:
                    value = twin._node(put.node, at)  # noqa: SLF001
                    if isinstance(base, dict) and put.key in base:
                        continue  # what is there is never replaced
                    if put.required and isinstance(value, Unknown):
                        names, origins = self.named(put.node, at)
                        element = f"{path}.{'_' if put.primitive else ''}{put.key}{'[1]' if put.many else ''}"
                        into.append(Traced(element, f"unknown: {value.reason}", names, origins, str(put.span)))
                    if isinstance(put.node, nodes.Fixed) or twin._present(put.node, value):  # noqa: SLF001
                        key = put.key if put.choice is None else put.choice(value)
                        many = put.many and not isinstance(put.node, nodes.BuildList | nodes.BuildEach)
                        single = many and not isinstance(value, list)
                        self.write(put.node, at, f"{path}.{key}{'[1]' if single else ''}", into)

    def _several(self, node: nodes.BuildList | nodes.BuildEach, at: twin._Frame, path: str, into: list[Traced]) -> None:
        place = 0
        for body, frame in _entries(node, at):
            value = twin._node(body, frame)  # noqa: SLF001
            if isinstance(value, State) or not twin._present(body, value):  # noqa: SLF001
                continue
            if isinstance(value, list):
                found: list[Traced] = []
                self.write(body, frame, "", found)
                for one in found:
                    number, _, rest = one.element.removeprefix("[").partition("]")
                    shown = f"[{place + int(number)}]{rest}" if number.isdigit() else one.element
                    into.append(replace(one, element=path + shown))
                place += len(value)
            else:
                place += 1
                self.write(body, frame, f"{path}[{place}]", into)


def _entries(node: nodes.BuildList | nodes.BuildEach, at: twin._Frame) -> Iterator[tuple[nodes.Node, twin._Frame]]:
    if isinstance(node, nodes.BuildList):
        yield from ((entry, at) for entry in node.entries)
        return
    over = twin._value(node.value, at)  # noqa: SLF001
    for place, element in enumerate(over or ()):
        yield node.body, replace(at, aliases={**at.aliases, node.alias: (element, place)})


def _descend(sources: _Sources, fields: tuple[str, ...]) -> _Sources:
    for name in fields:
        if isinstance(sources, dict):
            sources = sources.get(name, ())
        elif isinstance(sources, list):
            sources = [_descend(one, (name,)) for one in sources]
    return sources


def _flat(sources: _Sources) -> Iterator[Origin]:
    if isinstance(sources, tuple):
        yield from sources
    else:
        for one in sources.values() if isinstance(sources, dict) else sources:
            yield from _flat(one)


def trace(
    mapping: SupplierMapping,
    message: Message,
    received_at: datetime,
    target: str = "r4",
    carried: Mapping[str, Any] | None = None,
    recorded: Mapping[str, Recorded] | None = None,
) -> list[Traced]:
    """
    Every value that a message gives in a target, in the order of the resources, with where it came from; then the
    items that only the narrative says.

    Args:
        carried: the items that it takes of earlier messages, and where each was `recorded`; what else those said has no
            place here.
    """
    walk = _Walk(mapping, message, derived={one.name: one.value for one in mapping.document.derived})
    walk.bind(mapping.run(message.facts, received_at))
    zone = ZoneInfo(mapping.source.timezone)
    for name, one in (recorded or {}).items():
        walk.take((carried or {})[name], name, Origin(as_recorded(one, zone), "", "an earlier message"))
    if mapping.restricts(walk.items):
        hidden = {name for name, item in mapping.document.items.items() if item.withhold}
        walk.items = {name: MASKED if name in hidden else value for name, value in walk.items.items()}
    run = mapping.run(message.facts, received_at, target)
    items = dict(walk.items)
    mapping.derive(items, run)
    tree, ready = mapping.trees[target], mapping.builds[target]
    written: dict[str, list[Traced]] = {}
    numbers: dict[str, list[str]] = {}
    made: dict[str, Made] = {}
    for resource in tree.resources:
        made[resource.name] = replace(ready.made[resource.name], body=_watched(walk, resource, written, numbers))
    seed = seed_of(mapping.supplier.name, mapping.document.name, mapping.document.identity, items)
    replace(ready, made=made).run(items, run, seed)
    found = [one for lines in written.values() for one in lines]
    read = {name.partition(".")[0].partition("[")[0].partition(" ")[0] for one in found for name in one.items}
    for section in tree.sections:
        for shown in section.fields:
            if shown.name in items and shown.name not in read and not isinstance(items[shown.name], State):
                origins = tuple(dict.fromkeys(_flat(walk.sources.get(shown.name, ()))))
                element = f"Composition.section[{section.heading}].text"
                found.append(Traced(element, items[shown.name], (shown.name,), origins, ""))
    return found


def _watched(
    walk: _Walk, resource: nodes.Resource, written: dict[str, list[Traced]], numbers: dict[str, list[str]]
) -> Callable[..., dict[str, Any]]:
    """The body of a resource that notes what it writes. A template may be built again: the last time counts."""

    def body(items: Any, assembly: Any, run: Run, element: Any, place: int) -> dict[str, Any]:
        at = twin._Frame(run, None, items, assembly, {resource.alias: (element, place)})  # noqa: SLF001
        made: dict[str, Any] = twin._node(resource.body, at)  # noqa: SLF001
        key = f"{resource.name}|{place if resource.kind != 'for' else id(element)}"
        known = numbers.setdefault(resource.type, [])
        if key not in known:
            known.append(key)
        lines: list[Traced] = []
        walk.write(resource.body, at, f"{resource.type}[{known.index(key) + 1}]", lines)
        written[key] = [one for one in lines if not one.element.endswith(".resourceType")]
        return made

    return body
