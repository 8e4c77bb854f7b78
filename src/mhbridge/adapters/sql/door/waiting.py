"""
What is asked of the store for messages that wait to be worked.

This module must never work one.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from mhbridge.adapters.sql import backlog, settling
from mhbridge.adapters.sql.books import micros, when_said
from mhbridge.adapters.sql.door.receipts import Receipts
from mhbridge.adapters.sql.ready import ReadyMessage, ready_message
from mhbridge.model import Envelope, Key, MessageState, Outcome
from mhbridge.ports import Pending

__all__ = ["WaitingMessages"]


class WaitingMessages(Receipts):
    """The port `WaitingMessages`. What is settled is noted as what is received is."""

    async def busy(self, patients: Sequence[Key]) -> bool:
        return await self._at_once(backlog.busy, patients)

    async def waiting(self, now: datetime, most: int) -> Sequence[Pending]:
        return await self._ask(self._flow, backlog.waiting, micros(now), most)

    async def as_pending(self, message: int) -> Pending | None:
        return await self.ask(backlog.as_pending, message)

    async def next_waiting(self, now: datetime) -> datetime | None:
        at = await self._ask(self._flow, backlog.next_waiting, micros(now))
        return when_said(at)

    async def begin(self, messages: Sequence[Pending], now: datetime, until: datetime) -> Sequence[Pending]:
        taken: list[Pending] = await self.write(
            backlog.begin, backlog.Beginning(tuple(messages), micros(now), micros(until))
        )
        return taken

    async def settle(
        self, results: Sequence[tuple[Pending, Outcome]], now: datetime, deadlines: Mapping[str, float]
    ) -> None:
        self._require_writing()
        made = [(pending, self._ready(pending, outcome, now, deadlines)) for pending, outcome in results]
        await self.write(
            settling.settle,
            settling.Settling(made, micros(now)),
            lambda written: self._note([message for _, message in made], written),
        )

    def _ready(self, pending: Pending, outcome: Outcome, now: datetime, deadlines: Mapping[str, float]) -> ReadyMessage:
        received_at = micros(pending.received_at)
        # What a person has worked again long after it came has as long as if it had come now.
        since = micros(now) if pending.historic or outcome.state is MessageState.STORED else received_at
        return ready_message(self._keys, outcome, received_at, since, deadlines)

    async def divide(self, pending: Pending, outcomes: Sequence[Outcome], now: datetime) -> None:
        self._require_writing()
        made = [self._ready(pending, outcome, now, {}) for outcome in outcomes]
        await self.write(settling.divide, settling.Dividing(pending, made, micros(now)))

    async def put_back(self, messages: Sequence[Pending], now: datetime, *, counted: bool) -> None:
        await self.write(backlog.put_back, backlog.PuttingBack(tuple(messages), micros(now), counted))

    async def envelope(self, envelope: int) -> Envelope | None:
        return await self._ask(self._flow, backlog.envelope, envelope)
