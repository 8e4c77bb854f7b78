"""
What senders do with deliveries: take them in hand, say what became of them, park what cannot be sent.

What becomes of a row is `moves`'. This module must never send.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mhbridge.adapters.sql.books import Books, micros
from mhbridge.adapters.sql.moves import MAY_HAVE_LEFT, WAITS, Step, each_of, find, move_deliveries
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import Move

__all__ = ["Doubting", "Finishing", "Parking", "Starting", "doubt", "finish", "park", "recover", "start"]

_STARTED: Final = MAY_HAVE_LEFT | {DeliveryState.AWAITING}
_NEEDS_TIME: Final = frozenset({DeliveryState.RETRY, DeliveryState.UNKNOWN, DeliveryState.AWAITING})


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


def start(books: Books, items: Sequence[Starting]) -> list[list[int]]:
    """
    Take heads of lanes in hand whose time has come, and return those that were.

    What waits is sent. What may have arrived is looked up: it stays `unknown`, and so becomes what was being sent
    by somebody who has not come back by the time that was set.
    """
    found = find(books, (about for item in items for about in item.deliveries))
    steps: list[Step] = []
    taken: list[list[int]] = []
    for item in items:
        mine = []
        for about in item.deliveries:
            delivery = found.get(about)
            if delivery is None or not delivery.head or delivery.due_at is None or delivery.due_at > item.now:
                continue
            if delivery.state in WAITS:
                new = DeliveryState.SENDING
            elif delivery.state in MAY_HAVE_LEFT:
                new = DeliveryState.UNKNOWN
            else:
                continue
            # Whoever asks for it again in this batch comes too late.
            del found[about]
            steps.append(Step(about, delivery, new, item.now, item.look_at))
            mine.append(about)
        taken.append(mine)
    move_deliveries(books, steps)
    return taken


def finish(books: Books, items: Sequence[Finishing]) -> list[None]:
    """
    Record what became of attempts: all of them or, when one cannot be, none.

    Raises:
        StoreError: S212 for what was not started or cannot end so, S214 when there is no such delivery.
    """
    found = find(books, (result.delivery for item in items for result in item.moves))
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
                Step(
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
    move_deliveries(books, steps)
    return [None] * len(items)


def _recover(books: Books, now: int) -> int:
    """What was being sent when the last process ended may have arrived: it is looked up, at once."""
    books.run("left_in_hand", now=now)
    found = find(books, (about for (about,) in books.run("found_sending")))
    move_deliveries(
        books, [Step(about, delivery, DeliveryState.UNKNOWN, now, now) for about, delivery in found.items()]
    )
    return len(found)


def _doubt(books: Books, item: Doubting) -> int:
    """
    A portion of the deliveries that a backup has as waiting or being sent: since its instant they may have left.

    What waits becomes `sending` and what is being sent `unknown`, so all of them are looked up before they are sent.
    """
    found = find(books, (about for (about,) in books.run("may_have_left", most=item.most)))
    steps = [
        Step(
            about,
            delivery,
            DeliveryState.UNKNOWN if delivery.state == DeliveryState.SENDING else DeliveryState.SENDING,
            item.now,
            item.now,
        )
        for about, delivery in found.items()
    ]
    move_deliveries(books, steps)
    return len(steps)


def _park(books: Books, item: Parking) -> bool:
    """Park what is due; what somebody took in hand meanwhile is left alone."""
    delivery = find(books, [item.delivery]).get(item.delivery)
    if delivery is None or delivery.due_at is None or delivery.due_at > item.now:
        return False
    if delivery.state not in WAITS | MAY_HAVE_LEFT:
        return False
    move_deliveries(books, [Step(item.delivery, delivery, DeliveryState.PARKED, item.now, None, code=item.code)])
    return True


recover = each_of(_recover)
doubt = each_of(_doubt)
park = each_of(_park)
