"""
XML documents: any of them by paths, HL7 CDA R2 with its data types, and what the NHS ITK wraps round one.

`FORMAT` is the door (see `mhbridge.formats.Format`); everything else is behind it:

    encoding      bytes → text: the declared encoding against the real one
    plain         text → tree, of what is written plainly
    parsing       text → tree, of anything, on a hardened parser, with every size bounded (`bounds`)
    tree          Tree, Element, Leaf
    declaration   what a `source:` block says
    path          what a path says; reach   which elements it means; places   where they are, for the field ledger
    message, itk  what a document says about itself; what is wrapped round it
    writing       a tree as bytes again

Nothing that a document names is ever fetched, included or expanded; there is no document type and so no entity but the
five of XML. Nothing in here knows what an element is for: that is said by mappings.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mhbridge.errors import MessageError
from mhbridge.formats import (
    Became,
    Cell,
    Ignoring,
    Loop,
    NestedLoopSpot,
    NestedSpot,
    Path,
    Scope,
    Source,
    States,
    nowhere,
)
from mhbridge.formats.xml import places
from mhbridge.formats.xml.declaration import KEYS, declared
from mhbridge.formats.xml.message import XmlMessage, read_messages, structural
from mhbridge.formats.xml.path import XmlPath, scan_path
from mhbridge.formats.xml.reach import every_reader, first_reader, make_loop, source_type
from mhbridge.formats.xml.tree import Element, Leaf
from mhbridge.model import Answer

__all__ = ["FORMAT", "Element", "Leaf", "Xml", "XmlMessage"]

_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class Xml:
    """The format `xml`. Stateless."""

    name: str = "xml"
    keys: Mapping[str, str] = KEYS
    reached_by_shape: bool = False

    def declare(self, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
        """Check a `source:` block. Raises `DeclarationError`."""
        return declared(self.name, timezone, charset, options)

    def recognise(self, head: bytes) -> bool:
        """Whether the first thing in it is markup, in UTF-8, UTF-16 or any encoding that contains ASCII."""
        for mark in _MARKS:
            head = head.removeprefix(mark)
        return head.replace(b"\x00", b"").lstrip(b" \t\r\n").startswith(b"<")

    def messages(
        self, body: bytes, sources: Sequence[Source]
    ) -> Iterator[tuple[XmlMessage | MessageError, tuple[int, ...]]]:
        """The messages of a document; see `message.read_messages`."""
        return read_messages(body, sources)

    def scan(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """The longest path that begins at `start`."""
        return scan_path(text, start, end)

    def scan_loop(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """The same: a loop runs over what any path to elements means."""
        return scan_path(text, start, end)

    def source_type(self, path: Path, scope: Scope) -> str:
        """`xml`; of a CDA `cda` for an element and `cda_attribute` for an attribute or a text."""
        assert isinstance(path, XmlPath)
        return source_type(path, scope)

    def resolved(self, path: Path, source: Source) -> Path:
        """The path with what its prefixes stand for; `ignore:` has nothing else to say it by."""
        assert isinstance(path, XmlPath)
        return replace(path, namespaces=tuple(source.options["namespaces"].items()))

    def first(self, path: Path, scope: Scope) -> Callable[[Any], Any]:
        """Cursor → the first value in which something is, or `ABSENT`."""
        assert isinstance(path, XmlPath)
        return first_reader(path, scope)

    def every(self, path: Path, scope: Scope) -> Callable[[Any], list[Any]]:
        """Cursor → all values in which something is."""
        assert isinstance(path, XmlPath)
        return every_reader(path, scope)

    def loop(self, path: Path, scope: Scope) -> tuple[Loop, Scope]:
        """What a `$each` runs over, and the scope inside it."""
        assert isinstance(path, XmlPath)
        return make_loop(path, scope)

    def cursor(self, message: Any) -> Any:
        """The root element: of a document in an envelope its own."""
        return message.root

    # -- for the field ledger -------------------------------------------------------------------------------

    def populated(self, message: Any) -> Iterable[Cell]:
        """Every element that has text or attributes."""
        return places.layout(message.tree.masks)

    def shapes(self, message: Any) -> tuple[Sequence[str], Sequence[Hashable]]:
        """A document is one group, and its shape is which leaves of each element are populated."""
        return ("",), (tuple(message.tree.masks),)

    def layout(self, kind: str, shape: Any) -> Sequence[Cell]:  # noqa: ARG002  # the protocol's
        """Every element that has text or attributes."""
        return places.layout(shape)

    def like(self, place: int) -> int:
        """The element; no question is about a kind of them."""
        return place

    def structural(self, message: Any, source: Source) -> Iterable[Cell]:
        """What names the message, and what is read of its envelope."""
        return structural(message, source)

    def spot(self, path: Path, scope: Scope, *, many: bool) -> NestedSpot:  # noqa: ARG002  # a reader takes what is there
        """What a path reads."""
        assert isinstance(path, XmlPath)
        return places.XmlSpot(path, scope)

    def loop_spot(self, path: Path, scope: Scope) -> NestedLoopSpot:
        """What the predicates of a loop look at."""
        assert isinstance(path, XmlPath)
        return places.XmlSpot(path, scope)

    def ignored(self, path: Path) -> Callable[[Any], Iterable[Cell]]:
        """An attribute, a text, or an element with all that is in it."""
        assert isinstance(path, XmlPath)
        return places.ignored(path)

    def ignoring(self, paths: Sequence[Path]) -> tuple[Callable[[str, int], int], Ignoring]:
        """The same for all of them at once. Where an element stands is known of one document only."""
        return nowhere, places.Ignored([path for path in paths if isinstance(path, XmlPath)])

    def became(self, message: Any, states: States, ignoring: Sequence[Ignoring]) -> Became:
        """What became of all leaves."""
        return places.became(message, states, ignoring)

    def touched(self, message: Any, cell: int) -> Any:  # noqa: ARG002
        """A path that ends at an element reads what is in it, so no cell is told from another."""
        return ""

    def path(self, message: Any, cell: int, bit: int, source: Source, *, exact: bool) -> str:
        """`/ClinicalDocument/recordTarget/patientRole/id[2]/@root`, or without the number."""
        return places.canonical(message.tree, cell, bit, source, exact=exact)

    def leaf(self, message: Any, cell: int, bit: int) -> str:
        """What one leaf says."""
        return places.leaf_text(message.tree, cell, bit)

    def altered(self, message: Any, cell: int, bit: int, encoded: str, source: Source) -> bytes:  # noqa: ARG002
        """The document with one leaf replaced."""
        return places.altered(message.tree, {(cell, bit): encoded})

    def rewritten(self, message: Any, changes: Mapping[tuple[int, int], str]) -> bytes:
        """The document with many leaves replaced at once."""
        return places.altered(message.tree, changes)

    # -- values ---------------------------------------------------------------------------------------------

    def text(self, raw: Any) -> str:
        """An attribute or a text as it stands; of an element all its words."""
        if isinstance(raw, Leaf):
            return raw.text
        return raw.words() if isinstance(raw, Element) else ""

    def acknowledge(self, body: bytes, answer: Answer, *, name: str) -> bytes:  # noqa: ARG002  # the protocol's
        """There is no answer in kind; what the ITK asks for is noted (M810)."""
        return b""


FORMAT: Final = Xml()
