"""
How complete the letters are that a message is, for figures without identities.

What counts is the letter as its sender wrote it, and not what became of it. This module must never let anything of a
message through but whether there is something under a heading.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.completeness import headings
from mhbridge.model import Act, Letter, Reading

__all__ = ["letters"]

_WRITTEN: Final = frozenset({Act.NEW, Act.UPDATE})


def letters(readings: Iterable[tuple[SupplierMapping, Reading]]) -> tuple[Letter, ...]:
    """Of the readings of a message, those that somebody wrote."""
    return tuple(
        [
            Letter(reading.mapping, reading.document, headings(mapping.document, reading.items))
            for mapping, reading in readings
            if reading.authors and reading.act in _WRITTEN
        ]
    )
