"""
What people must do, whose it is, and what becomes due by itself.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

__all__ = [
    "PARKED_TASKS",
    "URGENCIES",
    "ClockRow",
    "Duties",
    "Duty",
    "Fired",
    "OpenTasks",
    "Queue",
    "Task",
    "Tasks",
    "Urgency",
]


Urgency = Literal["normal", "high", "critical"]
"""How bad it is when nobody does it. Critical ones stand first."""


#: What a task is about when it is a parked message or delivery. Those are opened and closed by the move, and by nothing
#: else: parked ⇔ exactly one open task (gateway design §2.3, C6).
PARKED_TASKS: Final = frozenset({"message", "delivery"})


#: From the least to the worst.
URGENCIES: Final[tuple[Urgency, ...]] = ("normal", "high", "critical")


@dataclass(frozen=True, slots=True)
class Queue:
    """
    Where tasks wait for somebody.

    Args:
        role: who looks after it, for people.
        next: the queue that a task goes to which nobody has taken in time; empty: there is none after this one.
        unclaimed_after: that time.
    """

    name: str
    role: str = ""
    next: str = ""
    unclaimed_after: timedelta = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Duty:
    """What a cause asks for: whose it is, how bad it is, and within what time it is to be done."""

    queue: str = "operations"
    severity: Urgency = "normal"
    within: timedelta = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class Duties:
    """
    Whose each task is: data, from the configuration. Everything has an owner, also what nobody thought of.

    Args:
        queues: by name.
        causes: by the code that is the cause.
        otherwise: for every other cause.
    """

    queues: Mapping[str, Queue] = field(default_factory=dict)
    causes: Mapping[str, Duty] = field(default_factory=dict)
    otherwise: Duty = field(default_factory=Duty)

    def of(self, cause: str) -> Duty:
        """What this cause asks for."""
        return self.causes.get(cause, self.otherwise)

    def queue(self, name: str) -> Queue:
        """The queue of this name. One that nobody described hands on to where everything goes."""
        found = self.queues.get(name)
        return found or Queue(name, next="" if name == self.otherwise.queue else self.otherwise.queue)


@dataclass(frozen=True, slots=True)
class Task:
    """
    Something that a person must do. No value of a message is in it.

    Args:
        what: what it is about: `message`, `delivery` (parked), `clock`, `feed`, `destination` …
        about: the id of that; 0 where `name` says it (of a feed, a destination).
        cause: the code of the reason, or the name of the clock.
        deadline: when it is to be done.
        next_at: when it goes on to the next queue, or is said to be overdue, if nothing happens until then.
        holder: who has taken it; empty: nobody.
        closed_as: how it ended, or empty.
    """

    id: int
    what: str
    about: int
    name: str
    cause: str
    queue: str
    severity: Urgency
    opened_at: datetime
    deadline: datetime | None = None
    next_at: datetime | None = None
    holder: str = ""
    closed_at: datetime | None = None
    closed_as: str = ""


@dataclass(frozen=True, slots=True)
class Fired:
    """
    What became due and was done by itself.

    Args:
        kind: `step` of a clock, `missed` (the step at which it was due), `handed_on` (nobody had taken the task),
            `unclaimed` (the same, and there is no queue after this one), `overdue` (a task that somebody has and that
            was to be done by now) or `again`: a letter is to be worked again, whose message `task` names.
        queue: where the task is now.
    """

    kind: Literal["step", "missed", "handed_on", "unclaimed", "overdue", "again"]
    task: int
    queue: str
    severity: Urgency
    cause: str


@dataclass(frozen=True, slots=True)
class OpenTasks:
    """
    Open tasks of one queue and severity.

    Args:
        overdue: how many of them were to be done by now.
        oldest: when the oldest was opened.
    """

    queue: str
    severity: Urgency
    count: int
    unclaimed: int
    overdue: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class ClockRow:
    """
    A clock as `trace` shows it.

    Args:
        document: the type of the document that is waited for.
        recipient: the destination that it must reach; empty: none is known.
        next_at: when somebody is told next.
        step: how many steps of its ladder were taken, `of` how many.
        state: `running`, `missed` (and still waited for), `met`, `late`, `cancelled`, `excluded` or, by a person,
            `closed`.
        entry: which entry of a list of the document it is about, from 1; 0: it is about the whole.
    """

    id: int
    name: str
    document: str
    recipient: str
    started_at: datetime
    due_at: datetime
    next_at: datetime | None
    step: int
    of: int
    state: str
    entry: int = 0


class Tasks(Protocol):
    """What people must do, whose it is, and what becomes due by itself."""

    async def raise_task(
        self,
        what: str,
        cause: str,
        now: datetime,
        *,
        about: int = 0,
        name: str = "",
        queue: str = "",
        severity: Urgency | None = None,
        deadline: datetime | None = None,
    ) -> int:
        """
        Open a task, and return its id: that of the open one when there is one about the same.

        A severity above that of the one there, or an earlier deadline, is taken over; nothing else of it changes.

        Args:
            what: of what kind that is which `about` (an id) or `name` names; not `message` or `delivery`, whose tasks
                come and go with the state `parked`.
            queue: and `severity` and `deadline`: left out, as the duties say of the cause.
        """

    async def close_task(self, what: str, as_what: str, now: datetime, *, about: int = 0, name: str = "") -> bool:
        """What an open task is about is no longer so: it ends by itself. False when there is none."""

    async def tasks(self, *, queue: str = "", ended: bool = False, before: int = 0, most: int = 100) -> Sequence[Task]:
        """
        Open tasks, the most urgent first.

        Args:
            ended: those that have ended, too, the newest first.
            before: of these, only such with a smaller id.
        """

    async def take_task(self, task: int, who: str, now: datetime) -> bool:
        """Somebody takes an open task that nobody else has. It stays with them."""

    async def finish_task(self, task: int, who: str, as_what: str, now: datetime) -> bool:
        """
        A person ends an open task; that of a clock which was missed ends the clock with it, for the same reason.

        Raises:
            StoreError: S230, when it is about something parked: it ends when that is released, replayed or closed.
        """

    async def fire(self, now: datetime, most: int = 100) -> Sequence[Fired]:
        """What becomes due by itself is done, in one transaction, and told. The longest waiting first."""

    async def next_fire(self) -> datetime | None:
        """When that is next."""
