"""
The first line of a file against the declared columns.

Columns are found by name, never by place. All that are declared must be there, each once; what else is there is not
read, and said. A file without its header begins with a person, so nothing of a first line that is not the declared
header is ever quoted. This module must never take a column for another that is only like it.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from mhbridge.formats import Source
from mhbridge.formats.csv.declaration import MAX_COLUMNS, plain_name
from mhbridge.formats.csv.lines import BOM, codec_of, ending

__all__ = ["Header", "difference", "is_table", "other_file", "read_header"]

#: So many columns, and no person has made the table.
_ABSURD: Final = 5 * MAX_COLUMNS


@dataclass(frozen=True)
class Header:
    """
    The header of one file.

    Args:
        raw: its bytes, with the mark of UTF-8 and the line end where it has them.
        cells: what stands in it.
        columns: those that are declared.
    """

    raw: bytes
    cells: tuple[str, ...]
    columns: tuple[str, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """By what a cell of a row is called; a column without a name of its own is called by its place."""
        twice = {cell for cell, times in Counter(self.cells).items() if times > 1}
        return tuple(
            cell if cell.strip() and cell.isprintable() and cell not in twice else f"column {place}"
            for place, cell in enumerate(self.cells, 1)
        )

    @cached_property
    def places(self) -> dict[str, int]:
        """Name → place, counted from 1."""
        return {name: place for place, name in enumerate(self.names, 1)}

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Name → number of the column in the field ledger: declared ones by their names, then the others."""
        return {name: place for place, name in enumerate((*sorted(self.columns), *self.extra))}

    @cached_property
    def extra(self) -> tuple[str, ...]:
        """Columns that nobody declared."""
        declared = frozenset(self.columns)
        return tuple(name for name in self.names if name not in declared)

    @cached_property
    def moved(self) -> bool:
        """The declared columns stand in another order."""
        declared = frozenset(self.columns)
        return tuple(name for name in self.names if name in declared) != self.columns

    @cached_property
    def line_end(self) -> bytes:
        """How its line ends; empty when there is nothing after it."""
        return ending(self.raw)

    @cached_property
    def line(self) -> bytes:
        """Itself as a line, to put a row under."""
        return self.raw if self.line_end else self.raw + b"\r\n"


def read_header(line: bytes, codec: str, source: Source) -> Header | None:
    """The header that a source declares, or `None` when the line is not that."""
    cells = _cells(line, codec, source)
    columns: tuple[str, ...] = source.options["columns"]
    times = Counter(cells)
    if len(cells) < len(columns) or any(times[column] != 1 for column in columns):
        return None
    return Header(line, tuple(cells), columns)


def is_table(line: bytes, codec: str) -> bool:
    """Whether a first line may be that of a table at all: a workbook, or thousands of columns, is no extract."""
    text = line.decode(codec, "surrogateescape").removeprefix("\ufeff").rstrip("\r\n")
    return line.count(b",") < _ABSURD and len(line) < 64 * _ABSURD and text.replace("\t", " ").isprintable()


def _cells(line: bytes, codec: str, source: Source) -> list[str]:
    """The cells of a first line, as a source would read it; none when it cannot."""
    # A header is one line: names with line breaks in them are nobody's.
    if codec == "utf-8":
        line = line.removeprefix(BOM)
    try:
        text = line.decode(codec)
        return next(csv.reader([text], delimiter=source.options["delimiter"], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return []


# --- what is wrong with it ---------------------------------------------------------------------------------


def difference(line: bytes, sources: Sequence[Source]) -> str:
    """How a first line differs from the header of the nearest source. Only declared names are said."""
    if not sources:
        return "no mapping declares a header for this file"
    best, found = max(
        ((source.options["columns"], _cells(line, codec_of(source), source)) for source in sources),
        key=lambda pair: (len(set(pair[0]) & set(pair[1])), -len(pair[0])),
    )
    if text := _other_text(line, found, best):
        return text
    if len(sources) > 1 and 2 * len(set(best) & set(found)) < len(best):
        return f"no mapping declares columns like these ({len(sources)} headers are declared)"
    said = _other_columns(found, best)
    return said if len(sources) == 1 else f"{said} (the nearest of {len(sources)} declared)"


#: How a compound file begins (MS-CFB §2.2), as Excel wrote until 2003.
_OLD_WORKBOOK: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SEPARATOR: Final = re.compile(rb"(?:\xef\xbb\xbf)?\"?sep=.\"?,*\r?(?:\n|$)", re.IGNORECASE)


def other_file(head: bytes) -> str:
    """What bytes that begin so are instead of CSV; empty: nothing that is known."""
    if head.startswith(b"PK\x03\x04"):
        return "this is a workbook (XLSX) or another archive, not CSV"
    if head.startswith(_OLD_WORKBOOK):
        return "this is an old workbook (XLS), not CSV"
    if _SEPARATOR.match(head):
        return "the first line is what Excel says to itself (sep=), and the header stands behind it"
    return ""


def _other_text(line: bytes, found: list[str], best: tuple[str, ...]) -> str:
    """How the text itself is not what was declared: a byte order mark where none is read, another delimiter."""
    if (other := other_file(line)) and len(best) > 1:
        return other
    start = found[0] if found else ""
    if start.startswith(("\ufeff", "\u00ef\u00bb\u00bf")) or line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "the file begins with a byte order mark, which the declared charset has not; see 'charset'"
    if len(found) == 1 and len(best) > 1:
        # Only if the declared names are there: the first line of any other text may have such a character in it.
        for delimiter, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (",", "commas")):
            cells = [cell.strip(' "') for cell in start.split(delimiter)]
            if len(cells) > 1 and set(cells) & set(best):
                return f"the header is one cell with {name} in it; see 'delimiter'"
    return ""


def _other_columns(found: list[str], best: tuple[str, ...]) -> str:
    """How the columns are not those that were declared."""
    if missing := [column for column in best if column not in found]:
        like = plain_name(missing[0])
        at = next((i for i, cell in enumerate(found, 1) if cell not in best and plain_name(cell) == like), 0)
        near = f": column {at} differs from it only in capitals or blanks" if at else ""
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        return f"the header has no column {missing[0]!r}{near or more}"
    twice = next((column for column in best if found.count(column) > 1), best[0])
    return f"the header has column {twice!r} twice"
