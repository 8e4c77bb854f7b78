"""
What receivers say later of what they took: levels that rise, refusals, and acknowledgements that do not come.

A delivery that waits for one is in no lane, so nothing waits for it. This module must never write a
state itself: `moves` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mhbridge.adapters.sql import moves, tasks
from mhbridge.adapters.sql.books import Books
from mhbridge.model import DeliveryState

__all__ = ["Acknowledging", "Lapsing", "acknowledge", "lapse"]

#: The kind of the task about an acknowledgement that has not come, or that refuses what was done with.
_TASK: Final = "acknowledgement"
_MISSING: Final = "D960"
#: It is said again so often, in microseconds, as long as nothing comes.
_DAY: Final = 86_400_000_000
#: It arrived, whatever was heard of it.
_MAY_HAVE_LEFT: Final = frozenset({DeliveryState.SENDING, DeliveryState.UNKNOWN})


class Acknowledging(NamedTuple):
    """
    What a receiver says of a delivery.

    Args:
        remote_id: what it calls it.
        refused: the code of a refusal, or empty.
    """

    destination: str
    remote_id: str
    level: int
    now: int
    refused: str


class Lapsing(NamedTuple):
    """Acknowledgements that are missing by now, and how many of them at most."""

    now: int
    most: int


class _Found(NamedTuple):
    """The columns of `delivery_of_remote`."""

    id: int
    state: str
    level: int
    needs: int
    due_at: int | None
    deadline: int | None


def acknowledge(books: Books, items: Sequence[Acknowledging]) -> list[bool]:
    """Take what receivers say; false where there is nothing of which it could be said."""
    return [_acknowledge(books, item) for item in items]


def _acknowledge(books: Books, item: Acknowledging) -> bool:
    row = books.row("delivery_of_remote", destination=item.destination, remote=item.remote_id)
    if row is None:
        return False
    found = _Found(*row)
    if item.refused:
        _refused(books, item, found)
        return True
    level = max(found.level, item.level)
    if found.state == DeliveryState.AWAITING or found.state in _MAY_HAVE_LEFT:
        done = level >= found.needs
        due_at = None if done else max(found.deadline or 0, item.now + _DAY) if found.due_at is None else found.due_at
        new = DeliveryState.DONE if done else DeliveryState.AWAITING
        moves.shift(books, found.id, new, at=item.now, due_at=due_at, level=level)
    elif level > found.level:
        # What has ended otherwise, or is to be sent again, is not changed by it, but it is known.
        books.run("raise_level", id=found.id, level=level)
        books.log(item.now, "delivery", found.id, f"level {found.level}>{level}")
    tasks.end(books, [tasks.Ending(_TASK, "it came", item.now, found.id)])
    return True


def _refused(books: Books, item: Acknowledging, found: _Found) -> None:
    if found.state == DeliveryState.AWAITING or found.state in _MAY_HAVE_LEFT:
        tasks.end(books, [tasks.Ending(_TASK, "it came", item.now, found.id)])
        moves.shift(books, found.id, DeliveryState.PARKED, at=item.now, code=item.refused)
    elif found.state == DeliveryState.DONE:
        # Nothing of it is open any more, but what was taken for well is not.
        tasks.open_task(books, [tasks.Raising(_TASK, item.refused, item.now, found.id)])


def lapse(books: Books, items: Sequence[Lapsing]) -> list[list[int]]:
    """What has not been acknowledged by its time is somebody's task, and goes on waiting."""
    return [_lapse(books, item) for item in items]


def _lapse(books: Books, item: Lapsing) -> list[int]:
    late = [about for (about,) in books.run("awaiting_due", now=item.now, most=item.most)]
    for about in late:
        moves.shift(books, about, DeliveryState.AWAITING, at=item.now, due_at=item.now + _DAY, code=_MISSING)
        tasks.open_task(books, [tasks.Raising(_TASK, _MISSING, item.now, about)])
    return late
