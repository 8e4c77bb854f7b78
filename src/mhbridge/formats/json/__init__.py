"""
JSON documents: any members, by dotted paths.

`FORMAT` is the door (see `mhbridge.formats.Format`); everything else is behind it:

    declaration   what a `source:` block says
    reading       bytes → values, exactly
    scanning      the same token by token: what is wrong, and where
    pieces        files of several documents, large ones too
    tree          values → nodes with numbered leaves
    door          what every format of such nodes says of them
    paths         what a path finds
    places        where things are, for the field ledger

This package must never guess, repair or round: a number keeps its digits, a name that stands twice is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.formats import BrokenMessage, Cell, Loop, NestedLoopSpot, NestedSpot, Part, Path, Scope, Source
from mhbridge.formats.json import pieces, places
from mhbridge.formats.json.declaration import KEYS, chosen, declared
from mhbridge.formats.json.door import OfNodes, marked
from mhbridge.formats.json.path import JsonPath, check, names_of, scan_path
from mhbridge.formats.json.reach import every_reader, first_reader, make_loop, walk
from mhbridge.formats.json.reading import BOM, text_of
from mhbridge.formats.json.scanning import Lines, Wrong, fault
from mhbridge.formats.json.tree import Tree, grown, said
from mhbridge.model import NOTHING_BEFORE, Answer, Before, Issue, MessageFacts

__all__ = ["FORMAT", "Document", "Json"]

#: What a document of FHIR says of itself, which is then no document of ours.
_RESOURCE: Final = re.compile(
    r'\s*\{(?:\s*"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[-\d.]+|true|false|null)\s*,)*\s*"resourceType"\s*:\s*"'
)
#: Characters of a control id.
_MOST_ID: Final = 200


class Document:
    """
    One document: a message.

    Args:
        body: the bytes from which it can be read again alone.
    """

    __slots__ = ("body", "facts", "tree")

    def __init__(self, tree: Tree, body: bytes, facts: MessageFacts) -> None:
        self.tree = tree
        self.body = body
        self.facts = facts

    @property
    def patients(self) -> int:
        """One: a document is one message, and nothing says which of its members are patients."""
        return 1

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """The control id."""
        return (("control_id", self.facts.control_id),) if self.facts.control_id else ()

    def noted(self, issues: Sequence[Issue]) -> tuple[Issue, ...]:
        """The issues as they are: a path is where a person looks."""
        return tuple(issues)


class Json(OfNodes):
    """The format `json`. Stateless."""

    name: str = "json"
    keys: Mapping[str, str] = KEYS
    reached_by_shape: bool = False

    def declare(self, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
        """Check a `source:` block. Raises `DeclarationError`."""
        return declared(self.name, timezone, charset, options)

    def recognise(self, head: bytes) -> bool:
        """An object or a list at the beginning that is no resource of FHIR."""
        text = head.removeprefix(BOM).decode("utf-8", "ignore").lstrip()
        return text[:1] in ("{", "[") and not _RESOURCE.match(text.lstrip("[ \t\r\n"))

    def messages(
        self, body: bytes, sources: Sequence[Source], before: Before = NOTHING_BEFORE
    ) -> Iterator[tuple[Document | MessageError, tuple[int, ...]]]:
        """
        One message for each document. One that is broken waits for a person by itself where others stand beside it.

        Raises:
            MalformedMessage: M700 nothing was sent, M704, M705, M820 to M829.
        """
        if not body.strip(b" \t\r\n"):
            raise MalformedMessage("M700", "nothing was sent")
        if body.startswith(BOM):
            yield marked(self.name, body), ()
            return
        text = text_of(body)
        lines = Lines(text)
        try:
            yield from self._taken(body, text, lines, sources, before)
        except Wrong as wrong:
            raise lines.error(wrong) from None

    def _taken(
        self, body: bytes, text: str, lines: Lines, sources: Sequence[Source], before: Before
    ) -> Iterator[tuple[Document | MessageError, tuple[int, ...]]]:
        # Without a source the format says what it finds all the same.
        known = bool(sources)
        sources = sources or (self.declare("Europe/London", "", {}),)
        taken, found = _taken_apart(text, sources)
        options = sources[taken[0]].options
        several = options["lines"] or (text.lstrip(" \t\r\n")[:1] == "[" and "message_per" not in options)
        for number, (value, own, start) in enumerate(found, before.rows + 1):
            place = f"document {number}" if several or number > 1 else ""
            bytes_ = body if own is text else own.encode()
            wrong = value if isinstance(value, Wrong) else _unfit(value, start)
            if wrong is None:
                try:
                    made, takers = self._document(value, bytes_, [sources[i] for i in taken], taken, place)
                    yield made, takers if known else ()
                    continue
                except MalformedMessage as error:
                    wrong = fault(text, start)[1] or Wrong(error.code, error.message, start)
            if not several:
                raise wrong
            yield BrokenMessage(lines.error(wrong), MessageFacts(self.name, "unreadable", place=place), bytes_), ()

    def _document(
        self, value: Any, body: bytes, sources: Sequence[Source], taken: Sequence[int], place: str
    ) -> tuple[Document, tuple[int, ...]]:
        trees = {nulls: grown(value, nulls=nulls) for nulls in {source.options["nulls"] for source in sources}}
        fitting = [at for at, source in enumerate(sources) if _means(trees[source.options["nulls"]], source)]
        source = sources[fitting[0] if fitting else 0]
        # Two mappings of one document read it alike: `nulls` is that of the first.
        fitting = [at for at in fitting if sources[at].options["nulls"] == source.options["nulls"]]
        tree = trees[source.options["nulls"]]
        return Document(tree, body, self._facts(tree, body, source, place)), tuple(taken[at] for at in fitting)

    def _facts(self, tree: Tree, body: bytes, source: Source, place: str) -> MessageFacts:
        options = source.options
        control = _text_at(tree, options["control_id"]) if "control_id" in options else _digest(body)
        # What is declared, and never what else may stand there.
        kinds = [_text_at(tree, path) for path, _ in options.get("where", ())] if _means(tree, source) else []
        return MessageFacts(
            self.name, "/".join(kinds) or "document", control_id=control if len(control) <= _MOST_ID else "",
            sender=_text_at(tree, options.get("sender")), sent_at=_text_at(tree, options.get("sent_at")), place=place,
        )  # fmt: skip

    def parts(
        self, file: BinaryIO, sources: Sequence[Source], before: Before = NOTHING_BEFORE
    ) -> Iterator[Part] | None:
        """A large file of several documents in parts; `None`: it is to be read whole. Raises `MalformedMessage`."""
        if any("message_per" in source.options for source in sources):
            return None
        return pieces.parts(file, before, by_line=any(source.options["lines"] for source in sources))

    # -- paths ----------------------------------------------------------------------------------------------

    def scan(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """`$.a.b[c="x"]`, `.b`, or `.`: the value of the loop."""
        return scan_path(text, start, end)

    def scan_loop(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """As `scan`."""
        return scan_path(text, start, end)

    def source_type(self, path: Path, scope: Scope) -> str:
        """`json`: text, number, truth value or object, as the document has it."""
        check(path, scope)
        return "json"

    def first(self, path: Path, scope: Scope) -> Callable[[Any], Any]:
        """Node → the first value that says something."""
        return first_reader(check(path, scope))

    def every(self, path: Path, scope: Scope) -> Callable[[Any], list[Any]]:
        """Node → all values that say something."""
        return every_reader(check(path, scope))

    def loop(self, path: Path, scope: Scope) -> tuple[Loop, Scope]:
        """Over all that a path finds."""
        return make_loop(path, scope)

    # -- places ---------------------------------------------------------------------------------------------

    def structural(self, message: Document, source: Source) -> Iterable[Cell]:
        """What names the document, its sender and its time, and what says that it is meant."""
        options = source.options
        named = [options[key] for key in ("control_id", "sender", "sent_at") if key in options]
        for path in (*named, *(path for path, _ in options.get("where", ()))):
            for node in walk(message.tree.top, path.steps):
                if node.end > node.first:
                    yield from places.leaves_of(node)
                    break

    def spot(self, path: Path, scope: Scope, *, many: bool) -> NestedSpot:
        """What a path reads."""
        return places.Places(check(path, scope), names_of(path, scope)[-1:], many=many)

    def loop_spot(self, path: Path, scope: Scope) -> NestedLoopSpot:
        """What the predicates of a loop's path look at."""
        return places.LoopPlaces(check(path, scope))

    def ignored(self, path: Path) -> Callable[[Document], Iterable[Cell]]:
        """All leaves below a path."""
        return places.ignored(path)

    def path(self, message: Document, cell: int, bit: int, source: Source, *, exact: bool) -> str:  # noqa: ARG002
        """`$.a.b[2].c`, or `$.a.b.c`."""
        return places.path_of(message.tree.leaves[cell], exact=exact)

    def acknowledge(self, body: bytes, answer: Answer, *, name: str) -> bytes:  # noqa: ARG002  # the protocol's
        """A document is not answered in kind."""
        return b""


def _taken_apart(text: str, sources: Sequence[Source]) -> tuple[tuple[int, ...], Iterator[pieces.Piece]]:
    """The sources that read a text alike, and the documents in it."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for at, source in enumerate(sources):
        groups.setdefault(chosen(source), []).append(at)
    fitting = next((key for key in groups if _fits(text, key)), next(iter(groups)))
    by_line, per = fitting
    taken = tuple(groups[fitting])
    if per:
        names = [step.name for step in sources[taken[0]].options["message_per"].steps]
        return taken, pieces.inside(text, names)
    if by_line:
        return taken, pieces.lines(text)
    if text.lstrip(" \t\r\n").startswith("["):
        return taken, pieces.entries(text)
    return taken, pieces.whole(text)


def _fits(text: str, key: tuple[Any, ...]) -> bool:
    """Whether a text looks as a source says; only where sources of one supplier say differently."""
    by_line, per = key
    if by_line:
        first = next(iter(pieces.lines(text)), None)
        return first is not None and not isinstance(first[0], Wrong)
    if per:
        try:
            return next(pieces.inside(text, per[2:].split(".")), None) is not None
        except Wrong:
            return False
    return True


def _unfit(value: Any, start: int) -> Wrong | None:
    return None if isinstance(value, dict) else Wrong("M829", "a document is an object", start)


def _means(tree: Tree, source: Source) -> bool:
    return all(_text_at(tree, path) in wanted for path, wanted in source.options.get("where", ()))


def _text_at(tree: Tree, path: JsonPath | None) -> str:
    """What stands at a path as text that can go into a log: printable, and one leaf."""
    if path is None:
        return ""
    for node in walk(tree.top, path.steps):
        if node.end > node.first:
            text = said(node).strip()
            return text if text.isprintable() else ""
    return ""


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body.strip(b" \t\r\n"), digest_size=8).hexdigest()


FORMAT: Final = Json()
