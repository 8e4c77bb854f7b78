"""
Asks destinations that say it only on being asked whether what they took was collected by whom it is for.

What has left its lane holds up nobody, so this is done now and then, some at a time. This module must never send, and
never decide that something will not be collected: the destination says so, or its deadline does.
"""

from __future__ import annotations

from typing import Final

from mhbridge.errors import DeliveryError, DestinationRejected
from mhbridge.gateway.rounds import Rounds
from mhbridge.log import Event, Log
from mhbridge.ports import LEVELS, Clock, Store, Tracking

__all__ = ["Tracked"]

_COLLECTED: Final = LEVELS.index("collected")
#: So many are asked for in one round of one destination; those behind them come in the next.
_MOST: Final = 100


class Tracked(Rounds):
    """
    Goes its rounds of one destination.

    Args:
        every: seconds between two rounds.
    """

    def __init__(self, name: str, sender: Tracking, *, every: float, store: Store, clock: Clock, log: Log) -> None:
        super().__init__(log=log, kind="tracked", refused=every, failed=every)
        self._name = name
        self._sender = sender
        self._every = every
        self._store = store
        self._clock = clock
        self._after = 0

    async def look(self) -> None:
        """Ask for those that are next."""
        waiting = await self._store.awaited(self._name, _COLLECTED, self._after, _MOST)
        for delivery, remote_id in waiting:
            # Whatever is said of this one, or not said, the next round begins behind it.
            self._after, refused = delivery, ""
            try:
                if not await self._sender.collected(remote_id):
                    continue
            except DestinationRejected as error:
                refused = error.code
            except DeliveryError as error:
                # It cannot be asked now. What waits too long is said by its deadline.
                self._log.warning(Event.NOT_TRACKED, destination=self._name, code=error.code)
                return
            level = 0 if refused else _COLLECTED
            await self._store.acknowledge(self._name, remote_id, level, self._clock(), refused=refused)
            self._log.info(Event.ACKNOWLEDGED, destination=self._name, delivery=delivery, code=refused or "ok")
        if len(waiting) < _MOST:
            self._after = 0

    async def _round(self) -> float:
        await self.look()
        return self._every
