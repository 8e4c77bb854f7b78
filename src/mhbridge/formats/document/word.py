"""
The text of a DOCX (ECMA-376 part 1, §17): paragraphs, lists, tables, text boxes, notes, headers and footers.

A letter with changes that nobody has accepted is not read: of "5 mg" struck out and "10 mg" put in, which one holds is
for a person to settle. Nor is one with anything that could not be placed. Headers stand before the letter, notes and
footers behind it, each once. This module must never leave out a word that a reader sees.
"""

from __future__ import annotations

from typing import Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.document.blocks import Block, Cell, Paragraph, Table, Unread, as_text, hyphened, says, table_of
from mhbridge.formats.document.line import Line, Story, passed
from mhbridge.formats.document.numbering import Numbering, Styles
from mhbridge.formats.document.package import Package, Part

__all__ = ["read_word"]

_CHANGED: Final = (
    "cellDel cellIns cellMerge customXmlDelRangeStart customXmlInsRangeStart customXmlMoveFromRangeStart"
    " customXmlMoveToRangeStart del delInstrText delText ins moveFrom moveFromRangeStart moveTo moveToRangeStart"
)
#: What costs the text wherever it is, and why.
_REFUSED: Final = {
    **{f"w:{name}": "it has changes that nobody has accepted or refused" for name in _CHANGED.split()},
    **dict.fromkeys(("w:commentRangeStart", "w:commentReference"), "it has comments"),
    **dict.fromkeys(("w:altChunk", "w:contentPart", "w:subDoc"), "a part of it is another document"),
    **dict.fromkeys(("m:oMath", "m:oMathPara"), "it has a formula"),
    **dict.fromkeys(("w:control", "w:object"), "it has an object of another program in it"),
    "w:dataBinding": "it has a field that is filled from elsewhere",
}
_MERGED: Final = "a table of it has cells that are merged in a way that is not plain"
_WIDEST: Final = 100


def read_word(body: bytes) -> tuple[Block, ...]:
    """
    What is written in a DOCX.

    Raises:
        Unread: it cannot be read faithfully.
    """
    try:
        return tuple(_Document(Package(body)).read())
    except MalformedMessage:
        raise Unread("a part of its package is damaged or too large") from None


class _Document:
    def __init__(self, package: Package) -> None:
        self._package = package
        self._main = package.main
        self.styles = Styles(package.of(self._main, "styles"))
        self._numbering = Numbering(package.of(self._main, "numbering"), self.styles)
        self._settings = package.of(self._main, "settings")
        #: The notes that are named, in their order, with what stands for them.
        self._notes: dict[tuple[str, str], str] = {}
        self._numbers = {"footnote": 0, "endnote": 0}
        self._looked_at: set[str] = set()

    def read(self) -> list[Block]:
        main = self._main
        body = main.child(0, "w:body")
        if main.names[0] != "w:document" or body is None:
            raise Unread("it is no document of a word processor, or one with macros")
        if self._settings is not None and self._settings.switch(0, "w:updateFields"):
            raise Unread("it has fields that are to be worked out when it is opened")
        letter = self.story(main, body)
        made = [*self._edges("headerReference"), *letter]
        for kind in self._numbers:
            made += self._written_notes(kind)
        return [*made, *self._edges("footerReference")]

    def story(self, part: Part, index: int) -> list[Block]:
        """A text that is read by itself."""
        if part.name not in self._looked_at:
            self._looked_at.add(part.name)
            for name in set(part.names):
                if name in _REFUSED:
                    raise Unread(_REFUSED[name])
        story = Story(part)
        made = self._blocks(story, index)
        if story.fields:
            raise Unread("a field of it does not end")
        return made

    def _edges(self, kind: str) -> list[Block]:
        """Headers or footers: each once, in the order of the sections."""
        main, settings = self._main, self._settings
        found: list[Block] = []
        seen: set[str] = set()
        even = settings is not None and bool(settings.switch(0, "w:evenAndOddHeaders"))
        for section in main.named("w:sectPr"):
            of = {
                main.said(child, "w:type", "default"): main.said(child, "r:id")
                for child in main.children(section)
                if main.names[child] == f"w:{kind}"
            }
            shown = ["first"] * bool(main.switch(section, "w:titlePg")) + ["default"] + ["even"] * even
            for identifier in (of[name] for name in shown if name in of):
                if identifier in seen:
                    continue
                seen.add(identifier)
                part = self._package.target(main, identifier)
                if part is None:
                    raise Unread("a part of its package is missing")
                for block in self.story(part, 0):
                    text = as_text([block])
                    if says([block]) and text not in seen:
                        seen.add(text)
                        found.append(block)
        return found

    def note(self, kind: str, identifier: str) -> str:
        """What stands for a note where it is named: its number among those of its kind."""
        known = self._notes.get((kind, identifier))
        if known is None:
            self._numbers[kind] += 1
            number = self._numbers[kind]
            known = self._notes[kind, identifier] = f"[{number}]" if kind == "footnote" else f"[endnote {number}]"
        return known

    def _written_notes(self, kind: str) -> list[Block]:
        """The notes of a kind that are named, each behind what stands for it."""
        named = [(identifier, mark) for (of, identifier), mark in self._notes.items() if of == kind]
        part = self._package.of(self._main, f"{kind}s") if named else None
        places = {part.said(index, "w:id"): index for index in part.named(f"w:{kind}")} if part is not None else {}
        made: list[Block] = []
        for identifier, mark in named:
            if part is None or identifier not in places:
                raise Unread("a note of it is missing")
            note = self.story(part, places[identifier])
            if note and isinstance(note[0], Paragraph):
                note[0] = Paragraph(note[0].text.strip(), mark=mark)
            made += note
        if len(named) != self._numbers[kind]:
            raise Unread("a note of it has a note")
        return made

    def _blocks(self, story: Story, index: int) -> list[Block]:
        made: list[Block] = []
        part = story.part
        for child in part.children(index):
            name = part.names[child]
            if name == "w:p":
                made += self._paragraph(story, child)
            elif name == "w:tbl":
                made.append(self._table(story, child))
            elif (inner := passed(part, child)) is not None:
                for at in inner:
                    made += self._blocks(story, at)
        return made

    def _paragraph(self, story: Story, index: int) -> list[Block]:
        part = story.part
        look = part.child(index, "w:pPr")
        style = self.styles.paragraph(part.value(look, "w:pStyle"))
        line = Line(self, story, style)
        line.read(index)
        mark, depth = self._item(part, look, style)
        outline = _digit(part.value(look, "w:outlineLvl") or self.styles.first((style,), "w:pPr", "w:outlineLvl"), 9)
        return [Paragraph(hyphened(line.text), 0 if outline == 9 else min(outline + 1, 6), mark, depth), *line.beside]

    def _item(self, part: Part, look: int | None, style: str) -> tuple[str, int]:
        """What an item of a list begins with, and in how many lists its list is."""
        number, level = part.value(look, "w:numPr", "w:numId"), part.value(look, "w:numPr", "w:ilvl")
        if not number:
            number, of_style, whose = self.styles.numbered(style)
            level = level or of_style or str(self._numbering.level_of(number, whose))
        if not number or number == "0":
            return "", 0
        depth = _digit(level, 0)
        mark = self._numbering.mark(number, depth)
        return mark, depth if mark else 0

    def _table(self, story: Story, index: int) -> Table:
        part = story.part
        if self.styles.hides(part.value(index, "w:tblPr", "w:tblStyle")):
            raise Unread("a table of it hides or crosses out text in a way that is not plain")
        rows: list[tuple[Cell, ...]] = []
        #: Column → the cell that goes on in the next rows.
        opened: dict[int, Cell] = {}
        for row in _below(part, index, "w:tr"):
            look = part.child(row, "w:trPr")
            if part.switch(look, "w:hidden"):
                continue
            column = _count(part.value(look, "w:gridBefore"), 0)
            cells = [Cell(across=column)] if column else []
            head = bool(part.switch(look, "w:tblHeader"))
            for at in _below(part, row, "w:tc"):
                column += self._cell(story, at, column, opened, cells, head=head)
            rows.append(tuple(cells))
        return table_of(rows)

    def _cell(
        self, story: Story, index: int, column: int, opened: dict[int, Cell], cells: list[Cell], *, head: bool
    ) -> int:
        """A cell put behind the others of its row, or to the one above that it goes on; how many columns it has."""
        part = story.part
        look = part.child(index, "w:tcPr")
        across = max(_count(part.value(look, "w:gridSpan"), 1), 1)
        blocks = self._blocks(story, index)
        if look is not None and part.child(look, "w:hMerge") is not None:
            raise Unread(_MERGED)
        merged = None if look is None else part.child(look, "w:vMerge")
        above = opened.get(column)
        if merged is not None and part.said(merged, "w:val", "continue") == "continue" and above is not None:
            if above.across != across or says(blocks):
                raise Unread(_MERGED)
            above.down += 1
            return across
        cell = Cell([block for block in blocks if says([block])], across, head=head)
        for covered in range(column, column + across):
            opened.pop(covered, None)
        if merged is not None:
            opened[column] = cell
        cells.append(cell)
        return across


def _below(part: Part, index: int, wanted: str) -> list[int]:
    """The rows of a table, or the cells of a row, also those that something is wrapped round."""
    found: list[int] = []
    for child in part.children(index):
        if part.names[child] == wanted:
            found.append(child)
        elif (inner := passed(part, child)) is not None:
            for at in inner:
                found += _below(part, at, wanted)
    return found


def _digit(text: str, otherwise: int) -> int:
    return int(text) if len(text) == 1 and text in "0123456789" else otherwise


def _count(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit()) or len(text) > 4 or int(text) > _WIDEST:
        raise Unread("a table of it is too wide")
    return int(text)
