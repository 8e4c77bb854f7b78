"""
Messages of FHIR STU3 and R4: documents, messages (ITK3 among them), transactions, collections, and single resources.

`FORMAT` is the door (see `mhbridge.formats.Format`). Everything of JSON is `formats.json`'s: how bytes are read, nodes,
predicates, files of several messages. What FHIR adds is here:

    declaration   what a `source:` block says
    structure     the elements of each version
    graph         the resources of a message, and where references lead
    facts         what a message says about itself
    paths         what a path finds
    places        where things are, for the field ledger
    markup        messages in XML
    answering     the answer to a message, in kind

A resource is read as it stands: this package must never validate one, fetch one, or choose between two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.formats import BrokenMessage, Cell, Loop, NestedLoopSpot, NestedSpot, Part, Path, Scope, Source
from mhbridge.formats.fhir import answering, markup, places
from mhbridge.formats.fhir.declaration import KEYS, declared
from mhbridge.formats.fhir.facts import control_id, facts, means
from mhbridge.formats.fhir.graph import Graph, Message
from mhbridge.formats.fhir.paths import Root, check, ends, make_loop, scan_path
from mhbridge.formats.fhir.structure import structure
from mhbridge.formats.json import pieces
from mhbridge.formats.json.door import OfNodes, marked
from mhbridge.formats.json.places import LoopPlaces, Places, leaves_of
from mhbridge.formats.json.reach import every_reader, first_reader, walk
from mhbridge.formats.json.reading import BOM, text_of
from mhbridge.formats.json.scanning import Lines, Wrong, fault
from mhbridge.formats.json.tree import grown, said
from mhbridge.formats.json.writing import written
from mhbridge.model import NOTHING_BEFORE, Answer, Before, MessageFacts

__all__ = ["FORMAT", "Fhir", "Message"]

_RESOURCE: Final = re.compile(
    r'\s*(?:\[\s*)?\{(?:\s*"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[-\d.]+|true|false|null)\s*,)*\s*"resourceType"\s*:\s*"'
)
_MARKUP: Final = re.compile(r"""[^>]*<(?!!)[^>]*xmlns(?::\w+)?\s*=\s*["']http://hl7\.org/fhir["']""")


class Fhir(OfNodes):
    """The format `fhir`. Stateless."""

    name: str = "fhir"
    keys: Mapping[str, str] = KEYS
    reached_by_shape: bool = False
    _all_ignored = places.Ignored

    def declare(self, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
        """Check a `source:` block. Raises `DeclarationError`."""
        return declared(self.name, timezone, charset, options)

    def recognise(self, head: bytes) -> bool:
        """A resource at the beginning, in JSON or XML."""
        text = head.removeprefix(BOM).decode("utf-8", "ignore").lstrip()
        if text.startswith("<"):
            return _MARKUP.match(re.sub(r"<\?.*?\?>|<!--.*?-->", "", text, flags=re.DOTALL)) is not None
        return _RESOURCE.match(text) is not None

    def messages(
        self, body: bytes, sources: Sequence[Source], before: Before = NOTHING_BEFORE
    ) -> Iterator[tuple[Message | MessageError, tuple[int, ...]]]:
        """
        The messages of an envelope: one, or one for each document in a message of several, or each line, or each entry
        of a list.

        Raises:
            MalformedMessage: M700 nothing was sent, M704, M705, M820 to M831; of XML M800 to M802.
        """
        if not body.strip():
            raise MalformedMessage("M700", "nothing was sent")
        if body.lstrip()[:1] == b"<" or (body.startswith(BOM) and body[3:].lstrip()[:1] == b"<"):
            versions = [source.options["version"] for source in sources]
            value = markup.read(body, structure(versions[0] if versions else "R4"))
            try:
                yield from self._of(value, body, sources, range(len(sources)), "")
            except Wrong as wrong:
                raise MalformedMessage(wrong.code, wrong.message) from None
            return
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
    ) -> Iterator[tuple[Message | MessageError, tuple[int, ...]]]:
        by_line = any(source.options["lines"] for source in sources)
        listed = not by_line and text.lstrip(" \t\r\n")[:1] == "["
        found = pieces.lines(text) if by_line else pieces.entries(text) if listed else pieces.whole(text)
        several = by_line or listed
        for number, (value, own, start) in enumerate(found, before.rows + 1):
            place = f"message {number}" if several else ""
            own_bytes = body if own is text else own.encode()
            wrong = value if isinstance(value, Wrong) else None
            if wrong is None:
                try:
                    yield from self._of(value, own_bytes, sources, range(len(sources)), place)
                    continue
                except Wrong as error:
                    wrong = Wrong(error.code, error.message, start)
                except MalformedMessage as error:
                    wrong = fault(text, start)[1] or Wrong(error.code, error.message, start)
            if not several:
                raise wrong
            yield BrokenMessage(lines.error(wrong), MessageFacts(self.name, "unreadable", place=place), own_bytes), ()

    def _of(
        self, value: Any, body: bytes, sources: Sequence[Source], taken: Sequence[int], place: str
    ) -> Iterator[tuple[Message, tuple[int, ...]]]:
        """The messages that one resource is: one, or one for each document that a message holds."""
        parts = _documents(value)
        if len(parts) < 2:
            yield self._message(value, body, sources, taken, place, None)
            return
        for number, alone in enumerate(parts, 1):
            # What stands around the documents is said with each of them, so that each can be read again alone.
            own = written(grown(alone).top).encode()
            where = f"{place}, document {number}" if place else f"document {number}"
            yield self._message(alone, own, sources, taken, where, number)

    def _message(
        self, value: Any, body: bytes, sources: Sequence[Source], taken: Sequence[int], place: str, part: int | None
    ) -> tuple[Message, tuple[int, ...]]:
        if not isinstance(value, dict):
            raise Wrong("M830", "a resource is an object", 0)
        tree = grown(value)
        top = Root(None, "", 0)
        top.children, top.end = tree.top.children, tree.top.end
        for child in top.children.values() if isinstance(top.children, dict) else ():
            child.parent = top
        tree.top = top
        versions = dict.fromkeys(source.options["version"] for source in sources) or {"R4": None}
        graphs: dict[str, Graph] = {}
        wrong: Wrong | None = None
        for version in versions:
            try:
                graphs[version] = Graph(top, structure(version).resources)
            except Wrong as error:
                wrong = wrong or error
        if not graphs:
            assert wrong is not None
            raise wrong
        top.graph = next(iter(graphs.values()))
        fitting = [
            at for at, source in zip(taken, sources, strict=True)
            if source.options["version"] in graphs and means(top.graph, source)
        ]  # fmt: skip
        version = sources[fitting[0]].options["version"] if fitting else ""
        bundles = top.graph.resources.get("Bundle", [])
        inner = bundles[1] if part is not None and len(bundles) > 1 else None
        number = control_id(top.graph, body, inner)
        said_ = facts(self.name, top.graph, number, version, place)
        return Message(tree, top.graph, body, said_), tuple(fitting)

    def parts(
        self, file: BinaryIO, sources: Sequence[Source], before: Before = NOTHING_BEFORE
    ) -> Iterator[Part] | None:
        """A large file of several messages in parts; `None`: it is to be read whole. Raises `MalformedMessage`."""
        return pieces.parts(file, before, by_line=any(source.options["lines"] for source in sources))

    # -- paths ----------------------------------------------------------------------------------------------

    def scan(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """`Patient.name[use="official"].family`, `.code`, `.`, with arrows for references."""
        return scan_path(text, start, end)

    def scan_loop(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """As `scan`."""
        return scan_path(text, start, end)

    def source_type(self, path: Path, scope: Scope) -> str:
        """The FHIR type of what is found; `choice` where it is one of several."""
        return check(path, scope).type

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

    def structural(self, message: Message, source: Source) -> Iterable[Cell]:
        """What each resource is, what kind of message it is, its number, its sender, and what says that it is meant."""
        for node in places.acted_upon(message.graph):
            yield node.first, 1
        for path, wanted in source.options.get("where", ()):
            for node in walk(message.tree.top, path.steps):
                if node.end > node.first and said(node).strip() in wanted:
                    yield from leaves_of(node)

    def spot(self, path: Path, scope: Scope, *, many: bool) -> NestedSpot:
        """What a path reads."""
        checked = check(path, scope)
        return Places(checked, ends(checked, scope), many=many)

    def loop_spot(self, path: Path, scope: Scope) -> NestedLoopSpot:
        """What the predicates and arrows of a loop's path look at."""
        return LoopPlaces(check(path, scope))

    def ignored(self, path: Path) -> Callable[[Message], Iterable[Cell]]:
        """All leaves below a path."""
        return places.ignored(path)

    def path(self, message: Message, cell: int, bit: int, source: Source, *, exact: bool) -> str:  # noqa: ARG002
        """`Practitioner[2].name[1].family`, or `Practitioner.name.family`."""
        return places.path_of(message.tree.leaves[cell], message.graph, exact=exact)

    def acknowledge(self, body: bytes, answer: Answer, *, name: str) -> bytes:
        """The response to a message; nothing for anything else."""
        return answering.response(self, body, answer, name=name)


def _documents(value: Any) -> list[Any]:
    """Of a message with several bundles in it, one message for each of them."""
    entries = value.get("entry") if isinstance(value, dict) and value.get("resourceType") == "Bundle" else None
    if not isinstance(entries, list):
        return []
    inner = [
        at for at, entry in enumerate(entries)
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict)
        and entry["resource"].get("resourceType") == "Bundle"
    ]  # fmt: skip
    if len(inner) < 2:
        return []
    others = frozenset(inner)
    return [
        {**value, "entry": [entry for at, entry in enumerate(entries) if at == one or at not in others]}
        for one in inner
    ]


FORMAT: Final = Fhir()
