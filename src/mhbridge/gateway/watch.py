"""
What is looked at twice a minute: whether the accounts balance, what is overdue, which feed has gone silent.

Silence is how messages are really lost, so each of these is an event of level error, once when it begins and once when
it ends; accounts that do not add up, and a disk that is full, are a task as well. This module must never mend anything:
it looks, and it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

from mhbridge.errors import StoreError
from mhbridge.gateway.expiry import Expiry
from mhbridge.gateway.silence import Silence
from mhbridge.log import Event, Log, where
from mhbridge.ports import Clock, Status, Store

if TYPE_CHECKING:
    from mhbridge.gateway.parts import Parts

__all__ = ["Watch"]

_EVERY: Final = 30.0
#: When a node has gone, what waits in its parts has so long to leave after somebody may send it again.
_CATCHES_UP: Final = 60.0
#: The accounts do not add up.
_UNBALANCED: Final = "D908"


class Watch:
    """
    Looks twice a minute, so that whatever is wrong has been said after one.

    Args:
        silence: what listens to the feeds.
        expiry: what knows when certificates end.
        answered: how many receipts the gateway has answered since its start. The store has as many more than then.
        crowded: destinations that take nothing now, so that what is due there waits and is not forgotten.
        shut: why nothing is taken now: a code, or empty.
        parts: where several nodes share a store: one of them looks for all.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        log: Log,
        silence: Silence | None = None,
        expiry: Expiry | None = None,
        answered: Callable[[], int] = lambda: 0,
        crowded: Callable[[], Collection[str]] = frozenset,
        shut: Callable[[], str] = str,
        every: float = _EVERY,
        parts: Parts | None = None,
    ) -> None:
        self._store = store
        self._parts = parts
        self._led = False
        self._waited: datetime | None = None
        self._silence = silence
        self._expiry = expiry
        self._shut = shut
        self._tasks: set[str] = set()
        self._answered = answered
        self._crowded = crowded
        self._receipts = 0
        self._clock = clock
        self._log = log
        self._every = every
        self._begun: set[str] = set()
        self._first = True
        self._looked: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to look."""
        if self._silence is not None:
            await self._silence.open()
        self._led = True
        self._receipts = await self._store.receipts() - self._answered()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            if self._silence is not None and self._led:
                with suppress(StoreError):
                    # What was learned since the last look is learned again.
                    await self._silence.close()

    @property
    def well(self) -> bool:
        """The accounts could be looked at, not long ago. Before the first look nothing is known against it."""
        return self._looked is None or (self._clock() - self._looked).total_seconds() < 3 * self._every

    async def look(self) -> Status | None:
        """Look once. `None` when the store cannot be asked, which is said, too."""
        now = self._clock()
        if self._parts is not None and not self._parts.leads:
            await self._look_after_ourselves(now)
            return None
        try:
            if not self._led and self._silence is not None:
                # Somebody else has listened meanwhile, and has kept what was learned.
                await self._silence.open()
            self._led = True
            # Counted before the rows are: what is answered meanwhile is not missing.
            answered = self._answered()
            status = await self._store.status(now)
            differences = len(status.differences) + self._missing(status, answered)
            await self._raise("accounts", _UNBALANCED if differences else "", now)
            await self._raise("disk", self._shut(), now)
        except StoreError as error:
            self._say("store", Event.STORE_FAILED, Event.STORE_BACK, True, code=error.code)
            return None
        self._first = False
        self._say("store", Event.STORE_FAILED, Event.STORE_BACK, False)
        self._looked = now
        self._say("balance", Event.BALANCE_DIFFERS, Event.BALANCE_HOLDS, bool(differences), count=differences)
        self._say("overdue", Event.OVERDUE, Event.NONE_OVERDUE, status.overdue > 0, count=status.overdue)
        if self._silence is not None and self._parts is not None:
            self._silence.heard_elsewhere(status.feeds, now)
        for one in (self._silence, self._expiry):
            if one is not None:
                try:
                    await one.look(now)
                except StoreError as error:
                    self._say("store", Event.STORE_FAILED, Event.STORE_BACK, True, code=error.code)
        return status

    def _missing(self, status: Status, answered: int) -> int:
        """C1 and C5 as far as only this process can tell: what it has answered, and who takes nothing now."""
        crowded = self._crowded()
        forgotten = sum(n for destination, n in status.behind.items() if destination not in crowded)
        if self._parts is not None and self._parts.unheld:
            self._waited = status.at
        if self._waited is not None and (status.at - self._waited).total_seconds() < _CATCHES_UP:
            forgotten = 0
        return max(self._receipts + answered - status.receipts, 0) + forgotten

    async def _look_after_ourselves(self, now: datetime) -> None:
        """Another node looks for all. What is this one's own is its certificates."""
        if self._led and self._silence is not None:
            with suppress(StoreError):
                await self._silence.close()
        self._led = False
        self._looked = now
        if self._expiry is not None:
            with suppress(StoreError):
                # It is tried again.
                await self._expiry.look(now)

    async def _raise(self, name: str, cause: str, now: datetime) -> None:
        """A task of the gateway's own is there while its cause is."""
        if cause:
            self._tasks.add(name)
            await self._store.raise_task("gateway", cause, now, name=name)
        elif self._first or name in self._tasks:
            # At the first look it may be there from before the start.
            await self._store.close_task("gateway", "it is so no more", now, name=name)
            self._tasks.discard(name)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  whatever it is, the next look is not left out for it
                self._log.critical(Event.FAILED, kind="watch", **where(error))

    def _say(self, what: str, begins: Event, ends: Event, wrong: bool, **about: object) -> None:
        if wrong and what not in self._begun:
            self._begun.add(what)
            self._log.error(begins, **about)
        elif not wrong and what in self._begun:
            self._begun.discard(what)
            self._log.info(ends, **about)
