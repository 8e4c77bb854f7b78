"""
The pure flow: bytes → messages → readings (`intake`), then reading + known → documents and deliveries (`step`).

Two functions, because order matters only for the second: intake depends on nothing but the message, the step on what
came before for the same patient. Both are pure: no I/O, no clock, no logging, everything they need is an argument and
everything they find is returned. Neither raises for a bad message, except that `intake` raises `MalformedMessage` when
nothing of an envelope can be read: then there is nothing to keep, and the sender is told so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from mhbridge.errors import MalformedMessage, MessageError, UnsupportedMessage
from mhbridge.fhir.validate import Validator, default_validator
from mhbridge.formats import BrokenMessage, Message, sniff
from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.known import fold, restricts
from mhbridge.mapping.ledger import drawn_up
from mhbridge.model import (
    NO_LEDGER,
    NOTHING_BEFORE,
    NOTHING_KNOWN,
    Act,
    Answer,
    Before,
    Document,
    Envelope,
    Issue,
    Known,
    Ledger,
    MessageFacts,
    MessageState,
    Outcome,
    Planned,
    Reading,
    Severity,
    Verdict,
)

if TYPE_CHECKING:
    from mhbridge.formats import Divisible, Format, Part

__all__ = [
    "Feed",
    "Intake",
    "Route",
    "Taken",
    "answer",
    "dedupe_key",
    "intake",
    "needs_known",
    "outcome_now",
    "outcomes_of_file",
    "parts",
    "serving",
    "step",
    "take",
]


@dataclass(frozen=True, slots=True)
class Route:
    """
    Which documents go to which destinations.

    Args:
        documents: document types.
        to: names of destinations.
        when: a condition over the items (derived ones included); `None` is always.
    """

    documents: frozenset[str]
    to: tuple[str, ...]
    when: Callable[[str, Mapping[str, Any]], bool] | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """
    One supplier's stream: the mappings its messages are dispatched to, and where the documents go.

    Args:
        supplier: the supplier's name.
        name: by which receipts are counted: `supplier/receiver`, or `supplier/feed` where the sender names it.
        parked: what the sender of a message that must wait for a person is told: `accept` or `refuse`.
        live: real patients: a message that says it is a trial waits for a person.
        targets: destination → target shape.
    """

    supplier: str
    name: str
    mappings: tuple[SupplierMapping, ...]
    routes: tuple[Route, ...] = ()
    parked: str = "accept"
    live: bool = True
    targets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """
    One message as intake leaves it.

    Args:
        body: the bytes of this message alone.
        identities: (what, value) by which it can be found again.
        error: why it could not be read; then there are no readings.
        parked: code of the reason to park it, or empty.
        ledger: what became of every leaf of it, under all its mappings.
    """

    facts: MessageFacts
    body: bytes
    identities: tuple[tuple[str, str], ...] = ()
    readings: tuple[tuple[SupplierMapping, Reading], ...] = ()
    error: MessageError | None = None
    parked: str = ""
    issues: tuple[Issue, ...] = ()
    ledger: Ledger = NO_LEDGER


@dataclass(frozen=True, slots=True)
class Intake:
    """All messages of an envelope, in order."""

    messages: tuple[Taken, ...]


# --- intake ------------------------------------------------------------------------------------------------

#: Rows of one envelope. What is made of them is held together until it is committed.
_MOST: Final = 2000


def intake(envelope: Envelope, feed: Feed) -> Intake:
    """
    Take an envelope apart and read every message in it.

    Raises:
        MalformedMessage: nothing of it can be read in any format of the feed.
    """
    by_format: dict[str, list[SupplierMapping]] = {}
    for mapping in feed.mappings:
        by_format.setdefault(mapping.format.name, []).append(mapping)
    candidates = _candidates(envelope.body, by_format)
    format_ = candidates[0].format
    sources = [mapping.source for mapping in candidates]
    taken: list[Taken] = []
    try:
        if envelope.before == NOTHING_BEFORE:
            messages = format_.messages(envelope.body, sources)
        else:
            messages = cast("Divisible", format_).messages(envelope.body, sources, envelope.before)
        for message, takers in messages:
            if len(taken) == _MOST and _is_divisible(format_):
                raise MalformedMessage("M778", f"more than {_MOST} rows came at once")
            if isinstance(message, MessageError):
                taken.append(_unreadable(message, format_.name))
            else:
                taken.append(take(message, [candidates[index] for index in takers], envelope.received_at, feed.live))
    except BrokenMessage as error:
        # It says whose it is, so it is kept for a person; what does not even say that is refused.
        if not error.facts.sender and not error.facts.control_id:
            raise
        taken.append(_unreadable(error, format_.name))
    if not taken and not _is_divisible(format_):
        raise MalformedMessage("M700", "there is no message in what was sent")
    return Intake(tuple(taken))


def parts(file: BinaryIO, feed: Feed, before: Before = NOTHING_BEFORE) -> Iterator[Part] | None:
    """
    A large file in parts, each of which is an envelope by itself; `None`: it is one envelope, whole.

    Args:
        file: open and seekable.
        before: where to go on, as the `after` of a part said it.

    Raises:
        MalformedMessage: while the parts are gone through: what follows the last of them cannot be read.
    """
    formats = {mapping.format.name: mapping.format for mapping in feed.mappings}
    if len(formats) != 1:
        # Of which format it is, is said by its beginning, and only of a body.
        return None
    (format_,) = formats.values()
    if not _is_divisible(format_):
        return None
    return cast("Divisible", format_).parts(file, [mapping.source for mapping in feed.mappings], before)


def _is_divisible(format_: Format) -> bool:
    """Whether it is a format of tables, which may be larger than memory, and without rows say that nothing happened."""
    return hasattr(format_, "parts")


def _candidates(body: bytes, by_format: Mapping[str, list[SupplierMapping]]) -> list[SupplierMapping]:
    """The mappings of the one format that these bytes are in."""
    if len(by_format) == 1:
        return next(iter(by_format.values()))
    if not body.strip():
        raise MalformedMessage("M700", "nothing was sent")
    head = body[:4096]
    fitting = [mappings for mappings in by_format.values() if mappings[0].format.recognise(head)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(sorted(by_format)) or "any format"
    seen = sniff(body)
    what = f"this looks like {seen.name}, and the feed takes {known}" if seen else f"this is not {known}"
    raise MalformedMessage("M701", what)


def _unreadable(error: MessageError, format_name: str) -> Taken:
    """A message of which only the bytes can be kept: it waits for a person."""
    issue = Issue(error.code, Severity.ERROR, error.message, error.path)
    if isinstance(error, BrokenMessage):
        found = (("control_id", error.facts.control_id),) if error.facts.control_id else ()
        return Taken(error.facts, error.body, found, error=error, parked=error.code, issues=(issue,))
    return Taken(MessageFacts(format_name, "unreadable"), b"", error=error, parked=error.code, issues=(issue,))


def take(message: Message, mappings: Sequence[SupplierMapping], received_at: datetime, live: bool) -> Taken:
    """Read one message under the mappings that take it. What keeps it from being worked parks it, with its code."""
    documents = [mapping.document.name for mapping in mappings]
    problem = ""
    if not mappings:
        problem, text = "M710", f"no mapping takes {message.facts.kind} of version {message.facts.version or 'unknown'}"
    elif len(set(documents)) != len(documents):
        problem, text = "M711", f"several mappings take it: {', '.join(mapping.name for mapping in mappings)}"
    if problem:
        issue = Issue(problem, Severity.ERROR, text)
        error = UnsupportedMessage(problem, text)
        return Taken(message.facts, message.body, message.identities, (), error, problem, (issue,))
    read = [(mapping, *mapping.read_traced(message, received_at)) for mapping in mappings]
    readings = tuple((mapping, _noted(reading, message)) for mapping, reading, _ in read)
    # A leaf that one mapping leaves open may be in the items of another: the ledger is that of all of them together.
    ledger = readings[0][1].ledger if len(read) == 1 else drawn_up(message, [taken for _, _, taken in read])
    parked = next((reading.parked for _, reading in readings if reading.parked), "")
    issues = tuple(dict.fromkeys(issue for _, reading in readings for issue in reading.issues))
    if message.patients > 1 and not any(reading.act is Act.MERGE for _, reading in readings):
        # Two patients in one message: nobody can say whose discharge it is (design §12).
        parked = parked or "M721"
        issues = (*issues, Issue("M721", Severity.ERROR, "the message names two patients"))
    if not message.facts.control_id and any(reading.authors for _, reading in readings):
        # Versions of a letter are told apart by the number of the message: without it no letter has a name.
        parked = parked or "M743"
        issues = (*issues, Issue("M743", Severity.ERROR, "the message has no number of its own"))
    if live and message.facts.trial:
        # A ward's training system pointed at production is an ordinary accident (HL7 v2.5.1 §2.15.9.11, table 0103).
        parked = parked or "M742"
        issues = (
            *issues,
            Issue("M742", Severity.ERROR, "it says that it is a trial, and this gateway is live", "MSH-11"),
        )
    return Taken(message.facts, message.body, message.identities, readings, None, parked, issues, ledger)


def _noted(reading: Reading, message: Message) -> Reading:
    """The reading with its issues where a person finds them in the original."""
    issues = message.noted(reading.issues)
    return reading if issues == reading.issues else replace(reading, issues=issues)


# --- step --------------------------------------------------------------------------------------------------


def needs_known(reading: Reading) -> bool:
    """
    Whether what came before decides what is sent.

    An event updates what the receiver has, and "empty leaves unchanged" is impossible without memory (gateway design
    §5.3). An authored document says what its author says and nothing else.
    """
    return not reading.authors and reading.patient is not None


def serving(outcome: Outcome, reading: Reading) -> Mapping[str, Any] | None:
    """
    What of a reading may serve a later message of its patient; `None` when nothing may.

    All of it when the message was worked, or was parked only because the patient's record is restricted: the next
    message, which need not say so again, must find that it is. A message which says of itself that it adds nothing
    (leave), or that a person has still to look at, serves by one thing alone: that it says in so many words that the
    record is restricted, because the strictest sensitivity of any reading holds for all (mapping language §8).
    """
    if (reading.patient or outcome.patient) is None:
        return None
    # A restricted record may have been parked for more than that: as a trial, or because it names two patients.
    worked = outcome.state is MessageState.DONE or outcome.code == "M740"
    if worked and not reading.parked and reading.act is not Act.NONE:
        return reading.items
    sensitivity = reading.items.get("sensitivity")
    return {"sensitivity": sensitivity} if isinstance(sensitivity, str) and restricts(sensitivity) else None


def step(
    taken: Taken,
    known: Mapping[str, Known],
    now: datetime,
    feed: Feed,
    *,
    validator: Validator | None = None,
) -> Outcome:
    """
    What becomes of one message, in the patient's order.

    Args:
        known: document type → the fold of the patient's earlier readings where `needs_known`; under no type, what
            is known of the patient's sensitivity from all of them.
        now: the instant of receipt; the same for every replay of the message.
    """
    validator = validator or default_validator()
    readings = tuple(reading for _, reading in taken.readings)
    first = readings[0] if readings else None
    base = Outcome(
        facts=taken.facts,
        state=MessageState.PARKED,
        code=taken.parked,
        issues=taken.issues,
        readings=readings,
        patient=first.patient if first else None,
        episode=first.episode if first else "",
        occurred_at=first.effective_at if first else "",
        ledger=taken.ledger,
    )
    if taken.parked:
        return base
    if all(reading.act is Act.NONE for reading in readings):
        return _with(base, MessageState.FILTERED, "M730")
    documents: list[Document] = []
    deliveries: list[Planned] = []
    issues: list[Issue] = []
    unwritten: list[str] = []
    code = ""
    for at, (mapping, reading) in enumerate(taken.readings):
        if reading.act is Act.NONE:
            continue
        before = known.get(reading.document, NOTHING_KNOWN)
        items = fold([before.items, reading.items]) if needs_known(reading) else reading.items
        # The strictest sensitivity of any reading holds for all (mapping language §8): what is only known now of a
        # restricted patient is withheld too.
        restricted = reading.restricted or any(mapping.restricts(earlier.items) for earlier in known.values())
        if restricted:
            items = mapping.withheld(items)
            # It serves later messages as one does that says so itself.
            hidden = replace(reading, items=mapping.withheld(reading.items), restricted=True, written=b"")
            readings = (*readings[:at], hidden, *readings[at + 1 :])
        destinations = _destinations(mapping, reading, items, feed, now)
        if restricted:
            destinations, code = (), code or "M740"
        for target in sorted({feed.targets.get(name, "r4") for name in destinations} or {"r4"}):
            translation = mapping.build(reading, items, now, target)
            found = validator(translation.resource)
            issues += [*translation.issues, *found]
            unwritten += [f"{target}: {name}" for name in translation.not_written]
            if any(issue.severity is Severity.ERROR for issue in found):
                code = "M750"
            series = _series(reading)
            documents.append(
                Document(reading.document, target, translation.kind, series, translation.identifier, translation.json())
            )
            deliveries += [
                Planned(len(documents) - 1, name) for name in destinations if feed.targets.get(name, "r4") == target
            ]
    base = replace(base, readings=readings)
    issues = list(dict.fromkeys([*base.issues, *issues]))
    if unwritten:
        base = replace(base, ledger=replace(base.ledger, not_written=tuple(dict.fromkeys(unwritten))))
    if not code and not deliveries and feed.routes:
        code = "M741"
    if code:
        # Nothing leaves until a person has looked; the documents are kept so that they can be looked at.
        return _with(base, MessageState.PARKED, code, tuple(issues), tuple(documents))
    return _with(base, MessageState.DONE, "", tuple(issues), tuple(documents), tuple(deliveries))


def _with(
    base: Outcome,
    state: MessageState,
    code: str,
    issues: tuple[Issue, ...] | None = None,
    documents: tuple[Document, ...] = (),
    deliveries: tuple[Planned, ...] = (),
) -> Outcome:
    return Outcome(
        base.facts, state, code, base.issues if issues is None else issues, base.readings, documents, deliveries,
        base.patient, base.episode, base.occurred_at, base.ledger,
    )  # fmt: skip


def _destinations(
    mapping: SupplierMapping, reading: Reading, items: Mapping[str, Any], feed: Feed, now: datetime
) -> tuple[str, ...]:
    """The destinations of every route that fits, each once, in the order of the routes."""
    found: dict[str, None] = {}
    complete: Mapping[str, Any] | None = None
    for route in feed.routes:
        if reading.document not in route.documents:
            continue
        if route.when is not None:
            complete = complete if complete is not None else mapping.derived(reading, items, now)
            if not route.when(reading.document, complete):
                continue
        found.update(dict.fromkeys(route.to))
    return tuple(found)


def _series(reading: Reading) -> bytes:
    """Names (patient of an authority, episode, document type): the versions of one document (gateway design §1)."""
    whose = (reading.patient.system, reading.patient.value) if reading.patient else ("", "")
    return _digest(reading.supplier, *whose, reading.episode, reading.document)


def _digest(*parts: str | bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.digest()


# --- the answer --------------------------------------------------------------------------------------------

_STORED: Final = "Safely stored."
#: Why a message waits for a person, as its sender is told. Never a value of the message.
_WHY: Final[Mapping[str, str]] = {
    "M710": "No mapping takes this message",
    "M711": "Several mappings take this message",
    "M720": "The message does not say which stay it belongs to",
    "M722": "The message does not say whose it is",
    "M721": "The message names two patients",
    "M740": "The record is restricted and is not routed automatically",
    "M741": "No destination takes it",
    "M743": "The message has no number of its own",
    "M742": "It says that it is a trial and this gateway is live",
    "M750": "What it was translated to is not valid",
}


def answer(outcomes: Sequence[Outcome], feed: Feed, now: datetime) -> Answer:
    """What the sender of an envelope is told, once all of it is durable."""
    parked = [outcome for outcome in outcomes if outcome.state is MessageState.PARKED]
    issues = tuple(dict.fromkeys(issue for outcome in outcomes for issue in outcome.issues))
    if parked:
        code = parked[0].code
        verdict = Verdict.REFUSED if feed.parked == "refuse" else Verdict.ACCEPTED
        # To a sender that is refused, "Safely stored" would read as success.
        kept = _STORED if verdict is Verdict.ACCEPTED else "Not passed on, and kept for a person to look at."
        why = _WHY.get(code, "It could not be translated")
        return Answer(verdict, f"{kept} {why}; a person has been told.", now, code, issues)
    return Answer(Verdict.ACCEPTED, _STORED, now, issues=issues)


def dedupe_key(envelope: Envelope, taken: Intake) -> bytes:
    """
    32 bytes that name an envelope: sender, control ids and content. The same again is a repeat, not a new message.

    The same control id with other content is a new message: senders that restart their counters exist.
    """
    ids = [part for message in taken.messages for part in (message.facts.sender, message.facts.control_id)]
    if not envelope.body.strip():
        # An empty file is an alarm every time that it comes.
        ids.append(envelope.received_at.isoformat())
    return _digest(envelope.supplier, *ids, envelope.body)


def outcomes_of_file(file: BinaryIO, feed: Feed, now: datetime) -> Iterator[Outcome]:
    """
    What becomes of a file for which nothing came before, as `outcome_now`; a large extract is not held in memory.

    Raises:
        MalformedMessage: nothing of it can be read, or nothing more.
    """
    taken = False
    for part in parts(file, feed) or ():
        envelope = Envelope(part.body, feed.supplier, feed.name, now, "file", before=part.before)
        taken = True
        for message in intake(envelope, feed).messages:
            yield step(message, {}, now, feed)
    if not taken:
        file.seek(0)
        yield from outcome_now(file.read(), feed, now)


def outcome_now(body: bytes, feed: Feed, now: datetime) -> list[Outcome]:
    """
    What becomes of some bytes for which nothing came before: intake and step at once, with no store between them.

    Raises:
        MalformedMessage: nothing of it can be read.
    """
    envelope = Envelope(body, feed.supplier, feed.name, now, "file")
    return [step(taken, {}, now, feed) for taken in intake(envelope, feed).messages]
