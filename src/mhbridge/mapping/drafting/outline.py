"""
A mapping as lines that can be left out: a pattern is read into an outline, what has no place is taken away, and what is
left is written as text again, comments included.

It works on the text of a YAML file and its nodes; what a line means is no business of this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mhbridge.mapping.reader import Items, Node, Text, YamlFile

__all__ = ["Branch", "Entry", "Leaf", "leaves", "outline", "prune", "written"]

_COMMENT: Final = re.compile(r"[ \t]{2,}(#[^\n]*)")
_EXPRESSION: Final = re.compile(r"(?:^|[:\-,\[{'])\s*=|\$(?:when|each)\b")
#: Words that say how the others of a map are used; a map with nothing else in it is empty.
_STRUCTURE: Final = ("$each", "$when")


@dataclass(slots=True, eq=False)
class Leaf:
    """
    A line that stands or falls as a whole.

    Args:
        raw: what stands after the key, as it is written.
        comment: what stands after that.
        alive: something was found where it looks.
        refused: it means nothing to this document type, or in these messages.
    """

    raw: str
    comment: str = ""
    alive: bool = False
    refused: bool = False

    @property
    def asks(self) -> bool:
        """Whether it looks at the message at all."""
        return _EXPRESSION.search(self.raw) is not None


@dataclass(slots=True, eq=False)
class Entry:
    """A key (empty in a list) with what stands below it, and a comment above."""

    key: str
    node: Leaf | Branch
    above: str = ""


@dataclass(slots=True, eq=False)
class Branch:
    """A map or a list in block style."""

    entries: list[Entry] = field(default_factory=list)
    listed: bool = False


_Part: TypeAlias = Leaf | Branch


def outline(file: YamlFile, node: Node) -> _Part:
    """The outline of a node. What is written in flow style, or in one scalar, is one line."""
    starts = [0]
    for line in file.raw.split("\n"):
        starts.append(starts[-1] + len(line) + 1)

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + column - 1

    def leaf(start: int, end: int) -> Leaf:
        found = _COMMENT.match(file.raw, end)
        return Leaf(" ".join(file.raw[start:end].split("\n")), found[1] if found else "")

    def made(node: Node) -> _Part:
        span = node.span
        start, end = offset(span.line, span.column), offset(span.end_line, span.end_column)
        if isinstance(node, Text):
            return leaf(node.start, node.end)
        if file.raw[start] in "{[":
            one = leaf(start, end)
            one.raw = re.sub(r"\s*\n\s*", " ", one.raw)
            return one
        if isinstance(node, Items):
            return Branch([Entry("", made(entry)) for entry in node.entries], listed=True)
        branch = Branch()
        for key, child in node.entries.items():
            place = node.keys[key]
            shown = file.raw[offset(place.line, place.column) : offset(place.end_line, place.end_column)]
            above = file.lines[place.line - 2].strip() if place.line > 1 else ""
            branch.entries.append(Entry(shown, made(child), above if above.startswith("# ---") else ""))
        return branch

    return made(node)


def leaves(part: _Part) -> Iterator[Leaf]:
    """Every line below."""
    if isinstance(part, Leaf):
        yield part
        return
    for entry in part.entries:
        yield from leaves(entry.node)


def prune(part: _Part, alive: Callable[[Leaf], bool]) -> bool | None:
    """
    Take out what is dead. True: something below is alive; false: it is dead; `None`: it looks at nothing.

    Of `$case`, all branches stay when one of them is alive: they are read in order, and mean something only together.
    """
    if isinstance(part, Leaf):
        if part.refused:
            return False
        return alive(part) if part.asks else None
    if any(entry.key == "$case" for entry in part.entries):
        below = list(leaves(part))
        return not any(leaf.refused for leaf in below) and any(leaf.asks and alive(leaf) for leaf in below)
    kept: list[Entry] = []
    lives = asked = False
    above = ""
    for entry in part.entries:
        above = entry.above or above
        structure = entry.key in _STRUCTURE
        said = prune(entry.node, alive)
        if structure and isinstance(entry.node, Leaf) and not entry.node.refused:
            kept.append(entry)
            continue
        asked = asked or said is not None or structure
        if said is False:
            continue
        lives = lives or said is True
        entry.above, above = above, ""
        kept.append(entry)
    part.entries = kept
    if any(entry.key not in _STRUCTURE for entry in kept):
        return lives or (False if asked else None)
    return False


def written(part: _Part, indent: str = "") -> list[tuple[str, Leaf | None]]:
    """The lines of an outline, each with the leaf that it is."""
    if isinstance(part, Leaf):
        return [(_line("", part), part)]
    lines: list[tuple[str, Leaf | None]] = []
    for entry in part.entries:
        if entry.above:
            lines += [("", None), (indent + entry.above, None)]
        node = entry.node
        if part.listed:
            first, *rest = written(node, "" if isinstance(node, Leaf) else f"{indent}  ")
            lines.append((f"{indent}- {first[0].lstrip()}", first[1]))
            lines += rest
        elif isinstance(node, Leaf):
            lines.append((f"{indent}{entry.key}: {_line('', node)}", node))
        else:
            lines.append((f"{indent}{entry.key}:", None))
            lines += written(node, f"{indent}  ")
    return lines


def _line(prefix: str, leaf: Leaf) -> str:
    return f"{prefix}{leaf.raw}{'  ' + leaf.comment if leaf.comment else ''}"
