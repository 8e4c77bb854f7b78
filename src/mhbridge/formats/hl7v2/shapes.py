r"""
The shapes of segments: where in them something is, and nothing of what it says.

A shape is what is left of a segment when each text between separators becomes one `x` and blanks become nothing:
`PID|||999^^^NHS||ASH^ROWAN&X` is `x|||x^^^x||x^x&x`, whatever encoding characters its message declares. The segments of
a sender have few shapes, so what is found for one can be remembered; a shape must never hold a character of a value.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from mhbridge.formats import Cell
from mhbridge.formats.hl7v2.delimiters import Delimiters
from mhbridge.formats.hl7v2.message import Message

__all__ = ["REPETITIONS", "WIDTH", "layout", "leaves_in", "shapes"]

#: Bits of a mask for one component: one for each subcomponent.
WIDTH: Final = 16
#: Low bits of a place, for the repetition; those above are the field's.
REPETITIONS: Final = 10
#: Longer ones, of texts full of separators, do not come again, and are not kept.
_LONGEST: Final = 512

#: What `str.isspace` says of ASCII, but for the end of a segment; and of all other characters.
_BLANKS: Final = b"\t\n\x0b\x0c\x1c\x1d\x1e\x1f "
_FAR_BLANKS: Final = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


def shapes(message: Message) -> tuple[list[str], list[bytes]]:
    """The names of all segments and their shapes, in the order of the message."""
    lines = message.lines()
    # Ends before the first and after the last, so that no text stands at an end of the whole.
    text = "\r".join(("", *lines, ""))
    if not text.isascii():
        for blank in _FAR_BLANKS:
            if blank in text:
                text = text.replace(blank, " ")
    # All bytes of a text become blanks, those of a character beyond ASCII too, and a run of blanks one `x`.
    blanked = text.encode("utf-8", "surrogatepass").translate(_table(message.delimiters), _BLANKS)
    return [line[:3] for line in lines], b"x".join(blanked.split()).split(b"!")[1:-1]


@lru_cache(maxsize=256)
def _table(limits: Delimiters) -> bytes:
    table = bytearray(b" " * 256)
    table[ord("\r")] = ord("!")
    declared = (limits.field, limits.component, limits.repetition, limits.subcomponent)
    for character, stands_for in zip(declared, b"|^~&", strict=True):
        table[ord(character)] = stands_for
    return bytes(table)


def layout(name: str, shape: bytes) -> tuple[Cell, ...]:
    """The places in a segment of a shape in which something is, with the masks of their leaves."""
    return _known(name == "MSH", shape) if len(shape) <= _LONGEST else _layout(header=name == "MSH", shape=shape)


@lru_cache(maxsize=4096)
def _known(header: bool, shape: bytes) -> tuple[Cell, ...]:  # part of the key
    return _layout(header=header, shape=shape)


def _layout(*, header: bool, shape: bytes) -> tuple[Cell, ...]:
    fields = shape.decode("ascii").split("|")
    found: list[Cell] = []
    first = 1
    if header:
        # MSH-1 is the separator, and MSH-2 holds the others; they are never taken apart.
        fields.insert(1, "|")
        found += [(number << REPETITIONS, 1) for number in (1, 2) if "".join(fields[number : number + 1])]
        first = 3
    for number in range(first, len(fields)):
        for repetition, encoded in enumerate(fields[number].split("~")):
            if mask := leaves_in(encoded, "^", "&"):
                found.append((number << REPETITIONS | repetition, mask))
    return tuple(found)


def leaves_in(encoded: str, component: str, subcomponent: str) -> int:
    """The mask of what is populated in one repetition."""
    if component not in encoded and subcomponent not in encoded:
        return 1 if encoded and not encoded.isspace() else 0
    mask, shift = 0, 0
    for part in encoded.split(component):
        if part and not part.isspace():
            if subcomponent in part:
                for number, sub in enumerate(part.split(subcomponent)):
                    if sub and not sub.isspace():
                        # Beyond the sixteenth they share a bit: no data type has as many, a text may.
                        mask |= 1 << shift + min(number, WIDTH - 1)
            else:
                mask |= 1 << shift
        shift += WIDTH
    return mask
