"""
Measuring what happens often: distributions that are cheap to add to, from any thread, and are read now and then.

A value is counted in a bucket and added to a sum, and is kept nowhere. This module must never know a label.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["SECONDS", "SIZES", "Histogram"]

#: From a commit on a fast disk to the longest that a sender waits.
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: How many things were done together.
SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Histogram:
    """
    How often a value was at most so large.

    One thread adds; another may read meanwhile and then sees a value in its bucket and not yet in the sum.

    Args:
        bounds: the largest value of each bucket; above the last there is one more.
    """

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self._counts)

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """The buckets, each with all that is below it; the last is `+Inf`."""
        so_far = 0
        for bound, count in zip((*self._bounds, None), self._counts, strict=True):
            so_far += count
            yield "+Inf" if bound is None else f"{bound:g}", so_far
