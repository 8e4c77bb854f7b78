"""
How often somebody else was found writing the same: twice it is tried again, the third time it is for a person.

This module must never be asked about anything but one delivery at a time.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from mhbridge.errors import DeliveryError, DestinationRejected, DestinationUnavailable

__all__ = ["Conflicts"]

_MOST: Final = 3


class Conflicts:
    """Counts by delivery; forgotten at the next start."""

    def __init__(self) -> None:
        self._met: Counter[int] = Counter()

    def again(self, delivery: int) -> DeliveryError:
        """What one more conflict means for a delivery."""
        self._met[delivery] += 1
        if self._met[delivery] < _MOST:
            return DestinationUnavailable("D947", "somebody else is writing the same")
        self.over(delivery)
        return DestinationRejected("D947", "somebody else is writing the same, three times running")

    def over(self, delivery: int) -> None:
        """It was taken, or is for a person."""
        self._met.pop(delivery, None)
