"""
The rows that a batch of messages becomes, table by table, and all that hangs on a message which has its row.

This module must never look into a body, and never write a row by itself before its batch is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mhbridge.adapters.sql import merging, series, watching
from mhbridge.adapters.sql.books import Books
from mhbridge.adapters.sql.clocks import ReadyDeadline, reconcile
from mhbridge.adapters.sql.figures import count
from mhbridge.adapters.sql.letters import ReadyOvertaken, overtake
from mhbridge.adapters.sql.moves import arrive, withdraw
from mhbridge.adapters.sql.ready import Ready, ReadyDelivery, ReadyDocument, ReadyMessage
from mhbridge.adapters.sql.transitions import NEW
from mhbridge.model import DeliveryState, MessageState

__all__ = [
    "Numbered",
    "Rows",
    "has_changed",
    "join_patients",
    "keep_message",
    "keep_what_became",
    "retired_patient",
    "rows_for",
    "told_deliveries",
]


class Numbered(NamedTuple):
    """
    Readings as they were written.

    Args:
        readings: their ids, in the order in which they were made ready.
        before: how many readings this writer had written before them.
    """

    readings: Sequence[int] = ()
    before: int = 0


class Rows:
    """
    The rows of a batch, by table, in the order in which the tables are written.

    Args:
        patients: token → id.
        newest: series → id and number of its newest version, kept up while rows are made.
    """

    TABLES: Final = ("envelope", "message", "reading", "document", "delivery", "property", "identity", "body")

    def __init__(self, patients: Mapping[bytes, int], newest: dict[bytes, tuple[int, int]]) -> None:
        self.by_table: dict[str, list[tuple[Any, ...]]] = {table: [] for table in self.TABLES}
        self.patients = patients
        self.newest = newest
        #: What joins each lane, in order, but for its place there: the row of a delivery without `seq`.
        self.lanes: dict[tuple[int, int], list[_Waiting]] = {}
        #: Patients of whom there are messages.
        self.whose: set[int] = set()
        #: Patient and episode whose documents the batch adds to: what is read of them is not all that there is.
        self.touched: set[tuple[int, bytes]] = set()
        #: Token and patient → kind. Most of a batch say of a patient what is known.
        self.identities: dict[tuple[bytes, int], int] = {}
        #: Patient, now and clock that ought to run, in the order of the messages that say so.
        self.deadlines: list[tuple[int, int, ReadyDeadline]] = []
        #: Message, patient, now and the letters that it has overtaken.
        self.overtaken: list[tuple[int, int, int, ReadyOvertaken]] = []
        #: Patient → what their messages may be to a watch.
        self.watched: dict[int, watching.Seen] = {}

    def add(self, table: str, *row: Any) -> None:
        """One row more of a table."""
        self.by_table[table].append(row)

    def write(self, books: Books) -> None:
        """All of them, and what follows from them."""
        self._join_lanes(books)
        self.by_table["identity"] = [(*identity, kind) for identity, kind in self.identities.items()]
        for table, rows in self.by_table.items():
            books.each(f"add_{table}", rows)
        reconcile(books, self.deadlines)
        overtake(books, self.overtaken)
        if self.watched:
            watching.see(books, self.watched)

    def _join_lanes(self, books: Books) -> None:
        new = [
            (*lane, len(joining), len(joining), joining[0].due_at, sum(one.letter for one in joining))
            for lane, joining in self.lanes.items()
        ]
        for patient, destination, last in books.each("extend_lane", new):
            joining = self.lanes[patient, destination]
            for seq, one in enumerate(joining, last - len(joining) + 1):
                self.add(
                    "delivery", one.id, one.message, one.document, destination, patient, seq, DeliveryState.QUEUED,
                    one.due_at, one.deadline, one.needs,
                )  # fmt: skip


class _Waiting(NamedTuple):
    """A delivery that joins a lane."""

    id: int
    message: int
    document: int
    due_at: int
    deadline: int | None
    needs: int
    letter: bool


def has_changed(books: Books, rows: Rows, messages: Sequence[ReadyMessage]) -> bool:
    """Whether what the steps of these messages were told of their episodes does not hold any more."""
    touched = set()
    for message in messages:
        for patient, episode, told, retired in message.past:
            if told.joining is not None:
                # What is not yet in the tables cannot be moved.
                if {books.root(rows.patients[one]) for one in (patient, retired) if one in rows.patients} & rows.whose:
                    return True
                if merging.joining(books.run, told.joining, retired, patient) != told.joining:
                    return True
                continue
            about = books.root(rows.patients[patient]), episode
            if about in rows.touched or series.past(books.run, told, patient, episode) != told:
                return True
            touched.add(about)
    rows.touched |= touched
    return False


def rows_for(books: Books, messages: Sequence[ReadyMessage]) -> Rows:
    """No rows yet, of a batch of these messages; of whoever they are about nobody else writes meanwhile."""
    patients = books.patients(token for message in messages for token in message.patients)
    # What is only made durable, and is worked later, any gateway may take.
    books.act_for(
        books.root(patients[token])
        for message in messages
        if message.state != MessageState.STORED or message.merges
        for token in message.patients
    )
    return Rows(patients, _newest(books, messages))


def _newest(books: Books, messages: Iterable[ReadyMessage]) -> dict[bytes, tuple[int, int]]:
    series = dict.fromkeys(document.series for message in messages for document, *_ in message.documents)
    return {one: (about, version) for one, about, version in books.each("newest_versions", [(one,) for one in series])}


def keep_message(books: Books, rows: Rows, item: Ready, envelope: int, message: ReadyMessage) -> int:
    """The row of a message and all that hangs on it; its id."""
    about = books.id()
    # A message that names no patient is its own: ids are from one sequence, so it shares its lanes with nobody.
    patient = about if message.patient is None else books.root(rows.patients[message.patient])
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
        item.starts,
        message.mapping,
        message.mapping_hash,
        len(message.deliveries),
        message.issues,
        retired_patient(books, rows, message),
    )
    arrive(books, "message", message.state, item.feed, about=about, at=item.received_at, code=message.code)
    if message.state == MessageState.STORED:
        books.tell_others([patient])
    keep_what_became(books, rows, about, patient, message, item.received_at)
    count(books, message.figures, item.received_at)
    code = f" {message.code}" if message.code else ""
    books.log(item.answered_at, "message", about, f"{NEW}>{message.state}{code}{told_deliveries(message)}")
    return about


def keep_what_became(books: Books, rows: Rows, about: int, patient: int, message: ReadyMessage, due_at: int) -> None:
    """All that hangs on a message which has its row: readings, documents, deliveries, and what it is found by."""
    for reading in message.readings:
        number = books.id()
        rows.add(
            "reading",
            number,
            about,
            rows.patients[reading.patient],
            reading.document,
            reading.episode,
            reading.event_at,
            reading.sent_at,
            *books.sealed("reading", number, reading.items, due_at),
        )
    rows.whose.add(patient)
    if message.watched and message.readings:
        heard = message.watched, message.mapping.partition("/")[0], due_at
        before = rows.watched.get(patient)
        rows.watched[patient] = watching.Seen(*heard) if before is None else before.then(*heard)
    join_patients(books, rows, about, message, due_at)
    withdraw(books, message.withdrawals, about, due_at)
    documents = [
        _keep_document(books, rows, _Origin(about, patient, message.mapping_hash, due_at), document)
        for document in message.documents
    ]
    for planned in message.deliveries:
        _plan(books, rows, about, patient, documents[planned.document], planned, due_at)
    for token, kind in message.properties:
        rows.add("property", token, about, kind)
    rows.identities.update(((token, patient), kind) for token, kind in message.identities)
    rows.deadlines += [(books.root(rows.patients[one.patient]), due_at, one) for one in message.deadlines]
    rows.overtaken += [(about, books.root(rows.patients[one.patient]), due_at, one) for one in message.overtaken]


def retired_patient(books: Books, rows: Rows, message: ReadyMessage) -> int | None:
    """The patient whose record ends with this message."""
    return None if message.retires is None else books.root(rows.patients[message.retires])


def join_patients(books: Books, rows: Rows, about: int, message: ReadyMessage, at: int) -> None:
    """Identifiers that are one patient's from now on, or no longer."""
    for one in message.merges:
        if one.undone:
            merging.unmerge(books, rows.patients[one.retired], about, at)
        else:
            merging.merge(books, rows.patients[one.retired], rows.patients[one.survivor], about, at)


def told_deliveries(message: ReadyMessage) -> str:
    """What the log says of its deliveries."""
    return f", {len(message.deliveries)} {DeliveryState.QUEUED}" if message.deliveries else ""


class _Origin(NamedTuple):
    """Where a document comes from."""

    message: int
    patient: int
    mapping: str
    at: int


def _keep_document(books: Books, rows: Rows, origin: _Origin, version: ReadyDocument) -> int:
    document = version.document
    about = books.id()
    replaces, number = rows.newest.get(document.series, (None, 0))
    rows.newest[document.series] = (about, number + 1)
    rows.add(
        "document",
        about,
        document.series,
        number + 1,
        origin.message,
        document.type,
        document.target,
        document.bundle,
        document.identifier,
        document.media_type,
        version.digest,
        document.status,
        replaces,
        origin.mapping,
        document.known,
        origin.patient,
        version.episode,
        document.content,
    )
    rows.add("body", about, *books.sealed("document", about, document.body, origin.at, document.type))
    return about


def _plan(
    books: Books, rows: Rows, message: int, patient: int, document: int, planned: ReadyDelivery, due_at: int
) -> None:
    lane = patient, books.destination(planned.destination)
    rows.lanes.setdefault(lane, []).append(
        _Waiting(books.id(), message, document, due_at, planned.deadline, planned.needs, planned.letter)
    )
    arrive(books, "delivery", DeliveryState.QUEUED, planned.destination)
