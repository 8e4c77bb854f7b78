"""
Texts and attributes of XML documents as item values: what text becomes, read from where it stands.

An element of a document that declares no dialect is its text, with that of everything in it. In a CDA, an attribute
that is a time is written as HL7 v3 writes it (`20250314152000+0000`). This module must never take a text apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from mhbridge.mapping.conversions import Context, Conversion
from mhbridge.mapping.conversions import times as t
from mhbridge.mapping.conversions.text import conversions as text_conversions
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT

if TYPE_CHECKING:
    from mhbridge.formats.xml import Element, Leaf

__all__ = ["WORDS", "conversions", "time_written"]

#: All text in an element (`mhbridge.formats.xml.places.WORDS`).
WORDS: Final = frozenset({"text()"})

_TIMES: Final[dict[str, Callable[[str, Context], Any]]] = {
    "dateTime": t.v2_date_time,
    "date": t.v2_date,
    "instant": t.v2_instant,
}


def time_written(text: str) -> str:
    """A time of HL7 v3 as HL7 v2 writes it: an offset in whole hours, as NHS senders write it, gets its minutes."""
    text = text.strip()
    return f"{text}00" if len(text) > 3 and text[-3] in "+-" and text[-2:].isdigit() else text


def _said(raw: Element | Leaf) -> str:
    words = getattr(raw, "words", None)
    return raw.text if words is None else words()


def _from(convert: Callable[[Any, Context], Any]) -> Callable[[Any, Context], Any]:
    return lambda raw, context: convert(_said(raw), context)


def _timed(convert: Callable[[str, Context], Any]) -> Callable[[Any, Context], Any]:
    def run(raw: Any, context: Context) -> Any:
        text = time_written(_said(raw))
        return convert(text, context) if text else ABSENT

    return run


def conversions() -> Iterator[Conversion]:
    """All conversions of texts and attributes, of any document and of a CDA."""
    for made in text_conversions():
        yield Conversion("xml", made.target, _from(made.convert), WORDS)
        if made.target.name not in _TIMES:
            yield Conversion("cda_attribute", made.target, _from(made.convert), WORDS)
    for name, convert in _TIMES.items():
        yield Conversion("cda_attribute", Type(name), _timed(convert), WORDS)
