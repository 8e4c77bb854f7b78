"""
Paths made into functions: all that a path and its scope decide is decided here, once, and never per message.

What a reader finds is `ABSENT`, `DELETED` or a `Value`. It never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from mhbridge.formats import PathError, Plain, PlainValue, Plan, Scope
from mhbridge.formats.hl7v2.delimiters import DELETE
from mhbridge.formats.hl7v2.message import Segment, Value
from mhbridge.formats.hl7v2.path import Hl7Path
from mhbridge.formats.hl7v2.predicate import EveryNamed, Reach, inside, repetition_test, repetitions
from mhbridge.formats.hl7v2.reach import FieldLoop, taken_segments
from mhbridge.formats.hl7v2.shapes import REPETITIONS
from mhbridge.formats.hl7v2.structure import structure
from mhbridge.model import ABSENT, DELETED

__all__ = ["every_reader", "first_reader", "plain_reader", "plan"]

#: Data types of places and of organisations, of which the same comes again in messages about others.
_COMMON: Final = frozenset({"HD", "PL", "XON"})
#: Places in a field for which a reader is kept.
_PLACES: Final = 256
_LAST_REPETITION: Final = (1 << REPETITIONS) - 1


def first_reader(path: Hl7Path, scope: Scope) -> Callable[[Any], Any]:
    """
    Cursor → the first value of a path: in the first segment that its predicate takes, the first repetition that the
    field's predicate takes, even when nothing is in it.
    """
    planned = plan(path, scope)
    return _relative(path, scope) if planned is None else planned.find


def plan(path: Hl7Path, scope: Scope) -> Plan | None:
    """How the first value of a path is found, by way of its segment; `None` for a path that begins at a repetition."""
    if path.relative:
        return None
    name, reach = taken_segments(path, scope)
    step = path.steps[0]
    row = scope.known.get((step, "row"))
    if row is None:
        row = scope.known[step, "row"] = _row(reach)
    parts: Callable[[str, Segment], list[str] | None] | None = None
    chosen: Callable[[str, Segment], PlainValue | None] | None = None
    if path.which is None:
        parts = _parts(path.component) if _divisible(path) else None
    elif (every := _every_plain(path)) is not None:
        chosen = _first_of(every)
    type_ = structure(scope.source.options.get("version", "")).type_of(name, path.field)
    return Plan((name, step.which), row, path.field, _finder(path, name), parts, chosen, type_ in _COMMON)


def _row(reach: Reach) -> Callable[[Any, int], tuple[Segment | None, Sequence[str]]]:
    """(cursor, width) → the first segment within reach, and its fields (`Plan.row`)."""
    if isinstance(reach, EveryNamed):
        reach = reach.straight

    def row(cursor: Any, width: int) -> tuple[Segment | None, Sequence[str]]:
        found = reach(cursor)
        if not found:
            return None, ("",) * width
        # A sender leaves out the fields behind the last that says something.
        fields = found[0].fields
        lacking = width - len(fields)
        return found[0], fields + [""] * lacking if lacking > 0 else fields

    return row


# What follows is the inner loop of every translation: it splits nothing that it does not need.


def _finder(path: Hl7Path, name: str) -> Callable[[str, Segment], Any]:
    """(A field that is not empty, its segment) → what the path finds in it."""
    number, component, subcomponent, which = path.field, path.component, path.subcomponent, path.which
    if which is None and not (name == "MSH" and number < 3):
        return _part(component, subcomponent) if component else _whole
    test = repetition_test(which)
    if test is not None and not (name == "MSH" and number < 3):

        def passing(field: str, segment: Segment) -> Any:
            limits = segment.delimiters
            for place, encoded in enumerate(field.split(limits.repetition)):
                if test(encoded, limits):
                    return _value(encoded, segment, component, subcomponent, 0, place)
            return ABSENT

        return passing

    def chosen(_field: str, segment: Segment) -> Any:
        for place, encoded in repetitions(segment, number, which, test):
            return _value(encoded, segment, component, subcomponent, segment.level(number), place)
        return ABSENT

    return chosen


@lru_cache(maxsize=_PLACES)
def _part(component: int, subcomponent: int) -> Callable[[str, Segment], Any]:
    """(A field that is not empty, its segment) → what stands at a place in its first repetition."""

    def part(encoded: str, segment: Segment) -> Any:
        limits = segment.delimiters
        if limits.repetition in encoded:
            encoded = encoded.split(limits.repetition, 1)[0]
        if encoded == DELETE:
            return DELETED
        parts = encoded.split(limits.component, component)
        if component > len(parts) or not (encoded := parts[component - 1]).strip(limits.blank):
            return ABSENT
        return DELETED if encoded == DELETE else Value(encoded, segment, 1)

    def deep(encoded: str, segment: Segment) -> Any:
        return _value(encoded.split(segment.delimiters.repetition, 1)[0], segment, component, subcomponent)

    return deep if subcomponent else part


def plain_reader(path: Hl7Path, scope: Scope) -> Plain | None:
    """How the values of a path are found in which only components are told apart."""
    every = None if path.relative else _every_plain(path)
    if every is None:
        return None
    number, component = path.field, path.component
    _, reach = taken_segments(path, scope)
    if isinstance(reach, EveryNamed):
        reach = reach.straight

    def find(cursor: Any) -> list[PlainValue] | None:
        segments = reach(cursor)
        if len(segments) == 1:
            # Nearly always.
            fields = segments[0].fields
            return every(fields[number], segments[0]) if number < len(fields) and fields[number] else []
        found: list[PlainValue] = []
        for segment in segments:
            fields = segment.fields
            if number < len(fields) and (field := fields[number]):
                values = every(field, segment)
                if values is None:
                    return None
                found += values
        return found

    def opened(encoded: str, segment: Segment, place: int) -> Any:
        return _value(encoded, segment, component, 0, 0, place & _LAST_REPETITION)

    return Plain(find, opened)


def _divisible(path: Hl7Path) -> bool:
    """Whether a value of the path may be told by its components. MSH-1 and MSH-2 hold separators."""
    return not path.subcomponent and not (path.steps[0].segment == "MSH" and path.field < 3)


def _every_plain(path: Hl7Path) -> Callable[[str, Segment], list[PlainValue] | None] | None:
    """(A field that is not empty, its segment) → what the path finds in it, where that is plain."""
    which, component = path.which, path.component
    position = which.position if which is not None else 0
    asked = which.tests if which is not None else ()
    if not _divisible(path) or not all(len(test.numbers) == 1 and test.text for test in asked):
        return None
    if which is None and not component:
        return _every_component
    tests = [(test.numbers[0], test.text, test.equal) for test in asked]
    wanted = next((text for _, text, equal in tests if equal), "")

    def find(field: str, segment: Segment) -> list[PlainValue] | None:
        limits = segment.delimiters
        if not segment.plain and not limits.plain(field):
            return None
        found: list[PlainValue] = []
        for place, encoded in enumerate(field.split(limits.repetition)):
            if wanted not in encoded or (position and place != position - 1):
                continue
            parts = encoded.split(limits.component)
            for number, text, equal in tests:
                if (number <= len(parts) and parts[number - 1] == text) is not equal:
                    break  # nothing in it is escaped, so this is what `Delimiters.says` says
            else:
                if component:
                    parts = parts[component - 1 : component]
                if parts and (len(parts) > 1 or parts[0]):
                    found.append((parts, encoded, segment, place))
                elif which is not None:
                    return None  # nothing is in what was chosen, and the first value is none then
        return found

    return find


def _every_component(field: str, segment: Segment) -> list[PlainValue] | None:
    """All repetitions of a field; nothing is chosen among them."""
    limits = segment.delimiters
    if not segment.plain and not limits.plain(field):
        return None
    component, repetition = limits.component, limits.repetition
    if repetition not in field:
        return [(field.split(component), field, segment, 0)]
    return [
        (encoded.split(component), encoded, segment, place)
        for place, encoded in enumerate(field.split(repetition))
        if encoded
    ]


def _first_of(
    every: Callable[[str, Segment], list[PlainValue] | None],
) -> Callable[[str, Segment], PlainValue | None]:
    def first(field: str, segment: Segment) -> PlainValue | None:
        found = every(field, segment)
        return found[0] if found else None

    return first


@lru_cache(maxsize=_PLACES)
def _parts(component: int) -> Callable[[str, Segment], list[str] | None]:
    """(A field that is not empty, its segment) → the components of what a path finds in it (`Plan.parts`)."""

    def part(field: str, segment: Segment) -> list[str] | None:
        limits = segment.delimiters
        if limits.repetition in field or not (segment.plain or limits.plain(field)):
            return None
        parts = field.split(limits.component, component)
        return [parts[component - 1]] if component <= len(parts) else None

    return part if component else _components


def _components(field: str, segment: Segment) -> list[str] | None:
    """The components of the first repetition; `None` where anything else is in the field."""
    limits = segment.delimiters
    if not segment.plain and not limits.plain(field):
        return None
    if limits.repetition in field:
        field = field.split(limits.repetition, 1)[0]
    return field.split(limits.component)


def _whole(encoded: str, segment: Segment) -> Any:
    limits = segment.delimiters
    if limits.repetition in encoded:
        encoded = encoded.split(limits.repetition, 1)[0]
    if not encoded.strip(limits.blank):
        return ABSENT
    return DELETED if encoded == DELETE else Value(encoded, segment, 0)


def every_reader(path: Hl7Path, scope: Scope) -> Callable[[Any], list[Any]]:
    """Cursor → all values of a path in order, deleted ones among them, empty ones left out."""
    component, subcomponent = path.component, path.subcomponent
    if path.relative:
        one = _relative(path, scope)

        def single(cursor: Any) -> list[Any]:
            value = one(cursor)
            return [] if value is ABSENT else [value]

        return single
    name, reach = taken_segments(path, scope)
    number, which = path.field, path.which
    test = repetition_test(which)
    find = _finder(path, name)
    whole = not component and not (name == "MSH" and number < 3)

    def every(cursor: Any) -> list[Any]:
        found: list[Any] = []
        for segment in reach(cursor):
            fields = segment.fields
            if number >= len(fields) or not (field := fields[number]):
                continue
            if which is None and segment.delimiters.repetition not in field:
                if whole and field != DELETE:
                    if field.strip(segment.delimiters.blank):
                        found.append(Value(field, segment, 0))
                elif (value := find(field, segment)) is not ABSENT:
                    found.append(value)
                continue
            for place, encoded in repetitions(segment, number, which, test):
                value = _value(encoded, segment, component, subcomponent, segment.level(number), place)
                if value is not ABSENT:
                    found.append(value)
        return found

    return every


def _relative(path: Hl7Path, scope: Scope) -> Callable[[Any], Any]:
    around = scope.loops[-1] if scope.loops else None
    if not isinstance(around, FieldLoop):
        raise PathError(
            "E206",
            "a path that begins with a dot needs a $each over a field around it",
            width=len(path.text),
            hint=f"in a loop over {around.segment} write {around.segment}-1" if around is not None else "",
        )
    component, subcomponent = path.component, path.subcomponent
    if not component:
        return _again
    return lambda value: _value(value.encoded, value.segment, component, subcomponent, 0, value.repetition)


def _again(value: Value) -> Any:
    """A repetition itself. Each path has its own of it, because conversions note at a value what they used."""
    if value.encoded == DELETE:
        return DELETED
    return Value(value.encoded, value.segment, value.level, value.repetition)


def _value(
    encoded: str, segment: Segment, component: int, subcomponent: int, level: int = 0, repetition: int = 0
) -> Any:
    """What a path finds in one repetition, in one of its states."""
    if component:
        encoded = inside(encoded, segment.delimiters, component, subcomponent)
        level = 2 if subcomponent else 1
    if encoded == DELETE:
        return DELETED
    return Value(encoded, segment, level, repetition) if encoded.strip(segment.delimiters.blank) else ABSENT
