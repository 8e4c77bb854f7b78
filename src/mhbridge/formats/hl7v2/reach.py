"""
Which segments a name means from a place (mapping language §5.1), and what `$each` runs over.

Decided from the outline and the loops around, before any message is read. Inside `$each: S` a name is S itself, a
segment that S directly owns, one that owns S, or the message's; what could be another's is an error and never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mhbridge.formats import PathError, Scope, Source
from mhbridge.formats.hl7v2.message import Message, Segment, Value
from mhbridge.formats.hl7v2.outline import DEFAULTS, Outline, outline
from mhbridge.formats.hl7v2.path import Hl7Path, Predicate, Step
from mhbridge.formats.hl7v2.predicate import (
    EveryNamed,
    Owned,
    Reach,
    RepetitionTest,
    filtered,
    repetition_test,
    repetitions,
)
from mhbridge.formats.hl7v2.structure import check_segment

__all__ = ["FieldLoop", "SegmentLoop", "loop_steps", "make_loop", "not_its_own", "read_segment", "taken_segments"]

#: Segments that a message has once: what is read beside them is the message's own.
_ONCE: Final = frozenset({"MSH", "EVN", "PID", "PD1", "PV1", "PV2", "TXA"})


def _outline_of(source: Source) -> Outline:
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
    test: RepetitionTest | None

    def cursors(self, cursor: Any) -> Iterator[Value]:
        """The repetitions below a cursor, in the order of the message."""
        for segment in self.reach(cursor):
            for place, encoded in repetitions(segment, self.field, self.which, self.test):
                if encoded.strip(segment.delimiters.blank):
                    yield Value(encoded, segment, segment.level(self.field), place)


def make_loop(path: Hl7Path, scope: Scope) -> SegmentLoop | FieldLoop:
    """
    What a `$each` runs over.

    Raises:
        PathError: E205, E206, or E207 for what is not below the loop around it.
    """
    reach: Reach | None = None
    for step, which in loop_steps(path, scope):
        reach = filtered(step, which) if reach is None else _below_each(reach, filtered(step, which))
    assert reach is not None
    name = path.steps[-1].segment
    if path.field:
        return FieldLoop(name, path.field, reach, path.which, repetition_test(path.which))
    return SegmentLoop(name, reach)


def loop_steps(path: Hl7Path, scope: Scope) -> list[tuple[Reach, Predicate | None]]:
    """
    The way down that a loop's path goes: the reach of each step from the place before it, and its predicate.

    Raises:
        PathError: E205, E206 or E207.
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
    tree = _outline_of(scope.source)
    found: list[tuple[Reach, Predicate | None]] = []
    above = around.segment if around is not None else ""
    for step in path.steps:
        check_segment(step.segment, step.at)
        if found:
            reach = _down(tree, above, step)
        elif above == step.segment and path.field and len(path.steps) == 1:
            reach = _self
        else:
            reach = _loop_reach(tree, above, step)
        found.append((reach, step.which))
        above = step.segment
    return found


def _loop_reach(tree: Outline, above: str, step: Step) -> Reach:
    """The segments that a loop's first step means, from the message or from inside a loop over segments."""
    name = step.segment
    if not above:
        return EveryNamed(name) if tree.places(name) == 1 else _owned_by_message(tree, name)
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
    raise PathError("E207", reason, offset=step.at, width=3, hint=hint)


def _down(tree: Outline, above: str, step: Step) -> Reach:
    """The segments of a further step: only those that the step before it owns directly."""
    name = step.segment
    if above not in tree.parents.get(name, ()):
        way = f"go down by name: {tree.way(name)}"
        hint = way if tree.parents.get(name) else f"list it: groups: {{{above}: [{name}]}}"
        raise PathError("E207", f"{above} does not own {name} in the outline", offset=step.at, width=3, hint=hint)
    return _owned(tree, name)


def _below_each(upper: Reach, lower: Reach) -> Reach:
    """The segments of two steps; a position counts below each owner."""

    def reach(cursor: Any) -> list[Segment]:
        return [segment for owner in upper(cursor) for segment in lower(owner)]

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
    found = scope.known.get(name)
    if found is None:
        found = scope.known[name] = _reach(name, scope)
    return name, found


def taken_segments(path: Hl7Path, scope: Scope) -> tuple[str, Reach]:
    """
    The same, narrowed to the segments that its predicate takes. Several ask of each path, and many paths have the same
    predicate, so what is found is kept with the scope.
    """
    name, reach = read_segment(path, scope)
    step = path.steps[0]
    if step.which is None:
        return name, reach
    found = scope.known.get(step)
    if found is None:
        found = scope.known[step] = filtered(reach, step.which)
    return name, found


def not_its_own(path: Hl7Path, scope: Scope) -> PathError | None:
    """
    What is to be said where a path inside a loop reads the message's first segment of a name that usually follows the
    one of the loop: an NTE follows what it is about. Who says by its position which is meant has said so.
    """
    if path.relative or not scope.loops:
        return None
    here, (step, *_) = scope.loops[-1].segment, path.steps
    name = step.segment
    if name == here or here in _ONCE or (step.which is not None and step.which.position):
        return None
    tree = _outline_of(scope.source)
    if here in tree.parents.get(name, ()) or tree.above(name) & {*tree.above(here), here}:
        return None
    if name in tree.above(here) or not (name == "NTE" or any(name in one.get(here, ()) for one in DEFAULTS.values())):
        return None
    hint = f"add it to `groups`: {here}: [{name}]; or say that you mean it: {name}[1]-{path.field}"
    return PathError("E550", f"this is the first {name} of the message, not one of this {here}", hint=hint)


def _reach(name: str, scope: Scope) -> Reach:
    check_segment(name)
    tree = _outline_of(scope.source)
    around = scope.loops[-1] if scope.loops else None
    if around is None:
        # From the message itself: all of them where there is one place, or else only the message's own.
        return EveryNamed(name) if tree.places(name) == 1 else _owned_by_message(tree, name)
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
        reach = EveryNamed(name) if tree.places(name) == 1 else _owned_by_message(tree, name)
        of_message = True
    if isinstance(around, FieldLoop):
        return _from_value(_to_message(reach) if of_message else reach)
    return _to_message(reach) if of_message else reach


def _elsewhere(name: str, message: str, hint: str) -> PathError:
    return PathError("E207", message, width=len(name), hint=hint)


def _self(cursor: Segment) -> tuple[Segment]:
    return (cursor,)


def _owned_by_message(tree: Outline, name: str) -> Reach:
    groups, key = tree.groups, (-1, name)

    def reach(message: Message) -> Sequence[Segment]:
        return message.links(groups).owned.get(key, ())

    return reach


def _owned(tree: Outline, name: str) -> Reach:
    return Owned(tree.groups, name)


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
