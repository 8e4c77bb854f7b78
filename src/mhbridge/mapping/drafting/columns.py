"""
Which column is meant: the names that columns go by, and what binds an item to one.

A column is recognised only where its name, in letters and digits alone, is one that the pattern lists or the name or
label of an item. This module must never take a column for another that is only like it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from mhbridge.mapping.drafting.outline import Branch, Entry, Leaf
from mhbridge.mapping.packs import Item

__all__ = ["Columns", "binding", "names_of", "plain_name"]

_PLACE: Final = re.compile(r"\[([a-z][a-z0-9_]*)(#?)\]")
_PLAIN: Final = re.compile(r"[^a-z0-9]+")
#: In plain style these would end an expression, or begin a comment.
_TO_BE_QUOTED: Final = re.compile(r": | #|^['\"]")


def plain_name(name: str) -> str:
    """A name in small letters and digits alone."""
    return _PLAIN.sub("", name.casefold())


def names_of(item: Item) -> tuple[str, ...]:
    """By what an item is called. A label of one word is not among them: `Specialty` is the author's, the ward's, …"""
    return (item.name, item.label) if len(item.label.split()) > 1 else (item.name,)


class Columns:
    """
    The columns of an extract, by what a pattern calls them.

    Args:
        paths: name of a column → the path that reads it.
        synonyms: what a pattern calls a column → the names it goes by.
    """

    def __init__(self, paths: Mapping[str, str], synonyms: Mapping[str, Iterable[str]]) -> None:
        self._plain: dict[str, str] = {}
        for name in paths:
            self._plain.setdefault(plain_name(name), name)
        self._paths = paths
        #: (what the pattern calls it, its number) → path.
        self._found: dict[tuple[str, str], str] = {}
        self.used: set[str] = set()
        for word, names in synonyms.items():
            for one in names:
                wanted = re.compile(re.escape(one).replace(r"\#", r"(\d*)"))
                for plain, name in self._plain.items():
                    if match := wanted.fullmatch(plain):
                        number = match[1] if match.groups() else ""
                        self._found.setdefault((word, number), paths[name])

    def path(self, word: str, number: str = "") -> str:
        """The path of a column by what a pattern calls it; empty where there is none."""
        return self._found.get((word, number), "")

    def of_item(self, item: Item) -> str:
        """The path of the column that has the name or label of an item; empty where there is none."""
        for known in names_of(item):
            if (name := self._plain.get(plain_name(known))) is not None:
                return self._paths[name]
        return ""

    def filled(self, part: Leaf | Branch) -> Leaf | Branch:
        """A part of a pattern with the paths of this extract in it; a line whose columns are not there is refused."""
        if isinstance(part, Leaf):
            return self._line(part, "")
        for entry in part.entries:
            if not part.listed:
                entry.node = self.filled(entry.node)
        if part.listed:
            part.entries = [made for entry in part.entries for made in self._repeated(entry)]
        return part

    def _repeated(self, entry: Entry) -> list[Entry]:
        words = {word for leaf in _below(entry.node) for word, many in _PLACE.findall(leaf.raw) if many}
        if not words:
            return [Entry("", self.filled(entry.node))]
        numbers = sorted({number for word, number in self._found if word in words}, key=lambda one: (len(one), one))
        return [Entry("", self._numbered(entry.node, number)) for number in numbers]

    def _numbered(self, part: Leaf | Branch, number: str) -> Leaf | Branch:
        if isinstance(part, Leaf):
            return self._line(part, number)
        return Branch([Entry(e.key, self._numbered(e.node, number), e.above) for e in part.entries], part.listed)

    def _line(self, leaf: Leaf, number: str) -> Leaf:
        raw, missing = leaf.raw, False
        if leaf.raw.startswith("'["):  # a condition: whatever of it is there
            terms = [self._path(term, number) for term in _PLACE.finditer(leaf.raw)]
            raw = "'" + " or ".join(filter(None, terms)) + "'"
            missing = not any(terms)
        else:
            for place in list(_PLACE.finditer(leaf.raw)):
                path = self._path(place, number)
                missing = missing or not path
                raw = raw.replace(place[0], path.replace("'", "''") if "'" in leaf.raw else path, 1)
        if raw != leaf.raw and _TO_BE_QUOTED.search(raw[1:]) and raw.startswith("="):
            raw = "'" + raw.replace("'", "''") + "'"
        return Leaf(raw, leaf.comment, refused=missing and _PLACE.search(leaf.raw) is not None)

    def _path(self, place: re.Match[str], number: str) -> str:
        path = self.path(place[1], number if place[2] else "")
        if path:
            self.used.add(path)
        return path


def _below(part: Leaf | Branch) -> list[Leaf]:
    return [part] if isinstance(part, Leaf) else [leaf for entry in part.entries for leaf in _below(entry.node)]


#: Types that a text becomes by itself.
_STRAIGHT: Final = frozenset(
    {"string", "date", "dateTime", "instant", "nhs_number", "ContactPoint", "boolean", "integer", "decimal"}
)


def binding(item: Item, path: str) -> Leaf | Branch | None:
    """
    What binds an item to one text; `None` where a text says too little, or the item's codes would have to be guessed.
    """
    quoted = "'= " + path.replace("'", "''") + "'"
    name = item.type.name
    inner: Leaf | Branch
    if name == "text":
        inner = Leaf(f"'= {path.replace(chr(39), chr(39) * 2)} | plain'")
    elif name in _STRAIGHT:
        inner = Leaf(quoted)
    elif name == "CodeableConcept":
        inner = Leaf(f"{{text: {quoted}}}")
    elif name == "organisation":
        inner = Leaf(f"{{name: {quoted}}}")
    elif name == "person":
        inner = Branch([Entry("name", Branch([Entry("", Leaf(f"{{text: {quoted}}}"))], listed=True))])
    else:
        return None
    return Branch([Entry("", inner)], listed=True) if item.type.many else inner
