"""
Text to a tree, on lxml's parser with everything turned off that a document could reach out by, and every size bounded.

What `plain` is certain of never gets here; whatever is refused, is refused here.
Elements are built while the parser reads, so a document that is too deep or too wide is refused before it is in memory.
No document type, so no entity but the five of XML; nothing is fetched, included, validated or transformed. This module
must never put a word of lxml's messages into an error: they quote the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.xml.bounds import (
    MAX_ATTRIBUTES,
    MAX_CHILDREN,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_NAME,
    MAX_NAMESPACES,
    MAX_TEXT,
    MAX_VALUE,
)
from mhbridge.formats.xml.plain import plainly
from mhbridge.formats.xml.tree import BLANKS, TEXT, Tree

__all__ = ["by_parser", "parsed"]

_PIECE: Final = 1 << 20


def _too_much(what: str) -> MalformedMessage:
    return MalformedMessage("M802", f"the document has more than {what}")


class _Builder:
    """
    What lxml tells of a document, made into a tree (lxml's "parser target interface").

    Its methods are closures over what they share: there are some thousands of calls for each document.
    """

    def __init__(self) -> None:
        tree = self.tree = Tree()
        names, keys, parents, ends = tree.names, tree.keys, tree.parents, tree.ends
        starts, tails, masks = tree.texts, tree.tails, tree.masks
        opened: list[int] = []
        #: How many children each open element has.
        counts: list[int] = []
        texts: list[str] = []
        spaces: set[tuple[str, str]] = set()
        #: The element that ended last, where nothing began after it; text that comes now follows it.
        last = -1

        def put() -> None:
            """What was read of text goes where it stands."""
            text = texts.pop()
            if texts:
                text = "".join([*texts, text])
                texts.clear()
            if len(text) > MAX_TEXT:
                raise _too_much(f"{MAX_TEXT:,} characters in one text")
            if last >= 0:
                tails[last] = text
            elif opened:
                starts[opened[-1]] = text
            if text.strip(BLANKS) and opened:
                masks[opened[-1]] |= TEXT

        def start(name: str, held: Mapping[str, str]) -> None:
            nonlocal last
            if texts:
                put()
            number = len(names)
            if len(opened) >= MAX_DEPTH:
                raise _too_much(f"{MAX_DEPTH} levels")
            if number >= MAX_ELEMENTS:
                raise _too_much(f"{MAX_ELEMENTS:,} elements")
            if len(name) > MAX_NAME:
                raise _too_much(f"{MAX_NAME} characters in a name")
            masks.append(_populated(held) if held else 0)
            if opened:
                parents.append(opened[-1])
                if counts[-1] >= MAX_CHILDREN:
                    raise _too_much(f"{MAX_CHILDREN:,} elements in one")
                counts[-1] += 1
            else:
                parents.append(-1)
            names.append(name)
            keys.append(tuple(held))
            tree.offsets.append(len(tree.values))
            tree.values += held.values()
            ends.append(0)
            starts.append("")
            tails.append("")
            opened.append(number)
            counts.append(0)
            last = -1

        def end(_name: str) -> None:
            nonlocal last
            if texts:
                put()
            last = opened.pop()
            counts.pop()
            ends[last] = len(names)

        self.start, self.end, self.data = start, end, texts.append
        self._spaces = spaces

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


def _populated(attributes: Mapping[str, str]) -> int:
    """The bits of the attributes that say something, when they are not too many nor too long."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise _too_much(f"{MAX_ATTRIBUTES} attributes at one element")
    mask, bit = 0, TEXT
    for name, value in attributes.items():
        if len(name) > MAX_NAME:
            raise _too_much(f"{MAX_NAME} characters in a name")
        if len(value) > MAX_VALUE:
            raise _too_much(f"{MAX_VALUE:,} characters in an attribute")
        bit <<= 1
        if value.strip(BLANKS):
            mask |= bit
    return mask


def parsed(text: str, *, sound: bool = False) -> Tree:
    """
    The tree of a document: read plainly where it is plain, and by the parser where that says nothing of it.

    Args:
        sound: it was decoded strictly and no control character is in it.

    Raises:
        MalformedMessage: M700, nothing is in it; M800, it is not well formed; M801, it has a document type; M802, it
            has too much of something.
    """
    tree = plainly(text, sound=sound)
    return tree if tree is not None else by_parser(text)


def by_parser(text: str) -> Tree:
    """
    The same by the parser alone.

    Raises:
        MalformedMessage: as above.
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
    return builder.tree


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
