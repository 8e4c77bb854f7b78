"""
Who has looked at a mapping and answers for it: `suppliers/<supplier>/reviews.csv`, one line a review.

A review is of a hash, which covers the mapping, its document type with all parts, and every code table: whatever of
that changes, the review is one of something else. In live mode nothing else loads. The file is a log: lines are added
and never changed. This module must never say that a review was made of what it was not made of.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Final

from mhbridge.errors import Diagnostic, Span

__all__ = ["HEADER", "Review", "line", "path_of", "read_reviews"]

HEADER: Final = ("mapping", "hash", "who", "when", "says")


@dataclass(frozen=True, slots=True)
class Review:
    """
    One review.

    Args:
        mapping: `supplier/feed`.
        hash: of what was reviewed.
        who: name and role of the person who answers for it.
        when: the day and time, ISO 8601 in UTC.
        says: what they want to have written beside it.
    """

    mapping: str
    hash: str
    who: str
    when: str
    says: str = ""


def path_of(supplier: str) -> str:
    """Where the reviews of a supplier's mappings stand, below a folder of mappings."""
    return f"suppliers/{supplier}/reviews.csv"


def line(review: Review) -> str:
    """A review as a line of the file."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(astuple(review))
    return written.getvalue()


def read_reviews(file: str, text: str) -> tuple[tuple[Review, ...], tuple[Diagnostic, ...]]:
    """The reviews of a file, in its order. A line that is not whole is none, and is said."""
    found: list[Review] = []
    wrong: list[Diagnostic] = []
    for number, row in _numbered(text.splitlines(keepends=True)):
        if number == 1 and tuple(row) == HEADER:
            continue
        if number == 1 or len(row) != len(HEADER) or not all(row[:4]):
            span = Span(file, number, 1, number, 2)
            shown = text.splitlines()[number - 1] if number <= len(text.splitlines()) else ""
            what = "this is no review" if number > 1 else "the header is another"
            wrong.append(Diagnostic("E562", what, span, shown, ",".join(HEADER)))
            continue
        found.append(Review(*row))
    return tuple(found), tuple(wrong)


def _numbered(lines: Iterable[str]) -> Iterable[tuple[int, list[str]]]:
    reader = csv.reader(lines)
    for row in reader:
        if row:
            yield reader.line_num, row
