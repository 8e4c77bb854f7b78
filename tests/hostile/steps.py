"""Counting what a call does, which is the same on a busy machine and on an idle one; nothing here reads a clock."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["calls_of"]


def calls_of(work: Callable[[], Any]) -> int:
    """How many calls `work` makes, of functions in Python and in C. A loop inside one call of C is not seen."""
    number = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal number
        if event in ("call", "c_call"):
            number += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return number
