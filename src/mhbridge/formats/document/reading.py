"""
What is written in a document whose text is not simply there: which reader reads which media type.

This module must never raise anything but `Unread`: a document that cannot be read is attached, whatever it is.
"""

from __future__ import annotations

from mhbridge.formats.document.blocks import Block

__all__ = ["read"]


def read(media_type: str, body: bytes) -> tuple[tuple[Block, ...], bool]:
    """
    What is written in a document, and whether there are words at the edges of its pages that are left out of it.

    Raises:
        Unread: it cannot be read faithfully.
    """
    if media_type == "application/vnd.openxmlformats-officedocument.wordprocessingml.document":
        from mhbridge.formats.document.word import read_word

        return read_word(body), False
    from mhbridge.formats.document.pdf import read_pdf

    return read_pdf(body)
