"""
Static lineage: which source paths feed an item. Read off the resolved tree; no message is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mhbridge.mapping import nodes

__all__ = ["paths_by_rule", "paths_of"]


def paths_of(binding: Any) -> list[str]:
    """The source paths below a binding, in order, each once; a loop's own path comes before those inside it."""
    found = (node.path for node in nodes.walk(binding) if isinstance(node, nodes.Read | nodes.BindEach))
    return list(dict.fromkeys(found))


def paths_by_rule(bindings: Iterable[nodes.Binding]) -> dict[str, str]:
    """Place of a function in the mapping → the source paths below it: of what it says, only the place is known."""
    return {
        str(node.span): ", ".join(paths_of(node.args))
        for binding in bindings
        for node in nodes.walk(binding)
        if isinstance(node, nodes.Apply)
    }
