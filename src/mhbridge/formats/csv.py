"""
CSV extracts: a declared header, one message per row.

The header must be exactly the declared columns in their order: a supplier that adds, drops or moves one has changed
its extract, and reading on by name would hide it. Rows are read as a stream. A row that is too long or too short is its
own error; a quote that goes wrong ends the reading, because nobody can say where the next row begins. This module must
never skip a row, guess a delimiter or an encoding, or quote a cell of the file in an error.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.formats import BrokenMessage, DeclarationError, Loop, Path, PathError, Scope, Source
from mhbridge.formats.encoding import check_charset, check_zone, codec_named, decode, refuse_controls
from mhbridge.model import ABSENT, Answer, MessageFacts

__all__ = ["FORMAT", "Csv", "Row"]

#: As wide as any extract of the NHS data dictionary, several times over.
MAX_COLUMNS: Final = 200

#: Columns that a hint lists.
_SHOWN: Final = 20

_BOM: Final = b"\xef\xbb\xbf"
_NOTHING: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*\Z")
_LINE: Final = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_PATH: Final = re.compile(r"\[([^\]\r\n]*)\]")
_WORD: Final = re.compile(r"[^\s\[\]/]+")
_DATES: Final = re.compile(r"(?:dd|mm|yyyy)(?:[-/. ]?(?:dd|mm|yyyy)){2}(?:[T ]hh:mm(?::ss)?)?")
#: A cell of a header, for telling CSV from other text: a word or a few, not a number, no punctuation of other formats.
_HEADER_CELL: Final = re.compile(r"\s*[^\W\d][\w .()/#-]{0,63}\s*")


class Row:
    """
    One row: a message, and its own cursor.

    Args:
        cells: the cells by column name, exactly as they stand.
        body: the header line and the row's own bytes, so that the row can be read again alone.
    """

    __slots__ = ("body", "cells", "facts")

    def __init__(self, cells: dict[str, str], body: bytes, facts: MessageFacts) -> None:
        self.cells = cells
        self.body = body
        self.facts = facts

    @property
    def patients(self) -> int:
        """One: a row is one message."""
        return 1

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """The control id: of its column, or of the row's own bytes."""
        return (("control_id", self.facts.control_id),) if self.facts.control_id else ()


@dataclass(frozen=True, slots=True)
class ColumnPath(Path):
    """`[Column]`."""

    column: str = ""


class Csv:
    """The format `csv`. Stateless."""

    name: str = "csv"
    keys: Mapping[str, str] = MappingProxyType(
        {
            "columns": "the header: all columns in their order",
            "delimiter": "one character between cells; a comma if left out",
            "dates": "how dates are written: dd/mm/yyyy, yyyy-mm-dd hh:mm; ISO 8601 if left out",
            "control_id": "the column that identifies a row; left out, its own bytes do",
        }
    )

    def declare(self, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
        """Check a `source:` block. Raises `DeclarationError`."""
        check_zone(timezone)
        check_charset(charset)
        for key in options:
            if key not in self.keys:
                raise DeclarationError(key, f"{key!r} is not a key of a csv source", f"it has {', '.join(self.keys)}")
        delimiter = options.get("delimiter", ",")
        if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter.isalnum() or delimiter in '" \r\n\0':
            raise DeclarationError("delimiter", "a delimiter is one character and no letter, digit, blank or quote")
        columns = _columns(options.get("columns"))
        declared: dict[str, Any] = {"columns": columns, "delimiter": delimiter}
        if "dates" in options:
            declared["dates"] = _dates(options["dates"])
        if "control_id" in options:
            column = options["control_id"]
            if column not in columns:
                raise DeclarationError("control_id", f"{column!r} is not one of the columns", _near(column, columns))
            declared["control_id"] = column
        return Source(self.name, timezone, charset, MappingProxyType(declared))

    def recognise(self, head: bytes) -> bool:
        """Whether the first line looks like a header: different names with a delimiter between them."""
        found = _LINE.match(head.removeprefix(_BOM))
        assert found is not None
        try:
            line = found[0].decode().rstrip("\r\n")
        except UnicodeDecodeError:
            return False
        for delimiter in ",;\t|":
            try:
                cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
            except csv.Error:
                continue
            if len(cells) > 1 and len(set(cells)) == len(cells) and all(map(_HEADER_CELL.fullmatch, cells)):
                return True
        return False

    def messages(self, body: bytes, sources: Sequence[Source]) -> Iterator[tuple[Row | MessageError, tuple[int, ...]]]:
        """
        One message per row.

        Raises:
            MalformedMessage: M700, M704, M705 or M770 when the header is not that of any source.
        """
        if _NOTHING.match(body):
            raise MalformedMessage("M700", "the envelope is empty")
        chosen = tuple(i for i, source in enumerate(sources) if _has_header(body, source))
        if not chosen:
            raise MalformedMessage("M770", _difference(body, sources), offset=0)
        first = sources[chosen[0]]
        # Two mappings of one extract read it alike; one that reads the bytes otherwise cannot have meant this file.
        taken = tuple(i for i in chosen if _reads_alike(sources[i], first))
        for row in _rows(body, first):
            yield row, taken if isinstance(row, Row) else ()

    def scan(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """`[Column]`."""
        if not text.startswith("[", start, end):
            return None
        found = _PATH.match(text, start, end)
        if found is None:
            raise PathError("E107", "this '[' is not closed", hint="a column is written [Name]")
        if not found[1].strip():
            raise PathError("E107", "a column has a name", width=len(found[0]))
        return ColumnPath(found[0], column=found[1]), found.end()

    def scan_loop(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """Whatever is written, so that `loop` can say that there is none."""
        if (found := self.scan(text, start, end)) is not None:
            return found
        word = _WORD.match(text, start, end)
        return (ColumnPath(word[0], column=word[0]), word.end()) if word else None

    def source_type(self, path: Path, scope: Scope) -> str:
        """Everything is text."""
        _column(path, scope)
        return "text"

    def first(self, path: Path, scope: Scope) -> Callable[[Any], Any]:
        """Row → the cell, or `ABSENT` when nothing but blanks is in it."""
        column = _column(path, scope)

        def read(row: Row) -> Any:
            cell = row.cells[column]
            return cell if cell and not cell.isspace() else ABSENT

        return read

    def every(self, path: Path, scope: Scope) -> Callable[[Any], list[Any]]:
        """Row → the cell, or nothing."""
        first = self.first(path, scope)

        def read(row: Row) -> list[Any]:
            cell = first(row)
            return [] if cell is ABSENT else [cell]

        return read

    def loop(self, path: Path, scope: Scope) -> tuple[Loop, Scope]:  # noqa: ARG002  # the protocol's
        """There is none. Raises `PathError`."""
        raise PathError(
            "E207", "nothing is below a row", width=len(path.text), hint="a list takes one entry for each column"
        )

    def cursor(self, message: Any) -> Any:
        """A row is its own cursor."""
        return message

    def text(self, raw: Any) -> str:
        """A cell as it stands."""
        return str(raw)

    def acknowledge(self, body: bytes, answer: Answer, *, name: str) -> bytes:  # noqa: ARG002  # the protocol's
        """A file is not answered."""
        return b""


# --- declarations ------------------------------------------------------------------------------------------


def _columns(given: object) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or not given:
        raise DeclarationError("columns", "a csv source lists its columns", "the header of the file, in its order")
    if len(given) > MAX_COLUMNS:
        raise DeclarationError("columns", f"more than {MAX_COLUMNS} columns")
    for one in given:
        if not isinstance(one, str) or not one.strip() or "]" in one or not one.isprintable():
            raise DeclarationError("columns", f"{one!r} is not the name of a column")
        if given.count(one) > 1:
            raise DeclarationError("columns", f"{one!r} is listed twice")
    return tuple(given)


def _dates(given: object) -> str:
    pattern = given if isinstance(given, str) else ""
    parts = re.findall(r"dd|mm|yyyy", pattern.partition(":")[0].replace("hh", ""))
    if not _DATES.fullmatch(pattern) or sorted(parts) != ["dd", "mm", "yyyy"]:
        raise DeclarationError(
            "dates", f"{given!r} does not say how a date is written", "for example dd/mm/yyyy or dd/mm/yyyy hh:mm"
        )
    return pattern


def _plain_name(name: str) -> str:
    # Capitals and blanks are the usual mistake, so they do not count.
    return " ".join(name.casefold().split())


def _near(name: object, columns: Sequence[str]) -> str:
    plain = {_plain_name(column): column for column in columns}
    near = difflib.get_close_matches(_plain_name(str(name)), plain, n=1)
    if near:
        return f"did you mean {plain[near[0]]!r}?"
    return f"the columns are {', '.join(columns[:_SHOWN])}{', …' if len(columns) > _SHOWN else ''}"


def _column(path: Path, scope: Scope) -> str:
    assert isinstance(path, ColumnPath)
    columns = scope.source.options["columns"]
    if path.column not in columns:
        hint = _near(path.column, columns)
        raise PathError("E205", f"there is no column {path.column!r}", width=len(path.text), hint=hint)
    return path.column


# --- reading -----------------------------------------------------------------------------------------------


def _codec(source: Source) -> str:
    return codec_named(source.charset or "UTF-8") or "utf-8"


def _reads_alike(source: Source, other: Source) -> bool:
    return (_codec(source), source.options["delimiter"]) == (_codec(other), other.options["delimiter"])


def _header(body: bytes, source: Source) -> list[str]:
    """The first row, as a source would read it; empty when it cannot."""
    lines = _Lines(_Text(body, source))
    try:
        return next(csv.reader(lines, delimiter=source.options["delimiter"], strict=True), [])
    except (csv.Error, MalformedMessage):
        return []


def _has_header(body: bytes, source: Source) -> bool:
    columns: tuple[str, ...] = source.options["columns"]
    return tuple(_header(body, source)) == columns


def _difference(body: bytes, sources: Sequence[Source]) -> str:
    """
    How the header differs from that of the nearest source. Only declared names are said: a file without a header
    begins with a person.
    """
    if not sources:
        return "no mapping declares a header for this file"
    best, found = max(
        ((source.options["columns"], _header(body, source)) for source in sources),
        key=lambda pair: len(set(pair[0]) & set(pair[1])),
    )
    said = _other_text(body, found, best) or _other_columns(found, best)
    return said if len(sources) == 1 else f"{said} (the nearest of {len(sources)} declared)"


def _other_text(body: bytes, found: list[str], best: tuple[str, ...]) -> str:
    """How the text itself is not what was declared: a byte order mark where none is read, another delimiter."""
    start = found[0] if found else ""
    if start.startswith(("\ufeff", "\u00ef\u00bb\u00bf")) or body.startswith((b"\xff\xfe", b"\xfe\xff")):
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
        like = _plain_name(missing[0])
        at = next((i for i, cell in enumerate(found, 1) if cell not in best and _plain_name(cell) == like), 0)
        near = f": column {at} differs from it only in capitals or blanks" if at else ""
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        return f"the header has no column {missing[0]!r}{near or more}"
    if twice := [column for column in best if found.count(column) > 1]:
        return f"the header has column {twice[0]!r} twice"
    if len(found) > len(best):
        extra = next(i for i, cell in enumerate(found, 1) if cell not in best)
        return f"the header has {len(found)} columns, not {len(best)}: column {extra} is not declared"
    moved = next((column for column, there in zip(best, found, strict=False) if column != there), best[0])
    return f"the header has column {moved!r} in another place"


class _Text:
    """
    A body in a codec that contains ASCII, so that lines can be cut while they are bytes.

    Args:
        bom: the bytes before the first line.
    """

    __slots__ = ("body", "bom", "codec")

    def __init__(self, body: bytes, source: Source) -> None:
        codec = _codec(source)
        if codec.startswith(("utf-16", "utf-32")):
            body, codec = decode(body, codec, codec.upper()).removeprefix("\ufeff").encode(), "utf-8"
        self.body, self.codec = body, codec
        self.bom = len(_BOM) if codec == "utf-8" and body.startswith(_BOM) else 0


class _Lines:
    """
    The lines of a body as text, for the reader of the standard library, which asks for more inside quotes.

    Undecodable bytes are carried through as lone surrogates, which no text holds, and found in the row.
    """

    __slots__ = ("_lines", "_text", "end", "number")

    def __init__(self, text: _Text) -> None:
        self._text = text
        self._lines = _LINE.finditer(text.body, text.bom)
        self.end = text.bom
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        found = next(self._lines)
        if found.start() == found.end():  # the empty match at the end of the body
            raise StopIteration
        self.end = found.end()
        self.number += 1
        return found[0].decode(self._text.codec, "surrogateescape")


def _rows(body: bytes, source: Source) -> Iterator[Row | MalformedMessage]:
    text = _Text(body, source)
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=source.options["delimiter"], strict=True)
    columns = source.options["columns"]
    next(reader)
    header = text.body[: lines.end]
    if not header.endswith((b"\r", b"\n")):
        header += b"\r\n"
    control = source.options.get("control_id", "")
    number = 0
    while True:
        begin, line = lines.end, lines.number + 1
        try:
            cells = next(reader, None)
        except csv.Error:
            yield MalformedMessage(
                "M772",
                f"the quotes go wrong in the row that begins in line {line}; nothing after it was read",
                path=f"row {number + 1}",
                offset=begin,
            )
            return
        if cells is None:
            return
        if not cells:  # a blank line
            continue
        number += 1
        own = text.body[begin : lines.end]
        place = f"row {number}"
        try:
            refuse_controls(own, decode(own, text.codec, text.codec.upper(), start=begin), text.codec, start=begin)
        except MalformedMessage as error:
            told = MalformedMessage(error.code, f"line {line}: {error.message}", path=place, offset=error.offset)
            yield BrokenMessage(told, MessageFacts("csv", "unreadable", place=place), header + own)
            continue
        if len(cells) != len(columns):
            told = MalformedMessage(
                "M771", f"line {line} has {len(cells)} cells, not {len(columns)}", path=place, offset=begin
            )
            yield BrokenMessage(told, MessageFacts("csv", "unreadable", place=place), header + own)
            continue
        row = dict(zip(columns, cells, strict=True))
        facts = MessageFacts("csv", "row", control_id=_id(row, control, own), place=place)
        yield Row(row, header + own, facts)


def _id(row: Mapping[str, str], column: str, own: bytes) -> str:
    """What identifies a row: its cell, or where no column is declared for it its own bytes (a corrected row is new)."""
    if not column:
        return hashlib.blake2b(own.rstrip(b"\r\n"), digest_size=8).hexdigest()
    text = row[column].strip()
    return text if text.isprintable() else ""


FORMAT: Final = Csv()
