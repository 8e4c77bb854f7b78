"""
What people ask: messages, their stories, the accounts, and who did what.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from mhbridge.meters import Histogram
from mhbridge.model import Document, MessageState
from mhbridge.ports.tasks import ClockRow, OpenTasks, Task

__all__ = ["AuditLine", "Desk", "MessageRow", "Meters", "Sought", "Status", "Trace", "TraceLine", "Waiting"]


class Sought(StrEnum):
    """
    What people search by: the whole of it, and never a part, since it is only in the bodies in clear.

    `PERSON` is a surname and a date of birth, in this order.
    """

    CONTROL = "control"
    PATIENT = "patient"
    NHS = "nhs"
    PERSON = "person"
    VISIT = "visit"
    DOCUMENT = "document"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A parked delivery: what waits for a person, where it was to go, and the code that says why."""

    delivery: int
    destination: str
    code: str


@dataclass(frozen=True, slots=True)
class MessageRow:
    """
    One message as `messages`, `parked` and the console show it. No values of the message are in it.

    Args:
        fanout: how many deliveries were made for it, those sent again included.
        deliveries: delivery state → how many.
        place: where in the envelope, `row 17`; empty when it is alone.
        waiting: its parked deliveries, each of which holds its patient's lane.
    """

    id: int
    envelope: int
    feed: str
    kind: str
    received_at: datetime
    state: MessageState
    code: str
    mapping: str
    fanout: int
    deliveries: Mapping[str, int] = field(default_factory=dict)
    place: str = ""
    waiting: tuple[Waiting, ...] = ()


@dataclass(frozen=True, slots=True)
class TraceLine:
    """
    One line of a message's story, in order. `what` is `envelope`, `repeat`, `message` or `delivery`; `moves` says what
    changed, as `queued>sending`; `who` is `gateway`, a person, or the peer or feed of a receipt.
    """

    at: datetime
    what: str
    about: int
    moves: str
    who: str


@dataclass(frozen=True, slots=True)
class AuditLine:
    """
    What somebody did, or looked at, or was refused.

    Args:
        number: its place in the log.
        act: `read original`, `resend`, `denied GET /messages/{id}/original` …
        why: the reason that was given.
        about: the message or delivery, or 0.
    """

    number: int
    at: datetime
    who: str
    act: str
    why: str
    about: int


@dataclass(frozen=True, slots=True)
class Trace:
    """
    All that is known about one message, without its body.

    Args:
        deliveries: each with `tried`, its attempts that did not end well, and `behind`: the head of its lane, when that
            is another delivery (`delivery`, `message`, `state`, `code`).
        tasks: what people had, or have, to do about it, in the order in which that was found.
        clocks: those of its patient.
    """

    message: MessageRow
    issues: tuple[Mapping[str, str], ...]
    lines: tuple[TraceLine, ...]
    deliveries: tuple[Mapping[str, Any], ...]
    documents: tuple[Mapping[str, Any], ...]
    tasks: tuple[Task, ...] = ()
    clocks: tuple[ClockRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """
    The gateway's accounts. `differences` holds every conservation check that does not add up; empty, all is well.

    Args:
        messages: message state → how many.
        deliveries: delivery state → how many.
        acknowledged: deliveries that the receiver itself has confirmed (level 2 or higher).
        overdue: open deliveries whose deadline has passed.
        oldest_open: receipt of the oldest message that is open or has an open delivery.
        waiting: messages that wait for a person, because they or deliveries of theirs are parked.
        late: destination → how many of the overdue deliveries go there.
        tasks: open tasks, by queue and severity.
        clocks: name → state → how many.
        feeds: feed → state → how many messages; and `received`, `repeat` and `refused` receipts.
        destinations: destination → state → how many deliveries.
        levels: destination → how far → how many deliveries got just so far.
        oldest: state → receipt of the oldest open message in it; `queued` and so on, of which a delivery is in it.
        held: destination → how many lanes wait for a person.
        nodes: where several gateways share the store, those that live, and how many parts of the patients each has.
        behind: destination → how many lanes have waited half a minute and more for their head to be sent. While the
            destination takes nothing that is so for every lane; otherwise they have been forgotten (C5).
    """

    at: datetime
    receipts: int
    repeats: int
    refusals: int
    messages: Mapping[str, int]
    deliveries: Mapping[str, int]
    acknowledged: int
    overdue: int
    oldest_open: datetime | None
    differences: tuple[str, ...] = ()
    waiting: int = 0
    late: Mapping[str, int] = field(default_factory=dict)
    tasks: tuple[OpenTasks, ...] = ()
    clocks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    feeds: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    destinations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    oldest: Mapping[str, datetime] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    behind: Mapping[str, int] = field(default_factory=dict)
    nodes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Meters:
    """
    What the store can say of itself at once.

    Args:
        commit_seconds: how long commits took.
        commit_size: how many calls were committed together.
        waiting: calls that wait for the writer.
        size: bytes of the database, and `wal_size` of what is not yet copied into it.
        disk_free: bytes that are free on its disk, of `disk_size`; both 0 where that is another machine's.
    """

    commit_seconds: Histogram
    commit_size: Histogram
    waiting: int
    size: int
    wal_size: int
    disk_free: int
    disk_size: int


class Desk(Protocol):
    """What people ask: messages, their stories, the accounts, and who did what."""

    async def messages(
        self,
        *,
        state: str = "",
        feed: str = "",
        search: str = "",
        kind: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        before: int = 0,
        most: int = 100,
    ) -> Sequence[MessageRow]:
        """
        The newest messages first.

        The state `parked` finds all that waits for a person: parked messages, and those with a parked delivery.

        Args:
            search: an exact identifier, whatever its case and the blanks in it.
            kind: of `Sought`, what that is; left out, any that is not a person.
            since: received then or later.
            until: received before then.
            before: the last message of the page before.

        Raises:
            ValueError: what is searched for is not of the shape of its kind; its text does not say what was given.
        """

    async def trace(self, message: int) -> Trace | None: ...

    async def original(self, message: int) -> bytes | None:
        """The bytes of the message's envelope as received. Where that holds several messages, they are all in it."""

    async def documents(self, message: int) -> Sequence[Document]: ...

    async def status(self, now: datetime) -> Status:
        """The accounts, counted from the rows, compared with the tallies (gateway design §2.3: C1 to C5)."""

    def meters(self) -> Meters:
        """What can be said without asking the database."""

    async def probe(self, now: datetime) -> None:
        """
        Write something and make it durable, so that who asks knows that it can be done.

        Raises:
            StoreError: it cannot.
        """

    async def audit(self, who: str, act: str, about: int, now: datetime, *, why: str = "") -> None:
        """
        Put into the log what somebody is about to do. What it is about is read or changed only after this returns.

        Args:
            about: id of the message, delivery or task; 0 where there is none.
        """

    async def audited(
        self, *, who: str = "", about: int = 0, since: datetime | None = None, before: int = 0, most: int = 100
    ) -> Sequence[AuditLine]:
        """The newest first. `before` is the number of the last line of the page before."""
