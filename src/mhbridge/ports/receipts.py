"""
How receipts become durable, and what is known of those before: the port that takes.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mhbridge.model import Answer, Carry, Envelope, Key, Known, Later, Outcome, Past, Place

__all__ = ["Committed", "Receipts"]


@dataclass(frozen=True, slots=True)
class Committed:
    """
    What a commit made durable: the answer that the sender gets, and whether it is an earlier one again.

    Args:
        awaited: a message that waited for something may have got it, and is due.
    """

    answer: Answer
    envelope: int
    messages: tuple[int, ...] = ()
    repeated: bool = False
    awaited: bool = False


class Receipts(Protocol):
    """How receipts become durable, and what is known of those before: the port that takes."""

    async def repeat(self, envelope: Envelope, key: bytes) -> Committed | None:
        """The first answer, when an envelope with this dedupe key is already stored; counts the repeat."""

    async def known(self, patient: Key, episode: str, document: str, before: Place | None = None) -> Known:
        """
        The fold of the readings of this patient, episode and document type (mapping language §8); with an empty
        episode or document type, of all of them.

        They are folded in the order of event time, sent time and arrival. `NOTHING_KNOWN` when there are none.

        Readings count whose message is `done`, that are not parked themselves and whose act is not `none`.

        Args:
            before: the place of the message at hand: readings after it are not folded but said one by one, as `later`.
        """

    async def said(self, patient: Key, episode: str, carry: Carry) -> Sequence[Later]:
        """
        What the readings of this patient say of the items that may be carried, one by one, in order, each `recorded`.

        Those of another episode say only what is known of every stay. Which readings count, `known` says.
        """

    async def past(self, patient: Key, episode: str, *, bodies: bool = False) -> Past:
        """
        Which documents of an episode there are, with all their versions and what became of each delivery of them.

        Of an identifier that was merged, those of all that were merged with it. A step that was told it says so in its
        outcome (`Outcome.past`), and `commit` and `settle` raise `PastChanged` when it does not hold any more; its
        `withdrawals` are moved in the same transaction, before its own deliveries join their lanes.

        Args:
            bodies: with what is needed to make a withdrawal.
        """

    async def joining(self, retired: Key, survivor: Key, *, undone: bool = False) -> Past:
        """
        How two identifiers of a merge, or of its undoing, stand to each other.

        An outcome that says it (`Outcome.past`) is refused like any other when it does not hold any more. With
        `Outcome.merges` what waits under the retired identifier moves behind what waits under the other; the deliveries
        of the outcome come behind both. From then on `known` and `past` of either are those of both, under the
        identifiers of the one that stays. Readings keep the identifier they came under, so that a merge can be
        undone.
        """

    async def root(self, patient: Key) -> bytes:
        """What stands for a patient, whichever of the identifiers that were merged is named."""

    async def busy(self, patients: Sequence[Key]) -> bool:
        """Whether a message of one of these patients is `stored`: then whatever comes later waits behind it."""

    async def commit(
        self,
        envelope: Envelope,
        key: bytes,
        outcomes: Sequence[Outcome],
        answer: Answer,
        deadlines: Mapping[str, float],
        *,
        starts: int = 0,
    ) -> Committed:
        """
        Make an envelope and what became of it durable in one transaction: bytes, messages, readings, documents and
        deliveries.

        A message whose deliveries are none is stored with its state all the same. If an envelope with this key was
        committed meanwhile, it is counted as a repeat and its answer is returned with `repeated`.

        A message begins as `stored`, `done`, `parked` or `filtered`; any other state of an outcome is a `StoreError`.

        Args:
            key: 32 bytes naming sender, control id and content; the unique guard against a second delivery.
            answer: given `reference` and returned as committed.
            deadlines: destination → seconds from receipt after which an unfinished delivery is overdue.
            starts: how often work on its messages was begun already and did not come to an end.
        """

    async def refuse(self, feed: str, code: str, at: datetime) -> None:
        """Count and log a receipt that was refused at the door and of which nothing is kept."""

    async def receipts(self) -> int:
        """How many receipts were counted, ever."""
