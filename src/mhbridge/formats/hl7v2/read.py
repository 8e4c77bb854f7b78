"""
Paths made into functions: all that a path and its scope decide is decided here, once, and never per message.

A reader has two halves. *Reach* gives the segments that a name means from a cursor, by the outline (mapping language
§5.1); *take* finds the value in them. What is found is `ABSENT`, `DELETED` or a `Value`; a reader never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, TypeAlias

from mhbridge.formats import PathError, Scope, Source
from mhbridge.formats.hl7v2.delimiters import DELETE, Delimiters
from mhbridge.formats.hl7v2.message import Message, Segment, Value
from mhbridge.formats.hl7v2.outline import Outline, outline
from mhbridge.formats.hl7v2.path import Hl7Path, Predicate, Step, Test
from mhbridge.formats.hl7v2.structure import check_segment
from mhbridge.model import ABSENT, DELETED

__all__ = ["FieldLoop", "SegmentLoop", "every_reader", "first_reader", "make_loop", "read_segment", "source_outline"]

Reach: TypeAlias = Callable[[Any], Sequence[Segment]]
_SegmentTest: TypeAlias = Callable[[Segment], bool]
_RepetitionTest: TypeAlias = Callable[[str, Delimiters], bool]


def source_outline(source: Source) -> Outline:
    """The outline that a source declares, or that its messages bring."""
    groups = source.options.get("groups")
    return outline(tuple(source.options.get("messages", ())), None if groups is None else tuple(sorted(groups.items())))


# --- loops -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SegmentLoop:
    """`$each` over segments. The cursor inside is a `Segment`."""

    segment: str
    reach: Reach

    def cursors(self, cursor: Any) -> Iterator[Segment]:
        """The segments below a cursor, in the order of the message."""
        yield from self.reach(cursor)


@dataclass(frozen=True, slots=True)
class FieldLoop:
    """
    `$each` over the repetitions of a field. The cursor inside is a `Value`; a deleted repetition is one, an empty one
    is none.
    """

    segment: str
    field: int
    reach: Reach
    which: Predicate | None

    def cursors(self, cursor: Any) -> Iterator[Value]:
        """The repetitions below a cursor, in the order of the message."""
        test = _repetition_test(self.which)
        for segment in self.reach(cursor):
            for encoded in _repetitions(segment, self.field, self.which, test):
                if encoded.strip(segment.delimiters.blank):
                    yield Value(encoded, segment, segment.level(self.field))


def make_loop(path: Hl7Path, scope: Scope) -> SegmentLoop | FieldLoop:
    """
    What a `$each` runs over.

    Raises:
        PathError: E205, E206, or E207 for what is not below the loop around it.
    """
    if path.relative:
        raise PathError("E206", "a loop runs over segments or a field, not over the place of the loop around it")
    around = scope.loops[-1] if scope.loops else None
    if isinstance(around, FieldLoop):
        raise PathError(
            "E207",
            f"nothing of {path.text} is below a repetition of {around.segment}-{around.field}",
            width=len(path.text),
            hint="write the two loops one after the other",
        )
    tree = source_outline(scope.source)
    offset = 0
    reach: Reach | None = None
    above = around.segment if around is not None else ""
    for step in path.steps:
        check_segment(step.segment, offset)
        if reach is not None:
            reach = _down(tree, reach, above, step, offset)
        elif above == step.segment and path.field and len(path.steps) == 1:
            reach = _filtered(_self, step.which)
        else:
            reach = _filtered(_loop_reach(tree, above, step, offset), step.which)
        above = step.segment
        offset += len(step.segment) + 1
    assert reach is not None
    if path.field:
        return FieldLoop(above, path.field, reach, path.which)
    return SegmentLoop(above, reach)


def _loop_reach(tree: Outline, above: str, step: Step, offset: int) -> Reach:
    """The segments that a loop's first step means, from the message or from inside a loop over segments."""
    name = step.segment
    if not above:
        return _all(name) if tree.places(name) == 1 else _owned_by_message(tree, name)
    if above in tree.parents.get(name, ()):
        return _owned(tree, name)
    if above in tree.above(name) and tree.places(name) == 1:
        return _below(tree, name)
    reason = f"{name} is not below {above} in the outline"
    if above == name:
        hint = f"this loop is already over {name}"
    elif above in tree.above(name):
        reason = f"{name} has several places below {above}"
        hint = f"go down by name: {tree.way(name, above)}"
    else:
        hint = f"bind it outside this loop, or list it: groups: {{{above}: [{name}]}}"
    raise PathError("E207", reason, offset=offset, width=3, hint=hint)


def _down(tree: Outline, upper: Reach, above: str, step: Step, offset: int) -> Reach:
    """The segments of a further step: only those that the step before it owns directly."""
    name = step.segment
    if above not in tree.parents.get(name, ()):
        raise PathError(
            "E207",
            f"{above} does not own {name} in the outline",
            offset=offset,
            width=3,
            hint=f"go down by name: {tree.way(name)}"
            if tree.parents.get(name)
            else f"list it: groups: {{{above}: [{name}]}}",
        )
    owned = _filtered(_owned(tree, name), step.which)  # a position counts below each owner

    def reach(cursor: Any) -> list[Segment]:
        return [segment for owner in upper(cursor) for segment in owned(owner)]

    return reach


# --- reach -------------------------------------------------------------------------------------------------


def read_segment(path: Hl7Path, scope: Scope) -> tuple[str, Reach]:
    """
    The name of the segment that an absolute path reads, and its reach. Decided from the outline (§5.1): inside
    `$each: S` a name is S itself, a segment that S directly owns, one that owns S, or the message's.

    Raises:
        PathError: E205, or E207 for a segment that stands below or beside S, where it could be another's.
    """
    name = path.steps[0].segment
    check_segment(name)
    tree = source_outline(scope.source)
    around = scope.loops[-1] if scope.loops else None
    if around is None:
        # From the message itself: all of them where there is one place, or else only the message's own.
        return name, _all(name) if tree.places(name) == 1 else _owned_by_message(tree, name)
    here = around.segment
    of_message = False
    if name == here:
        reach: Reach = _self
    elif here in tree.parents.get(name, ()):
        reach = _owned(tree, name)
    elif name in tree.above(here):
        reach = _owner(tree, name)
    elif here in tree.above(name):
        raise _elsewhere(name, f"{name} is not directly below {here}", f"$each: {tree.way(name, here)}")
    elif shared := tree.above(name) & tree.above(here):
        # Beside it: the first SPM of the message need not be the one of this OBX's order.
        owner = min(shared)
        raise _elsewhere(name, f"{name} belongs to {owner}, beside {here}", f"bind it on the record of {owner}")
    else:
        reach = _all(name) if tree.places(name) == 1 else _owned_by_message(tree, name)
        of_message = True
    if isinstance(around, FieldLoop):
        return name, _from_value(_to_message(reach) if of_message else reach)
    return name, _to_message(reach) if of_message else reach


def _elsewhere(name: str, message: str, hint: str) -> PathError:
    return PathError("E207", message, width=len(name), hint=hint)


def _self(cursor: Segment) -> tuple[Segment]:
    return (cursor,)


def _all(name: str) -> Reach:
    return methodcaller("named", name)


def _owned_by_message(tree: Outline, name: str) -> Reach:
    groups, key = tree.groups, (-1, name)

    def reach(message: Message) -> Sequence[Segment]:
        return message.links(groups).owned.get(key, ())

    return reach


def _owned(tree: Outline, name: str) -> Reach:
    groups = tree.groups

    def reach(segment: Segment) -> Sequence[Segment]:
        return segment.message.links(groups).owned.get((segment.position, name), ())

    return reach


def _owner(tree: Outline, name: str) -> Reach:
    groups = tree.groups

    def reach(segment: Segment) -> Sequence[Segment]:
        links = segment.message.links(groups)
        at = links.owners[segment.position]
        while at >= 0:
            if (owner := links.segments[at]).name == name:
                return (owner,)
            at = links.owners[at]
        return ()

    return reach


def _below(tree: Outline, name: str) -> Reach:
    groups = tree.groups

    def reach(segment: Segment) -> list[Segment]:
        links = segment.message.links(groups)
        found = []
        for candidate in segment.message.named(name):
            at = links.owners[candidate.position]
            while at > segment.position:  # an owner always stands before what it owns
                at = links.owners[at]
            if at == segment.position:
                found.append(candidate)
        return found

    return reach


def _to_message(reach: Reach) -> Reach:
    return lambda segment: reach(segment.message)


def _from_value(reach: Reach) -> Reach:
    return lambda value: reach(value.segment)


# --- predicates --------------------------------------------------------------------------------------------


def _filtered(reach: Reach, which: Predicate | None) -> Reach:
    if which is None:
        return reach
    if which.position:
        begin, end = which.position - 1, which.position
        return lambda cursor: reach(cursor)[begin:end]
    tests = [_segment_test(test) for test in which.tests]

    def chosen(cursor: Any) -> list[Segment]:
        return [segment for segment in reach(cursor) if all(test(segment) for test in tests)]

    return chosen


def _segment_test(test: Test) -> _SegmentTest:
    field, *inside = test.numbers

    def passes(segment: Segment) -> bool:
        level, encoded = segment.level(field), segment.first(field)
        if level:
            return (encoded == test.text) is test.equal
        limits = segment.delimiters
        return limits.says(_inside(encoded, limits, *inside), test.text) is test.equal

    return passes


def _repetition_test(which: Predicate | None) -> _RepetitionTest | None:
    if which is None or which.position:
        return None
    tests = [_part_test(test) for test in which.tests]
    return tests[0] if len(tests) == 1 else lambda encoded, limits: all(test(encoded, limits) for test in tests)


def _part_test(test: Test) -> _RepetitionTest:
    text, equal = test.text, test.equal
    component, subcomponent = (*test.numbers, 0)[:2]

    def passes(encoded: str, limits: Delimiters) -> bool:
        return limits.says(_inside(encoded, limits, component, subcomponent), text) is equal

    return passes


def _inside(encoded: str, limits: Delimiters, component: int = 0, subcomponent: int = 0) -> str:
    """A component or subcomponent of an encoded repetition; `""` stands for all that is inside it."""
    if not component or encoded == DELETE:
        return encoded
    parts = encoded.split(limits.component)
    if component > len(parts):
        return ""
    encoded = parts[component - 1]
    if not subcomponent or encoded == DELETE:
        return encoded
    parts = encoded.split(limits.subcomponent)
    return parts[subcomponent - 1] if subcomponent <= len(parts) else ""


def _repetitions(segment: Segment, field: int, which: Predicate | None, test: _RepetitionTest | None) -> list[str]:
    """The repetitions of a field that a predicate chooses, empty ones among them."""
    found = segment.repetitions(field)
    if which is None:
        return found
    if which.position:
        return found[which.position - 1 : which.position]
    assert test is not None
    limits = segment.delimiters
    return [encoded for encoded in found if test(encoded, limits)]


# --- readers -----------------------------------------------------------------------------------------------


def first_reader(path: Hl7Path, scope: Scope) -> Callable[[Any], Any]:
    """
    Cursor → the first value of a path: in the first segment that its predicate takes, the first repetition that the
    field's predicate takes, even when nothing is in it.
    """
    component, subcomponent = path.component, path.subcomponent
    if path.relative:
        return _relative(path, scope)
    name, reach = read_segment(path, scope)
    reach = _filtered(reach, path.steps[0].which)
    number, which = path.field, path.which
    if which is not None or (name == "MSH" and number < 3):
        test = _repetition_test(which)

        def chosen(cursor: Any) -> Any:
            found = reach(cursor)
            if not found:
                return ABSENT
            segment = found[0]
            for encoded in _repetitions(segment, number, which, test):
                return _value(encoded, segment, component, subcomponent, segment.level(number))
            return ABSENT

        return chosen

    # What follows is the inner loop of every translation: it splits nothing that it does not need.
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
    reach = _filtered(reach, path.steps[0].which)
    number, which = path.field, path.which
    test = _repetition_test(which)

    def every(cursor: Any) -> list[Any]:
        found = []
        for segment in reach(cursor):
            for encoded in _repetitions(segment, number, which, test):
                value = _value(encoded, segment, component, subcomponent, segment.level(number))
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
    return lambda value: _value(value.encoded, value.segment, component, subcomponent)


def _value(encoded: str, segment: Segment, component: int, subcomponent: int, level: int = 0) -> Any:
    """What a path finds in one repetition, in one of its states."""
    if component:
        encoded = _inside(encoded, segment.delimiters, component, subcomponent)
        level = 2 if subcomponent else 1
    if encoded == DELETE:
        return DELETED
    return Value(encoded, segment, level) if encoded.strip(segment.delimiters.blank) else ABSENT
