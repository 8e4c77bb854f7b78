"""
What working a message means, whether its sender waits for it or it is worked from the backlog.

Both ask the store what is known, have the messages stepped, and say the same of what came of it. This module must never
make anything durable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from mhbridge.log import Event, Log
from mhbridge.model import Issue, MessageFacts, MessageState, Outcome, Severity
from mhbridge.ports import Store

if TYPE_CHECKING:
    from mhbridge.gateway.clocks import Clocks
    from mhbridge.gateway.outbox import Outbox
    from mhbridge.gateway.workers import Read

__all__ = ["Told", "failed_on", "outcomes_of"]

#: Of what `mapping.completeness.Said` has, what the reader of a letter does not get.
_NOT_SAID: Final = frozenset({"unreadable", "absent"})


async def outcomes_of(store: Store, read: Read, worked_at: datetime | None = None) -> list[Outcome]:
    """
    What becomes of messages that were read. Their patients' turn is held, until it is durable.

    Args:
        worked_at: the instant, where that is not the receipt's.
    """
    known = {whose: await store.known(*whose, at) for whose, at in read.asked.known.items()}
    past = [await store.past(*whose, bodies=bodies) for whose, bodies in read.asked.past.items()]
    past += [await store.joining(retired, survivor, undone=undone) for retired, survivor, undone in read.asked.joinings]
    before = {whose: await store.said(whose[0], whose[1], carry) for whose, carry in read.asked.carried.items()}
    return await read.step(known, past, worked_at, before)


def failed_on(code: str, text: str) -> Outcome:
    """A message on which the gateway itself failed, of which only the bytes are known: it waits for a person."""
    issue = Issue(code, Severity.ERROR, text)
    return Outcome(MessageFacts("", "unreadable"), MessageState.PARKED, code, (issue,))


class Told:
    """Who is told of what became of messages, once it is durable: the log, the counters, the outbox and the clocks."""

    def __init__(self, outbox: Outbox, log: Log, clocks: Clocks | None = None) -> None:
        self._outbox = outbox
        self._clocks = clocks
        self._log = log
        #: Called where somebody was heard of whom something may be told.
        self.watched: Callable[[], None] | None = None
        #: (feed, state) → how many values of messages taken since the start are in that state of the field ledger.
        self.leaves: Counter[tuple[str, str]] = Counter()
        #: (document type, heading, `said` or `not`) → how many letters worked since the start.
        self.headings: Counter[tuple[str, str, str]] = Counter()

    def tell(self, feed: str, messages: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """What became of messages of a feed, by their ids."""
        for message, outcome in zip(messages, outcomes, strict=True):
            if outcome.state is MessageState.PARKED:
                self._log.warning(Event.PARKED, feed=feed, message=message, code=outcome.code)
            for state, count in outcome.ledger.counts.items():
                if count:
                    self.leaves[feed, state.value] += count
            for letter in outcome.letters:
                for heading, said in letter.headings:
                    self.headings[letter.document, heading, "not" if said in _NOT_SAID else "said"] += 1
        if any(outcome.deliveries for outcome in outcomes):
            self._outbox.wake()
        if self.watched is not None and any(outcome.watched for outcome in outcomes):
            self.watched()
        if self._clocks is not None and any(one.deadlines or one.overtaken for one in outcomes):
            # What is heard of late may be due already.
            self._clocks.wake()
