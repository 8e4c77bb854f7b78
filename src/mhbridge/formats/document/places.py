"""
Where things are in a letter, for the field ledger: the document and the fields of its name are a group before those of
the index, which are where the index's own format has them. This module must never look at a document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from mhbridge.formats import PLACE_BITS, Asked, Cell, LoopSpot, Spot
from mhbridge.formats.document.message import Cursor, Letter
from mhbridge.formats.several import File, written
from mhbridge.formats.spots import OneLeaf

__all__ = ["OWN", "InnerLoop", "InnerLoopSpot", "InnerSpot", "altered", "own_names", "own_spot", "shifted"]

#: The kind of the group that is the document and its name.
OWN: Final = "file"
_GROUP: Final = 1 << PLACE_BITS


def shifted(cells: Iterable[Cell]) -> list[Cell]:
    """Cells of the index, behind the document's own group."""
    return [(cell + _GROUP, mask) for cell, mask in cells]


def own_names(fields: Iterable[str]) -> tuple[str, ...]:
    """What a document's own group has at its places: itself, then the fields of its name."""
    return ("content", *fields)


def own_spot(place: int) -> OneLeaf:
    """What a path to the document, or to a field of its name, reads."""
    return OneLeaf(place, (OWN, place))


class InnerLoopSpot:
    """What a loop over places of the index looks at."""

    __slots__ = ("_inner", "asks", "everywhere", "question", "subject", "within")
    kind = ""

    def __init__(self, inner: LoopSpot) -> None:
        self._inner = inner
        self.asks, self.subject, self.question = inner.asks, inner.subject, inner.question
        self.within, self.everywhere = inner.within, inner.everywhere

    def questioned(self, cursor: Cursor) -> list[Cell]:
        """As the index's format has it."""
        return shifted(self._inner.questioned(cursor.inner))

    def asked(self, cursor: Cursor) -> list[Asked]:
        """As the index's format has it."""
        return [(cell + _GROUP, mask, said) for cell, mask, said in self._inner.asked(cursor.inner)]


class InnerSpot(InnerLoopSpot):
    """What a path into the index reads."""

    __slots__ = ("_spot",)

    def __init__(self, inner: Spot) -> None:
        super().__init__(inner)
        self._spot = inner

    def touches(self, parts: frozenset[str]) -> frozenset[Any]:
        """As the index's format has it."""
        return self._spot.touches(parts)

    def cells(self, raw: Any, parts: frozenset[str]) -> list[Cell]:
        """As the index's format has it."""
        return shifted(self._spot.cells(raw, parts))

    def take(self, raw: Any, parts: frozenset[str], into: Sequence[list[int]], state: int) -> None:
        """As the index's format has it: its groups are those behind the first."""
        self._spot.take(raw, parts, into[1:], state)

    def present(self, raw: Any) -> list[Cell]:
        """As the index's format has it."""
        return shifted(self._spot.present(raw))

    def every(self, cursor: Cursor, parts: frozenset[str]) -> list[Cell]:
        """As the index's format has it."""
        return shifted(self._spot.every(cursor.inner, parts))

    def deleted(self, cursor: Cursor) -> list[Cell]:
        """As the index's format has it."""
        return shifted(self._spot.deleted(cursor.inner))


class InnerLoop:
    """`$each` over places of the index."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def cursors(self, cursor: Cursor) -> Iterable[Cursor]:
        """The places below."""
        return (Cursor(inner, cursor.letter) for inner in self._inner.cursors(cursor.inner))


def altered(letter: Letter, place: int, text: str, inner: Callable[[], bytes]) -> bytes:
    """A letter with one leaf replaced: the document, a field of the names, or what `inner` makes of the index."""
    files = list(letter.files)
    if place >= _GROUP:
        files[1] = File(files[1].name, inner())
        return written(files)
    if place == 0:
        files[0] = File(files[0].name, text.encode("utf-8", "surrogateescape"))
        return written(files)
    field = letter.declared.letter.fields[place - 1]
    renamed: list[File] = []
    for file, pattern in zip(files, (letter.declared.letter, letter.declared.index), strict=False):
        assert pattern is not None
        found = pattern.pattern.fullmatch(file.name)
        name = file.name
        if found is not None and field in pattern.fields:
            name = name[: found.start(field)] + text + name[found.end(field) :]
        renamed.append(File(name, file.body))
    return written(renamed)
