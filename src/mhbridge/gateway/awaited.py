"""
Acknowledgements that do not come: looked for twice a minute, each said once a day and somebody's task.

A delivery that waits for one has left its lane, so nothing but this ever looks at it again. This module must never
decide that one will not come any more: a person does.
"""

from __future__ import annotations

import asyncio
from typing import Final

from mhbridge.errors import StoreError
from mhbridge.gateway.failing import say_refused
from mhbridge.log import Event, Log
from mhbridge.ports import Clock, Store

__all__ = ["Awaited"]

#: So often it is looked, in seconds: nothing open lies more than a minute behind its time (gateway design §2.3, C5).
_EVERY: Final = 30.0
_MOST: Final = 100


class Awaited:
    """Looks for acknowledgements that were to be here by now."""

    def __init__(self, *, store: Store, clock: Clock, log: Log) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def look(self) -> int:
        """Say what is missing by now; how much it was."""
        late = await self._store.lapse(self._clock(), _MOST)
        for delivery in late:
            self._log.warning(Event.NOT_ACKNOWLEDGED, delivery=delivery, code="D960")
        return len(late)

    async def _run(self) -> None:
        while True:
            try:
                more = await self.look() == _MOST
            except StoreError as error:
                say_refused(self._log, error)
                more = False
            await asyncio.sleep(0 if more else _EVERY)
