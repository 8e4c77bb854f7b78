"""
Where things are in a record of several tables, for the field ledger: a row is a group of its table's kind, and a cell
is a leaf.

Columns are numbered as in a single extract: those declared by their names, then the others. This module must never look
at what a cell says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

from mhbridge.formats import PLACE, PLACE_BITS, STATE_BITS, Asked, Cell, Path, Scope
from mhbridge.formats.csv.lines import codec_of
from mhbridge.formats.csv.paths import ColumnPath
from mhbridge.formats.csv.sets.paths import Found, check
from mhbridge.formats.csv.sets.record import CellText, Node, Record, TableRow, as_files

__all__ = [
    "SetSpot",
    "altered",
    "ignored",
    "leaf",
    "path_of",
    "populated",
    "shapes",
    "structural",
    "touched",
]


class SetSpot:
    """What one path of a mapping reads; see `mhbridge.formats.Spot`. To find the last row, `latest` is looked at."""

    __slots__ = ("_found", "_key", "_place", "asks")
    kind = ""
    subject = question = within = everywhere = None

    def __init__(self, path: Path, scope: Scope, *, many: bool) -> None:
        self._found: Found = check(path, scope)
        self._place = _number(self._found.table.columns, self._found.column)
        self._key = (self._found.table.name, self._place)
        self.asks = not many and any(table.latest for table in self._found.steps)

    def touches(self, parts: frozenset[str]) -> frozenset[Any]:  # noqa: ARG002  # the protocol's
        """Table and column."""
        return frozenset({self._key})

    def cells(self, raw: CellText, parts: frozenset[str]) -> tuple[Cell, ...]:
        """The cell."""
        return ((raw.row << PLACE_BITS | self._place, 1),) if parts else ()

    def take(self, raw: CellText, parts: frozenset[str], into: Sequence[list[int]], state: int) -> None:
        """The same, added to what is taken of its row."""
        if parts:
            into[raw.row].append((1 << PLACE_BITS | self._place) << STATE_BITS | state)

    def present(self, raw: CellText) -> tuple[Cell, ...]:
        """The cell."""
        return ((raw.row << PLACE_BITS | self._place, 1),)

    def every(self, cursor: Node, parts: frozenset[str]) -> list[Cell]:
        """The cells of all rows that there are."""
        if not parts:
            return []
        return [(node.number << PLACE_BITS | self._place, 1) for node in self._found.all(cursor)]

    def deleted(self, cursor: Node) -> tuple[Cell, ...]:  # noqa: ARG002
        """Nothing in a table deletes."""
        return ()

    def questioned(self, cursor: Node) -> tuple[Cell, ...]:  # noqa: ARG002
        """There is no question that looks at all."""
        return ()

    def asked(self, cursor: Node) -> list[Asked]:
        """The cells by which one of several rows was chosen."""
        found: list[Asked] = []
        node: Node | None = self._found.start(cursor)
        chosen = self._found.one(cursor)
        for table in self._found.steps:
            assert node is not None
            below = node.below(table)
            if table.latest and len(below) > 1:
                places = [_number(table.columns, column) for column in table.latest]
                found += [(one.number << PLACE_BITS | place, 1, True) for one in below for place in places]
            if chosen is None:
                break
            # The way down to the row that was chosen.
            node = next((one for one in below if _leads(one, chosen)), None)
            if node is None:
                break
        return found


def _leads(node: Node, below: Node) -> bool:
    """Whether a row is the other, or above it."""
    at: Node | None = below
    while at is not None:
        if at.number == node.number:
            return True
        at = at.above
    return False


def _number(columns: Sequence[str], column: str) -> int:
    return sorted(columns).index(column)


# --- of a whole record --------------------------------------------------------------------------------------


def populated(record: Record) -> Iterator[Cell]:
    """The cells that hold more than blanks."""
    for number, row in enumerate(record.rows):
        for place in _filled(row):
            yield number << PLACE_BITS | place, 1


def _filled(row: TableRow) -> tuple[int, ...]:
    numbers = row.header.numbers
    return tuple(numbers[name] for name, cell in row.cells.items() if cell and not cell.isspace())


def shapes(record: Record) -> tuple[Sequence[str], Sequence[Hashable]]:
    """Each row is a group; its shape is which of its cells are populated."""
    return [row.table.name for row in record.rows], [_filled(row) for row in record.rows]


def structural(record: Record) -> Iterator[Cell]:
    """The keys: what names the record, and by what its rows belong to each other, or are one."""
    seen: set[int] = set()
    root = record.root
    waiting = [root]
    for column in root.row.table.by:
        seen.add(root.row.header.numbers[column])
    while waiting:
        node = waiting.pop()
        for table in record.tables.below[node.row.table.name]:
            below = node.below(table)
            if table.one and not table.latest and len(below) > 1:
                # Each cell was compared: they are one only because they are alike in all.
                seen.update(one.number << PLACE_BITS | place for one in below for place in _filled(one.row))
            for inner in below:
                for row, number, columns in ((node.row, node.number, table.of), (inner.row, inner.number, table.by)):
                    seen.update(number << PLACE_BITS | row.header.numbers[column] for column in columns)
            waiting += below
    return ((cell, 1) for cell in seen)


def ignored(path: ColumnPath) -> Callable[[Record], Iterable[Cell]]:
    """What an entry of `ignore:` names: a table, or a column of it."""
    name, _, column = path.column.partition(".")

    def find(record: Record) -> Iterator[Cell]:
        for number, row in enumerate(record.rows):
            if row.table.name != name:
                continue
            numbers = row.header.numbers
            for place in numbers.values() if not column else (numbers[column],) if column in numbers else ():
                yield number << PLACE_BITS | place, 1

    return find


def touched(record: Record, cell: int) -> Any:
    """Table and column."""
    return record.rows[cell >> PLACE_BITS].table.name, cell & PLACE


def _name(record: Record, cell: int) -> tuple[TableRow, str]:
    row = record.rows[cell >> PLACE_BITS]
    return row, next(name for name, place in row.header.numbers.items() if place == cell & PLACE)


def path_of(record: Record, cell: int, *, exact: bool) -> str:
    """`[Table.Column]`, and of several rows which: `[Table.Column][2]`."""
    row, column = _name(record, cell)
    text = f"[{row.table.name}.{column}]"
    if exact:
        same = [number for number, other in enumerate(record.rows) if other.table is row.table]
        if len(same) > 1:
            text += f"[{same.index(cell >> PLACE_BITS) + 1}]"
    return text


def leaf(record: Record, cell: int) -> str:
    """The cell as it stands."""
    row, column = _name(record, cell)
    return row.cells[column]


def altered(record: Record, cell: int, text: str) -> bytes:
    """The record with one cell replaced."""
    row, column = _name(record, cell)
    written = io.StringIO()
    end = row.header.line_end.decode("ascii") or "\r\n"
    alone = row.table.alone
    writer = csv.writer(written, delimiter=alone.options["delimiter"], lineterminator=end)
    writer.writerow([text if name == column else value for name, value in row.cells.items()])
    own = written.getvalue().encode(codec_of(alone), "replace")
    changed = TableRow(row.table, row.header, {**row.cells, column: text}, own, row.line)
    return as_files(record.tables, record.headers, [changed if other is row else other for other in record.rows])
