"""
What the paragraphs of a DOCX look like as far as it changes what is read: styles (ECMA-376 part 1, §17.7) and numbers
of lists (§17.9).

This module must never make up a number: of a list that counts in a way that is not plain, the items have a bullet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mhbridge.formats.document.blocks import Unread
from mhbridge.formats.document.package import Part

__all__ = ["BULLET", "Numbering", "Styles"]

BULLET: Final = "•"
_LEVELS: Final = 9
_DEEPEST: Final = 50
_PLACE: Final = re.compile(r"%([1-9])")
_ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
    (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
#: Switches of which two that are on make one that is off (§17.7.3).
_TOGGLES: Final = ("w:vanish", "w:strike", "w:dstrike")


class Styles:
    """The styles of a document."""

    def __init__(self, part: Part | None) -> None:
        self._part = part
        self._of: dict[str, int] = {}
        self._defaults: dict[str, str] = {}
        self._run: int | None = None
        #: What was asked before: a document asks the same for each run.
        self._known: dict[tuple[str, ...], Any] = {}
        if part is None:
            return
        for index in part.named("w:style"):
            identifier = part.said(index, "w:styleId")
            self._of.setdefault(identifier, index)
            if part.said(index, "w:default") in ("1", "true", "on"):
                self._defaults[part.said(index, "w:type")] = identifier
        self._run = part.child(0, "w:docDefaults", "w:rPrDefault", "w:rPr")

    def _chain(self, identifier: str) -> Iterator[int]:
        """A style and those that it is based on."""
        assert self._part is not None or not self._of
        for _ in range(_DEEPEST):
            index = self._of.get(identifier)
            if index is None or self._part is None:
                return
            yield index
            identifier = self._part.value(index, "w:basedOn")
        raise Unread("its styles are based on each other")

    def paragraph(self, identifier: str) -> str:
        """The style that a paragraph has."""
        return identifier or self._defaults.get("paragraph", "")

    def is_on(self, toggle: str, direct: bool | None, run: str, paragraph: str) -> bool:
        """Whether a switch of a run is on."""
        if direct is not None:
            return direct
        found = [self._toggle(toggle, style) for style in (run or self._defaults.get("character", ""), paragraph)]
        if found == [True, True]:
            raise Unread("its styles hide or cross out text in a way that is not plain")
        return True in found or (self._part is not None and bool(self._part.switch(self._run, toggle)))

    def _toggle(self, toggle: str, style: str) -> bool | None:
        key = (toggle, style)
        if key not in self._known:
            part = self._part
            found = (None if part is None else part.switch(part.child(index, "w:rPr"), toggle)
                     for index in self._chain(style))  # fmt: skip
            self._known[key] = next((one for one in found if one is not None), None)
        known: bool | None = self._known[key]
        return known

    def hides(self, table: str) -> bool:
        """Whether a style of tables hides or crosses out what is in some of their cells."""
        key = ("hides", table)
        if key not in self._known:
            part = self._part
            self._known[key] = part is not None and any(
                part.names[inner] in _TOGGLES for index in self._chain(table) for inner in part.inside(index)
            )
        known: bool = self._known[key]
        return known

    def first(self, styles: tuple[str, ...], *path: str, attribute: str = "w:val") -> str:
        """What the nearest of some styles says at a path."""
        key = (*styles, *path, attribute)
        if key not in self._known:
            self._known[key] = next(filter(None, self._said(styles, path, attribute)), "")
        known: str = self._known[key]
        return known

    def _said(self, styles: tuple[str, ...], path: tuple[str, ...], attribute: str) -> Iterator[str]:
        for style in styles:
            for index in self._chain(style):
                assert self._part is not None
                at = self._part.child(index, *path)
                yield "" if at is None else self._part.said(at, attribute)

    def numbered(self, style: str) -> tuple[str, str, str]:
        """The list that a style of paragraphs is in: its number, the level, and the style that says so."""
        key = ("numbered", style)
        if key not in self._known:
            self._known[key] = self._numbered(style)
        known: tuple[str, str, str] = self._known[key]
        return known

    def _numbered(self, style: str) -> tuple[str, str, str]:
        for index in self._chain(style):
            assert self._part is not None
            at = self._part.child(index, "w:pPr", "w:numPr")
            if at is not None and (number := self._part.value(at, "w:numId")):
                return number, self._part.value(at, "w:ilvl"), self._part.said(index, "w:styleId")
        return "", "", ""


@dataclass(frozen=True, slots=True)
class _Level:
    start: int = 1
    format: str = "decimal"
    text: str = ""
    style: str = ""
    legal: bool = False
    #: It begins again after each item of a level above.
    again: bool = True
    plain: bool = True


@dataclass(slots=True)
class _List:
    """A number of the document: what it counts by, and where it begins anew."""

    abstract: str
    starts: dict[int, int] = field(default_factory=dict)
    levels: dict[int, _Level] = field(default_factory=dict)


class Numbering:
    """The lists of a document, counted as it is read."""

    def __init__(self, part: Part | None, styles: Styles) -> None:
        self._abstract: dict[str, dict[int, _Level]] = {}
        self._lists: dict[str, _List] = {}
        self._counts: dict[str, list[int | None]] = {}
        self._begun: set[tuple[str, int]] = set()
        if part is None:
            return
        linked: dict[str, str] = {}
        for index in part.named("w:abstractNum"):
            identifier = part.said(index, "w:abstractNumId")
            self._abstract[identifier] = dict(_levels(part, index))
            if style := part.value(index, "w:numStyleLink"):
                linked[identifier] = styles.numbered(style)[0]
        for index in part.named("w:num"):
            made = self._lists[part.said(index, "w:numId")] = _List(part.value(index, "w:abstractNumId"))
            for override in part.children(index):
                if part.names[override] == "w:lvlOverride":
                    level = _whole(part.said(override, "w:ilvl"), 0)
                    made.levels.update(_levels(part, override))
                    if start := part.value(override, "w:startOverride"):
                        made.starts[level] = _whole(start, 1)
        for identifier, number in linked.items():
            if (of := self._lists.get(number)) is not None:
                self._abstract[identifier] = self._abstract.get(of.abstract, {})

    def level_of(self, number: str, style: str) -> int:
        """The level of a list that a style of paragraphs belongs to."""
        return next((level for level, made in self._levels(number).items() if made.style == style), 0)

    def _levels(self, number: str) -> dict[int, _Level]:
        of = self._lists.get(number)
        return {} if of is None else {**self._abstract.get(of.abstract, {}), **of.levels}

    def mark(self, number: str, level: int) -> str:
        """What the next item of a list begins with; empty: there is no such list."""
        of = self._lists.get(number)
        if of is None or not 0 <= level < _LEVELS:
            return ""
        levels = self._levels(number)
        own = levels.get(level)
        if own is None:
            return ""
        counts = self._counts.setdefault(of.abstract, [None] * _LEVELS)
        before = counts[level]
        if level in of.starts and (number, level) not in self._begun:
            before = of.starts[level] - 1
        elif before is None:
            before = own.start - 1
        self._begun.add((number, level))
        counts[level] = before + 1
        for deeper in range(level + 1, _LEVELS):
            if levels.get(deeper, own).again:
                counts[deeper] = None
        for above in range(level):
            if counts[above] is None:
                counts[above] = levels.get(above, own).start
        return _marked(own, levels, counts)


def _marked(own: _Level, levels: dict[int, _Level], counts: list[int | None]) -> str:
    if own.format == "none":
        return own.text if "%" not in own.text else BULLET
    used = [int(place) - 1 for place in _PLACE.findall(own.text)]
    if not own.text and own.format != "bullet":
        return ""
    if own.format == "bullet" or not used or not all(levels.get(level, own).plain for level in used):
        return BULLET
    said = {}
    for level in used:
        shown = _counted(counts[level] or 0, "decimal" if own.legal else levels.get(level, own).format)
        if shown is None:
            return BULLET
        said[str(level + 1)] = shown
    return _PLACE.sub(lambda found: said[found[1]], own.text)


def _levels(part: Part, index: int) -> Iterator[tuple[int, _Level]]:
    for child in part.children(index):
        if part.names[child] != "w:lvl":
            continue
        restart = part.value(child, "w:lvlRestart")
        made = _Level(
            _whole(part.value(child, "w:start"), 0 if part.child(child, "w:start") is None else 1),
            part.value(child, "w:numFmt", otherwise="decimal"),
            part.value(child, "w:lvlText"),
            part.value(child, "w:pStyle"),
            bool(part.switch(child, "w:isLgl")),
            restart != "0",
            restart in ("", "0"),
        )
        level = _whole(part.said(child, "w:ilvl"), 0)
        if level < _LEVELS:
            yield level, made


def _counted(number: int, how: str) -> str | None:
    """A number as a list writes it; `None`: in a way that is not plain."""
    if how == "decimal":
        return str(number)
    if how in ("lowerLetter", "upperLetter") and 1 <= number <= 26:
        return chr((96 if how == "lowerLetter" else 64) + number)
    if how in ("lowerRoman", "upperRoman") and 1 <= number <= 3999:
        made = ""
        for value, sign in _ROMAN:
            times, number = divmod(number, value)
            made += sign * times
        return made if how == "lowerRoman" else made.upper()
    return None


def _whole(text: str, otherwise: int) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) else otherwise
