"""
Where things are in a row, for the field ledger: a cell is one leaf, whatever its `separators:` make of it.

Declared columns are numbered in the order of their names, which two mappings of one extract share, and after them come
those that nobody declared. This module must never look at what a cell says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator

from mhbridge.formats import Cell, Path, Scope, Source
from mhbridge.formats.csv.lines import alone, codec_of, one_byte_codec
from mhbridge.formats.csv.paths import ColumnPath, Pieces, check
from mhbridge.formats.csv.rows import Row
from mhbridge.formats.spots import OneLeaf

__all__ = ["altered", "ignored", "name_of", "populated", "spot", "structural"]


def spot(path: Path, scope: Scope) -> OneLeaf:
    """What a path reads: its column, or inside a loop over the values of a cell that cell."""
    column = check(path, scope).column
    if path.relative:
        around = scope.loops[-1]
        assert isinstance(around, Pieces)
        column = around.column
    place = sorted(scope.source.options["columns"]).index(column)
    return OneLeaf(place, place)


def populated(row: Row) -> Iterator[Cell]:
    """The cells that hold more than blanks, in the order of the file."""
    numbers = row.header.numbers
    for name, cell in row.cells.items():
        if cell and not cell.isspace():
            yield numbers[name], 1


def structural(row: Row, source: Source) -> Iterator[Cell]:
    """The column that identifies the row, where one is declared."""
    column = source.options.get("control_id", "")
    if column:
        yield row.header.numbers[column], 1


def ignored(path: Path) -> Callable[[Row], Iterable[Cell]]:
    """The column that an entry of `ignore:` names."""
    assert isinstance(path, ColumnPath)
    column = path.column
    return lambda row: [(row.header.numbers[column], 1)] if column in row.cells else []


def name_of(row: Row, cell: int) -> str:
    """The name of a column."""
    return next(name for name, place in row.header.numbers.items() if place == cell)


def altered(row: Row, cell: int, text: str, source: Source) -> bytes:
    """The row with one cell replaced, below its header."""
    changed = name_of(row, cell)
    written = io.StringIO()
    end = row.header.line_end.decode("ascii") or "\r\n"
    writer = csv.writer(written, delimiter=source.options["delimiter"], lineterminator=end)
    writer.writerow([text if name == changed else value for name, value in row.cells.items()])
    codec = codec_of(source)
    inner = codec if one_byte_codec(codec) else "utf-8"
    return alone(row.header.line + written.getvalue().encode(inner, "replace"), codec)
