"""
What people put right: what is parked, by its cause, and what is worked or sent again.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

__all__ = ["ParkedCause", "Repairing"]


@dataclass(frozen=True, slots=True)
class ParkedCause:
    """
    Why something waits for a person, and how much of it does.

    Args:
        what: `message`, or `delivery` where only its way to a destination waits.
        mapping: whose it is; empty where no mapping takes it.
        oldest: receipt of the oldest of them.
        destination: of deliveries.
        example: the oldest message of them.
    """

    what: str
    code: str
    feed: str
    mapping: str
    count: int
    oldest: datetime
    destination: str
    example: int


class Repairing(Protocol):
    """What people put right: what is parked, by its cause, and what is worked or sent again."""

    async def parked_causes(self) -> Sequence[ParkedCause]:
        """What waits for a person, by why it does: the most first."""

    async def parked_of(self, code: str, *, feed: str = "", most: int = 1000) -> Sequence[int]:
        """Messages that are parked because of this code, the oldest first."""

    async def reprocess(self, messages: Sequence[int], who: str, now: datetime, *, every: float = 0.0) -> Sequence[int]:
        """
        Messages that are parked, done or filtered are worked again from their bytes: `stored`, and historic.

        Returns those; left out is what is under way, what a person closed, and what was purged. What they said before
        no longer serves. What is made of them and was sent for them just so is not sent again.

        Args:
            every: seconds from one to the next, so that many of them keep nobody waiting.
        """

    async def resend(self, message: int, who: str, now: datetime, *, to: str = "") -> int:
        """
        New deliveries, at the end of their lanes, of the documents of one message. Returns how many.

        Left out are documents that a newer version has replaced, and destinations to which one is still under way.

        Args:
            to: a destination; empty is each that they were sent to.
        """

    async def release(self, delivery: int, who: str, now: datetime) -> bool:
        """A parked delivery is queued again by a person."""

    async def close_message(self, message: int, who: str, why: str, now: datetime) -> bool:
        """A person ends a parked message or the parked deliveries of one, with a reason. Their lanes go on."""
