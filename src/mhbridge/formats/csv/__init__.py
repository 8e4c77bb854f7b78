"""
CSV extracts: a declared header, one message per row; or a set of tables, one message per row of its root.

`FORMAT` is the door (see `mhbridge.formats.Format`); everything else is behind it:

    declaration   what a `source:` block says
    lines         bytes → lines, of a body or of a file
    header        the first line against the declared columns
    rows          lines → rows, and what is wrong with one
    dates         whether day and month stand as declared
    paths         what a path finds in a row
    places        where things are, for the field ledger
    sets/         several tables whose rows belong together

What is read is decided by the declaration alone: this package must never guess a delimiter, an encoding or the order of
day and month, never evaluate a cell (one that begins with `=` is text), and never quote a cell of the file in an error.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.formats import BrokenMessage, Cell, Loop, LoopSpot, Part, Path, Scope, Source, Spot
from mhbridge.formats.csv import places
from mhbridge.formats.csv.dates import other_order
from mhbridge.formats.csv.declaration import KEYS, declared
from mhbridge.formats.csv.header import Header, difference, is_table, read_header
from mhbridge.formats.csv.lines import BOM, Lines, codec_of, lines_of_body, lines_of_file, one_byte_codec
from mhbridge.formats.csv.paths import ColumnPath, check, every_reader, first_reader, make_loop, scan_path
from mhbridge.formats.csv.rows import Row, cut, read_rows
from mhbridge.formats.csv.sets import declaration as set_declaration
from mhbridge.formats.csv.sets import paths as set_paths
from mhbridge.formats.csv.sets import places as set_places
from mhbridge.formats.csv.sets.declaration import tables_of
from mhbridge.formats.csv.sets.gathering import SetGathering
from mhbridge.formats.csv.sets.reading import read_set
from mhbridge.formats.csv.sets.record import Record
from mhbridge.formats.several import first_name, is_several, read_files
from mhbridge.formats.spots import Unasked
from mhbridge.model import NOTHING_BEFORE, Answer, Before, MessageFacts

__all__ = ["FORMAT", "Csv", "Row"]

#: Rows of one part of a large file, and bytes: so much is translated while others wait, and committed at once. A ward
#: that waits for an acknowledgement waits no longer than the twentieth of a second that this takes.
_ROWS: Final = 25
_BYTES: Final = 1_000_000
#: Bytes of a file that is another than was declared, and is kept whole in the store all the same.
_WHOLE: Final = 20_000_000

_NOTHING: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*\Z")
_LINE: Final = re.compile(rb"[^\r\n]*")
_WORD: Final = re.compile(r"[^\s\[\]/]+")
#: A cell of a header, for telling CSV from other text: a word or a few, not a number, no punctuation of other formats.
_HEADER_CELL: Final = re.compile(r"\s*[^\W\d][\w .()/#-]{0,63}\s*")


class Csv:
    """The format `csv`. Stateless."""

    name: str = "csv"
    keys: Mapping[str, str] = {**KEYS, **set_declaration.KEYS}
    reached_by_shape: bool = False

    def declare(self, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
        """Check a `source:` block. Raises `DeclarationError`."""
        if "tables" in options or "message_per" in options:
            return set_declaration.declared(self.name, timezone, charset, options)
        return declared(self.name, timezone, charset, options)

    def recognise(self, head: bytes) -> bool:
        """Whether the first line looks like a header, names with a delimiter between; or they are several files."""
        if is_several(head):
            return first_name(head).lower().endswith((".csv", ".txt", ".tsv"))
        found = _LINE.match(head.removeprefix(BOM))
        assert found is not None
        try:
            line = found[0].decode()
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

    def messages(
        self, body: bytes, sources: Sequence[Source], before: Before = NOTHING_BEFORE
    ) -> Iterator[tuple[Row | Record | MessageError, tuple[int, ...]]]:
        """
        One message per row, or of a set of tables per row of its root.

        A file that is a table, but not the declared one, is one message that waits for a person: M700 when nothing is
        in it, M770 when its header is another, M773 when its dates only fit the other order of day and month.

        Args:
            before: what there was of the same file before this part of it.

        Raises:
            MalformedMessage: M770 when it is no table at all, M704 when it is not of the declared UTF-16 or UTF-32.
        """
        taking = [i for i, source in enumerate(sources) if tables_of(source) is not None]
        if taking and (len(taking) == len(sources) or is_several(body[:4096])):
            yield from _set_messages(body, sources, taking, before)
            return
        if _NOTHING.match(body):
            # An empty file is an extract that failed, and somebody has to ask the supplier.
            yield _whole(body, "M700", "the file is empty"), ()
            return
        found = _chosen(body, sources)
        if isinstance(found, MalformedMessage):
            yield _whole(body, found.code, found.message), ()
            return
        taken, header, lines, codec = found
        source = sources[taken[0]]
        if other_order(body, source.options.get("dates", "")):
            order = f"many dates of the file are not {source.options['dates']}, and would be with day and month changed"
            yield _whole(body, "M773", order), ()
            return
        if before.rows:
            lines.number = before.lines
        for row in read_rows(lines, header, source, codec, before.rows):
            yield row, taken if isinstance(row, Row) else ()

    def parts(
        self, file: BinaryIO, sources: Sequence[Source], before: Before = NOTHING_BEFORE
    ) -> Iterator[Part] | None:
        """
        A large file in parts that can each be read alone, the header with some rows; `None`: it is to be read whole.

        Args:
            file: open and seekable.
            before: where to go on.

        Raises:
            MalformedMessage: while the parts are gone through: M772 or M776, when from here on nobody can say where a
                row begins, and M770 of a large file whose header is not the declared one.
        """
        if not all(one_byte_codec(codec_of(source)) for source in sources):
            return None
        size = file.seek(0, 2)
        file.seek(0)
        if any(tables_of(source) is not None for source in sources):
            if is_several(file.read(4096)) or all(tables_of(source) is not None for source in sources):
                return None
            file.seek(0)
        try:
            first = next(lines_of_file(file.read), b"")
            found = _chosen(first, sources)
        except MalformedMessage as error:
            found = error
        if isinstance(found, MalformedMessage):
            # A small file waits for a person in the store; a large one is refused, and stays where files are refused.
            return _refused(found) if size > _WHOLE else None
        taken, header, _, codec = found
        source = sources[taken[0]]
        start = before if before.rows else Before(0, 1, len(header.raw))
        file.seek(start.offset)
        return _parts(Lines(lines_of_file(file.read), codec, start.lines, start.offset), header, source, start)

    def gathers(self, sources: Sequence[Source]) -> SetGathering | None:
        """The files of a set belong together; of several sets that are declared, of the first."""
        tables = next((found for source in sources if (found := tables_of(source)) is not None), None)
        return None if tables is None else SetGathering(tables)

    def scan(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """`[Column]`, or `.`: the value of the loop around it."""
        return scan_path(text, start, end)

    def scan_loop(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """Whatever is written, so that `loop` can say that there is none."""
        if (found := self.scan(text, start, end)) is not None:
            return found
        word = _WORD.match(text, start, end)
        return (ColumnPath(word[0], column=word[0]), word.end()) if word else None

    def source_type(self, path: Path, scope: Scope) -> str:
        """Everything is text."""
        (set_paths.check if _joined(scope) else check)(path, scope)
        return "text"

    def first(self, path: Path, scope: Scope) -> Callable[[Any], Any]:
        """Row → the cell, or `ABSENT` when nothing but blanks is in it."""
        return (set_paths.first_reader if _joined(scope) else first_reader)(path, scope)

    def every(self, path: Path, scope: Scope) -> Callable[[Any], list[Any]]:
        """Row → the cell, or the values in it where `separators:` says that there are several."""
        return (set_paths.every_reader if _joined(scope) else every_reader)(path, scope)

    def loop(self, path: Path, scope: Scope) -> tuple[Loop, Scope]:
        """Over the values of a cell, or the rows of a table. Raises `PathError` where a cell is one value."""
        return set_paths.make_loop(path, scope) if _joined(scope) else make_loop(path, scope)

    def populated(self, message: Row | Record) -> Iterable[Cell]:
        """Every column in which something is."""
        return set_places.populated(message) if isinstance(message, Record) else places.populated(message)

    def shapes(self, message: Row | Record) -> tuple[Sequence[str], Sequence[Hashable]]:
        """A row is one group, and its shape is which of its cells are populated."""
        if isinstance(message, Record):
            return set_places.shapes(message)
        return ("",), (tuple(cell for cell, _ in places.populated(message)),)

    def layout(self, kind: str, shape: Any) -> Sequence[Cell]:  # noqa: ARG002  # the protocol's
        """Every column in which something is."""
        return [(cell, 1) for cell in shape]

    def like(self, place: int) -> int:
        """The column; nothing asks about several."""
        return place

    def structural(self, message: Row | Record, source: Source) -> Iterable[Cell]:
        """The column that identifies the row, where one is declared; of a set all keys."""
        if isinstance(message, Record):
            return set_places.structural(message)
        return places.structural(message, source)

    def spot(self, path: Path, scope: Scope, *, many: bool) -> Spot:
        """The column."""
        if _joined(scope):
            return set_places.SetSpot(path, scope, many=many)
        return places.spot(path, scope)

    def loop_spot(self, path: Path, scope: Scope) -> LoopSpot:
        """A loop over the values of a cell asks nothing; nor does one over a table: keys are the format's own."""
        return Unasked() if _joined(scope) else places.spot(path, scope)

    def ignored(self, path: Path) -> Callable[[Row | Record], Iterable[Cell]]:
        """The column; of a set perhaps a whole table."""
        assert isinstance(path, ColumnPath)
        alone, joined = places.ignored(path), set_places.ignored(path)
        return lambda message: joined(message) if isinstance(message, Record) else alone(message)

    def ignoring(
        self, paths: Sequence[Path]
    ) -> tuple[Callable[[str, int], int], Callable[[Row | Record, Sequence[Cell]], Iterable[Cell]]]:
        """The same for all of them at once. The number of a column that nobody declared depends on the header."""
        tables = {path.text for path in paths if not path.text.startswith("[")}
        found = [self.ignored(path) for path in paths if path.text not in tables]
        return (
            lambda kind, _place: int(kind in tables),
            lambda row, _cells: [cell for one in found for cell in one(row)],
        )

    def touched(self, message: Row | Record, cell: int) -> Any:
        """The column."""
        return set_places.touched(message, cell) if isinstance(message, Record) else cell

    def path(self, message: Row | Record, cell: int, bit: int, source: Source, *, exact: bool) -> str:  # noqa: ARG002
        """`[Column]`, or `[Table.Column]`."""
        if isinstance(message, Record):
            return set_places.path_of(message, cell, exact=exact)
        return f"[{places.name_of(message, cell)}]"

    def leaf(self, message: Row | Record, cell: int, bit: int) -> str:  # noqa: ARG002
        """The cell as it stands."""
        if isinstance(message, Record):
            return set_places.leaf(message, cell)
        return message.cells[places.name_of(message, cell)]

    def altered(self, message: Row | Record, cell: int, bit: int, encoded: str, source: Source) -> bytes:  # noqa: ARG002
        """The row with one cell replaced, below its header."""
        if isinstance(message, Record):
            return set_places.altered(message, cell, encoded)
        return places.altered(message, cell, encoded, source)

    def cursor(self, message: Any) -> Any:
        """A row is its own cursor."""
        return message.root if isinstance(message, Record) else message

    def text(self, raw: Any) -> str:
        """A cell as it stands."""
        return str(raw)

    def acknowledge(self, body: bytes, answer: Answer, *, name: str) -> bytes:  # noqa: ARG002  # the protocol's
        """A file is not answered."""
        return b""


def _joined(scope: Scope) -> bool:
    """Whether the paths of a mapping go into a set of tables."""
    return tables_of(scope.source) is not None


def _set_messages(
    body: bytes, sources: Sequence[Source], taking: Sequence[int], before: Before
) -> Iterator[tuple[Record | MessageError, tuple[int, ...]]]:
    """The records of a body under those of the sources whose set it is; several may declare the same."""
    if not body.strip():
        yield _whole(body, "M700", "the file is empty"), ()
        return
    names = [file.name for file in read_files(body)] if is_several(body[:4096]) else []
    if not names:
        yield _whole(body, "M850", "one file came alone, and the feed takes sets of several"), ()
        return
    best = min(taking, key=lambda i: _strange(sources[i], names))
    taken = tuple(i for i in taking if sources[i] == sources[best])
    for record in read_set(body, sources[best], before):
        yield record, taken if isinstance(record, Record) else ()


def _strange(source: Source, names: Sequence[str]) -> tuple[int, int]:
    """How little some files are the set that a source declares: files of no table, then tables without a file."""
    tables = tables_of(source)
    assert tables is not None
    held = {table.name for name in names if (table := tables.holding(name)) is not None}
    return sum(tables.holding(name) is None for name in names), sum(table.name not in held for table in tables.needed)


def _whole(body: bytes, code: str, message: str) -> BrokenMessage:
    """A file of which no row can be worked, as one message."""
    return BrokenMessage(MalformedMessage(code, message, offset=0), MessageFacts("csv", "unreadable"), body)


def _chosen(body: bytes, sources: Sequence[Source]) -> tuple[tuple[int, ...], Header, Lines, str] | MalformedMessage:
    """
    The sources that take a body, its header, and its lines after that; or why none does.

    Of several, those with the most columns of this header take it, and among them those that read its bytes alike.

    Raises:
        MalformedMessage: it is no table at all, or not in the declared UTF-16 or UTF-32.
    """
    found: dict[int, Header] = {}
    alone = [source for source in sources if tables_of(source) is None]
    for i, source in enumerate(sources):
        if tables_of(source) is not None:
            continue
        try:
            line, codec, _ = _opened(body, source)
        except MalformedMessage:
            continue
        if (header := read_header(line, codec, source)) is not None:
            found[i] = header
    if not found:
        line, codec = _first_line(body), "latin-1"
        if len(alone) == 1:
            line, codec, _ = _opened(body, alone[0])
        error = MalformedMessage("M770", _of_a_set(body, sources) or difference(line, alone), offset=0)
        if not is_table(line, codec):
            raise error
        return error
    best = max(found, key=lambda i: len(found[i].columns))
    columns, how = frozenset(found[best].columns), _reading(sources[best])
    taken = tuple(i for i in found if frozenset(found[i].columns) == columns and _reading(sources[i]) == how)
    line, codec, rest = _opened(body, sources[taken[0]])
    return taken, found[taken[0]], Lines(rest, codec, 1, len(line)), codec


def _of_a_set(body: bytes, sources: Sequence[Source]) -> str:
    """That a body is one table of a set, which nobody takes without the others."""
    for tables in filter(None, map(tables_of, sources)):
        for table in tables.by_name.values():
            try:
                line, codec, _ = _opened(body, table.alone)
            except MalformedMessage:
                continue
            if read_header(line, codec, table.alone) is not None:
                several = "a ZIP file, or files whose names differ in nothing but the table"
                return f"it is {table.name} of a set of {len(tables.by_name)} tables, which comes as {several}"
    return ""


def _reading(source: Source) -> tuple[str, str, str]:
    """What two mappings of one extract must agree on; one that reads it otherwise cannot have meant this file."""
    return codec_of(source), source.options["delimiter"], source.options.get("control_id", "")


def _first_line(body: bytes) -> bytes:
    line = _LINE.match(body)
    assert line is not None
    return line[0]


def _opened(body: bytes, source: Source) -> tuple[bytes, str, Iterator[bytes]]:
    """The first line, the codec, and the lines after it."""
    lines, codec = lines_of_body(body, codec_of(source))
    return next(lines, b""), codec, lines


def _refused(error: MalformedMessage) -> Iterator[Part]:
    """No part at all."""
    raise error
    yield


def _parts(lines: Lines, header: Header, source: Source, start: Before) -> Iterator[Part]:
    rows: list[bytes] = []
    before = after = start
    lost: MalformedMessage | None = None
    try:
        for own, says in cut(lines, header, source):
            full = after.rows - before.rows >= _ROWS or after.offset - before.offset >= _BYTES
            if says and full and after.rows > before.rows:
                yield Part(header.line + b"".join(rows), before, after)
                before, rows = after, []
            # Blank rows go along, so that lines are counted and no byte is left out. They end a part and never begin
            # one: behind the header, a lone line feed would make one line end with its carriage return.
            rows.append(own)
            after = Before(after.rows + says, lines.number, lines.end)
    except MalformedMessage as error:
        line, place = after.lines + 1, f"row {after.rows + 1}"
        text = f"{error.message} in the row that begins in line {line}; nothing after it was read"
        lost = MalformedMessage(error.code, text, path=place, offset=after.offset)
    if after.rows > before.rows:
        yield Part(header.line + b"".join(rows), before, after)
    if lost is not None:
        raise lost


FORMAT: Final = Csv()
