"""
What a feed usually sends, and what it left out.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Protocol

__all__ = ["OPEN_ENDED", "Gap", "Profile", "Silence"]


#: `last` of the gap behind the highest number of a series: all that has yet to come.
OPEN_ENDED: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Profile:
    """
    What a feed usually sends, and how it stands with it now.

    Args:
        hours: hour of the week (0 is Monday from midnight) → the counts of its last like hours, the newest last.
        day: a day in London, and `count` how many came on it.
        expected: what would have been expected since the last message.
        silent_since: since when it has been silent; `None` when it is not.
    """

    feed: str
    hours: Mapping[int, tuple[int, ...]]
    day: date
    count: int
    expected: float = 0.0
    silent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """
    Numbers of a feed's messages that have not come, first and last included.

    Args:
        series: what counts them; a digest, since a control id may hold anything.
        told: people know of it.
    """

    feed: str
    series: str
    first: int
    last: int
    seen_at: datetime
    told: bool = False


class Silence(Protocol):
    """What a feed usually sends, and what it left out."""

    async def profiles(self) -> Sequence[Profile]:
        """What was learned of every feed."""

    async def keep_profiles(self, profiles: Sequence[Profile]) -> None:
        """Keep how feeds stand. Hours that a profile does not name are kept as they are."""

    async def gaps(self) -> Sequence[Gap]:
        """The gaps of every feed, in the order of feed, series and number."""

    async def keep_gaps(self, feed: str, gaps: Sequence[Gap]) -> None:
        """These are the gaps of a feed, and all of them."""
