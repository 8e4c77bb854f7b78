"""
What is asked of the store for what leaves: what is due, that it is being sent, what became of it.

This module must never send.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from mhbridge.adapters.sql import acknowledging, attempts, upcoming
from mhbridge.adapters.sql.books import micros, when_said
from mhbridge.adapters.sql.door.calling import Calling
from mhbridge.model import DeliveryState
from mhbridge.ports import DueDelivery, Move

__all__ = ["Deliveries"]

_NEEDS_TIME: Final = frozenset({DeliveryState.RETRY, DeliveryState.UNKNOWN, DeliveryState.AWAITING})


class Deliveries(Calling):
    """The port `Deliveries`."""

    async def due(self, now: datetime, most: int, *, without: Collection[str] = ()) -> Sequence[DueDelivery]:
        at = micros(now)
        deliveries, damaged = await self._ask(self._flow, upcoming.due, at, most, without)
        for about, code in damaged:
            await self.write(attempts.park, attempts.Parking(about, code, at))
        return [replace(found, original=partial(self._relayed, found.message)) for found in deliveries]

    async def next_due(self, *, without: Collection[str] = ()) -> datetime | None:
        at = await self._ask(self._flow, upcoming.next_due, without)
        return when_said(at)

    async def start(self, deliveries: Sequence[int], now: datetime, look_at: datetime) -> Sequence[int]:
        taken: list[int] = await self.write(
            attempts.start, attempts.Starting(tuple(deliveries), micros(now), micros(look_at))
        )
        return taken

    async def finish(self, moves: Sequence[Move], now: datetime) -> None:
        for move in moves:
            if move.state in _NEEDS_TIME and move.due_at is None:
                raise ValueError(f"delivery {move.delivery} has no time at which {move.state} is looked at")
        await self.write(attempts.finish, attempts.Finishing(tuple(moves), micros(now)))

    async def recover(self, now: datetime) -> int:
        found: int = await self.write(attempts.recover, micros(now))
        return found

    async def acknowledge(
        self, destination: str, remote_id: str, level: int, now: datetime, *, refused: str = ""
    ) -> bool:
        said = acknowledging.Acknowledging(destination, remote_id, level, micros(now), refused)
        found: bool = await self.write(acknowledging.acknowledge, said)
        return found

    async def awaited(self, destination: str, level: int, after: int, most: int) -> Sequence[tuple[int, str]]:
        return await self._ask(self._flow, upcoming.awaited, destination, level, after, most)

    async def lapse(self, now: datetime, most: int = 100) -> Sequence[int]:
        # Most of the time none has lapsed, and then nothing is written.
        at = micros(now)
        if not await self._ask(self._flow, upcoming.lapsed, at):
            return []
        late: list[int] = await self.write(acknowledging.lapse, acknowledging.Lapsing(at, most))
        return late
