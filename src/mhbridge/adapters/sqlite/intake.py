"""
Making envelopes durable: rows, table by table, for a whole batch of them, in the writer's transaction.

A key that is here already writes no envelope: its first answer is given again and the repeat is counted. This module
must never look into a body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from mhbridge.adapters.sql.sealing import Seal
from mhbridge.adapters.sql.transitions import NEW
from mhbridge.adapters.sqlite.books import Books
from mhbridge.adapters.sqlite.moves import arrive
from mhbridge.adapters.sqlite.ready import Ready, ReadyDelivery, ReadyMessage, answer_of
from mhbridge.model import DeliveryState, Document
from mhbridge.ports import Committed

__all__ = ["Refusal", "Repeat", "commit", "refuse", "repeat"]


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
    return Committed(answer_of(envelope, text), envelope, messages, repeated=True)


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


def _keep_message(books: Books, rows: _Rows, item: Ready, envelope: int, message: ReadyMessage) -> int:
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
    books: Books, rows: _Rows, message: int, patient: int, document: int, planned: ReadyDelivery, due_at: int
) -> None:
    destination = books.destination(planned.destination)
    seq = books.value("extend_lane", patient=patient, destination=destination, due_at=due_at)
    state = DeliveryState.QUEUED
    rows.add("delivery", books.id(), message, document, destination, patient, seq, state, due_at, planned.deadline)
    arrive(books, "delivery", state, planned.destination)
