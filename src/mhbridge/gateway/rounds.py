"""
What looks again and again: it looks, sleeps as long as it found that it may, or until it is woken, and looks again.

What one look runs into is said, and the next look is not left out for it. This module must never decide what is looked
at, or how often.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Final

from mhbridge.errors import StoreError
from mhbridge.gateway.failing import say_refused
from mhbridge.log import Event, Log, where

__all__ = ["Rounds"]

#: When a look fails, so long until the next, in seconds.
_PAUSE: Final = 2.0


class Rounds(ABC):
    """
    A task of the event loop that goes its rounds.

    Args:
        kind: what it is, where its own code fails.
        refused: so long it waits when the store has refused something.
        failed: so long it waits when its own code failed.
    """

    def __init__(self, *, log: Log, kind: str, refused: float = _PAUSE, failed: float = _PAUSE) -> None:
        self._log = log
        self._kind = kind
        self._refused = refused
        self._failed = failed
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin: what there is to do from before the start is done first."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Look no more. What there would be to do is done after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def wake(self) -> None:
        """There may be something to do sooner than was thought."""
        self._woken.set()

    @abstractmethod
    async def _round(self) -> float:
        """Look once, and do what is to be done. Returns for how many seconds nothing more will be."""

    async def _run(self) -> None:
        while True:
            # Whoever wakes it while it looks wakes it for the next look.
            self._woken.clear()
            try:
                seconds = await self._round()
            except StoreError as error:
                say_refused(self._log, error)
                seconds = self._refused
            except Exception as error:  # noqa: BLE001  it must go on, whatever one look ran into
                self._log.critical(Event.FAILED, kind=self._kind, **where(error))
                seconds = self._failed
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                pass
