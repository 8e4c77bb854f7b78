"""
A tree as bytes again: for a message that shared its envelope with others, and for proving the field ledger.

What is written reads back as the same tree. This module must never be used for what was received alone: that is kept
byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from mhbridge.formats.xml.tree import Element, written_name

__all__ = ["written"]

_XML: Final = "http://www.w3.org/XML/1998/namespace"
_ESCAPED: Final = re.compile('[&<>"\t\n\r]')
_ENTITIES: Final = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;",
}  # fmt: skip
_TEXT: Final = re.compile("[&<>\r]")


def written(root: Element, keep: Callable[[Element], bool] = lambda _: True) -> bytes:
    """
    The document of an element, in UTF-8.

    Args:
        keep: whether an element below it is written, with all that is in it.
    """
    prefixes: dict[str, str] = {"": "", _XML: "xml"}
    out: list[str] = []
    _write(root, keep, prefixes, out)
    spaces = ((uri, prefix) for uri, prefix in prefixes.items() if prefix not in ("", "xml"))
    declared = "".join(f' xmlns:{prefix}="{_escaped(uri)}"' for uri, prefix in spaces)
    begin = out[0]
    out[0] = begin[: begin.index(_END)] + declared + begin[begin.index(_END) + 1 :]
    return "".join(out).replace(_END, "").encode("utf-8")


#: Marks where declarations go; XML 1.0 holds no such character.
_END: Final = "\x01"


def _name(name: str, prefixes: dict[str, str]) -> str:
    space, local = written_name(name)
    if space not in prefixes:
        prefixes[space] = f"n{len(prefixes)}"
    prefix = prefixes[space]
    return f"{prefix}:{local}" if prefix else local


def _escaped(value: str) -> str:
    return _ESCAPED.sub(lambda found: _ENTITIES[found[0]], value)


def _write(element: Element, keep: Callable[[Element], bool], prefixes: dict[str, str], out: list[str]) -> None:
    # Documents are at most `bounds.MAX_DEPTH` deep, so this may recurse.
    name = _name(element.name, prefixes)
    attributes = "".join(f' {_name(one, prefixes)}="{_escaped(value)}"' for one, value in element.attributes.items())
    out.append(f"<{name}{_END}{attributes}>")
    out.append(_TEXT.sub(lambda m: _ENTITIES[m[0]], element.text))
    for child in element.children:
        if keep(child):
            _write(child, keep, prefixes, out)
        out.append(_TEXT.sub(lambda m: _ENTITIES[m[0]], child.tail))
    out.append(f"</{name}>")
