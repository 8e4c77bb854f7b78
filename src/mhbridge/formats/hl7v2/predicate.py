"""
Predicates made into tests: which segments, and which repetitions of a field, a path takes.

A test of a predicate looks at the first repetition of a field, and says yes to a value or to its first part (see
`Delimiters.says`). `""` is no text, so it equals none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import methodcaller
from typing import Any, TypeAlias

from mhbridge.formats.hl7v2.delimiters import DELETE, Delimiters
from mhbridge.formats.hl7v2.message import Groups, Message, Segment
from mhbridge.formats.hl7v2.path import Predicate, Test
from mhbridge.model.frozen import frozen

__all__ = [
    "EveryNamed",
    "Owned",
    "Reach",
    "RepetitionTest",
    "filtered",
    "inside",
    "repetition_test",
    "repetitions",
    "told",
]

#: cursor → the segments that a name means there, in order.
Reach: TypeAlias = Callable[[Any], Sequence[Segment]]
RepetitionTest: TypeAlias = Callable[[str, Delimiters], bool]


@frozen(frozen=True, slots=True)
class EveryNamed:
    """The reach of all segments of a name, wherever they stand in the message."""

    name: str

    def __call__(self, message: Message) -> Sequence[Segment]:
        """From a message."""
        return message.named(self.name)

    @property
    def straight(self) -> Reach:
        """The same without a step of Python's."""
        return methodcaller("named", self.name)


@dataclass(frozen=True, slots=True)
class Owned:
    """The reach of all segments of a name that a segment owns directly under an outline."""

    groups: Groups
    name: str

    def __call__(self, owner: Segment) -> Sequence[Segment]:
        """From a segment."""
        return owner.message.links(self.groups).owned.get((owner.position, self.name), ())


def filtered(reach: Reach, which: Predicate | None) -> Reach:
    """A reach narrowed to the segments that a predicate takes."""
    if which is None:
        return reach
    if which.position:
        begin, end = which.position - 1, which.position
        return lambda cursor: reach(cursor)[begin:end]
    first, *others = which.tests
    tests = [_segment_test(test) for test in others]
    if isinstance(reach, EveryNamed):
        return _looked_up(reach.name, first, tests)
    if isinstance(reach, Owned) and first.equal:
        return _looked_up_below(reach, first, tests)
    numbers, text, equal = first.numbers, first.text, first.equal

    def chosen(cursor: Any) -> list[Segment]:
        found = [segment for segment in reach(cursor) if (text in told(segment, numbers)) is equal]
        return [segment for segment in found if all(test(segment) for test in tests)] if tests else found

    return chosen


def _looked_up_below(reach: Owned, test: Test, others: list[Callable[[Segment], bool]]) -> Reach:
    """
    The same of the segments that one owns, by an index of them: a medicine asks the notes below it ten times over.
    """
    numbers, text = test.numbers, test.text
    question = id(reach.groups), reach.name, numbers  # outlines live as long as the mapping

    def chosen(owner: Segment) -> Sequence[Segment]:
        key = question, owner.position
        said = owner.message.sayings_below.get(key)
        if said is None:
            said = owner.message.sayings_below[key] = {}
            for segment in reach(owner):
                for one in dict.fromkeys(told(segment, numbers)):
                    said.setdefault(one, []).append(segment)
        found: Sequence[Segment] = said.get(text, ())
        return [segment for segment in found if all(other(segment) for other in others)] if others else found

    return chosen


def _looked_up(name: str, test: Test, others: list[Callable[[Segment], bool]]) -> Reach:
    """
    The same by an index of the message. A letter asks its observations by OBX-3 some eighty times; it is made once.
    """
    key, text, equal = (name, test.numbers), test.text, test.equal

    def chosen(message: Message) -> Sequence[Segment]:
        said = message.sayings.get(key)
        if said is None:
            said = message.sayings[key] = _sayings(message, name, test.numbers)
        found: Sequence[Segment] = said.get(text, ())
        if not equal:
            every = message.named(name)
            positions = {segment.position for segment in found}
            found = [segment for segment in every if segment.position not in positions] if positions else every
        return [segment for segment in found if all(other(segment) for other in others)] if others else found

    return chosen


def _sayings(message: Message, name: str, numbers: tuple[int, ...]) -> dict[str, list[Segment]]:
    said: dict[str, list[Segment]] = {}
    field, parts, limits = numbers[0], numbers[1:], message.delimiters
    repetition, header = limits.repetition, name == "MSH"
    for segment in message.named(name):
        # What `told` gives, without keeping it for each segment.
        fields = segment.fields
        if header:
            texts = told(segment, numbers)
        elif field < len(fields) and (encoded := fields[field]):
            if repetition in encoded:
                encoded = encoded.split(repetition, 1)[0]
            texts = _texts(encoded, limits, parts) if encoded else ()
        else:
            continue
        for text in texts if len(texts) < 2 else dict.fromkeys(texts):
            said.setdefault(text, []).append(segment)
    return said


def told(segment: Segment, numbers: tuple[int, ...]) -> tuple[str, ...]:
    """Every text that a field, or a part of it, says in its first repetition; found once for each message."""
    known = segment.message.told.get(numbers)
    if known is None:
        known = segment.message.told[numbers] = {}
    texts = known.get(segment.position)
    if texts is None:
        field = numbers[0]
        encoded, limits = segment.first(field), segment.delimiters
        texts = ()
        if segment.level(field):
            texts = (encoded,)  # a field that holds the separators themselves says what stands there
        elif encoded:
            texts = _texts(encoded, limits, numbers[1:])
        known[segment.position] = texts
    return texts


@lru_cache(maxsize=4096)
def _texts(encoded: str, limits: Delimiters, parts: tuple[int, ...]) -> tuple[str, ...]:
    # What decides is a vocabulary: the names of a feed's observations, and who issues its identifiers.
    return limits.sayings(inside(encoded, limits, *parts))


def _segment_test(test: Test) -> Callable[[Segment], bool]:
    numbers, text, equal = test.numbers, test.text, test.equal

    def passes(segment: Segment) -> bool:
        return (text in told(segment, numbers)) is equal

    return passes


def repetition_test(which: Predicate | None) -> RepetitionTest | None:
    """The tests of a field's predicate as one; `None` where there is none to make, as of a position."""
    if which is None or which.position:
        return None
    tests = [_part_test(test) for test in which.tests]
    return tests[0] if len(tests) == 1 else lambda encoded, limits: all(test(encoded, limits) for test in tests)


def _part_test(test: Test) -> RepetitionTest:
    text, equal = test.text, test.equal
    component, subcomponent = (*test.numbers, 0)[:2]

    def passes(encoded: str, limits: Delimiters) -> bool:
        # Most do not hold the text at all, and only an escape can stand for it.
        if text not in encoded and limits.escape_character not in encoded:
            return not equal
        return limits.says(inside(encoded, limits, component, subcomponent), text) is equal

    return passes


def inside(encoded: str, limits: Delimiters, component: int = 0, subcomponent: int = 0) -> str:
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


def repetitions(
    segment: Segment, field: int, which: Predicate | None, test: RepetitionTest | None
) -> list[tuple[int, str]]:
    """The repetitions of a field that a predicate chooses, empty ones among them, each with its place from 0."""
    found = list(enumerate(segment.repetitions(field)))
    if which is None:
        return found
    if which.position:
        return found[which.position - 1 : which.position]
    assert test is not None
    limits = segment.delimiters
    return [(place, encoded) for place, encoded in found if test(encoded, limits)]
