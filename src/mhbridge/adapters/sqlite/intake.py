"""
Making envelopes durable: what a commit needs is made ready by the caller, and written table by table for a whole batch.

`ready` does everything that can fail because of one envelope, in the caller's own call, so that a batch rarely has
a bad one. `commit`, `repeat` and `refuse` run in the writer's transaction. This module must never look into a body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from mhbridge.adapters.sql.sealing import Keys, Seal
from mhbridge.adapters.sql.transitions import NEW, require
from mhbridge.adapters.sqlite.books import Books, micros, when
from mhbridge.adapters.sqlite.moves import arrive
from mhbridge.mapping import record
from mhbridge.mapping.known import moment
from mhbridge.model import (
    Act,
    Answer,
    DeliveryState,
    Document,
    Envelope,
    Issue,
    Key,
    MessageState,
    Outcome,
    Reading,
    Severity,
    Verdict,
)
from mhbridge.ports import Committed

__all__ = [
    "SEARCHED",
    "Ready",
    "Refusal",
    "Repeat",
    "commit",
    "episode_token",
    "patient_token",
    "ready",
    "refuse",
    "repeat",
]

#: What people search by, and the number that `property.kind` has for it.
SEARCHED: Final[Mapping[str, int]] = {"control": 1, "patient": 2, "visit": 3}

_DAY: Final = 86_400_000_000


class _ReadyReading(NamedTuple):
    patient: bytes
    document: str
    episode: bytes
    event_at: int
    sent_at: int
    items: bytes


class _ReadyDelivery(NamedTuple):
    document: int
    destination: str
    deadline: int | None


class _ReadyMessage(NamedTuple):
    kind: str
    place: str
    patient: bytes | None
    state: MessageState
    code: str
    due_at: int | None
    mapping: str
    mapping_hash: str
    issues: str
    readings: Sequence[_ReadyReading]
    documents: Sequence[tuple[Document, bytes]]
    deliveries: Sequence[_ReadyDelivery]
    properties: Sequence[tuple[bytes, int]]


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
    messages: Sequence[_ReadyMessage]


class Refusal(NamedTuple):
    """A receipt of which nothing is kept."""

    feed: str
    code: str
    at: int


class Repeat(NamedTuple):
    """A receipt of bytes that are here already."""

    key: bytes
    feed: str
    at: int


# --- made ready where the call is made ---------------------------------------------------------------------


def ready(
    keys: Keys,
    envelope: Envelope,
    key: bytes,
    outcomes: Sequence[Outcome],
    answer: Answer,
    deadlines: Mapping[str, float],
) -> Ready:
    """
    All of a commit that needs no database.

    Raises:
        TypeError: an item of a reading holds what no item may hold.
        ValueError: a delivery names a document that the outcome does not have.
        StoreError: S212, when a message may not begin in the state of its outcome.
    """
    received_at = micros(envelope.received_at)
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
        [_ready_message(keys, outcome, received_at, deadlines) for outcome in outcomes],
    )


def _ready_message(keys: Keys, outcome: Outcome, received_at: int, deadlines: Mapping[str, float]) -> _ReadyMessage:
    require("message", NEW, outcome.state)
    facts, readings = outcome.facts, outcome.readings
    patient = outcome.patient or next((reading.patient for reading in readings if reading.patient), None)
    for planned in outcome.deliveries:
        if not 0 <= planned.document < len(outcome.documents):
            raise ValueError(f"a delivery is planned of document {planned.document}, which the outcome does not have")
    searched = {("control", facts.control_id), ("visit", outcome.episode)}
    searched |= {("visit", reading.episode) for reading in readings}
    searched |= {("patient", found.value) for found in _patients(outcome)}
    return _ReadyMessage(
        kind=facts.kind,
        place=facts.place,
        patient=None if patient is None else patient_token(keys, patient),
        state=outcome.state,
        code=outcome.code,
        due_at=received_at if outcome.state is MessageState.STORED else None,
        mapping=" ".join(dict.fromkeys(reading.mapping for reading in readings)),
        mapping_hash=" ".join(dict.fromkeys(reading.mapping_hash for reading in readings)),
        issues=_text_of_issues(outcome.issues),
        readings=[
            _ready_reading(keys, reading, patient, received_at) for reading in readings if _serves(outcome, reading)
        ],
        documents=[(document, sha256(document.body).digest()) for document in outcome.documents],
        deliveries=[
            _ReadyDelivery(
                planned.document, planned.destination, _deadline(received_at, deadlines.get(planned.destination))
            )
            for planned in outcome.deliveries
        ],
        properties=sorted((keys.search_token(kind, value), SEARCHED[kind]) for kind, value in searched if value),
    )


def _serves(outcome: Outcome, reading: Reading) -> bool:
    """
    Whether a reading may serve a later message of its episode.

    Not that of a message which says of itself that it adds nothing (leave), nor one that a person has still to look
    at, nor one whose patient is not known.
    """
    worked = outcome.state is MessageState.DONE and not reading.parked
    return worked and reading.act is not Act.NONE and (reading.patient or outcome.patient) is not None


def _ready_reading(keys: Keys, reading: Reading, patient: Key | None, received_at: int) -> _ReadyReading:
    whose = reading.patient or patient
    assert whose is not None
    sent_at = _not_ahead(moment(reading.facts.sent_at), received_at)
    return _ReadyReading(
        patient_token(keys, whose),
        reading.document,
        episode_token(keys, reading.episode),
        _not_ahead(moment(reading.effective_at), received_at),
        sent_at,
        record.dumps(reading.items),
    )


def _not_ahead(at: int | None, received_at: int) -> int:
    """A sender's time, or ours where it gave none, or where its clock is more than a day ahead of ours."""
    return received_at if at is None or at > received_at + _DAY else at


def _deadline(received_at: int, seconds: float | None) -> int | None:
    return None if seconds is None else received_at + round(seconds * 1_000_000)


def _patients(outcome: Outcome) -> set[Key]:
    found = {outcome.patient}
    for reading in outcome.readings:
        found |= {reading.patient, reading.merged_from}
    return {key for key in found if key is not None}


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


def _answer_of(envelope: int, text: str) -> Answer:
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


# --- in the writer's transaction ---------------------------------------------------------------------------


class _Rows:
    """The rows of a batch, by table, in the order in which the tables are written."""

    TABLES: Final = ("envelope", "message", "reading", "document", "delivery", "property", "body")

    def __init__(self) -> None:
        self.by_table: dict[str, list[tuple[Any, ...]]] = {table: [] for table in self.TABLES}
        #: Newest version of each series written in this batch: its id and its number.
        self.newest: dict[bytes, tuple[int, int]] = {}

    def add(self, table: str, *row: Any) -> None:
        self.by_table[table].append(row)

    def write(self, books: Books) -> None:
        for table, rows in self.by_table.items():
            if rows:
                books.connection.executemany(books.queries[f"add_{table}"], rows)


def commit(books: Books, items: Sequence[Ready]) -> list[Committed]:
    """Envelopes with all that became of them. One that is here already is answered as it was, and counted."""
    rows = _Rows()
    done: list[Committed] = []
    here: dict[bytes, Committed] = {}
    for item in items:
        first = here.get(item.key) or _first(books, item.key)
        if first is None:
            first = here[item.key] = _keep(books, rows, item)
            done.append(first)
        else:
            done.append(_again(books, first, item.feed, item.received_at))
    rows.write(books)
    return done


def repeat(books: Books, items: Sequence[Repeat]) -> list[Committed | None]:
    """The first answers to envelopes that are here already; counts and logs the repeats."""
    answers: list[Committed | None] = []
    for item in items:
        first = _first(books, item.key)
        answers.append(None if first is None else _again(books, first, item.feed, item.at))
    return answers


def refuse(books: Books, items: Sequence[Refusal]) -> list[None]:
    """Count and log receipts of which nothing is kept."""
    for item in items:
        books.count(item.feed, "receipt", "received")
        books.count(item.feed, "receipt", "refused")
        books.log(item.at, "refusal", 0, item.code, item.feed)
    return [None] * len(items)


def _first(books: Books, key: bytes) -> Committed | None:
    row = books.row("seen", dedupe=key)
    if row is None:
        return None
    envelope, text = row
    messages = tuple(message for (message,) in books.run("messages_of_envelope", envelope=envelope))
    return Committed(_answer_of(envelope, text), envelope, messages, repeated=True)


def _again(books: Books, first: Committed, feed: str, at: int) -> Committed:
    books.count(feed, "receipt", "received")
    books.count(feed, "receipt", "repeat")
    books.log(at, "repeat", first.envelope, "", feed)
    return replace(first, answer=replace(first.answer, repeated=True), repeated=True)


def _keep(books: Books, rows: _Rows, item: Ready) -> Committed:
    envelope = books.id()
    rows.add(
        "envelope",
        envelope,
        item.feed,
        item.received_at,
        item.transport,
        item.peer,
        item.key,
        len(item.body),
        len(item.messages),
        item.answer_text,
    )
    rows.add("body", envelope, Seal.KEY_ID, books.seal.close("envelope", envelope, item.body))
    books.count(item.feed, "receipt", "received")
    messages = tuple([_keep_message(books, rows, item, envelope, message) for message in item.messages])
    return Committed(replace(item.answer, reference=str(envelope), repeated=False), envelope, messages)


def _keep_message(books: Books, rows: _Rows, item: Ready, envelope: int, message: _ReadyMessage) -> int:
    about = books.id()
    # A message that names no patient is its own: ids are from one sequence, so it shares its lanes with nobody.
    patient = about if message.patient is None else books.patient(message.patient)
    rows.add(
        "message",
        about,
        envelope,
        item.feed,
        message.kind,
        message.place,
        item.received_at,
        patient,
        message.state,
        message.code,
        message.due_at,
        message.mapping,
        message.mapping_hash,
        len(message.deliveries),
        message.issues,
    )
    arrive(books, "message", message.state, item.feed)
    for reading in message.readings:
        number = books.id()
        rows.add(
            "reading",
            number,
            about,
            books.patient(reading.patient),
            reading.document,
            reading.episode,
            reading.event_at,
            reading.sent_at,
            Seal.KEY_ID,
            books.seal.close("reading", number, reading.items),
        )
    documents = [_keep_document(books, rows, about, *document) for document in message.documents]
    for planned in message.deliveries:
        _plan(books, rows, about, patient, documents[planned.document], planned, item.received_at)
    for token, kind in message.properties:
        rows.add("property", token, about, kind)
    moves = f"{NEW}>{message.state}"
    if message.code:
        moves += f" {message.code}"
    if message.deliveries:
        moves += f", {len(message.deliveries)} {DeliveryState.QUEUED}"
    books.log(item.answered_at, "message", about, moves)
    return about


def _keep_document(books: Books, rows: _Rows, message: int, document: Document, digest: bytes) -> int:
    about = books.id()
    newest = rows.newest.get(document.series)
    if newest is None:
        newest = books.row("newest_version", series=document.series)
    replaces, version = newest or (None, 0)
    rows.newest[document.series] = (about, version + 1)
    rows.add(
        "document",
        about,
        document.series,
        version + 1,
        message,
        document.type,
        document.target,
        document.bundle,
        document.identifier,
        document.media_type,
        digest,
        document.status,
        replaces,
    )
    rows.add("body", about, Seal.KEY_ID, books.seal.close("document", about, document.body))
    return about


def _plan(
    books: Books, rows: _Rows, message: int, patient: int, document: int, planned: _ReadyDelivery, due_at: int
) -> None:
    destination = books.destination(planned.destination)
    seq = books.value("extend_lane", patient=patient, destination=destination, due_at=due_at)
    state = DeliveryState.QUEUED
    rows.add("delivery", books.id(), message, document, destination, patient, seq, state, due_at, planned.deadline)
    arrive(books, "delivery", state, planned.destination)
