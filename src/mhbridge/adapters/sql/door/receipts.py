"""
What is asked of the store for what arrives: is it here already, what is known of its patient, make it durable.

What is asked for each message is one search by a key. This module must never look into a body.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from mhbridge.adapters.sql import intake
from mhbridge.adapters.sql.books import micros
from mhbridge.adapters.sql.door.calling import Calling
from mhbridge.adapters.sql.folds import Said
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.ready import ReadyMessage, ready
from mhbridge.adapters.sql.rows import Numbered
from mhbridge.errors import PastChanged
from mhbridge.model import Answer, Carry, Envelope, Key, Known, Later, Outcome, Past, Place
from mhbridge.ports import Committed

__all__ = ["Receipts"]


class Receipts(Calling):
    """The port `Receipts`."""

    async def repeat(self, envelope: Envelope, key: bytes) -> Committed | None:
        if not await self._at_once(Reader.seen, key):
            return None
        found: Committed | None = await self.write(
            intake.repeat, intake.Repeat(key, envelope.feed, micros(envelope.received_at))
        )
        return found

    async def known(self, patient: Key, episode: str, document: str, before: Place | None = None) -> Known:
        return await self._at_once(Reader.known, patient, episode, document, before)

    async def said(self, patient: Key, episode: str, carry: Carry) -> Sequence[Later]:
        return await self._at_once(Reader.said, patient, episode, carry)

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
        self._require_writing()
        made = ready(self._keys, envelope, key, outcomes, answer, deadlines, starts)
        written: intake.Written = await self.write(
            intake.commit, made, lambda written: self._note(made.messages if written.is_new else (), written.numbered)
        )
        if written.committed is None:
            raise PastChanged("S218", "what came before has changed meanwhile")
        return written.committed

    async def joining(self, retired: Key, survivor: Key, *, undone: bool = False) -> Past:
        return await self._at_once(Reader.joining, retired, survivor, undone)

    async def root(self, patient: Key) -> bytes:
        return await self._at_once(Reader.final, patient)

    async def past(self, patient: Key, episode: str, *, bodies: bool = False) -> Past:
        return await self._at_once(Reader.past, patient, episode, bodies)

    def _note(self, messages: Sequence[ReadyMessage], written: Numbered) -> None:
        """What was made durable is known from now on, and need not be read again."""
        if not self._near.alone:
            return
        readings = [reading for message in messages for reading in message.readings]
        for number, (about, reading) in enumerate(zip(written.readings, readings, strict=False), written.before + 1):
            whose = self._near.root(reading.patient)
            place = reading.document, reading.episode, reading.event_at, reading.sent_at
            said = Said(about, *place, reading.said, own=whose == reading.patient)
            self._near.folds.note(number, whose, said)
        for message in messages:
            for merge in message.merges:
                self._near.note_merge(*merge)

    async def refuse(self, feed: str, code: str, at: datetime) -> None:
        await self.write(intake.refuse, intake.Refusal(feed, code, micros(at)))
