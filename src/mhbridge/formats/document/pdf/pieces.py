"""
Pieces of a page of a PDF, where they stand, and what is seen of them.

A word that something is painted over is not read by who looks at the page, nor is one that is crossed out read like its
neighbours; and what a page calls no part of the letter stands at its edges. This module must never take for seen what
is not.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mhbridge.formats.document.blocks import Unread
from mhbridge.formats.document.pdf.objects import Budget

__all__ = [
    "GAP", "OUTSIDE", "THROUGH", "UPRIGHT", "Box", "Matrix", "Page", "Picture", "Run", "Shape", "covers", "look_over",
    "matrix_of", "placed", "rectangle", "same_words", "times",
]  # fmt: skip

OUTSIDE: Final = "there are words in the PDF that its structure does not have"
_COVERED: Final = "something is painted over words of the PDF"
#: A gap in a line that a reader sees as one, in sizes.
GAP: Final = 0.15
#: Where a line through a word runs, from the foot of its letters, in sizes.
THROUGH: Final = (0.12, 0.6)
_THIN: Final = 0.2
#: How much of a word a line through it goes through.
_WHOLE: Final = 0.85
#: What part of the page's height its edges begin at, above and below: where its header and footer stand.
_EDGES: Final = (0.8, 0.15)

#: ISO 32000-1, 8.3.3: the six numbers by which a place becomes another.
Matrix = tuple[float, float, float, float, float, float]
#: Left, low, right, high.
Box = tuple[float, float, float, float]
UPRIGHT: Final[Matrix] = (1, 0, 0, 1, 0, 0)


@dataclass(slots=True, eq=False)
class Run:
    """
    A piece of text as it stands on a page.

    Args:
        x: where it begins, and ends.
        y: the foot of its letters, where it begins and ends.
        size: of its letters.
        order: its number among what is painted.
        struck: it is crossed out.
        raised: "^" or "_", where the structure says that it stands higher or lower than the line.
    """

    text: str
    page: int
    x: tuple[float, float]
    y: tuple[float, float]
    size: float
    order: int
    struck: bool = False
    raised: str = ""

    @property
    def end(self) -> float:
        """Where its last word ends."""
        shown = len(self.text.rstrip()) / len(self.text) if self.text else 1
        return self.x[0] + (self.x[1] - self.x[0]) * shown


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, which says nothing by itself."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Something that is painted: its sides, whether it fills them, and when."""

    left: float
    low: float
    right: float
    high: float
    fills: bool
    order: int
    white: bool = False


@dataclass(slots=True)
class Page:
    """
    What a page shows.

    Args:
        marked: what is under each number of its marked content, in its order.
        edges: whether there are words at its edges that are no part of the letter.
    """

    number: int
    marked: dict[int, list[Run | Picture]]
    edges: bool = False

    @property
    def right(self) -> float:
        """How far to the right its text goes."""
        return max((piece.x[1] for said in self.marked.values() for piece in said if isinstance(piece, Run)), default=0)


def times(one: Matrix, two: Matrix) -> Matrix:
    """One, and then the other."""
    a, b, c, d, e, f = one
    g, h, i, j, k, m = two
    return (a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m)


def placed(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    """Where a place comes to be."""
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def matrix_of(operands: Any) -> Matrix:
    """Six numbers of a content stream."""
    a, b, c, d, e, f = (float(one) for one in operands)
    return a, b, c, d, e, f


def rectangle(points: Sequence[tuple[float, float]]) -> Box:
    """The rectangle round some points: left, low, right, high."""
    across, along = [x for x, _ in points] or [0.0], [y for _, y in points] or [0.0]
    return min(across), min(along), max(across), max(along)


def same_words(one: str, two: str) -> bool:
    """Whether two texts have the same letters and figures."""

    def bare(text: str) -> list[str]:
        return [sign for sign in unicodedata.normalize("NFKC", text).casefold() if sign.isalnum()]

    return bare(one) == bare(two)


def look_over(
    marked: Iterable[Sequence[Run | Picture]], edges: Sequence[Run], shapes: Sequence[Shape], box: Box, budget: Budget
) -> None:
    """
    Hold what is painted against the words of a page, and mark those that are crossed out.

    Args:
        marked: what is a part of the letter; `edges`: what is called no part of it.

    Raises:
        Unread: words are covered, or crossed out in part, or called no part of the letter in the middle of it.
    """
    runs = [piece for said in marked for piece in said if isinstance(piece, Run)]
    runs = sorted((run for run in runs if run.text.strip()), key=lambda run: run.y[0])
    if edges:
        height = box[3] - box[1]
        top, foot = (box[1] + height * edge for edge in _EDGES)
        highest = max((run.y[0] for run in runs), default=box[1])
        lowest = min((run.y[0] for run in runs), default=box[3])
        for run in edges:
            above, below = run.y[0] > max(top, highest), run.y[0] < min(foot, lowest)
            if not runs or not (above or below):
                raise Unread(OUTSIDE)
    if not runs or not shapes:
        return
    feet = [run.y[0] for run in runs]
    largest = max(run.size for run in runs)
    for shape in shapes:
        begin = bisect_left(feet, shape.low - THROUGH[1] * largest)
        end = bisect_right(feet, shape.high)
        budget.spend((end - begin) // 2)
        for run in runs[begin:end]:
            _look_at(shape, run)


def _look_at(shape: Shape, run: Run) -> None:
    """Whether something that is painted hides a word, or goes through it."""
    low, high = (run.y[0] + part * run.size for part in THROUGH)
    shared = min(shape.right, run.end) - max(shape.left, run.x[0])
    if shared <= run.size / 10 or shape.high <= low or shape.low >= high:
        return
    thin = shape.high - shape.low < _THIN * run.size
    if thin:
        # A line through part of a piece: of which words, only its picture says.
        if shared < (run.end - run.x[0]) * _WHOLE:
            raise Unread("there are words in the PDF that are crossed out in part")
        run.struck = True
    elif not shape.fills:
        if shape.right - shape.left > run.size / 2:
            raise Unread(_COVERED)
    elif shape.order > run.order:
        raise Unread(_COVERED)


def covers(shape: Shape, run: Run) -> bool:
    """Whether a piece of text stands within something that is painted, and not in white."""
    return (
        shape.fills
        and not shape.white
        and shape.left <= run.x[0]
        and run.end <= shape.right
        and shape.low <= run.y[0] <= shape.high
    )
