"""
What is written in a document whose text is not simply there: which reader reads which media type.

This module must never raise anything but `Unread`: a document that cannot be read is attached, whatever it is.
"""

from __future__ import annotations

from mhbridge.formats.document.blocks import Block, Unread

__all__ = ["read"]


def read(media_type: str, body: bytes) -> tuple[Block, ...]:
    """
    What is written in a document.

    Raises:
        Unread: it cannot be read faithfully.
    """
    if media_type == "application/vnd.openxmlformats-officedocument.wordprocessingml.document":
        from mhbridge.formats.document.word import read_word

        return read_word(body)
    raise Unread("a PDF says where signs stand, and not in which order they are read")
