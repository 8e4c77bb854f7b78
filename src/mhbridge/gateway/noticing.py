"""
Tells what is to be told of a patient: a message of our own, taken like any other.

It looks at patients of whom something was heard, has worked out what ought to be told of them, and gives that to the
door where every message comes in: so that it is durable, has its versions, is withdrawn, delivered and found as others
are. A stop between the message and the note that it was told makes the same message again, which is known by its bytes.
This module must never decide what is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from mhbridge.errors import StoreError
from mhbridge.gateway.failing import say_refused
from mhbridge.gateway.taking import Gateway
from mhbridge.log import Event, Log, where
from mhbridge.model import Envelope
from mhbridge.pipeline import Feed, active, notices
from mhbridge.ports import Clock, Noticed, SeenPerson, Store

__all__ = ["Noticing"]

#: So many patients are looked at together.
_MOST: Final = 20
#: It looks at least so often, in seconds: another node may have heard of them.
_LONGEST: Final = 60.0
#: When the store fails, so long until it is asked again.
_STORE_PAUSE: Final = 2.0


class Noticing:
    """
    Looks at the patients of whom something was heard.

    Args:
        feeds: those in force now; their watches are what is looked for.
    """

    def __init__(
        self, *, store: Store, gateway: Gateway, feeds: Callable[[], Mapping[str, Feed]], clock: Clock, log: Log
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._feeds = feeds
        self._clock = clock
        self._log = log
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Look at those of whom something was heard before the start, and go on from there."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Tell nothing more. Whom nobody has looked at is looked at after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def wake(self) -> None:
        """Something was heard of somebody."""
        self._woken.set()

    async def look(self) -> int:
        """Look at those of whom something was heard. Returns how many they were."""
        watches = active(self._feeds())
        people = await self._store.seen(_MOST)
        if not people:
            return 0
        found = []
        for person in people:
            told = []
            for notice in notices(watches, person.person, person.at):
                await self._tell(notice.feed, notice.body, person)
                told.append(notice.told)
            found.append(Noticed(person.patient, person.turn, tuple(told)))
        await self._store.noticed(found)
        return len(people)

    async def _tell(self, feed: str, body: bytes, person: SeenPerson) -> None:
        now: datetime = max(self._clock(), person.at)
        await self._gateway.take(Envelope(body, feed.partition("/")[0], feed, now, "watch"))

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            seconds = 0.0
            try:
                if not await self.look():
                    seconds = _LONGEST
            except StoreError as error:
                say_refused(self._log, error)
                seconds = _STORE_PAUSE
            except Exception as error:  # noqa: BLE001  watches must run on, whatever one look ran into
                self._log.critical(Event.FAILED, kind="watches", **where(error))
                seconds = _LONGEST
            if seconds:
                try:
                    async with asyncio.timeout(seconds):
                        await self._woken.wait()
                except TimeoutError:
                    pass
