"""
Pieces of text put together to a paragraph, by where they stand on the page.

A line that ended because the next word had no room goes on in the same line; one that ended before that was ended by
its writer. This module must never join two words, nor part one, where the page does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mhbridge.formats.document.blocks import Unread, hyphened
from mhbridge.formats.document.pdf.pieces import GAP, Picture, Run

__all__ = ["Note", "joined"]

_CROSSED: Final = ("[crossed out: ", "]")
_DASHES: Final = ("-", "\u2010", "\u2011", "\u2013", "\u2014", "/")
#: In sizes: how far a sign may reach back into the one before, and how far from the line a raised one stands.
_BACK: Final = 0.35
_RAISED: Final = (0.15, 0.75)
#: The same of one whose letters are smaller by so much.
_SMALLER: Final = (0.04, 0.92)


@dataclass(frozen=True, slots=True)
class Note:
    """What is not a piece of the page: a note that follows the paragraph, or what stands in the place of a picture."""

    text: str
    inline: bool = False


def joined(pieces: Sequence[Run | Picture | Note], rights: Sequence[float] | None) -> tuple[str, list[Note]]:
    """
    The text of a paragraph, and the notes that follow it.

    Args:
        rights: how far to the right the text of each page goes; `None`: in a cell, as far as its own lines.

    Raises:
        Unread: pieces lie over each other.
    """
    if rights is None:
        reach: dict[int, float] = {}
        for piece in pieces:
            if isinstance(piece, Run):
                reach[piece.page] = max(reach.get(piece.page, 0), piece.x[1])
    else:
        reach = dict(enumerate(rights))
    made: list[str] = []
    notes: list[Note] = []
    last: Run | None = None
    struck = False
    #: The line that a raised or lowered piece stands above or below.
    foot: float | None = None
    for piece in pieces:
        if isinstance(piece, Note) and not piece.inline:
            notes.append(piece)
            continue
        now = isinstance(piece, Run) and (piece.struck if piece.text.strip() else struck)
        if struck and not now:
            blanks = len(made[-1]) - len(made[-1].rstrip(" "))
            made[-1:] = [made[-1].rstrip(" "), _CROSSED[1], " " * blanks]
        if isinstance(piece, Run):
            if last is not None:
                between, foot = _between(last, piece, foot, reach.get(last.page, 0))
                _put(made, between)
            if now and not struck:
                made.append(_CROSSED[0])
            made.append(piece.text)
            last = piece
        else:
            made.append(piece.text if isinstance(piece, Note) else "[picture not included]")
        struck = now
    if struck:
        made.append(_CROSSED[1])
    return hyphened("".join(made)), notes


def _put(made: list[str], between: str) -> None:
    """What stands between two pieces, where nothing of the kind is there."""
    before = made[-1] if made else ""
    if between == "\n":
        if before.endswith("\xad"):
            return
        made[-1:] = [before.rstrip(" ")]
        made.append("\n")
    elif between != " " or not (before[-1:].isspace() or before.endswith("\xad")):
        made.append(between)


def _between(one: Run, two: Run, foot: float | None, right: float) -> tuple[str, float | None]:
    """What stands between two pieces, and the line that the second is raised above."""
    size = max(one.size, two.size)
    up = two.y[0] - (foot if foot is not None else one.y[1])
    gap = two.x[0] - one.x[1]
    spaced = one.text[-1:].isspace() or two.text[:1].isspace()
    level = _RAISED[0] * size
    if two.size < _SMALLER[1] * one.size and two.text.strip():
        level = _SMALLER[0] * size
    if one.page == two.page and abs(two.y[0] - one.y[1]) <= _RAISED[1] * size:
        if two.raised and not one.raised and abs(gap) <= size and two.text.strip():
            return (" " if gap > GAP * size and not spaced else "") + two.raised, foot if foot is not None else one.y[1]
        if abs(up) <= level or (foot is not None and abs(two.y[0] - one.y[1]) <= level):
            if gap < -_BACK * size and two.text.strip() and one.text.strip():
                raise Unread("there are words in the PDF that lie over each other, or from right to left")
            back = abs(up) <= level
            return " " if gap > GAP * size and not spaced else "", None if back else foot
        if -_BACK * size <= gap <= size:
            # "10" with a raised "9" must not be read as "109".
            sign = "^" if up > 0 else "_"
            return (" " if gap > GAP * size and not spaced else "") + sign, foot if foot is not None else one.y[1]
    text = one.text.rstrip()
    if text.endswith("\xad"):
        return "", None
    word = (two.text.split() or [""])[0]
    width = (two.x[1] - two.x[0]) * len(word) / max(len(two.text), 1)
    ended = one.page == two.page and one.end + width + 1.5 * size < right
    if ended or text.endswith(_DASHES):
        return "\n", None
    return "" if spaced else " ", None
