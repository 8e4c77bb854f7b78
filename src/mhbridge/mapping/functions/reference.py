"""
The reference of the functions as Markdown. It is generated, and a test keeps `mappings/FUNCTIONS.md` from drifting.
"""

from __future__ import annotations

from collections.abc import Iterable

from mhbridge.mapping.functions import Function

__all__ = ["reference"]

_HEAD = """\
# Functions

`PV1-36 | code(x)` is `code(PV1-36, x)`. A function is not called on a value that is not present: its state goes
through. Every example is executed by a test. This page is generated: `mhbridge functions --markdown`.
"""


def reference(functions: Iterable[Function]) -> str:
    """Every function with its signature, what it does, and its examples."""
    parts = [_HEAD]
    for one in functions:
        lines = [f"## {one.name}", "", f"    {one.signature}", "", one.summary]
        if one.examples:
            lines += ["", *(f"    {example.shown}  →  {example.result}" for example in one.examples)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)
