"""
What a path of an extract finds: the cell of a column, or the values that a cell of it holds.

`[Column]` is a cell exactly as it stands. Of a column whose `separators:` are declared, a list takes the values between
them, and `$each` runs over these: `.` is the value then. This module must never cut a cell where nothing is declared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from mhbridge.formats import Path, PathError, Scope
from mhbridge.formats.csv.declaration import near
from mhbridge.formats.csv.rows import Row
from mhbridge.model import ABSENT

__all__ = ["ColumnPath", "Piece", "Pieces", "check", "every_reader", "first_reader", "make_loop", "scan_path"]

_PATH: Final = re.compile(r"\[([^\]\r\n]*)\]")


@dataclass(frozen=True, slots=True)
class ColumnPath(Path):
    """`[Column]`, or `.`: the value of the loop around it."""

    column: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """One of the values of a cell: the cursor inside a loop over them."""

    row: Row
    text: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """`$each` over the values of a cell. A blank one is none."""

    column: str
    separator: str

    def cursors(self, cursor: Row) -> Iterator[Piece]:
        """The values of a row's cell, in order, without the blanks around them."""
        for text in _split(cursor.cells[self.column], self.separator):
            yield Piece(cursor, text)


def _split(cell: str, separator: str) -> list[str]:
    return [piece for part in cell.split(separator) if (piece := part.strip())]


def scan_path(text: str, start: int, end: int) -> tuple[ColumnPath, int] | None:
    """
    The path that begins at `start`, and where it ends.

    Raises:
        PathError: E107, it begins like a path and then goes wrong.
    """
    if text.startswith(".", start, end):
        return ColumnPath(".", relative=True), start + 1
    if not text.startswith("[", start, end):
        return None
    found = _PATH.match(text, start, end)
    if found is None:
        raise PathError("E107", "this '[' is not closed", hint="a column is written [Name]")
    if not found[1].strip():
        raise PathError("E107", "a column has a name", width=len(found[0]))
    return ColumnPath(found[0], column=found[1]), found.end()


def check(path: Path, scope: Scope) -> ColumnPath:
    """
    Raises:
        PathError: E205, there is no such column; E206, there is no loop around a relative path.
    """
    assert isinstance(path, ColumnPath)
    if path.relative:
        if not scope.loops:
            raise PathError("E206", "'.' is the value of a loop, and there is none around it")
        return path
    columns = scope.source.options["columns"]
    if path.column not in columns:
        hint = near(path.column, columns)
        raise PathError("E205", f"there is no column {path.column!r}", width=len(path.text), hint=hint)
    return path


def first_reader(path: Path, scope: Scope) -> Callable[[Any], Any]:
    """Cursor → the cell, or `ABSENT` when nothing but blanks is in it."""
    found = check(path, scope)
    if found.relative:
        return _value
    column = found.column

    def of_row(row: Row) -> Any:
        cell = row.cells[column]
        return cell if cell and not cell.isspace() else ABSENT

    def of_piece(piece: Piece) -> Any:
        return of_row(piece.row)

    return of_piece if scope.loops else of_row


def every_reader(path: Path, scope: Scope) -> Callable[[Any], list[Any]]:
    """Cursor → the cell, or its values where they are separated; nothing when nothing is in it."""
    first = first_reader(path, scope)
    separator = scope.source.options.get("separators", {}).get(check(path, scope).column)

    def read(cursor: Any) -> list[Any]:
        cell = first(cursor)
        if cell is ABSENT:
            return []
        return _split(cell, separator) if separator else [cell]

    return read


def _value(piece: Piece) -> str:
    return piece.text


def make_loop(path: Path, scope: Scope) -> tuple[Pieces, Scope]:
    """
    Raises:
        PathError: E207, a cell of this column is one value.
    """
    width = len(path.text)
    if scope.loops or path.relative:
        raise PathError("E207", "nothing is below a value", width=width, hint="write the two loops one after the other")
    separators = scope.source.options.get("separators", {})
    column = path.column if isinstance(path, ColumnPath) else ""
    if column not in separators:
        check(path, scope)
        hint = "a list takes one entry for each column; separators: names columns whose cells hold several values"
        raise PathError("E207", "nothing is below a cell", width=width, hint=hint)
    loop = Pieces(column, separators[column])
    return loop, Scope(scope.source, (loop,))
