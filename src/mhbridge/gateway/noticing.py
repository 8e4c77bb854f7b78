"""
Tells what is to be told of a patient: a message of our own, taken like any other.

It looks at patients of whom something was heard, has worked out what ought to be told of them, and gives that to the
door where every message comes in: so that it is durable, has its versions, is withdrawn, delivered and found as others
are. A stop between the message and the note that it was told makes the same message again, which is known by its bytes.
This module must never decide what is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from mhbridge.gateway.rounds import Rounds
from mhbridge.gateway.taking import Gateway
from mhbridge.log import Log
from mhbridge.model import Envelope
from mhbridge.pipeline import Feed, active, notices
from mhbridge.ports import Clock, Noticed, SeenPerson, Store

__all__ = ["Noticing"]

#: So many patients are looked at together.
_MOST: Final = 20
#: It looks at least so often, in seconds: another node may have heard of them.
_LONGEST: Final = 60.0


class Noticing(Rounds):
    """
    Looks at the patients of whom something was heard.

    Args:
        feeds: those in force now; their watches are what is looked for.
    """

    def __init__(
        self, *, store: Store, gateway: Gateway, feeds: Callable[[], Mapping[str, Feed]], clock: Clock, log: Log
    ) -> None:
        super().__init__(log=log, kind="watches", failed=_LONGEST)
        self._store = store
        self._gateway = gateway
        self._feeds = feeds
        self._clock = clock

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

    async def _round(self) -> float:
        return 0.0 if await self.look() else _LONGEST
