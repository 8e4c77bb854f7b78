"""
A paragraph of a DOCX as a line of text: its runs, fields, signs, notes and drawings (ECMA-376 part 1, §17.3, §17.16).

What is on the list of what is known is read; one thing that is not costs the whole text, and never a word of it. Text
that is hidden is not what a reader sees, and crossed-out text says so. This module must never guess what a field shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from mhbridge.formats.document.blocks import Block, Unread, says
from mhbridge.formats.document.numbering import Styles
from mhbridge.formats.document.package import Part, is_on
from mhbridge.model.signs import SIGN, is_of_signs, sign_of

__all__ = ["Line", "Story", "passed"]

UNKNOWN: Final = "it has something that is not known here"
_LATER: Final = "it has fields that are to be worked out when it is opened"
_UNSHOWN: Final = "it has a field that shows no text"

#: What says nothing by itself: properties, marks of places, and what Word leaves for itself.
_SILENT: Final = frozenset(
    f"w:{name}"
    for name in (
        "annotationRef", "bookmarkEnd", "bookmarkStart", "continuationSeparator", "customXmlPr", "endnoteRef",
        "footnoteRef", "lastRenderedPageBreak", "pPr", "permEnd", "permStart", "proofErr", "rPr", "sdtEndPr", "sdtPr",
        "sectPr", "separator", "smartTagPr", "tblGrid", "tblPr", "tblPrEx", "tcPr", "trPr",
    )
)  # fmt: skip
_NOTES: Final = ("w:footnoteReference", "w:endnoteReference")
#: What only wraps others.
_WRAPS: Final = frozenset({"w:bdo", "w:customXml", "w:dir", "w:fldSimple", "w:hyperlink", "w:smartTag"})
_SPACES: Final = {
    "w:tab": "\t", "w:ptab": "\t", "w:br": "\n", "w:cr": "\n", "w:noBreakHyphen": "\u2011", "w:softHyphen": "",
}  # fmt: skip
#: What a drawing may be made of (a:graphicData/@uri).
_DRAWN: Final = re.compile(r".*/(picture|wordprocessing(Shape|Group|Canvas))")
_DRAWN_ALONE: Final = frozenset({"a:graphic", "v:group", "v:line", "v:rect", "v:shape"})
#: Fields that show nothing (§17.16.5).
_UNSEEN_FIELDS: Final = frozenset({"ASK", "RD", "SET", "TA", "TC", "XE"})
_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_SIGNS: Final = re.compile("[\uf000-\uf0ff]")
_CROSSED: Final = ("[crossed out: ", "]")
#: Fields in fields.
_DEEPEST: Final = 20
#: How far a run must stand above or below the line to be read as raised or lowered, in half points.
_RAISED: Final = 4


@dataclass(slots=True)
class _Field:
    """A field that is open: its instruction, and whether its result has begun."""

    instruction: str = ""
    result: bool = False
    box: str = ""


@dataclass(slots=True)
class Story:
    """A text that is read by itself: the letter, a header, a note, a text box."""

    part: Part
    fields: list[_Field] = field(default_factory=list)


class _Document(Protocol):
    """What a line asks of the document that it is in."""

    styles: Styles

    def note(self, kind: str, identifier: str) -> str:
        """What stands for a note where it is named."""

    def story(self, part: Part, index: int) -> list[Block]:
        """A text that is read by itself."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What a run looks like."""

    hidden: bool
    struck: bool
    #: "^" or "_", where it stands higher or lower than the line.
    raised: str
    #: The font of signs that it has; empty: it has letters.
    font: str


class Line:
    """A paragraph as it is put together."""

    def __init__(self, document: _Document, story: Story, style: str) -> None:
        self._document = document
        self._part = story.part
        self._fields = story.fields
        self._style = style
        self._said: list[str] = []
        self._struck = False
        self._raised = ""
        #: What floats beside it, and follows it.
        self.beside: list[Block] = []

    @property
    def text(self) -> str:
        """What it says."""
        self._strike(False)
        return "".join(self._said)

    def read(self, index: int) -> None:
        """The runs below an element."""
        for child in self._part.children(index):
            if self._part.names[child] == "w:r":
                self._run(child)
            elif (inner := passed(self._part, child)) is not None:
                for at in inner:
                    self.read(at)

    def _strike(self, on: bool) -> None:
        if on != self._struck:
            self._said.append(_CROSSED[not on])
            self._struck = on

    def _run(self, index: int) -> None:
        part, styles = self._part, self._document.styles
        own = part.child(index, "w:rPr")
        style = part.value(own, "w:rStyle")

        def on(toggle: str) -> bool:
            return styles.is_on(toggle, part.switch(own, toggle), style, self._style)

        def said(name: str) -> str:
            return part.value(own, name) or styles.first((style, self._style), "w:rPr", name)

        raised = {"superscript": "^", "subscript": "_"}.get(said("w:vertAlign"), "")
        if not raised and re.fullmatch(r"-?[0-9]{1,4}", said("w:position"), re.ASCII):
            height = int(said("w:position"))
            raised = "^" if height >= _RAISED else "_" if height <= -_RAISED else ""
        struck = on("w:strike") or on("w:dstrike")
        self._content(index, _Look(on("w:vanish"), struck, raised, self._font(own, (style, self._style))))

    def _font(self, look: int | None, styles: tuple[str, ...]) -> str:
        own = None if look is None else self._part.child(look, "w:rFonts")
        for attribute in ("w:ascii", "w:hAnsi"):
            said = "" if own is None else self._part.said(own, attribute)
            said = said or self._document.styles.first(styles, "w:rPr", "w:rFonts", attribute=attribute)
            if is_of_signs(said):
                return said
        return ""

    def _content(self, index: int, look: _Look) -> None:
        """What is in a run."""
        part = self._part
        for child in part.children(index):
            name = part.names[child]
            if name == "w:fldChar":
                text = self._field(child)
            elif name == "w:instrText":
                if self._fields:
                    self._fields[-1].instruction += part.text(child)
                continue
            elif any(not open_.result for open_ in self._fields):
                if name not in _SILENT and name not in ("w:t", "w:tab"):
                    raise Unread(_UNSHOWN)
                continue
            elif name == "mc:AlternateContent":
                self._content(_chosen(part, child), look)
                continue
            elif name in _SILENT:
                continue
            else:
                text = "" if look.hidden else self._shown(child, name, look.font)
            if text and not look.hidden:
                # What stands for a note is in brackets and needs no other mark.
                self._put(text, replace(look, raised="") if name in _NOTES else look)

    def _put(self, text: str, look: _Look) -> None:
        self._strike(look.struck)
        if look.raised and look.raised != self._raised and text.strip():
            # "10" with a raised "9" must not be read as "109".
            text = look.raised + text
        if text.strip() or not look.raised:
            self._raised = look.raised
        self._said.append(text)

    def _shown(self, index: int, name: str, font: str) -> str:
        part = self._part
        if name == "w:t":
            text = part.text(index)
            text = _BLANKS.sub(" ", text if part.said(index, "xml:space") == "preserve" else text.strip(" \t\r\n"))
            return "".join([sign_of(font, ord(one)) for one in text]) if font else _SIGNS.sub(SIGN, text)
        if name in _SPACES:
            return _SPACES[name]
        if name == "w:sym":
            return _sign(part, index)
        if name in _NOTES:
            return self._document.note(name[2:].removesuffix("Reference"), part.said(index, "w:id"))
        if name in ("w:drawing", "w:pict"):
            return self._drawing(index)
        raise Unread(UNKNOWN)

    def _field(self, index: int) -> str:
        """A field begins, has its result, or ends (§17.16.18); what is to be seen of it beside its result."""
        part, fields = self._part, self._fields
        kind = part.said(index, "w:fldCharType")
        if kind == "begin":
            if is_on(part.said(index, "w:dirty", "0")):
                raise Unread(_LATER)
            if len(fields) >= _DEEPEST:
                raise Unread(UNKNOWN)
            fields.append(_Field(box=_box(part, index)))
        elif not fields:
            raise Unread("a field of it does not begin")
        elif kind == "separate":
            fields[-1].result = True
        else:
            ended = fields.pop()
            what = "".join(ended.instruction.split()[:1]).upper()
            if not ended.box and ((not ended.result and what not in _UNSEEN_FIELDS) or what == "FORMDROPDOWN"):
                raise Unread(_UNSHOWN)
            return ended.box
        return ""

    def _drawing(self, index: int) -> str:
        """What is drawn: its text boxes follow the paragraph, a picture leaves a word in its place."""
        part = self._part
        hint, boxes, at, end = "", 0, index + 1, part.past(index)
        while at < end:
            name = part.names[at]
            if name == "a:graphicData" and not _DRAWN.fullmatch(part.said(at, "uri")):
                raise Unread("it has a chart or a diagram")
            if name in ("a:t", "v:textpath"):
                raise Unread("it has words that are drawn")
            if name == "wp:docPr":
                if is_on(part.said(at, "hidden", "0")):
                    return ""
                hint = part.said(at, "descr") or part.said(at, "title")
            if name == "w:txbxContent":
                boxes += 1
                # A text box is a story of its own, with fields of its own.
                self.beside += [block for block in self._document.story(part, at) if says([block])]
                at = part.past(at)
            elif name == "mc:AlternateContent":
                self._said.append(self._drawing(_chosen(part, at)))
                boxes, at = boxes + 1, part.past(at)
            else:
                at += 1
        pictures = any(part.names[inner] in ("pic:pic", "v:imagedata") for inner in part.inside(index))
        if not pictures and (boxes or _is_rule(part, index)):
            return ""
        said = " ".join(hint.split())
        what = "picture" if pictures else "drawing"
        return f"[{what}: {said}]" if said else f"[{what} not included]"


def passed(part: Part, index: int) -> list[int] | None:
    """
    Of what only wraps others, where these are; `None` for what says nothing.

    Raises:
        Unread: it is neither.
    """
    name = part.names[index]
    if name in _SILENT:
        return None
    if name in _WRAPS:
        if is_on(part.said(index, "w:dirty", "0")):
            raise Unread(_LATER)
        return [index]
    if name == "w:sdt":
        content = part.child(index, "w:sdtContent")
        return [] if content is None else [content]
    if name == "mc:AlternateContent":
        return [_chosen(part, index)]
    raise Unread(UNKNOWN)


def _box(part: Part, index: int) -> str:
    """A box of a form that is ticked or not (§17.16.7); empty: the field is another one."""
    box = part.child(index, "w:ffData", "w:checkBox")
    if box is None:
        return ""
    own = part.switch(box, "w:checked")
    return "☒" if (part.switch(box, "w:default") if own is None else own) else "☐"


def _is_rule(part: Part, index: int) -> bool:
    """Whether nothing but a line across the page is drawn, or nothing at all."""
    drawn = [at for at in part.inside(index) if part.names[at] in _DRAWN_ALONE]
    return all(is_on(part.said(at, "o:hr", "0")) for at in drawn)


def _chosen(part: Part, index: int) -> int:
    """
    What is taken of a choice (ECMA-376 part 3, §9.3): the first, where the others say the same words.

    Which of them a program shows depends on what it understands: where that changes a word, nobody can say what is
    read.
    """
    branches = [child for child in part.children(index) if part.names[child] in ("mc:Choice", "mc:Fallback")]
    if not branches:
        raise Unread(UNKNOWN)
    if len({_words(part, branch) for branch in branches}) != 1:
        raise Unread("it has something that programs show in different words")
    return branches[0]


def _words(part: Part, index: int) -> str:
    said: list[str] = []
    at, end = index + 1, part.past(index)
    while at < end:
        if part.names[at] == "mc:Fallback":
            at = part.past(at)
            continue
        if part.names[at] == "w:t":
            said.append(part.text(at))
        at += 1
    return "".join("".join(said).split())


def _sign(part: Part, index: int) -> str:
    """One sign of a font (§17.3.3.30)."""
    code = part.said(index, "w:char")
    unit = int(code, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,6}", code) else 0
    font = part.said(index, "w:font")
    if is_of_signs(font):
        return sign_of(font, unit)
    return chr(unit) if 0x20 <= unit < 0xD800 else SIGN
