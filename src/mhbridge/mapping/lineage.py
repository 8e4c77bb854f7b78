"""
Static lineage: which source paths feed an item. Read off the resolved tree; no message is needed.
"""

from __future__ import annotations

from typing import Any

from mhbridge.errors import Span
from mhbridge.mapping import nodes
from mhbridge.mapping.types import Type

__all__ = ["paths_of"]


def paths_of(node: Any) -> list[str]:
    """The source paths below a binding, in order, each once; a loop's own path comes before those inside it."""
    found: dict[str, None] = {}

    def walk(value: Any) -> None:
        if isinstance(value, nodes.Read):
            found.setdefault(value.path)
        elif isinstance(value, nodes.BindEach):
            found.setdefault(value.path)
            walk(value.body)
        elif isinstance(value, tuple):
            for part in value:
                walk(part)
        elif hasattr(value, "__dataclass_fields__") and not isinstance(value, (Span, Type)):
            for name in value.__dataclass_fields__:
                walk(getattr(value, name))

    walk(node)
    return list(found)
