"""
Text to a tree, on lxml's parser with everything turned off that a document could reach out by, and every size bounded.

Elements are built while the parser reads, so a document that is too deep or too wide is refused before it is in memory.
No document type, so no entity but the five of XML; nothing is fetched, included, validated or transformed. This module
must never put a word of lxml's messages into an error: they quote the document.
"""

from __future__ import annotations

from typing import Any, Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.xml.tree import BLANKS, Element, Tree

__all__ = ["MAX_ATTRIBUTES", "MAX_CHILDREN", "MAX_DEPTH", "MAX_ELEMENTS", "MAX_NAMESPACES", "MAX_VALUE", "parsed"]

#: Sections in sections, tables in lists: the deepest public CDA has some thirty levels.
MAX_DEPTH: Final = 128
#: A letter has thousands; each has a number of 20 bits in the field ledger.
MAX_ELEMENTS: Final = 250_000
MAX_CHILDREN: Final = 50_000
MAX_ATTRIBUTES: Final = 100
#: Characters of an attribute, and of a name.
MAX_VALUE: Final = 65_536
MAX_NAME: Final = 256
#: Different declarations of namespaces. ITK documents repeat the same ones at every element.
MAX_NAMESPACES: Final = 100
#: Characters of one text: a PDF of 48 MB in Base64. The receiver's own limit of a body is usually lower.
MAX_TEXT: Final = 64_000_000

_PIECE: Final = 1 << 20


def _too_much(what: str) -> MalformedMessage:
    return MalformedMessage("M802", f"the document has more than {what}")


class _Builder:
    """What lxml tells of a document, made into a tree (lxml's "parser target interface")."""

    def __init__(self) -> None:
        self.tree = Tree()
        self._open: list[Element] = []
        self._text: list[str] = []
        self._size = 0
        self._last: Element | None = None
        self._spaces: set[tuple[str, str]] = set()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        depth, elements = self._open, self.tree.elements
        self._flush()
        if len(depth) >= MAX_DEPTH:
            raise _too_much(f"{MAX_DEPTH} levels")
        if len(elements) >= MAX_ELEMENTS:
            raise _too_much(f"{MAX_ELEMENTS:,} elements")
        parent = depth[-1] if depth else None
        if attributes or len(name) > MAX_NAME:
            self._bounded(name, attributes)
        made = Element(name, dict(attributes), parent, len(elements), self.tree)
        if parent is not None:
            if len(parent.children) >= MAX_CHILDREN:
                raise _too_much(f"{MAX_CHILDREN:,} elements in one")
            parent.children.append(made)
        elements.append(made)
        depth.append(made)
        self._last = None

    @staticmethod
    def _bounded(name: str, attributes: dict[str, str]) -> None:
        if len(name) > MAX_NAME or any(len(one) > MAX_NAME for one in attributes):
            raise _too_much(f"{MAX_NAME} characters in a name")
        if len(attributes) > MAX_ATTRIBUTES:
            raise _too_much(f"{MAX_ATTRIBUTES} attributes at one element")
        for value in attributes.values():
            if len(value) > MAX_VALUE:
                raise _too_much(f"{MAX_VALUE:,} characters in an attribute")

    def end(self, _name: str) -> None:
        self._flush()
        self._last = self._open.pop()
        self._last.close()

    def data(self, text: str) -> None:
        self._size += len(text)
        if self._size > MAX_TEXT:
            raise _too_much(f"{MAX_TEXT:,} characters in one text")
        self._text.append(text)

    def start_ns(self, prefix: str, uri: str) -> None:
        self._spaces.add((prefix, uri))
        if len(self._spaces) > MAX_NAMESPACES:
            raise _too_much(f"{MAX_NAMESPACES} namespaces")

    def end_ns(self, prefix: str) -> None:
        """A declaration ends; names are expanded already."""

    def comment(self, _text: str) -> None:
        """Not a word of it is the document's, and it parts no text."""

    def pi(self, _target: str, _data: str | None = None) -> None:
        """As a comment. What it asks for (a stylesheet, a schema) is never fetched."""

    def doctype(self, *_what: object) -> None:
        raise MalformedMessage("M801", "the document has a document type declaration")

    def close(self) -> Tree:
        return self.tree

    def _flush(self) -> None:
        if not self._text:
            return
        text = "".join(self._text)
        self._text.clear()
        self._size = 0
        if self._last is not None:
            self._last.tail = text
        elif self._open:
            self._open[-1].text = text


def parsed(text: str) -> Tree:
    """
    The tree of a document.

    Raises:
        MalformedMessage: M700, nothing is in it; M800, it is not well formed; M801, it has a document type; M802, it
            has too much of something.
    """
    from lxml import etree

    if not text.strip(BLANKS):
        raise MalformedMessage("M700", "there is no message in what was sent")
    builder = _Builder()
    parser = _parser(builder)
    try:
        for at in range(0, len(text), _PIECE):
            parser.feed(text[at : at + _PIECE].encode("utf-8"))
        parser.close()
    except etree.LxmlError as error:
        line = getattr(error, "lineno", None) or 1
        # `from None`: the cause quotes the document.
        raise MalformedMessage("M800", f"not well-formed XML: line {line}", offset=None) from None
    except UnicodeEncodeError:
        raise MalformedMessage("M800", "not well-formed XML: a lone surrogate") from None
    if any(entry.level >= etree.ErrorLevels.ERROR for entry in parser.feed_error_log):
        # libxml2 goes on after faults of namespaces: it drops an undeclared prefix or one of two equal attributes, and
        # behind a namespace that is no URI it does not even see that the document goes on after its end.
        raise MalformedMessage("M800", "not well-formed XML: a namespace is undeclared or is no URI")
    tree = builder.tree
    tree.outer = tree.root = tree.elements[0]
    return tree


def _parser(builder: _Builder) -> Any:
    """
    A parser that reads nothing but what it is fed.

    "internal" is for the five entities of XML, which are all that there are without a document type: told not to
    resolve them, libxml2 hands `&amp;` in an attribute on as `&#38;`. `huge_tree` lifts the limits of libxml2, one of
    which (10 MB of text) a letter with a PDF breaks; ours stand.
    """
    from lxml import etree

    return etree.XMLParser(
        target=builder,
        encoding="utf-8",
        resolve_entities="internal",
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        recover=False,
        huge_tree=True,
    )
