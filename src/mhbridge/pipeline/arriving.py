"""
Intake: bytes → messages → readings. Stateless: it depends on nothing but the envelope and the mappings.

A bad message does not raise: it is taken with the code that parks it. This module must never ask what came before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from mhbridge.errors import MalformedMessage, MessageError, UnsupportedMessage
from mhbridge.formats import BrokenMessage, Message, sniff
from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.ledger import drawn_up
from mhbridge.model import (
    NO_LEDGER,
    NOTHING_BEFORE,
    Act,
    Before,
    Envelope,
    Issue,
    Ledger,
    MessageFacts,
    Reading,
    Severity,
)
from mhbridge.model.frozen import frozen
from mhbridge.pipeline.ordering import ahead
from mhbridge.pipeline.routing import Feed

if TYPE_CHECKING:
    from mhbridge.formats import Divisible, Format, Gathering, Part

__all__ = ["Intake", "Taken", "gatherings", "intake", "parts", "take", "taken_of"]

#: Rows of one envelope. What is made of them is held together until it is committed.
_MOST: Final = 2000


@frozen(frozen=True, slots=True)
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


@frozen(frozen=True, slots=True)
class Intake:
    """All messages of an envelope, in order."""

    messages: tuple[Taken, ...]


def intake(envelope: Envelope, feed: Feed) -> Intake:
    """
    Take an envelope apart and read every message in it.

    Raises:
        MalformedMessage: nothing of it can be read in any format of the feed.
    """
    return Intake(tuple(taken_of(envelope, feed)))


def taken_of(
    envelope: Envelope, feed: Feed, only: Collection[int] | None = None, *, unread: bool = False
) -> Iterator[Taken]:
    """
    The same, message by message.

    Args:
        only: places in the envelope, from 0: the others are passed over unread.
        unread: no message is read under a mapping; what it says about itself is all that is known of it then.

    Raises:
        MalformedMessage: nothing of it can be read in any format of the feed.
    """
    by_format: dict[str, list[SupplierMapping]] = {}
    for mapping in feed.mappings:
        by_format.setdefault(mapping.format.name, []).append(mapping)
    candidates = _candidates(envelope.body, by_format)
    format_ = candidates[0].format
    sources = [mapping.source for mapping in candidates]
    last = None if only is None else max(only, default=-1)
    number = -1
    try:
        if envelope.before == NOTHING_BEFORE:
            messages = format_.messages(envelope.body, sources)
        else:
            messages = cast("Divisible", format_).messages(envelope.body, sources, envelope.before)
        for number, (message, takers) in enumerate(messages):
            if number == _MOST and _is_divisible(format_):
                raise MalformedMessage("M778", f"more than {_MOST} rows came at once")
            if last is not None and number > last:
                return
            if only is not None and number not in only:
                continue
            if isinstance(message, MessageError):
                yield _unreadable(message, format_.name)
            elif unread:
                yield Taken(message.facts, message.body, message.identities)
            else:
                yield take(message, [candidates[index] for index in takers], envelope.received_at, feed.live)
    except BrokenMessage as error:
        # It says whose it is, so it is kept for a person; what does not even say that is refused.
        if not error.facts.sender and not error.facts.control_id:
            raise
        number += 1
        if only is None or number in only:
            yield _unreadable(error, format_.name)
    if number < 0 and not _is_divisible(format_):
        raise MalformedMessage("M700", "there is no message in what was sent")


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


def gatherings(feed: Feed) -> tuple[Gathering, ...]:
    """Which files of the feed belong together, by its mappings; empty when each is by itself."""
    formats: dict[str, list[SupplierMapping]] = {}
    for mapping in feed.mappings:
        formats.setdefault(mapping.format.name, []).append(mapping)
    found: list[Gathering] = []
    for mappings in formats.values():
        gathers = getattr(mappings[0].format, "gathers", None)
        made = gathers([mapping.source for mapping in mappings]) if gathers is not None else None
        if made is not None:
            found.append(made)
    return tuple(found)


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
    try:
        read = [(mapping, *mapping.read_traced(message, received_at)) for mapping in mappings]
    except MalformedMessage as error:
        # The mapping asks more of this message than may be asked (M806): nothing in it is worked in part.
        issue = Issue(error.code, Severity.ERROR, error.message, error.path)
        return Taken(message.facts, message.body, message.identities, (), error, error.code, (issue,))
    readings = tuple((mapping, _noted(reading, message)) for mapping, reading, _ in read)
    # A leaf that one mapping leaves open may be in the items of another: the ledger is that of all of them together.
    ledger = readings[0][1].ledger if len(read) == 1 else drawn_up(message, [taken for _, _, taken in read])
    parked = next((reading.parked for _, reading in readings if reading.parked), "")
    issues = tuple(dict.fromkeys(issue for _, reading in readings for issue in reading.issues))
    # What came before decides the order, and a clock that runs ahead would put this after all that is still to come.
    issues += tuple(dict.fromkeys(early for _, reading in readings if (early := ahead(reading, received_at))))
    if message.patients > 1 and not any(reading.act in (Act.MERGE, Act.UNLINK) for _, reading in readings):
        # Two patients in one message: nobody can say whose discharge it is (design §12).
        parked = parked or "M721"
        text = "the message names several patients, and whose each part is would be a guess: each has to come by itself"
        issues = (*issues, Issue("M721", Severity.ERROR, text))
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
