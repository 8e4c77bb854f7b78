"""
Whether XHTML is already what `xhtml.sanitise` would make of it, told by looking once at each of its tags.

Most narratives were written by ourselves, and to read one with an XML reader, an HTML reader and another, only to write
it again as it was, costs more than all else that is done with it. True only of a narrow grammar: elements that an HTML
reader (WHATWG HTML §13.2.6) neither moves, closes nor adds to, with next to no attributes. This module must never say
yes to what it does not know: `sanitise` decides about all of that.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_settled"]


class _Inside:
    """What may stand in elements of a kind: words or only blanks, and which elements."""

    __slots__ = ("inner", "words")

    def __init__(self, *, words: bool) -> None:
        self.words = words
        #: Start tag → (what may be in it, its end tag).
        self.inner: dict[str, tuple[_Inside, str]] = {}

    def may_have(self, names: str, inside: _Inside) -> None:
        self.inner.update({name: (inside, f"/{name}") for name in names.split()})


_PHRASE: Final = _Inside(words=True)
_FLOW: Final = _Inside(words=True)
_LIST: Final = _Inside(words=False)
_TABLE: Final = _Inside(words=False)
_BODY: Final = _Inside(words=False)
_ROW: Final = _Inside(words=False)

for _one in (_PHRASE, _FLOW):
    _one.may_have("b big code em i small span strong sub sup", _PHRASE)
# A paragraph or a heading is closed by the next block in it, so none may be.
_FLOW.may_have("p h1 h2 h3 h4 h5 h6", _PHRASE)
_FLOW.may_have("div blockquote", _FLOW)
_FLOW.may_have("ul ol", _LIST)
_FLOW.may_have("table", _TABLE)
_FLOW.inner['table border="1"'] = _TABLE, "/table"
_LIST.may_have("li", _FLOW)
_TABLE.may_have("caption", _PHRASE)
_TABLE.may_have("thead tbody tfoot", _BODY)
_BODY.may_have("tr", _ROW)
_ROW.may_have("td th", _FLOW)

_SPANNING: Final = re.compile(r'(td|th) (?:col|row)span="[0-9]{1,3}"')
_UNKNOWN: Final = re.compile("&(?!(?:amp|lt|gt|quot);)")
#: What is written as an escape, is no character of XML (§2.2), or is another line end.
_ODD: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e\ud800-\udfff\ufffe\uffff]")
_BLANKS: Final = " \t\n"
_DEEPEST: Final = 40


def is_settled(inner: str) -> bool:
    """
    Whether sanitising `<div xmlns="http://www.w3.org/1999/xhtml">inner</div>` changes nothing.

    Args:
        inner: what is inside the `div`.
    """
    if not inner.replace("\n", "").replace("\t", "").isprintable() and _ODD.search(inner):
        return False
    if "&" in inner and _UNKNOWN.search(inner):
        return False
    first, *pieces = inner.split("<")
    if ">" in first or '"' in first:
        return False
    seen = bool(first.strip())
    here = _FLOW
    opened: list[tuple[_Inside, str]] = []
    end = ">"  # which no tag is
    for piece in pieces:
        tag, closed, text = piece.partition(">")
        if not closed:
            return False
        if tag == end:
            here, end = opened.pop()
        elif tag != "br/" or not here.words:
            found = here.inner.get(tag)
            if found is None:
                spanning = _SPANNING.fullmatch(tag)
                found = here.inner.get(spanning[1]) if spanning is not None else None
                if found is None:
                    return False
            opened.append((here, end))
            if len(opened) > _DEEPEST:
                return False
            here, end = found
        if text:
            if ">" in text or '"' in text:
                return False
            if here.words:
                seen = seen or not text.isspace()
            elif text.strip(_BLANKS):
                return False
    return seen and not opened
