"""
The one way in which messages and deliveries change state.

`move` and `move_deliveries` change rows that must be in the state that they are said to be in, and with them the log,
the tallies and the task of what is parked, in the transaction of their caller: all deliveries of a batch with one
statement. No other function of the store writes a state; the first one is written by `intake`, through `arrive`. After
a move of a delivery its lane is settled: depth, next time and hold follow from the lane's head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from mhbridge.adapters.sql import clocks, tasks
from mhbridge.adapters.sql.books import GATEWAY, Books
from mhbridge.adapters.sql.transitions import IN_LANE, NEW, What, require
from mhbridge.errors import StoreError
from mhbridge.model import HELD_AS_STALE, DeliveryState, Withdrawal

__all__ = [
    "MAY_HAVE_LEFT",
    "WAITS",
    "Standing",
    "Step",
    "arrive",
    "each_of",
    "find",
    "hold",
    "move",
    "move_deliveries",
    "shift",
    "withdraw",
]

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")

#: Nothing of it has left.
WAITS: Final = frozenset({DeliveryState.QUEUED, DeliveryState.RETRY})
MAY_HAVE_LEFT: Final = frozenset({DeliveryState.SENDING, DeliveryState.UNKNOWN})
_WENT_WELL: Final = frozenset({DeliveryState.DONE, DeliveryState.AWAITING})


class Standing(NamedTuple):
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


class Step(NamedTuple):
    """A move of one delivery. `due_at` is when it is looked at next."""

    about: int
    now: Standing
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
        """Whether bytes may leave with it."""
        return self.new == DeliveryState.SENDING

    @property
    def row(self) -> tuple[Any, ...]:
        """The columns of `move_delivery`."""
        return (
            self.about, self.now.state, self.new, self.code, self.due_at, self.level, self.starts - (not self.burnt),
            self.at if self.starts else None, self.remote_id,
        )  # fmt: skip


def move_deliveries(books: Books, steps: Sequence[Step]) -> None:
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


def find(books: Books, abouts: Iterable[int]) -> dict[int, Standing]:
    """Deliveries as they stand, by id."""
    rows = books.among("delivery_now", list(dict.fromkeys(abouts)))
    return {about: Standing(*row) for about, *row in rows}


def each_of(function: Callable[[Books, _Item], _Value]) -> Callable[[Books, Sequence[_Item]], list[_Value]]:
    """A verb that works its items one after the other."""

    def verb(books: Books, items: Sequence[_Item]) -> list[_Value]:
        return [function(books, item) for item in items]

    verb.__name__ = verb.__qualname__ = function.__name__.strip("_")
    verb.__doc__ = function.__doc__
    return verb


def shift(
    books: Books, about: int, new: str, *, at: int, due_at: int | None = None, code: str = "", level: int = 0
) -> None:
    """
    Move one delivery on from whatever state it is in.

    Raises:
        StoreError: S212 when it may not go there, S214 when there is no such delivery.
    """
    delivery = find(books, [about]).get(about)
    if delivery is None:
        raise StoreError("S214", f"there is no delivery {about}")
    move_deliveries(books, [Step(about, delivery, new, at, due_at, code=code, level=level)])


def withdraw(books: Books, withdrawals: Sequence[Withdrawal], message: int, now: int) -> None:
    """
    What has not left does not leave any more, for the sake of a message.

    Raises:
        StoreError: S212, when one of them has left.
    """
    if not withdrawals:
        return
    found = find(books, (one.delivery for one in withdrawals))
    for about, delivery in found.items():
        if delivery.state == DeliveryState.PARKED and books.value("code_of_delivery", id=about) != HELD_AS_STALE:
            raise StoreError("S212", f"delivery {about} may have left, and waits for a person")
    why = f"by message {message}"
    move_deliveries(
        books, [Step(one.delivery, found[one.delivery], one.state, now, None, why=why) for one in withdrawals]
    )


def hold(books: Books, deliveries: Sequence[int], now: int) -> None:
    """What has not left waits for a person, because something newer is known than what it says."""
    steps = [
        Step(about, delivery, DeliveryState.PARKED, now, None, code=HELD_AS_STALE)
        for about, delivery in find(books, deliveries).items()
        if delivery.state in WAITS
    ]
    move_deliveries(books, steps)
