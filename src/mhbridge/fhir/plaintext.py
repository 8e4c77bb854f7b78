"""
A narrative as plain text, for a terminal: what the markup says stays legible without it.

Tables are aligned, lists keep their numbers, lines are broken at a width. It must never let through a character that
a terminal would obey, and never drop text because there is no room for it.
"""

from __future__ import annotations

import re
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mhbridge.fhir.xhtml import sanitise, visible

__all__ = ["plain", "wrapped"]

_SPACE: Final = re.compile("[ \t\n\r]+")
#: Stands for a line break while white space is collapsed; XML 1.0 holds no such character.
_BREAK: Final = "\x1e"
_GAP: Final = "  "
#: A column that would be narrower than this makes the table unreadable: its rows are then written one under another.
_NARROWEST: Final = 10
_BLOCKS: Final = frozenset(
    ("blockquote", "div", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p", "pre", "table", "ul")
)


@dataclass(slots=True)
class _Block:
    """Lines of one block. `spaced` blocks keep a blank line from their neighbours; short paragraphs do not."""

    lines: list[str]
    spaced: bool = False

    @property
    def leads(self) -> bool:
        """It is a label, and belongs to what follows it."""
        return len(self.lines) == 1 and self.lines[0].endswith(":")


def plain(xhtml: str, width: int = 100) -> str:
    """
    The text of a narrative for reading on a terminal.

    Args:
        xhtml: the `div` of a Narrative, or any other XHTML or HTML; it is sanitised first.
        width: where lines are broken; a word that is longer stands alone.
    """
    safe = sanitise(xhtml)
    if not safe:
        return ""
    # Elements and entities of its own are out of the question here: `sanitise` wrote this text.
    root = ET.fromstring(safe)  # noqa: S314
    lines = _joined(list(_blocks(root, max(width, 20))))
    return "\n".join(line.replace("\u00a0", " ").rstrip() for line in lines)


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width`, its own line ends kept; a word is never broken, not even at a hyphen."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, max(width, 1), break_long_words=False, break_on_hyphens=False) or [""]
    return lines


def _joined(blocks: Sequence[_Block]) -> list[str]:
    lines: list[str] = []
    before: _Block | None = None
    for block in blocks:
        if before is not None and (before.spaced or block.spaced) and not before.leads:
            lines.append("")
        lines += block.lines
        before = block
    return lines


def _name(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _blocks(element: ET.Element, width: int) -> Iterator[_Block]:
    """The blocks that an element holds; loose text between them is a block too."""
    loose = element.text or ""
    for child in element:
        if _name(child) in _BLOCKS:
            yield from _text(loose, width)
            loose = ""
            yield from _block(child, width)
        else:
            loose += _inline(child)
        loose += child.tail or ""
    yield from _text(loose, width)


def _text(text: str, width: int) -> Iterator[_Block]:
    lines = wrapped(_tidy(text), width)
    if any(lines):
        yield _Block(lines, spaced=len(lines) > 1)


def _tidy(text: str) -> str:
    """White space collapsed as a browser does; a line break is where `_inline` put its mark."""
    return visible("\n".join(line.strip(" ") for line in _SPACE.sub(" ", text).split(_BREAK))).strip("\n")


def _block(element: ET.Element, width: int) -> Iterator[_Block]:
    name = _name(element)
    if name == "hr":
        yield _Block(["-" * width])
    elif name == "pre":
        yield _Block(visible(_inline(element).replace(_BREAK, "\n")).strip("\n").split("\n"), spaced=True)
    elif name == "table":
        lines = _table(element, width)
        if lines:
            yield _Block(lines, spaced=True)
    elif name in ("ul", "ol"):
        lines = _list(element, width, numbered=name == "ol")
        if lines:
            yield _Block(lines, spaced=len(lines) > 1)
    elif name == "dl":
        for child in element:
            indent = "    " if _name(child) == "dd" else ""
            yield _Block([indent + line for line in _joined(list(_blocks(child, width - len(indent))))])
    elif name == "blockquote":
        yield _Block(["  " + line for line in _joined(list(_blocks(element, width - 2)))], spaced=True)
    elif name[0] == "h":
        for block in _blocks(element, width):
            yield _Block(block.lines, spaced=True)
    else:
        yield from _blocks(element, width)


def _list(element: ET.Element, width: int, *, numbered: bool) -> list[str]:
    lines: list[str] = []
    number = _whole(element.get("start"), 1)
    for child in element:
        number = _whole(child.get("value"), number)
        mark = f"{number}. " if numbered else "- "
        number += 1
        inner = _joined([_Block(b.lines) for b in _blocks(child, width - len(mark))])
        lines += [(" " * len(mark) if i else mark) + line for i, line in enumerate(inner)]
    return lines


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,6}", text) else otherwise


def _inline(element: ET.Element) -> str:
    name = _name(element)
    if name == "br":
        return _BREAK
    if name == "img":
        return f"[picture: {element.get('alt')}]" if element.get("alt") else "[picture]"
    inner = element.text or ""
    for child in element:
        inner += (_inline(child) if _name(child) not in _BLOCKS else f"{_BREAK}{_inline(child)}{_BREAK}") + (
            child.tail or ""
        )
    if name == "sup" and inner.strip():
        # "10" with a raised "9" must not be read as "109".
        return f"^{inner}"
    if name == "q":
        return f"“{inner}”"
    if name == "a" and (link := element.get("href", "")) and link[0] != "#":
        bare = link.partition(":")[2] if link.startswith(("mailto:", "tel:")) else link
        return inner if bare in inner else f"{inner} ({bare})"
    if name in ("td", "th", "li", "tr", "dd", "dt"):
        return f"{inner} "
    return inner


# --- tables ------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """One row: whether it is a header, whether one cell is all it has, and the cells."""

    header: bool
    alone: bool
    cells: list[str]


def _own_rows(table: ET.Element) -> Iterator[ET.Element]:
    """The rows of this table, and not of one that stands in a cell of it."""
    for child in table:
        if _name(child) == "tr":
            yield child
        elif _name(child) in ("thead", "tbody", "tfoot"):
            yield from (row for row in child if _name(row) == "tr")


def _rows(table: ET.Element) -> list[_Row]:
    """The rows that say something. Where a cell covers several places, the others are empty."""
    rows: list[_Row] = []
    covered: dict[int, int] = {}
    for row in _own_rows(table):
        cells: list[str] = []
        given = [cell for cell in row if _name(cell) in ("td", "th")]
        for cell in [*given, None]:
            while covered.get(len(cells), 0):
                covered[len(cells)] -= 1
                cells.append("")
            if cell is None:
                break
            text = "\n".join(_joined(list(_blocks(cell, 10_000))))
            across = min(max(_whole(cell.get("colspan"), 1), 1), 100)
            down = min(max(_whole(cell.get("rowspan"), 1), 1), 1000)
            for column in range(across):
                if down > 1:
                    covered[len(cells)] = down - 1
                cells.append("" if column else text)
        if any(cells):
            alone = len(given) == 1 and len(cells) > 1 and bool(cells[0])
            rows.append(_Row(all(_name(cell) == "th" for cell in given), alone, cells))
    return rows


def _table(table: ET.Element, width: int) -> list[str]:
    caption = [c for c in table if _name(c) == "caption"]
    lines = _joined([block for c in caption for block in _blocks(c, width)])
    rows = _rows(table)
    if not rows:
        return lines
    columns = max(len(row.cells) for row in rows)
    rows = [row._replace(cells=row.cells + [""] * (columns - len(row.cells))) for row in rows]
    widths = _widths([row.cells for row in rows if not row.alone], columns, width - len(_GAP) * (columns - 1))
    if widths is None:
        return lines + _one_under_another(rows, width)
    for index, (header, alone, cells) in enumerate(rows):
        if alone:
            lines += wrapped(cells[0], width)
            continue
        split = [wrapped(cell, w) for cell, w in zip(cells, widths, strict=True)]
        for line in range(max(len(s) for s in split)):
            parts = [(s[line] if line < len(s) else "").ljust(w) for s, w in zip(split, widths, strict=True)]
            lines.append(_GAP.join(parts).rstrip())
        if header and index + 1 < len(rows) and not rows[index + 1].header:
            lines.append(_GAP.join("-" * w for w in widths))
    return lines


def _widths(rows: Sequence[Sequence[str]], columns: int, room: int) -> list[int] | None:
    """How wide each column is, or `None` when there is no room for so many."""
    natural = [max((len(line) for cells in rows for line in cells[c].split("\n")), default=1) for c in range(columns)]
    longest = [max((len(word) for cells in rows for word in cells[c].split()), default=1) for c in range(columns)]
    least = [min(n, max(w, _NARROWEST)) for n, w in zip(natural, longest, strict=True)]
    if sum(natural) <= room:
        return natural
    if sum(least) > room:
        return None
    # What is left over goes to each column by what it lacks, the narrow ones first, so that short columns stay whole.
    widths = least[:]
    spare = room - sum(widths)
    for place, column in enumerate(sorted(range(columns), key=lambda c: natural[c] - least[c])):
        given = min(natural[column] - widths[column], spare // (columns - place))
        widths[column] += given
        spare -= given
    return widths


def _one_under_another(rows: Sequence[_Row], width: int) -> list[str]:
    """A table too wide to be aligned: each row as lines of heading and value."""
    headings: Sequence[str] = ()
    lines: list[str] = []
    for header, alone, cells in rows:
        if header and not all(row.header for row in rows):
            headings = cells
            continue
        if lines:
            lines.append("")
        for column, cell in enumerate(cells):
            if cell:
                heading = headings[column].replace("\n", " ") if headings and not alone else ""
                first, *rest = wrapped(f"{heading}: {cell}" if heading else cell, width - 2)
                lines += [first, *("  " + line for line in rest)]
    return lines
