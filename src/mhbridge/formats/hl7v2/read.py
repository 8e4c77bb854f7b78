"""
Paths made into functions: all that a path and its scope decide is decided here, once, and never per message.

What a reader finds is `ABSENT`, `DELETED` or a `Value`. It never raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mhbridge.formats import PathError, Scope
from mhbridge.formats.hl7v2.delimiters import DELETE
from mhbridge.formats.hl7v2.message import Segment, Value
from mhbridge.formats.hl7v2.path import Hl7Path
from mhbridge.formats.hl7v2.predicate import EveryNamed, filtered, inside, repetition_test, repetitions
from mhbridge.formats.hl7v2.reach import FieldLoop, read_segment
from mhbridge.model import ABSENT, DELETED

__all__ = ["every_reader", "first_reader"]


def first_reader(path: Hl7Path, scope: Scope) -> Callable[[Any], Any]:
    """
    Cursor → the first value of a path: in the first segment that its predicate takes, the first repetition that the
    field's predicate takes, even when nothing is in it.
    """
    component, subcomponent = path.component, path.subcomponent
    if path.relative:
        return _relative(path, scope)
    name, reach = read_segment(path, scope)
    reach = filtered(reach, path.steps[0].which)
    number, which = path.field, path.which
    if which is not None or (name == "MSH" and number < 3):
        test = repetition_test(which)

        def chosen(cursor: Any) -> Any:
            found = reach(cursor)
            if not found:
                return ABSENT
            segment = found[0]
            for place, encoded in repetitions(segment, number, which, test):
                return _value(encoded, segment, component, subcomponent, segment.level(number), place)
            return ABSENT

        return chosen

    # What follows is the inner loop of every translation: it splits nothing that it does not need.
    if isinstance(reach, EveryNamed) and not component:

        def of_message(message: Any) -> Any:
            found = message.named(name)
            if not found:
                return ABSENT
            segment = found[0]
            fields = segment.fields
            if number >= len(fields) or not (encoded := fields[number]):
                return ABSENT
            limits = segment.delimiters
            if limits.repetition in encoded:
                encoded = encoded.split(limits.repetition, 1)[0]
            if not encoded.strip(limits.blank):
                return ABSENT
            return DELETED if encoded == DELETE else Value(encoded, segment, 0)

        return of_message

    def plain(cursor: Any) -> Any:
        found = reach(cursor)
        if not found:
            return ABSENT
        segment = found[0]
        fields = segment.fields
        if number >= len(fields) or not (encoded := fields[number]):
            return ABSENT
        limits = segment.delimiters
        if limits.repetition in encoded:
            encoded = encoded.split(limits.repetition, 1)[0]
        if not encoded.strip(limits.blank):
            return ABSENT
        return DELETED if encoded == DELETE else Value(encoded, segment, 0)

    def part(cursor: Any) -> Any:
        found = reach(cursor)
        if not found:
            return ABSENT
        segment = found[0]
        fields = segment.fields
        if number >= len(fields) or not (encoded := fields[number]):
            return ABSENT
        limits = segment.delimiters
        if limits.repetition in encoded:
            encoded = encoded.split(limits.repetition, 1)[0]
        if encoded == DELETE:
            return DELETED
        parts = encoded.split(limits.component)
        if component > len(parts) or not (encoded := parts[component - 1]).strip(limits.blank):
            return ABSENT
        return DELETED if encoded == DELETE else Value(encoded, segment, 1)

    if not component:
        return plain
    if not subcomponent:
        return part

    def deep(cursor: Any) -> Any:
        found = reach(cursor)
        return _value(found[0].first(number), found[0], component, subcomponent) if found else ABSENT

    return deep


def every_reader(path: Hl7Path, scope: Scope) -> Callable[[Any], list[Any]]:
    """Cursor → all values of a path in order, deleted ones among them, empty ones left out."""
    component, subcomponent = path.component, path.subcomponent
    if path.relative:
        one = _relative(path, scope)

        def single(cursor: Any) -> list[Any]:
            value = one(cursor)
            return [] if value is ABSENT else [value]

        return single
    _, reach = read_segment(path, scope)
    reach = filtered(reach, path.steps[0].which)
    number, which = path.field, path.which
    test = repetition_test(which)

    def every(cursor: Any) -> list[Any]:
        found = []
        for segment in reach(cursor):
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
        return lambda value: DELETED if value.encoded == DELETE else value
    return lambda value: _value(value.encoded, value.segment, component, subcomponent, 0, value.repetition)


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
