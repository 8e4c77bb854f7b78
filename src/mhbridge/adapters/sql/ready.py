"""
An envelope and what became of it, made ready to be written: everything that needs no database.

It is done where the call is made, and what can fail because of one envelope fails here, so that a batch rarely has a
bad one. This module must never look into a body, and lets no identifier of a patient through but as a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from mhbridge.adapters.sql.books import micros, when
from mhbridge.adapters.sql.clocks import ReadyDeadline, ReadyEntry
from mhbridge.adapters.sql.figures import of_outcome
from mhbridge.adapters.sql.letters import ReadyOvertaken
from mhbridge.adapters.sql.sealing import Keys
from mhbridge.adapters.sql.searching import identities, properties
from mhbridge.adapters.sql.transitions import NEW, require
from mhbridge.mapping import record
from mhbridge.model import (
    NOTHING_BEFORE,
    Act,
    Answer,
    Before,
    Deadline,
    Document,
    Entry,
    Envelope,
    Issue,
    Key,
    MessageState,
    Outcome,
    Overtaken,
    Past,
    Place,
    Reading,
    Severity,
    Verdict,
    Withdrawal,
)
from mhbridge.pipeline import place, serving

__all__ = ["Ready", "ReadyDelivery", "ReadyMessage", "answer_of", "before_of", "episode_token", "patient_token"]
__all__ += ["ready", "ready_message"]


#: What waits is worked another time, and counted then.
_WAIT: Final = frozenset({MessageState.STORED, MessageState.HELD})


class ReadyReading(NamedTuple):
    """
    A reading that may serve a later message.

    Args:
        said: the items themselves.
    """

    patient: bytes
    document: str
    episode: bytes
    event_at: int
    sent_at: int
    items: bytes
    said: Mapping[str, Any]


class ReadyDocument(NamedTuple):
    """A version of a document, with the hash of its bytes."""

    document: Document
    digest: bytes
    episode: bytes


class ReadyPast(NamedTuple):
    """
    What a step was told of an episode, to be compared with what there is.

    Args:
        retired: the other identifier, of a merge.
    """

    patient: bytes
    episode: bytes
    told: Past
    retired: bytes = b""


class ReadyMerge(NamedTuple):
    """Two identifiers that are one patient's from now on, or no longer."""

    retired: bytes
    survivor: bytes
    undone: bool


class ReadyDelivery(NamedTuple):
    """
    A delivery to be planned: which of the message's documents goes where, by when, and when it is done.

    Args:
        letter: it is of a document that somebody wrote, and not of an event.
    """

    document: int
    destination: str
    deadline: int | None
    needs: int
    letter: bool


class ReadyMessage(NamedTuple):
    """
    A message with all that hangs on it.

    Args:
        retires: of a merge, the identifier that is used no longer: the message has its turn under both.
    """

    kind: str
    place: str
    patient: bytes | None
    state: MessageState
    code: str
    due_at: int | None
    mapping: str
    mapping_hash: str
    issues: str
    readings: Sequence[ReadyReading]
    documents: Sequence[ReadyDocument]
    deliveries: Sequence[ReadyDelivery]
    properties: Sequence[tuple[bytes, int]]
    identities: Sequence[tuple[bytes, int]]
    past: Sequence[ReadyPast] = ()
    withdrawals: Sequence[Withdrawal] = ()
    deadlines: Sequence[ReadyDeadline] = ()
    merges: Sequence[ReadyMerge] = ()
    retires: bytes | None = None
    figures: Sequence[tuple[str, str, str, str, str]] = ()
    overtaken: Sequence[ReadyOvertaken] = ()
    watched: int = 0

    @property
    def patients(self) -> list[bytes]:
        """The tokens of all patients that its rows name."""
        named = [one.patient for some in (self.readings, self.past, self.deadlines, self.overtaken) for one in some]
        named += filter(None, (self.retires,))
        named += [token for merge in self.merges for token in (merge.retired, merge.survivor)]
        return named if self.patient is None else [self.patient, *named]


class Ready(NamedTuple):
    """An envelope with what became of it, as rows that only want their ids."""

    key: bytes
    feed: str
    received_at: int
    transport: str
    peer: str
    body: bytes
    answered_at: int
    answer: Answer
    answer_text: str
    messages: Sequence[ReadyMessage]
    before: str = ""
    starts: int = 0


def ready(
    keys: Keys,
    envelope: Envelope,
    key: bytes,
    outcomes: Sequence[Outcome],
    answer: Answer,
    deadlines: Mapping[str, float],
    starts: int = 0,
) -> Ready:
    """
    All of a commit that needs no database.

    Raises:
        TypeError: an item of a reading holds what no item may hold.
        ValueError: a delivery names a document that the outcome does not have.
        StoreError: S212, when a message may not begin in the state of its outcome.
    """
    received_at = micros(envelope.received_at)
    for outcome in outcomes:
        require("message", NEW, outcome.state)
    return Ready(
        key,
        envelope.feed,
        received_at,
        envelope.transport,
        envelope.peer,
        envelope.body,
        micros(answer.answered_at),
        answer,
        _text_of_answer(answer),
        [ready_message(keys, outcome, received_at, received_at, deadlines) for outcome in outcomes],
        _text_of_before(envelope.before),
        starts,
    )


def ready_message(
    keys: Keys, outcome: Outcome, received_at: int, since: int, deadlines: Mapping[str, float]
) -> ReadyMessage:
    """
    What became of a message, as rows that only want their ids.

    Args:
        since: from when its deliveries' deadlines are counted.
    """
    facts, readings = outcome.facts, outcome.readings
    patient = outcome.patient or next((reading.patient for reading in readings if reading.patient), None)
    for planned in outcome.deliveries:
        if not 0 <= planned.document < len(outcome.documents):
            raise ValueError(f"a delivery is planned of document {planned.document}, which the outcome does not have")
    return ReadyMessage(
        kind=facts.kind,
        place=facts.place,
        patient=None if patient is None else patient_token(keys, patient),
        state=outcome.state,
        code=outcome.code,
        due_at=_due_at(outcome, since),
        mapping=" ".join(dict.fromkeys(reading.mapping for reading in readings)),
        mapping_hash=" ".join(dict.fromkeys(reading.mapping_hash for reading in readings)),
        issues=_text_of_issues(outcome.issues),
        readings=[
            _ready_reading(keys, reading, items, patient, place(reading, when(received_at)))
            for reading in readings
            if (items := serving(outcome, reading)) is not None
        ],
        documents=[
            ReadyDocument(document, sha256(document.body).digest(), episode_token(keys, document.episode))
            for document in outcome.documents
        ],
        deliveries=[
            ReadyDelivery(
                planned.document,
                planned.destination,
                _deadline(since, deadlines.get(planned.destination)),
                planned.needs,
                outcome.documents[planned.document].bundle == "document",
            )
            for planned in outcome.deliveries
        ],
        properties=properties(keys, outcome),
        past=[_ready_past(keys, one) for one in outcome.past],
        withdrawals=outcome.withdrawals,
        deadlines=[_ready_deadline(keys, one) for one in outcome.deadlines],
        merges=[
            ReadyMerge(patient_token(keys, one.retired), patient_token(keys, one.survivor), one.undone)
            for one in outcome.merges
        ],
        identities=identities(keys, outcome, patient),
        figures=() if outcome.state in _WAIT else of_outcome(outcome),
        retires=next((patient_token(keys, key) for key in map(_retired, readings) if key is not None), None),
        overtaken=[_ready_overtaken(keys, one) for one in outcome.overtaken],
        watched=outcome.watched,
    )


def _ready_overtaken(keys: Keys, one: Overtaken) -> ReadyOvertaken:
    episode = episode_token(keys, one.episode) if one.episode else b""
    return ReadyOvertaken(patient_token(keys, one.patient), episode, one.document, one.then, one.at)


def _retired(reading: Reading) -> Key | None:
    return reading.merged_from if reading.act is Act.MERGE else None


def _ready_deadline(keys: Keys, one: Deadline) -> ReadyDeadline:
    return ReadyDeadline(
        one.name,
        one.document,
        patient_token(keys, one.patient),
        episode_token(keys, one.episode),
        one.rank,
        one.recipients,
        one.authored,
        one.needs,
        None if one.started_at is None else micros(one.started_at),
        None if one.due_at is None else micros(one.due_at),
        _written(one.ladder),
        one.ended,
        one.says,
        None if one.met_at is None else micros(one.met_at),
        None if one.entries is None else [_ready_entry(keys, entry) for entry in one.entries],
    )


def _ready_entry(keys: Keys, one: Entry) -> ReadyEntry:
    return ReadyEntry(
        episode_token(keys, f"entry|{one.called}"),
        one.place,
        micros(one.due_at),
        _written(one.ladder),
        None if one.done_at is None else micros(one.done_at),
        one.excluded,
        one.near,
    )


def _written(ladder: Sequence[tuple[datetime, str, str]]) -> str:
    return orjson.dumps([(micros(at), queue, severity) for at, queue, severity in ladder]).decode()


def _ready_reading(
    keys: Keys, reading: Reading, items: Mapping[str, Any], patient: Key | None, at: Place
) -> ReadyReading:
    whose = reading.patient or patient
    assert whose is not None
    return ReadyReading(
        patient_token(keys, whose),
        reading.document,
        episode_token(keys, reading.episode),
        *at,
        reading.written if reading.written and items is reading.items else record.dumps(items),
        items,
    )


def _ready_past(keys: Keys, told: Past) -> ReadyPast:
    retired = b"" if told.joining is None else patient_token(keys, told.joining.retired)
    return ReadyPast(patient_token(keys, told.patient), episode_token(keys, told.episode), told, retired)


def _deadline(since: int, seconds: float | None) -> int | None:
    return None if seconds is None else since + round(seconds * 1_000_000)


def _due_at(outcome: Outcome, since: int) -> int | None:
    """When what waits is looked at: at once, where nothing else is said."""
    if outcome.state not in (MessageState.STORED, MessageState.HELD):
        return None
    return since if outcome.due_at is None else micros(outcome.due_at)


def patient_token(keys: Keys, patient: Key) -> bytes:
    """What stands for a patient: the sender's own key, exactly as it is."""
    return keys.token("lane", patient.system, patient.value)


def episode_token(keys: Keys, episode: str) -> bytes:
    """What stands for an episode of a patient."""
    return keys.token("episode", episode)


def _text_of_issues(issues: Sequence[Issue]) -> str:
    """Issues as JSON."""
    return orjson.dumps([_issue(issue) for issue in issues]).decode() if issues else "[]"


def _issue(issue: Issue) -> dict[str, str]:
    said = {"code": issue.code, "severity": issue.severity.value, "text": issue.text}
    said |= {name: value for name in ("path", "item", "rule") if (value := getattr(issue, name))}
    return said


def _text_of_before(before: Before) -> str:
    return "" if before == NOTHING_BEFORE else f"{before.rows} {before.lines} {before.offset}"


def before_of(text: str) -> Before:
    """What came before an envelope of the file that it is a part of."""
    return Before(*map(int, text.split())) if text else NOTHING_BEFORE


def _text_of_answer(answer: Answer) -> str:
    return orjson.dumps(
        {
            "verdict": answer.verdict.value,
            "text": answer.text,
            "at": micros(answer.answered_at),
            "code": answer.code,
            "issues": [_issue(issue) for issue in answer.issues],
        }
    ).decode()


def answer_of(envelope: int, text: str) -> Answer:
    """The first answer to an envelope, given again."""
    said: dict[str, Any] = orjson.loads(text)
    issues = tuple(Issue(**{**issue, "severity": Severity(issue["severity"])}) for issue in said["issues"])
    return Answer(
        verdict=Verdict(said["verdict"]),
        text=said["text"],
        answered_at=when(said["at"]),
        code=said["code"],
        issues=issues,
        reference=str(envelope),
        repeated=True,
    )
