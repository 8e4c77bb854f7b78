"""
The same work as that of the workers, in this process: what a gateway does that has none.

This module must never keep others waiting: after some messages of a large envelope, they have their turn.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from mhbridge.gateway.workers.apart import ALL, Part, Taking, to_be_worked
from mhbridge.gateway.workers.work import Asked, work

if TYPE_CHECKING:
    from mhbridge.gateway.workers.work import Whose
    from mhbridge.model import Envelope, Known, Later, Outcome, Past
    from mhbridge.pipeline import Feed

__all__ = ["Here", "Read"]

#: In a large envelope, others have their turn after so many messages.
_BREATH: Final = 50


class Read(Protocol):
    """An envelope that was read and is to be stepped, or dropped."""

    asked: Asked

    async def step(
        self,
        known: Mapping[Whose, Known],
        past: Sequence[Past] = (),
        worked_at: datetime | None = None,
        before: Mapping[Whose, Sequence[Later]] | None = None,
    ) -> list[Outcome]:
        """What became of its messages."""

    async def to_be_worked(self) -> list[Outcome]:
        """What is made durable of its messages when they are to be worked later."""

    def drop(self) -> None:
        """It is done with, stepped or not."""


class Here:
    """
    Reads and steps in this process. Of a large envelope a few messages in each turn of the event loop: what is to be
    answered, committed and delivered of the others goes on in between.
    """

    #: There are no other processes, and it can always be asked.
    pids: Sequence[int] = ()
    waiting = 0
    alive = True

    def __init__(self, feeds: Mapping[str, Feed]) -> None:
        self._feeds = feeds

    def adopt(self, feeds: Mapping[str, Feed]) -> None:
        """What comes from now on is read and stepped with these feeds."""
        self._feeds = feeds

    async def read(self, envelope: Envelope, part: Part = ALL) -> Read:
        """Take an envelope apart, or some messages of it. Raises what `pipeline.intake` does."""
        feed = self._feeds[envelope.feed]
        taking = Taking(envelope, feed, part)
        more = taking.some(_BREATH)
        while more:
            await asyncio.sleep(0)
            more = taking.some(_BREATH)
        return _ReadHere(envelope, feed, taking)


class _ReadHere:
    def __init__(self, envelope: Envelope, feed: Feed, taking: Taking) -> None:
        self.asked = taking.asked()
        self._envelope, self._feed, self._intake = envelope, feed, taking.intake

    async def step(
        self,
        known: Mapping[Whose, Known],
        past: Sequence[Past] = (),
        worked_at: datetime | None = None,
        before: Mapping[Whose, Sequence[Later]] | None = None,
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        working = work(self._intake, known, self._envelope.received_at, self._feed, past, worked_at, before)
        while True:
            some = list(itertools.islice(working, _BREATH))
            outcomes += some
            if len(some) < _BREATH:
                return outcomes
            await asyncio.sleep(0)

    async def to_be_worked(self) -> list[Outcome]:
        return to_be_worked(self._intake)

    def drop(self) -> None:
        pass
