"""
A set of tables in one body to records: each a message, or the error that says what is wrong with it.

Nothing is left out without a word. A row that belongs to no record waits for a person, with its table and line; so does
a record of which it cannot be said which row is meant, and one to which a row may belong that cannot be read. This
module must never choose between two rows where one was declared.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.formats import BrokenMessage, Source
from mhbridge.formats.csv.dates import other_order
from mhbridge.formats.csv.header import Header, difference, is_table, read_header
from mhbridge.formats.csv.lines import Lines, codec_of, lines_of_body
from mhbridge.formats.csv.rows import Row, read_rows
from mhbridge.formats.csv.sets.declaration import Table, Tables, tables_of
from mhbridge.formats.csv.sets.record import BLANKS, Key, Record, TableRow, as_files, key_of
from mhbridge.formats.several import File, read_files
from mhbridge.model import Before, MessageFacts

__all__ = ["MOST_ROWS", "header_of", "possible_keys", "read_set", "turned", "unfit"]

#: Rows of one record: a stay of years has fewer.
MOST_ROWS: Final = 20_000
#: What stands between cells, whatever the delimiter, and the quotation marks round one.
_BETWEEN: Final = re.compile(r'[,;|\t\r\n"]')
#: Rows without a record that are said together.
_TOGETHER: Final = 500
#: Line numbers that a text lists.
_SHOWN: Final = 8


@dataclass(slots=True)
class _Read:
    """What is in the files of a set: of each table its header, its rows, and the rows that cannot be read."""

    headers: dict[str, Header] = field(default_factory=dict)
    rows: dict[str, list[TableRow]] = field(default_factory=dict)
    broken: dict[str, list[tuple[TableRow, MalformedMessage]]] = field(default_factory=dict)


def read_set(body: bytes, source: Source, before: Before) -> Iterator[Record | MessageError]:
    """
    The records of a body, in the order of the root's rows; then what belongs to none of them.

    A set that cannot be worked is one message that waits for a person: M850 when a table is missing, M851 when a file
    is of no table, M770 and M773 of a file as of a single extract.

    Raises:
        MalformedMessage: M857 or D976, they are not several files, or not in order.
    """
    tables = tables_of(source)
    assert tables is not None
    files = read_files(body)
    fault = unfit(tables, [file.name for file in files])
    if fault is not None:
        yield _whole(body, fault)
        return
    read = _Read()
    for file in files:
        table = tables.holding(file.name)
        assert table is not None
        fault = _read_table(table, file, read)
        if fault is not None:
            yield _whole(body, fault)
            return
    yield from _records(tables, read, before.rows)


def unfit(tables: Tables, names: Sequence[str]) -> MalformedMessage | None:
    """Why files of these names are not the set; no name is said, because a supplier's may say whose it is."""
    taken: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        table = tables.holding(name)
        if table is None:
            return MalformedMessage("M851", f"file {number} is of no table that is declared", offset=0)
        if table.name in taken:
            text = f"files {taken[table.name]} and {number} are both of the table {table.name}"
            return MalformedMessage("M851", text, offset=0)
        taken[table.name] = number
    missing = [table.name for table in tables.needed if table.name not in taken]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        text = f"the set is not whole: there is no {', '.join(missing[:_SHOWN])}{more}"
        return MalformedMessage("M850", text, offset=0)
    return None


def header_of(table: Table, line: bytes) -> Header | MalformedMessage:
    """The header of a table's file, or why it is another."""
    codec = codec_of(table.alone)
    header = read_header(line, codec, table.alone)
    if header is not None:
        return header
    text = difference(line, [table.alone]) if is_table(line, codec) else "this is no table"
    return MalformedMessage("M770", f"{table.name}: {text}", offset=0)


def turned(table: Table) -> MalformedMessage:
    """Many dates of a table fit the other order of day and month."""
    text = f"many dates are not {table.alone.options['dates']}, and would be with day and month changed"
    return MalformedMessage("M773", f"{table.name}: {text}", offset=0)


def _read_table(table: Table, file: File, read: _Read) -> MalformedMessage | None:
    """What is in one file; what makes the whole set wait is returned."""
    codec = codec_of(table.alone)
    lines, codec = lines_of_body(file.body, codec)
    header = header_of(table, next(lines, b""))
    if isinstance(header, MalformedMessage):
        return header
    if other_order(file.body, table.alone.options.get("dates", "")):
        return turned(table)
    numbers = _numbers(file)
    read.headers[table.name] = header
    rows = read.rows.setdefault(table.name, [])
    broken = read.broken.setdefault(table.name, [])
    taken = Lines(lines, codec, 1, len(header.raw))
    for row in read_rows(taken, header, table.alone, codec):
        if isinstance(row, Row):
            line = numbers[row.line - 1] if row.line <= len(numbers) else row.line
            rows.append(TableRow(table, header, row.cells, row.own, line))
            continue
        own = taken.own
        at = taken.number - len(taken.taken)
        line = numbers[at] if at < len(numbers) else at + 1
        # The text of a row's error begins with the number of the line as the body has it.
        said = re.sub(r"^line \d+: ", "", row.message)
        said = re.sub(r"in line \d+", f"in line {line}", said)
        error = MalformedMessage(row.code, f"{table.name}, line {line}: {said}", path=f"{table.name}, line {line}")
        broken.append((TableRow(table, header, {}, own, line), error))
    return None


def _numbers(file: File) -> list[int]:
    """The number of each line where it came from; empty where they are counted as they stand."""
    return [number for begin, end in file.lines for number in range(begin, end + 1)]


def possible_keys(own: bytes, codec: str) -> frozenset[str]:
    """Whatever in a row that cannot be read may be a key of it."""
    text = own.decode(codec, "replace")
    return frozenset(piece for part in _BETWEEN.split(text) if (piece := part.strip(BLANKS)))


# --- joining ------------------------------------------------------------------------------------------------


class _Joined:
    """Rows by their keys, which of them were used, and what broken rows may belong to."""

    def __init__(self, tables: Tables, read: _Read) -> None:
        self.tables = tables
        self.read = read
        self.index: dict[str, dict[Key, list[int]]] = {}
        self.used: dict[str, set[int]] = {name: set() for name in tables.by_name}
        for name, rows in read.rows.items():
            found = self.index.setdefault(name, {})
            for number, row in enumerate(rows):
                key = key_of(row.cells, row.table.by)
                if key is not None:
                    found.setdefault(key, []).append(number)
        self.suspects = {
            name: [(i, possible_keys(row.own, codec_of(row.table.alone))) for i, (row, _) in enumerate(broken)]
            for name, broken in read.broken.items()
            if broken
        }
        self.blamed: dict[str, set[int]] = {name: set() for name in tables.by_name}

    def record(self, root: int) -> tuple[list[TableRow], MalformedMessage | None]:
        """The rows that belong to a row of the root, it first; and why nobody can say that these are they."""
        rows = [self.read.rows[self.tables.root][root]]
        faults: list[MalformedMessage] = []
        seen: set[tuple[str, int]] = set()
        waiting = [rows[0]]
        while waiting:
            above = waiting.pop()
            for table in self.tables.below[above.table.name]:
                key = key_of(above.cells, table.of)
                if key is None:
                    continue
                found = self.index.get(table.name, {}).get(key, [])
                if table.one and not table.latest and len(found) > 1:
                    faults += self._differing(table, found)
                self._suspected(table, key, rows, faults)
                for number in found:
                    self.used[table.name].add(number)
                    if (table.name, number) not in seen:
                        seen.add((table.name, number))
                        rows.append(self.read.rows[table.name][number])
                        waiting.append(rows[-1])
                if len(rows) > MOST_ROWS:
                    return rows, MalformedMessage("M856", f"more than {MOST_ROWS} rows belong to one record")
        return rows, faults[0] if faults else None

    def _differing(self, table: Table, found: Sequence[int]) -> list[MalformedMessage]:
        """Rows that say the same are one; of others nobody can say which is meant."""
        rows = [self.read.rows[table.name][number] for number in found]
        if all(row.cells == rows[0].cells for row in rows):
            return []
        text = f"{table.name}, {_lines(rows)}: one row is meant here, and these differ"
        return [MalformedMessage("M854", text, path=f"{table.name}, {_lines(rows)}")]

    def _suspected(self, table: Table, key: Key, rows: list[TableRow], faults: list[MalformedMessage]) -> None:
        """Rows of the table that cannot be read and have what may be this key in them: they go with the record."""
        for number, pieces in self.suspects.get(table.name, ()):
            if pieces.issuperset(key):
                row, error = self.read.broken[table.name][number]
                self.blamed[table.name].add(number)
                text = f"{error.message}; it may belong to this record, which is not worked without it"
                faults.append(MalformedMessage("M855", text, path=error.path))
                if row not in rows:
                    rows.append(row)


def _records(tables: Tables, read: _Read, before: int) -> Iterator[Record | MessageError]:
    joined = _Joined(tables, read)
    keys = joined.index.get(tables.root, {})
    number = before
    for place, row in enumerate(read.rows.get(tables.root, ())):
        number += 1
        rows, fault = joined.record(place)
        key = key_of(row.cells, row.table.by)
        if key is None:
            text = f"{tables.root}, line {row.line}: {' and '.join(row.table.by)} is empty, by which rows belong to it"
            fault = MalformedMessage("M853", text, path=f"{tables.root}, line {row.line}")
        elif len(keys[key]) > 1:
            doubled = [read.rows[tables.root][other] for other in keys[key]]
            text = f"{tables.root}, {_lines(doubled)}: several rows have one {' and '.join(row.table.by)}"
            fault = MalformedMessage("M853", text, path=f"{tables.root}, {_lines(doubled)}")
        if fault is None:
            yield Record(tables, read.headers, rows, number)
        else:
            yield _broken_record(tables, read.headers, rows, fault, number)
    for name, broken in read.broken.items():
        for place, (row, error) in enumerate(broken):
            if place not in joined.blamed[name]:
                number += name == tables.root
                yield _left(tables, read.headers, [row], error)
    for name, rows in read.rows.items():
        table = tables.by_name[name]
        if name == tables.root or table.unjoined:
            continue
        lost = [row for place, row in enumerate(rows) if place not in joined.used[name]]
        for begin in range(0, len(lost), _TOGETHER):
            some = lost[begin : begin + _TOGETHER]
            text = f"{name}, {_lines(some)}: {_belongs(table, len(some))}"
            yield _left(tables, read.headers, some, MalformedMessage("M852", text, path=f"{name}, {_lines(some)}"))


def _belongs(table: Table, count: int) -> str:
    what = "the row belongs" if count == 1 else f"{count} rows belong"
    return f"{what} to no {table.parent} by {' and '.join(table.by)}"


def _lines(rows: Collection[TableRow]) -> str:
    numbers = sorted(row.line for row in rows)
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    more = ", …" if len(numbers) > _SHOWN else ""
    return f"lines {', '.join(map(str, numbers[:_SHOWN]))}{more}"


def _broken_record(
    tables: Tables, headers: Mapping[str, Header], rows: Sequence[TableRow], fault: MalformedMessage, number: int
) -> BrokenMessage:
    by = rows[0].table.by
    control = "|".join(rows[0].cells[column].strip() for column in by)
    known = control if control.isprintable() else ""
    facts = MessageFacts("csv", "unreadable", control_id=known, place=f"record {number}")
    return BrokenMessage(fault, facts, as_files(tables, headers, rows))


def _left(
    tables: Tables, headers: Mapping[str, Header], rows: Sequence[TableRow], fault: MalformedMessage
) -> BrokenMessage:
    return BrokenMessage(fault, MessageFacts("csv", "unreadable", place=fault.path), as_files(tables, headers, rows))


def _whole(body: bytes, fault: MalformedMessage) -> BrokenMessage:
    """A set of which nothing can be worked, as one message."""
    return BrokenMessage(fault, MessageFacts("csv", "unreadable"), body)
