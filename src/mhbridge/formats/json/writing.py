"""
A tree as bytes again, for tests of the ledger: what they change is one leaf, and nothing else may differ.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from mhbridge.formats.json.reading import Number
from mhbridge.formats.json.tree import Node

__all__ = ["altered", "written"]

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def written(node: Node, changed: Node | None = None, text: str = "") -> str:
    """JSON of a node, with one leaf saying something else."""
    if node is changed:
        kind = type(node.value)
        if (kind is bool and text in ("true", "false")) or (kind is Number and _NUMBER.fullmatch(text)):
            return text
        return json.dumps(text, ensure_ascii=False)
    children = node.children
    if children is None:
        return _leaf(node.value)
    if isinstance(children, dict):
        inner = (
            f"{json.dumps(name, ensure_ascii=False)}:{written(one, changed, text)}" for name, one in children.items()
        )
        return "{" + ",".join(inner) + "}"
    return "[" + ",".join(written(one, changed, text) for one in children) + "]"


def _leaf(value: Any) -> str:
    return str(value) if type(value) is Number else json.dumps(value, ensure_ascii=False)


def altered(top: Node, changed: Node, text: str) -> bytes:
    """The bytes of a document with one leaf replaced."""
    return written(top, changed, text).encode("utf-8", "replace")
