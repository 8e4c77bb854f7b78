"""
The nodes of a YAML file and the file they stand in (mapping language §2), with what is wrong there.

This module must never read anything: the reader makes the nodes, and whoever looks at them reports into the file.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Literal, NamedTuple, TypeAlias

from mhbridge.errors import Diagnostic, Span
from mhbridge.model import Severity
from mhbridge.model.frozen import frozen

__all__ = ["Items", "Node", "Pairs", "Text", "YamlFile", "split_lines"]

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
#: Characters of a line that a diagnostic carries, or as many as reach its caret.
_SHOWN: Final = 240


def split_lines(text: str) -> list[str]:
    """The lines of a text, without their ends: those that YAML and CSV know, and no others that Unicode does."""
    return _LINE_END.split(text) if "\r" in text else text.split("\n")


class Text(NamedTuple):
    """
    A scalar.

    Args:
        value: its text as YAML reads it: folded, unquoted, unescaped.
        start: where it begins in the raw text of the file, its quote included.
        end: where it ends there, exclusive, its quote included.
        flow: it stands inside `{…}` or `[…]`.
    """

    span: Span
    value: str
    style: Literal["plain", "single", "double", "block"]
    start: int
    end: int
    flow: bool = False


@frozen(frozen=True, slots=True)
class Pairs:
    """
    A YAML mapping, in the order of the file.

    Args:
        entries: key → value, without those whose value was refused.
        keys: where each key stands; those whose value was refused are here too, so nobody calls them missing.
    """

    span: Span
    entries: Mapping[str, Node]
    keys: Mapping[str, Span]


@frozen(frozen=True, slots=True)
class Items:
    """A YAML sequence."""

    span: Span
    entries: tuple[Node, ...]


Node: TypeAlias = Text | Pairs | Items


@dataclass(slots=True, eq=False)
class YamlFile:
    """
    One file as read, and what is wrong with it so far; the checker reports into it too.

    Args:
        path: the file's name as people are shown it.
        raw: its text, without a byte order mark; expressions are parsed from it.
        root: `None` when nothing could be read.
    """

    path: str
    raw: str
    root: Node | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)
    #: Where each line begins, and the lines, once somebody has asked: of a table that is well nobody does.
    _starts: list[int] = field(default_factory=list, init=False, repr=False)
    _lines: list[str] = field(default_factory=list, init=False, repr=False)

    @property
    def lines(self) -> list[str]:
        """The text line by line, without line ends."""
        if not self._lines:
            self._lines = split_lines(self.raw)
        return self._lines

    def _begins(self) -> list[int]:
        if "\r" in self.raw:
            self._starts = [0, *[end.end() for end in _LINE_END.finditer(self.raw)]]
        else:
            self._starts = [0, *accumulate([len(line) + 1 for line in self.lines[:-1]])]
        return self._starts

    def _place(self, offset: int) -> tuple[int, int]:
        starts, offset = self._starts or self._begins(), max(0, min(offset, len(self.raw)))
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        """The stretch between two offsets into `raw`; an offset outside it counts as its nearest end."""
        starts = self._starts or self._begins()
        if 0 <= start <= end <= len(self.raw):
            line = bisect_right(starts, start)
            begin = starts[line - 1]
            if line == len(starts) or end < starts[line]:
                return Span(self.path, line, start - begin + 1, line, end - begin + 1)
        return Span(self.path, *self._place(start), *self._place(max(start, end)))

    def report(
        self, code: str, message: str, where: Span | Node, hint: str = "", severity: Severity = Severity.ERROR
    ) -> None:
        """Add a diagnostic at a span, or at a node, with the line that it begins in."""
        span = where if isinstance(where, Span) else where.span
        text = self.lines[span.line - 1] if span.line <= len(self.lines) else ""
        if len(text) > (shown := max(_SHOWN, span.column)):
            text = f"{text[:shown]}…"
        self.diagnostics.append(Diagnostic(code, message, span, text, hint, severity))
