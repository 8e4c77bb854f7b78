"""Invented envelopes and outcomes for the store, a wrapper that breaks a store, and turns that wait to be released."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from mhbridge.adapters.sql.turns import Call, Work, _settle
from mhbridge.model import (
    Answer,
    Document,
    Envelope,
    Key,
    MessageFacts,
    MessageState,
    Outcome,
    Planned,
    Reading,
    Verdict,
)
from mhbridge.ports import Committed, DueDelivery, Store

T0 = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FEED = "example-mental-health/adt"
EVENT = "encounter-event"


def key_of(number: int) -> bytes:
    return hashlib.sha256(b"key %d" % number).digest()


def an_envelope(number: int, *, feed: str = FEED, at: datetime = T0, body: bytes | None = None) -> Envelope:
    return Envelope(body or b"original %d" % number, feed.partition("/")[0], feed, at, "mllp", "sender.example")


def an_answer(text: str = "safely stored", at: datetime = T0) -> Answer:
    return Answer(Verdict.ACCEPTED, text, at)


def a_patient(number: int = 1) -> Key:
    return Key("example-mrn", f"P{number:04}")


def a_reading(items: dict[str, Any], *, patient: Key | None = None, **others: Any) -> Reading:
    facts = MessageFacts("hl7v2", "ADT^A08", sent_at=others.pop("sent_at", ""))
    values = {"document": EVENT, "episode": "V1", "mapping": "example-mental-health/adt", "mapping_hash": "0" * 8}
    return Reading(facts, "example-mental-health", items=items, patient=patient or a_patient(), **(values | others))


def a_document(number: int, *, series: str = "", body: bytes | None = None) -> Document:
    return Document(
        type=EVENT,
        target="r4",
        bundle="transaction",
        series=hashlib.sha256((series or f"series {number}").encode()).digest(),
        identifier=f"urn:uuid:00000000-0000-4000-8000-{number:012}",
        body=body or b'{"resourceType":"Bundle","id":"%d"}' % number,
    )


def an_outcome(
    number: int,
    *to: str,
    patient: int | None = 1,
    state: MessageState = MessageState.DONE,
    readings: Sequence[Reading] = (),
    series: str = "",
    **others: Any,
) -> Outcome:
    """A message with one document, to be delivered to each of `to`."""
    document = a_document(number, series=series)
    return Outcome(
        facts=MessageFacts("hl7v2", "ADT^A03", control_id=f"C{number}"),
        state=state,
        readings=tuple(readings),
        documents=(document,) if to else (),
        deliveries=tuple(Planned(0, name) for name in to),
        patient=None if patient is None else a_patient(patient),
        **others,
    )


async def keep(store: Store, number: int, *to: str, at: datetime = T0, **others: Any) -> Committed:
    """Commit one envelope with one message."""
    envelope = an_envelope(number, at=at)
    outcome = an_outcome(number, *to, **others)
    deadlines = dict.fromkeys(to, 3600.0)
    return await store.commit(envelope, key_of(number), [outcome], an_answer(at=at), deadlines)


async def keep_reading(store: Store, number: int, reading: Reading, *, at: datetime = T0, **others: Any) -> Committed:
    """Commit one envelope with one message that only adds to what is known."""
    return await keep(store, number, at=at, readings=[reading], **others)


async def take(store: Store, now: datetime, most: int = 100) -> list[DueDelivery]:
    """What a gateway does first: see what is due, and take it in hand for a minute."""
    due = await store.due(now, most)
    taken = set(await store.start([delivery.id for delivery in due], now, now + MINUTE))
    return [delivery for delivery in due if delivery.id in taken]


class SwallowedError(Exception):
    """Raised by `Interrupt` in place of a call."""


class Interrupt:
    """
    A store that goes wrong at one call: the n-th of a name raises before or after it, is swallowed, or is made twice.

    Every crash that matters lies between two calls of a port, so the product needs no places where tests can break it.
    """

    def __init__(self, store: Store, name: str, how: str, n: int = 1) -> None:
        self._store = store
        self._name = name
        self._how = how
        self._left = n

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name != self._name:
            return method

        async def call(*values: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left:
                return await method(*values, **named)
            match self._how:
                case "before":
                    raise SwallowedError
                case "after":
                    await method(*values, **named)
                    raise SwallowedError
                case "swallow":
                    return None
                case "twice":
                    await method(*values, **named)
            return await method(*values, **named)

        return call


class HeldTurns:
    """Keeps calls until they are released, as one batch: what a busy thread does, at will."""

    waiting = 0

    def __init__(self, _name: str) -> None:
        self.held: list[Call] | None = None
        self._work: Work | None = None

    def start(self, work: Work) -> None:
        self._work = work

    def put(self, call: Call) -> None:
        if self.held is None:
            self._run([call])
        else:
            self.held.append(call)

    def hold(self) -> None:
        self.held = []

    def release(self) -> int:
        """Work all that is held as one batch. Returns how many that were."""
        held, self.held = self.held or [], None
        self._run(held)
        return len(held)

    async def stop(self, last: Any) -> None:
        last()

    def _run(self, batch: list[Call]) -> None:
        assert self._work is not None
        _settle(self._work(batch))
