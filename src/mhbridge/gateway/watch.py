"""
What is looked at every minute: whether the accounts balance, what is overdue, which feed has gone silent.

Silence is how messages are really lost, so each of these is an event of level error, once when it begins and once when
it ends. This module must never mend anything: it looks, and it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from mhbridge.errors import StoreError
from mhbridge.log import Event, Log
from mhbridge.ports import Clock, Status, Store

__all__ = ["Expected", "Watch"]

_EVERY: Final = 60.0
#: Hours in a configuration are those of the wards.
_LOCAL: Final = ZoneInfo("Europe/London")


@dataclass(frozen=True, slots=True)
class Expected:
    """The longest silence that is normal for a feed, within these hours of the day (all day, without hours)."""

    silence: timedelta
    hours: tuple[time, time] | None = None


class Watch:
    """
    Looks once a minute.

    Args:
        expected: feed → what is expected of it.
        heard: feed → when it was last heard. Changes while it is watched.
    """

    def __init__(
        self,
        *,
        store: Store,
        expected: Mapping[str, Expected],
        heard: Mapping[str, datetime],
        clock: Clock,
        log: Log,
        every: float = _EVERY,
    ) -> None:
        self._store = store
        self._expected = expected
        self._heard = heard
        self._clock = clock
        self._log = log
        self._every = every
        self._since = clock()
        self._begun: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to look."""
        self._since = self._clock()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def look(self) -> Status | None:
        """Look once. `None` when the store cannot be asked, which is said, too."""
        now = self._clock()
        for feed, expected in self._expected.items():
            silent = now - self._silent_from(feed, now, expected) > expected.silence
            self._say(f"silent {feed}", Event.SILENT, Event.HEARD_AGAIN, silent, feed=feed)
        try:
            status = await self._store.status(now)
        except StoreError as error:
            self._say("store", Event.STORE_FAILED, Event.STORE_BACK, True, code=error.code)
            return None
        self._say("store", Event.STORE_FAILED, Event.STORE_BACK, False)
        differences = len(status.differences)
        self._say("balance", Event.BALANCE_DIFFERS, Event.BALANCE_HOLDS, bool(differences), count=differences)
        self._say("overdue", Event.OVERDUE, Event.NONE_OVERDUE, status.overdue > 0, count=status.overdue)
        return status

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self.look()

    def _silent_from(self, feed: str, now: datetime, expected: Expected) -> datetime:
        """From when silence counts: since it was last heard, but not before its hours began, and not outside them."""
        heard = max(self._heard.get(feed, self._since), self._since)
        if expected.hours is None:
            return heard
        local = now.astimezone(_LOCAL)
        begin, end = (datetime.combine(local.date(), hour, _LOCAL) for hour in expected.hours)
        return max(heard, begin) if begin <= local < end else now

    def _say(self, what: str, begins: Event, ends: Event, wrong: bool, **about: object) -> None:
        if wrong and what not in self._begun:
            self._begun.add(what)
            self._log.error(begins, **about)
        elif not wrong and what in self._begun:
            self._begun.discard(what)
            self._log.info(ends, **about)
