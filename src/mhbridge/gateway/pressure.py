"""
How much may be inside at once, and when nothing more may come in: pressure from the disk back to the socket.

Whoever brings an envelope waits here until there is room. A receiver that waits reads no more, so TCP makes its sender
wait, too; after some seconds it is sent away, and sends again. When the disk has little room left nothing is taken at
all, while there is still enough to deliver and to confirm what is inside. Either ends by itself. This module must never
drop anything: what it turns away has not been acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from mhbridge.errors import StoreError
from mhbridge.log import Event, Log

__all__ = ["Disk", "Limits", "Pressure"]


class Disk(NamedTuple):
    """Bytes that are free where the store is, and how many there are in all."""

    free: int
    size: int


class Limits(NamedTuple):
    """
    Args:
        room: bytes that may be inside at once; one envelope alone always has room.
        most: envelopes that may be inside at once.
        patience: seconds that whoever brings one waits.
        disk: bytes that stay free on the disk, or a twentieth of it where that is less.
        every: seconds between two looks at the disk.
    """

    room: int = 64_000_000
    most: int = 5_000
    patience: float = 10.0
    disk: int = 2_000_000_000
    every: float = 5.0


#: While others wait, one feed may fill no more than this share.
_SHARE: Final = 0.5
#: Once it was full, others are let in again when it is down to this share.
_EASED: Final = 0.5
#: So much more must be free than was too little, before anything is taken again.
_SPARE: Final = 1.25


class Pressure:
    """
    The door in front of a gateway.

    Args:
        disk: looks at the disk of the store.
    """

    def __init__(self, *, log: Log, disk: Callable[[], Disk] | None = None, limits: Limits | None = None) -> None:
        self._log = log
        self._disk = disk
        self._limits = limits or Limits()
        self._bytes: Counter[str] = Counter()
        self._count: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._full = False
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        #: Why nothing is taken at all: a code, or empty.
        self.shut = ""

    async def open(self) -> None:
        """Begin to look at the disk."""
        self.look()
        self._looking = asyncio.create_task(self._look_on())

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None

    @property
    def inside(self) -> int:
        """Envelopes that are inside."""
        return self._count.total()

    @property
    def size(self) -> int:
        """Bytes that are inside."""
        return self._bytes.total()

    def leave(self, feed: str, size: int) -> None:
        """Be inside no longer."""
        self._bytes[feed] -= size
        self._count[feed] -= 1
        if self._full and self._is_down_to(_EASED):
            self._full = False
            self._log.info(Event.PRESSURE_EASED, code="D904")
        self._wake()

    async def empty(self) -> None:
        """Wait until nobody is inside."""
        while self.inside:
            await self._change()

    def look(self) -> None:
        """Look at the disk."""
        if self._disk is None:
            return
        disk = self._disk()
        least = min(self._limits.disk, disk.size // 20)
        if not self.shut and disk.free < least:
            self._shut("D907")
        elif self.shut and disk.free >= least * _SPARE:
            self._log.info(Event.PRESSURE_EASED, code=self.shut)
            self.shut = ""
            self._wake()

    def no_room(self) -> None:
        """The store itself found no room on the disk: nothing is taken before the next look says that there is some."""
        if self._disk is not None:
            self._shut("D907")

    def _shut(self, code: str) -> None:
        if not self.shut:
            self.shut = code
            self._log.error(Event.PRESSURE, code=code)

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(self._limits.every)
            self.look()

    async def enter(self, feed: str, size: int) -> None:
        """
        Be inside with so many bytes, until `leave`.

        Raises:
            StoreError: D904 when there was no room in time, D907 while the disk has too little.
        """
        if self.shut or not self._has_room(feed, size):
            self._waiting[feed] += 1
            try:
                async with asyncio.timeout(self._limits.patience):
                    while self.shut or not self._has_room(feed, size):
                        await self._change()
            except TimeoutError:
                if self.shut:
                    raise StoreError(self.shut, "there is no room on the disk; send it again") from None
                raise StoreError("D904", "too much is waiting already; send it again") from None
            finally:
                self._waiting[feed] -= 1
        self._bytes[feed] += size
        self._count[feed] += 1

    def _has_room(self, feed: str, size: int) -> bool:
        if not self.inside:
            return True
        if self._full:
            return False
        if self.size + size > self._limits.room or self.inside >= self._limits.most:
            self._full = True
            self._log.warning(Event.PRESSURE, code="D904", feed=feed, count=self.inside, size=self.size)
            return False
        if self._count[feed] and any(count for other, count in self._waiting.items() if other != feed):
            return (
                self._bytes[feed] + size <= self._limits.room * _SHARE
                and self._count[feed] < self._limits.most * _SHARE
            )
        return True

    def _is_down_to(self, share: float) -> bool:
        return self.size <= self._limits.room * share and self.inside <= self._limits.most * share

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
