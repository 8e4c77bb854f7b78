"""
How complete the letters are that a message is, for figures without identities.

What counts is the letter as its sender wrote it, and not what became of it. This module must never let anything of a
message through but whether there is something under a heading.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.completeness import headings
from mhbridge.model import Act, Letter, Reading
from mhbridge.pipeline.carrying import Carried

__all__ = ["letters"]

_WRITTEN: Final = frozenset({Act.NEW, Act.UPDATE})


def letters(
    readings: Iterable[tuple[SupplierMapping, Reading]], carried: Mapping[str, Carried] | None = None
) -> tuple[Letter, ...]:
    """
    Of the readings of a message, those that somebody wrote.

    Args:
        carried: type of a letter → what was said before it of what it may carry.
    """
    carried = carried or {}
    return tuple(
        [
            Letter(
                reading.mapping,
                reading.document,
                headings(mapping.document, reading.items, _taken(mapping, reading, carried)),
            )
            for mapping, reading in readings
            if reading.authors and reading.act in _WRITTEN
        ]
    )


def _taken(mapping: SupplierMapping, reading: Reading, carried: Mapping[str, Carried]) -> Collection[str]:
    before = carried.get(reading.document)
    return before.filling(mapping.document, reading.items).items.keys() if before is not None else ()
