"""
Tables of any size to parts that can each be read alone: some rows of the root with all rows that belong to them.

Each table below the root is read once, and of each row its key's hash and its place in the file are written to an index
that lies sorted on disk; what is in memory does not grow with the rows, whatever order they are in. Then the root is
gone through in its own order. The index holds hashes under a key of its own and numbers, and nothing of a patient.

This module must never decide what is wrong with a record: it puts together whatever belongs to one, rows that cannot be
read among them, and `reading` says. What is left over at the end is put together as well.
"""

from __future__ import annotations

import heapq
import secrets
import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import BinaryIO, Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats import Part, Spill
from mhbridge.formats.csv.dates import is_turned, order_counts
from mhbridge.formats.csv.header import Header
from mhbridge.formats.csv.lines import Lines, codec_of, lines_of_file
from mhbridge.formats.csv.rows import Row, read_rows
from mhbridge.formats.csv.sets.declaration import Table, Tables
from mhbridge.formats.csv.sets.reading import MOST_ROWS, header_of, possible_keys, turned
from mhbridge.formats.csv.sets.record import TableRow, as_files, key_of
from mhbridge.model import NOTHING_BEFORE, Before

__all__ = ["parts_of_set"]

#: Rows of the root in one part, bytes, and rows that are left over.
_ROWS: Final = 25
_BYTES: Final = 1_000_000
_LEFT: Final = 400
#: hash of the key, offset, length, line, number of the row.
_ENTRY: Final = struct.Struct(">QQIII")
#: Entries that are sorted in memory at once, and those of which one is looked up in memory.
_RUN: Final = 50_000
_EVERY: Final = 128
#: Rows of the root with one key: more, and it is no key.
_DOUBLED: Final = 100
#: Rows that cannot be read, of one table: more, and the file is no table.
_BROKEN: Final = 1_000


@dataclass(slots=True)
class _Unread:
    """A row that cannot be read, what may be keys in it, and whether a record took it along."""

    row: TableRow
    pieces: frozenset[str]
    taken: bool = False


@dataclass(slots=True)
class _Side:
    """
    One table on disk.

    Args:
        used: a bit for each row that belongs to some record.
        broken: rows that cannot be read; and by what may be keys in them.
    """

    table: Table
    file: BinaryIO
    header: Header
    index: _Index
    used: bytearray = field(default_factory=bytearray)
    rows: int = 0
    broken: list[_Unread] = field(default_factory=list)
    suspects: dict[str, list[_Unread]] = field(default_factory=dict)

    def mark(self, number: int) -> None:
        self.used[number >> 3] |= 1 << (number & 7)

    def is_used(self, number: int) -> bool:
        return bool(self.used[number >> 3] >> (number & 7) & 1)


class _Index:
    """
    Entries sorted by hash: written in runs, merged into one file, and found there.

    Only every so many-th hash is in memory.
    """

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._held: list[bytes] = []
        self._runs: list[tuple[int, int]] = []
        self._file = spill()
        self._size = 0
        self._sparse = array("Q")

    def add(self, entry: bytes) -> None:
        """One more."""
        self._held.append(entry)
        if len(self._held) >= _RUN:
            self._run()

    def _run(self) -> None:
        self._held.sort()
        begin = self._size
        self._file.write(b"".join(self._held))
        self._size += len(self._held) * _ENTRY.size
        self._runs.append((begin, self._size))
        self._held = []

    def finish(self) -> None:
        """Nothing more is added."""
        if self._held:
            self._run()
        if len(self._runs) > 1:
            merged = self._spill()
            block: list[bytes] = []
            for entry in heapq.merge(*(self._read(begin, end) for begin, end in self._runs)):
                block.append(entry)
                if len(block) == 4096:
                    merged.write(b"".join(block))
                    block = []
            merged.write(b"".join(block))
            self._file.close()
            self._file = merged
        self._file.flush()
        for at in range(0, self._size, _EVERY * _ENTRY.size):
            self._file.seek(at)
            self._sparse.append(_ENTRY.unpack(self._file.read(_ENTRY.size))[0])

    def _read(self, begin: int, end: int) -> Iterator[bytes]:
        while begin < end:
            self._file.seek(begin)
            block = self._file.read(min(end - begin, 512 * _ENTRY.size))
            begin += len(block)
            for at in range(0, len(block), _ENTRY.size):
                yield block[at : at + _ENTRY.size]

    def find(self, wanted: int) -> Iterator[tuple[int, int, int, int]]:
        """Offset, length, line and number of the rows with a hash, in the order of the file."""
        begin = max(bisect_left(self._sparse, wanted) - 1, 0) * _EVERY * _ENTRY.size
        while begin < self._size:
            self._file.seek(begin)
            block = self._file.read(min(self._size - begin, _EVERY * _ENTRY.size))
            begin += len(block)
            for hashed, *rest in _ENTRY.iter_unpack(block):
                if hashed > wanted:
                    return
                if hashed == wanted:
                    yield rest[0], rest[1], rest[2], rest[3]


class _Join:
    """The tables of one set, ready to be joined."""

    def __init__(self, tables: Tables, files: Mapping[str, BinaryIO], spill: Spill) -> None:
        self.tables = tables
        self.secret = secrets.token_bytes(16)
        self.headers: dict[str, Header] = {}
        self.sides: dict[str, _Side] = {}
        self._spill = spill
        for name in tables.by_name:
            if name in files:
                self._open(tables.by_name[name], files[name])

    def _open(self, table: Table, file: BinaryIO) -> None:
        """
        Index a table; of the root, too, because its keys may stand twice.

        Raises:
            MalformedMessage: it has another header, nobody can say where a row begins, or much of it cannot be read.
        """
        lines = lines_of_file(_apart(file))
        header = header_of(table, next(lines, b""))
        if isinstance(header, MalformedMessage):
            raise header
        side = _Side(table, file, header, _Index(self._spill))
        codec = codec_of(table.alone)
        taken = Lines(lines, codec, 1, len(header.raw))
        dates = table.alone.options.get("dates", "")
        ours = others = 0
        for row in read_rows(taken, header, table.alone, codec):
            if dates:
                counted = order_counts(taken.own, dates)
                ours, others = ours + counted[0], others + counted[1]
            begin = taken.end - len(taken.own)
            if not isinstance(row, Row):
                if len(side.broken) >= _BROKEN:
                    text = f"{table.name}: more than {_BROKEN} rows cannot be read"
                    raise MalformedMessage("M856", text, path=table.name)
                line = taken.number - len(taken.taken) + 1
                unread = TableRow(table, header, {}, taken.own, line)
                side.broken.append(_Unread(unread, possible_keys(taken.own, codec)))
                for piece in side.broken[-1].pieces:
                    side.suspects.setdefault(piece, []).append(side.broken[-1])
                continue
            key = key_of(row.cells, table.by)
            if side.rows >> 3 >= len(side.used):
                side.used.extend(bytes(4096))
            if key is not None:
                entry = _ENTRY.pack(self._hash(key), begin, len(row.own), row.line, side.rows)
                side.index.add(entry)
            side.rows += 1
        if is_turned(ours, others):
            raise turned(table)
        side.index.finish()
        self.headers[table.name] = header
        self.sides[table.name] = side

    def _hash(self, key: Sequence[str]) -> int:
        digest = blake2b("\x1f".join(key).encode("utf-8", "surrogatepass"), digest_size=8, key=self.secret)
        return int.from_bytes(digest.digest())

    # -- rows --

    def root_rows(self) -> Iterator[tuple[TableRow, int, bool]]:
        """The rows of the root in their order, how many bytes there were after each, and whether it can be read."""
        side = self.sides[self.tables.root]
        lines = lines_of_file(_apart(side.file))
        next(lines, b"")
        codec = codec_of(side.table.alone)
        taken = Lines(lines, codec, 1, len(side.header.raw))
        at = taken.end
        for row in read_rows(taken, side.header, side.table.alone, codec):
            at = taken.end
            if isinstance(row, Row):
                yield TableRow(side.table, side.header, row.cells, row.own, row.line), at, True
            else:
                line = taken.number - len(taken.taken) + 1
                yield TableRow(side.table, side.header, {}, taken.own, line), at, False

    def _fetch(self, side: _Side, key: Sequence[str]) -> Iterator[tuple[TableRow, int]]:
        """The rows of a table with a key, and their numbers."""
        codec = codec_of(side.table.alone)
        for offset, length, line, number in side.index.find(self._hash(key)):
            side.file.seek(offset)
            own = side.file.read(length)
            lines = Lines(iter(own.splitlines(keepends=True)), codec, line - 1, offset)
            for row in read_rows(lines, side.header, side.table.alone, codec):
                # Two keys may have one hash.
                if isinstance(row, Row) and key_of(row.cells, side.table.by) == tuple(key):
                    yield TableRow(side.table, side.header, row.cells, own, line), number

    def same_key(self, root: TableRow) -> list[TableRow]:
        """
        The rows of the root that have its key, itself among them.

        Raises:
            MalformedMessage: M853, they are so many that the column is no key.
        """
        key = key_of(root.cells, root.table.by)
        if key is None:
            return [root]
        found = [row for row, _ in islice(self._fetch(self.sides[self.tables.root], key), _DOUBLED + 1)]
        if len(found) > _DOUBLED:
            text = f"{root.table.name}: more than {_DOUBLED} rows have one {' and '.join(root.table.by)}"
            raise MalformedMessage("M853", text, path=root.table.name)
        return found

    def gather(self, root: TableRow, into: dict[tuple[str, int], TableRow]) -> None:
        """Add all that belongs to a row of the root."""
        waiting = [root]
        seen: set[tuple[str, int]] = set()
        while waiting:
            above = waiting.pop()
            for table in self.tables.below[above.table.name]:
                side = self.sides.get(table.name)
                key = key_of(above.cells, table.of)
                if side is None or key is None:
                    continue
                for unread in side.suspects.get(key[0], ()):
                    if unread.pieces.issuperset(key):
                        unread.taken = True
                        into[table.name, -unread.row.line] = unread.row
                for row, number in self._fetch(side, key):
                    side.mark(number)
                    place = (table.name, row.line)
                    if place in seen:
                        continue
                    if len(seen) > MOST_ROWS:
                        # One more than is taken: who reads it says so.
                        return
                    seen.add(place)
                    into.setdefault(place, row)
                    waiting.append(row)

    def left_over(self) -> Iterator[tuple[Table, list[TableRow]]]:
        """The rows that belong to no record, and those that nobody can read, some at a time."""
        for side in self.sides.values():
            if side.table.parent:
                lost = [unread.row for unread in side.broken if not unread.taken]
                for begin in range(0, len(lost), _LEFT):
                    yield side.table, lost[begin : begin + _LEFT]
                if not side.table.unjoined:
                    yield from self._unused(side)

    def _unused(self, side: _Side) -> Iterator[tuple[Table, list[TableRow]]]:
        lines = lines_of_file(_apart(side.file))
        next(lines, b"")
        codec = codec_of(side.table.alone)
        found: list[TableRow] = []
        number = -1
        for row in read_rows(Lines(lines, codec, 1, len(side.header.raw)), side.header, side.table.alone, codec):
            if not isinstance(row, Row):
                continue
            number += 1
            if not side.is_used(number):
                found.append(TableRow(side.table, side.header, row.cells, row.own, row.line))
            if len(found) >= _LEFT:
                yield side.table, found
                found = []
        if found:
            yield side.table, found


def _apart(file: BinaryIO) -> Callable[[int], bytes]:
    """Reads a file from its beginning, wherever else it is read meanwhile."""
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        file.seek(at)
        block = file.read(size)
        at += len(block)
        return block

    return read


def parts_of_set(tables: Tables, files: Mapping[str, BinaryIO], before: Before, spill: Spill) -> Iterator[Part]:
    """
    The parts of a set from `before` on. The same files give the same parts at every time.

    Args:
        files: table → its file, open and seekable; those of the needed tables are there.

    Raises:
        MalformedMessage: M770, M772, M773, M776 or M856, of a table; then nothing of the set is worked.
    """
    with ExitStack() as stack:
        yield from _parts(_Join(tables, files, lambda: stack.enter_context(spill())), before)


def _parts(join: _Join, before: Before) -> Iterator[Part]:
    tables = join.tables
    root = tables.root
    into: dict[tuple[str, int], TableRow] = {}
    rows = size = 0
    start = after = NOTHING_BEFORE
    told: set[int] = set()

    def part(upto: Before) -> Part:
        return Part(as_files(tables, join.headers, list(into.values())), start, upto)

    for row, offset, readable in join.root_rows():
        if row.line in told:
            # With the first of those that have its key.
            told.discard(row.line)
            after = Before(after.rows, row.line, offset)
            continue
        same = join.same_key(row) if readable else [row]
        told.update(one.line for one in same if one.line != row.line)
        known = len(into)
        for one in same:
            into[root, one.line if readable else -one.line] = one
            if readable:
                join.gather(one, into)
        size += sum(len(one.own) for one in list(into.values())[known:])
        rows += 1
        after = Before(after.rows + len(same), row.line, offset)
        if rows >= _ROWS or size >= _BYTES:
            if after.rows > before.rows:
                yield part(after)
            start, rows, size = after, 0, 0
            into.clear()
    if into and after.rows > before.rows:
        yield part(after)
    # Beyond the last row of the root, so that going on after a stop finds its place.
    if not after.rows and not before.rows:
        # Nothing happened, and it is said that nothing did.
        yield part(Before(0, 1, 0))
    number = after.rows
    for _, some in join.left_over():
        number += 1
        upto = Before(number, after.lines, after.offset)
        if number > before.rows:
            start = Before(number - 1, after.lines, after.offset)
            into.clear()
            into.update({(row.table.name, row.line if row.cells else -row.line): row for row in some})
            yield part(upto)
