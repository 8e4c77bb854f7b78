"""
What people have put right: messages worked again from their bytes, and what waits for them by its cause.

A message that is worked again is `stored` again, and what it said no longer serves until it has been worked; what
becomes of it is written by `settling.settle`, without what was sent before just so. This module must never change what
was received, nor a version of a document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mhbridge.adapters.sql.books import Books, when
from mhbridge.adapters.sql.moves import move
from mhbridge.model import MessageState
from mhbridge.ports import ParkedCause

if TYPE_CHECKING:
    from mhbridge.adapters.sql.reading import Reader
    from mhbridge.adapters.sql.ready import ReadyMessage

__all__ = ["Reprocessing", "only_new", "parked_causes", "parked_of", "reprocess"]

_AGAIN: Final = frozenset({MessageState.PARKED, MessageState.DONE, MessageState.FILTERED})


class Reprocessing(NamedTuple):
    """Messages that a person has worked again, each so many microseconds after the one before it."""

    messages: Sequence[int]
    who: str
    now: int
    every: int


def reprocess(books: Books, items: Sequence[Reprocessing]) -> list[list[int]]:
    """Messages that have ended, or wait for a person, wait to be worked again. Returns those."""
    return [_reprocess(books, item) for item in items]


def _reprocess(books: Books, item: Reprocessing) -> list[int]:
    taken: list[int] = []
    for about in dict.fromkeys(item.messages):
        row = books.row("may_be_worked_again", id=about)
        if row is None or row[0] not in _AGAIN:
            continue
        state, feed = row
        due_at = item.now + len(taken) * item.every
        move(
            books, "message", about, state, MessageState.STORED, feed=feed, at=item.now, who=item.who, more=" again",
            due_at=due_at,
        )  # fmt: skip
        books.run("work_again", id=about)
        books.run("unread_message", message=about)
        taken.append(about)
    return taken


def only_new(books: Books, about: int, message: ReadyMessage) -> ReadyMessage:
    """What of an outcome was not sent already for the same message, to the same destination, to the last byte."""
    sent = {tuple(row) for row in books.run("sent_of_message", message=about)}
    made = {(series, digest) for series, digest, _ in sent}
    deliveries = []
    for planned in message.deliveries:
        version = message.documents[planned.document]
        if (version.document.series, version.digest, planned.destination) not in sent:
            deliveries.append(planned)
    wanted = {planned.document for planned in deliveries}
    kept = [
        number
        for number, version in enumerate(message.documents)
        if number in wanted or (version.document.series, version.digest) not in made
    ]
    return message._replace(
        documents=[message.documents[number] for number in kept],
        deliveries=[planned._replace(document=kept.index(planned.document)) for planned in deliveries],
    )


# --- on a reader -------------------------------------------------------------------------------------------


def parked_causes(reader: Reader) -> list[ParkedCause]:
    """What waits for a person, by why it does, the most first."""
    rows = [("message", *row) for row in reader.rows("parked_messages_by")]
    rows += [("delivery", *row) for row in reader.rows("parked_deliveries_by")]
    found = [
        ParkedCause(what, code, feed, mapping, count, when(oldest), destination, example)
        for what, code, feed, mapping, count, oldest, destination, example in rows
    ]
    return sorted(found, key=lambda cause: (-cause.count, cause.oldest))


def parked_of(reader: Reader, code: str, feed: str, most: int) -> list[int]:
    """Messages that wait for a person because of this code, the oldest first."""
    return [about for (about,) in reader.rows("parked_because", code=code, feed=feed, most=most)]
