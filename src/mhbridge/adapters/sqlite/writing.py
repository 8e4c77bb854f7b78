"""
The writer of SQLite: beside the commits of every engine it copies the write-ahead log back, between batches.

This module must never keep a commit waiting for a reader.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

import apsw

from mhbridge.adapters.sql.books import Books
from mhbridge.adapters.sql.committing import Die, Writer
from mhbridge.adapters.sqlite.session import SqliteSession

__all__ = ["SqliteWriter"]

#: The WAL is copied back whenever it has grown by so many pages: small and often, so that no commit waits long.
_CHECKPOINT_PAGES: Final = 1_000

#: Milliseconds for which the writer waits for readers when it cuts the WAL, and otherwise, as `opening.WRITER` has it.
_CUT_WAITS: Final = 100
_BUSY: Final = 5_000


class SqliteWriter(Writer):
    """As `Writer`, and the one who checkpoints."""

    def __init__(self, books: Books, die: Die = os._exit) -> None:
        super().__init__(books, die)
        assert isinstance(books.session, SqliteSession)
        self._connection = books.session.connection
        self._pages = 0
        self._copied = 0
        self._connection.set_wal_hook(self._grown)

    def close(self) -> None:
        """Copy the WAL back whole, and close the connection. Where that fails, the next start does it."""
        try:
            if not self._dead:
                with suppress(apsw.BusyError, apsw.FullError, apsw.IOError):
                    self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            super().close()

    def _grown(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def _committed(self) -> None:
        if self._books.tidy:
            self._cut()
            return
        if self._pages < self._copied:
            # All of it had been copied, and SQLite has begun the file again.
            self._copied = 0
        if self._pages - self._copied < _CHECKPOINT_PAGES:
            return
        self._copied = self._pages
        # What is committed is safe in the WAL; the next one tries again.
        with suppress(apsw.BusyError, apsw.FullError):
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _cut(self) -> None:
        """Copy all of the WAL back and cut it to nothing. While somebody reads that cannot be; it is tried again."""
        self._connection.set_busy_timeout(_CUT_WAITS)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._books.tidy = False
            self._copied = self._pages = 0
        except (apsw.BusyError, apsw.FullError):
            pass
        finally:
            self._connection.set_busy_timeout(_BUSY)
