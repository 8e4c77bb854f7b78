"""
The one way in which messages and deliveries change state, and what people and senders ask for in those terms.

`move` changes one row that must be in the state it is said to be in, and with it the log and the tallies, in the
transaction of its caller. No other function of the store writes a state; the first one is written by `intake`, through
`arrive`. After a move of a delivery its lane is settled: depth, next time and hold follow from the lane's head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from mhbridge.adapters.sql.transitions import IN_LANE, NEW, What, require
from mhbridge.adapters.sqlite.books import GATEWAY, Books, micros
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState, MessageState
from mhbridge.ports import Move

__all__ = [
    "Closing",
    "Finishing",
    "Parking",
    "Releasing",
    "Resending",
    "Starting",
    "arrive",
    "close",
    "finish",
    "move",
    "park",
    "recover",
    "release",
    "resend",
    "start",
]

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")

_WAITS = frozenset({DeliveryState.QUEUED, DeliveryState.RETRY})
_MAY_HAVE_LEFT = frozenset({DeliveryState.SENDING, DeliveryState.UNKNOWN})
_STARTED = _MAY_HAVE_LEFT | {DeliveryState.AWAITING}
_NEEDS_TIME = frozenset({DeliveryState.RETRY, DeliveryState.UNKNOWN, DeliveryState.AWAITING})
_WENT_WELL = frozenset({DeliveryState.DONE, DeliveryState.AWAITING})


class Starting(NamedTuple):
    """Deliveries of which bytes may leave now; `look_at` is when somebody must ask what became of them."""

    deliveries: Sequence[int]
    now: int
    look_at: int


class Finishing(NamedTuple):
    """Results of attempts."""

    moves: Sequence[Move]
    now: int


class Parking(NamedTuple):
    """A delivery that cannot be sent as it stands."""

    delivery: int
    code: str
    now: int


class Resending(NamedTuple):
    """A message whose documents a person sends again."""

    message: int
    who: str
    now: int


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


class _Delivery(NamedTuple):
    """A delivery as it stands. The columns of `delivery_now`."""

    state: str
    patient: int
    destination: int
    name: str
    attempts: int
    due_at: int | None
    sent_at: int | None
    head: int


def arrive(books: Books, what: What, state: str, feed: str) -> None:
    """Account for a row that is inserted in its first state. The log says it in the row of its message."""
    require(what, NEW, state)
    books.count(feed, what, state)


def move(
    books: Books,
    what: What,
    about: int,
    old: str,
    new: str,
    *,
    feed: str,
    at: int,
    who: str = GATEWAY,
    code: str = "",
    why: str = "",
    **values: Any,
) -> None:
    """
    Change the state of one message or delivery.

    Args:
        feed: whose tally it is: a message's feed, a delivery's destination.
        why: what a person gave as the reason.
        values: the other columns that `move_message` or `move_delivery` sets.

    Raises:
        StoreError: S212 when the move is not legal, S213 when the row is not in the state `old`.
    """
    require(what, old, new)
    books.run(f"move_{what}", id=about, old=old, new=new, code=code, **values)
    if books.connection.changes() != 1:
        raise StoreError("S213", f"{what} {about} is not {old!r}")
    moves = f"{old}>{new}"
    if code:
        moves += f" {code}"
    if why:
        moves += f": {why}"
    books.log(at, what, about, moves, who)
    books.count(feed, what, old, -1)
    books.count(feed, what, new)


def _move_delivery(
    books: Books,
    about: int,
    delivery: _Delivery,
    new: str,
    *,
    at: int,
    due_at: int | None,
    who: str = GATEWAY,
    code: str = "",
    why: str = "",
    level: int = 0,
    remote_id: str = "",
) -> None:
    starts = new == DeliveryState.SENDING
    move(
        books,
        "delivery",
        about,
        delivery.state,
        new,
        feed=delivery.name,
        at=at,
        who=who,
        code=code,
        why=why,
        due_at=due_at,
        level=level,
        tries=int(starts),
        sent_at=at if starts else None,
        remote_id=remote_id,
    )
    if delivery.state == DeliveryState.SENDING and new not in _WENT_WELL:
        books.run(
            "add_attempt",
            delivery=about,
            n=delivery.attempts,
            started_at=delivery.sent_at,
            ended_at=at,
            result=new,
            code=code,
        )
    change = (new in IN_LANE) - (delivery.state in IN_LANE)
    books.run("settle_lane", patient=delivery.patient, destination=delivery.destination, change=change)


def _find(books: Books, about: int) -> _Delivery | None:
    row = books.row("delivery_now", id=about)
    return None if row is None else _Delivery(*row)


def _each(function: Callable[[Books, _Item], _Value]) -> Callable[[Books, Sequence[_Item]], list[_Value]]:
    """A verb that works its items one after the other."""

    def verb(books: Books, items: Sequence[_Item]) -> list[_Value]:
        return [function(books, item) for item in items]

    verb.__name__ = verb.__qualname__ = function.__name__.strip("_")
    verb.__doc__ = function.__doc__
    return verb


def _start(books: Books, item: Starting) -> list[int]:
    """
    Take heads of lanes in hand whose time has come, and return those that were.

    What waits is sent. What may have arrived is looked up: it stays `unknown`, and so becomes what was being sent
    by somebody who has not come back by the time that was set.
    """
    taken = []
    for about in item.deliveries:
        delivery = _find(books, about)
        if delivery is None or not delivery.head or delivery.due_at is None or delivery.due_at > item.now:
            continue
        if delivery.state in _WAITS:
            new = DeliveryState.SENDING
        elif delivery.state in _MAY_HAVE_LEFT:
            new = DeliveryState.UNKNOWN
        else:
            continue
        _move_delivery(books, about, delivery, new, at=item.now, due_at=item.look_at)
        taken.append(about)
    return taken


def _finish(books: Books, item: Finishing) -> None:
    """
    Record what became of attempts: all of them or, when one cannot be, none.

    Raises:
        StoreError: S212 for what was not started or cannot end so, S214 when there is no such delivery.
    """
    for result in item.moves:
        delivery = _find(books, result.delivery)
        if delivery is None:
            raise StoreError("S214", f"there is no delivery {result.delivery}")
        if delivery.state not in _STARTED:
            raise StoreError("S212", f"a delivery that is {delivery.state!r} has no attempt to finish")
        _move_delivery(
            books,
            result.delivery,
            delivery,
            result.state,
            at=item.now,
            due_at=micros(result.due_at) if result.state in _NEEDS_TIME and result.due_at is not None else None,
            code=result.code,
            level=result.level,
            remote_id=result.remote_id,
        )


def _recover(books: Books, now: int) -> int:
    """What was being sent when the last process ended may have arrived: it is looked up, at once."""
    found: list[int] = [about for (about,) in books.run("found_sending")]
    for about in found:
        delivery = _find(books, about)
        assert delivery is not None
        _move_delivery(books, about, delivery, DeliveryState.UNKNOWN, at=now, due_at=now)
    return len(found)


def _park(books: Books, item: Parking) -> bool:
    """Park what is due; what somebody took in hand meanwhile is left alone."""
    delivery = _find(books, item.delivery)
    if delivery is None or delivery.due_at is None or delivery.due_at > item.now:
        return False
    if delivery.state not in _WAITS | _MAY_HAVE_LEFT:
        return False
    _move_delivery(books, item.delivery, delivery, DeliveryState.PARKED, at=item.now, due_at=None, code=item.code)
    return True


def _release(books: Books, item: Releasing) -> bool:
    """A person lets a parked delivery go: it is the head of its lane, and due."""
    delivery = _find(books, item.delivery)
    if delivery is None or delivery.state != DeliveryState.PARKED:
        return False
    _move_delivery(books, item.delivery, delivery, DeliveryState.QUEUED, at=item.now, due_at=item.now, who=item.who)
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
    for (about,) in books.run("parked_of_message", message=item.message):
        delivery = _find(books, about)
        assert delivery is not None
        _move_delivery(
            books, about, delivery, DeliveryState.CLOSED, at=item.now, due_at=None, who=item.who, why=item.why
        )
        closed = True
    return closed


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
    ended = books.run("may_be_sent_again", message=item.message)
    for about, document, destination, name, patient, deadline in ended:
        # As long as the first one had.
        again = None if deadline is None else item.now + deadline - received_at
        ((_, _, seq),) = books.each("extend_lane", [(patient, destination, 1, 1, item.now)])
        delivery = books.id()
        state = DeliveryState.QUEUED
        arrive(books, "delivery", state, name)
        values = (delivery, item.message, document, destination, patient, seq, state, item.now, again)
        books.connection.execute(books.queries["add_delivery"], values)
        books.log(item.now, "delivery", delivery, f"{NEW}>{state} again after {about}", item.who)
    if ended:
        books.run("raise_fanout", id=item.message, n=len(ended))
    return len(ended)


start = _each(_start)
finish = _each(_finish)
recover = _each(_recover)
park = _each(_park)
release = _each(_release)
close = _each(_close)
resend = _each(_resend)
