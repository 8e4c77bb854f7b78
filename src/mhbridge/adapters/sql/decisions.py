"""
What people decide of messages and deliveries that wait for them: sent again, let go, ended.

What becomes of a row is `moves`'. This module must never decide for a person.
"""

from __future__ import annotations

from typing import NamedTuple

from mhbridge.adapters.sql.books import Books
from mhbridge.adapters.sql.moves import Step, arrive, each_of, find, move, move_deliveries
from mhbridge.adapters.sql.transitions import NEW
from mhbridge.model import HELD_AS_STALE, DeliveryState, MessageState

__all__ = ["Closing", "Releasing", "Resending", "close", "release", "resend"]


class Resending(NamedTuple):
    """A message whose documents a person sends again: to one destination, or to each that it was sent to."""

    message: int
    who: str
    now: int
    to: str = ""


class Releasing(NamedTuple):
    """A parked delivery that a person lets go."""

    delivery: int
    who: str
    now: int


class Closing(NamedTuple):
    """A message that a person ends."""

    message: int
    who: str
    why: str
    now: int


def _release(books: Books, item: Releasing) -> bool:
    """A person lets a parked delivery go: it is the head of its lane, and due."""
    delivery = find(books, [item.delivery]).get(item.delivery)
    if delivery is None or delivery.state != DeliveryState.PARKED:
        return False
    books.run("not_stale", delivery=item.delivery, code=HELD_AS_STALE)
    move_deliveries(books, [Step(item.delivery, delivery, DeliveryState.QUEUED, item.now, item.now, who=item.who)])
    return True


def _close(books: Books, item: Closing) -> bool:
    """A person ends a parked message, and with it the message's parked deliveries: their lanes go on."""
    row = books.row("message_now", id=item.message)
    if row is None:
        return False
    state, feed, code, _ = row
    closed = False
    if state == MessageState.PARKED:
        move(
            books,
            "message",
            item.message,
            state,
            MessageState.CLOSED,
            feed=feed,
            at=item.now,
            who=item.who,
            code=code,
            why=item.why,
            due_at=None,
        )
        closed = True
    parked = find(books, (about for (about,) in books.run("parked_of_message", message=item.message)))
    move_deliveries(
        books,
        [
            Step(about, delivery, DeliveryState.CLOSED, item.now, None, who=item.who, why=item.why)
            for about, delivery in parked.items()
        ],
    )
    return closed or bool(parked)


def _resend(books: Books, item: Resending) -> int:
    """
    New deliveries of what this message sent, at the end of the lanes.

    Left out is what is still under way, and what a newer version has replaced: an old one sent after it would
    bring back at the receiver what has been put right.
    """
    row = books.row("message_now", id=item.message)
    if row is None:
        return 0
    received_at = row[3]
    ended = books.run("may_be_sent_again", message=item.message, to=item.to)
    books.act_for(row[4] for row in ended)
    for about, document, destination, name, patient, deadline, needs, letter in ended:
        # As long as the first one had.
        again = None if deadline is None else item.now + deadline - received_at
        ((_, _, seq),) = books.each("extend_lane", [(patient, destination, 1, 1, item.now, letter)])
        delivery = books.id()
        state = DeliveryState.QUEUED
        arrive(books, "delivery", state, name)
        values = (delivery, item.message, document, destination, patient, seq, state, item.now, again, needs)
        books.each("add_delivery", [values])
        books.log(item.now, "delivery", delivery, f"{NEW}>{state} again after {about}, historic", item.who)
    if ended:
        books.run("raise_fanout", id=item.message, n=len(ended))
    return len(ended)


release = each_of(_release)
close = each_of(_close)
resend = each_of(_resend)
