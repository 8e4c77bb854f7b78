"""
Whose turn it is: of one patient only one message is worked at a time, whoever works it.

What is known of a patient is asked for, added to and made durable within the patient's turn. This module must never
keep anything of a patient whose turn nobody has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from mhbridge.model import Key

__all__ = ["Turns"]


class Turns:
    """The turns of all patients."""

    def __init__(self) -> None:
        self._patients: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        """How many patients have somebody at work."""
        return len(self._patients)

    @asynccontextmanager
    async def of(self, patients: Sequence[Key]) -> AsyncIterator[None]:
        """Hold the turn of these patients, so that nobody else adds to what is known of them meanwhile."""
        async with AsyncExitStack() as turn:
            for patient in patients:
                # The dictionary does not keep a lock alive: this frame does while it waits, then `turn` does.
                lock = self._patients.setdefault(patient, asyncio.Lock())
                await turn.enter_async_context(lock)
            yield
