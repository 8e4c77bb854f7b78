"""
A document as item values: itself, and its text where that can be read faithfully.

This module must never give a text that only looks like the document's: of what is not read the item has nothing, and
that is said.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from mhbridge.mapping.conversions import WHOLE, Context, Conversion, Unconvertible
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT

__all__ = ["conversions"]


def _attachment(content: Any, context: Context) -> dict[str, Any]:  # noqa: ARG001  # the same for all conversions
    """FHIR R4 Attachment: every byte as it came."""
    return {"contentType": content.media_type, "data": b64encode(content.body).decode("ascii")}


def _text(content: Any, context: Context) -> Any:
    """The words of RTF, HTML and plain text."""
    from mhbridge.fhir.plaintext import plain
    from mhbridge.fhir.rtf import BadRtf, text_of

    if content.text is None:
        context.note("I690", "the text of such a document is not read; the document itself is attached")
        return ABSENT
    if content.media_type == "text/rtf":
        try:
            return text_of(content.text) or ABSENT
        except BadRtf as error:
            raise Unconvertible(str(error)) from None
    text = (
        plain(content.text, _WIDTH).replace("-" * _WIDTH, "---") if content.media_type == "text/html" else content.text
    )
    return text.strip() or ABSENT


#: A rule across the page is as wide as the page, and no line is broken for its width.
_WIDTH = 100_000


def conversions() -> Iterator[Conversion]:
    """All conversions of documents."""
    yield Conversion("document", Type("Attachment"), _attachment, frozenset({WHOLE}))
    yield Conversion("document", Type("text"), _text, frozenset({WHOLE}))
