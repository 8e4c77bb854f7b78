"""
The frozen values that travel through mhbridge, and the four states of a value.

Everything that crosses a layer is declared here and is immutable: `Envelope` (bytes as received) becomes
`Intake` (messages and their readings), becomes `Outcome` (documents and planned deliveries). This module
imports nothing of mhbridge and must never do work: no parsing, no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

# --- the four states of a value (mapping language §3.1) ----------------------------------------------------


class State:
    """
    A value that is not present. Falsy, so that generated code can test it plainly.

    The fourth state, *present*, is any other Python object: a present value is never an instance of `State`.
    """

    __slots__ = ()

    #: `a or b` goes on to `b` when `a` is in this state; otherwise the state itself is the result.
    passes: bool = False

    # `bool()` is False, and asked so often that a function of Python's own would be felt.
    __bool__ = bool


class Absent(State):
    """Nothing was there: leaves an earlier value unchanged."""

    __slots__ = ()
    passes = True

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        # There is one of it, in every process.
        return "ABSENT"


class Deleted(State):
    """The source said explicitly that there is no value any more (HL7 v2 `""`, §2.5.3 of HL7 v2.5.1)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DELETED"

    def __reduce__(self) -> str:
        return "DELETED"


class Unknown(State):
    """
    There is a value, but not here: `reason` is a code of FHIR's data-absent-reason.

    `error` (it would not convert) and `masked` (withheld) stop an `or`; every other reason is passed over.
    """

    __slots__ = ("passes", "reason")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.passes = reason not in ("error", "masked")

    def __repr__(self) -> str:
        return f"Unknown({self.reason!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and other.reason == self.reason

    def __hash__(self) -> int:
        return hash((Unknown, self.reason))


ABSENT: Final = Absent()
DELETED: Final = Deleted()
UNKNOWN_ERROR: Final = Unknown("error")
MASKED: Final = Unknown("masked")


# --- the field ledger (mapping language §10) ----------------------------------------------------------------


class LeafState(StrEnum):
    """What became of one populated leaf of a message; the first that holds, in this order."""

    FAILED = "failed"
    BOUND = "bound"
    SELECTOR = "selector"
    IGNORED = "ignored"
    PASSED_OVER = "passed over"
    UNMAPPED = "unmapped"


@dataclass(frozen=True, slots=True)
class Ledger:
    """
    What became of every populated leaf of one message: counts, and the paths of those to be looked at. No contents.

    Args:
        bound: how many were read into items.
        selector: how many decided something: a predicate, a condition, how the message itself is read or answered.
        ignored: how many the mapping names under `ignore`, with a reason.
        passed_over: those that the mapping reaches, where it took another alternative, repetition or branch.
        failed: those that would not convert, or whose code was refused or omitted; an issue says why.
        unmapped: those that no mapping mentions.
        not_written: items, and fields of items, that are present and that a target does not write: `r4: ward.bed`.
    """

    bound: int = 0
    selector: int = 0
    ignored: int = 0
    passed_over: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()
    not_written: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[LeafState, int]:
        """How many leaves are in each state."""
        return {
            LeafState.FAILED: len(self.failed),
            LeafState.BOUND: self.bound,
            LeafState.SELECTOR: self.selector,
            LeafState.IGNORED: self.ignored,
            LeafState.PASSED_OVER: len(self.passed_over),
            LeafState.UNMAPPED: len(self.unmapped),
        }

    @property
    def leaves(self) -> int:
        """How many populated leaves there are."""
        return sum(self.counts.values())


#: Of a message that nothing could read.
NO_LEDGER: Final = Ledger()


# --- what is said about a message --------------------------------------------------------------------------


class Severity(StrEnum):
    """FHIR's issue-severity, without `fatal`: that is a refusal, and a refusal is an exception."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Issue:
    """
    One thing to know about one message. It names places and codes and never holds a value of the message.

    Args:
        code: stable code of the catalogue, for example `I601`.
        severity: how bad it is.
        text: what is wrong, for a person, without any value of the message.
        path: where in the source, for example `PV1-45`, or a FHIRPath for a validation issue.
        item: the item concerned, for example `discharged_at`.
        rule: the place in the mapping that decided, as `file:line:column`.
    """

    code: str
    severity: Severity
    text: str
    path: str = ""
    item: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A business identifier: system (a name of `codes/systems.csv` or a URI) and value."""

    system: str
    value: str


# --- in ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Before:
    """
    What there is of a file before a part of it: rows, lines and bytes. It is also where reading goes on after a stop.
    """

    rows: int = 0
    lines: int = 0
    offset: int = 0


NOTHING_BEFORE: Final = Before()


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    Bytes exactly as received, with how, when and from whom.

    Args:
        supplier: the supplier the receiver belongs to.
        feed: `supplier/receiver` or, where the sender named it, `supplier/feed`; receipts are counted by it.
        received_at: aware UTC instant.
        transport: `mllp`, `http`, `folder` or `file`.
        peer: who sent it, as the transport knows it (address, certificate name); never patient data.
        before: of a large file that is taken in parts, what came before this one.
    """

    body: bytes
    supplier: str
    feed: str
    received_at: datetime
    transport: str
    peer: str = ""
    before: Before = NOTHING_BEFORE


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """
    What a message says about itself, for correlation and answers. `sent_at` is the sender's own text.

    Args:
        format: name of the format that parsed it (`hl7v2`, `csv`).
        kind: `ADT^A03`, `MDM^T02`, `row`.
        place: where in the envelope, for people: `message 3`, `row 17`; empty when it is alone.
        trial: it says of itself that it is not about a real patient (HL7 v2 MSH-11: training, debugging).
        sequence: its number in the sender's counting (HL7 v2 MSH-13), where the sender counts.
    """

    format: str
    kind: str
    control_id: str = ""
    sender: str = ""
    sent_at: str = ""
    version: str = ""
    place: str = ""
    trial: bool = False
    sequence: str = ""


class Act(StrEnum):
    """What a message does to its series (mapping language §4, the reserved item `act`)."""

    NEW = "new"
    UPDATE = "update"
    CANCEL = "cancel"
    MERGE = "merge"
    UNLINK = "unlink"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What one message says under one mapping: its items. Depends on the message and the mapping alone.

    Args:
        mapping: `supplier/feed` of the mapping that bound it.
        mapping_hash: content hash of everything that the mapping consists of.
        document: document type.
        items: item name → present value, or `DELETED`, or `Unknown`; an absent item has no key.
        issues: what could not be read as it stands.
        parked: code of the reason why a person must look, or empty.
        patient: the sender's own patient key (lane key), when the message has one.
        merged_from: the retired key of a merge.
        episode: the identity items' values, joined: which stay this belongs to.
        effective_at: FHIR dateTime of the event, or empty.
        authors: an authored message; only such a message makes a document.
        restricted: sensitivity forbids automatic routing.
        ledger: what became of every leaf of the message under this mapping alone.
        written: the items as `mapping.record` writes them, where that was done already.
        serves: names of the items that serve later messages, and are kept for that; `None`: all of them do.
    """

    facts: MessageFacts
    supplier: str
    mapping: str
    mapping_hash: str
    document: str
    items: Mapping[str, Any]
    issues: tuple[Issue, ...] = ()
    parked: str = ""
    act: Act = Act.NEW
    patient: Key | None = None
    merged_from: Key | None = None
    episode: str = ""
    effective_at: str = ""
    authors: bool = False
    restricted: bool = False
    ledger: Ledger = NO_LEDGER
    written: bytes = field(default=b"", repr=False, compare=False)
    serves: tuple[str, ...] | None = None


Place = tuple[int, int]
"""Where a reading stands among others: event time and sent time, in microseconds since 1970. Equal ones: by arrival."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    Where a value was said that the message at hand does not say.

    Args:
        document: type of the document that the message was read as.
        kind: of the message, for people: `ADT^A01`.
        at: when it says that this was so, in microseconds since 1970.
        message: its id in the store; 0: it came in the same envelope.
    """

    document: str
    kind: str
    at: int
    message: int = 0


@dataclass(frozen=True, slots=True)
class Later:
    """
    What a reading said that arrived earlier and belongs after the message at hand.

    Args:
        own: it came under the identifier that stays, where several were merged.
        arrived: what of two at one place was here first: the smaller.
        recorded: which message said it, where that is asked for.
    """

    place: Place
    items: Mapping[str, Any]
    own: bool = True
    arrived: int = 0
    recorded: Recorded | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """
    The ordered fold of the readings of one patient's episode (mapping language §8). Computed, never stored.

    Args:
        items: what the readings before the message at hand say together, in the shape of `Reading.items`.
        digest: a hash over the ids of all the readings, in order.
        later: the readings after it, in order. There are some only when the message came late.
        own: of `items`, what those say that came under the identifier that stays; `None`: nothing came under another.
    """

    items: Mapping[str, Any] = field(default_factory=dict)
    digest: bytes = b""
    later: tuple[Later, ...] = ()
    own: Mapping[str, Any] | None = None


NOTHING_KNOWN: Final = Known()


@dataclass(frozen=True, slots=True)
class Carry:
    """
    What the events of a patient may give a letter that does not say it.

    Args:
        document: type of the letter.
        sources: document type → the items known of its own stay, and those known of every stay.
        safety: those of which a change is sent at once.
    """

    document: str
    sources: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    safety: frozenset[str] = frozenset()


# --- out ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Document:
    """
    One version of one document, ready to leave. `body` is its serialised form and is never changed.

    Args:
        type: document type, for example `mental-health-inpatient-discharge`.
        target: `r4`.
        bundle: FHIR Bundle type (`document`, `transaction`); decides how a FHIR server is asked to take it.
        series: 32 bytes naming (authority, episode, document type): versions of one series replace each other.
        identifier: `urn:uuid:…` of this version, derived, so that the same input gives the same identifier.
        status: `final` or `entered-in-error`.
        content: a hash of what it says, without the names of the version; empty where versions are not compared.
        known: a hash over the readings that were known when it was made.
        episode: whose versions it is one of.
    """

    type: str
    target: str
    bundle: str
    series: bytes
    identifier: str
    body: bytes
    media_type: str = "application/fhir+json"
    status: str = "final"
    content: bytes = b""
    known: bytes = b""
    episode: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Planned:
    """
    One delivery to be made: which of the outcome's documents goes to which destination.

    Args:
        needs: the level at which it is done (gateway design §2.2): 1 sent, 2 accepted, 4 infrastructure, 5 business.
    """

    document: int
    destination: str
    needs: int = 2


class MessageState(StrEnum):
    """States of a message (`stored` and `held` are open and move by themselves, `parked` needs a person)."""

    STORED = "stored"
    HELD = "held"
    PARKED = "parked"
    DONE = "done"
    FILTERED = "filtered"
    SUPERSEDED = "superseded"
    CLOSED = "closed"


class DeliveryState(StrEnum):
    """States of a delivery; `unknown` means that bytes may have arrived and nobody answered."""

    QUEUED = "queued"
    SENDING = "sending"
    UNKNOWN = "unknown"
    RETRY = "retry"
    AWAITING = "awaiting"
    PARKED = "parked"
    DONE = "done"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    CLOSED = "closed"


# --- what came before, as the store says it ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery of a version of a document, as it stands."""

    delivery: int
    destination: str
    state: DeliveryState
    attempts: int = 0

    @property
    def waits(self) -> bool:
        """It has certainly not left, and would leave by itself."""
        return self.state in (DeliveryState.QUEUED, DeliveryState.RETRY)

    @property
    def arrived(self) -> bool:
        """The receiver has it."""
        return self.state in (DeliveryState.DONE, DeliveryState.AWAITING)

    @property
    def may_have_left(self) -> bool:
        """The receiver has it or may have it, or gets it when a person lets it go."""
        if self.state is DeliveryState.CLOSED:
            return self.attempts > 0
        return self.arrived or self.state in (DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.PARKED)


@dataclass(frozen=True, slots=True)
class Version:
    """
    A version of a document.

    Args:
        identifier: `urn:uuid:…`; versions made for one message share it.
        content: a hash of what it says, without the names of the version.
        body: its serialised form, where that was asked for.
    """

    number: int
    identifier: str
    target: str
    content: bytes
    status: str
    sent: tuple[Sent, ...] = ()
    body: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Series:
    """
    The versions of one document of one episode, in order.

    Args:
        name: of its newest version's series.
        document: document type.
    """

    name: bytes
    document: str
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class Joining:
    """
    Two identifiers of a merge, or of its undoing, and how they stand to each other.

    Args:
        joined: the retired one belongs to the other already.
        contrary: the merge contradicts an earlier one: the other belongs to the retired one, or that to a third.
        busy: something is in the way that has to come to its end first.
    """

    retired: Key
    survivor: Key
    undone: bool = False
    joined: bool = False
    contrary: bool = False
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """
    What the store says of an episode besides what was said in it: which documents there are and what may have left.

    A step is told it and says it again in its outcome; where it has changed at the commit, the step is done again.
    """

    patient: Key
    episode: str
    series: tuple[Series, ...] = ()
    joining: Joining | None = None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A delivery that is not to leave any more: `superseded` by a newer version, or `cancelled`."""

    delivery: int
    state: DeliveryState


@dataclass(frozen=True, slots=True)
class Entry:
    """
    What a clock says of one entry of a list, of those that the newest version of a document has.

    Args:
        called: what it is known by from version to version.
        place: where it stands in the list, from 1.
        ladder: as that of a `Deadline`.
        done_at: since when it is done; `None`: it is not.
        excluded: it ought not to be watched.
        near: it may begin to be watched: what is due then is neither long ago nor for years.
    """

    called: str
    place: int
    due_at: datetime
    ladder: tuple[tuple[datetime, str, str], ...]
    done_at: datetime | None = None
    excluded: bool = False
    near: bool = True


@dataclass(frozen=True, slots=True)
class Deadline:
    """
    A clock that ought to run, or ought not to, as a message says. The store makes it so.

    Args:
        document: type of the document in whose pack it is declared.
        episode: the stay, as the document's identity names it; of what another document says, that document's own.
        rank: how much its start is to be believed; 0 the most.
        recipients: destinations that the document would go to now; empty: to none, or it is not sent.
        authored: said by the document itself, so that the recipients are those that it goes to.
        needs: the level that the newest version must reach at each recipient; 0: another document meets it.
        ladder: (when, queue, severity) of each step; the last is when it is due.
        ended: `cancelled` or `excluded`: it ought not to run.
        says: another document says that each clock of the patient that had begun by `met_at` is `met`, or `excluded`.
        met_at: then; `None`: it does not say so any more.
        entries: of a clock that each entry of a list has, all that there are; `None`: it is none such.
    """

    name: str
    document: str
    patient: Key
    episode: str = ""
    rank: int = 0
    recipients: tuple[str, ...] = ()
    authored: bool = False
    needs: int = 0
    started_at: datetime | None = None
    due_at: datetime | None = None
    ladder: tuple[tuple[datetime, str, str], ...] = ()
    ended: str = ""
    says: str = ""
    met_at: datetime | None = None
    entries: tuple[Entry, ...] | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """
    How complete a letter is, as it was sent, without a word of it.

    Args:
        headings: heading of its record standard → whether and how something is said under it, in that standard's order.
    """

    mapping: str
    document: str
    headings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Overtaken:
    """
    Letters that a message has overtaken: what they carry is another now, or they were written before it happened.

    Args:
        episode: of this stay; empty: of every stay of the patient.
        document: type of the letters.
        at: those written before, in microseconds since 1970; `None`: all.
        then: `again`: they are made again, soon; `now`: at once; `tell`: a person is told.
    """

    patient: Key
    episode: str
    document: str
    then: str
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    All that became of one message: its state, what to say about it, and what is to be delivered.

    Args:
        ledger: what became of every leaf of it, under all mappings that took it.
        due_at: when it is looked at again, where it waits (`held`, `stored`).
        past: what the step was told came before; the outcome holds only as long as that does.
        withdrawals: deliveries of older versions that have not left and are not to leave any more.
        deadlines: the clocks that ought to run by it.
        merges: identifiers that are one patient's from now on, or no longer.
        letters: how complete those are that it is, where it was worked.
        overtaken: letters that are to be looked at again.
        watched: what it may be to a watch (`pipeline.watching`); 0: nothing.
    """

    facts: MessageFacts
    state: MessageState
    code: str = ""
    issues: tuple[Issue, ...] = ()
    readings: tuple[Reading, ...] = ()
    documents: tuple[Document, ...] = ()
    deliveries: tuple[Planned, ...] = ()
    patient: Key | None = None
    episode: str = ""
    occurred_at: str = ""
    ledger: Ledger = NO_LEDGER
    due_at: datetime | None = None
    past: tuple[Past, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    merges: tuple[Joining, ...] = ()
    letters: tuple[Letter, ...] = ()
    overtaken: tuple[Overtaken, ...] = ()
    watched: int = 0


class Verdict(StrEnum):
    """
    What the sender is told, in the order of how well it went.

    `ACCEPTED` answers AA/CA or 2xx, `REFUSED` AE/CE or 422 (this content), `REJECTED` AR/CR or 4xx/503 (this message,
    or not now).
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The first answer to an envelope. A repeat of the envelope gets it again, byte for byte.

    Args:
        code: code of the first reason, when the verdict is not `ACCEPTED` or something was parked.
        text: one sentence for the sender, without any value of the message.
        reference: our id of the envelope, so that both sides can speak of one thing; empty when nothing was stored.
        answered_at: aware UTC instant of the first answer.
        repeated: this is the first answer given again.
    """

    verdict: Verdict
    text: str
    answered_at: datetime
    code: str = ""
    issues: tuple[Issue, ...] = ()
    reference: str = ""
    repeated: bool = False
