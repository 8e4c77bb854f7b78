"""
What the gateway does for what it keeps: every five minutes it tells how far the log has come, every night it purges.

A purge of a night that was missed is made at the start. All waiting is in timers of the event loop and all time is the
clock's. This module must never decide what may go: that is in the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from mhbridge.errors import StoreError
from mhbridge.log import Event, Log
from mhbridge.ports import Clock, Store

__all__ = ["Heads", "Keeping"]

_EXPORT: Final = 300.0
#: It looks so often whether it is night, in seconds.
_LOOK: Final = 60.0
#: When wards sleep.
_NIGHT: Final = 3
_LOCAL: Final = ZoneInfo("Europe/London")
#: After a purge, also one by day at the start, the next is not for so long; without a night it is made after so long.
_SOONEST: Final = timedelta(hours=12)
_LATEST: Final = timedelta(hours=30)


class Heads(Protocol):
    """Where it is told how far the log has come."""

    def lines(self) -> Sequence[str]:
        """All that was told."""

    def add(self, line: str) -> None:
        """Tell it, durably."""


class Keeping:
    """
    Args:
        heads: where it is told how far the log has come.
        leads: whether it is purged here. Where several nodes share a store, one does it for all.
    """

    def __init__(
        self, *, store: Store, heads: Heads, clock: Clock, log: Log, leads: Callable[[], bool] = lambda: True
    ) -> None:
        self._store = store
        self._leads = leads
        self._heads = heads
        self._clock = clock
        self._log = log
        self._tasks: list[asyncio.Task[None]] = []
        self._told = ""
        self._purged: datetime | None = None

    async def open(self) -> None:
        """
        Begin, when the log is still as long as it was said to be.

        Raises:
            StoreError: S224, when it is not: its end was cut off, or an older copy of the store is in its place.
        """
        lines = await asyncio.to_thread(self._heads.lines)
        await self._store.verify_heads(lines)
        every = ((_EXPORT, self.tell), (_LOOK, self.look))
        self._tasks = [asyncio.create_task(self._each(seconds, do)) for seconds, do in every]

    async def close(self) -> None:
        """Tell the last of it, and do nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            await self._guarded(self.tell)
        self._tasks = []

    async def tell(self) -> None:
        """Tell how far the log has come, if it has come any further."""
        mark, line = await self._store.log_head(self._clock())
        if mark != self._told:
            await asyncio.to_thread(self._heads.add, line)
            self._told = mark

    async def look(self) -> None:
        """Purge, when it is night and it has not been done since the evening, or when a night was missed."""
        now = self._clock()
        if not self._leads():
            return
        since = None if self._purged is None else now - self._purged
        night = now.astimezone(_LOCAL).hour == _NIGHT
        if since is not None and since < (_SOONEST if night else _LATEST):
            return
        purged = await self._store.purge(now)
        self._purged = now
        if any(one.dropped for one in purged.expired) or purged.cleared or purged.encrypted:
            self._log.info(Event.PURGED, count=purged.cleared)

    async def _each(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._guarded(do)
            await asyncio.sleep(seconds)

    async def _guarded(self, do: Callable[[], Awaitable[None]]) -> None:
        try:
            await do()
        except StoreError as error:
            self._log.error(Event.STORE_FAILED, code=error.code)
        except OSError as error:
            self._log.error(Event.HEADS_NOT_TOLD, error=type(error).__name__)
