"""
A page of a PDF: what its content shows, by the numbers that its structure calls it by (ISO 32000-1, 8, 9 and 14.6).

Each piece of text is kept with where it stands, so that a word is not joined to its neighbour, a raised figure not to
the one before it, and so that what the structure says can be held against what a reader sees. Text that a reader does
not see, or sees crossed out or covered, is not taken for text. This module must never leave a piece of text to nobody:
it is in the structure, or at the edge of the page, or the page is not read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from typing import Any, Final

from mhbridge.formats.document.blocks import Unread
from mhbridge.formats.document.pdf.fonts import Font, font_of, is_plain
from mhbridge.formats.document.pdf.objects import (
    DAMAGED,
    LIMITED,
    Budget,
    contents,
    dictionary,
    name,
    number,
    operations,
    value,
)
from mhbridge.formats.document.pdf.pieces import (
    GAP,
    OUTSIDE,
    THROUGH,
    UPRIGHT,
    Box,
    Matrix,
    Page,
    Picture,
    Run,
    Shape,
    covers,
    look_over,
    matrix_of,
    placed,
    rectangle,
    same_words,
    times,
)

__all__ = ["read_page"]

_UNSEEN: Final = "there are words in the PDF that do not show"
_TURNED: Final = "there are words in the PDF that are turned"
_LAYERED: Final = "the PDF has layers that may be hidden"
_SCANNED: Final = "a page of the PDF is a picture"
_DEEPEST: Final = 30
#: How far a sign may reach back into the one before it, in sizes.
_BACK: Final = 0.3


@dataclass(slots=True)
class _Graphics:
    """The state of graphics (8.4), as far as it says where text stands and whether it shows."""

    matrix: Matrix = UPRIGHT
    font: Font | None = None
    size: float = 0
    between: float = 0
    words: float = 0
    scale: float = 1
    leading: float = 0
    rise: float = 0
    mode: int = 0
    white: bool = False
    clear: bool = False
    masked: bool = False
    #: What is painted beyond this does not show: left, low, right, high (8.5.4), as a rectangle round it.
    clip: Box = (-inf, -inf, inf, inf)


@dataclass(slots=True)
class _Mark:
    """Marked content that is open."""

    number: int | None = None
    artifact: bool = False
    actual: str | None = None
    #: What its signs say without that, and where they stand.
    runs: list[Run] = field(default_factory=list)
    unsaid: bool = False


def read_page(page: Any, number_: int, fonts: dict[int, tuple[Any, Font]], budget: Budget) -> Page:
    """
    What a page shows. `page` has what it inherits.

    Raises:
        Unread: it shows something that has no place, or text that cannot be told.
    """
    return _Reader(page, number_, fonts, budget).read()


class _Reader:
    def __init__(self, page: Any, number_: int, fonts: dict[int, tuple[Any, Font]], budget: Budget) -> None:
        self._page, self._number, self._fonts, self._budget = page, number_, fonts, budget
        self._resources = dictionary(page, "/Resources")
        self._state = _Graphics()
        self._outer: list[_Graphics] = []
        self._line: Matrix = UPRIGHT
        self._text: Matrix = UPRIGHT
        self._marks: list[_Mark] = []
        self._marked: dict[int, list[Run | Picture]] = {}
        self._artifacts: list[Run] = []
        self._shapes: list[Shape] = []
        #: The path that is made: of each part its points.
        self._path: list[list[tuple[float, float]]] = []
        self._clips = False
        self._order = 0
        box = [float(one.get_object()) for one in value(page, "/CropBox") or value(page, "/MediaBox")]
        self._box = (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
        if number(page, "/Rotate", 0) % 360:
            raise Unread(_TURNED)

    def read(self) -> Page:
        does = self._does()
        for operands, operator in operations(contents(self._page, "/Contents", self._budget), self._budget):
            self._order += 1
            act = does.get(operator)
            if act is None:
                raise Unread("the PDF does something that is not known here")
            act(operands)
        if self._marks:
            raise Unread(DAMAGED)
        look_over(self._marked.values(), self._artifacts, self._shapes, self._box, self._budget)
        return Page(self._number, self._marked, bool(self._artifacts))

    def _does(self) -> dict[bytes, Any]:
        """What each operator does (annex A)."""

        def nothing(_operands: Any) -> None:
            """It changes nothing of what is read."""

        state = self._set
        return {
            **dict.fromkeys((b"w", b"J", b"j", b"M", b"d", b"ri", b"i", b"MP", b"DP"), nothing),
            **dict.fromkeys((b"W", b"W*"), self._clip),
            **dict.fromkeys((b"G", b"RG", b"K", b"CS", b"SC", b"SCN", b"BX", b"EX"), nothing),
            **dict.fromkeys((b"g", b"rg", b"k", b"sc", b"scn"), self._fill_colour),
            b"cs": lambda _: state("white", False),
            b"q": self._save, b"Q": self._restore, b"cm": self._concatenate, b"gs": self._extended,
            b"m": self._move, b"l": self._draw, b"c": self._draw, b"v": self._draw, b"y": self._draw, b"h": self._close,
            b"re": self._rectangle, b"n": self._forget,
            **dict.fromkeys((b"S", b"s"), lambda _: self._paint(fills=False)),
            **dict.fromkeys((b"f", b"F", b"f*", b"B", b"B*", b"b", b"b*"), lambda _: self._paint(fills=True)),
            b"sh": lambda _: self._shape(*self._box, fills=True),
            b"BT": self._begin_text, b"ET": nothing,
            b"Tc": lambda o: state("between", float(o[0])), b"Tw": lambda o: state("words", float(o[0])),
            b"Tz": lambda o: state("scale", float(o[0]) / 100), b"TL": lambda o: state("leading", float(o[0])),
            b"Tf": self._font, b"Tr": lambda o: state("mode", int(o[0])), b"Ts": lambda o: state("rise", float(o[0])),
            b"Td": self._next, b"TD": self._next_leading, b"Tm": self._place,
            b"T*": lambda _: self._next((0, -self._state.leading)),
            b"Tj": lambda o: self._show([o[0]]), b"TJ": lambda o: self._show(o[0]),
            b"'": self._show_next, b'"': self._show_spaced,
            b"BMC": self._begin_mark, b"BDC": self._begin_mark, b"EMC": self._end_mark,
            b"Do": self._object, b"INLINE IMAGE": lambda _: self._picture(self._state.matrix),
        }  # fmt: skip

    # --- state ---

    def _set(self, what: str, to: Any) -> None:
        setattr(self._state, what, to)

    def _save(self, _operands: Any) -> None:
        if len(self._outer) >= _DEEPEST * 4:
            raise Unread(LIMITED)
        self._outer.append(replace(self._state))

    def _restore(self, _operands: Any) -> None:
        # One too many is common at the end of a page and changes nothing.
        if self._outer:
            self._state = self._outer.pop()

    def _concatenate(self, operands: Any) -> None:
        self._state.matrix = times(matrix_of(operands), self._state.matrix)

    def _extended(self, operands: Any) -> None:
        look = dictionary(dictionary(self._resources, "/ExtGState"), operands[0])
        if value(look, "/Font") is not None:
            raise Unread("the PDF does something that is not known here")
        if value(look, "/ca") is not None:
            self._state.clear = number(look, "/ca", 1) < 0.2
        if value(look, "/SMask") is not None:
            self._state.masked = isinstance(value(look, "/SMask"), dict)

    def _fill_colour(self, operands: Any) -> None:
        parts = [float(one) for one in operands if isinstance(one, int | float)]
        inks = len(parts) == 4
        self._state.white = bool(parts) and len(parts) == len(operands) and (
            max(parts) < 0.05 if inks else min(parts) > 0.95
        )  # fmt: skip

    # --- paths ---

    def _move(self, operands: Any) -> None:
        self._path.append([placed(self._state.matrix, float(operands[0]), float(operands[1]))])

    def _draw(self, operands: Any) -> None:
        values = [float(one) for one in operands]
        if not self._path:
            raise Unread(DAMAGED)
        self._path[-1] += [placed(self._state.matrix, values[at], values[at + 1]) for at in range(0, len(values), 2)]

    def _close(self, _operands: Any) -> None:
        if self._path:
            self._path[-1].append(self._path[-1][0])

    def _rectangle(self, operands: Any) -> None:
        x, y, width, height = (float(one) for one in operands)
        corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y))
        self._path.append([placed(self._state.matrix, *corner) for corner in corners])

    def _clip(self, _operands: Any) -> None:
        self._clips = True

    def _forget(self, _operands: Any) -> None:
        """The path ends; what it clips is what it is round."""
        if self._clips:
            left, low, right, high = rectangle([point for part in self._path for point in part])
            own = self._state.clip
            self._state.clip = max(own[0], left), max(own[1], low), min(own[2], right), min(own[3], high)
        self._path, self._clips = [], False

    def _paint(self, *, fills: bool) -> None:
        for part in self._path:
            if fills:
                self._shape(*rectangle(part), fills=True, white=self._state.white)
            else:
                for segment in pairwise(part):
                    self._shape(*rectangle(segment), fills=False)
        self._forget(())

    def _shape(self, left: float, low: float, right: float, high: float, *, fills: bool, white: bool = False) -> None:
        self._budget.spend(1)
        self._shapes.append(Shape(left, low, right, high, fills, self._order, white))

    # --- pictures ---

    def _object(self, operands: Any) -> None:
        found = dictionary(dictionary(self._resources, "/XObject"), operands[0])
        if value(found, "/OC") is not None:
            raise Unread(_LAYERED)
        kind = name(found, "/Subtype")
        if kind == "Image":
            self._picture(self._state.matrix)
        elif kind == "Form":
            self._look_into(found, 0)
            own = value(found, "/Matrix")
            matrix = times(matrix_of([one.get_object() for one in own]) if own else UPRIGHT, self._state.matrix)
            left, low, right, high = (float(one.get_object()) for one in value(found, "/BBox"))
            self._picture(times((right - left, 0, 0, high - low, left, low), matrix))
        else:
            raise Unread("the PDF does something that is not known here")

    def _look_into(self, form: Any, depth: int) -> None:
        """Whether a drawing that is called by its name has words in it."""
        if depth > 4:
            raise Unread(LIMITED)
        objects = dictionary(dictionary(form, "/Resources"), "/XObject")
        data = form.get_data()
        self._budget.unpack(len(data))
        for operands, operator in operations(data, self._budget):
            if operator in (b"Tj", b"TJ", b"'", b'"', b"BDC"):
                raise Unread("the PDF has a drawing with words in it")
            if operator == b"Do":
                inner = dictionary(objects, operands[0])
                if name(inner, "/Subtype") == "Form":
                    self._look_into(inner, depth + 1)

    def _picture(self, matrix: Matrix) -> None:
        left, low, right, high = rectangle([placed(matrix, x, y) for x in (0, 1) for y in (0, 1)])
        page = (self._box[2] - self._box[0]) * (self._box[3] - self._box[1])
        if (right - left) * (high - low) > page / 2:
            raise Unread(_SCANNED)
        self._shape(left, low, right, high, fills=True)
        if any(mark.artifact for mark in self._marks):
            return
        at = next((mark.number for mark in self._marks if mark.number is not None), None)
        if at is None:
            raise Unread("there is a picture in the PDF that its structure does not have")
        self._marked[at].append(Picture())

    # --- marked content (14.6) ---

    def _begin_mark(self, operands: Any) -> None:
        if len(self._marks) >= _DEEPEST:
            raise Unread(LIMITED)
        tag = str(operands[0])
        if tag == "/OC":
            raise Unread(_LAYERED)
        properties = operands[1] if len(operands) > 1 else {}
        if isinstance(properties, str):
            properties = dictionary(dictionary(self._resources, "/Properties"), properties)
        mark = _Mark(artifact=tag == "/Artifact")
        at = value(properties, "/MCID")
        if at is not None and not mark.artifact:
            if any(outer.number is not None or outer.artifact for outer in self._marks) or int(at) in self._marked:
                raise Unread("the structure of the PDF has something twice")
            mark.number = int(at)
            self._marked[mark.number] = []
        actual = value(properties, "/ActualText")
        if actual is not None:
            if any(outer.actual is not None for outer in self._marks):
                raise Unread("the PDF says two things of what its words are")
            mark.actual = _said(actual)
        self._marks.append(mark)

    def _end_mark(self, _operands: Any) -> None:
        if not self._marks:
            raise Unread(DAMAGED)
        mark = self._marks.pop()
        if mark.actual is None:
            return
        shown = "".join([run.text for run in mark.runs])
        if not mark.unsaid and not same_words(shown, mark.actual):
            raise Unread("the PDF says other words than it shows")
        if mark.runs:
            first, last = mark.runs[0], mark.runs[-1]
            size = max(run.size for run in mark.runs)
            run = Run(mark.actual, self._number, (first.x[0], last.x[1]), (first.y[0], last.y[1]), size, first.order)
            self._keep(run, [*self._marks, _Mark(mark.number, mark.artifact)])

    # --- text (9.4) ---

    def _begin_text(self, _operands: Any) -> None:
        self._line = self._text = UPRIGHT

    def _font(self, operands: Any) -> None:
        font = dictionary(dictionary(self._resources, "/Font"), operands[0])
        known = self._fonts.get(id(font))
        if known is None:
            # Held, so that its number stays its own.
            known = self._fonts[id(font)] = (font, font_of(font, self._budget))
        self._state.font, self._state.size = known[1], float(operands[1])

    def _next(self, operands: Any) -> None:
        self._line = self._text = times((1, 0, 0, 1, float(operands[0]), float(operands[1])), self._line)

    def _next_leading(self, operands: Any) -> None:
        self._state.leading = -float(operands[1])
        self._next(operands)

    def _place(self, operands: Any) -> None:
        self._line = self._text = matrix_of(operands)

    def _show_next(self, operands: Any) -> None:
        self._next((0, -self._state.leading))
        self._show([operands[0]])

    def _show_spaced(self, operands: Any) -> None:
        self._state.words, self._state.between = float(operands[0]), float(operands[1])
        self._show_next(operands[2:])

    def _show(self, parts: Any) -> None:
        state = self._state
        if state.font is None or any(not isinstance(part, bytes | int | float) for part in parts):
            raise Unread(DAMAGED)
        said: list[str] = []
        begin = 0.0
        at = 0.0
        actual = next((mark for mark in self._marks if mark.actual is not None), None)
        for part in parts:
            if not isinstance(part, bytes):
                moved = -float(part) / 1000 * state.size * state.scale
                if said and not -_BACK * state.size < moved < GAP * state.size:
                    self._put("".join(said), begin, at)
                    said = []
                at += moved
                continue
            self._budget.spend(len(part))
            for code, text, width in state.font.signs(part):
                if not said:
                    begin = at
                if text is None:
                    if actual is None:
                        raise Unread("a font of the PDF does not say which characters its signs are")
                    actual.unsaid = True
                said.append(text or "")
                space = state.words if code == 0x20 and state.font.long == 1 else 0
                at += (width / 1000 * state.size + state.between + space) * state.scale
        if said:
            self._put("".join(said), begin, at)
        self._text = times((1, 0, 0, 1, at, 0), self._text)

    def _put(self, text: str, begin: float, end: float) -> None:
        """A piece of text, where it stands."""
        state = self._state
        matrix = times(self._text, state.matrix)
        a, b, c, d, _, _ = matrix
        if not (a > 0 and d > 0 and abs(b) < a / 100 and abs(c) < d) or state.size <= 0 or state.scale <= 0:
            raise Unread(_TURNED)
        (x, y), (x2, y2) = placed(matrix, begin, state.rise), placed(matrix, end, state.rise)
        run = Run(text, self._number, (x, x2), (y, y2), state.size * d, self._order)
        actual = next((mark for mark in self._marks if mark.actual is not None), None)
        if text.strip() or actual is not None:
            room, foot = run.size / 4, y + THROUGH[0] * run.size
            for left, low, right, high in (self._box, state.clip):
                # A place that is no number is nowhere, and nothing can be said of it.
                if not (left - room <= x <= run.end <= right + room and low <= foot <= high):
                    raise Unread(_UNSEEN)
            if not 2 <= run.size < 1_000 or state.mode not in (0, 1, 2) or state.clear or state.masked:
                raise Unread(_UNSEEN)
            # White words show on what was painted before them, and on nothing else.
            if state.white:
                self._budget.spend(len(self._shapes))
                if not any(covers(shape, run) for shape in self._shapes):
                    raise Unread(_UNSEEN)
        if actual is not None:
            actual.runs.append(run)
        else:
            self._keep(run, self._marks)

    def _keep(self, run: Run, marks: list[_Mark]) -> None:
        at = next((mark.number for mark in marks if mark.number is not None), None)
        if any(mark.artifact for mark in marks):
            if at is not None and run.text.strip():
                raise Unread(OUTSIDE)
            if run.text.strip():
                self._artifacts.append(run)
        elif at is not None:
            self._marked[at].append(run)
        elif run.text.strip():
            raise Unread(OUTSIDE)


def _said(actual: Any) -> str:
    """What a text string says (7.9.2.2)."""
    text: str
    if not isinstance(actual, bytes):
        text = str(actual)
    elif actual.startswith(b"\xfe\xff"):
        text = actual[2:].decode("utf-16-be")
    elif actual.startswith(b"\xef\xbb\xbf"):
        text = actual[3:].decode("utf-8")
    else:
        text = actual.decode("ascii")
    if not is_plain(text):
        raise Unread("the PDF says other words than it shows")
    return text
