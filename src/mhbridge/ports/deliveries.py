"""
What is due to whom, and what became of it.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from mhbridge.model import DeliveryState, Document

__all__ = ["LEVELS", "Deliveries", "DueDelivery", "Move", "Original"]


#: What the levels of gateway design §2.2 are called.
LEVELS: Final = ("created", "sent", "accepted", "collected", "infrastructure", "business")


@dataclass(frozen=True, slots=True)
class Original:
    """An envelope as it was received, and which of its messages is meant: `number` counts from 0, `of` is how many."""

    envelope: bytes
    number: int = 0
    of: int = 1


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """
    The head of one lane, whose time has come. `number` is its place in the lane's order.

    Args:
        sent_at: when bytes of it may have left last.
        needs: the level at which it is done.
    """

    id: int
    message: int
    destination: str
    patient: int
    number: int
    state: DeliveryState
    attempts: int
    document: Document
    deadline: datetime | None
    #: Where the message's own bytes are, for destinations that relay it as it came.
    original: Callable[[], Original] | None = None
    sent_at: datetime | None = None
    needs: int = 2


@dataclass(frozen=True, slots=True)
class Move:
    """
    The result of one delivery attempt: the new state and everything that is recorded with it.

    Args:
        state: `done`, `awaiting`, `retry`, `unknown` or `parked`.
        level: 0 created, 1 sent, 2 accepted (gateway design §2.2).
        due_at: when to look at it again, which `retry`, `unknown` and `awaiting` must have; `None` where a state ends
            or waits for a person.
        remote_id: what the receiver calls it.
        burnt: it counts as a try; false where the destination refused us, whatever it was to be sent.
    """

    delivery: int
    state: DeliveryState
    code: str = ""
    level: int = 0
    due_at: datetime | None = None
    remote_id: str = ""
    burnt: bool = True


class Deliveries(Protocol):
    """What is due to whom, and what became of it."""

    async def due(self, now: datetime, most: int, *, without: Collection[str] = ()) -> Sequence[DueDelivery]:
        """
        Heads of lanes whose time has come, the longest waiting first. Never two of one lane.

        `queued` and `retry` are to be sent, `unknown` is to be looked up, and so is `sending`: whoever had it in hand
        has not come back by its `look_at`. A document whose stored bytes are damaged (S208) or purged (S222) is parked
        and not returned.

        Args:
            without: destinations that take nothing now, so that their heads do not stand before those of others.
        """

    async def next_due(self, *, without: Collection[str] = ()) -> datetime | None:
        """When the next lane has work, or `None`."""

    async def start(self, deliveries: Sequence[int], now: datetime, look_at: datetime) -> Sequence[int]:
        """
        Take due heads of lanes in hand. Returns those that were taken; `due` does not show them before `look_at`.

        Bytes of `queued` and `retry` may leave now: they become `sending`. `unknown` stays so, to be looked up, and
        `sending` that is due again becomes `unknown`.
        """

    async def finish(self, moves: Sequence[Move], now: datetime) -> None:
        """
        Record the results of attempts that were started, and of look-ups.

        All of them, or none: `StoreError` when one of them is not a legal move (gateway design §2.2).
        """

    async def recover(self, now: datetime) -> int:
        """
        At start: every delivery found `sending` becomes `unknown`, due now. Returns how many.

        Messages that were in hand are due now, and their start counts.
        """

    async def acknowledge(
        self, destination: str, remote_id: str, level: int, now: datetime, *, refused: str = ""
    ) -> bool:
        """
        A receiver says what became of a delivery that it knows by `remote_id`. False: there is none of which it could.

        A level only rises. What waited for this level is done; what is refused is parked, or where it was done with,
        somebody's task.

        Args:
            refused: the code of a refusal; empty: it was accepted.
        """

    async def awaited(self, destination: str, level: int, after: int, most: int) -> Sequence[tuple[int, str]]:
        """
        Deliveries that wait for an acknowledgement of this level at least, and what the destination calls them.

        In the order of their ids, and only those with a larger one than `after`.
        """

    async def lapse(self, now: datetime, most: int = 100) -> Sequence[int]:
        """
        Deliveries whose acknowledgement was to be here by now: each is somebody's task (D960), and goes on waiting,
        for a day at a time. Nothing waits for it.
        """
