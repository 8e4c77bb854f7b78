"""
Taking an envelope apart: all of it, or only some of its messages; to be worked now, or to be kept and worked later.

An envelope of many messages is made durable first, so nothing of what it says is held together. This module must never
wait for anything, and must never know of a store.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from mhbridge import pipeline
from mhbridge.gateway.workers.work import Asked, after, asked, named
from mhbridge.model import NO_LEDGER, Outcome

if TYPE_CHECKING:
    from mhbridge.model import Envelope
    from mhbridge.pipeline import Feed, Intake, Taken

__all__ = ["ALL", "MANY", "Part", "Taking", "to_be_worked"]

#: An envelope of more messages than this is made durable first and worked after, a part at a time.
MANY: Final = 50


class Part(NamedTuple):
    """
    What of an envelope is to be read.

    Args:
        only: places in the envelope, from 0; `None` is all of it.
        unread: only into how many messages it falls, and what each says about itself.
    """

    only: frozenset[int] | None = None
    unread: bool = False


ALL: Final = Part()


class Taking:
    """
    An envelope that is being taken apart, a message at a time.

    Where there are too many, what was read of them is let go again: it costs no more memory than their names.
    """

    def __init__(self, envelope: Envelope, feed: Feed, part: Part) -> None:
        self._envelope = envelope
        self._feed = feed
        self._coming = pipeline.taken_of(envelope, feed, part.only, unread=part.unread)
        self._part = part
        self._taken: list[Taken] = []
        self._many = False

    def some(self, most: int | None = None) -> bool:
        """Take so many, or all. Returns whether there may be more."""
        taken = self._taken
        before = len(taken)
        for one in self._coming if most is None else itertools.islice(self._coming, most):
            taken.append(_let_go(one) if self._many else one)
            if not self._many and self._part.only is None and len(taken) > MANY:
                self._many = True
                taken[:] = map(_let_go, taken)
        return most is not None and len(taken) - before == most

    @property
    def intake(self) -> Intake:
        """What was taken."""
        return pipeline.Intake(tuple(self._taken))

    def asked(self) -> Asked:
        """What is needed before it can be stepped."""
        intake = self.intake
        # A part of an envelope that is here already needs no name.
        key = pipeline.dedupe_key(self._envelope, intake) if self._part.only is None else b""
        if self._many or self._part.unread:
            return Asked(key, (), {}, messages=len(intake.messages), many=True)
        return asked(key, intake, self._envelope.received_at, self._feed)


def to_be_worked(intake: Intake) -> list[Outcome]:
    """What is made durable of messages that are to be worked later."""
    return [after(taken) for taken in intake.messages]


def _let_go(taken: Taken) -> Taken:
    """What a message is found and ordered by, without what it says."""
    readings = tuple([(mapping, named(reading)) for mapping, reading in taken.readings])
    return replace(taken, body=b"", readings=readings, issues=(), ledger=NO_LEDGER)
