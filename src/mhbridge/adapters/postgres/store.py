"""
The store on PostgreSQL: the same door and the same verbs, each thread with a connection of its own.

Nothing is asked on the event loop: what takes less than a thread's turn on SQLite is a journey over a network here.
Backups are PostgreSQL's own. This module must never remember from one question to the next what another gateway may
have changed.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

import psycopg

from mhbridge.adapters.postgres import opening
from mhbridge.adapters.postgres.opening import Address
from mhbridge.adapters.postgres.session import PostgresSession
from mhbridge.adapters.postgres.sharing import Listener, Sharing
from mhbridge.adapters.sql import leases, stories
from mhbridge.adapters.sql.books import Books
from mhbridge.adapters.sql.committing import Die, Writer, checked_head, refusal
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.shredding import SKIPPED
from mhbridge.adapters.sql.turns import ThreadTurns, Turns
from mhbridge.errors import StoreError
from mhbridge.meters import Histogram
from mhbridge.ports import PARTS, Duties, Meters, Original, Retention, Status

__all__ = ["PostgresStore"]

_T = TypeVar("_T")

#: For the flow, for people, and for what is asked for each message.
_READERS: Final = 3

#: Ids that one `nextval` gives, as the sequence is made.
_BLOCK: Final = 1024


def _left_for_later(reader: Reader) -> bool:
    return bool(reader.value("read_meta", name="later"))


def _skip(reader: Reader) -> None:
    reader.rows("skip_ids", by=SKIPPED)


class Ids:
    """Ids for one writer, in blocks that the database gives."""

    def __init__(self, session: PostgresSession) -> None:
        self._session = session
        self._next = self._end = 0

    def __call__(self) -> int:
        if self._next >= self._end:
            self._draw()
        self._next += 1
        return self._next - 1

    def of_patient(self, token: bytes) -> int:
        """The next id that says in which part a patient is."""
        while True:
            found = self._next + (token[0] - self._next) % PARTS
            if found < self._end:
                self._next = found + 1
                return found
            self._draw()

    def _draw(self) -> None:
        ((self._next,),) = self._session.run("next_ids", {})
        self._end = self._next + _BLOCK

    def renew(self) -> None:
        """
        Throw the rest of the block away: a transaction begins, and others write as well.

        Else what comes later to one gateway would have an earlier id than what came before it to another.
        """
        self._end = 0


class PostgresStore(Sharing):
    """
    Args:
        node: its name among the gateways that share the database.
        master: gives the master key, which is never in the database.
        retention: how long what is kept is kept.
        read_only: what would write is refused.
        writers: how many processes may write at the same time.
        turns: makes what calls are worked on, given a name.
        die: ends the process when it cannot be known whether something was committed.
        duties: whose each task is.
    """

    def __init__(
        self,
        address: Address,
        *,
        master: Callable[[], bytes],
        node: str = "",
        retention: Retention | None = None,
        read_only: bool = False,
        writers: int = 1,
        turns: Callable[[str], Turns] = ThreadTurns,
        die: Die = os._exit,
        duties: Duties | None = None,
    ) -> None:
        self._address = address
        self.node = node or platform.node()
        self._run = leases.run_of(self.node)
        self._listener: Listener | None = None
        self._master = master
        self._retention = retention or Retention()
        self._read_only = read_only
        self._writers = writers
        self._turns = turns
        self._die = die
        self._duties = duties
        self._open = False
        self._books: Books
        self._sessions: list[PostgresSession] = []
        self._near_turns: Turns
        self._size = 0
        self._migrating: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """
        Connect, look at settings, tables, keys and the end of the log, and start the threads.

        Raises:
            StoreError: S204 to S207, S220, S223, S240 to S245, when the store is not to be trusted as it is.
        """
        try:
            await asyncio.to_thread(self._open_sessions)
        except psycopg.Error as error:
            # The kind alone: the text may hold what the configuration keeps secret.
            raise StoreError("S245", f"the database refused a question ({type(error).__name__})") from None
        flow, desk, near = [Reader(session, self._keys, alone=False) for session in self._sessions]
        self._near = near
        self._flow = self._start_reader(self._turns("mhbridge-flow"), flow)
        self._desk = self._start_reader(self._turns("mhbridge-desk"), desk)
        self._near_turns = self._start_reader(self._turns("mhbridge-near"), near)
        if not self._read_only:
            self._writing = self._turns("mhbridge-writer")
            self._writing.start(self._writer.work)
        self._open = True
        await self._measure()
        if not self._read_only and await self.ask(_left_for_later):
            self._migrating = asyncio.create_task(self._migrate_later(), name="mhbridge-migrating")

    async def close(self) -> None:
        """Work what was asked, then end the connections. A store that is not open is left as it is."""
        if not self._open:
            return
        if self._migrating is not None:
            self._migrating.cancel()
            await asyncio.gather(self._migrating, return_exceptions=True)
        self._open = False
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        if not self._read_only:
            await self._writing.stop(self._writer.close)
        for turns, session in zip((self._flow, self._desk, self._near_turns), self._sessions, strict=True):
            await turns.stop(session.close)
        self._sessions.clear()

    def meters(self) -> Meters:
        """What a process can know of the database; how full its disk is, only its own machine knows."""
        return Meters(
            commit_seconds=Histogram() if self._read_only else self._writer.seconds,
            commit_size=Histogram() if self._read_only else self._writer.sizes,
            waiting=0 if self._read_only else self._writing.waiting,
            size=self._size,
            wal_size=0,
            disk_free=0,
            disk_size=0,
        )

    async def status(self, now: datetime) -> Status:
        return replace(await super().status(now), nodes=await self.ask(leases.alive))

    async def restored(self, of: datetime, who: str, now: datetime) -> int:
        # Ids go on far behind those of the backup, as they do after a start where they go on from the rows.
        await self.ask(_skip)
        return await super().restored(of, who, now)

    async def probe(self, now: datetime) -> None:
        await super().probe(now)
        await self._measure()

    async def _measure(self) -> None:
        self._size = await self.ask(Reader.value, "size_of_database")

    async def _at_once(self, verb: Callable[..., _T], *values: Any) -> _T:
        return await self._ask(self._near_turns, verb, *values)

    def _relayed(self, message: int) -> Original:
        with self._connected(writes=False) as connection:
            session = PostgresSession(lambda: connection)
            reader = Reader(session, self._keys, alone=False)
            try:
                original = stories.part(reader, message)
            except Exception as error:  # noqa: BLE001, whatever it is, its caller is told
                raise refusal(error, session) from None
        if original is None:
            raise StoreError("S214", f"there is no message {message}")
        return original

    # --- underneath ---

    def _connected(self, *, writes: bool) -> Any:
        return opening.connected(self._address, opening.VERBS, writes=writes)

    def _open_sessions(self) -> None:
        opened: list[PostgresSession] = []
        try:
            if self._read_only:
                opened.append(PostgresSession(partial(self._connected, writes=False)))
            else:
                opened.append(PostgresSession(partial(self._connected, writes=True)))
                opening.make_tables(opened[0])
            may_make = opening.is_new(opened[0]) and not self._read_only
            self._keys = opening.keys_of(self._address, self._master, may_make=may_make)
            opening.recognise(opened[0], self._keys, may_make=not self._read_only)
            if not self._read_only:
                self._open_writer(opened.pop(0))
            while len(opened) < _READERS:
                opened.append(PostgresSession(partial(self._connected, writes=False)))
        except BaseException:
            for session in opened:
                session.close()
            raise
        self._sessions = opened
        if not self._read_only:
            self._scoped = (self._session, *opened)

    def _open_writer(self, session: PostgresSession) -> None:
        try:
            session.claim(partial(opening.become_writer, most=self._writers))
            alone = self._writers == 1
            ids = Ids(session)
            self._books = Books(
                session,
                self._keys,
                id=ids,
                chain=checked_head(session, self._keys, session.number),
                retention=self._retention,
                duties=self._duties,
                renew=None if alone else ids.renew,
                patient_id=ids.of_patient,
            )
            self._session = session
            self._fence = leases.LeaseFence(session, self._run)
            if not alone:
                self._books.fence, session.news = self._fence, self._fence.news
            self._writer = Writer(self._books, self._die)
        except BaseException:
            session.close()
            raise
