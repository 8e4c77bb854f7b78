"""
A document as item values: itself, and its text where that can be read faithfully.

This module must never give a text that only looks like the document's: of what is not read the item has nothing, and
that is said.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mhbridge.mapping.conversions import WHOLE, Context, Conversion, Unconvertible
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT

if TYPE_CHECKING:
    from mhbridge.formats.document.blocks import Block

__all__ = ["conversions"]


def _attachment(content: Any, context: Context) -> dict[str, Any]:  # noqa: ARG001  # the same for all conversions
    """FHIR R4 Attachment: every byte as it came."""
    return {"contentType": content.media_type, "data": b64encode(content.body).decode("ascii")}


def _text(content: Any, context: Context) -> Any:
    """The words of a document: of a table each row as a line."""
    from mhbridge.fhir.plaintext import plain

    if content.text is None:
        from mhbridge.formats.document.blocks import as_text

        return as_text(_read(content, context)) or ABSENT
    if content.media_type == "text/rtf":
        return _of_rtf(content.text) or ABSENT
    text = (
        plain(content.text, _WIDTH).replace("-" * _WIDTH, "---") if content.media_type == "text/html" else content.text
    )
    return text.strip() or ABSENT


def _xhtml(content: Any, context: Context) -> Any:
    """The same with its tables, headings and lists."""
    from mhbridge.fhir.xhtml import div, paragraph, sanitise

    if content.text is None:
        from mhbridge.formats.document.blocks import as_xhtml

        markup = as_xhtml(_read(content, context))
    elif content.media_type == "text/html":
        return sanitise(content.text) or ABSENT
    else:
        text = _of_rtf(content.text) if content.media_type == "text/rtf" else content.text
        markup = paragraph(text.strip()) if text.strip() else ""
    return div(markup) if markup else ABSENT


def _of_rtf(rtf: str) -> str:
    from mhbridge.fhir.rtf import BadRtf, text_of

    try:
        return text_of(rtf)
    except BadRtf as error:
        raise Unconvertible(str(error)) from None


def _read(content: Any, context: Context) -> Sequence[Block]:
    """What is written in a document of a word processor or a PDF; nothing, with the reason, where that is unsure."""
    from mhbridge.formats.document.blocks import Unread, says
    from mhbridge.formats.document.reading import read

    try:
        blocks, edges = read(content.media_type, content.body)
    except Unread as unread:
        context.note("I690", f"the text of the document is not read: {unread.reason}; the document itself is attached")
        return ()
    if not says(blocks):
        context.note("I690", "the text of the document is not read: there is no word in it; the document is attached")
        return ()
    if edges:
        context.note("I691", "what stands at the top and the foot of the pages is not in the text that is read")
    return blocks


#: A rule across the page is as wide as the page, and no line is broken for its width.
_WIDTH = 100_000


def conversions() -> Iterator[Conversion]:
    """All conversions of documents."""
    yield Conversion("document", Type("Attachment"), _attachment, frozenset({WHOLE}))
    yield Conversion("document", Type("text"), _text, frozenset({WHOLE}))
    yield Conversion("document", Type("xhtml"), _xhtml, frozenset({WHOLE}))
