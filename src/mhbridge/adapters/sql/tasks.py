"""
Tasks: what a person must do, written in the transaction of whatever makes it so.

Those about parked messages and deliveries are opened and ended by `moves` through `follow`, so that parked ⇔ exactly
one open task (gateway design §2.3, C6). All others are raised by their subject, and raised once. Whose a task is, the
duties say, which are data. This module must never move a message or a delivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mhbridge.adapters.sql.books import GATEWAY, Books
from mhbridge.adapters.sql.transitions import NEW, What
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState, MessageState
from mhbridge.ports import PARKED_TASKS, Fired, Urgency

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = [
    "Ending",
    "Finished",
    "Firing",
    "Raising",
    "Taking",
    "end",
    "finished",
    "fire",
    "follow",
    "open_task",
    "take",
    "tell",
]

_PARKED = {MessageState.PARKED, DeliveryState.PARKED}
_WORST: Sequence[Urgency] = ("critical", "high", "normal")


class Raising(NamedTuple):
    """A task to be opened; what is left out, the duties say."""

    what: str
    cause: str
    now: int
    about: int = 0
    name: str = ""
    queue: str = ""
    severity: Urgency | None = None
    deadline: int | None = None


class Ending(NamedTuple):
    """What a task is about is no longer so."""

    what: str
    as_what: str
    now: int
    about: int = 0
    name: str = ""


class Taking(NamedTuple):
    """Somebody takes a task."""

    task: int
    who: str
    now: int


class Finished(NamedTuple):
    """Somebody has done a task."""

    task: int
    who: str
    as_what: str
    now: int


class Firing(NamedTuple):
    """What is due now, and how much of it at most."""

    now: int
    most: int


def follow(books: Books, what: What, about: int, old: str, new: str, *, at: int, who: str = GATEWAY, code: str) -> None:
    """After a move: what is parked now has a task, and what no longer is has none."""
    if new in _PARKED and old not in _PARKED:
        duty = books.duties.of(code)
        books.run(
            "add_parked_task",
            id=books.id(),
            what=what,
            about=about,
            cause=code,
            queue=duty.queue,
            severity=duty.severity,
            at=at,
            deadline=at + _micros(duty.within),
            next_at=at + _patience(books, duty.queue),
        )
    elif old in _PARKED and new not in _PARKED and old != NEW:
        books.run("end_parked_task", what=what, about=about, at=at, as_what=f"{new} by {who}")


def _micros(time: timedelta) -> int:
    return round(time.total_seconds() * 1_000_000)


def _patience(books: Books, queue: str) -> int:
    """How long a task may lie in a queue before it goes on."""
    return _micros(books.duties.queue(queue).unclaimed_after)


def open_task(books: Books, items: Sequence[Raising]) -> list[int]:
    """
    Open tasks, or find those that are open about the same.

    Raises:
        ValueError: a task about a parked message or delivery comes with the move, and only so.
    """
    return [_open_task(books, item) for item in items]


def _open_task(books: Books, item: Raising) -> int:
    if item.what in PARKED_TASKS:
        raise ValueError(f"a task about a parked {item.what} is opened by its move")
    duty = books.duties.of(item.cause)
    queue, severity = item.queue or duty.queue, item.severity or duty.severity
    deadline = item.now + _micros(duty.within) if item.deadline is None else item.deadline
    there = books.row("open_task", what=item.what, about=item.about, name=item.name)
    if there is not None:
        about: int = there[0]
        worse = min(severity, there[1], key=_WORST.index)
        sooner = deadline if item.deadline is not None and deadline < there[2] else there[2]
        if (worse, sooner) != there[1:]:
            books.run("sharpen_task", id=about, severity=worse, deadline=sooner)
            books.log(item.now, "task", about, f"{there[1]}>{worse} {item.cause}")
        return about
    about = books.id()
    row = (about, item.what, item.about, item.name, item.cause, queue, severity, item.now, deadline)
    books.each("add_task", [(*row, item.now + _patience(books, queue))])
    books.log(item.now, "task", about, f"{NEW}>{queue} {item.cause}")
    return about


def tell(books: Books, item: Raising) -> tuple[int, str]:
    """
    Tell the next queue of something: the task, and where it is now.

    A task that nobody has goes there. Where somebody has one, it stays theirs, and there is another.
    """
    there = books.row("unclaimed_of", what=item.what, about=item.about)
    if there is None:
        return _open_task(books, item._replace(name=item.queue)), item.queue
    about, severity, queue = there
    worse = min(item.severity or severity, severity, key=_WORST.index)
    # It may have come further already, because nobody took it: it does not go back.
    further = item.queue if _comes_after(books, item.queue, queue) else queue
    next_at = item.now + _patience(books, further)
    books.run("tell_task", id=about, queue=further, severity=worse, next_at=next_at)
    return int(about), further


def _comes_after(books: Books, queue: str, other: str) -> bool:
    """Whether a task of another queue may go to this one: not where it has come from."""
    after = books.duties.queue(queue).next
    for _ in books.duties.queues:
        if after == other and after != queue:
            return False
        after = books.duties.queue(after).next if after else ""
    return True


def end(books: Books, items: Sequence[Ending]) -> list[bool]:
    """
    End tasks because what they are about is no longer so.

    Raises:
        ValueError: as `open_task`.
    """
    return [_end(books, item) for item in items]


def _end(books: Books, item: Ending) -> bool:
    if item.what in PARKED_TASKS:
        raise ValueError(f"a task about a parked {item.what} is ended by its move")
    there = books.row("open_task", what=item.what, about=item.about, name=item.name)
    if there is None:
        return False
    books.run("end_task", id=there[0], at=item.now, as_what=item.as_what)
    books.log(item.now, "task", there[0], f"open>closed {item.as_what}")
    return True


def take(books: Books, items: Sequence[Taking]) -> list[bool]:
    """Somebody takes a task; the next to say so comes too late."""
    taken = []
    for item in items:
        row = books.row("task_now", id=item.task)
        if row is None:
            taken.append(False)
            continue
        # From now on nobody else is asked; when it is overdue, that is said.
        deadline, holder = row[6], row[7]
        next_at = deadline if deadline is not None and deadline > item.now else None
        books.run("take_task", id=item.task, who=item.who, next_at=next_at)
        if books.changed and holder != item.who:
            books.log(item.now, "task", item.task, "taken", item.who)
        taken.append(holder in ("", item.who))
    return taken


def finished(books: Books, items: Sequence[Finished]) -> list[bool]:
    """
    A person ends a task.

    Raises:
        StoreError: S230, when it is about something that is still parked.
    """
    return [_finished(books, item) for item in items]


def _finished(books: Books, item: Finished) -> bool:
    row = books.row("task_now", id=item.task)
    if row is None:
        return False
    if row[0] in PARKED_TASKS:
        raise StoreError("S230", f"task {item.task} is about {row[0]} {row[1]}, which is parked; it ends with that")
    books.run("end_task", id=item.task, at=item.now, as_what=item.as_what)
    books.log(item.now, "task", item.task, f"open>closed {item.as_what}", item.who)
    if row[0] == "clock":
        _close_clock(books, row[1], item)
    return True


def _close_clock(books: Books, about: int, item: Finished) -> None:
    """A clock that was missed has no other end than a late one, or that somebody says why there will be none."""
    clock = books.row("clock_now", id=about)
    if clock is not None and clock[0] == "missed":
        books.run("settle_clock", id=about, state="closed", next_at=None, met=None)
        books.log(item.now, "clock", about, f"missed>closed {item.as_what}", item.who)


def fire(books: Books, items: Sequence[Firing]) -> list[list[Fired]]:
    """Tasks whose time has come go on to the next queue, or are said to be overdue."""
    return [_fire(books, item) for item in items]


def _fire(books: Books, item: Firing) -> list[Fired]:
    fired = []
    for about, cause, queue, severity, holder in books.run("due_tasks", now=item.now, most=item.most):
        books.act_for([about])
        if holder:
            books.run("move_task", id=about, queue=queue, next_at=None)
            books.log(item.now, "task", about, "overdue", holder)
            fired.append(Fired("overdue", about, queue, severity, cause))
            continue
        after = books.duties.queue(queue).next
        books.run("move_task", id=about, queue=after or queue, next_at=item.now + _patience(books, after or queue))
        if after:
            books.log(item.now, "task", about, f"{queue}>{after} unclaimed")
        fired.append(Fired("handed_on" if after else "unclaimed", about, after or queue, severity, cause))
    return fired
