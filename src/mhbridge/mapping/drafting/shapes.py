"""
What a value looks like, without what it says: `Aaaaa 9999`. Shown where the value itself must not be.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["shape"]

_RUN: Final = re.compile(r"([Aa])\1{4,}|9{15,}")
_LONGEST: Final = 28


def shape(text: str) -> str:
    """
    Letters become `A` and `a`, digits `9`; punctuation and blanks stay. Long runs and texts are cut.

    A text of several words is only called one, so that nobody counts the letters of a name in it.
    """
    if len(text.split()) > 3 or len(text) > 60:
        return f"text of {len(text.split())} words"
    found = "".join(_one(character) for character in text.strip())
    found = _RUN.sub(lambda run: f"{run[0][0]}…", found)
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}…"


def _one(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character if character.isprintable() else " "
