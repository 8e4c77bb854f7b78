"""
One message of a set of tables: a row of the root table with all rows that belong to it.

A *row* is a line of one table; a *node* is a row where it stands in the tree, below the node it belongs to. One row
stands at several nodes where several rows name it: the ward of two ward stays is one row. This module must never join
by anything but the equality of the declared columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

from mhbridge.formats.csv.header import Header
from mhbridge.formats.csv.sets.declaration import Table, Tables
from mhbridge.formats.several import File, written
from mhbridge.model import Issue, MessageFacts

__all__ = [
    "BLANKS",
    "CellText",
    "Key",
    "Node",
    "Record",
    "TableRow",
    "as_files",
    "file_of",
    "key_of",
    "newest",
    "nodes_below",
    "ranges",
]

#: What says nothing, as in a single extract.
BLANKS: Final = " \t\r\n\u00a0"
_PATH: Final = re.compile(r"\[([^\]]*)\](?:\[(\d+)\])?")
_DATE_PART: Final = re.compile("dd|mm|yyyy|hh|ss")

Key = tuple[str, ...]


class CellText(str):  # noqa: SLOT000  # a str has no room for slots
    """A cell that knows which row of its record it stands in, for the field ledger. Any copy of it is plain text."""

    row: int


class TableRow:
    """
    A row of one table.

    Args:
        cells: by column name, exactly as they stand.
        own: the row's own bytes.
        line: where it begins in its file.
    """

    __slots__ = ("cells", "header", "line", "own", "table")

    def __init__(self, table: Table, header: Header, cells: Mapping[str, str], own: bytes, line: int) -> None:
        self.table = table
        self.header = header
        self.cells = cells
        self.own = own
        self.line = line


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """
    A row in the tree, and the cursor of a path.

    Args:
        number: of the row in the record.
        above: the node that it belongs to; `None`: it is the root.
    """

    row: TableRow
    number: int
    record: Record
    above: Node | None = None

    def below(self, table: Table) -> list[Node]:
        """The rows of a table right below, in the order of the file."""
        key = key_of(self.row.cells, table.of)
        if key is None:
            return []
        return [Node(row, number, self.record, self) for number, row in self.record.index[table.name].get(key, ())]


class Record:
    """
    A message.

    Args:
        rows: all its rows, the root first.
        number: of the message in its file, from 1.
    """

    def __init__(self, tables: Tables, headers: Mapping[str, Header], rows: Sequence[TableRow], number: int) -> None:
        self.tables = tables
        self.headers = headers
        self.rows = rows
        root = rows[0]
        self.control_id = "|".join(root.cells[column].strip() for column in root.table.by)
        printable = self.control_id if self.control_id.isprintable() else ""
        self.facts = MessageFacts("csv", "record", control_id=printable, place=f"record {number}")

    @cached_property
    def root(self) -> Node:
        """The outermost cursor."""
        return Node(self.rows[0], 0, self)

    @cached_property
    def index(self) -> Mapping[str, Mapping[Key, Sequence[tuple[int, TableRow]]]]:
        """Table → key → its rows, with their numbers."""
        found: dict[str, dict[Key, list[tuple[int, TableRow]]]] = {name: {} for name in self.tables.by_name}
        for number, row in enumerate(self.rows):
            key = key_of(row.cells, row.table.by)
            if key is not None:
                found[row.table.name].setdefault(key, []).append((number, row))
        return found

    @property
    def body(self) -> bytes:
        """The rows as files under their headers, so that the message can be read again alone."""
        return as_files(self.tables, self.headers, self.rows)

    @property
    def patients(self) -> int:
        """One: whatever is joined to a row of the root belongs to it."""
        return 1

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """The key of the root's row."""
        return (("control_id", self.facts.control_id),) if self.facts.control_id else ()

    def noted(self, issues: Sequence[Issue]) -> tuple[Issue, ...]:
        """`issues` with table and line."""
        return tuple(self._placed(issue) for issue in issues)

    def _placed(self, issue: Issue) -> Issue:
        root = self.rows[0]
        found = _PATH.search(issue.path)
        if found is None:
            return issue if issue.path else replace(issue, path=f"{root.table.name}, line {root.line}")
        name, _, column = found[1].partition(".")
        lines = [row.line for row in self.rows if row.table.name == name]
        if not lines or column not in self.headers[name].places:
            return issue
        where = f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(map(str, lines[:5]))}"
        more = ", …" if lines[5:] else ""
        return replace(issue, path=f"{name}, {where}{more}, column {self.headers[name].places[column]} [{column}]")


def key_of(cells: Mapping[str, str], columns: Sequence[str]) -> Key | None:
    """What stands in key columns, without the blanks around it; `None` where one is empty: nothing equals that."""
    found = tuple(cells[column].strip(BLANKS) for column in columns)
    return found if all(found) else None


def newest(nodes: Sequence[Node], dates: str) -> Node:
    """The last of some rows by the columns of `latest`; of those that are equal the one that stands last."""
    columns = nodes[0].row.table.latest
    return max(
        enumerate(nodes),
        key=lambda pair: (*(_sorted_by(pair[1].row.cells[column].strip(BLANKS), dates) for column in columns), pair[0]),
    )[1]


def _sorted_by(text: str, dates: str) -> str:
    """A date as text that sorts; what is not of the declared form sorts as it stands, before all that is."""
    for pattern in (dates, dates.partition(" ")[0]):
        shape, order = _shape(pattern)
        if found := shape.fullmatch(text):
            return "1" + "".join(found[name].rjust(2, "0") for name in order)
    return ("1" if re.match(r"\d{4}-\d\d", text, re.ASCII) else "0") + text


@lru_cache(maxsize=16)
def _shape(dates: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """A pattern that takes a date apart, and its parts from the year down."""
    seen: list[str] = []
    pieces: list[str] = []
    at = 0
    for found in _DATE_PART.finditer(dates):
        name = "minutes" if found[0] == "mm" and "hh" in seen else found[0]
        seen.append(name)
        digits = r"\d{4}" if name == "yyyy" else r"\d{1,2}"
        pieces += [re.escape(dates[at : found.start()]), f"(?P<{name}>{digits})"]
        at = found.end()
    order = tuple(name for name in ("yyyy", "mm", "dd", "hh", "minutes", "ss") if name in seen)
    return re.compile("".join(pieces) + re.escape(dates[at:]) if seen else "(?!)", re.ASCII), order


def as_files(tables: Tables, headers: Mapping[str, Header], rows: Sequence[TableRow]) -> bytes:
    """Rows as files under their headers, as a set that is whole."""
    own: dict[str, list[TableRow]] = {}
    for row in rows:
        own.setdefault(row.table.name, []).append(row)
    return written(
        file_of(header, name, own.get(name, ()))
        for name, header in headers.items()
        if name in own or not tables.by_name[name].optional
    )


def file_of(header: Header, name: str, rows: Iterable[TableRow]) -> File:
    """Rows of one table as a file, with the lines that they have in the supplier's."""
    end = header.line_end or b"\r\n"
    pieces = [header.line]
    lines = [(1, 1)]
    for row in sorted(rows, key=lambda row: row.line):
        whole = row.own.endswith((b"\r", b"\n"))
        pieces.append(row.own if whole else row.own + end)
        lines.append((row.line, row.line + _count(pieces[-1]) - 1))
    return File(f"{name}.csv", b"".join(pieces), ranges(lines))


def _count(own: bytes) -> int:
    """How many lines a row has."""
    return own.count(b"\n") + own.count(b"\r") - own.count(b"\r\n")


def ranges(lines: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges of lines, neighbours put together."""
    found: list[tuple[int, int]] = []
    for begin, end in lines:
        if found and found[-1][1] + 1 == begin:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return tuple(found)


def nodes_below(node: Node, steps: Sequence[Table]) -> Iterator[Node]:
    """The rows that are reached from a node down through some tables."""
    if not steps:
        yield node
        return
    for inner in node.below(steps[0]):
        yield from nodes_below(inner, steps[1:])
