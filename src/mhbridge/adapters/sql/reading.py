"""
What is read: the next deliveries, what is known, messages and their stories, originals.

Each function takes a session that does not write and holds its snapshot for one answer. Every body is checked against
its seal before it is used. This module must never hold a snapshot while somebody waits.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import orjson

from mhbridge.adapters.sql import heads as told
from mhbridge.adapters.sql import merging, series
from mhbridge.adapters.sql.books import GATEWAY, when
from mhbridge.adapters.sql.chain import Chain, LogRow
from mhbridge.adapters.sql.counts import Counts
from mhbridge.adapters.sql.finding import LAST, Search, found
from mhbridge.adapters.sql.folds import Folds, Said
from mhbridge.adapters.sql.ready import episode_token, patient_token
from mhbridge.adapters.sql.sealing import Keys, Seal
from mhbridge.adapters.sql.session import Session
from mhbridge.errors import StoreError
from mhbridge.mapping import record
from mhbridge.mapping.known import only
from mhbridge.model import (
    Carry,
    DeliveryState,
    Document,
    Joining,
    Key,
    Known,
    Later,
    MessageState,
    Past,
    Place,
    Recorded,
)
from mhbridge.ports import ClockRow, DueDelivery, MessageRow, Original, Task, Trace, TraceLine, Waiting

__all__ = ["PURGED", "Reader"]

#: What a body that was purged is refused with.
PURGED: Final = "S222"

#: Patients of whom it is remembered how many readings they have: more than `Folds` remembers.
_STAMPS: Final = 4_000

#: So many log rows are checked with one snapshot.
_LOG_ROWS: Final = 2_000


class Head(NamedTuple):
    """The head of a lane, before its document is read. The columns of `due_heads`."""

    next_at: int
    id: int
    message: int
    patient: int
    seq: int
    state: str
    attempts: int
    deadline: int | None
    document: int
    sent_at: int | None
    needs: int


def _urgent(found: tuple[Head, str]) -> tuple[int, int]:
    """Which of two letters is the more urgent: the one that is due at its receiver sooner."""
    head, _ = found
    return LAST if head.deadline is None else head.deadline, head.next_at


class Reader:
    """
    Answers from one session that only reads, for one thread.

    Args:
        keys: what tokens and seals are made with.
        alone: nobody but this process writes, and whoever commits tells it: what patients are known by is remembered
            from one question to the next. Where others write too, each question is looked up anew.
    """

    def __init__(self, session: Session, keys: Keys, *, alone: bool = True) -> None:
        self.session = session
        self.keys = keys
        self.seal = Seal(keys)
        self.alone = alone
        #: Of each patient who is remembered, how many readings there were and what their ids add up to; and the same of
        #: the merges that are remembered.
        self._stamps: dict[bytes, tuple[int, int]] = {}
        self._merges: tuple[Any, ...] = ()
        #: What has ended and need not be counted again.
        self.counts = Counts()
        #: What patients are known by; whoever commits tells it.
        self.folds = Folds(self._readings)

    def rows(self, name: str, /, **values: Any) -> list[Any]:
        """The rows that the query of this name finds."""
        return self.session.run(name, values)

    def among(self, name: str, keys: Sequence[Any]) -> list[Any]:
        """The rows that a query with `:each` finds for these keys."""
        return self.session.among(name, keys)

    def row(self, name: str, /, **values: Any) -> Any:
        """Its first row, or `None`."""
        return next(iter(self.rows(name, **values)), None)

    def value(self, name: str, /, **values: Any) -> Any:
        """The one value of its first row, or `None`."""
        return next(iter(self.row(name, **values) or ()), None)

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read inside is of one instant."""
        return self.session.snapshot()

    # --- for the flow ---

    def seen(self, key: bytes) -> bool:
        """Whether an envelope with this dedupe key is here."""
        return self.row("seen", dedupe=key) is not None

    def known(self, patient: Key, episode: str, document: str, before: Place | None) -> Known:
        """The fold of the readings of one patient: of one episode and document type, or without them of all."""
        token = episode_token(self.keys, episode) if episode else b""
        whose = patient_token(self.keys, patient)
        if not self.alone:
            self._catch_up(whose)
        return self.folds.known(self.root(whose), document, token, before)

    def said(self, patient: Key, episode: str, carry: Carry) -> list[Later]:
        """What readings say of the items that a letter may carry, in order. Letters are few: all are opened."""
        self._look_anew()
        token = episode_token(self.keys, episode)
        found: list[tuple[Said, Mapping[str, Any]]] = []
        for one in sorted(self._readings(self.root(patient)), key=lambda one: one.order):
            stay, ever = carry.sources.get(one.document, ((), ()))
            if items := only(one.items, (*stay, *ever) if one.episode == token else ever):
                found.append((one, items))
        by_reading = {about: row for about, *row in self.among("messages_of_readings", [one.id for one, _ in found])}
        return [
            Later(one.order[:2], items, one.own, one.id, Recorded(one.document, kind, one.event_at, message))
            for one, items in found
            for message, kind in (by_reading[one.id],)
        ]

    def final(self, patient: Key) -> bytes:
        """As `root`, of the instant at which it is asked."""
        self._look_anew()
        return self.root(patient)

    def _look_anew(self) -> None:
        """Where others write too, what is remembered of merges may not be so any more."""
        if not self.alone:
            self._compare_merges(*self.row("merges"))

    def _compare_merges(self, *merges: Any) -> None:
        if merges != self._merges:
            self.forget()
            self._merges = merges

    def _catch_up(self, patient: bytes) -> None:
        """
        What others have written of a patient since it was last asked for joins what is remembered.

        How many readings there are and what their ids add up to says whether what has come is all that has changed.
        It is asked first: what comes meanwhile is looked for the next time.
        """
        count, total, *merges = self.row("stamp_of_patient", token=patient)
        self._compare_merges(*merges)
        if self.root(patient) != patient or self._parts.get(patient):
            # Those of several identifiers are read together, and few were ever merged.
            self.folds.drop(self.root(patient))
            return
        stamp, before = (count, int(total)), self._stamps.get(patient)
        if stamp == before:
            return
        if len(self._stamps) >= _STAMPS:
            self._stamps.clear()
        self._stamps[patient] = stamp
        newest = self.folds.newest(patient)
        if newest is None or before is None:
            self.folds.drop(patient)
            return
        rows = self.rows("readings_after", token=patient, after=newest)
        if (before[0] + len(rows), before[1] + sum(row[0] for row in rows)) != stamp:
            self.folds.drop(patient)
            return
        for said in sorted(self._opened(rows), key=lambda said: said.order):
            self.folds.add(patient, said)

    def root(self, patient: Key | bytes) -> bytes:
        """The token of the identifier to which one was merged in the end; most often the same."""
        token = patient if isinstance(patient, bytes) else patient_token(self.keys, patient)
        while token in self.merged:
            token = self.merged[token]
        return token

    @cached_property
    def merged(self) -> dict[bytes, bytes]:
        """Token of an identifier → of the one that it was merged into. They are few; whoever commits one says so."""
        return dict(self.rows("merged_tokens"))

    @cached_property
    def _parts(self) -> dict[bytes, set[bytes]]:
        """The same the other way round."""
        found: dict[bytes, set[bytes]] = {}
        for token, into in self.merged.items():
            found.setdefault(into, set()).add(token)
        return found

    def note_merge(self, retired: bytes, survivor: bytes, undone: bool) -> None:
        """Identifiers were merged, or parted: what is known of them is to be read again."""
        if not undone:
            retired, survivor = self.root(retired), self.root(survivor)
        before = self.merged.pop(retired, None)
        if before is not None:
            self._parts[before].discard(retired)
        if not undone and retired != survivor:
            self._parts.setdefault(survivor, set()).add(retired)
            self.merged[retired] = survivor
        self.folds.clear()

    def forget(self) -> None:
        """Readings or patients have gone: what is remembered of them is to be read again."""
        self.folds.clear()
        self._stamps.clear()
        for remembered in ("merged", "_parts"):
            self.__dict__.pop(remembered, None)

    def joining(self, retired: Key, survivor: Key, undone: bool) -> Past:
        """How two identifiers of a merge stand to each other."""
        tokens = patient_token(self.keys, retired), patient_token(self.keys, survivor)
        with self.snapshot():
            found = merging.joining(self.rows, Joining(retired, survivor, undone), *tokens)
        return Past(survivor, "", joining=found)

    def past(self, patient: Key, episode: str, bodies: bool) -> Past:
        """Which documents of an episode there are, and what of them may have left."""
        tokens = patient_token(self.keys, patient), episode_token(self.keys, episode)
        with self.snapshot():
            return series.past(self.rows, Past(patient, episode), *tokens, self._kept_body if bodies else None)

    def _kept_body(self, document: int) -> bytes:
        """The bytes of a document; empty when they are not kept any more or are damaged."""
        try:
            return self.body("document", document)
        except StoreError:
            return b""

    def _readings(self, patient: bytes) -> Iterator[Said]:
        yield from self._opened(self.rows("readings", token=patient))
        for part in self._parts.get(patient, ()):
            for one in self._readings(part):
                yield one._replace(own=False)

    def _opened(self, rows: Sequence[Any]) -> Iterator[Said]:
        for number, document, episode, event_at, sent_at, key, items in rows:
            try:
                said = record.loads(self.seal.open("reading", number, items, key))
            except StoreError as error:
                if error.code != PURGED:
                    raise
                # Its key is gone, and the row follows in a moment.
                continue
            yield Said(number, document, episode, event_at, sent_at, said)

    def due(self, now: int, most: int, without: Collection[str]) -> tuple[list[DueDelivery], list[tuple[int, str]]]:
        """Due heads with their documents, and the deliveries whose documents cannot be read, with the code of why."""
        deliveries: list[DueDelivery] = []
        damaged: list[tuple[int, str]] = []
        for destination, head in self._heads(now, most, without):
            try:
                document = self._document(self.row("document", id=head.document))
            except StoreError as error:
                damaged.append((head.id, error.code))
                continue
            deliveries.append(
                DueDelivery(
                    id=head.id,
                    message=head.message,
                    destination=destination,
                    patient=head.patient,
                    number=head.seq,
                    state=DeliveryState(head.state),
                    attempts=head.attempts,
                    document=document,
                    deadline=_maybe(head.deadline),
                    sent_at=_maybe(head.sent_at),
                    needs=head.needs,
                )
            )
        return deliveries, damaged

    def lapsed(self, at: int) -> bool:
        """Whether an acknowledgement was to be here by now."""
        return bool(self.rows("awaiting_due", now=at, most=1))

    def next_due(self, without: Collection[str]) -> int | None:
        """When the next lane has work."""
        times = (self.value("next_due", destination=about) for about, _ in self._destinations(without))
        return min((at for at in times if at is not None), default=None)

    def _destinations(self, without: Collection[str]) -> list[tuple[int, str]]:
        return [row for row in self.rows("destinations") if row[1] not in without]

    def _heads(self, now: int, most: int, without: Collection[str]) -> list[tuple[str, Head]]:
        # One search of an index for each destination, so that one with a long queue costs the others nothing.
        destinations, found = self._destinations(without), list[tuple[str, Head]]()
        for query, key in (("due_letters", _urgent), ("due_heads", None)):
            heads = [
                sorted(((Head(*row), name) for row in rows), key=key)
                for about, name in destinations
                if (rows := self.rows(query, destination=about, now=now, most=most - len(found)))
            ]
            found += [(name, head) for head, name in islice(heapq.merge(*heads, key=key), most - len(found))]
        return found

    # --- for people ---

    def messages(self, sought: Search, before: int, most: int) -> list[MessageRow]:
        """The newest messages that fit."""
        with self.snapshot():
            return [self.shown(about) for about in found(self, sought, before, most)]

    def shown(self, about: int) -> MessageRow:
        """A message as people see it."""
        return self._row(about)[0]

    def _row(self, about: int) -> tuple[MessageRow, str]:
        """A message as people see it, and its issues as they are stored."""
        number, envelope, feed, kind, place, received_at, state, code, mapping, fanout, issues = self._message(about)
        deliveries: dict[str, int] = dict(self.rows("delivery_states", message=about))
        waiting = self.rows("waiting", message=about) if DeliveryState.PARKED in deliveries else ()
        return (
            MessageRow(
                id=number,
                envelope=envelope,
                feed=feed,
                kind=kind,
                place=place,
                received_at=when(received_at),
                state=MessageState(state),
                code=code,
                mapping=mapping,
                fanout=fanout,
                deliveries=deliveries,
                waiting=tuple([Waiting(*row) for row in waiting]),
            ),
            issues,
        )

    def _message(self, about: int) -> Sequence[Any]:
        row: Sequence[Any] | None = self.row("message", id=about)
        if row is None:
            raise StoreError("S214", f"there is no message {about}")
        return row

    def trace(self, message: int) -> Trace | None:
        """All that is known about one message."""
        with self.snapshot():
            if self.row("message", id=message) is None:
                return None
            row, issues = self._row(message)
            deliveries = tuple([self._delivery(about) for about in self.rows("deliveries", message=message)])
            abouts = [message, *(delivery["id"] for delivery in deliveries)]
            clocks = [_clock(clock) for clock in self.rows("clocks_of_patient", message=message)]
            abouts += [clock.id for clock in clocks]
            tasks = [_task(task) for about in abouts for task in self.rows("tasks_about", about=about)]
            return Trace(
                message=row,
                issues=tuple(orjson.loads(issues)),
                lines=(self._received(row), *self._lines([row.envelope, *abouts, *(task.id for task in tasks)])),
                deliveries=deliveries,
                documents=tuple([_described(about) for about in self.rows("documents", message=message)]),
                tasks=tuple(tasks),
                clocks=tuple(clocks),
            )

    def _received(self, row: MessageRow) -> TraceLine:
        _, transport, peer, answer = self.row("envelope", id=row.envelope) or (0, "", "", "{}")
        said = f"{transport}: {orjson.loads(answer).get('verdict', '')}"
        return TraceLine(row.received_at, "envelope", row.envelope, said, peer or GATEWAY)

    def _lines(self, abouts: Sequence[int]) -> list[TraceLine]:
        rows = sorted(
            chain.from_iterable(self.rows("log_about", about=about) for about in abouts),
            key=lambda row: row[-1],
        )
        return [TraceLine(when(at), what, about, moves, who) for at, what, about, moves, who, _ in rows]

    def _delivery(self, row: Sequence[Any]) -> dict[str, Any]:
        number, destination, document, seq, state, code, level, attempts, due_at, deadline, remote_id, sent_at = row
        tried = self.rows("attempts", delivery=number)
        head = self.row("head_before", id=number)
        return {
            "id": number,
            "destination": destination,
            "document": document,
            "number": seq,
            "state": state,
            "code": code,
            "level": level,
            "attempts": attempts,
            "due_at": _maybe(due_at),
            "deadline": _maybe(deadline),
            "remote_id": remote_id,
            "sent_at": _maybe(sent_at),
            "behind": None if head is None else dict(zip(("delivery", "message", "state", "code"), head, strict=True)),
            "tried": tuple(
                {"n": n, "started_at": when(started), "ended_at": when(ended), "result": result, "code": why}
                for n, started, ended, result, why in tried
            ),
        }

    def original(self, message: int) -> bytes | None:
        """The envelope's bytes, as they were received."""
        envelope = self.value("envelope_of_message", id=message)
        return None if envelope is None else self.body("envelope", envelope)

    def part(self, message: int) -> Original | None:
        """The same, and which of the envelope's messages it is: they are stored in the envelope's order."""
        row = self.row("part_of_envelope", id=message)
        return None if row is None else Original(self.body("envelope", row[0]), *row[1:])

    def documents(self, message: int) -> list[Document]:
        """The documents that a message made."""
        return [self._document(row) for row in self.rows("documents", message=message)]

    def _document(self, row: Sequence[Any] | None) -> Document:
        if row is None:
            raise StoreError("S208", "a document has a delivery, and is not there")
        about, series, _, kind, target, bundle, identifier, media_type, _, status, _ = row
        body = self.body("document", about)
        return Document(kind, target, bundle, series, identifier, body, media_type, status)

    def body(self, table: str, about: int) -> bytes:
        """The bytes of an envelope or a document, which are what was closed."""
        row = self.row("body", id=about)
        if row is None:
            raise StoreError("S208", f"{table} {about} has no body")
        return self.seal.open(table, about, row[1], row[0])

    # --- tasks ---

    def tasks(self, queue: str, ended: bool, before: int, most: int) -> list[Task]:
        """Open tasks, the most urgent first; or all of them, the newest first."""
        if ended:
            rows = self.rows("all_tasks", queue=queue, before=before or LAST, most=most)
        elif queue:
            rows = self.rows("open_tasks_of_queue", queue=queue, most=most)
        else:
            rows = self.rows("open_tasks", most=most)
        return [_task(row) for row in rows]

    # --- the log's chain ---

    def writers(self) -> list[int]:
        """The numbers of those who have written the log: each has a chain of its own."""
        return [writer for (writer,) in self.rows("writers")]

    def log_from(self, chain: Chain) -> int:
        """Follow the log from a row, a short snapshot at a time. Returns how many rows held."""
        followed = 0
        while rows := self._log_rows(chain.writer, chain.seq):
            chain.follow(rows)
            followed += len(rows)
        return followed

    def last_of(self, writer: int) -> tuple[int, bytes]:
        """Number and mac of the last row that a writer wrote; 0 when there is none."""
        seq, mac = self.row("log_head", writer=writer) or (0, b"")
        return seq, mac

    def has_heads(self, heads: Sequence[told.Head]) -> None:
        """
        Check that rows which were told of outside are there, and are what they were.

        Raises:
            StoreError: S224, naming the first that is not.
        """
        for head in heads:
            # An empty log has no row, and nothing could be cut off it.
            if head.seq and self.value("log_mac", writer=head.writer, seq=head.seq) != head.mac:
                at = when(head.at)
                raise StoreError("S224", f"row {head.seq} of the log, its last on {at:%d %B %Y at %H:%M}, is not there")

    def _log_rows(self, writer: int, seq: int) -> list[LogRow]:
        return [LogRow(*row) for row in self.rows("log_rows", writer=writer, seq=seq, most=_LOG_ROWS)]


def _described(row: Sequence[Any]) -> dict[str, Any]:
    about, series, version, kind, target, bundle, identifier, media_type, digest, status, replaces = row
    return {
        "id": about,
        "series": series.hex(),
        "version": version,
        "type": kind,
        "target": target,
        "bundle": bundle,
        "identifier": identifier,
        "media_type": media_type,
        "sha256": digest.hex(),
        "status": status,
        "replaces": replaces,
    }


def _clock(row: Sequence[Any]) -> ClockRow:
    about, name, kind, recipient, started_at, due_at, next_at, step, ladder, state, place = row
    of = len(orjson.loads(ladder))
    starts, due = when(started_at), when(due_at)
    return ClockRow(about, name, kind, recipient, starts, due, _maybe(next_at), step, of, state, place)


def _task(row: Sequence[Any]) -> Task:
    about, what, of, name, cause, queue, severity, opened_at, deadline, next_at, holder, closed_at, closed_as = row
    return Task(
        about, what, of, name, cause, queue, severity, when(opened_at), _maybe(deadline), _maybe(next_at), holder,
        _maybe(closed_at), closed_as,
    )  # fmt: skip


def _maybe(at: int | None) -> Any:
    return None if at is None else when(at)
