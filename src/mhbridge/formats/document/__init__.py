"""
Documents: a letter as PDF, DOCX, RTF, HTML or plain text, and a file beside it that says what it is, or its own name.

`FORMAT` is the door (see `mhbridge.formats.Format`); everything else is behind it:

    declaration   what a `source:` block says: names, the index, how long one waits for the other
    message       files → letters, and what is wrong with one
    places        where things are, for the field ledger
    reading       what is written in a document whose text is not simply there
    blocks        what that is: paragraphs and tables, as text or as XHTML
    word          DOCX; its package, numbering (and styles), and line (of a paragraph)
    pdf           tagged PDF

`[file:content]` is the document, `[file:letter_no]` what its name says, and every other path goes into the index, in
the words of the index's own format. The document is sent on as it came; its text is read where that can be done
faithfully: of RTF, HTML and plain text, of a DOCX in which there is nothing that could not be placed, and of a PDF
whose writer says in which order it is read, and says what its pages show. Of any other PDF that would be a guess, and a
dose that slips to another medicine is worse than a letter that has to be opened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final

from mhbridge.errors import MessageError
from mhbridge.formats import (
    PLACE_BITS,
    Cell,
    Format,
    Loop,
    LoopSpot,
    Part,
    Path,
    PathError,
    Scope,
    Source,
    Spill,
    Spot,
    format_named,
    nowhere,
)
from mhbridge.formats.csv.declaration import KEYS as CSV_KEYS
from mhbridge.formats.document import places
from mhbridge.formats.document.declaration import INDEXES, KEYS, declared, of_source
from mhbridge.formats.document.message import Content, Cursor, Letter, placed_by, read_letters
from mhbridge.formats.json.declaration import KEYS as JSON_KEYS
from mhbridge.formats.several import first_name, is_several
from mhbridge.formats.xml.declaration import KEYS as XML_KEYS
from mhbridge.model import ABSENT, Answer, Before

__all__ = ["FORMAT", "Content", "Document", "Letter"]

_OWN: Final = "[file:"


@dataclass(frozen=True, slots=True)
class FilePath(Path):
    """`[file:content]`, or `[file:field]`."""

    field: str = ""


@dataclass(frozen=True, slots=True)
class IndexPath(Path):
    """A path into the index: what each format that an index may have makes of it, where it can be one of its own."""

    of: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True, slots=True)
class _Pairs:
    """`Gathering` of letters and their indexes."""

    sources: tuple[Source, ...]

    @property
    def wait(self) -> float:
        """The longest that is declared."""
        return max(of_source(source).wait for source in self.sources)

    def place(self, name: str) -> tuple[str, str] | None:
        """What pairs it, and whether it is letter or index."""
        for number, source in enumerate(self.sources):
            found = placed_by(source, name)
            if found is not None:
                alone = of_source(source).index is None
                return "|".join((str(number), *found[0])), "whole" if alone else found[1]
        return None

    def lacking(self, present: Collection[str]) -> bool:
        """Whether one of the two is not there."""
        return "whole" not in present and len(present) < 2

    def parts(
        self,
        files: Mapping[str, tuple[str, BinaryIO]],  # noqa: ARG002  # the protocol's
        before: Before,  # noqa: ARG002
        spill: Spill,  # noqa: ARG002
    ) -> Iterator[Part] | None:
        """A letter is one envelope."""
        return None


class Document:
    """The format `document`. Stateless."""

    name: str = "document"
    keys: Mapping[str, str] = {**CSV_KEYS, **XML_KEYS, **JSON_KEYS, **KEYS}
    reached_by_shape: bool = False

    def declare(self, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
        """Check a `source:` block. Raises `DeclarationError`."""
        return declared(self.name, timezone, charset, options)

    def recognise(self, head: bytes) -> bool:
        """Whether they are several files and no tables: a document alone says nothing of whose it is."""
        return is_several(head) and not first_name(head).lower().endswith(".csv")

    def messages(
        self, body: bytes, sources: Sequence[Source]
    ) -> Iterator[tuple[Letter | MessageError, tuple[int, ...]]]:
        """The letters of a body; see `message.read_letters`."""
        return read_letters(body, sources)

    def gathers(self, sources: Sequence[Source]) -> _Pairs:
        """A letter and its index belong together."""
        return _Pairs(tuple(sources))

    # -- paths --

    def scan(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """`[file:…]`, or a path of a format that an index may have: the longest."""
        if text.startswith(_OWN, start, end):
            close = text.find("]", start, end)
            if close < 0:
                raise PathError("E107", "this '[' is not closed", hint="[file:content]")
            return FilePath(text[start : close + 1], field=text[start + len(_OWN) : close]), close + 1
        return _longest(text, start, end, loop=False)

    def scan_loop(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """A path into the index."""
        return _longest(text, start, end, loop=True)

    def source_type(self, path: Path, scope: Scope) -> str:
        """`document`, `text` for what its name says, or what the index's format says."""
        if isinstance(path, FilePath):
            _place(path, scope.source)
            return "document" if path.field == "content" else "text"
        format_, inner, within = _inside(path, scope)
        return format_.source_type(inner, within)

    def resolved(self, path: Path, source: Source) -> Path:
        """A path with the format of the index, for `ignored` and `ignoring`."""
        if isinstance(path, FilePath):
            return replace(path, text=f"{path.text}#{_place(path, source)}")
        format_, inner, within = _inside(path, Scope(source))
        again = getattr(format_, "resolved", None)
        assert isinstance(path, IndexPath)
        return replace(path, of=((format_.name, inner if again is None else again(inner, within.source)),))

    def first(self, path: Path, scope: Scope) -> Callable[[Any], Any]:
        """Cursor → the document, what its name says, or what is found in the index."""
        if isinstance(path, FilePath):
            _place(path, scope.source)
            field = path.field
            if field == "content":
                return lambda cursor: cursor.letter.content
            return lambda cursor: _said(cursor, field)
        format_, inner, within = _inside(path, scope)
        find = format_.first(inner, within)
        return lambda cursor: find(cursor.inner)

    def every(self, path: Path, scope: Scope) -> Callable[[Any], list[Any]]:
        """The same, as a list."""
        if isinstance(path, FilePath):
            one = self.first(path, scope)
            return lambda cursor: [found] if (found := one(cursor)) is not ABSENT else []
        format_, inner, within = _inside(path, scope)
        find = format_.every(inner, within)
        return lambda cursor: find(cursor.inner)

    def loop(self, path: Path, scope: Scope) -> tuple[Loop, Scope]:
        """Over places of the index."""
        if isinstance(path, FilePath):
            raise PathError("E207", "nothing is below a document", width=len(path.text))
        format_, inner, within = _inside(path, scope)
        loop, below = format_.loop(inner, within)
        made: Any = places.InnerLoop(loop)
        return made, Scope(scope.source, below.loops)

    def cursor(self, message: Any) -> Any:
        """The letter, at the top of its index."""
        return message.cursor

    # -- for the field ledger --

    def populated(self, message: Letter) -> Iterable[Cell]:
        """The document, what its name says, and what is in the index."""
        found = [(place, 1) for place, text in enumerate(_own(message)) if text]
        if message.inner is not None:
            found += places.shifted(_format(message).populated(message.inner))
        return found

    def shapes(self, message: Letter) -> tuple[Sequence[str], Sequence[Hashable]]:
        """The document's own group, then those of the index, each with the format that made it."""
        kinds: list[str] = [places.OWN]
        found: list[Hashable] = [tuple(bool(text) for text in _own(message))]
        if message.inner is not None:
            inner = _format(message)
            more, others = inner.shapes(message.inner)
            kinds += more
            found += [(inner.name, shape) for shape in others]
        return kinds, found

    def layout(self, kind: str, shape: Any) -> Sequence[Cell]:
        """What is populated in a group."""
        if len(shape) == 2 and isinstance(shape[0], str):
            format_ = format_named(shape[0])
            assert format_ is not None
            return format_.layout(kind, shape[1])
        return [(place, 1) for place, there in enumerate(shape) if there]

    def like(self, place: int) -> int:
        """The place; none of the formats of an index has others."""
        return place

    def structural(self, message: Letter, source: Source) -> Iterable[Cell]:  # noqa: ARG002  # its own is at hand
        """What pairs the two, what identifies the letter, and what the index's format reads itself."""
        declared_ = message.declared
        names = places.own_names(declared_.letter.fields)
        pairing = declared_.key if declared_.index is not None else ()
        own = {*pairing, *([declared_.control_id] if declared_.control_id else [])}
        found = [(names.index(name), 1) for name in own]
        if message.inner is not None:
            assert declared_.inner is not None
            inner = _format(message).structural(message.inner, declared_.inner[1])
            # Of an index that has another number, the letter's own counts.
            found += [] if declared_.control_id else places.shifted(inner)
        return found

    def spot(self, path: Path, scope: Scope, *, many: bool) -> Spot:
        """What a path reads."""
        if isinstance(path, FilePath):
            return places.own_spot(_place(path, scope.source))
        format_, inner, within = _inside(path, scope)
        return places.InnerSpot(format_.spot(inner, within, many=many))

    def loop_spot(self, path: Path, scope: Scope) -> LoopSpot:
        """What a loop looks at."""
        format_, inner, within = _inside(path, scope)
        return places.InnerLoopSpot(format_.loop_spot(inner, within))

    def ignored(self, path: Path) -> Callable[[Letter], Iterable[Cell]]:
        """What an entry of `ignore:` names."""
        if isinstance(path, FilePath):
            place = int(path.text.rpartition("#")[2])
            return lambda _letter: ((place, 1),)
        assert isinstance(path, IndexPath)
        ((name, inner),) = path.of
        format_ = format_named(name)
        assert format_ is not None
        find = format_.ignored(inner)
        return lambda letter: places.shifted(find(letter.inner)) if letter.inner is not None else ()

    def ignoring(
        self, paths: Sequence[Path]
    ) -> tuple[Callable[[str, int], int], Callable[[Letter, Sequence[Cell]], Iterable[Cell]]]:
        """The same for all of them at once."""
        found = [self.ignored(path) for path in paths]
        return nowhere, lambda letter, _cells: [cell for one in found for cell in one(letter)]

    def touched(self, message: Letter, cell: int) -> Any:
        """The field, or what the index's format says."""
        if cell < 1 << PLACE_BITS:
            return places.OWN, cell
        return _format(message).touched(message.inner, cell - (1 << PLACE_BITS))

    def path(self, message: Letter, cell: int, bit: int, source: Source, *, exact: bool) -> str:
        """`[file:content]`, or a path of the index."""
        if cell < 1 << PLACE_BITS:
            return f"{_OWN}{places.own_names(message.declared.letter.fields)[cell]}]"
        inner = of_source(source).inner or message.declared.inner
        assert inner is not None
        return _format(message).path(message.inner, cell - (1 << PLACE_BITS), bit, inner[1], exact=exact)

    def leaf(self, message: Letter, cell: int, bit: int) -> str:
        """What a leaf says; a document as if its bytes were text."""
        if cell < 1 << PLACE_BITS:
            own = _own(message)[cell]
            return own if isinstance(own, str) else own.decode("utf-8", "surrogateescape")
        return _format(message).leaf(message.inner, cell - (1 << PLACE_BITS), bit)

    def altered(self, message: Letter, cell: int, bit: int, encoded: str, source: Source) -> bytes:  # noqa: ARG002
        """A letter with one leaf replaced."""

        def of_index() -> bytes:
            assert message.declared.inner is not None
            place = cell - (1 << PLACE_BITS)
            return _format(message).altered(message.inner, place, bit, encoded, message.declared.inner[1])

        return places.altered(message, cell, encoded, of_index)

    def text(self, raw: Any) -> str:
        """What a name says, or as the index's format has it; a document is nothing that a text is compared with."""
        if isinstance(raw, Content):
            return ""
        if isinstance(raw, str):
            return str(raw)
        module = type(raw).__module__
        name = next((name for name in INDEXES if module.startswith(f"mhbridge.formats.{name}")), "")
        format_ = format_named(name)
        return str(raw) if format_ is None else format_.text(raw)

    def acknowledge(self, body: bytes, answer: Answer, *, name: str) -> bytes:  # noqa: ARG002  # the protocol's
        """A file is not answered."""
        return b""


def _longest(text: str, start: int, end: int, *, loop: bool) -> tuple[Path, int] | None:
    """What the formats of indexes make of what begins here; which of them it is, only the `source:` block says."""
    made: list[tuple[str, Path, int]] = []
    wrong: PathError | None = None
    for name in INDEXES:
        format_ = format_named(name)
        assert format_ is not None
        try:
            found = (format_.scan_loop if loop else format_.scan)(text, start, end)
        except PathError as error:
            wrong = wrong or error
            continue
        if found is not None:
            made.append((name, *found))
    if not made:
        if wrong is not None:
            raise wrong
        return None
    furthest = max(upto for _, _, upto in made)
    of = tuple((name, path) for name, path, upto in made if upto == furthest)
    return IndexPath(text[start:furthest], relative=of[0][1].relative, of=of), furthest


def _inside(path: Path, scope: Scope) -> tuple[Format, Path, Scope]:
    """The format of the index, and path and scope as it has them."""
    assert isinstance(path, IndexPath)
    inner = of_source(scope.source).inner
    width = len(path.text)
    if inner is None:
        raise PathError("E205", "there is no index", width=width, hint="what the name says is [file:field]")
    name, source = inner
    own = next((one for format_name, one in path.of if format_name == name), None)
    format_ = format_named(name)
    assert format_ is not None
    if own is None:
        raise PathError("E107", f"this is no path of an index in {name}", width=width)
    return format_, own, Scope(source, scope.loops)


def _place(path: FilePath, source: Source) -> int:
    names = places.own_names(of_source(source).letter.fields)
    if path.field not in names:
        hint = f"one of {', '.join(names)}"
        raise PathError("E205", f"the name of the document has no {path.field!r}", width=len(path.text), hint=hint)
    return names.index(path.field)


def _said(cursor: Cursor, field: str) -> Any:
    text = cursor.letter.fields[field]
    return text if text.strip() else ABSENT


def _own(letter: Letter) -> tuple[Any, ...]:
    return (letter.content.body, *(letter.fields[name] for name in letter.declared.letter.fields))


def _format(letter: Letter) -> Format:
    format_ = letter.declared.format
    assert format_ is not None
    return format_


FORMAT: Final = Document()
