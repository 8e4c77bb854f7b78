"""
Making envelopes durable: rows, table by table, for a whole batch of them, in the writer's transaction.

A key that is here already writes no envelope: its first answer is given again and the repeat is counted. This module
must never look into a body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from mhbridge.adapters.sql import merging, series, watching
from mhbridge.adapters.sql.backlog import Waits, waits_now
from mhbridge.adapters.sql.books import Books, micros
from mhbridge.adapters.sql.clocks import ReadyDeadline, reconcile
from mhbridge.adapters.sql.figures import count
from mhbridge.adapters.sql.letters import ReadyOvertaken, overtake
from mhbridge.adapters.sql.moves import arrive, move, withdraw
from mhbridge.adapters.sql.ready import Ready, ReadyDelivery, ReadyDocument, ReadyMessage, answer_of
from mhbridge.adapters.sql.repairing import only_new
from mhbridge.adapters.sql.transitions import NEW
from mhbridge.errors import PastChanged, StoreError
from mhbridge.model import Answer, DeliveryState, MessageState, Verdict
from mhbridge.ports import Committed, Pending

__all__ = [
    "Dividing",
    "Numbered",
    "Refusal",
    "Repeat",
    "Settling",
    "Written",
    "commit",
    "divide",
    "refuse",
    "repeat",
    "settle",
]


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


class Numbered(NamedTuple):
    """
    Readings as they were written.

    Args:
        readings: their ids, in the order in which they were made ready.
        before: how many readings this writer had written before them.
    """

    readings: Sequence[int] = ()
    before: int = 0


class Written(NamedTuple):
    """An envelope as it was written; `committed` is `None` where it was not: what its step was told has changed."""

    committed: Committed | None
    numbered: Numbered

    @property
    def is_new(self) -> bool:
        """Something was written."""
        return self.committed is not None and not self.committed.repeated


class Settling(NamedTuple):
    """What became of messages in hand."""

    results: Sequence[tuple[Pending, ReadyMessage]]
    now: int


class Dividing(NamedTuple):
    """A message in hand that stood for a whole envelope, which falls into these."""

    pending: Pending
    messages: Sequence[ReadyMessage]
    now: int


class _Rows:
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
        self.by_table[table].append(row)

    def write(self, books: Books) -> None:
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


def commit(books: Books, items: Sequence[Ready]) -> list[Written]:
    """Envelopes with all that became of them. One that is here already is answered as it was, and counted."""
    here = {key: _first(books, key) for (key,) in books.among("seen_of", [item.key for item in items])}
    new = list({item.key: item for item in reversed(items) if item.key not in here}.values())
    rows = _rows_for(books, [message for item in new for message in item.messages])
    written: list[Written] = []
    for item in items:
        first = here.get(item.key)
        if first is None and _has_changed(books, rows, item.messages):
            written.append(Written(None, Numbered()))
        elif first is None:
            made = _keep(books, rows, item)
            assert made.committed is not None
            here[item.key] = made.committed
            written.append(made)
        else:
            written.append(Written(_again(books, first, item.feed, item.received_at), Numbered()))
    rows.write(books)
    if _bring_forward(books, rows, max((item.received_at for item in new), default=0)):
        written = [
            one if one.committed is None else one._replace(committed=replace(one.committed, awaited=True))
            for one in written
        ]
    return written


def settle(books: Books, items: Sequence[Settling]) -> list[Numbered]:
    """
    What became of messages that were here already and in hand, as `commit` writes it for those that come.

    Raises:
        StoreError: S213, when one of them is not in hand any more as it was taken.
        PastChanged: S218, when what a step was told came before does not hold any more.
    """
    rows = _rows_for(books, [message for item in items for _, message in item.results])
    found = waits_now(books, (pending.id for item in items for pending, _ in item.results))
    books.act_for(one.patient for one in found.values())
    written: list[Numbered] = []
    for item in items:
        before, readings = books.readings, len(rows.by_table["reading"])
        if _has_changed(books, rows, [message for _, message in item.results]):
            raise PastChanged("S218", "what came before has changed meanwhile")
        for pending, message in item.results:
            now = found.pop(pending.id, None)
            if now is None or not now.is_in_hand_as(pending):
                raise StoreError("S213", f"message {pending.id} is not in hand any more")
            _settle_message(books, rows, pending, now, message, item.now)
        numbers = [row[0] for row in rows.by_table["reading"][readings:]]
        books.readings += len(numbers)
        written.append(Numbered(numbers, before))
    rows.write(books)
    return written


def _settle_message(books: Books, rows: _Rows, pending: Pending, now: Waits, message: ReadyMessage, at: int) -> None:
    if message.state == MessageState.STORED:
        _join(books, rows, pending.id, message, at)
        if not message.merges and message.patient is not None:
            books.run(
                "place_message", id=pending.id, patient=books.root(rows.patients[message.patient]),
                retires=_retires(books, rows, message), issues=message.issues,
            )  # fmt: skip
        books.run("put_back", id=pending.id, due_at=message.due_at, starts=0)
        return
    patient = now.patient if message.patient is None else books.root(rows.patients[message.patient])
    if pending.historic:
        message = only_new(books, pending.id, message)
    more = _planned(message) + (", historic" if pending.historic else "")
    move(
        books, "message", pending.id, MessageState.STORED, message.state, feed=now.feed, at=at, code=message.code,
        more=more, due_at=message.due_at,
    )  # fmt: skip
    books.run(
        "settle_message", id=pending.id, patient=patient, kind=message.kind, place=message.place,
        mapping=message.mapping, mapping_hash=message.mapping_hash, fanout=len(message.deliveries),
        issues=message.issues,
    )  # fmt: skip
    _keep_what_became(books, rows, pending.id, patient, message, at)
    if not pending.historic:
        # What a person has worked again was counted the first time.
        count(books, message.figures, micros(pending.received_at))
    if message.state == MessageState.DONE:
        # In their order: those that follow are still in hand, and stay there.
        books.run("bring_forward", patient=patient, now=at)


def divide(books: Books, items: Sequence[Dividing]) -> list[None]:
    """
    An envelope that was kept as one message becomes the messages that it falls into, each to be worked by itself.

    Raises:
        StoreError: S213, when the message is not in hand any more as it was taken.
    """
    for item in items:
        _divide(books, item)
    return [None] * len(items)


def _divide(books: Books, item: Dividing) -> None:
    pending, (first, *others) = item.pending, item.messages
    now = waits_now(books, [pending.id]).get(pending.id)
    if now is None or not now.is_in_hand_as(pending):
        raise StoreError("S213", f"message {pending.id} is not in hand any more")
    books.act_for([now.patient])
    rows = _rows_for(books, item.messages)
    patient = pending.id if first.patient is None else books.root(rows.patients[first.patient])
    books.run("divide_envelope", id=pending.envelope, messages=len(item.messages))
    books.run("put_back", id=pending.id, due_at=item.now, starts=0)
    books.run(
        "settle_message", id=pending.id, patient=patient, kind=first.kind, place=first.place, mapping=first.mapping,
        mapping_hash=first.mapping_hash, fanout=0, issues=first.issues,
    )  # fmt: skip
    books.log(item.now, "message", pending.id, f"is {len(item.messages)} messages")
    _keep_what_became(books, rows, pending.id, patient, first, item.now)
    for message in others:
        _keep_message(books, rows, _source(pending, item.now), pending.envelope, message)
    rows.write(books)
    if pending.historic:
        books.run("historic_as", envelope=pending.envelope)


def _source(pending: Pending, now: int) -> Ready:
    """What the messages of an envelope that is here already have from it."""
    received_at = micros(pending.received_at)
    answer = Answer(Verdict.ACCEPTED, "", pending.received_at)
    return Ready(b"", pending.feed, received_at, "", "", b"", now, answer, "", ())


def _has_changed(books: Books, rows: _Rows, messages: Sequence[ReadyMessage]) -> bool:
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


def _rows_for(books: Books, messages: Sequence[ReadyMessage]) -> _Rows:
    patients = books.patients(token for message in messages for token in message.patients)
    # What is only made durable, and is worked later, any gateway may take.
    books.act_for(
        books.root(patients[token])
        for message in messages
        if message.state != MessageState.STORED or message.merges
        for token in message.patients
    )
    return _Rows(patients, _newest(books, messages))


def _bring_forward(books: Books, rows: _Rows, now: int) -> bool:
    """Where something of a patient has come, what waited for a time waits no longer. Whether anything did."""
    moved = 0
    came = {row[6] for row in rows.by_table["message"] if row[7] in (MessageState.STORED, MessageState.DONE)}
    if came and books.row("anything_waits") is not None:
        for patient in came:
            books.run("bring_forward", patient=patient, now=now)
            moved += books.changed
    return moved > 0


def _newest(books: Books, messages: Iterable[ReadyMessage]) -> dict[bytes, tuple[int, int]]:
    series = dict.fromkeys(document.series for message in messages for document, *_ in message.documents)
    return {one: (about, version) for one, about, version in books.each("newest_versions", [(one,) for one in series])}


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


def _keep(books: Books, rows: _Rows, item: Ready) -> Written:
    envelope, before, readings = books.id(), books.readings, len(rows.by_table["reading"])
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
        item.before,
    )
    rows.add("body", envelope, *books.sealed("envelope", envelope, item.body, item.received_at))
    books.count(item.feed, "receipt", "received")
    messages = tuple([_keep_message(books, rows, item, envelope, message) for message in item.messages])
    answer = replace(item.answer, reference=str(envelope), repeated=False)
    numbers = [row[0] for row in rows.by_table["reading"][readings:]]
    books.readings += len(numbers)
    return Written(Committed(answer, envelope, messages), Numbered(numbers, before))


def _keep_message(books: Books, rows: _Rows, item: Ready, envelope: int, message: ReadyMessage) -> int:
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
        _retires(books, rows, message),
    )
    arrive(books, "message", message.state, item.feed, about=about, at=item.received_at, code=message.code)
    if message.state == MessageState.STORED:
        books.tell_others([patient])
    _keep_what_became(books, rows, about, patient, message, item.received_at)
    count(books, message.figures, item.received_at)
    code = f" {message.code}" if message.code else ""
    books.log(item.answered_at, "message", about, f"{NEW}>{message.state}{code}{_planned(message)}")
    return about


def _keep_what_became(books: Books, rows: _Rows, about: int, patient: int, message: ReadyMessage, due_at: int) -> None:
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
    _join(books, rows, about, message, due_at)
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


def _retires(books: Books, rows: _Rows, message: ReadyMessage) -> int | None:
    return None if message.retires is None else books.root(rows.patients[message.retires])


def _join(books: Books, rows: _Rows, about: int, message: ReadyMessage, at: int) -> None:
    """Identifiers that are one patient's from now on, or no longer."""
    for one in message.merges:
        if one.undone:
            merging.unmerge(books, rows.patients[one.retired], about, at)
        else:
            merging.merge(books, rows.patients[one.retired], rows.patients[one.survivor], about, at)


def _planned(message: ReadyMessage) -> str:
    """What the log says of its deliveries."""
    return f", {len(message.deliveries)} {DeliveryState.QUEUED}" if message.deliveries else ""


class _Origin(NamedTuple):
    """Where a document comes from."""

    message: int
    patient: int
    mapping: str
    at: int


def _keep_document(books: Books, rows: _Rows, origin: _Origin, version: ReadyDocument) -> int:
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
    books: Books, rows: _Rows, message: int, patient: int, document: int, planned: ReadyDelivery, due_at: int
) -> None:
    lane = patient, books.destination(planned.destination)
    rows.lanes.setdefault(lane, []).append(
        _Waiting(books.id(), message, document, due_at, planned.deadline, planned.needs, planned.letter)
    )
    arrive(books, "delivery", DeliveryState.QUEUED, planned.destination)
