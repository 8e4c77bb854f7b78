"""
Which leaves of a message a path of a mapping reads, asks or ignores, for the field ledger. What a leaf is, say `cells`.

This module must never look at what a leaf says, but for the tests of a predicate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from mhbridge.formats import PLACE, PLACE_BITS, STATE_BITS, Asked, Cell, Scope, no_more
from mhbridge.formats.hl7v2.cells import WHOLE, all_of, bit_of, cell_of, field_of
from mhbridge.formats.hl7v2.delimiters import DELETE
from mhbridge.formats.hl7v2.message import Message, Segment, Value
from mhbridge.formats.hl7v2.path import Hl7Path, Predicate
from mhbridge.formats.hl7v2.predicate import EveryNamed, Reach, filtered, inside, repetition_test, repetitions, told
from mhbridge.formats.hl7v2.reach import FieldLoop, loop_steps, read_segment, taken_segments
from mhbridge.formats.hl7v2.shapes import REPETITIONS, WIDTH, leaves_in

__all__ = ["LoopPlaces", "Places", "ignored", "ignoring"]

_PART: Final = (1 << WIDTH) - 1
#: Of one path: which parts of its values gave which masks.
_MOST_PARTS: Final = 256


# --- what a path reads -------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _mask(parts: frozenset[str], component: int, subcomponent: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """The mask of what a conversion reads of a value at a path, and (field, mask) of other fields that it reads."""
    own, others = 0, dict[int, int]()
    for part in parts:
        if part == "*":
            own |= _below(component, subcomponent)
            continue
        field, _, rest = part.rpartition("-")
        numbers = [int(number) for number in (rest if field or "-" in part else part).split(".")]
        if field:
            number, *inner = numbers
            others[number] = others.get(number, 0) | bit_of(*(inner or [1]))
        elif not component:
            own |= bit_of(*numbers)
        elif not subcomponent:
            own |= bit_of(component, numbers[0])
        else:
            own |= bit_of(component, subcomponent)
    return own, tuple(others.items())


def _below(component: int, subcomponent: int) -> int:
    """The mask of all that is at a path."""
    if not component:
        return WHOLE
    return bit_of(component, subcomponent) if subcomponent else _PART << (component - 1) * WIDTH


class Places:
    """What one path of a mapping reads; see `mhbridge.formats.Spot`."""

    __slots__ = (
        "_chosen",
        "_codes",
        "_component",
        "_field",
        "_many",
        "_masks",
        "_name",
        "_reach",
        "_relative",
        "_segment",
        "_subcomponent",
        "_test",
        "_which",
        "asks",
        "everywhere",
        "kind",
        "question",
        "subject",
        "within",
    )

    def __init__(self, path: Hl7Path, scope: Scope, *, many: bool) -> None:
        self._many = many
        self._masks: dict[frozenset[str], tuple[int, tuple[tuple[int, int], ...]]] = {}
        self._codes: dict[frozenset[str], tuple[int, tuple[int, ...]]] = {}
        self._component, self._subcomponent = path.component, path.subcomponent
        self._relative = path.relative
        self._segment: Predicate | None = None
        self._which: Predicate | None = None
        if path.relative:
            around = scope.loops[-1]
            assert isinstance(around, FieldLoop)
            self._field, self._name = around.field, around.segment
            self._reach: Reach = _nothing
            self._chosen: Reach = _nothing
        else:
            self._segment, self._which, self._field = path.steps[0].which, path.which, path.field
            self._name, self._chosen = taken_segments(path, scope)
            self._reach = self._chosen if self._segment is None else read_segment(path, scope)[1]
        self.kind = self._name
        self.asks, self._test = False, None if self._which is None else repetition_test(self._which)
        self.subject = self.question = self.within = None
        self.everywhere: tuple[str, int, int] | None = None
        if self._segment is not None or self._which is not None:
            self._questions(path)

    def _questions(self, path: Hl7Path) -> None:
        """What the predicates of a path look at; most paths have none."""
        inside = _tests(self._which)
        self.asks = inside or _tests(self._segment)
        if not inside and self._segment is not None:
            self.subject = _subject(self._name, self._segment)
            self.question = self.subject if self._many else None
        # Of repetitions, whichever of them it stops at, the question that looks at them all.
        if inside and self._segment is None and not path.relative:
            self.within = _subject(self._name, self._which, self._field)
            self.question = self.within if self._many else None
        self.everywhere = _everywhere(self._reach, self.question)

    def touches(self, parts: frozenset[str]) -> frozenset[Any]:
        """Segment and number of each field that is read."""
        own = self._name, self._field
        _, others = _mask(parts, self._component, self._subcomponent)
        return frozenset((own, *[(self._name, number) for number, _ in others]) if others else (own,))

    def cells(self, raw: Value, parts: frozenset[str]) -> tuple[Cell, ...]:
        """The leaves of a value, and of its companions, that `parts` names."""
        found = self._masks.get(parts)
        if found is None:
            if len(self._masks) >= _MOST_PARTS:
                self._masks.clear()
            found = self._masks[parts] = _mask(parts, self._component, self._subcomponent)
        mask, others = found
        segment = raw.segment
        own = (segment.position << PLACE_BITS | self._field << REPETITIONS | raw.repetition, mask)
        return (own, *((cell_of(segment, number), other) for number, other in others)) if others else (own,)

    def take(self, raw: Value, parts: frozenset[str], into: Sequence[list[int]], state: int) -> None:
        """The same, put together as numbers and added to what is taken of the segment."""
        found = self._codes.get(parts)
        if found is None:
            found = self.codes(parts)
        own, others = found
        taken = into[raw.segment.position]
        taken.append(own | raw.repetition << STATE_BITS | state)
        if others:
            taken += [other | state for other in others]

    def codes(self, parts: frozenset[str]) -> tuple[int, tuple[int, ...]]:
        """What `take` adds of a value in a first repetition, and of its companions, less the state."""
        mask, others = _mask(parts, self._component, self._subcomponent)
        if len(self._codes) >= _MOST_PARTS:
            self._codes.clear()
        found = self._codes[parts] = (
            (mask << PLACE_BITS | self._field << REPETITIONS) << STATE_BITS,
            tuple((other << PLACE_BITS | number << REPETITIONS) << STATE_BITS for number, other in others),
        )
        return found

    def present(self, raw: Value) -> tuple[Cell, ...]:
        """The one leaf that makes a value be there; none where there are several, of which none decides alone."""
        ((cell, reads),) = self.cells(raw, frozenset("*"))
        limits = raw.segment.delimiters
        encoded = raw.segment.repetitions(self._field)[raw.repetition]
        found = leaves_in(encoded, limits.component, limits.subcomponent) & reads
        return ((cell, found),) if found.bit_count() == 1 else ()

    def every(self, cursor: Any, parts: frozenset[str]) -> list[Cell]:
        """The leaves named by `parts` of all values that there are at the path."""
        if self._relative:
            return list(self.cells(cursor, parts))
        mask, others = _mask(parts, self._component, self._subcomponent)
        number, found = self._field, list[Cell]()
        for segment in self._chosen(cursor):
            head = segment.position << PLACE_BITS
            cell = head | number << REPETITIONS
            if self._which is None:
                fields = segment.fields
                if number < len(fields) and (field := fields[number]):
                    last = 0 if segment.level(number) else field.count(segment.delimiters.repetition)
                    found += [(cell | place, mask) for place in range(last + 1)]
            else:
                found += [(cell | place, mask) for place, _ in repetitions(segment, number, self._which, self._test)]
            found += [(head | other << REPETITIONS, read) for other, read in others]
        return found

    def deleted(self, cursor: Any) -> list[Cell]:
        """The leaves that say `""` at the path: all of them, in order."""
        found: list[Cell] = []
        for raw in self._values(cursor):
            encoded, cell = raw.encoded, cell_of(raw.segment, self._field, raw.repetition)
            if encoded == DELETE:
                found.append((cell, bit_of(1)))
            elif self._component:
                part = inside(encoded, raw.segment.delimiters, self._component)
                if part == DELETE:
                    found.append((cell, bit_of(self._component)))
                elif (
                    self._subcomponent
                    and inside(encoded, raw.segment.delimiters, self._component, self._subcomponent) == DELETE
                ):
                    found.append((cell, bit_of(self._component, self._subcomponent)))
        return found

    def asked(self, cursor: Any) -> list[Asked]:
        """The leaves that the predicates of the path look at, each with whether it said yes."""
        found: list[Asked] = []
        segments = list(self._reach(cursor))
        if _tests(self._segment):
            found += _asked_of_segments(segments, self._segment, many=self._many)
        if _tests(self._which):
            chosen = list(self._chosen(cursor))
            for segment in chosen if self._many else chosen[:1]:
                found += _asked_of_repetitions(segment, self._field, self._which, many=self._many)
        return found

    def questioned(self, cursor: Any) -> list[Cell]:
        """The leaves that the one test of the path looks at, whatever it finds there (`question`)."""
        assert self.question is not None
        _, field, mask, inside = self.question
        return _questioned(self._reach(cursor), field, mask, inside=inside)

    def _values(self, cursor: Any) -> Iterator[Value]:
        if self._relative:
            yield cursor
            return
        for segment in self._chosen(cursor):
            for place, encoded in repetitions(segment, self._field, self._which, self._test):
                yield Value(encoded, segment, segment.level(self._field), place)


class LoopPlaces:
    """What the predicates of a `$each` look at."""

    __slots__ = ("_field", "_steps", "_which", "asks", "everywhere", "kind", "question", "subject", "within")

    def __init__(self, path: Hl7Path, scope: Scope) -> None:
        self._steps = loop_steps(path, scope)
        self._field, self._which = path.field, path.which
        self.asks = _tests(self._which) or any(_tests(which) for _, which in self._steps)
        self.kind = path.steps[0].segment
        alone = len(self._steps) == 1 and not _tests(self._which)
        self.question = self.subject = _subject(path.steps[0].segment, path.steps[0].which) if alone else None
        self.within = None
        self.everywhere = _everywhere(self._steps[0][0], self.question)

    def questioned(self, cursor: Any) -> list[Cell]:
        """The leaves that the one test of the loop looks at, whatever it finds there (`question`)."""
        assert self.question is not None
        _, field, mask, inside = self.question
        return _questioned(self._steps[0][0](cursor), field, mask, inside=inside)

    def asked(self, cursor: Any) -> list[Asked]:
        """The leaves that the predicates of the loop look at, each with whether it said yes."""
        found: list[Asked] = []
        cursors: list[Any] = [cursor]
        for reach, which in self._steps:
            inner: list[Any] = []
            for one in cursors:
                segments = list(reach(one))
                if _tests(which):
                    found += _asked_of_segments(segments, which, many=True)
                inner += filtered(lambda _, segments=segments: segments, which)(None)  # type: ignore[misc]
            cursors = inner
        if _tests(self._which):
            for segment in cursors:
                found += _asked_of_repetitions(segment, self._field, self._which, many=True)
        return found


def _nothing(_cursor: Any) -> tuple[Segment, ...]:
    return ()


def _tests(which: Predicate | None) -> bool:
    return which is not None and bool(which.tests)


def _subject(name: str, which: Predicate | None, field: int = 0) -> Any:
    """
    What a predicate that tests one place looks at: name, field, mask, and whether in every repetition. Such predicates
    look at the same leaves, whatever they want to see there.

    Args:
        field: whose repetitions it is about; 0: it is about segments.
    """
    if which is None or len(which.tests) != 1:
        return None
    numbers = which.tests[0].numbers
    if field:
        return name, field, bit_of(*numbers), True
    number, *parts = numbers
    return name, number, bit_of(*(parts or [1])), False


def _everywhere(reach: Reach, question: Any) -> tuple[str, int, int] | None:
    """What a question about all segments of a name, or of the repetitions in them, looks at."""
    if question is None or not isinstance(reach, EveryNamed):
        return None
    name, field, mask, inside = question
    place = field << REPETITIONS
    return name, all_of(place) if inside else place, mask


def _questioned(segments: Iterable[Segment], field: int, mask: int, *, inside: bool) -> list[Cell]:
    return [
        (cell_of(segment, field, place), mask)
        for segment in segments
        for place in range(len(segment.repetitions(field)) if inside else 1)
    ]


def _asked_of_segments(segments: Iterable[Segment], which: Predicate | None, *, many: bool) -> Iterator[Asked]:
    assert which is not None
    for segment in segments:
        said = False
        for test in which.tests:
            field, *parts = test.numbers
            said = (test.text in told(segment, test.numbers)) is test.equal
            yield cell_of(segment, field), bit_of(*(parts or [1])), said
            if not said:
                break  # the tests behind it are not asked
        if said and not many:
            return  # the first is taken, whatever the others say


def _asked_of_repetitions(segment: Segment, field: int, which: Predicate | None, *, many: bool) -> Iterator[Asked]:
    assert which is not None
    limits = segment.delimiters
    for place, encoded in enumerate(segment.repetitions(field)):
        said = False
        for test in which.tests:
            said = limits.says(inside(encoded, limits, *test.numbers), test.text) is test.equal
            yield cell_of(segment, field, place), bit_of(*test.numbers), said
            if not said:
                break
        if said and not many:
            return


# --- what is ignored ---------------------------------------------------------------------------------------


class _Ignored:
    """The leaves that one entry of `ignore:` names: of a segment, a field, a component, wherever it stands."""

    __slots__ = ("_chosen", "path")

    def __init__(self, path: Hl7Path) -> None:
        self.path = path
        step = path.steps[-1]
        self._chosen = filtered(EveryNamed(step.segment), step.which)

    def __call__(self, message: Message) -> Iterator[Cell]:
        """Its leaves in a message."""
        path = self.path
        test = repetition_test(path.which)
        for segment in self._chosen(message):
            for number in (path.field,) if path.field else range(1, len(segment.fields)):
                for place, _ in repetitions(segment, number, path.which, test):
                    yield cell_of(segment, number, place), _below(path.component, path.subcomponent)

    def among(self, message: Message, cells: Iterable[Cell]) -> Iterator[Cell]:
        """The same, as far as it is in these cells; quicker where segments are told apart, not repetitions."""
        path = self.path
        if path.which is not None:
            yield from self(message)
            return
        field, mask = path.field, _below(path.component, path.subcomponent)
        chosen = {segment.position for segment in self._chosen(message)}
        for cell, _ in cells:
            if cell >> PLACE_BITS in chosen and (not field or field_of(cell & PLACE) == field):
                yield cell, mask


def ignoring(
    paths: Sequence[Hl7Path],
) -> tuple[Callable[[str, int], int], Callable[[Message, Sequence[Cell]], Iterable[Cell]]]:
    """
    What all entries of `ignore:` name: (segment's name, place in it) → mask; and (message, cells) → those cells that
    the others name.

    Nearly all entries name a segment, a field or a component, and are looked up; the others have predicates.
    """
    whole: set[str] = set()
    fields: dict[tuple[str, int], int] = {}
    others: list[_Ignored] = []
    for path in paths:
        step = path.steps[-1]
        if step.which is not None or path.which is not None:
            others.append(_Ignored(path))
        elif not path.field:
            whole.add(step.segment)
        else:
            key = (step.segment, path.field)
            fields[key] = fields.get(key, 0) | _below(path.component, path.subcomponent)

    def everywhere(name: str, place: int) -> int:
        return WHOLE if name in whole else fields.get((name, place >> REPETITIONS), 0)

    def here(message: Message, cells: Sequence[Cell]) -> Iterator[Cell]:
        for other in others:
            yield from other.among(message, cells)

    return everywhere, here if others else no_more


def ignored(path: Hl7Path) -> _Ignored:
    """What an entry of `ignore:` names, wherever in the message its segment stands."""
    return _Ignored(path)
