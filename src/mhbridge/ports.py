"""
What the shell needs of the outside world, as protocols. Adapters implement them; tests wrap them to break them.

A port says what is promised, never how. This module must never import an adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from mhbridge.meters import Histogram
from mhbridge.model import Answer, DeliveryState, Document, Envelope, Key, Known, MessageState, Outcome, Past, Place

Clock = Callable[[], datetime]
"""The present instant, aware and in UTC. The only way to learn the time outside the adapters' own timeouts."""


# --- the store ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Committed:
    """
    What a commit made durable: the answer that the sender gets, and whether it is an earlier one again.

    Args:
        awaited: a message that waited for something may have got it, and is due.
    """

    answer: Answer
    envelope: int
    messages: tuple[int, ...] = ()
    repeated: bool = False
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class Original:
    """An envelope as it was received, and which of its messages is meant: `number` counts from 0, `of` is how many."""

    envelope: bytes
    number: int = 0
    of: int = 1


@dataclass(frozen=True, slots=True)
class Pending:
    """
    A message that is durable and not yet worked.

    Args:
        number: which of its envelope's messages it is, from 0, of so many.
        size: bytes of the envelope.
        patient: the store's own number of whose it is; a message that names no patient is its own.
        starts: how often work on it was begun and did not come to an end.
        due_at: when it is to be worked; once it is in hand, when it is taken from whoever has it.
        historic: a person has it worked again, long after it came.
    """

    id: int
    envelope: int
    number: int
    feed: str
    patient: int
    received_at: datetime
    state: MessageState
    starts: int
    due_at: datetime
    of: int = 1
    size: int = 0
    historic: bool = False


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """
    The head of one lane, whose time has come. `number` is its place in the lane's order.

    Args:
        sent_at: when bytes of it may have left last.
        needs: the level at which it is done.
    """

    id: int
    message: int
    destination: str
    patient: int
    number: int
    state: DeliveryState
    attempts: int
    document: Document
    deadline: datetime | None
    #: Where the message's own bytes are, for destinations that relay it as it came.
    original: Callable[[], Original] | None = None
    sent_at: datetime | None = None
    needs: int = 2


@dataclass(frozen=True, slots=True)
class Move:
    """
    The result of one delivery attempt: the new state and everything that is recorded with it.

    Args:
        state: `done`, `awaiting`, `retry`, `unknown` or `parked`.
        level: 0 created, 1 sent, 2 accepted (gateway design §2.2).
        due_at: when to look at it again, which `retry`, `unknown` and `awaiting` must have; `None` where a state ends
            or waits for a person.
        remote_id: what the receiver calls it.
        burnt: it counts as a try; false where the destination refused us, whatever it was to be sent.
    """

    delivery: int
    state: DeliveryState
    code: str = ""
    level: int = 0
    due_at: datetime | None = None
    remote_id: str = ""
    burnt: bool = True


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
class ParkedCause:
    """
    Why something waits for a person, and how much of it does.

    Args:
        what: `message`, or `delivery` where only its way to a destination waits.
        mapping: whose it is; empty where no mapping takes it.
        oldest: receipt of the oldest of them.
        destination: of deliveries.
        example: the oldest message of them.
    """

    what: str
    code: str
    feed: str
    mapping: str
    count: int
    oldest: datetime
    destination: str
    example: int


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
class ClockRow:
    """
    A clock as `trace` shows it.

    Args:
        document: the type of the document that is waited for.
        recipient: the destination that it must reach; empty: none is known.
        next_at: when somebody is told next.
        step: how many steps of its ladder were taken, `of` how many.
        state: `running`, `missed` (and still waited for), `met`, `late`, `cancelled` or `excluded`.
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


@dataclass(frozen=True, slots=True)
class Meters:
    """
    What the store can say of itself at once.

    Args:
        commit_seconds: how long commits took.
        commit_size: how many calls were committed together.
        waiting: calls that wait for the writer.
        size: bytes of the database, and `wal_size` of what is not yet copied into it.
        disk_free: bytes that are free on its disk, of `disk_size`.
    """

    commit_seconds: Histogram
    commit_size: Histogram
    waiting: int
    size: int
    wal_size: int
    disk_free: int
    disk_size: int


#: What the levels of gateway design §2.2 are called.
LEVELS: Final = ("created", "sent", "accepted", "collected", "infrastructure", "business")


# --- tasks: what people must do ----------------------------------------------------------------------------

Urgency = Literal["normal", "high", "critical"]
"""How bad it is when nobody does it. Critical ones stand first."""

#: What a task is about when it is a parked message or delivery. Those are opened and closed by the move, and by nothing
#: else: parked ⇔ exactly one open task (gateway design §2.3, C6).
PARKED_TASKS: Final = frozenset({"message", "delivery"})


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
            `unclaimed` (the same, and there is no queue after this one) or `overdue` (a task that somebody has and that
            was to be done by now).
        queue: where the task is now.
    """

    kind: Literal["step", "missed", "handed_on", "unclaimed", "overdue"]
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


# --- alarms ------------------------------------------------------------------------------------------------

#: From the least to the worst.
URGENCIES: Final[tuple[Urgency, ...]] = ("normal", "high", "critical")


@dataclass(frozen=True, slots=True)
class Alarm:
    """
    Something that somebody should know now.

    Args:
        id: the same for its beginning and its end.
        state: `begun` and later `ended`, or `once`.
        about: the event's keys, as they stand in the log.
        count: how often it has happened since it was last said.
    """

    id: str
    name: str
    severity: Urgency
    state: Literal["begun", "ended", "once"]
    says: str
    at: datetime
    about: Mapping[str, Any] = field(default_factory=dict)
    count: int = 1


# --- silence -----------------------------------------------------------------------------------------------

#: `last` of the gap behind the highest number of a series: all that has yet to come.
OPEN_ENDED: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Profile:
    """
    What a feed usually sends, and how it stands with it now.

    Args:
        hours: hour of the week (0 is Monday from midnight) → the counts of its last like hours, the newest last.
        day: a day in London, and `count` how many came on it.
        expected: what would have been expected since the last message.
        silent_since: since when it has been silent; `None` when it is not.
    """

    feed: str
    hours: Mapping[int, tuple[int, ...]]
    day: date
    count: int
    expected: float = 0.0
    silent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """
    Numbers of a feed's messages that have not come, first and last included.

    Args:
        series: what counts them; a digest, since a control id may hold anything.
        told: people know of it.
    """

    feed: str
    series: str
    first: int
    last: int
    seen_at: datetime
    told: bool = False


# --- keeping, and not keeping any longer ---

RetentionClass = Literal["raw", "document", "episode"]


@dataclass(frozen=True, slots=True)
class Retention:
    """
    How many days each class is kept. A key is dropped at the end of the month in which its days are over.

    Args:
        raw: envelopes as they were received, after their receipt.
        document: documents, after they were made.
        episode: readings, after the last message of their episode.
        documents: document type → days, where its routes keep it for longer or shorter.
        basis: the legal basis of keeping all this.
        bases: document type → the legal basis that its routes name.
    """

    raw: int = 90
    document: int = 30
    episode: int = 400
    documents: Mapping[str, int] = field(default_factory=dict)
    basis: str = "UK GDPR Art. 6(1)(e) and 9(2)(h), direct care"
    bases: Mapping[str, str] = field(default_factory=dict)

    def days(self, retention: RetentionClass, kind: str = "") -> int:
        """How long; `kind` is the type of a document."""
        if retention == "document":
            return self.documents.get(kind, self.document)
        return self.raw if retention == "raw" else self.episode

    def why(self, retention: RetentionClass) -> str:
        """The legal basis of what a class keeps, for the log."""
        named = [self.basis, *self.bases.values()] if retention == "document" else [self.basis]
        return "; ".join(dict.fromkeys(named))


@dataclass(frozen=True, slots=True)
class Expired:
    """
    What a class kept until the end of one month.

    Args:
        retention: `raw`, `document` or `episode`.
        month: class and month, for people.
        rows: how many go.
        kept: how many are kept for longer, since something of them is open or came later.
        dropped: nobody can read those rows any more.
    """

    retention: str
    month: str
    rows: int
    kept: int
    dropped: bool


@dataclass(frozen=True, slots=True)
class Purged:
    """
    What a purge did, or in a dry run would do.

    Args:
        cleared: rows that lost what nobody could read any more.
        forgotten: rows that people were found by.
        encrypted: bodies of an older version that were encrypted first.
    """

    expired: tuple[Expired, ...] = ()
    cleared: int = 0
    forgotten: int = 0
    encrypted: int = 0


@dataclass(frozen=True, slots=True)
class Erased:
    """
    What was erased of one patient.

    Args:
        patients: identifiers that were merged are one each.
        shared: envelopes among the bodies that held messages of others, too.
    """

    patients: int
    bodies: int
    readings: int
    tokens: int
    shared: int = 0


class Store(Protocol):
    """
    The one durable place. A call returns when its effect is durable (committed and fsynced), or raises `StoreError`.

    All state changes go through the store's one move function: `update … where id = ? and state = ?` that touches one
    row, with its log row and tally in the same transaction.
    """

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def repeat(self, envelope: Envelope, key: bytes) -> Committed | None:
        """The first answer, when an envelope with this dedupe key is already stored; counts the repeat."""

    async def known(self, patient: Key, episode: str, document: str, before: Place | None = None) -> Known:
        """
        The fold of the readings of this patient, episode and document type (mapping language §8); with an empty
        episode or document type, of all of them.

        They are folded in the order of event time, sent time and arrival. `NOTHING_KNOWN` when there are none.

        Readings count whose message is `done`, that are not parked themselves and whose act is not `none`.

        Args:
            before: the place of the message at hand: readings after it are not folded but said one by one, as `later`.
        """

    async def commit(
        self,
        envelope: Envelope,
        key: bytes,
        outcomes: Sequence[Outcome],
        answer: Answer,
        deadlines: Mapping[str, float],
        *,
        starts: int = 0,
    ) -> Committed:
        """
        Make an envelope and what became of it durable in one transaction: bytes, messages, readings, documents and
        deliveries.

        A message whose deliveries are none is stored with its state all the same. If an envelope with this key was
        committed meanwhile, it is counted as a repeat and its answer is returned with `repeated`.

        A message begins as `stored`, `done`, `parked` or `filtered`; any other state of an outcome is a `StoreError`.

        Args:
            key: 32 bytes naming sender, control id and content; the unique guard against a second delivery.
            answer: given `reference` and returned as committed.
            deadlines: destination → seconds from receipt after which an unfinished delivery is overdue.
            starts: how often work on its messages was begun already and did not come to an end.
        """

    async def refuse(self, feed: str, code: str, at: datetime) -> None:
        """Count and log a receipt that was refused at the door and of which nothing is kept."""

    # series: the versions of an episode's documents

    async def past(self, patient: Key, episode: str, *, bodies: bool = False) -> Past:
        """
        Which documents of an episode there are, with all their versions and what became of each delivery of them.

        Of an identifier that was merged, those of all that were merged with it. A step that was told it says so in its
        outcome (`Outcome.past`), and `commit` and `settle` raise `PastChanged` when it does not hold any more; its
        `withdrawals` are moved in the same transaction, before its own deliveries join their lanes.

        Args:
            bodies: with what is needed to make a withdrawal.
        """

    async def joining(self, retired: Key, survivor: Key, *, undone: bool = False) -> Past:
        """
        How two identifiers of a merge, or of its undoing, stand to each other.

        An outcome that says it (`Outcome.past`) is refused like any other when it does not hold any more. With
        `Outcome.merges` what waits under the retired identifier moves behind what waits under the other; the deliveries
        of the outcome come behind both. From then on `known` and `past` of either are those of both, under the
        identifiers of the one that stays. Readings keep the identifier they came under, so that a merge can be
        undone.
        """

    async def root(self, patient: Key) -> bytes:
        """What stands for a patient, whichever of the identifiers that were merged is named."""

    # the backlog: messages that are durable first and worked after

    async def busy(self, patients: Sequence[Key]) -> bool:
        """Whether a message of one of these patients is `stored`: then whatever comes later waits behind it."""

    async def waiting(self, now: datetime, most: int) -> Sequence[Pending]:
        """
        Messages whose time has come, the longest waiting first; at most so many. Where more wait, some of those that
        came last are among them, and before the others: what has just come does not wait for all that there is.

        Of each patient the first that is `stored`, and with it those that follow it in the same envelope; a `held` one
        only when none of the patient is stored. So whoever works all that it is given of an envelope, in order, works
        every patient's messages in order. What is in hand is not given, nor is any other message of its patient.
        """

    async def as_pending(self, message: int) -> Pending | None:
        """A message as if it waited to be worked, whatever became of it."""

    async def next_waiting(self, now: datetime) -> datetime | None:
        """When the next message comes due after now, or `None`."""

    async def begin(self, messages: Sequence[Pending], now: datetime, until: datetime) -> Sequence[Pending]:
        """
        Take messages in hand until then; that work on them has begun is durable before it begins.

        Returns those that were taken, as they now are. What others have taken meanwhile is left out. So is a message on
        which work was begun twice before and did not come to an end: at the third start it is parked (M780).
        """

    async def settle(
        self,
        results: Sequence[tuple[Pending, Outcome]],
        now: datetime,
        deadlines: Mapping[str, float],
    ) -> None:
        """
        Make durable, in one transaction, what became of messages in hand: new state, readings, documents, deliveries.

        An outcome that is `held` has `due_at`. One that is still `stored` is put back, not worked, until its `due_at`.

        Raises:
            StoreError: S213, when one of them is not in hand any more as it was taken; then nothing is changed.
        """

    async def divide(self, pending: Pending, outcomes: Sequence[Outcome], now: datetime) -> None:
        """
        A message in hand that stood for a whole envelope becomes the messages that it falls into, all `stored`.

        Raises:
            StoreError: S213, when it is not in hand any more as it was taken; then nothing is changed.
        """

    async def put_back(self, messages: Sequence[Pending], now: datetime, *, counted: bool) -> None:
        """
        Messages in hand that were not worked to an end are due again. What is not in hand any more is left alone.

        Args:
            counted: it may have been their own fault; otherwise the start does not count.
        """

    async def envelope(self, envelope: int) -> Envelope | None:
        """An envelope as it was received."""

    # deliveries

    async def due(self, now: datetime, most: int, *, without: Collection[str] = ()) -> Sequence[DueDelivery]:
        """
        Heads of lanes whose time has come, the longest waiting first. Never two of one lane.

        `queued` and `retry` are to be sent, `unknown` is to be looked up, and so is `sending`: whoever had it in hand
        has not come back by its `look_at`. A document whose stored bytes are damaged (S208) or purged (S222) is parked
        and not returned.

        Args:
            without: destinations that take nothing now, so that their heads do not stand before those of others.
        """

    async def next_due(self, *, without: Collection[str] = ()) -> datetime | None:
        """When the next lane has work, or `None`."""

    async def start(self, deliveries: Sequence[int], now: datetime, look_at: datetime) -> Sequence[int]:
        """
        Take due heads of lanes in hand. Returns those that were taken; `due` does not show them before `look_at`.

        Bytes of `queued` and `retry` may leave now: they become `sending`. `unknown` stays so, to be looked up, and
        `sending` that is due again becomes `unknown`.
        """

    async def finish(self, moves: Sequence[Move], now: datetime) -> None:
        """
        Record the results of attempts that were started, and of look-ups.

        All of them, or none: `StoreError` when one of them is not a legal move (gateway design §2.2).
        """

    async def recover(self, now: datetime) -> int:
        """
        At start: every delivery found `sending` becomes `unknown`, due now. Returns how many.

        Messages that were in hand are due now, and their start counts.
        """

    # what people put right

    async def resend(self, message: int, who: str, now: datetime, *, to: str = "") -> int:
        """
        New deliveries, at the end of their lanes, of the documents of one message. Returns how many.

        Left out are documents that a newer version has replaced, and destinations to which one is still under way.

        Args:
            to: a destination; empty is each that they were sent to.
        """

    async def reprocess(self, messages: Sequence[int], who: str, now: datetime, *, every: float = 0.0) -> Sequence[int]:
        """
        Messages that are parked, done or filtered are worked again from their bytes: `stored`, and historic.

        Returns those; left out is what is under way, what a person closed, and what was purged. What they said before
        no longer serves. What is made of them and was sent for them just so is not sent again.

        Args:
            every: seconds from one to the next, so that many of them keep nobody waiting.
        """

    async def parked_causes(self) -> Sequence[ParkedCause]:
        """What waits for a person, by why it does: the most first."""

    async def parked_of(self, code: str, *, feed: str = "", most: int = 1000) -> Sequence[int]:
        """Messages that are parked because of this code, the oldest first."""

    async def release(self, delivery: int, who: str, now: datetime) -> bool:
        """A parked delivery is queued again by a person."""

    async def close_message(self, message: int, who: str, why: str, now: datetime) -> bool:
        """A person ends a parked message or the parked deliveries of one, with a reason. Their lanes go on."""

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

    async def receipts(self) -> int:
        """How many receipts were counted, ever."""

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

    # --- acknowledgements ---

    async def acknowledge(
        self, destination: str, remote_id: str, level: int, now: datetime, *, refused: str = ""
    ) -> bool:
        """
        A receiver says what became of a delivery that it knows by `remote_id`. False: there is none of which it could.

        A level only rises. What waited for this level is done; what is refused is parked, or where it was done with,
        somebody's task.

        Args:
            refused: the code of a refusal; empty: it was accepted.
        """

    async def lapse(self, now: datetime, most: int = 100) -> Sequence[int]:
        """
        Deliveries whose acknowledgement was to be here by now: each is somebody's task (D960), and goes on waiting,
        for a day at a time. Nothing waits for it.
        """

    # --- tasks ---

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
        A person ends an open task.

        Raises:
            StoreError: S230, when it is about something parked: it ends when that is released, replayed or closed.
        """

    async def fire(self, now: datetime, most: int = 100) -> Sequence[Fired]:
        """What becomes due by itself is done, in one transaction, and told. The longest waiting first."""

    async def next_fire(self) -> datetime | None:
        """When that is next."""

    # --- audit ---

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

    # --- silence ---

    async def profiles(self) -> Sequence[Profile]:
        """What was learned of every feed."""

    async def keep_profiles(self, profiles: Sequence[Profile]) -> None:
        """Keep how feeds stand. Hours that a profile does not name are kept as they are."""

    async def gaps(self) -> Sequence[Gap]:
        """The gaps of every feed, in the order of feed, series and number."""

    async def keep_gaps(self, feed: str, gaps: Sequence[Gap]) -> None:
        """These are the gaps of a feed, and all of them."""

    # --- keeping ---

    async def purge(self, now: datetime, *, who: str = "gateway", dry_run: bool = False) -> Purged:
        """
        Make unreadable what was kept for as long as it was to be, and nothing of which something is open.

        What is counted stays as rows without a body; whoever reads one is told (S222). Other calls are worked between.
        """

    async def erase(self, kind: str, patient: str, who: str, basis: str, now: datetime) -> Erased:
        """
        Erase one patient, with those who were merged into them: bodies, readings, and what they are found by.

        Args:
            kind: what `patient` is: a kind of `Sought`.

        Raises:
            StoreError: S228 when something of the patient is open, S229 when it is nobody or several people.
        """

    async def log_head(self, now: datetime) -> tuple[str, str]:
        """How far the log has come, in short, and as a signed line to be kept outside of the store."""

    async def verify_heads(self, lines: Sequence[str]) -> int:
        """
        Check that the log has come as far as such lines say. Returns how many of them count.

        Raises:
            StoreError: S224, when a row that was told of is not there or is another one now.
        """

    async def verify_log(self) -> int:
        """
        Follow the log's chain from its first row. Returns how many rows it has.

        Raises:
            StoreError: S207, naming the first row that is missing or is not what was written.
        """


# --- delivery ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivered:
    """A positive answer of a destination. `level` 1: handed over, 2: accepted (2xx, a folder's rename)."""

    level: int
    remote_id: str = ""


class Sender(Protocol):
    """One destination. `deliver` raises a `DeliveryError` that says what may be done next, and nothing else."""

    name: str

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def deliver(self, delivery: DueDelivery) -> Delivered: ...

    async def look(self, delivery: DueDelivery) -> Delivered | None:
        """
        After no answer: whether it arrived. `None` when it certainly did not; raises `DestinationSilent` when that
        cannot be told yet. Where the destination takes a repeat for what it is (PUT by id), this may deliver again.
        """


class Receiver(Protocol):
    """A listening transport. `open` returns when it accepts; `close` when what was read is answered."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    @property
    def address(self) -> str:
        """Where it listens, for people and tests: `127.0.0.1:2575`, `http://…`, a folder."""


Receive = Callable[[Envelope], Any]
"""What a receiver calls for each envelope: an async function returning `model.Answer`."""


class Files(Protocol):
    """File operations that must survive a crash; a port so that tests can count and break them."""

    def write(self, path: Path, body: bytes) -> None:
        """Write, fsync the file, fsync its directory."""

    def rename(self, old: Path, new: Path) -> None:
        """Rename on one file system and fsync both directories."""
