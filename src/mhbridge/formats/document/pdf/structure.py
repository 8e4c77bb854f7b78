"""
The logical structure of a tagged PDF (ISO 32000-1, 14.7 and 14.8) as paragraphs, lists and tables.

What the structure says is held against the pages: everything that they show is in it once, and the rows and cells of a
table stand on the page as it says that they do. This module must never trust a structure that a reader would not see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mhbridge.formats.document.blocks import Block, Cell, Paragraph, Unread, table_of
from mhbridge.formats.document.pdf.fonts import is_plain
from mhbridge.formats.document.pdf.lines import Note, joined
from mhbridge.formats.document.pdf.objects import LIMITED, Budget, dictionary, name, number, value
from mhbridge.formats.document.pdf.pieces import Page, Picture, Run, same_words

__all__ = ["read_structure"]

_LYING: Final = "the structure of the PDF is not what its pages show"
_UNKNOWN: Final = "the structure of the PDF has something that is not known here"
_HEADINGS: Final = {"H": 2, "Title": 1, **{f"H{level}": level for level in range(1, 7)}}
#: Structure types (14.8.4; ISO 32000-2, 14.8.4) that hold others,
_GROUPS: Final = frozenset(
    ("Document", "DocumentFragment", "Part", "Art", "Sect", "Div", "BlockQuote", "TOC", "TOCI", "Index", "Aside")
)
#: that are a paragraph,
_PARAGRAPHS: Final = frozenset(("P", "Caption", "LBody", "FENote", "Note", *_HEADINGS))
#: and that are a part of a line.
_INLINE: Final = frozenset(
    ("NonStruct", "Span", "Quote", "Reference", "BibEntry", "Code", "Link", "Em", "Strong", "Sub")
)
_OWN: Final = frozenset(("L", "LI", "Table", "TR", "TH", "TD", "THead", "TBody", "TFoot", "Figure", "Lbl"))
_KNOWN: Final = _GROUPS | _PARAGRAPHS | _INLINE | _OWN
_NOTES: Final = frozenset(("Note", "FENote"))
_DEEPEST: Final = 60
_WIDEST: Final = 100
_MAPPED: Final = 16

_Piece = Run | Picture | Note


@dataclass(frozen=True, slots=True)
class _Element:
    """A structure element: its standard type, itself, and the page that its content is on."""

    kind: str
    itself: Any
    page: Any


@dataclass(slots=True)
class _Lines:
    """Blocks being made: pieces that stand loose become a paragraph when a block begins."""

    level: int = 0
    mark: str = ""
    depth: int = 0
    edge: bool = True
    loose: list[_Piece] = field(default_factory=list)
    made: list[Block] = field(default_factory=list)


def read_structure(root: Any, pages: Sequence[Any], shown: Sequence[Page], budget: Budget) -> tuple[Block, ...]:
    """
    What is written, in the order of the structure.

    Args:
        root: the StructTreeRoot.
        pages: the pages, as objects; `shown`: what each shows.

    Raises:
        Unread: the structure is not what the pages show.
    """
    return _Reader(root, pages, shown, budget).read()


class _Reader:
    def __init__(self, root: Any, pages: Sequence[Any], shown: Sequence[Page], budget: Budget) -> None:
        self._root = root
        self._budget = budget
        self._pages = {id(page): place for place, page in enumerate(pages)}
        self._shown = shown
        self._roles: Mapping[str, Any] = dictionary(root, "/RoleMap")
        self._used: set[tuple[int, int]] = set()
        self._seen: dict[int, Any] = {}
        self._rights = [page.right for page in shown]
        #: All runs in the order in which they were taken.
        self._taken: list[Run] = []

    def read(self) -> tuple[Block, ...]:
        lines = _Lines()
        for kid in self._kids(_Element("Document", self._root, None), 0):
            self._block(kid, lines, 1)
        self._flush(lines)
        there = {(place, at) for place, page in enumerate(self._shown) for at, said in page.marked.items() if said}
        if there - self._used:
            raise Unread(_LYING)
        return tuple(lines.made)

    # --- the tree (14.7.2) ---

    def _kids(self, element: _Element, depth: int) -> Iterator[_Element | list[_Piece]]:
        """What is in an element: others, and pieces of pages."""
        if depth > _DEEPEST:
            raise Unread(LIMITED)
        found = value(element.itself, "/K")
        for raw in found if isinstance(found, list) else [found] if found is not None else []:
            self._budget.spend(4)
            kid = raw.get_object()
            if isinstance(kid, int):
                yield self._content(element.page, kid)
            elif not isinstance(kid, dict):
                raise Unread(_UNKNOWN)
            elif name(kid, "/Type") == "MCR":
                if value(kid, "/Stm") is not None:
                    raise Unread(_UNKNOWN)
                yield self._content(value(kid, "/Pg") or element.page, int(number(kid, "/MCID", -1)))
            elif name(kid, "/Type") == "OBJR":
                # An annotation: only links get here, and what they are put on is in the text.
                if name(dictionary(kid, "/Obj"), "/Subtype") != "Link":
                    raise Unread(_UNKNOWN)
            else:
                made = self._element(kid, element.page)
                if made.kind == "NonStruct" and value(kid, "/ActualText") is None:
                    # It groups nothing: what is in it belongs to what it is in (14.8.4.2).
                    yield from self._kids(made, depth + 1)
                else:
                    yield made

    def _element(self, itself: Any, page: Any) -> _Element:
        if id(itself) in self._seen:
            raise Unread("the structure of the PDF has something twice")
        self._seen[id(itself)] = itself
        role = name(itself, "/S")
        for _ in range(_MAPPED):
            if role in _KNOWN:
                return _Element(role, itself, value(itself, "/Pg") or page)
            role = name(self._roles, f"/{role}")
        raise Unread(_UNKNOWN)

    def _content(self, page: Any, at: int) -> list[_Piece]:
        place = self._pages.get(id(page))
        if place is None or at not in self._shown[place].marked:
            raise Unread(_LYING)
        if (place, at) in self._used:
            raise Unread("the structure of the PDF has something twice")
        self._used.add((place, at))
        said = self._shown[place].marked[at]
        self._taken += [piece for piece in said if isinstance(piece, Run)]
        return list(said)

    # --- blocks ---

    def _block(self, kid: _Element | list[_Piece], lines: _Lines, depth: int) -> None:
        if isinstance(kid, list):
            lines.loose += kid
        elif kid.kind in _INLINE or kid.kind in ("Figure", "Lbl") or (kid.kind in _NOTES and lines.loose):
            lines.loose += self._inline(kid, depth)
        elif kid.kind == "Table":
            self._flush(lines)
            lines.made += self._table(kid, depth + 1)
        elif kid.kind == "L":
            self._flush(lines)
            self._list(kid, lines, depth + 1)
        elif kid.kind in _GROUPS or kid.kind in _PARAGRAPHS:
            self._flush(lines)
            outer = lines.level
            lines.level = _HEADINGS.get(kid.kind, outer)
            if value(kid.itself, "/ActualText") is not None:
                lines.loose += self._inline(kid, depth)
            else:
                for inner in self._kids(kid, depth):
                    self._block(inner, lines, depth + 1)
            self._flush(lines)
            lines.level = outer
        else:
            raise Unread(_UNKNOWN)

    def _flush(self, lines: _Lines) -> None:
        if not lines.loose:
            return
        rights = self._rights if lines.edge else None
        text, notes = joined(lines.loose, rights)
        lines.loose = []
        if text.strip():
            lines.made.append(Paragraph(text.strip(), lines.level, lines.mark, lines.depth))
            lines.mark = ""
        lines.made += [Paragraph(note.text) for note in notes]

    def _inline(self, element: _Element, depth: int) -> list[_Piece]:
        """The pieces of an element in a line."""
        pieces: list[_Piece] = []
        mark = ""
        for kid in self._kids(element, depth):
            if isinstance(kid, list):
                pieces += kid
            elif kid.kind == "Lbl" and element.kind in _NOTES:
                mark += joined(self._inline(kid, depth + 1), None)[0].strip() + " "
            elif (
                kid.kind in _INLINE
                or kid.kind in ("Figure", "Lbl", *_NOTES)
                or (element.kind in _NOTES and kid.kind in _PARAGRAPHS)
            ):
                pieces += self._inline(kid, depth + 1)
            else:
                raise Unread(_UNKNOWN)
        if element.kind == "Figure":
            return self._figure(element, pieces)
        actual = value(element.itself, "/ActualText")
        if actual is not None:
            pieces = _replaced(pieces, str(actual))
        for look in _attributes(element.itself, self._root):
            struck, raised = name(look, "/TextDecorationType") == "LineThrough", _raised(look)
            for piece in pieces:
                if isinstance(piece, Run):
                    piece.struck = piece.struck or struck
                    piece.raised = raised or piece.raised
        if element.kind in _NOTES:
            return [Note(mark + joined(pieces, None)[0].strip())]
        return pieces

    def _figure(self, element: _Element, pieces: Sequence[_Piece]) -> list[_Piece]:
        """A picture, with what its writer says of it."""
        if any(not isinstance(piece, Picture) for piece in pieces):
            raise Unread("the PDF has a drawing with words in it")
        said = value(element.itself, "/Alt") or value(element.itself, "/ActualText")
        said = " ".join(str(said).split()) if said is not None else ""
        return [Note(f"[picture: {said}]" if said and is_plain(said) else "[picture not included]", inline=True)]

    def _list(self, element: _Element, lines: _Lines, depth: int) -> None:
        """A list (14.8.4.3.3): its items with their marks."""
        outer = lines.depth
        lines.depth = min(outer + 1, 8)
        for item in self._kids(element, depth):
            if isinstance(item, list) or item.kind not in ("LI", "L", "Caption"):
                raise Unread(_UNKNOWN)
            if item.kind == "LI":
                for kid in self._kids(item, depth + 1):
                    if not isinstance(kid, list) and kid.kind == "Lbl":
                        self._flush(lines)
                        lines.mark = joined(self._inline(kid, depth + 2), None)[0].strip()
                    else:
                        self._block(kid, lines, depth + 2)
                self._flush(lines)
                if lines.mark:  # an item that says nothing
                    lines.made.append(Paragraph("", 0, lines.mark, lines.depth))
                    lines.mark = ""
            else:
                self._block(item, lines, depth + 1)
                self._flush(lines)
        lines.depth = outer
        # The outermost list is not in one.
        if not outer:
            lines.made = [
                replace(block, depth=block.depth - 1) if isinstance(block, Paragraph) and block.depth else block
                for block in lines.made
            ]

    # --- tables (14.8.4.3.4) ---

    def _table(self, element: _Element, depth: int) -> list[Block]:
        captions = _Lines()
        rows: list[list[tuple[Cell, list[Run]]]] = []
        self._rows(element, rows, captions, depth)
        self._flush(captions)
        _look_at(rows)
        return [*captions.made, table_of([[cell for cell, _ in row] for row in rows])]

    def _rows(self, element: _Element, rows: list[list[tuple[Cell, list[Run]]]], captions: _Lines, depth: int) -> None:
        for kid in self._kids(element, depth):
            if isinstance(kid, list):
                if any(isinstance(piece, Picture) or piece.text.strip() for piece in kid):
                    raise Unread(_UNKNOWN)
            elif kid.kind in ("THead", "TBody", "TFoot"):
                self._rows(kid, rows, captions, depth + 1)
            elif kid.kind == "Caption":
                self._block(kid, captions, depth + 1)
            elif kid.kind == "TR":
                rows.append([])
                for cell in self._kids(kid, depth + 1):
                    if isinstance(cell, list) or cell.kind not in ("TH", "TD"):
                        raise Unread(_UNKNOWN)
                    rows[-1].append(self._cell(cell, depth + 2))
            else:
                raise Unread(_UNKNOWN)

    def _cell(self, element: _Element, depth: int) -> tuple[Cell, list[Run]]:
        begin = len(self._taken)
        lines = _Lines(edge=False)
        for kid in self._kids(element, depth):
            self._block(kid, lines, depth + 1)
        self._flush(lines)
        spans = [1, 1]
        for look in _attributes(element.itself, self._root):
            for place, key in enumerate(("/ColSpan", "/RowSpan")):
                spans[place] = int(number(look, key, spans[place]))
        if not all(1 <= span <= _WIDEST for span in spans):
            raise Unread(_LYING)
        cell = Cell(lines.made, spans[0], spans[1], element.kind == "TH")
        return cell, [run for run in self._taken[begin:] if run.text.strip()]


def _look_at(rows: Sequence[Sequence[tuple[Cell, Sequence[Run]]]]) -> None:
    """Whether rows and cells stand on the page as the structure has them: a dose must not slip to another medicine."""
    #: Page → the lowest foot of letters in the rows before.
    lowest: dict[int, float] = {}
    last = -1
    for row in rows:
        own: dict[int, float] = {}
        #: Page → how far to the right the cells before go.
        right: dict[int, float] = {}
        for cell, runs in row:
            begin: dict[int, float] = {}
            reach: dict[int, float] = {}
            for run in runs:
                begin[run.page] = min(begin.get(run.page, run.x[0]), run.x[0])
                reach[run.page] = max(reach.get(run.page, run.x[1]), run.x[1])
                if run.page < last or (run.page in lowest and run.y[0] >= lowest[run.page]):
                    raise Unread(_LYING)
                if cell.down == 1:
                    own[run.page] = min(own.get(run.page, run.y[0]), run.y[0])
            for page, at in begin.items():
                if page in right and at < right[page] - 1:
                    raise Unread(_LYING)
            right |= reach
        lowest |= own
        last = max([last, *own]) if own else last


def _attributes(itself: Any, root: Any) -> Iterator[Any]:
    """The attributes of an element (14.7.5), also those of its classes."""
    classes = dictionary(root, "/ClassMap")
    named = value(itself, "/C")
    names = named if isinstance(named, list) else [named] if named is not None else []
    found = [value(classes, str(one)) for one in names if isinstance(one, str)]
    found.append(value(itself, "/A"))
    for one in found:
        for look in one if isinstance(one, list) else [one] if one is not None else []:
            inner = look.get_object()
            if isinstance(inner, dict):
                yield inner


def _raised(look: Any) -> str:
    """Whether something stands above or below the line (14.8.5.4.5; ISO 32000-2, 14.8.5.4.6)."""
    place = {"Sup": "^", "Sub": "_"}.get(name(look, "/TextPosition"), "")
    shift = number(look, "/BaselineShift", 0)
    return place or ("^" if shift > 0 else "_" if shift < 0 else "")


def _replaced(pieces: Sequence[_Piece], actual: str) -> list[_Piece]:
    """Pieces in the place of which others are to be read (14.9.4), where they have the same letters and figures."""
    runs = [piece for piece in pieces if isinstance(piece, Run)]
    if len(runs) != len(pieces) or not runs or not is_plain(actual):
        raise Unread("the PDF says other words than it shows")
    if not same_words("".join([run.text for run in runs]), actual):
        raise Unread("the PDF says other words than it shows")
    first, last = runs[0], runs[-1]
    return [replace(first, text=actual, x=(first.x[0], last.x[1]), y=(first.y[0], last.y[1]))]
