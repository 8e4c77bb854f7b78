"""
Whether the dates of a file can be meant as they are declared, day and month in their order.

A spreadsheet that was set to another country writes 25 March as 03/25/2025. A single such date does not convert, and is
its own issue; where many only fit the other order, those that fit both are wrong as well, and nobody would see it. This
module must never turn a date round: it only counts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["is_turned", "order_counts", "other_order"]

#: So many dates that only fit the other order, and more than fit the declared one only, are no slip of a hand.
_MANY: Final = 3
_NUMERIC: Final = re.compile(r"(dd|mm)([-/. ])(dd|mm)\2yyyy")


def other_order(body: bytes, dates: str) -> bool:
    """Whether many dates only fit the order of day and month that is not the declared one."""
    return is_turned(*order_counts(body, dates))


def is_turned(ours: int, others: int) -> bool:
    """Whether so many dates that only fit one order or the other say that it is the other."""
    return others >= _MANY and others > ours


def order_counts(body: bytes, dates: str) -> tuple[int, int]:
    """How many dates only fit the declared order of day and month, and how many only the other."""
    if (found := _shape(dates)) is None:
        return 0, 0
    shape, sign, day_first = found
    ours = others = 0
    for match in shape.finditer(body):
        # The pattern begins at the first sign, because looking for a sign is so much faster than for a digit.
        at = match.start()
        before = body[max(at - 3, 0) : at]
        digits = 2 if before[-2:].isdigit() else 1
        one = before[-digits:]
        if not one.isdigit() or before[:-digits][-1:].isdigit() or before[:-digits][-1:] == sign:
            continue
        first, second = int(one) > 12, int(match[1]) > 12
        if first != second:
            if first == day_first:
                ours += 1
            else:
                others += 1
    return ours, others


@lru_cache(maxsize=16)
def _shape(dates: str) -> tuple[re.Pattern[bytes], bytes, bool] | None:
    """What follows the first number of a date as it is declared, its sign, and whether that number is the day."""
    declared = _NUMERIC.match(dates)
    if declared is None or declared[1] == declared[3]:
        return None
    sign = re.escape(declared[2])
    return re.compile(rf"{sign}(\d\d?){sign}\d{{4}}(?!\d)".encode()), declared[2].encode(), declared[1] == "dd"
