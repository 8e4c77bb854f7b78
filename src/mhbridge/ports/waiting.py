"""
Messages that are durable and not yet worked, and those that are worked again.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mhbridge.model import Envelope, MessageState, Outcome

__all__ = ["Pending", "WaitingMessages"]


@dataclass(frozen=True, slots=True)
class Pending:
    """
    A message that is durable and not yet worked.

    Args:
        number: which of its envelope's messages it is, from 0, of so many.
        size: bytes of the envelope.
        patient: the store's own number of whose it is; a message that names no patient is its own.
        starts: how often work on it was begun and did not come to an end.
        due_at: when it is to be worked; once it is in hand, when it is taken from whoever has it.
        historic: a person has it worked again, long after it came.
    """

    id: int
    envelope: int
    number: int
    feed: str
    patient: int
    received_at: datetime
    state: MessageState
    starts: int
    due_at: datetime
    of: int = 1
    size: int = 0
    historic: bool = False


class WaitingMessages(Protocol):
    """Messages that are durable and not yet worked, and those that are worked again."""

    async def waiting(self, now: datetime, most: int) -> Sequence[Pending]:
        """
        Messages whose time has come, the longest waiting first; at most so many. Where more wait, some of those that
        came last are among them, and before the others: what has just come does not wait for all that there is.

        Of each patient the first that is `stored`, and with it those that follow it in the same envelope; a `held` one
        only when none of the patient is stored. So whoever works all that it is given of an envelope, in order, works
        every patient's messages in order. What is in hand is not given, nor is any other message of its patient.
        """

    async def next_waiting(self, now: datetime) -> datetime | None:
        """When the next message comes due after now, or `None`."""

    async def as_pending(self, message: int) -> Pending | None:
        """A message as if it waited to be worked, whatever became of it."""

    async def begin(self, messages: Sequence[Pending], now: datetime, until: datetime) -> Sequence[Pending]:
        """
        Take messages in hand until then; that work on them has begun is durable before it begins.

        Returns those that were taken, as they now are. What others have taken meanwhile is left out. So is a message on
        which work was begun twice before and did not come to an end: at the third start it is parked (M780).
        """

    async def settle(
        self,
        results: Sequence[tuple[Pending, Outcome]],
        now: datetime,
        deadlines: Mapping[str, float],
    ) -> None:
        """
        Make durable, in one transaction, what became of messages in hand: new state, readings, documents, deliveries.

        An outcome that is `held` has `due_at`. One that is still `stored` is put back, not worked, until its `due_at`.

        Raises:
            StoreError: S213, when one of them is not in hand any more as it was taken; then nothing is changed.
        """

    async def divide(self, pending: Pending, outcomes: Sequence[Outcome], now: datetime) -> None:
        """
        A message in hand that stood for a whole envelope becomes the messages that it falls into, all `stored`.

        Raises:
            StoreError: S213, when it is not in hand any more as it was taken; then nothing is changed.
        """

    async def put_back(self, messages: Sequence[Pending], now: datetime, *, counted: bool) -> None:
        """
        Messages in hand that were not worked to an end are due again. What is not in hand any more is left alone.

        Args:
            counted: it may have been their own fault; otherwise the start does not count.
        """

    async def envelope(self, envelope: int) -> Envelope | None:
        """An envelope as it was received."""
