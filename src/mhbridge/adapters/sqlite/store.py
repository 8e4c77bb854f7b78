"""
The store on SQLite: one thread that writes, two that read, and nothing in memory that is not in the file.

This is the door: it turns what the port speaks of into calls for those threads, and waits for them. What is asked for
each message (is it here already, what is known of its patient) is a search by one key that takes less than handing it
to a thread, and is answered at once. Nothing else may be run here, but for the one query that a relay reads its
original with.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from mhbridge.adapters.disk import free_of
from mhbridge.adapters.sql import queries
from mhbridge.adapters.sql.chain import Chain
from mhbridge.adapters.sql.heads import Head, heads_in, line_of
from mhbridge.adapters.sql.sealing import Keys
from mhbridge.adapters.sql.searching import tokens
from mhbridge.adapters.sqlite import (
    accounts,
    acknowledging,
    auditing,
    backlog,
    clocks,
    intake,
    migrating,
    opening,
    purging,
    repairing,
    silence,
    tasks,
)
from mhbridge.adapters.sqlite import moves as verbs
from mhbridge.adapters.sqlite.books import GATEWAY, WRITER_ID, Books, Mark, micros, when
from mhbridge.adapters.sqlite.finding import LAST, Search
from mhbridge.adapters.sqlite.folds import Said
from mhbridge.adapters.sqlite.purging import Purging
from mhbridge.adapters.sqlite.reading import Reader
from mhbridge.adapters.sqlite.ready import ReadyMessage, ready, ready_message
from mhbridge.adapters.sqlite.turns import Call, Result, ThreadTurns, Turns
from mhbridge.adapters.sqlite.writer import IO_ERROR, UNUSABLE, Die, Verb, Writer, log_head, probe, refusal
from mhbridge.errors import PastChanged, StoreError
from mhbridge.meters import Histogram
from mhbridge.model import Answer, DeliveryState, Document, Envelope, Key, Known, MessageState, Outcome, Past, Place
from mhbridge.ports import (
    AuditLine,
    Committed,
    DueDelivery,
    Duties,
    Erased,
    Fired,
    Gap,
    MessageRow,
    Meters,
    Move,
    Original,
    ParkedCause,
    Pending,
    Profile,
    Purged,
    Retention,
    Sought,
    Status,
    Store,
    Task,
    Trace,
    Urgency,
)

__all__ = ["SqliteStore"]

_T = TypeVar("_T")

#: How much of the log is checked before anything is taken.
_CHECKED_AT_START: Final = 1_000

#: Between two pieces of what a migration left for later: what arrives meanwhile has the writer nearly to itself.
_PAUSE: Final = 0.02
#: How long the copy stays that was made before the store came forward from an older version.
_COPIES: Final = timedelta(days=30)
#: Deliveries of a restored store that are doubted in one transaction.
_DOUBTED: Final = 500
#: Before a piece that failed is tried again: the disk may have been full.
_AGAIN: Final = 30.0

_NEEDS_TIME: Final = frozenset({DeliveryState.RETRY, DeliveryState.UNKNOWN, DeliveryState.AWAITING})


class SqliteStore(Store):
    """
    The `Store` of one process, in one file.

    Beside the database `PATH` stand `PATH-wal` and `PATH-shm`, which belong to it, `PATH.keys`, the wrapped keys of its
    bodies, `PATH.key`, the key that these are wrapped under, where it is not kept elsewhere, and `PATH.lock`, which
    keeps other processes from writing. All are readable by their owner alone.

    Args:
        path: the database. It and its directory are made at the first open.
        master: gives the master key; without it, it is in `PATH.key`.
        retention: how long what is kept is kept.
        read_only: for looking into a store that another process has open; what would write is refused.
        turns: makes what calls are worked on, given a name: a thread, or in simulation `InlineTurns`.
        connect: makes a connection; a test puts a file system that breaks under it.
        die: ends the process after an I/O error.
        duties: whose each task is.
    """

    def __init__(
        self,
        path: Path,
        *,
        master: opening.Master | None = None,
        retention: Retention | None = None,
        read_only: bool = False,
        turns: Callable[[str], Turns] = ThreadTurns,
        connect: opening.Connect = apsw.Connection,
        die: Die = os._exit,
        duties: Duties | None = None,
    ) -> None:
        self._path = path
        self._master = master
        self._retention = retention or Retention()
        self._read_only = read_only
        self._turns = turns
        self._connect = connect
        self._die = die
        self._duties = duties
        self._open = False
        self._keys: Keys
        self._books: Books
        self._writing: Turns
        # One for the flow, and one for what people ask: a long answer to a person delays no delivery.
        self._flow: Turns
        self._desk: Turns
        # A third connection, for what is answered at once.
        self._near: Reader
        self._migrating: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """
        Open the files, check them, and start the threads.

        Raises:
            StoreError: S201 to S208, S220 to S223, when the store is not to be trusted as it is.
        """
        self._open_files()
        self._flow = self._start_reader("mhbridge-flow")
        self._desk = self._start_reader("mhbridge-desk")
        self._near = Reader(self._readers[2], self._keys)
        if not self._read_only:
            self._writing = self._turns("mhbridge-writer")
            self._writing.start(self._writer.work)
        self._open = True
        if not self._read_only and self._near.value("read_meta", name="later"):
            self._migrating = asyncio.create_task(self._migrate_later(), name="mhbridge-migrating")

    async def close(self) -> None:
        """Work what was asked, then close the files. A store that is not open is left as it is."""
        if not self._open:
            return
        if self._migrating is not None:
            self._migrating.cancel()
            await asyncio.gather(self._migrating, return_exceptions=True)
        self._open = False
        if not self._read_only:
            await self._writing.stop(lambda: None)
        for reading, connection in ((self._flow, self._readers[0]), (self._desk, self._readers[1])):
            await reading.stop(connection.close)
        self._near.connection.close()
        if not self._read_only:
            self._close_writer()

    # --- receipts ---

    async def repeat(self, envelope: Envelope, key: bytes) -> Committed | None:
        if not self._answer_now(Reader.seen, key):
            return None
        found: Committed | None = await self._write(
            intake.repeat, intake.Repeat(key, envelope.feed, micros(envelope.received_at))
        )
        return found

    async def known(self, patient: Key, episode: str, document: str, before: Place | None = None) -> Known:
        return self._answer_now(Reader.known, patient, episode, document, before)

    async def commit(
        self,
        envelope: Envelope,
        key: bytes,
        outcomes: Sequence[Outcome],
        answer: Answer,
        deadlines: Mapping[str, float],
        *,
        starts: int = 0,
    ) -> Committed:
        self._require_writing()
        made = ready(self._keys, envelope, key, outcomes, answer, deadlines, starts)
        written: intake.Written = await self._write(
            intake.commit, made, lambda written: self._note(made.messages if written.is_new else (), written.numbered)
        )
        if written.committed is None:
            raise PastChanged("S218", "what came before has changed meanwhile")
        return written.committed

    async def joining(self, retired: Key, survivor: Key, *, undone: bool = False) -> Past:
        return self._answer_now(Reader.joining, retired, survivor, undone)

    async def root(self, patient: Key) -> bytes:
        return self._answer_now(Reader.root, patient)

    async def past(self, patient: Key, episode: str, *, bodies: bool = False) -> Past:
        return self._answer_now(Reader.past, patient, episode, bodies)

    def _note(self, messages: Sequence[ReadyMessage], written: intake.Numbered) -> None:
        """What was made durable is known from now on, and need not be read again."""
        readings = [reading for message in messages for reading in message.readings]
        for number, (about, reading) in enumerate(zip(written.readings, readings, strict=False), written.before + 1):
            whose = self._near.root(reading.patient)
            place = reading.document, reading.episode, reading.event_at, reading.sent_at
            said = Said(about, *place, reading.said, own=whose == reading.patient)
            self._near.folds.note(number, whose, said)
        for message in messages:
            for merge in message.merges:
                self._near.note_merge(*merge)

    async def refuse(self, feed: str, code: str, at: datetime) -> None:
        await self._write(intake.refuse, intake.Refusal(feed, code, micros(at)))

    # --- the backlog ---

    async def busy(self, patients: Sequence[Key]) -> bool:
        return self._answer_now(backlog.busy, patients)

    async def waiting(self, now: datetime, most: int) -> Sequence[Pending]:
        return await self._ask(self._flow, backlog.waiting, micros(now), most)

    async def as_pending(self, message: int) -> Pending | None:
        return await self._ask(self._desk, backlog.as_pending, message)

    async def next_waiting(self, now: datetime) -> datetime | None:
        at = await self._ask(self._flow, backlog.next_waiting, micros(now))
        return None if at is None else when(at)

    async def begin(self, messages: Sequence[Pending], now: datetime, until: datetime) -> Sequence[Pending]:
        taken: list[Pending] = await self._write(
            backlog.begin, backlog.Beginning(tuple(messages), micros(now), micros(until))
        )
        return taken

    async def settle(
        self, results: Sequence[tuple[Pending, Outcome]], now: datetime, deadlines: Mapping[str, float]
    ) -> None:
        self._require_writing()
        made = [(pending, self._ready(pending, outcome, now, deadlines)) for pending, outcome in results]
        await self._write(
            intake.settle,
            intake.Settling(made, micros(now)),
            lambda written: self._note([message for _, message in made], written),
        )

    def _ready(self, pending: Pending, outcome: Outcome, now: datetime, deadlines: Mapping[str, float]) -> ReadyMessage:
        received_at = micros(pending.received_at)
        # What a person has worked again long after it came has as long as if it had come now.
        since = micros(now) if pending.historic or outcome.state is MessageState.STORED else received_at
        return ready_message(self._keys, outcome, received_at, since, deadlines)

    async def divide(self, pending: Pending, outcomes: Sequence[Outcome], now: datetime) -> None:
        self._require_writing()
        made = [self._ready(pending, outcome, now, {}) for outcome in outcomes]
        await self._write(intake.divide, intake.Dividing(pending, made, micros(now)))

    async def put_back(self, messages: Sequence[Pending], now: datetime, *, counted: bool) -> None:
        await self._write(backlog.put_back, backlog.PuttingBack(tuple(messages), micros(now), counted))

    async def envelope(self, envelope: int) -> Envelope | None:
        return await self._ask(self._flow, backlog.envelope, envelope)

    # --- deliveries ---

    async def due(self, now: datetime, most: int, *, without: Collection[str] = ()) -> Sequence[DueDelivery]:
        at = micros(now)
        deliveries, damaged = await self._ask(self._flow, Reader.due, at, most, without)
        for about, code in damaged:
            await self._write(verbs.park, verbs.Parking(about, code, at))
        return [replace(found, original=partial(self._relayed, found.message)) for found in deliveries]

    async def next_due(self, *, without: Collection[str] = ()) -> datetime | None:
        at = await self._ask(self._flow, Reader.next_due, without)
        return None if at is None else when(at)

    async def start(self, deliveries: Sequence[int], now: datetime, look_at: datetime) -> Sequence[int]:
        taken: list[int] = await self._write(
            verbs.start, verbs.Starting(tuple(deliveries), micros(now), micros(look_at))
        )
        return taken

    async def finish(self, moves: Sequence[Move], now: datetime) -> None:
        for move in moves:
            if move.state in _NEEDS_TIME and move.due_at is None:
                raise ValueError(f"delivery {move.delivery} has no time at which {move.state} is looked at")
        await self._write(verbs.finish, verbs.Finishing(tuple(moves), micros(now)))

    async def recover(self, now: datetime) -> int:
        found: int = await self._write(verbs.recover, micros(now))
        return found

    # --- people ---

    async def resend(self, message: int, who: str, now: datetime, *, to: str = "") -> int:
        made: int = await self._write(verbs.resend, verbs.Resending(message, who, micros(now), to))
        return made

    async def reprocess(self, messages: Sequence[int], who: str, now: datetime, *, every: float = 0.0) -> Sequence[int]:
        item = repairing.Reprocessing(tuple(messages), who, micros(now), round(every * 1_000_000))
        # What was folded of their readings is not known any more.
        taken: list[int] = await self._write(repairing.reprocess, item, lambda _: self._near.folds.clear())
        return taken

    async def parked_causes(self) -> Sequence[ParkedCause]:
        return await self._ask(self._desk, repairing.parked_causes)

    async def parked_of(self, code: str, *, feed: str = "", most: int = 1000) -> Sequence[int]:
        return await self._ask(self._desk, repairing.parked_of, code, feed, most)

    async def release(self, delivery: int, who: str, now: datetime) -> bool:
        released: bool = await self._write(verbs.release, verbs.Releasing(delivery, who, micros(now)))
        return released

    async def close_message(self, message: int, who: str, why: str, now: datetime) -> bool:
        closed: bool = await self._write(verbs.close, verbs.Closing(message, who, why, micros(now)))
        return closed

    async def messages(
        self,
        *,
        state: str = "",
        feed: str = "",
        search: str = "",
        kind: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        before: int = 0,
        most: int = 100,
    ) -> Sequence[MessageRow]:
        self._require_open()
        sought = Search(
            state,
            feed,
            tokens(self._keys, kind, search) if search else {},
            search.strip() if kind in ("", Sought.REMOTE) else "",
            0 if since is None else micros(since),
            LAST if until is None else micros(until),
        )
        if search and not (sought.tokens or sought.remote_id):
            # What it says cannot be one of this kind.
            return []
        return await self._ask(self._desk, Reader.messages, sought, before or LAST, most)

    async def trace(self, message: int) -> Trace | None:
        return await self._ask(self._desk, Reader.trace, message)

    async def original(self, message: int) -> bytes | None:
        return await self._ask(self._desk, Reader.original, message)

    async def documents(self, message: int) -> Sequence[Document]:
        return await self._ask(self._desk, Reader.documents, message)

    async def receipts(self) -> int:
        return await self._ask(self._desk, accounts.receipts)

    async def status(self, now: datetime) -> Status:
        return await self._ask(self._desk, accounts.status, now)

    # --- audit ---

    async def audit(self, who: str, act: str, about: int, now: datetime, *, why: str = "") -> None:
        await self._write(auditing.audit, auditing.Auditing(micros(now), who, act, about, why))

    async def audited(
        self, *, who: str = "", about: int = 0, since: datetime | None = None, before: int = 0, most: int = 100
    ) -> Sequence[AuditLine]:
        at = 0 if since is None else micros(since)
        return await self._ask(self._desk, auditing.audited, who, about, at, before, most)

    # --- keeping ---

    async def purge(self, now: datetime, *, who: str = GATEWAY, dry_run: bool = False) -> Purged:
        purged = await self._purging().run(now, who=who, dry_run=dry_run)
        if not dry_run:
            await asyncio.to_thread(migrating.drop_copies, self._path, now - _COPIES)
        if purged.cleared:
            await self._forget()
        return purged

    async def erase(self, kind: str, patient: str, who: str, basis: str, now: datetime) -> Erased:
        self._require_writing()
        found = await self._ask(self._desk, purging.patients, kind, tuple(tokens(self._keys, kind, patient).values()))
        erased = await self._purging().erase(found, who, basis, now)
        await self._forget()
        return erased

    async def _forget(self) -> None:
        """What readers remember of patients may not be there any more."""
        self._near.forget()
        for reading in (self._flow, self._desk):
            await self._ask(reading, Reader.forget)

    async def log_head(self, now: datetime) -> tuple[str, str]:
        mark: Mark = await self._write(log_head, None)
        return f"{mark.seq} {mark.mac.hex()}", line_of(self._keys, Head(micros(now), WRITER_ID, mark.seq, mark.mac))

    async def verify_heads(self, lines: Sequence[str]) -> int:
        heads = heads_in(self._keys, lines)
        await self._ask(self._desk, Reader.has_heads, heads)
        return len(heads)

    async def verify_bodies(self) -> tuple[int, int, int]:
        """Open every body and reading: how many opened, how many are purged, how many do neither."""
        counts = [0, 0, 0]
        for table in ("body", "reading"):
            after, begun = 0, False
            while after or not begun:
                begun = True
                after, *some = await self._ask(self._desk, purging.bodies_page, table, after)
                counts = [sum(pair) for pair in zip(counts, some, strict=True)]
        opened, purged, damaged = counts
        return opened, purged, damaged

    async def restored(self, of: datetime, who: str, now: datetime) -> int:
        """Once, after this store was made from a backup of an instant. Returns how many deliveries are doubtful."""
        await self._write(purging.note, purging.Noting(of, who, micros(now)))
        while await self._write(verbs.doubt, verbs.Doubting(_DOUBTED, micros(now))):
            pass
        await self._write(purging.tidy, None)
        return (await self.status(now)).deliveries.get(DeliveryState.UNKNOWN, 0)

    @property
    def keys(self) -> Keys:
        """What tokens, seals and signatures are made with."""
        return self._keys

    def _purging(self) -> Purging:
        return Purging(partial(self._ask, self._desk), self._write, self._keys.ring, self._retention.days)

    async def verify_log(self) -> int:
        head: Mark | None = None if self._read_only else await self._write(log_head, None)
        chain = Chain(self._keys.log, WRITER_ID)
        held = await self._ask(self._desk, Reader.log_from, chain)
        # The end may be cut off without breaking the chain: what was last written here must still be there.
        if head is not None and chain.seq < head.seq:
            raise StoreError("S207", f"row {chain.seq + 1} of the log is missing")
        return held

    def meters(self) -> Meters:
        free, size = free_of(self._path)
        return Meters(
            commit_seconds=Histogram() if self._read_only else self._writer.seconds,
            commit_size=Histogram() if self._read_only else self._writer.sizes,
            waiting=0 if self._read_only else self._writing.waiting,
            size=_size(self._path),
            wal_size=_size(self._path.with_name(f"{self._path.name}-wal")),
            disk_free=free,
            disk_size=size,
        )

    async def probe(self, now: datetime) -> None:
        await self._write(probe, micros(now))

    # --- tasks ---

    async def raise_task(
        self,
        what: str,
        cause: str,
        now: datetime,
        *,
        about: int = 0,
        name: str = "",
        queue: str = "",
        severity: Urgency | None = None,
        deadline: datetime | None = None,
    ) -> int:
        until = None if deadline is None else micros(deadline)
        raising = tasks.Raising(what, cause, micros(now), about, name, queue, severity, until)
        task: int = await self._write(tasks.open_task, raising)
        return task

    async def close_task(self, what: str, as_what: str, now: datetime, *, about: int = 0, name: str = "") -> bool:
        ended: bool = await self._write(tasks.end, tasks.Ending(what, as_what, micros(now), about, name))
        return ended

    async def tasks(self, *, queue: str = "", ended: bool = False, before: int = 0, most: int = 100) -> Sequence[Task]:
        return await self._ask(self._desk, Reader.tasks, queue, ended, before, most)

    async def take_task(self, task: int, who: str, now: datetime) -> bool:
        taken: bool = await self._write(tasks.take, tasks.Taking(task, who, micros(now)))
        return taken

    async def finish_task(self, task: int, who: str, as_what: str, now: datetime) -> bool:
        ended: bool = await self._write(tasks.finished, tasks.Finished(task, who, as_what, micros(now)))
        return ended

    async def fire(self, now: datetime, most: int = 100) -> Sequence[Fired]:
        fired: list[Fired] = await self._write(clocks.fire, tasks.Firing(micros(now), most))
        return fired

    async def next_fire(self) -> datetime | None:
        at = await self._ask(self._flow, Reader.value, "next_fire")
        return None if at is None else when(at)

    # --- acknowledgements ---

    async def acknowledge(
        self, destination: str, remote_id: str, level: int, now: datetime, *, refused: str = ""
    ) -> bool:
        said = acknowledging.Acknowledging(destination, remote_id, level, micros(now), refused)
        found: bool = await self._write(acknowledging.acknowledge, said)
        return found

    async def lapse(self, now: datetime, most: int = 100) -> Sequence[int]:
        # Most of the time none has lapsed, and then nothing is written.
        at = micros(now)
        if not await self._ask(self._flow, Reader.lapsed, at):
            return []
        late: list[int] = await self._write(acknowledging.lapse, acknowledging.Lapsing(at, most))
        return late

    # --- silence ---

    async def profiles(self) -> Sequence[Profile]:
        return await self._ask(self._desk, silence.profiles)

    async def keep_profiles(self, profiles: Sequence[Profile]) -> None:
        await self._write(silence.keep_profiles, tuple(profiles))

    async def gaps(self) -> Sequence[Gap]:
        return await self._ask(self._desk, silence.gaps)

    async def keep_gaps(self, feed: str, gaps: Sequence[Gap]) -> None:
        await self._write(silence.keep_gaps, silence.Missing(feed, tuple(gaps)))

    # --- underneath ---

    async def _migrate_later(self) -> None:
        """What a migration left for later, piece by piece, until the store closes or nothing is left."""
        left = True
        while left:
            try:
                left = await self._write(migrating.later, None)
                await asyncio.sleep(_PAUSE)
            except StoreError:
                # Whatever it needs works without it, only slower; what can be done about it is not done here.
                await asyncio.sleep(_AGAIN)

    def _open_files(self) -> None:
        try:
            self._open_them()
        except (OSError, apsw.Error) as error:
            # Not the error's own text: it has a path again, which may be of a file beside the store.
            why = getattr(error, "strerror", None) or type(error).__name__
            raise StoreError("S216", f"the files of the store {self._path} cannot be made or opened: {why}") from error

    def _open_them(self) -> None:
        opening.refuse_build(apsw.sqlite_lib_version())
        find = opening.find_files if self._read_only else opening.open_files
        self._keys = find(self._path, self._master)
        self._readers: list[apsw.Connection] = []
        if not self._read_only:
            self._lock = opening.lock(self._path)
            try:
                self._open_writer()
            except BaseException:
                self._lock.close()
                raise
        try:
            for _ in range(3):
                self._readers.append(opening.open_reader(self._path, self._connect, self._keys))
        except BaseException:
            for connection in self._readers:
                connection.close()
            if not self._read_only:
                self._close_writer()
            raise

    def _open_writer(self) -> None:
        connection = opening.open_writer(self._path, self._keys, self._connect)
        try:
            chain = self._checked_head(connection)
            last_id = connection.execute(queries()["last_id"]).get or 0
            self._books = Books(
                connection,
                self._keys,
                last_id=last_id,
                chain=chain,
                retention=self._retention,
                duties=self._duties,
            )
            self._writer = Writer(self._books, self._die)
        except BaseException:
            connection.close()
            raise

    def _checked_head(self, connection: apsw.Connection) -> Chain:
        """The head of the log's chain, when the last rows before it hold."""
        head = connection.execute(queries()["log_head"], {"writer": WRITER_ID}).fetchone()
        if head is None:
            return Chain(self._keys.log, WRITER_ID)
        values = {"writer": WRITER_ID, "seq": head[0] - _CHECKED_AT_START}
        before = connection.execute(queries()["log_before"], values).fetchone()
        chain = Chain(self._keys.log, WRITER_ID, *(before or ()))
        Reader(connection, self._keys).log_from(chain)
        return chain

    def _close_writer(self) -> None:
        try:
            self._writer.close()
        finally:
            self._lock.close()

    def _start_reader(self, name: str) -> Turns:
        turns = self._turns(name)
        reader = Reader(self._readers[0 if name.endswith("flow") else 1], self._keys)

        def work(batch: Sequence[Call]) -> Sequence[Result]:
            return [self._answer(reader, call) for call in batch]

        turns.start(work)
        return turns

    def _answer(self, reader: Reader, call: Call) -> Result:
        try:
            return Result(call, call.verb(reader, *call.item))
        except Exception as error:  # noqa: BLE001, whatever it is, its caller is told
            return Result(call, error=self._refusal(error))

    def _refusal(self, error: Exception) -> Exception:
        if isinstance(error, apsw.IOError):
            # As for the writer: nothing is read again of what the kernel may have thrown away.
            if not self._read_only:
                self._die(IO_ERROR)
            return StoreError("S209", UNUSABLE)
        return refusal(error)

    async def _ask(self, turns: Turns, verb: Callable[..., _T], *values: Any) -> _T:
        """Let a reader answer."""
        self._require_open()
        call = Call(verb, values, asyncio.get_running_loop().create_future())
        turns.put(call)
        answer: _T = await call.future
        return answer

    def _answer_now(self, verb: Callable[..., _T], *values: Any) -> _T:
        """Answer on the thread that asks, which is the event loop's."""
        self._require_open()
        try:
            return verb(self._near, *values)
        except Exception as error:  # noqa: BLE001, whatever it is, its caller is told
            raise self._refusal(error) from None

    async def _write(self, verb: Verb, item: Any, noted: Callable[[Any], None] | None = None) -> Any:
        """Let the writer do it: when this returns, it is durable."""
        self._require_writing()
        loop = asyncio.get_running_loop()
        call = Call(verb, item, loop.create_future(), loop, noted)
        self._writing.put(call)
        return await call.future

    def _require_open(self) -> None:
        if not self._open:
            raise StoreError("S215", "the store is not open")

    def _require_writing(self) -> None:
        self._require_open()
        if self._read_only:
            raise StoreError("S215", "the store is open for reading only")

    def _relayed(self, message: int) -> Original:
        """
        The original of a message, at once: a relay asks for it while it sends.

        On a connection of its own, since it is asked for on any thread.
        """
        connection = opening.open_reader(self._path, self._connect)
        try:
            original = Reader(connection, self._keys).part(message)
        finally:
            connection.close()
        if original is None:
            raise StoreError("S214", f"there is no message {message}")
        return original


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
