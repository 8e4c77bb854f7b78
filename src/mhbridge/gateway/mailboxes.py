"""
What mailboxes say besides messages: that something sent was not delivered, and that something lies there untaken.

A report fails the delivery that it speaks of; one about nothing that is known here is somebody's task. This module must
never decide what becomes of a delivery: the store does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mhbridge.log import Event, Log
from mhbridge.ports import Clock, Report, Store

__all__ = ["Mailboxes"]

_UNDELIVERED: Final = "D982"
_UNKNOWN: Final = "D983"


class Mailboxes:
    """
    Told by receivers.

    Args:
        destinations: mailbox → the destinations that are sent to from there.
    """

    def __init__(self, *, store: Store, destinations: Mapping[str, Sequence[str]], clock: Clock, log: Log) -> None:
        self._store = store
        self._destinations = destinations
        self._clock = clock
        self._log = log

    async def reported(self, feed: str, mailbox: str, report: Report) -> None:
        """
        Something that was sent from a mailbox was not delivered. When this returns it is durable.

        It is known by the id that MESH gave it, or where we never heard that, by the one that we gave it.
        """
        now = self._clock()
        for destination in self._destinations.get(mailbox, ()):
            for name in filter(None, (report.linked, report.local_id)):
                if await self._store.acknowledge(destination, name, 0, now, refused=_UNDELIVERED):
                    self._log.warning(
                        Event.NOT_DELIVERED, destination=destination, code=_UNDELIVERED, error=report.status
                    )
                    return
        await self._store.raise_task("report", _UNKNOWN, now, name=report.linked or report.id)
        self._log.warning(Event.NOT_DELIVERED, feed=feed, code=_UNKNOWN, error=report.status)

    async def left(self, feed: str, code: str) -> None:
        """Something lies in a mailbox that is not taken: whoever sent it believes that it is on its way."""
        await self._store.raise_task("mailbox", code, self._clock(), name=feed)
        self._log.warning(Event.NOT_TAKEN, feed=feed, code=code)

    async def cleared(self, feed: str) -> None:
        """Nothing lies there any more."""
        await self._store.close_task("mailbox", "nothing is left there", self._clock(), name=feed)
