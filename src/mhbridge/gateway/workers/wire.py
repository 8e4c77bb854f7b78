"""
What goes between the gateway and its workers, as bytes: plain tuples, written by `marshal`, which takes a fraction of
what pickling our values takes.

What is rare (what came before a letter, clocks, large envelopes), and what holds more than text, is pickled inside.
Both ends are one program, and the socket between them has no name by which another could find it. What is read equals
what was written. This module must never decide anything.
"""

from __future__ import annotations

import marshal
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mhbridge.gateway.workers.apart import ALL, Part
from mhbridge.gateway.workers.work import Asked
from mhbridge.mapping import record
from mhbridge.model import (
    NO_LEDGER,
    NOTHING_BEFORE,
    Act,
    Document,
    Envelope,
    Issue,
    Key,
    Known,
    Later,
    Ledger,
    Letter,
    MessageFacts,
    MessageState,
    Outcome,
    Past,
    Planned,
    Reading,
    Severity,
)

if TYPE_CHECKING:
    from mhbridge.gateway.workers.work import Whose

__all__ = ["DROP", "KEEP", "READ", "STEP", "Failed", "Refused", "answer", "asked", "framed", "frames", "outcomes"]
__all__ += ["read", "step", "told", "what_of"]

READ, STEP, KEEP, DROP = "read", "step", "keep", "drop"

#: Each frame is its length and what it says.
_LENGTH: Final = 8

_ACTS: Final = {act.value: act for act in Act}
_STATES: Final = {state.value: state for state in MessageState}
_SEVERITIES: Final = {severity.value: severity for severity in Severity}


class Refused(NamedTuple):
    """The envelope is no message."""

    code: str
    message: str


class Failed(NamedTuple):
    """Our own code failed; what may be said of it."""

    said: Mapping[str, Any]


def framed(what: Any) -> bytes:
    """As it goes over the socket: anything that is plain, or else pickled."""
    try:
        body = marshal.dumps(what)
    except ValueError:
        body = marshal.dumps(("", pickle.dumps(what, pickle.HIGHEST_PROTOCOL)))
    return len(body).to_bytes(_LENGTH, "big") + body


def frames(buffer: bytearray) -> Iterator[Any]:
    """What has arrived whole; it is taken out of the buffer."""
    at, have = 0, len(buffer)
    try:
        while have - at >= _LENGTH:
            end = at + _LENGTH + int.from_bytes(buffer[at : at + _LENGTH], "big")
            if have < end:
                return
            # From this program's other process: nobody else can write to the socket.
            what = marshal.loads(buffer[at + _LENGTH : end])  # noqa: S302
            at = end
            yield _unpickled(what) if type(what) is tuple and what[0] == "" else what
    finally:
        del buffer[:at]


def _unpickled(what: tuple[str, bytes]) -> Any:
    return pickle.loads(what[1])  # noqa: S301  as above


def _packed(what: Any) -> bytes:
    return pickle.dumps(what, pickle.HIGHEST_PROTOCOL)


# --- requests ----------------------------------------------------------------------------------------------


def read(ticket: int, envelope: Envelope, part: Part) -> bytes:
    """The request to take an envelope apart."""
    at = envelope.received_at
    if at.tzinfo is not UTC or envelope.before != NOTHING_BEFORE or part != ALL:
        return framed((READ, ticket, None, _packed((envelope, part))))
    plain = (envelope.body, envelope.supplier, envelope.feed, at.isoformat(), envelope.transport, envelope.peer)
    return framed((READ, ticket, plain, b""))


def step(
    ticket: int,
    known: Mapping[Whose, Known],
    parts: Mapping[Whose, tuple[str, ...]],
    past: Sequence[Past] = (),
    worked_at: datetime | None = None,
    before: Mapping[Whose, Sequence[Later]] | None = None,
) -> bytes:
    """
    The request to step its messages, each with what is known.

    Args:
        parts: as in `Asked`.
        before: of letters what events said that they may carry.
    """
    # All together: folds of one patient share most of what they hold, and that is written once.
    said = [
        (whose[0].system, whose[0].value, whose[1], whose[2], _said(one, parts.get(whose)), one.digest)
        for whose, one in known.items()
    ]
    late = [
        (number, one.later, one.own) for number, one in enumerate(known.values()) if one.later or one.own is not None
    ]
    rest = _packed((past, worked_at, late, before)) if past or late or before or worked_at is not None else b""
    return framed((STEP, ticket, said, rest))


def _said(known: Known, names: tuple[str, ...] | None) -> Mapping[str, Any]:
    """What is not looked at need not be sent."""
    items = known.items
    return items if names is None else {name: items[name] for name in names if name in items}


def told(verb: str, ticket: int) -> bytes:
    """A request that says no more than of which envelope."""
    return framed((verb, ticket, None, b""))


def what_of(verb: str, what: Any, rest: bytes) -> Any:
    """What a request says: an envelope and what of it; or what is known, what came before, and the instant."""
    more = pickle.loads(rest) if rest else None  # noqa: S301  from this program's other process
    if verb == READ:
        if more is not None:
            return more
        body, supplier, feed, at, transport, peer = what
        return Envelope(body, supplier, feed, datetime.fromisoformat(at), transport, peer), ALL
    if verb == STEP:
        past, worked_at, late, before = more or ((), None, (), None)
        known = {
            (Key(system, value), episode, document): Known(items, digest)
            for system, value, episode, document, items, digest in what
        }
        for number, later, own in late:
            whose = [*known][number]
            known[whose] = replace(known[whose], later=later, own=own)
        return known, past, worked_at, before
    return None


# --- answers -----------------------------------------------------------------------------------------------


def asked(what: Asked) -> Any:
    """What an envelope needs, as it is written."""
    if what.many or what.joinings or what.carried:
        return (1, _packed(what))
    known = [(whose[0].system, whose[0].value, whose[1], whose[2], at) for whose, at in what.known.items()]
    parts = [(whose[0].system, whose[0].value, whose[1], whose[2], names) for whose, names in what.parts.items()]
    past = [(patient.system, patient.value, episode, bodies) for (patient, episode), bodies in what.past.items()]
    return (0, what.key, [(one.system, one.value) for one in what.patients], known, parts, past, what.messages)


def outcomes(what: Sequence[Outcome]) -> Any:
    """What became of messages, as it is written: their readings also in the form in which they are stored."""
    return (2, [_flat(outcome) for outcome in what])


def answer(what: Any) -> Any:
    """What a worker answers: an `Asked`, a list of outcomes, or what kept it from either."""
    if type(what) is not tuple:
        return what
    match what[0]:
        case 0:
            _, key, patients, known, parts, past, messages = what
            return Asked(
                key,
                tuple([Key(*one) for one in patients]),
                {(Key(system, value), episode, document): at for system, value, episode, document, at in known},
                {(Key(system, value), episode, document): names for system, value, episode, document, names in parts},
                {(Key(system, value), episode): bodies for system, value, episode, bodies in past},
                messages=messages,
            )
        case 1:
            return pickle.loads(what[1])  # noqa: S301  from this program's other process
        case 2:
            return [_outcome(*one) for one in what[1]]
    return what


_Flat = tuple[Any, ...]


def _flat(outcome: Outcome) -> _Flat:
    ledger, issues = outcome.ledger, outcome.issues
    rest = (
        outcome.due_at, outcome.past, outcome.withdrawals, outcome.deadlines, outcome.merges, outcome.overtaken,
    )  # fmt: skip
    return (
        _facts(outcome.facts),
        outcome.state.value,
        outcome.code,
        [_issue(issue) for issue in issues],
        [_reading(reading, outcome) for reading in outcome.readings],
        [
            (
                one.type, one.target, one.bundle, one.series, one.identifier, one.body, one.media_type, one.status,
                one.content, one.known, one.episode,
            )
            for one in outcome.documents
        ],
        [(one.document, one.destination, one.needs) for one in outcome.deliveries],
        _key(outcome.patient),
        outcome.episode,
        outcome.occurred_at,
        _ledger(ledger),
        _packed(rest) if any(rest) else b"",
        [(one.mapping, one.document, one.headings) for one in outcome.letters],
        outcome.watched,
    )  # fmt: skip


def _outcome(
    facts: _Flat,
    state: str,
    code: str,
    issues: Sequence[_Flat],
    readings: Sequence[_Flat],
    documents: Sequence[_Flat],
    deliveries: Sequence[_Flat],
    patient: _Flat | None,
    episode: str,
    occurred_at: str,
    ledger: _Flat | None,
    rest: bytes,
    letters: Sequence[_Flat],
    watched: int,
) -> Outcome:
    due_at, past, withdrawals, deadlines, merges, overtaken = (
        pickle.loads(rest) if rest else (None, (), (), (), (), ())  # noqa: S301  as above
    )
    said, found = MessageFacts(*facts), _ledger_of(ledger)
    shared = tuple([_issue_of(*issue) for issue in issues])
    return Outcome(
        said,
        _STATES[state],
        code,
        shared,
        tuple([_reading_of(said, found, shared, one) for one in readings]),
        tuple([Document(*one) for one in documents]),
        tuple([Planned(*one) for one in deliveries]),
        None if patient is None else Key(*patient),
        episode,
        occurred_at,
        found,
        due_at,
        past,
        withdrawals,
        deadlines,
        merges,
        tuple([Letter(*one) for one in letters]),
        overtaken,
        watched,
    )


def _facts(facts: MessageFacts) -> _Flat:
    return (
        facts.format, facts.kind, facts.control_id, facts.sender, facts.sent_at, facts.version, facts.place,
        facts.trial, facts.sequence,
    )  # fmt: skip


def _reading(reading: Reading, outcome: Outcome) -> _Flat:
    # What it has in common with its message is not said again.
    return (
        None if reading.facts is outcome.facts else _facts(reading.facts),
        reading.supplier,
        reading.mapping,
        reading.mapping_hash,
        reading.document,
        None if reading.issues == outcome.issues else [_issue(issue) for issue in reading.issues],
        reading.parked,
        reading.act.value,
        _key(reading.patient),
        _key(reading.merged_from),
        reading.episode,
        reading.effective_at,
        reading.authors,
        reading.restricted,
        () if reading.ledger == outcome.ledger else _ledger(reading.ledger),
        # Its items in the form in which they are stored, so that the gateway need not write them.
        reading.written or record.dumps(reading.items),
        reading.serves,
    )


def _reading_of(facts: MessageFacts, ledger: Ledger, issues: tuple[Issue, ...], one: _Flat) -> Reading:
    (
        own, supplier, mapping, mapping_hash, document, said, parked, act, patient, merged_from, episode,
        effective_at, authors, restricted, counted, written, serves,
    ) = one  # fmt: skip
    return Reading(
        facts if own is None else MessageFacts(*own),
        supplier,
        mapping,
        mapping_hash,
        document,
        record.loads(written),
        issues if said is None else tuple([_issue_of(*issue) for issue in said]),
        parked,
        _ACTS[act],
        None if patient is None else Key(*patient),
        None if merged_from is None else Key(*merged_from),
        episode,
        effective_at,
        authors,
        restricted,
        ledger if counted == () else _ledger_of(counted),
        written,
        serves,
    )


def _key(key: Key | None) -> _Flat | None:
    return None if key is None else (key.system, key.value)


def _issue(issue: Issue) -> _Flat:
    return issue.code, issue.severity.value, issue.text, issue.path, issue.item, issue.rule


def _issue_of(code: str, severity: str, text: str, path: str, item: str, rule: str) -> Issue:
    return Issue(code, _SEVERITIES[severity], text, path, item, rule)


def _ledger(ledger: Ledger) -> _Flat | None:
    if ledger == NO_LEDGER:
        return None
    return (
        ledger.bound, ledger.selector, ledger.ignored, ledger.passed_over, ledger.failed, ledger.unmapped,
        ledger.not_written,
    )  # fmt: skip


def _ledger_of(flat: _Flat | None) -> Ledger:
    return NO_LEDGER if flat is None else Ledger(*flat)
