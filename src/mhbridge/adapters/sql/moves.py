"""
The one way in which messages and deliveries change state, and what people and senders ask for in those terms.

`move` and `_move_deliveries` change rows that must be in the state that they are said to be in, and with them the log,
the tallies and the task of what is parked, in the transaction of their caller: all deliveries of a batch with one
statement. No other function of the store writes a state; the first one is written by `intake`, through `arrive`. After
a move of a delivery its lane is settled: depth, next time and hold follow from the lane's head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from mhbridge.adapters.sql import clocks, tasks
from mhbridge.adapters.sql.books import GATEWAY, Books, micros
from mhbridge.adapters.sql.transitions import IN_LANE, NEW, What, require
from mhbridge.errors import StoreError
from mhbridge.model import HELD_AS_STALE, DeliveryState, MessageState, Withdrawal
from mhbridge.ports import Move

__all__ = [
    "Closing",
    "Doubting",
    "Finishing",
    "Parking",
    "Releasing",
    "Resending",
    "Starting",
    "arrive",
    "close",
    "doubt",
    "finish",
    "hold",
    "move",
    "park",
    "recover",
    "release",
    "resend",
    "shift",
    "start",
    "withdraw",
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


class Doubting(NamedTuple):
    """So many deliveries of a store that came from a backup."""

    most: int
    now: int


class Parking(NamedTuple):
    """A delivery that cannot be sent as it stands."""

    delivery: int
    code: str
    now: int


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
    letter: int


def arrive(books: Books, what: What, state: str, feed: str, *, about: int = 0, at: int = 0, code: str = "") -> None:
    """
    Account for a row that is inserted in its first state. The log says it in the row of its message.

    Args:
        about: the row's id, with `at` and `code` for the task of what is parked.
    """
    require(what, NEW, state)
    books.count(feed, what, state)
    tasks.follow(books, what, about, NEW, state, at=at, code=code)


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
    more: str = "",
    **values: Any,
) -> None:
    """
    Change the state of one message.

    Args:
        feed: whose tally it is.
        more: what the log says beyond states and code.
        why: what a person gave as the reason.
        values: the other columns that `move_message` sets.

    Raises:
        StoreError: S212 when the move is not legal, S213 when the row is not in the state `old`.
    """
    require(what, old, new)
    books.run(f"move_{what}", id=about, old=old, new=new, code=code, **values)
    if books.changed != 1:
        raise _elsewhere(what, about, old)
    _account(books, what, about, old, new, feed=feed, at=at, who=who, code=code, why=why, more=more)


def _elsewhere(what: What, about: int, old: str) -> StoreError:
    return StoreError("S213", f"{what} {about} is not {old!r}")


def _account(
    books: Books,
    what: What,
    about: int,
    old: str,
    new: str,
    *,
    feed: str,
    at: int,
    who: str,
    code: str,
    why: str,
    more: str = "",
) -> None:
    """The log row and the tallies of a move, and the task."""
    moves = f"{old}>{new}"
    if code:
        moves += f" {code}"
    moves += more
    if why:
        moves += f": {why}"
    books.log(at, what, about, moves, who)
    books.count(feed, what, old, -1)
    books.count(feed, what, new)
    tasks.follow(books, what, about, old, new, at=at, who=who, code=code)


class _Step(NamedTuple):
    """A move of one delivery. `due_at` is when it is looked at next."""

    about: int
    now: _Delivery
    new: str
    at: int
    due_at: int | None
    who: str = GATEWAY
    code: str = ""
    why: str = ""
    level: int = 0
    remote_id: str = ""
    burnt: bool = True

    @property
    def starts(self) -> bool:
        return self.new == DeliveryState.SENDING

    @property
    def row(self) -> tuple[Any, ...]:
        """The columns of `move_delivery`."""
        return (
            self.about, self.now.state, self.new, self.code, self.due_at, self.level, self.starts - (not self.burnt),
            self.at if self.starts else None, self.remote_id,
        )  # fmt: skip


def _move_deliveries(books: Books, steps: Sequence[_Step]) -> None:
    """
    Change the states of deliveries, each of which must be in the state that it is said to be in; settle their lanes.

    Raises:
        StoreError: S212 when a move is not legal, S213 when a delivery is in another state.
    """
    for step in steps:
        require("delivery", step.now.state, step.new)
    books.act_for(step.now.patient for step in steps)
    moved = [about for (about,) in books.each("move_delivery", [step.row for step in steps])]
    if len(moved) != len(steps):
        # One that is moved twice counts as well: the second move is not from where it is then.
        there = set(moved)
        wrong = next((step for step in steps if step.about not in there), steps[-1])
        raise _elsewhere("delivery", wrong.about, wrong.now.state)
    lanes: dict[tuple[int, int], tuple[int, int]] = {}
    attempts = []
    for step in steps:
        now, new = step.now, step.new
        _account(
            books, "delivery", step.about, now.state, new, feed=now.name, at=step.at, who=step.who, code=step.code,
            why=step.why,
        )  # fmt: skip
        if now.state == DeliveryState.SENDING and new not in _WENT_WELL:
            attempts.append((step.about, now.attempts, now.sent_at, step.at, new, step.code))
        lane = now.patient, now.destination
        change, letters = (new in IN_LANE) - (now.state in IN_LANE), lanes.get(lane, (0, 0))
        lanes[lane] = letters[0] + change, letters[1] + change * now.letter
    books.each("add_attempt", attempts)
    books.each("settle_lane", [(*lane, *changes) for lane, changes in lanes.items()])
    clocks.follow(books, steps)


def _find(books: Books, abouts: Iterable[int]) -> dict[int, _Delivery]:
    """Deliveries as they stand, by id."""
    rows = books.among("delivery_now", list(dict.fromkeys(abouts)))
    return {about: _Delivery(*row) for about, *row in rows}


def _each(function: Callable[[Books, _Item], _Value]) -> Callable[[Books, Sequence[_Item]], list[_Value]]:
    """A verb that works its items one after the other."""

    def verb(books: Books, items: Sequence[_Item]) -> list[_Value]:
        return [function(books, item) for item in items]

    verb.__name__ = verb.__qualname__ = function.__name__.strip("_")
    verb.__doc__ = function.__doc__
    return verb


def start(books: Books, items: Sequence[Starting]) -> list[list[int]]:
    """
    Take heads of lanes in hand whose time has come, and return those that were.

    What waits is sent. What may have arrived is looked up: it stays `unknown`, and so becomes what was being sent
    by somebody who has not come back by the time that was set.
    """
    found = _find(books, (about for item in items for about in item.deliveries))
    steps: list[_Step] = []
    taken: list[list[int]] = []
    for item in items:
        mine = []
        for about in item.deliveries:
            delivery = found.get(about)
            if delivery is None or not delivery.head or delivery.due_at is None or delivery.due_at > item.now:
                continue
            if delivery.state in _WAITS:
                new = DeliveryState.SENDING
            elif delivery.state in _MAY_HAVE_LEFT:
                new = DeliveryState.UNKNOWN
            else:
                continue
            # Whoever asks for it again in this batch comes too late.
            del found[about]
            steps.append(_Step(about, delivery, new, item.now, item.look_at))
            mine.append(about)
        taken.append(mine)
    _move_deliveries(books, steps)
    return taken


def finish(books: Books, items: Sequence[Finishing]) -> list[None]:
    """
    Record what became of attempts: all of them or, when one cannot be, none.

    Raises:
        StoreError: S212 for what was not started or cannot end so, S214 when there is no such delivery.
    """
    found = _find(books, (result.delivery for item in items for result in item.moves))
    steps = []
    for item in items:
        for result in item.moves:
            delivery = found.get(result.delivery)
            if delivery is None:
                raise StoreError("S214", f"there is no delivery {result.delivery}")
            if delivery.state not in _STARTED:
                raise StoreError("S212", f"a delivery that is {delivery.state!r} has no attempt to finish")
            due_at = micros(result.due_at) if result.state in _NEEDS_TIME and result.due_at is not None else None
            steps.append(
                _Step(
                    result.delivery,
                    delivery,
                    result.state,
                    item.now,
                    due_at,
                    code=result.code,
                    level=result.level,
                    remote_id=result.remote_id,
                    burnt=result.burnt,
                )
            )
    _move_deliveries(books, steps)
    return [None] * len(items)


def shift(
    books: Books, about: int, new: str, *, at: int, due_at: int | None = None, code: str = "", level: int = 0
) -> None:
    """
    Move one delivery on from whatever state it is in.

    Raises:
        StoreError: S212 when it may not go there, S214 when there is no such delivery.
    """
    delivery = _find(books, [about]).get(about)
    if delivery is None:
        raise StoreError("S214", f"there is no delivery {about}")
    _move_deliveries(books, [_Step(about, delivery, new, at, due_at, code=code, level=level)])


def withdraw(books: Books, withdrawals: Sequence[Withdrawal], message: int, now: int) -> None:
    """
    What has not left does not leave any more, for the sake of a message.

    Raises:
        StoreError: S212, when one of them has left.
    """
    if not withdrawals:
        return
    found = _find(books, (one.delivery for one in withdrawals))
    for about, delivery in found.items():
        if delivery.state == DeliveryState.PARKED and books.value("code_of_delivery", id=about) != HELD_AS_STALE:
            raise StoreError("S212", f"delivery {about} may have left, and waits for a person")
    why = f"by message {message}"
    _move_deliveries(
        books, [_Step(one.delivery, found[one.delivery], one.state, now, None, why=why) for one in withdrawals]
    )


def _recover(books: Books, now: int) -> int:
    """What was being sent when the last process ended may have arrived: it is looked up, at once."""
    books.run("left_in_hand", now=now)
    found = _find(books, (about for (about,) in books.run("found_sending")))
    _move_deliveries(
        books, [_Step(about, delivery, DeliveryState.UNKNOWN, now, now) for about, delivery in found.items()]
    )
    return len(found)


def _doubt(books: Books, item: Doubting) -> int:
    """
    A portion of the deliveries that a backup has as waiting or being sent: since its instant they may have left.

    What waits becomes `sending` and what is being sent `unknown`, so all of them are looked up before they are sent.
    """
    found = _find(books, (about for (about,) in books.run("may_have_left", most=item.most)))
    steps = [
        _Step(
            about,
            delivery,
            DeliveryState.UNKNOWN if delivery.state == DeliveryState.SENDING else DeliveryState.SENDING,
            item.now,
            item.now,
        )
        for about, delivery in found.items()
    ]
    _move_deliveries(books, steps)
    return len(steps)


def _park(books: Books, item: Parking) -> bool:
    """Park what is due; what somebody took in hand meanwhile is left alone."""
    delivery = _find(books, [item.delivery]).get(item.delivery)
    if delivery is None or delivery.due_at is None or delivery.due_at > item.now:
        return False
    if delivery.state not in _WAITS | _MAY_HAVE_LEFT:
        return False
    _move_deliveries(books, [_Step(item.delivery, delivery, DeliveryState.PARKED, item.now, None, code=item.code)])
    return True


def hold(books: Books, deliveries: Sequence[int], now: int) -> None:
    """What has not left waits for a person, because something newer is known than what it says."""
    steps = [
        _Step(about, delivery, DeliveryState.PARKED, now, None, code=HELD_AS_STALE)
        for about, delivery in _find(books, deliveries).items()
        if delivery.state in _WAITS
    ]
    _move_deliveries(books, steps)


def _release(books: Books, item: Releasing) -> bool:
    """A person lets a parked delivery go: it is the head of its lane, and due."""
    delivery = _find(books, [item.delivery]).get(item.delivery)
    if delivery is None or delivery.state != DeliveryState.PARKED:
        return False
    books.run("not_stale", delivery=item.delivery, code=HELD_AS_STALE)
    _move_deliveries(books, [_Step(item.delivery, delivery, DeliveryState.QUEUED, item.now, item.now, who=item.who)])
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
    parked = _find(books, (about for (about,) in books.run("parked_of_message", message=item.message)))
    _move_deliveries(
        books,
        [
            _Step(about, delivery, DeliveryState.CLOSED, item.now, None, who=item.who, why=item.why)
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


recover = _each(_recover)
doubt = _each(_doubt)
park = _each(_park)
release = _each(_release)
close = _each(_close)
resend = _each(_resend)
