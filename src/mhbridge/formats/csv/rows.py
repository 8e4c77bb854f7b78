"""
Lines to rows: each a message with its own bytes, or the error that says what is wrong with it.

A row that is wrong is an error by itself and costs no other. Where a quotation mark goes wrong, rows go on at the next
line that begins a whole row; in a table of few columns any line of text may look like one, so no more is read. This
module must never skip a line that says something: what is not a row belongs to the error before it.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats import BrokenMessage, Source
from mhbridge.formats.csv.header import Header
from mhbridge.formats.csv.lines import Lines, alone, codec_of, ending
from mhbridge.formats.encoding import decode, refuse_controls
from mhbridge.model import Issue, MessageFacts, Severity

__all__ = ["LostRows", "Row", "cut", "read_rows"]

#: Characters of one cell: a letter with pictures in it has fewer.
_CELL: Final = 4_000_000
#: What says nothing. Python's own blanks have control characters among them (U+001C to U+001F), which are refused.
_BLANKS: Final = " \t\r\n\u00a0"
_COLUMN: Final = re.compile(r"\[([^\]]*)\]")
#: A line of text has this many delimiters, in just this number, only if it is a row.
_WIDE: Final = 8
#: So many bytes belong to one broken row at most; then nobody can say any more where the next one begins.
_BROKEN: Final = 4_000_000
#: No row that begins after a broken one is looked for over more lines than this.
_AHEAD: Final = 50


class LostRows(MalformedMessage):
    """From here on nobody can say where a row begins."""


class Row:
    """
    One row: a message, and its own cursor.

    Args:
        cells: the cells by column name, exactly as they stand.
        own: the row's own bytes.
        line: the line of the file that it begins in.
        codec: what the source declares.
    """

    __slots__ = ("_codec", "_first", "cells", "facts", "header", "line", "own")

    def __init__(
        self,
        header: Header,
        cells: dict[str, str],
        own: bytes,
        facts: MessageFacts,
        line: int,
        *,
        first: bool,
        codec: str,
    ) -> None:
        self.cells = cells
        self.facts = facts
        self.line = line
        self.header = header
        self.own = own
        self._first = first
        self._codec = codec

    @property
    def body(self) -> bytes:
        """The header line and the row's own bytes, so that the row can be read again alone."""
        return alone(self.header.line + self.own, self._codec)

    @property
    def patients(self) -> int:
        """One: a row is one message."""
        return 1

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """The control id: of its column, or of the row's own bytes."""
        return (("control_id", self.facts.control_id),) if self.facts.control_id else ()

    def noted(self, issues: Sequence[Issue]) -> tuple[Issue, ...]:
        """That the columns stand in another order, once in a file, and `issues` with line and column."""
        placed = tuple(self._placed(issue) for issue in issues)
        if not self._first or not self.header.moved:
            return placed
        text = "the columns stand in another order than declared; they were read by their names"
        return (Issue("M777", Severity.INFORMATION, text, "line 1"), *placed)

    def _placed(self, issue: Issue) -> Issue:
        names = [name for name in _COLUMN.findall(issue.path) if name in self.cells]
        if names:
            where = ", ".join(f"column {self.header.places[name]} [{name}]" for name in dict.fromkeys(names))
            return replace(issue, path=f"line {self.line}, {where}")
        return issue if issue.path else replace(issue, path=f"line {self.line}")


def _blank(cell: str) -> bool:
    return not cell.strip(_BLANKS)


def read_rows(
    lines: Lines, header: Header, source: Source, codec: str, before: int = 0
) -> Iterator[Row | MalformedMessage]:
    """
    The rows that follow, in order.

    Args:
        before: how many rows of the same file there were before.
    """
    number = before
    control = source.options.get("control_id", "")
    declared = codec_of(source)
    for cells, known in _taken(lines, header, source):
        if known is None and all(map(_blank, cells)):
            # A blank line, or one of the empty rows that spreadsheets end a file with: nobody has said anything.
            continue
        number += 1
        place, own = f"row {number}", lines.own
        begin, line = lines.end - len(own), lines.number - len(lines.taken) + 1
        fault = known or _fault(cells, own, header, codec, begin)
        if fault is None:
            row = dict(zip(header.names, cells, strict=True))
            facts = MessageFacts("csv", "row", control_id=_id(row, control, own), place=place)
            yield Row(header, row, own, facts, line, first=number == 1, codec=declared)
            continue
        text = f"line {line}: {fault.message}"
        if isinstance(fault, LostRows):
            text = f"the quotes go wrong in the row that begins in line {line}; nothing after it was read"
        offset = begin if fault.offset is None else fault.offset
        told = MalformedMessage(fault.code, text, path=place, offset=offset)
        yield BrokenMessage(told, MessageFacts("csv", "unreadable", place=place), alone(header.line + own, declared))


def _fault(cells: list[str], own: bytes, header: Header, codec: str, begin: int) -> MalformedMessage | None:
    """What is wrong with a row whose quotes are well."""
    try:
        refuse_controls(own, decode(own, codec, codec.upper(), start=begin), codec, start=begin)
    except MalformedMessage as error:
        return error
    if len(cells) != len(header.cells):
        return MalformedMessage("M771", f"the row has {len(cells)} cells, not {len(header.cells)}")
    end = ending(own)
    if end and end != header.line_end:
        return MalformedMessage("M774", "the row ends otherwise than the header does")
    return None


def _taken(lines: Lines, header: Header, source: Source) -> Iterator[tuple[list[str], MalformedMessage | None]]:
    """
    Cells of row after row; the bytes of each are in `lines` while it is in hand.

    After a `LostRows` there is nothing more.
    """
    csv.field_size_limit(_CELL)
    delimiter = source.options["delimiter"]
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width = len(header.cells)
    while True:
        lines.begin()
        try:
            cells = next(reader, None)
        except csv.Error:
            if len(lines.taken) == 1 and len(lines.taken[0]) > _CELL and b'"' not in lines.taken[0]:
                yield [], MalformedMessage("M776", f"a cell has more than {_CELL} characters")
            elif _ended(lines, width, delimiter):
                yield [], MalformedMessage("M772", "the quotes go wrong")
            else:
                yield [], LostRows("M772", "the quotes go wrong")
                return
            # What the reader had in hand of a row is not to be seen again.
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        if cells is None:
            return
        if len(lines.taken) > 1 and (kept := _next_whole(lines.taken, width, delimiter)):
            # A quotation mark that was not closed has swallowed rows up to one that closed it by chance.
            lines.give_back(kept)
            yield [], MalformedMessage("M772", "the quotes go wrong")
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        yield cells, None


def _ended(lines: Lines, width: int, delimiter: str) -> bool:
    """Give the row in hand the lines up to the next that begins a whole row; `False` when that cannot be told."""
    if width < _WIDE:
        _exhaust(lines)
        return False
    lines.give_back(1)
    size = len(lines.own)
    while ahead := lines.ahead(1):
        if delimiter in ahead[0] and _begins_row(lines.ahead(_AHEAD), width, delimiter):
            return True
        size += len(next(lines))
        if size > _BROKEN:
            _exhaust(lines)
            return False
    return True


def _exhaust(lines: Lines) -> None:
    """Take what is left of a body, as long as one message may be."""
    size = len(lines.own)
    for text in lines:
        size += len(text)
        if size > _BROKEN:
            return


def _next_whole(taken: list[bytes], width: int, delimiter: str) -> int:
    """How many of some lines come before the first, after the very first, that alone is a whole row; 0: none is."""
    if width < _WIDE:
        return 0
    for kept, line in enumerate(taken[1:], 1):
        # Latin-1 is ASCII where it matters here, and decodes whatever it is given.
        if line.count(delimiter.encode("latin-1", "replace")) >= width - 1 and _is_whole(
            line.decode("latin-1"), width, delimiter
        ):
            return kept
    return 0


def _is_whole(text: str, width: int, delimiter: str) -> bool:
    try:
        return len(next(csv.reader([text], delimiter=delimiter, strict=True), [])) == width
    except csv.Error:
        return False


def _begins_row(lines: Sequence[str], width: int, delimiter: str) -> bool:
    """Whether the first of some lines begins a row with every cell, which may go on over the next ones."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        if len(next(reader, [])) != width:
            return False
    except csv.Error:
        return False
    # A row of which one line alone is a row has swallowed it.
    return not any(_is_whole(line, width, delimiter) for line in lines[1 : reader.line_num])


def _id(row: Mapping[str, str], column: str, own: bytes) -> str:
    """What identifies a row: its cell, or where no column is declared for it its own bytes (a corrected row is new)."""
    if not column:
        return hashlib.blake2b(own.rstrip(b"\r\n"), digest_size=8).hexdigest()
    text = row[column].strip()
    return text if text.isprintable() else ""


def cut(lines: Lines, header: Header, source: Source) -> Iterator[tuple[bytes, bool]]:
    """
    The bytes of row after row, for taking a file to pieces, and whether it is a row of which something is said.

    Raises:
        LostRows: from here on nobody can say where a row begins.
    """
    for cells, fault in _taken(lines, header, source):
        if isinstance(fault, LostRows):
            raise fault
        yield lines.own, fault is not None or not all(map(_blank, cells))
