"""
The store on SQLite: one thread that writes, two that read, and nothing in memory that is not in the file.

What is asked for each message (is it here already, what is known of its patient) is a search by one key that takes less
than handing it to a thread, and is answered at once. Nothing else may be run here, but for the one query that a relay
reads its original with.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from mhbridge.adapters.disk import free_of
from mhbridge.adapters.sql import stories
from mhbridge.adapters.sql.books import GATEWAY, Books
from mhbridge.adapters.sql.committing import Die, checked_head
from mhbridge.adapters.sql.door import Door
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.turns import ThreadTurns, Turns
from mhbridge.adapters.sqlite import migrating, opening
from mhbridge.adapters.sqlite.session import WRITER_ID, SqliteSession
from mhbridge.adapters.sqlite.writing import SqliteWriter
from mhbridge.errors import StoreError
from mhbridge.meters import Histogram
from mhbridge.ports import Duties, Meters, Original, Purged, Retention

__all__ = ["SqliteStore"]

_T = TypeVar("_T")

#: How long the copy stays that was made before the store came forward from an older version.
_COPIES: Final = timedelta(days=30)


class SqliteStore(Door):
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
        self._books: Books
        self._migrating: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """
        Open the files, check them, and start the threads.

        Raises:
            StoreError: S201 to S208, S220 to S223, when the store is not to be trusted as it is.
        """
        self._open_files()
        self._flow = self._start_reader(self._turns("mhbridge-flow"), self._reader(0))
        self._desk = self._start_reader(self._turns("mhbridge-desk"), self._reader(1))
        # A third connection, for what is answered at once.
        self._near = self._reader(2)
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
        self._near.session.close()
        if not self._read_only:
            self._close_writer()

    async def purge(self, now: datetime, *, who: str = GATEWAY, dry_run: bool = False) -> Purged:
        purged = await super().purge(now, who=who, dry_run=dry_run)
        if not dry_run:
            await asyncio.to_thread(migrating.drop_copies, self._path, now - _COPIES)
        return purged

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

    # --- underneath ---

    async def _at_once(self, verb: Callable[..., _T], *values: Any) -> _T:
        """Answer on the thread that asks, which is the event loop's."""
        self._require_open()
        try:
            return verb(self._near, *values)
        except Exception as error:  # noqa: BLE001, whatever it is, its caller is told
            raise self._refusal(error, self._near) from None

    def _reader(self, number: int) -> Reader:
        return Reader(SqliteSession(self._readers[number]), self._keys)

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
            session = SqliteSession(connection)
            ((last,),) = session.run("last_id", {})
            self._books = Books(
                session,
                self._keys,
                id=partial(next, count((last or 0) + 1)),
                chain=checked_head(session, self._keys, WRITER_ID),
                retention=self._retention,
                duties=self._duties,
            )
            self._writer = SqliteWriter(self._books, self._die)
        except BaseException:
            connection.close()
            raise

    def _close_writer(self) -> None:
        try:
            self._writer.close()
        finally:
            self._lock.close()

    def _relayed(self, message: int) -> Original:
        """
        The original of a message, at once: a relay asks for it while it sends.

        On a connection of its own, since it is asked for on any thread.
        """
        connection = opening.open_reader(self._path, self._connect)
        try:
            original = stories.part(Reader(SqliteSession(connection), self._keys), message)
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
