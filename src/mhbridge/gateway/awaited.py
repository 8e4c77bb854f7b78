"""
Acknowledgements that do not come: looked for twice a minute, each said once a day and somebody's task.

A delivery that waits for one has left its lane, so nothing but this ever looks at it again. This module must never
decide that one will not come any more: a person does.
"""

from __future__ import annotations

from typing import Final

from mhbridge.gateway.rounds import Rounds
from mhbridge.log import Event, Log
from mhbridge.ports import Clock, Store

__all__ = ["Awaited"]

#: So often it is looked, in seconds: nothing open lies more than a minute behind its time (gateway design §2.3, C5).
_EVERY: Final = 30.0
_MOST: Final = 100


class Awaited(Rounds):
    """Looks for acknowledgements that were to be here by now."""

    def __init__(self, *, store: Store, clock: Clock, log: Log) -> None:
        super().__init__(log=log, kind="awaited", refused=_EVERY, failed=_EVERY)
        self._store = store
        self._clock = clock

    async def look(self) -> int:
        """Say what is missing by now; how much it was."""
        late = await self._store.lapse(self._clock(), _MOST)
        for delivery in late:
            self._log.warning(Event.NOT_ACKNOWLEDGED, delivery=delivery, code="D960")
        return len(late)

    async def _round(self) -> float:
        return 0.0 if await self.look() == _MOST else _EVERY
