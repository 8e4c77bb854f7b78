"""
Whose turn it is: of one patient only one message is worked at a time, whoever works it.

What is known of a patient is asked for, added to and made durable within the patient's turn. This module must never
keep anything of a patient whose turn nobody has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from mhbridge.model import Key

__all__ = ["Turns"]


class Turns:
    """
    The turns of all patients.

    Args:
        root: what stands for a patient, whichever of the identifiers that were merged is named.
    """

    def __init__(self, root: Callable[[Key], Awaitable[bytes]]) -> None:
        self._root = root
        self._patients: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        """How many patients have somebody at work."""
        return len(self._patients)

    @asynccontextmanager
    async def of(self, patients: Sequence[Key]) -> AsyncIterator[None]:
        """Hold the turn of these patients, so that nobody else adds to what is known of them meanwhile."""
        names = await self._names(patients)
        while True:
            held: list[asyncio.Lock] = []
            waited = False
            try:
                for name in names:
                    # The dictionary does not keep a lock alive: this frame does.
                    lock = self._patients.get(name)
                    if lock is None:
                        lock = self._patients[name] = asyncio.Lock()
                    waited = waited or lock.locked()
                    await lock.acquire()
                    held.append(lock)
                # Whoever was waited for may have merged two of them.
                now = await self._names(patients) if waited else names
                if now == names:
                    yield
                    return
            finally:
                for lock in reversed(held):
                    lock.release()
            names = now

    async def _names(self, patients: Sequence[Key]) -> list[bytes]:
        """In one order, so that two envelopes never wait for each other."""
        return sorted({await self._root(patient) for patient in patients})
