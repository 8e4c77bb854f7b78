"""
What is there in a message, for the field ledger: every populated leaf, as a cell and a bit.

A *cell* is one repetition of one field, as a number: position of the segment, field, repetition. The leaves inside it
are the bits of a mask: sixteen subcomponents for each component. A leaf is populated when it holds more than blanks;
`""` does. This module must never look at what a leaf says, but for the header fields that decide how the message itself
is read and answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from mhbridge.formats import PLACE_BITS, Cell
from mhbridge.formats.hl7v2.message import Message, Segment
from mhbridge.formats.hl7v2.predicate import inside
from mhbridge.formats.hl7v2.shapes import REPETITIONS, WIDTH, layout, shapes
from mhbridge.formats.hl7v2.structure import structure

__all__ = [
    "WHOLE",
    "all_of",
    "altered",
    "bit_of",
    "cell_of",
    "field_of",
    "leaf_text",
    "path_of",
    "populated",
    "structural",
    "touched",
]

#: The mask of all leaves of a cell.
WHOLE: Final = -1
_FIELDS: Final = PLACE_BITS - REPETITIONS


def cell_of(segment: Segment, field: int, repetition: int = 0) -> int:
    """The number of a cell. A message has at most a thousand repetitions of a field and a thousand fields."""
    return segment.position << PLACE_BITS | field << REPETITIONS | repetition


def bit_of(component: int, subcomponent: int = 1) -> int:
    """The mask of one leaf."""
    # Beyond the sixteenth subcomponent they share a bit: no data type has as many, a text may.
    return 1 << ((component - 1) * WIDTH + min(subcomponent, WIDTH) - 1)


def field_of(place: int) -> int:
    """The field that a place in a segment is in."""
    return place >> REPETITIONS


def all_of(place: int) -> int:
    """A number for all repetitions of the field that a place is in; none has as many as would make it a place."""
    return place | (1 << REPETITIONS) - 1


def populated(message: Message) -> Iterator[Cell]:
    """Every cell in which something is, with the mask of its populated leaves, segment by segment."""
    for position, (name, shape) in enumerate(zip(*shapes(message), strict=True)):
        head = position << PLACE_BITS
        for place, mask in layout(name, shape):
            yield head | place, mask


def path_of(message: Message, cell: int, bit: int, version: str, *, exact: bool) -> str:
    """
    The path of one leaf: `PID-3[2].4`, or with `exact=False` the path of all leaves like it: `PID-3.4`.

    Args:
        bit: the number of its bit in the mask.
    """
    repetition = cell & (1 << REPETITIONS) - 1
    number = cell >> REPETITIONS & (1 << _FIELDS) - 1
    position = cell >> PLACE_BITS
    name, place, alone = message.place_of(position)
    segment = message.named(name)[place]
    subs = _has_subs(segment, number, repetition, bit // WIDTH + 1) if exact else bit % WIDTH > 0
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
    component, subcomponent = bit // WIDTH + 1, bit % WIDTH + 1
    table = structure(version)
    if component > 1 or subcomponent > 1 or parts or table.type_of(name, number) in table.types:
        said += f".{component}"
        if subcomponent > 1 or subs:
            said += f".{subcomponent}"
    return said


def touched(message: Message, cell: int) -> tuple[str, int]:
    """The segment's name and the number of the field: what all cells have in common that a path may read."""
    return message.name_at(cell >> PLACE_BITS), cell >> REPETITIONS & (1 << _FIELDS) - 1


def leaf_text(message: Message, cell: int, bit: int) -> str:
    """What one leaf says, encoded."""
    name, place, _ = message.place_of(cell >> PLACE_BITS)
    segment, number = message.named(name)[place], cell >> REPETITIONS & (1 << _FIELDS) - 1
    encoded = segment.repetitions(number)[cell & (1 << REPETITIONS) - 1]
    if segment.level(number):
        return encoded
    limits = message.delimiters
    return encoded.split(limits.component)[bit // WIDTH].split(limits.subcomponent)[bit % WIDTH]


def altered(message: Message, cell: int, bit: int, encoded: str) -> bytes:
    """The bytes of a message with one leaf replaced by other encoded text."""
    repetition = cell & (1 << REPETITIONS) - 1
    number = cell >> REPETITIONS & (1 << _FIELDS) - 1
    position = cell >> PLACE_BITS
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
        subs = parts[bit // WIDTH].split(limits.subcomponent)
        subs[bit % WIDTH] = encoded
        parts[bit // WIDTH] = limits.subcomponent.join(subs)
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
    (number << REPETITIONS, mask)
    for number, mask in (
        *((number, WHOLE) for number in (1, 2, *_AS_IT_STANDS)),
        (7, 1), (9, bit_of(1) | bit_of(2)), (11, 1), (12, 1), (18, 1),
    )
)  # fmt: skip


def structural(message: Message) -> tuple[Cell, ...]:
    """
    What the format itself reads: separators, type, version, character set, names and numbers of sender and message,
    what answer is wanted, and where there are several patients whose they are.

    A change of any of them changes how the message is read, filed or answered.
    """
    header = message.named("MSH")[0]
    found = _HEADER
    if message.delimiters.repetition in "".join(header.fields[3:]):
        for number in _AS_IT_STANDS:
            found += tuple(_all_of(header, number))
    if header.first(15).strip(' "') in ("", "NE", "ER"):
        # It decides only where MSH-15 wants no answer to what is taken (v2.5.1 §2.9.3).
        found += tuple(_all_of(header, 16))
    if len(header.first(9).split(message.delimiters.component)) < 2:
        for event in message.named("EVN")[:1]:
            found += ((cell_of(event, 1), 1),)
    patients = message.named("PID")
    if len(patients) > 1:
        for patient in patients:
            found += tuple(_all_of(patient, 3))
    return found


def _all_of(segment: Segment, number: int) -> Iterator[Cell]:
    for repetition in range(len(segment.repetitions(number))):
        yield cell_of(segment, number, repetition), WHOLE
