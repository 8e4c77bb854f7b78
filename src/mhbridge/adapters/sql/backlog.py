"""
Messages that are durable and not yet worked: taken in hand, given back, and looked up.

A message in hand has a time by which whoever has it must be back; nothing in memory says that it is in hand, so nothing
in memory can forget it. What becomes of it is written by `settling.settle`, with the same rows as for a message that
has just come. This module must never let a start go uncounted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from mhbridge.adapters.sql.books import Books, micros, when
from mhbridge.adapters.sql.moves import move
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.ready import before_of
from mhbridge.model import Envelope, Key, MessageState
from mhbridge.ports import Pending

__all__ = [
    "Beginning",
    "PuttingBack",
    "Waits",
    "as_pending",
    "begin",
    "busy",
    "envelope",
    "next_waiting",
    "put_back",
    "waiting",
]
__all__ += ["waits_now"]

#: At this start a message is parked instead: twice before, work on it was begun and did not come to an end.
_LAST_START: Final = 3
_POISON: Final = "M780"
#: Where more waits than is asked for, one in so many is of those that came last.
_FRESH: Final = 4


class Beginning(NamedTuple):
    """Messages to be taken in hand."""

    messages: Sequence[Pending]
    now: int
    until: int


class PuttingBack(NamedTuple):
    """Messages in hand that were not worked to an end."""

    messages: Sequence[Pending]
    now: int
    counted: bool


class Waits(NamedTuple):
    """A message as it stands. The columns of `waits_now`."""

    feed: str
    patient: int
    state: str
    starts: int
    due_at: int | None

    def is_as(self, pending: Pending) -> bool:
        """Whether nobody has touched it since it was seen so."""
        return (self.state, self.starts) == (pending.state, pending.starts) and self.due_at is not None

    def is_in_hand_as(self, pending: Pending) -> bool:
        """Whether it is still in the hand that took it."""
        return self.is_as(pending) and self.due_at == micros(pending.due_at)


# --- on the writer -----------------------------------------------------------------------------------------


def waits_now(books: Books, abouts: Iterable[int]) -> dict[int, Waits]:
    """Messages as they stand, by id."""
    return {about: Waits(*row) for about, *row in books.among("waits_now", list(dict.fromkeys(abouts)))}


def begin(books: Books, items: Sequence[Beginning]) -> list[list[Pending]]:
    """Take messages in hand, and count that work on them begins. At the last start they are parked."""
    found = waits_now(books, (pending.id for item in items for pending in item.messages))
    books.act_for(one.patient for one in found.values())
    return [
        [
            taken
            for pending in item.messages
            # Whoever asks for it again in this batch comes too late.
            if (now := found.pop(pending.id, None)) is not None
            and (taken := _begin(books, pending, now, item)) is not None
        ]
        for item in items
    ]


def _begin(books: Books, pending: Pending, now: Waits, item: Beginning) -> Pending | None:
    if not now.is_as(pending) or now.due_at is None or now.due_at > item.now:
        return None
    if now.state == MessageState.HELD:
        _move(books, pending.id, now, MessageState.STORED, item.now, due_at=now.due_at)
    starts = now.starts + 1
    if starts >= _LAST_START:
        _move(books, pending.id, now, MessageState.PARKED, item.now, code=_POISON, due_at=None)
        return None
    books.run("begin_message", id=pending.id, starts=starts, until=item.until)
    return replace(pending, state=MessageState.STORED, starts=starts, due_at=when(item.until))


def _move(books: Books, about: int, now: Waits, new: MessageState, at: int, **values: Any) -> None:
    move(books, "message", about, now.state, new, feed=now.feed, at=at, **values)


def put_back(books: Books, items: Sequence[PuttingBack]) -> list[None]:
    """Messages in hand are due again; the start counts, or it does not."""
    found = waits_now(books, (pending.id for item in items for pending in item.messages))
    for item in items:
        for pending in item.messages:
            now = found.pop(pending.id, None)
            if now is not None and now.is_in_hand_as(pending):
                starts = now.starts if item.counted else now.starts - 1
                books.run("put_back", id=pending.id, due_at=item.now, starts=starts)
    return [None] * len(items)


# --- on a reader -------------------------------------------------------------------------------------------


def busy(reader: Reader, patients: Sequence[Key]) -> bool:
    """Whether a message of one of these patients is stored and not yet worked."""
    if reader.row("anything_waits") is None:
        return False
    tokens = [reader.root(patient) for patient in patients]
    return bool(reader.among("stored_of_patients", tokens))


def waiting(reader: Reader, now: int, most: int) -> list[Pending]:
    """What is due: of each patient the first, and what follows it in the same envelope."""
    with reader.snapshot():
        heads = reader.rows("waiting_heads", now=now, most=most)
        if len(heads) == most:
            # More waits than is asked for: what has just come does not wait until all of that is done.
            heads = [*reader.rows("waiting_newest_heads", now=now, most=-(-most // _FRESH)), *heads]
        found: list[Pending] = []
        seen: set[int] = set()
        numbers: dict[int, dict[int, int]] = {}
        for *row, messages, size in heads:
            if len(found) >= most:
                break
            head = _Row(*row)
            if head.id in seen:
                continue
            seen.add(head.id)
            following = [head]
            if messages > 1:
                if head.envelope not in numbers:
                    ids = reader.rows("messages_of_envelope", envelope=head.envelope)
                    numbers[head.envelope] = {about: number for number, (about,) in enumerate(ids)}
                if head.state == MessageState.STORED:
                    following += _behind(reader, head, now, most - len(found) - 1)
            number = numbers.get(head.envelope, {})
            found += [one.pending(number.get(one.id, 0), messages, size) for one in following]
    return found


def as_pending(reader: Reader, about: int) -> Pending | None:
    """A message as if it waited."""
    row = reader.row("as_waiting", id=about)
    if row is None:
        return None
    *own, messages, size = row
    number = reader.row("part_of_envelope", id=about)[1] if messages > 1 else 0
    return _Row(*own).pending(number, messages, size)


def _behind(reader: Reader, head: _Row, now: int, most: int) -> list[_Row]:
    found: list[_Row] = []
    for row in reader.rows("waiting_behind", patient=head.patient, id=head.id, most=most):
        one = _Row(*row)
        # A start that was counted is one alone: whoever is to blame for it must not take others along.
        if one.envelope != head.envelope or one.due_at > now or one.starts or head.starts:
            break
        found.append(one)
    return found


class _Row(NamedTuple):
    """The columns of `waiting_heads` and `waiting_behind`."""

    id: int
    envelope: int
    feed: str
    patient: int
    received_at: int
    state: str
    starts: int
    due_at: int
    historic: int

    def pending(self, number: int, of: int, size: int) -> Pending:
        return Pending(
            self.id,
            self.envelope,
            number,
            self.feed,
            self.patient,
            when(self.received_at),
            MessageState(self.state),
            self.starts,
            when(self.due_at),
            of,
            size,
            bool(self.historic),
        )


def next_waiting(reader: Reader, now: int) -> int | None:
    """When the next message comes due."""
    at: int | None = reader.value("next_waiting", now=now)
    return at


def envelope(reader: Reader, about: int) -> Envelope | None:
    """An envelope as it was received."""
    row = reader.row("envelope_whole", id=about)
    if row is None:
        return None
    feed, received_at, transport, peer, before = row
    body = reader.body("envelope", about)
    return Envelope(body, feed.partition("/")[0], feed, when(received_at), transport, peer, before_of(before))
