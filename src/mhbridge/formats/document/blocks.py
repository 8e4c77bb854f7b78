"""
What is written in a document whose writer says the order: paragraphs, and tables with their rows and cells.

A table stays a table in XHTML; as text each row is a line, and its cells are parted by a bar, because a space between a
medicine and the next one's dose is nothing that a reader can see. This module must never leave out a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

__all__ = ["Block", "Cell", "Paragraph", "Table", "Unread", "as_text", "as_xhtml", "hyphened", "says", "table_of"]

#: What does not show, and what XML cannot hold. A tab and a line end are the only controls that a text may have.
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
#: A soft hyphen between two letters.
_SOFT: Final = re.compile("(?<=[^\\W\\d_])\xad(?=[^\\W\\d_])")
_BAR: Final = " | "
#: Columns of a table. A word processor has no more than 63.
_WIDEST: Final = 200
_EMPTY: Final = re.compile("\n{3,}")


class Unread(Exception):
    """
    The text of a document cannot be read faithfully.

    Args:
        reason: why, in words without a value, as the end of a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Paragraph:
    """
    A paragraph.

    Args:
        text: what it says; a line end in it is one that its writer made.
        level: of a heading, 1 to 6; otherwise 0.
        mark: of an item of a list, what it begins with.
        depth: in how many lists that list is.
    """

    text: str
    level: int = 0
    mark: str = ""
    depth: int = 0

    @property
    def marked(self) -> str:
        """Its text behind its mark."""
        return f"{self.mark} {self.text}" if self.mark else self.text


@dataclass(slots=True)
class Cell:
    """A cell, and over how many columns and rows it goes."""

    blocks: list[Block] = field(default_factory=list)
    across: int = 1
    down: int = 1
    head: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows; each has the cells that begin in it."""

    rows: tuple[tuple[Cell, ...], ...]


Block = Paragraph | Table


def hyphened(text: str) -> str:
    """
    A text whose hyphens show: a soft one parts a word where it is broken, and elsewhere nobody sees it.

    Between figures it is no soft one, whatever its writer took it for: "50-100" must not be read as "50100".
    """
    return _SOFT.sub("", text).replace("\xad", "-")


def says(blocks: Sequence[Block]) -> bool:
    """Whether there is a word in it."""
    return any(
        block.text.strip()
        if isinstance(block, Paragraph)
        else any(says(cell.blocks) for row in block.rows for cell in row)
        for block in blocks
    )


def table_of(rows: Sequence[Sequence[Cell]]) -> Table:
    """
    A table of rows that are no wider than a page.

    Raises:
        Unread: it would have more columns than any has, by cells over rows and columns that push each other aside.
    """
    covered: dict[int, int] = {}
    for row in rows:
        said: list[str] = []
        for cell in row:
            _place(cell, covered, said)
            if len(said) > _WIDEST:
                raise Unread("a table of it is too wide")
        _skip(covered, said)
    return Table(tuple(tuple(row) for row in rows))


def as_text(blocks: Sequence[Block]) -> str:
    """The blocks as lines."""
    return _EMPTY.sub("\n\n", "\n".join(_lines(blocks))).strip("\n")


def _lines(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Table):
            yield from _rows(block)
            continue
        if block.level:
            yield ""
        indent = "  " * block.depth
        for number, line in enumerate(_shown(block.text).split("\n")):
            mark = f"{block.mark} " if block.mark and not number else ""
            yield f"{indent}{mark}{line}".rstrip()


def _rows(table: Table) -> Iterator[str]:
    #: Column → in how many rows more a cell from above covers it.
    covered: dict[int, int] = {}
    for row in table.rows:
        if any(isinstance(block, Table) for cell in row for block in cell.blocks):
            # A table in a cell: bars of two tables in one line would say nothing of which is which.
            for cell in row:
                yield from _lines(cell.blocks)
            continue
        said: list[str] = []
        for cell in row:
            at = _place(cell, covered, said)
            lines = (line.strip() for line in _lines(cell.blocks))
            said[at] = "; ".join(line for line in lines if line)
        _skip(covered, said)
        if any(said):
            yield _BAR.join(said).rstrip()


def _place(cell: Cell, covered: dict[int, int], said: list[str]) -> int:
    """Make room for a cell behind what is there of its row; the column that it begins in."""
    _skip(covered, said)
    at = len(said)
    covered.update(dict.fromkeys(range(at, at + cell.across), cell.down - 1))
    said += [""] * cell.across
    return at


def _skip(covered: dict[int, int], said: list[str]) -> None:
    """What a cell from above covers is empty."""
    while covered.get(len(said), 0):
        covered[len(said)] -= 1
        said.append("")


def as_xhtml(blocks: Sequence[Block]) -> str:
    """The blocks as the inside of a `div`."""
    return "".join(_markup(blocks))


def _markup(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Table):
            yield "<table><tbody>"
            for row in block.rows:
                yield "<tr>"
                for cell in row:
                    name = "th" if cell.head else "td"
                    across = f' colspan="{cell.across}"' if cell.across > 1 else ""
                    down = f' rowspan="{cell.down}"' if cell.down > 1 else ""
                    yield f"<{name}{across}{down}>"
                    yield from _markup(cell.blocks)
                    yield f"</{name}>"
                yield "</tr>"
            yield "</tbody></table>"
        elif block.marked.strip():
            name = f"h{block.level}" if block.level else "p"
            yield f"<{name}>{escape(_shown(block.marked)).replace(chr(10), '<br/>')}</{name}>"


def _shown(text: str) -> str:
    """A text whose every character shows."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
