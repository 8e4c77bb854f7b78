"""
Static lineage: which source paths feed an item. Read off the resolved tree; no message is needed.
"""

from __future__ import annotations

from mhbridge.mapping import nodes

__all__ = ["paths_of"]


def paths_of(binding: nodes.Binding) -> list[str]:
    """The source paths below a binding, in order, each once; a loop's own path comes before those inside it."""
    found = (node.path for node in nodes.walk(binding) if isinstance(node, nodes.Read | nodes.BindEach))
    return list(dict.fromkeys(found))
