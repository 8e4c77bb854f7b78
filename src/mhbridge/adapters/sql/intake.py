"""
Making envelopes durable as they come, a whole batch of them, in the writer's transaction.

A key that is here already writes no envelope: its first answer is given again and the repeat is counted. This module
must never look into a body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from mhbridge.adapters.sql.books import Books
from mhbridge.adapters.sql.ready import Ready, answer_of
from mhbridge.adapters.sql.rows import Numbered, Rows, has_changed, keep_message, rows_for
from mhbridge.model import MessageState
from mhbridge.ports import Committed

__all__ = ["Refusal", "Repeat", "Written", "commit", "refuse", "repeat"]


class Refusal(NamedTuple):
    """A receipt of which nothing is kept."""

    feed: str
    code: str
    at: int


class Repeat(NamedTuple):
    """A receipt of bytes that are here already."""

    key: bytes
    feed: str
    at: int


class Written(NamedTuple):
    """An envelope as it was written; `committed` is `None` where it was not: what its step was told has changed."""

    committed: Committed | None
    numbered: Numbered

    @property
    def is_new(self) -> bool:
        """Something was written."""
        return self.committed is not None and not self.committed.repeated


def commit(books: Books, items: Sequence[Ready]) -> list[Written]:
    """Envelopes with all that became of them. One that is here already is answered as it was, and counted."""
    here = {key: _first(books, key) for (key,) in books.among("seen_of", [item.key for item in items])}
    new = list({item.key: item for item in reversed(items) if item.key not in here}.values())
    rows = rows_for(books, [message for item in new for message in item.messages])
    written: list[Written] = []
    for item in items:
        first = here.get(item.key)
        if first is None and has_changed(books, rows, item.messages):
            written.append(Written(None, Numbered()))
        elif first is None:
            made = _keep(books, rows, item)
            assert made.committed is not None
            here[item.key] = made.committed
            written.append(made)
        else:
            written.append(Written(_again(books, first, item.feed, item.received_at), Numbered()))
    rows.write(books)
    if _bring_forward(books, rows, max((item.received_at for item in new), default=0)):
        written = [
            one if one.committed is None else one._replace(committed=replace(one.committed, awaited=True))
            for one in written
        ]
    return written


def _bring_forward(books: Books, rows: Rows, now: int) -> bool:
    """Where something of a patient has come, what waited for a time waits no longer. Whether anything did."""
    moved = 0
    came = {row[6] for row in rows.by_table["message"] if row[7] in (MessageState.STORED, MessageState.DONE)}
    if came and books.row("anything_waits") is not None:
        for patient in came:
            books.run("bring_forward", patient=patient, now=now)
            moved += books.changed
    return moved > 0


def repeat(books: Books, items: Sequence[Repeat]) -> list[Committed | None]:
    """The first answers to envelopes that are here already; counts and logs the repeats."""
    answers: list[Committed | None] = []
    for item in items:
        first = _first(books, item.key)
        answers.append(None if first is None else _again(books, first, item.feed, item.at))
    return answers


def refuse(books: Books, items: Sequence[Refusal]) -> list[None]:
    """Count and log receipts of which nothing is kept."""
    for item in items:
        books.count(item.feed, "receipt", "received")
        books.count(item.feed, "receipt", "refused")
        books.log(item.at, "refusal", 0, item.code, item.feed)
    return [None] * len(items)


def _first(books: Books, key: bytes) -> Committed | None:
    row = books.row("seen", dedupe=key)
    if row is None:
        return None
    envelope, text = row
    messages = tuple(message for (message,) in books.run("messages_of_envelope", envelope=envelope))
    return Committed(answer_of(envelope, text), envelope, messages, repeated=True)


def _again(books: Books, first: Committed, feed: str, at: int) -> Committed:
    books.count(feed, "receipt", "received")
    books.count(feed, "receipt", "repeat")
    books.log(at, "repeat", first.envelope, "", feed)
    return replace(first, answer=replace(first.answer, repeated=True), repeated=True)


def _keep(books: Books, rows: Rows, item: Ready) -> Written:
    envelope, before, readings = books.id(), books.readings, len(rows.by_table["reading"])
    rows.add(
        "envelope",
        envelope,
        item.feed,
        item.received_at,
        item.transport,
        item.peer,
        item.key,
        len(item.body),
        len(item.messages),
        item.answer_text,
        item.before,
    )
    rows.add("body", envelope, *books.sealed("envelope", envelope, item.body, item.received_at))
    books.count(item.feed, "receipt", "received")
    messages = tuple([keep_message(books, rows, item, envelope, message) for message in item.messages])
    answer = replace(item.answer, reference=str(envelope), repeated=False)
    numbers = [row[0] for row in rows.by_table["reading"][readings:]]
    books.readings += len(numbers)
    return Written(Committed(answer, envelope, messages), Numbered(numbers, before))
