"""
CSV files that a person wrote for a mapping, as cells that know their place.

RFC 4180, strictly: what it does not allow (a quote that is never closed, text after a closing quote) is a diagnostic,
never a guess. For the tables of a mapping only: a supplier's data is read by its format. This module must never
raise for a file's content, and must never decide what a cell means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mhbridge.errors import Diagnostic, Span
from mhbridge.mapping.files import split_lines
from mhbridge.model import Severity
from mhbridge.model.frozen import frozen

__all__ = ["Cell", "Line", "Rows"]

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_QUOTED: Final = re.compile(r'"([^"]*(?:""[^"]*)*)("?)')
_PLAIN: Final = re.compile(r"[^,\r\n]*")


@frozen(frozen=True, slots=True)
class Cell:
    """One cell: its text without quotes and blanks around it, where it stands with them, and whether it had blanks."""

    text: str
    span: Span
    padded: bool = False


class Line:
    """
    One row. Where its cells stand is reckoned when somebody asks, which is when something is wrong.

    Args:
        number: the line that it begins in.
        row: its cells; or their texts as they stand, where none is quoted.
    """

    __slots__ = ("_file", "_row", "columns", "number", "said")

    def __init__(self, file: str, number: int, row: list[Cell] | list[str], said: list[str]) -> None:
        self._file, self._row, self.number = file, row, number
        #: The texts of its cells, without quotes and the blanks around them.
        self.said = said
        #: Where each column stands among them.
        self.columns: Mapping[str, int] = {}

    def __getitem__(self, column: str) -> str:
        at = self.columns.get(column)
        return "" if at is None else self.said[at]

    @property
    def placed(self) -> list[Cell]:
        """Its cells."""
        cells, begin = [], 1
        for cell in self._row:
            if isinstance(cell, Cell):
                cells.append(cell)
                continue
            span, bare = Span(self._file, self.number, begin, self.number, begin + len(cell)), cell.strip()
            begin = span.end_column + 1
            cells.append(Cell(bare, span, padded=bool(bare) and bare != cell))
        return cells

    @property
    def cells(self) -> dict[str, Cell]:
        """Column → cell."""
        return dict(zip(self.columns, self.placed, strict=True))

    @property
    def span(self) -> Span:
        """The whole row's place."""
        cells = self.placed
        return cells[0].span.to(cells[-1].span)

    @property
    def padded(self) -> bool:
        """Whether blanks stand around some text in its cell."""
        return self._row != self.said and any(cell.padded for cell in self.placed)


class Rows:
    """
    The rows of one file. What is wrong with the file's form is reported while it is iterated.

    Args:
        file: its name as people are shown it.
        required: columns that the header must have, in this order.
        optional: columns that may follow; each one may be missing.
        further: columns of any other name may follow too.
    """

    def __init__(
        self, file: str, text: str, required: Sequence[str], optional: Sequence[str] = (), *, further: bool = False
    ) -> None:
        self.file = file
        self.further = further
        self.text = text.removeprefix("\ufeff")
        self.columns = (*required, *optional)
        self.required = len(required)
        self.diagnostics: list[Diagnostic] = []
        self._lines = split_lines(self.text)

    def report(self, code: str, message: str, span: Span, hint: str = "", severity: Severity = Severity.ERROR) -> None:
        """Add a diagnostic, with the line that it is about."""
        line = self._lines[span.line - 1] if span.line <= len(self._lines) else ""
        self.diagnostics.append(Diagnostic(code, message, span, line, hint, severity))

    def __iter__(self) -> Iterator[Line]:
        rows = self._rows()
        header = next(rows, None)
        if header is None or not self._header(header):
            if header is None:
                self.report("E408", "the file is empty", Span(self.file, 1, 1, 1, 1), self._hint())
            return
        columns = {name: at for at, name in enumerate(header.said)}
        for row in rows:
            if len(row.said) == len(columns):
                row.columns = columns
                yield row
            else:
                what = f"the row has {len(row.said)} cells and the header has {len(columns)}"
                short = len(row.said) < len(columns)
                hint = "an empty cell keeps its comma" if short else "text with a comma stands in double quotes"
                self.report("E409", what, row.span, hint)

    def _hint(self) -> str:
        rest = self.columns[self.required :]
        return ",".join(self.columns[: self.required]) + (f"[,{','.join(rest)}]" if rest else "")

    def _header(self, header: Line) -> bool:
        """Whether the header is the expected one: the required columns in order, then some of the optional ones."""
        names = header.said
        if (*names,) == self.columns[: self.required]:
            return True
        for at, name in enumerate(names):
            allowed = self.columns[at : at + 1] if at < self.required else self.columns[self.required :]
            placed = name in allowed or (self.further and at >= self.required and bool(name))
            if not placed or name in names[:at]:
                what = f"the header has no place for a column {name!r} here"
                self.report("E408", what, header.placed[at].span, self._hint())
                return False
        if len(names) < self.required:
            missing = ", ".join(self.columns[len(names) : self.required])
            self.report("E408", f"the header lacks {missing}", header.span, self._hint())
            return False
        return True

    def _rows(self) -> Iterator[Line]:
        """The rows; blank lines are passed over."""
        text, at, line, begin = self.text, 0, 1, 0
        if '"' not in text:
            for number, whole in enumerate(self._lines, 1):
                if "," in whole or whole.strip():
                    cells = whole.split(",")
                    yield Line(self.file, number, cells, list(map(str.strip, cells)))
            return
        row: list[Cell] = []
        while at < len(text) or row:
            if not row and '"' not in (whole := self._lines[line - 1]):
                if "," in whole or whole.strip():
                    plain = whole.split(",")
                    yield Line(self.file, line, plain, list(map(str.strip, plain)))
                at += len(whole)
                if end_of_line := _LINE_END.match(text, at):
                    at = begin = end_of_line.end()
                    line += 1
                continue
            start, first = at, line
            if text.startswith('"', at):
                found = _QUOTED.match(text, at)
                assert found is not None
                value, at = found[1].replace('""', '"'), found.end()
                inner_begin = begin
                for end in _LINE_END.finditer(found[1]):
                    line, inner_begin = line + 1, start + 1 + end.end()
                span = Span(self.file, first, start - begin + 1, line, at - inner_begin + 1)
                begin = inner_begin
                if not found[2]:
                    self.report(
                        "E410", "the quote is never closed", Span(self.file, first, span.column, first, span.column + 1)
                    )
                    return
                if at < len(text) and text[at] not in ",\r\n":
                    what = Span(self.file, line, at - begin + 1, line, at - begin + 2)
                    self.report("E410", "text after a closing quote", what, 'a quote inside a cell is written ""')
                    return
            else:
                found = _PLAIN.match(text, at)
                assert found is not None
                value, at = found[0], found.end()
                span = Span(self.file, line, start - begin + 1, line, at - begin + 1)
            bare = value.strip()
            row.append(Cell(bare, span, padded=bool(bare) and bare != value))
            if text.startswith(",", at):
                at += 1
                continue
            if len(row) > 1 or row[0].text:
                yield Line(self.file, row[0].span.line, row, [cell.text for cell in row])
            row = []
            end_of_line = _LINE_END.match(text, at)
            if end_of_line:
                at = end_of_line.end()
                line, begin = line + 1, at
