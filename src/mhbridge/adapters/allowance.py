"""
How much each caller may ask in a while. Pure: it is told the time.

An allowance fills up evenly to what is allowed in a minute (or at once, where that is less than one), and each request
takes one of it. This module must never hold more than so many callers in memory, whoever comes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["Allowance"]

_MINUTE: Final = 60.0
#: Who has not come for the longest time is forgotten first, with a full allowance.
_CALLERS: Final = 10_000


class Allowance:
    """
    Args:
        each: seconds that one request takes to be allowed again.
    """

    def __init__(self, each: float, callers: int = _CALLERS) -> None:
        self._each = each
        self._most = max(1.0, _MINUTE / each)
        self._callers = callers
        #: Caller → what was left, and when that was.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str, now: float) -> float:
        """0, and the caller has used one; or the seconds until there is one."""
        left, at = self._left.pop(caller, (self._most, now))
        left = min(self._most, left + (now - at) / self._each)
        taken = left >= 1
        self._left[caller] = (left - taken, now)
        if len(self._left) > self._callers:
            self._left.popitem(last=False)
        return 0.0 if taken else (1 - left) * self._each
