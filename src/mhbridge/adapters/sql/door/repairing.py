"""
What people ask of the store: send again, work again, let go, end.

This module must never decide whether they may.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mhbridge.adapters.sql import decisions, repairing
from mhbridge.adapters.sql.books import micros
from mhbridge.adapters.sql.door.calling import Calling
from mhbridge.ports import ParkedCause

__all__ = ["Repairing"]


class Repairing(Calling):
    """The port `Repairing`."""

    async def resend(self, message: int, who: str, now: datetime, *, to: str = "") -> int:
        made: int = await self.write(decisions.resend, decisions.Resending(message, who, micros(now), to))
        return made

    async def reprocess(self, messages: Sequence[int], who: str, now: datetime, *, every: float = 0.0) -> Sequence[int]:
        item = repairing.Reprocessing(tuple(messages), who, micros(now), round(every * 1_000_000))
        taken: list[int] = await self.write(repairing.reprocess, item, lambda _: self._unfold())
        return taken

    def _unfold(self) -> None:
        """What was folded of their readings is not known any more."""
        if self._near.alone:
            self._near.folds.clear()

    async def parked_causes(self) -> Sequence[ParkedCause]:
        return await self.ask(repairing.parked_causes)

    async def parked_of(self, code: str, *, feed: str = "", most: int = 1000) -> Sequence[int]:
        return await self.ask(repairing.parked_of, code, feed, most)

    async def release(self, delivery: int, who: str, now: datetime) -> bool:
        released: bool = await self.write(decisions.release, decisions.Releasing(delivery, who, micros(now)))
        return released

    async def close_message(self, message: int, who: str, why: str, now: datetime) -> bool:
        closed: bool = await self.write(decisions.close, decisions.Closing(message, who, why, micros(now)))
        return closed
