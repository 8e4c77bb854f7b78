"""
A session with SQLite: named queries on one connection, and what its errors mean.

Many rows go with one statement, since a step of a statement lets other threads go first. This module must never set a
pragma: that is done when the connection is opened.
"""

# ruff: noqa: D102 - `Session` says what each method promises

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import Any, Final

import apsw

from mhbridge.adapters.sql import queries
from mhbridge.adapters.sql.session import Fault, Session, portions
from mhbridge.errors import StoreError

__all__ = ["WRITER_ID", "SqliteSession"]

#: The number among those that write one database: a file has one.
WRITER_ID: Final = 1

#: A row of values: `?`, or one that says of which type it is.
_VALUES: Final = re.compile(r"\((?:(?:\?|cast\(\? as \w+\))(?:, )?)+\)")


class SqliteSession(Session):
    """
    Args:
        connection: opened with its pragmas.
    """

    number = WRITER_ID

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self._queries = queries()

    @property
    def changed(self) -> int:
        return self.connection.changes()

    def run(self, name: str, values: Mapping[str, Any]) -> list[Any]:
        return self.connection.execute(self._queries[name], values).fetchall()

    def among(self, name: str, keys: Sequence[Any]) -> list[Any]:
        found: list[Any] = []
        for some in portions(keys):
            found += self.connection.execute(_for_each(self._queries[name], len(some)), tuple(some)).fetchall()
        return found

    def each(self, name: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
        found: list[Any] = []
        for some in portions(rows):
            values = tuple(chain.from_iterable(some))
            found += self.connection.execute(_with_rows(self._queries[name], len(some)), values).fetchall()
        return found

    def statement(self, text: str, values: Mapping[str, Any]) -> list[Any]:
        return self.connection.execute(text, values).fetchall()

    def begin(self) -> None:
        self.connection.execute("begin immediate")

    def commit(self) -> None:
        self.connection.execute("commit")

    def rollback(self) -> None:
        # After a full disk SQLite may have rolled back by itself.
        if self.connection.in_transaction:
            self.connection.execute("rollback")

    def mark(self) -> None:
        self.connection.execute("savepoint alone")

    def keep(self) -> None:
        self.connection.execute("release alone")

    def back(self) -> None:
        self.connection.execute("rollback to alone")
        self.connection.execute("release alone")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self.connection.execute("begin")
        try:
            yield
        finally:
            self.connection.execute("rollback")

    def fault(self, error: Exception) -> Fault:
        if isinstance(error, apsw.IOError):
            return Fault.DEAD
        return Fault.ALL if isinstance(error, apsw.FullError | apsw.BusyError) else Fault.ONE

    def refusal(self, error: Exception) -> StoreError | None:
        if isinstance(error, apsw.FullError):
            return StoreError("S210", "the disk of the store is full")
        if isinstance(error, apsw.BusyError):
            return StoreError("S206", "another process is writing to the store")
        return None

    def reopened(self) -> bool | None:
        # A file is not lost: what happens to it is an I/O error.
        return None

    def close(self) -> None:
        self.connection.close()


@cache
def _for_each(query: str, count: int) -> str:
    """A query with `:each`, for so many keys."""
    return query.replace(":each", ", ".join("?" * count))


@cache
def _with_rows(query: str, count: int) -> str:
    return _VALUES.sub(lambda row: ", ".join([row[0]] * count), query, count=1)
