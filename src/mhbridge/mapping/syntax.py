"""
The tree of an expression as it was written (mapping language §3): frozen nodes, each with its place.

Nothing is resolved in it: a name may not exist and a function may not be one. This module must hold nothing but values.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from mhbridge.errors import Span
from mhbridge.formats import Path
from mhbridge.model.frozen import frozen

__all__ = [
    "AndNode",
    "CallNode",
    "CodeNode",
    "CompareNode",
    "Expr",
    "IfNode",
    "InNode",
    "LoopNode",
    "NameNode",
    "NotNode",
    "NumberNode",
    "OrNode",
    "PathNode",
    "TextNode",
]


@frozen(frozen=True, slots=True)
class PathNode:
    """A place in the source message, as its format parsed it."""

    span: Span
    path: Path


@frozen(frozen=True, slots=True)
class TextNode:
    """A text in double quotes; `value` is without them."""

    span: Span
    value: str


@frozen(frozen=True, slots=True)
class NumberNode:
    """A number, with the digits it was written with."""

    span: Span
    text: str


@frozen(frozen=True, slots=True)
class CodeNode:
    """A code of a named system: `snomed#373942005`."""

    span: Span
    system: str
    code: str


@frozen(frozen=True, slots=True)
class NameNode:
    """An item, an alias, or a field of one: `dx.recorded_by` has two parts, each with its span."""

    span: Span
    parts: tuple[str, ...]
    spans: tuple[Span, ...]


@frozen(frozen=True, slots=True)
class CallNode:
    """A function call; what stood before a `|` is the first argument."""

    span: Span
    name: str
    name_span: Span
    args: tuple[Expr, ...]


@frozen(frozen=True, slots=True)
class OrNode:
    """`a or b or c`: two terms or more."""

    span: Span
    terms: tuple[Expr, ...]


@frozen(frozen=True, slots=True)
class AndNode:
    """`a and b and c`: two terms or more."""

    span: Span
    terms: tuple[Expr, ...]


@frozen(frozen=True, slots=True)
class NotNode:
    """`not a`."""

    span: Span
    term: Expr


@frozen(frozen=True, slots=True)
class CompareNode:
    """`a = b`, `a != b`."""

    span: Span
    operator: Literal["=", "!="]
    left: Expr
    right: Expr


@frozen(frozen=True, slots=True)
class InNode:
    """`a in list` (`list_name`) or `a in ("x", "y")` (`strings`); `list_span` is the place of either."""

    span: Span
    value: Expr
    list_name: str | None
    list_span: Span
    strings: tuple[str, ...] = ()


@frozen(frozen=True, slots=True)
class IfNode:
    """`if condition then … else …`; without `else`, `otherwise` is `None`."""

    span: Span
    condition: Expr
    then: Expr
    otherwise: Expr | None


Expr: TypeAlias = (
    PathNode
    | TextNode
    | NumberNode
    | CodeNode
    | NameNode
    | CallNode
    | OrNode
    | AndNode
    | NotNode
    | CompareNode
    | InNode
    | IfNode
)


@frozen(frozen=True, slots=True)
class LoopNode:
    """What `$each` or `$for` says: a path of the source (without alias), or a name and the alias of its elements."""

    span: Span
    over: PathNode | NameNode
    alias: str | None = None
    alias_span: Span | None = None
