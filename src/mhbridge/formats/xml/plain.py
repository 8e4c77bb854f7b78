"""
The tree of a document that is written plainly, made without a parser: what nearly every sender's software writes.

A parser tells Python of each element, attribute and text, one call for each. Here the values are cut out at their
quotation marks and the rest at its `<` and `>`. What is then left of a tag is its *shape*. Shapes are markup, of which
a sender has some hundreds, so what one means is worked out once, by a strict pattern, and looked up from then on.

Only what is certain is read here: elements, attributes, texts, comments, the five entities of XML and references to
characters. Of anything else, of all that is not well formed, and of all that is larger than the bounds, this module
says nothing, and the hardened parser reads the document from its beginning: it alone ever refuses. What is read here
must be what the parser would have made of it, to the letter. This module must never repair, and never remember a value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from mhbridge.formats.xml.bounds import (
    MAX_ATTRIBUTES,
    MAX_CHILDREN,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_NAME,
    MAX_NAMESPACES,
    MAX_VALUE,
)
from mhbridge.formats.xml.tree import BLANKS, TEXT, Tree

__all__ = ["plainly"]

#: Names in ASCII, with at most one prefix (Namespaces in XML 1.0 §4); others are the parser's.
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_.\-]*+(?::[A-Za-z_][A-Za-z0-9_.\-]*+)?+"
#: A shape: a start tag from its `<` on, each value left out.
_SHAPE: Final = re.compile(rf"\x00({_NAME})((?:[ \t\n]++{_NAME}=\x01)*+)[ \t\n]*+(/?)")
#: The same where some values stand in other quotation marks, or blanks round the `=`.
_TAG: Final = re.compile(
    rf"""\x00({_NAME})((?:[ \t\n]++{_NAME}[ \t\n]*+=[ \t\n]*+(?:\x01|"[^"\x01]*+"|'[^'\x01]*+'))*+)[ \t\n]*+(/?)"""
)
_ATTRIBUTE: Final = re.compile(rf"""({_NAME})[ \t\n]*+=[ \t\n]*+(?:\x01|"([^"]*+)"|'([^']*+)')""")
#: A value, where quotation marks stand in texts as well.
_VALUE: Final = re.compile(r'"(?<==")([^"<]*+)"')
#: What may stand before the first element. An instruction has no `?` inside, and is no declaration.
_BEFORE: Final = re.compile(
    r"(?:[ \t\n]++|<!--(?:[^-]|-[^-])*+-->"
    r"|<\?(?![Xx][Mm][Ll][ \t\n?])[A-Za-z_][\w.\-]*+(?:[ \t\n][^?]*+)?+\?>)*+",
    re.ASCII,
)
#: Entities of XML 1.0 §4.6 and references to characters (§4.1).
_REFERENCE: Final = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#([0-9]{1,7})|#x([0-9a-fA-F]{1,6}));")
_ENTITIES: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
#: What XML 1.0 §2.2 has no place for.
_NO_CHARACTER: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: A namespace that every reader takes for a URI; others are for the parser to judge.
_URI: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.\-]*+:(?://[A-Za-z0-9.\-]++(?:/[A-Za-z0-9._~/\-]*+)?+|[A-Za-z0-9._~:\-]++)(?:#[A-Za-z0-9._\-]*+)?+"
)
_XML: Final = "http://www.w3.org/XML/1998/namespace"
_RESERVED: Final = (_XML, "http://www.w3.org/2000/xmlns/")
#: Shapes that are remembered: of one set of namespaces, and how long one may be.
_MOST: Final = 4096
_LONGEST: Final = 512

#: Of what is longer, most is a file in Base64: the parser is as quick with that, and takes it piece by piece.
_LONG: Final = 4_000_000
#: Stand, in the text that is cut, for a value, a `<` and a comment. XML has none of these characters.
_HOLE: Final = "\x01"
_OPENS: Final = "\x00"
_REMARK: Final = "\x02"
#: Stands for the end tag of the document; no tag is this.
_LAST: Final = "<"
_COMMENT: Final = f"{_OPENS}{_REMARK}"


class _Odd(Exception):
    """Something that is for the parser to judge. It says nothing of the document."""


class _Start(NamedTuple):
    """
    What a shape means where certain namespaces are declared.

    Args:
        names: of its attributes, in their order; `takes`: how many values it takes.
        empty: the element ends with it.
        end: the end tag that belongs to it.
        mask: the bits of its attributes, if each says something.
    """

    name: str
    names: tuple[str, ...]
    takes: int
    empty: bool
    end: str
    mask: int


class _Scope:
    """The namespaces that are declared at a place, and the shapes that were met there."""

    def __init__(self, spaces: tuple[tuple[str, str], ...]) -> None:
        self.spaces = dict(spaces)
        self.shapes: dict[str, _Start] = {}

    def start(self, tag: str) -> _Start | None:
        """
        What a shape means; `None`: it is none, or declares namespaces.

        Raises:
            _Odd: it uses what is not declared.
        """
        shape = _SHAPE.fullmatch(tag)
        if shape is None:
            return None
        names = [name for name, _, _ in _ATTRIBUTE.findall(shape[2])]
        if any(_declares(name) for name in names):
            return None
        found = self.resolved(shape[1], names, empty=bool(shape[3]))
        if len(tag) <= _LONGEST:
            if len(self.shapes) >= _MOST:
                self.shapes.clear()
            self.shapes[tag] = found
        return found

    def resolved(self, written: str, names: Sequence[str], *, empty: bool) -> _Start:
        """The same of a tag that was taken apart."""
        if len(names) > MAX_ATTRIBUTES:
            raise _Odd
        expanded = tuple([self._attribute(name) for name in names])
        if len(set(expanded)) != len(expanded):
            raise _Odd
        mask = (1 << len(names) + 1) - 1 ^ TEXT
        name = self._expanded(written, self.spaces.get("", ""))
        return _Start(name, expanded, len(expanded), empty, f"{_OPENS}/{written}", mask)

    def _attribute(self, name: str) -> str:
        if name.startswith("xml:") and name != "xml:lang":
            raise _Odd  # `xml:id` and `xml:space` have rules of their own
        return self._expanded(name, "")

    def _expanded(self, name: str, otherwise: str) -> str:
        prefix, colon, local = name.rpartition(":")
        uri = self.spaces.get(prefix, "") if colon else otherwise
        if colon and not uri:
            raise _Odd
        made = f"{{{uri}}}{local}" if uri else local
        if len(made) > MAX_NAME:
            raise _Odd
        return made

    def below(self, declared: Sequence[tuple[str, str]]) -> _Scope:
        """The scope in which some more are declared."""
        spaces = {**self.spaces, **dict(declared)}
        return self if spaces == self.spaces else _scope(tuple(sorted(spaces.items())))


@lru_cache(maxsize=64)
def _scope(spaces: tuple[tuple[str, str], ...]) -> _Scope:
    return _Scope(spaces)


def _declares(name: str) -> bool:
    return name == "xmlns" or name.startswith("xmlns:")


def plainly(text: str, *, sound: bool = False) -> Tree | None:
    """
    The tree of a document; `None`: it is for the parser to read.

    Args:
        sound: it was decoded strictly and no control character is in it.
    """
    if not sound and _NO_CHARACTER.search(text):
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    begin = _BEFORE.match(text)
    assert begin is not None
    text = text[begin.end() :]
    if len(text) > _LONG or not text.startswith("<") or "\ufffe" in text or "\uffff" in text:
        return None
    if "]" in text and "]]>" in text:
        return None
    try:
        text = _without_comments(text)
        # Nearly always, quotation marks stand round values and nowhere else.
        for split in (_by_marks, _VALUE.split):
            cut = split(text)
            outside, values = _HOLE.join(cut[::2]), cut[1::2]
            if outside.count(f"={_HOLE}") == len(values) and len(cut) % 2 and "<" not in "".join(values):
                return _Reader(values).read(outside)
    except _Odd:
        pass
    return None


def _without_comments(text: str) -> str:
    """The text with a mark for each comment. The mark is no markup, so one that stands inside a tag is seen there."""
    first, *others = text.split("<!--")
    if not others:
        return text
    out = [first]
    for one in others:
        comment, end, after = one.partition("-->")
        if not end or "--" in f"{comment}-":
            raise _Odd
        out.append(after)
    return f"<{_REMARK}>".join(out)


def _by_marks(text: str) -> list[str | Any]:
    return text.split('"')


def _pieces(outside: str) -> list[str]:
    """What is outside of values, cut: a blank, then each tag and the text behind it."""
    marked = outside.replace("<", f">{_OPENS}")
    tags = len(marked) - len(outside)
    pieces = marked.split(">")
    if len(pieces) == 2 * tags + 1:
        return pieces
    # There are `>` in texts.
    pieces = [""]
    for one in outside.split("<")[1:]:
        tag, end, after = one.partition(">")
        if not end:
            raise _Odd
        pieces += (f"{_OPENS}{tag}", after)
    return pieces


#: What is a space to Python beyond ASCII, and a word to XML.
_WIDE: Final = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


def _is_blank(text: str) -> bool:
    return not text.strip(BLANKS)


def _value(text: str) -> str:
    """A value with each blank a space and each reference resolved (XML 1.0 §3.3.3)."""
    if "\n" in text or "\t" in text:
        text = text.replace("\n", " ").replace("\t", " ")
    return _resolved(text) if "&" in text else text


def _resolved(text: str) -> str:
    """A text with its references resolved."""
    made, times = _REFERENCE.subn(_referred, text)
    if times != text.count("&"):
        raise _Odd
    return made


def _referred(found: re.Match[str]) -> str:
    if found[1]:
        return _ENTITIES[found[1]]
    number = int(found[2]) if found[2] else int(found[3], 16)
    if number > 0x10FFFF or _NO_CHARACTER.match(chr(number)):
        raise _Odd
    return chr(number)


class _Reader:
    """
    One document while it is read.

    Args:
        values: of all attributes, in their order.
    """

    def __init__(self, values: list[str]) -> None:
        self.tree = Tree()
        self.values = values
        #: The values of tags that are not plain, and of which element they begin where among them.
        self.others: list[str] = []
        self.begin: dict[int, int] = {}
        self.scope = _scope((("xml", _XML),))
        #: Each open element that declares namespaces, and those before it.
        self.outside: list[tuple[int, _Scope]] = [(-1, self.scope)]
        self.declared: set[tuple[str, str]] = set()

    def read(self, outside: str) -> Tree:
        """
        Raises:
            _Odd: it is not plain.
        """
        # As many tags as `<`, each of which begins with the mark of one: so no text holds that mark.
        pieces = _pieces(outside)
        tree = self.tree
        names, parents, ends, texts, tails = tree.names, tree.parents, tree.ends, tree.texts, tree.tails
        keys, offsets, masks = tree.keys, tree.offsets, tree.masks
        shapes, declaring = self.scope.shapes, self.outside
        blank = _is_blank if not outside.isascii() and any(map(outside.__contains__, _WIDE)) else str.isspace
        #: The end tags that come after the next one, outermost first.
        waiting: list[str] = []
        closing, parent, last, number, taken, joined = _LAST, -1, -1, 0, 0, len(outside)
        for tag, text in zip(pieces[1::2], pieces[2::2], strict=True):
            after = text
            if tag == closing:
                closing, last, parent = waiting.pop(), parent, parents[parent]
                ends[last] = number
                if last == declaring[-1][0]:
                    self.scope = declaring.pop()[1]
                    shapes = self.scope.shapes
                if after:
                    if not blank(after):
                        after = self._said(after, parent)
                    tails[last] = after
                continue
            start = shapes.get(tag)
            if start is None:
                if tag == _COMMENT:
                    # The text before it goes on. What is joined costs no more than the document is long.
                    if not number:
                        raise _Odd
                    held, at = (tails, last) if last > parent else (texts, parent)
                    if after:
                        after = after if blank(after) else self._said(after, parent)
                        joined -= len(held[at])
                        if joined < 0:
                            raise _Odd
                        held[at] += after
                    continue
                start = self.scope.start(tag)
                if start is None:
                    start = self._tag(tag, taken)
                    shapes = self.scope.shapes
            name, having, count, empty, end, mask = start
            names.append(name)
            parents.append(parent)
            keys.append(having)
            offsets.append(taken)
            masks.append(mask)
            taken += count
            if empty:
                last = number
                number += 1
                ends.append(number)
                texts.append("")
                if after and not blank(after):
                    after = self._said(after, parent)
                tails.append(after)
                continue
            waiting.append(closing)
            closing, parent = end, number
            number += 1
            ends.append(0)
            if after and not blank(after):
                after = self._said(after, parent)
            texts.append(after)
            tails.append("")
            if len(waiting) >= MAX_DEPTH:
                raise _Odd
        if waiting or not number or taken != len(self.values):
            raise _Odd
        self._check()
        tails[0] = ""
        return tree

    def _said(self, text: str, owner: int) -> str:
        """A text that may be more than blanks, in an element."""
        if "&" in text:
            text = _resolved(text)
        if text.strip(BLANKS):
            if owner < 0:
                raise _Odd
            self.tree.masks[owner] |= TEXT
        return text

    def _tag(self, tag: str, taken: int) -> _Start:
        """What a tag says that declares namespaces or is written less plainly; it takes as many values as it counts."""
        found = _TAG.fullmatch(tag)
        if found is None:
            raise _Odd
        names: list[str] = []
        values: list[str] = []
        declared: list[tuple[str, str]] = []
        at = taken
        for match in _ATTRIBUTE.finditer(found[2]):
            name, one, other = match.groups()
            if one is None and other is None:
                if at >= len(self.values):
                    raise _Odd
                value = self.values[at]
                at += 1
            else:
                value = one or other or ""
                if "<" in value:
                    raise _Odd
            if _declares(name):
                declared.append((name[6:], _value(value)))
            else:
                names.append(name)
                values.append(value)
        scope = self._below(declared) if declared else self.scope
        start = scope.resolved(found[1], names, empty=bool(found[3]))
        number = len(self.tree.names)
        if declared and not start.empty:
            self.outside.append((number, self.scope))
            self.scope = scope
        self.begin[number] = len(self.others)
        self.others += [_value(value) for value in values]
        return start._replace(takes=at - taken)

    def _below(self, declared: list[tuple[str, str]]) -> _Scope:
        """The namespaces at an element that declares some."""
        if len(dict(declared)) != len(declared):
            raise _Odd
        for prefix, uri in declared:
            if prefix in ("xml", "xmlns") or uri in _RESERVED or not (_URI.fullmatch(uri) or (not prefix and not uri)):
                raise _Odd
        self.declared.update(declared)
        if len(self.declared) > MAX_NAMESPACES:
            raise _Odd
        return self.scope.below(declared)

    def _check(self) -> None:
        """That nothing is too large, that there is one root; and which attributes are blank."""
        tree, values = self.tree, self.values
        if len(tree.names) > MAX_ELEMENTS or tree.parents.count(-1) != 1:
            raise _Odd
        if len(tree.names) > MAX_CHILDREN and max(Counter(tree.parents).values()) > MAX_CHILDREN:
            raise _Odd
        for number, at in self.begin.items():
            tree.offsets[number] = len(values) + at
        together = "".join(values)
        if "&" in together or "\n" in together or "\t" in together:
            values = _value(_HOLE.join(values)).split(_HOLE)
        values = values + self.others
        if len(together) + sum(map(len, self.others)) > MAX_VALUE and max(map(len, values)) > MAX_VALUE:
            raise _Odd
        tree.values = values
        if values and min(values)[:1] <= " ":
            masks = tree.masks
            for index, (at, keys) in enumerate(zip(tree.offsets, tree.keys, strict=True)):
                for bit, value in enumerate(values[at : at + len(keys)], 1):
                    if not value.strip(BLANKS):
                        masks[index] &= ~(TEXT << bit)
