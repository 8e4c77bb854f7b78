"""
Where things are in a message, for the field ledger: every populated leaf, and which of them a path reads.

A *cell* is one repetition of one field, as a number: position of the segment, field, repetition. The leaves inside it
are the bits of a mask: sixteen subcomponents for each component. A leaf is populated when it holds more than blanks;
`""` does. This module must never look at what a leaf says, but for the tests of a predicate and for the header fields
that decide how the message itself is read and answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from mhbridge.formats import Asked, Cell, Scope
from mhbridge.formats.hl7v2.delimiters import DELETE, Delimiters
from mhbridge.formats.hl7v2.message import Message, Segment, Value
from mhbridge.formats.hl7v2.path import Hl7Path, Predicate
from mhbridge.formats.hl7v2.predicate import EveryNamed, Reach, filtered, inside, repetition_test, repetitions, told
from mhbridge.formats.hl7v2.reach import FieldLoop, loop_steps, read_segment
from mhbridge.formats.hl7v2.structure import structure

__all__ = [
    "LoopPlaces",
    "Places",
    "altered",
    "ignored",
    "ignoring",
    "leaf_text",
    "path_of",
    "populated",
    "structural",
    "touched",
]

#: Bits of a mask for one component.
_WIDTH: Final = 16
_WHOLE: Final = -1
_PART: Final = (1 << _WIDTH) - 1
_REPETITIONS: Final = 10
_FIELDS: Final = 10


def cell_of(segment: Segment, field: int, repetition: int = 0) -> int:
    """The number of a cell. A message has at most a thousand repetitions of a field and a thousand fields."""
    return (segment.position << _FIELDS | field) << _REPETITIONS | repetition


def _bit(component: int, subcomponent: int = 1) -> int:
    # Beyond the sixteenth subcomponent they share a bit: no data type has as many, a text may.
    return 1 << ((component - 1) * _WIDTH + min(subcomponent, _WIDTH) - 1)


# --- all that is there -------------------------------------------------------------------------------------


def populated(message: Message) -> list[Cell]:
    """Every cell in which something is, with the mask of its populated leaves, segment by segment."""
    limits = message.delimiters
    repetition = limits.repetition
    component, subcomponent = limits.component, limits.subcomponent
    found: list[Cell] = []
    for segment in message.segments():
        head = segment.position << _FIELDS
        header = segment.name == "MSH"
        for number, field in enumerate(segment.fields):
            if not field or not number:
                continue
            cell = (head | number) << _REPETITIONS
            if component not in field and repetition not in field and subcomponent not in field:
                if not field.isspace():
                    found.append((cell, 1))
            elif header and number < 3:
                found.append((cell, 1))
            elif repetition not in field:
                if mask := leaves_in(field, limits):
                    found.append((cell, mask))
            else:
                for place, encoded in enumerate(field.split(repetition)):
                    if mask := leaves_in(encoded, limits):
                        found.append((cell | place, mask))
    return found


def leaves_in(encoded: str, limits: Delimiters) -> int:
    """The mask of what is populated in one repetition."""
    if limits.component not in encoded and limits.subcomponent not in encoded:
        return 1 if encoded and not encoded.isspace() else 0
    mask, shift, subcomponent = 0, 0, limits.subcomponent
    for part in encoded.split(limits.component):
        if part and not part.isspace():
            if subcomponent in part:
                for number, sub in enumerate(part.split(subcomponent)):
                    if sub and not sub.isspace():
                        mask |= 1 << shift + min(number, _WIDTH - 1)
            else:
                mask |= 1 << shift
        shift += _WIDTH
    return mask


def path_of(message: Message, cell: int, bit: int, version: str, *, exact: bool) -> str:
    """
    The path of one leaf: `PID-3[2].4`, or with `exact=False` the path of all leaves like it: `PID-3.4`.

    Args:
        bit: the number of its bit in the mask.
    """
    repetition = cell & (1 << _REPETITIONS) - 1
    number = cell >> _REPETITIONS & (1 << _FIELDS) - 1
    position = cell >> _REPETITIONS + _FIELDS
    name, place, alone = message.place_of(position)
    segment = message.named(name)[place]
    subs = _has_subs(segment, number, repetition, bit // _WIDTH + 1) if exact else bit % _WIDTH > 0
    return _said(
        name, 0 if alone or not exact else place + 1, number,
        repetition + 1 if exact and len(segment.repetitions(number)) > 1 else 0,
        bit, version, bool(segment.level(number)), _has_parts(segment, number), subs,
    )  # fmt: skip


@lru_cache(maxsize=1 << 14)
def _said(
    name: str, place: int, number: int, repetition: int, bit: int, version: str, literal: bool, parts: bool, subs: bool
) -> str:
    said = f"{name}[{place}]-{number}" if place else f"{name}-{number}"
    if repetition:
        said += f"[{repetition}]"
    if literal:
        return said
    component, subcomponent = bit // _WIDTH + 1, bit % _WIDTH + 1
    table = structure(version)
    if component > 1 or subcomponent > 1 or parts or table.type_of(name, number) in table.types:
        said += f".{component}"
        if subcomponent > 1 or subs:
            said += f".{subcomponent}"
    return said


def touched(message: Message, cell: int) -> tuple[str, int]:
    """The segment's name and the number of the field: what all cells have in common that a path may read."""
    return message.name_at(cell >> _REPETITIONS + _FIELDS), cell >> _REPETITIONS & (1 << _FIELDS) - 1


def leaf_text(message: Message, cell: int, bit: int) -> str:
    """What one leaf says, encoded."""
    name, place, _ = message.place_of(cell >> _REPETITIONS + _FIELDS)
    segment, number = message.named(name)[place], cell >> _REPETITIONS & (1 << _FIELDS) - 1
    encoded = segment.repetitions(number)[cell & (1 << _REPETITIONS) - 1]
    if segment.level(number):
        return encoded
    limits = message.delimiters
    return encoded.split(limits.component)[bit // _WIDTH].split(limits.subcomponent)[bit % _WIDTH]


def altered(message: Message, cell: int, bit: int, encoded: str) -> bytes:
    """The bytes of a message with one leaf replaced by other encoded text."""
    repetition = cell & (1 << _REPETITIONS) - 1
    number = cell >> _REPETITIONS & (1 << _FIELDS) - 1
    position = cell >> _REPETITIONS + _FIELDS
    limits = message.delimiters
    lines = message.lines()
    name, place, _ = message.place_of(position)
    segment = message.named(name)[place]
    fields = list(segment.fields)
    if segment.level(number):
        fields[number] = encoded
    else:
        values = fields[number].split(limits.repetition)
        parts = values[repetition].split(limits.component)
        subs = parts[bit // _WIDTH].split(limits.subcomponent)
        subs[bit % _WIDTH] = encoded
        parts[bit // _WIDTH] = limits.subcomponent.join(subs)
        values[repetition] = limits.component.join(parts)
        fields[number] = limits.repetition.join(values)
    if name == "MSH":
        lines[position] = "MSH" + fields[1] + limits.field.join(fields[2:])
    else:
        lines[position] = limits.field.join(fields)
    codec = limits.codec
    mark = "\ufeff" if codec.startswith(("utf-16", "utf-32")) else ""
    return (mark + "\r".join(lines) + "\r").encode(codec, "replace")


def _has_parts(segment: Segment, number: int) -> bool:
    return segment.delimiters.component in segment.fields[number]


def _has_subs(segment: Segment, number: int, repetition: int, component: int) -> bool:
    encoded = segment.repetitions(number)[repetition]
    return segment.delimiters.subcomponent in inside(encoded, segment.delimiters, component)


#: MSH-3 to MSH-6 and MSH-10 go back in the answer, and MSH-15 decides about it, as they stand.
_AS_IT_STANDS: Final = (3, 4, 5, 6, 10, 15)
#: What is acted upon of every header, which is the first segment. MSH-7 puts the messages of a patient in order.
_HEADER: Final = tuple(
    (number << _REPETITIONS, mask)
    for number, mask in (
        *((number, _WHOLE) for number in (1, 2, *_AS_IT_STANDS)),
        (7, 1), (9, _bit(1) | _bit(2)), (11, 1), (12, 1), (18, 1),
    )
)  # fmt: skip


def structural(message: Message) -> Iterator[Cell]:
    """
    What the format itself reads: separators, type, version, character set, names and numbers of sender and message,
    what answer is wanted, and where there are several patients whose they are.

    A change of any of them changes how the message is read, filed or answered.
    """
    header = message.named("MSH")[0]
    yield from _HEADER
    if message.delimiters.repetition in "".join(header.fields[3:]):
        for number in _AS_IT_STANDS:
            yield from _all_of(header, number)
    if header.first(15).strip(' "') in ("", "NE"):
        yield from _all_of(header, 16)  # it decides only where MSH-15 wants no answer (v2.5.1 §2.9.2)
    if len(header.first(9).split(message.delimiters.component)) < 2:
        for event in message.named("EVN")[:1]:
            yield cell_of(event, 1), 1
    patients = message.named("PID")
    if len(patients) > 1:
        for patient in patients:
            yield from _all_of(patient, 3)


def _all_of(segment: Segment, number: int) -> Iterator[Cell]:
    for repetition in range(len(segment.repetitions(number))):
        yield cell_of(segment, number, repetition), _WHOLE


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
            others[number] = others.get(number, 0) | _bit(*(inner or [1]))
        elif not component:
            own |= _bit(*numbers)
        elif not subcomponent:
            own |= _bit(component, numbers[0])
        else:
            own |= _bit(component, subcomponent)
    return own, tuple(others.items())


def _below(component: int, subcomponent: int) -> int:
    """The mask of all that is at a path."""
    if not component:
        return _WHOLE
    return _bit(component, subcomponent) if subcomponent else _PART << (component - 1) * _WIDTH


class Places:
    """What one path of a mapping reads; see `mhbridge.formats.Spot`."""

    __slots__ = (
        "_chosen",
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
        "question",
        "subject",
    )

    def __init__(self, path: Hl7Path, scope: Scope, *, many: bool) -> None:
        self._many = many
        self._masks: dict[frozenset[str], tuple[int, tuple[tuple[int, int], ...]]] = {}
        self._component, self._subcomponent = path.component, path.subcomponent
        self._relative = path.relative
        self._segment: Predicate | None = None
        self._which: Predicate | None = None
        if path.relative:
            around = scope.loops[-1]
            assert isinstance(around, FieldLoop)
            self._field, self._name = around.field, around.segment
            self._reach: Reach = _nothing
        else:
            self._name, self._reach = read_segment(path, scope)
            self._segment, self._which, self._field = path.steps[0].which, path.which, path.field
        self._test = repetition_test(self._which)
        self._chosen = filtered(self._reach, self._segment)
        self.asks = _tests(self._segment) or _tests(self._which)
        self.subject = None if _tests(self._which) else _subject(self._name, self._segment)
        self.question = self.subject if many else None

    def touches(self, parts: frozenset[str]) -> frozenset[Any]:
        """Segment and number of each field that is read."""
        _, others = _mask(parts, self._component, self._subcomponent)
        return frozenset({(self._name, self._field), *((self._name, number) for number, _ in others)})

    def cells(self, raw: Value, parts: frozenset[str]) -> tuple[Cell, ...]:
        """The leaves of a value, and of its companions, that `parts` names."""
        found = self._masks.get(parts)
        if found is None:
            found = self._masks[parts] = _mask(parts, self._component, self._subcomponent)
        mask, others = found
        segment = raw.segment
        own = ((segment.position << _FIELDS | self._field) << _REPETITIONS | raw.repetition, mask)
        return (own, *((cell_of(segment, number), other) for number, other in others)) if others else (own,)

    def present(self, raw: Value) -> tuple[Cell, ...]:
        """The one leaf that makes a value be there; none where there are several, of which none decides alone."""
        ((cell, reads),) = self.cells(raw, frozenset("*"))
        found = leaves_in(raw.segment.repetitions(self._field)[raw.repetition], raw.segment.delimiters) & reads
        return ((cell, found),) if found.bit_count() == 1 else ()

    def every(self, cursor: Any, parts: frozenset[str]) -> list[Cell]:
        """The leaves named by `parts` of all values that there are at the path."""
        if self._relative:
            return list(self.cells(cursor, parts))
        mask, others = _mask(parts, self._component, self._subcomponent)
        number, found = self._field, list[Cell]()
        for segment in self._chosen(cursor):
            head = segment.position << _FIELDS
            cell = (head | number) << _REPETITIONS
            if self._which is None:
                fields = segment.fields
                if number < len(fields) and (field := fields[number]):
                    last = 0 if segment.level(number) else field.count(segment.delimiters.repetition)
                    found += [(cell | place, mask) for place in range(last + 1)]
            else:
                found += [(cell | place, mask) for place, _ in repetitions(segment, number, self._which, self._test)]
            found += [((head | other) << _REPETITIONS, read) for other, read in others]
        return found

    def deleted(self, cursor: Any) -> list[Cell]:
        """The leaves that say `""` at the path: all of them, in order."""
        found: list[Cell] = []
        for raw in self._values(cursor):
            encoded, cell = raw.encoded, cell_of(raw.segment, self._field, raw.repetition)
            if encoded == DELETE:
                found.append((cell, _bit(1)))
            elif self._component:
                part = inside(encoded, raw.segment.delimiters, self._component)
                if part == DELETE:
                    found.append((cell, _bit(self._component)))
                elif (
                    self._subcomponent
                    and inside(encoded, raw.segment.delimiters, self._component, self._subcomponent) == DELETE
                ):
                    found.append((cell, _bit(self._component, self._subcomponent)))
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
        return _questioned(self._reach(cursor), self.question[1])

    def _values(self, cursor: Any) -> Iterator[Value]:
        if self._relative:
            yield cursor
            return
        for segment in self._chosen(cursor):
            for place, encoded in repetitions(segment, self._field, self._which, self._test):
                yield Value(encoded, segment, segment.level(self._field), place)


class LoopPlaces:
    """What the predicates of a `$each` look at."""

    __slots__ = ("_field", "_steps", "_which", "asks", "question", "subject")

    def __init__(self, path: Hl7Path, scope: Scope) -> None:
        self._steps = loop_steps(path, scope)
        self._field, self._which = path.field, path.which
        self.asks = _tests(self._which) or any(_tests(which) for _, which in self._steps)
        alone = len(self._steps) == 1 and not _tests(self._which)
        self.question = self.subject = _subject(path.steps[0].segment, path.steps[0].which) if alone else None

    def questioned(self, cursor: Any) -> list[Cell]:
        """The leaves that the one test of the loop looks at, whatever it finds there (`question`)."""
        assert self.question is not None
        return _questioned(self._steps[0][0](cursor), self.question[1])

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


def _subject(name: str, which: Predicate | None) -> Any:
    """What a predicate of one test looks at; such predicates look at the same leaves, whatever they want to see."""
    return (name, which.tests[0].numbers) if which is not None and len(which.tests) == 1 else None


def _questioned(segments: Iterable[Segment], numbers: tuple[int, ...]) -> list[Cell]:
    field, *parts = numbers
    mask = _bit(*(parts or [1]))
    return [((segment.position << _FIELDS | field) << _REPETITIONS, mask) for segment in segments]


def _asked_of_segments(segments: Iterable[Segment], which: Predicate | None, *, many: bool) -> Iterator[Asked]:
    assert which is not None
    for segment in segments:
        said = False
        for test in which.tests:
            field, *parts = test.numbers
            said = (test.text in told(segment, test.numbers)) is test.equal
            yield cell_of(segment, field), _bit(*(parts or [1])), said
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
            yield cell_of(segment, field, place), _bit(*test.numbers), said
            if not said:
                break
        if said and not many:
            return


# --- what is ignored ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ignored:
    """The leaves that one entry of `ignore:` names: of a segment, a field, a component, wherever it stands."""

    path: Hl7Path

    def __call__(self, message: Message) -> Iterator[Cell]:
        """Its leaves in a message."""
        path = self.path
        step = path.steps[-1]
        segments: Sequence[Segment] = filtered(EveryNamed(step.segment), step.which)(message)
        test = repetition_test(path.which)
        for segment in segments:
            for number in (path.field,) if path.field else range(1, len(segment.fields)):
                for place, _ in repetitions(segment, number, path.which, test):
                    yield cell_of(segment, number, place), _below(path.component, path.subcomponent)


def ignoring(paths: Sequence[Hl7Path]) -> Callable[[Message, Iterable[Cell]], dict[int, int]]:
    """
    What all entries of `ignore:` name: (message, cells) → the mask of what is ignored in each of them.

    Nearly all entries name a segment, a field or a component, and are looked up.
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

    def find(message: Message, cells: Iterable[Cell]) -> dict[int, int]:
        found: dict[int, int] = {}
        for cell, _ in cells:
            name, number = touched(message, cell)
            if mask := _WHOLE if name in whole else fields.get((name, number), 0):
                found[cell] = mask
        for other in others:
            for cell, mask in other(message):
                found[cell] = found.get(cell, 0) | mask
        return found

    return find


def ignored(path: Hl7Path) -> _Ignored:
    """What an entry of `ignore:` names, wherever in the message its segment stands."""
    return _Ignored(path)
