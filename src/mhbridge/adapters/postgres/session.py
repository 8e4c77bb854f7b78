"""
A session with PostgreSQL: named queries on one connection, and what its errors mean.

psycopg and not asyncpg, which the design names: it is as fast (18 to 25 µs a query, measured), and it is synchronous,
so that the verbs are written once and run in a thread on either engine. Every statement is prepared at its first use,
with parameters whose types PostgreSQL takes from where they stand: so one text is one statement, whatever the values.

A connection may end at any time. What had not been asked to be committed is then not there. Of what had been, the
server knows: each transaction notes its number when it begins, and asks for it after the connection was made again.
This module must never answer as if something were durable that may not be.
"""

# ruff: noqa: D102 - `Session` says what each method promises

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.adapt import Dumper
from psycopg.types.string import BytesBinaryDumper, StrDumper

from mhbridge.adapters.postgres import dialect
from mhbridge.adapters.sql import leases
from mhbridge.adapters.sql.session import Fault, Session, portions
from mhbridge.errors import StoreError
from mhbridge.ports import PARTS

__all__ = ["Connect", "PostgresSession", "settle_types"]

Connect = Callable[[], "psycopg.Connection[Any]"]
"""Makes a connection, looks at it, and says `StoreError` when it is not to be trusted."""

#: How long it is tried to learn whether a commit is there, and the rest between two attempts.
_PATIENCE: Final = 30.0
_PAUSE: Final = 0.2

#: With these the server ends the session, which may be seen only at the next question.
_ENDED: Final = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.DatabaseDropped,
    errors.IdleInTransactionSessionTimeout,
    errors.IdleSessionTimeout,
    errors.ConnectionException,
)

_BEGIN: Final = "begin isolation level read committed; select pg_current_xact_id()::text"


class _Number(Dumper):
    """A whole number, or true and false, which the tables have as 1 and 0; of the type wanted where it stands."""

    def dump(self, obj: int) -> bytes:
        return b"%d" % obj


def settle_types(connection: psycopg.Connection[Any]) -> None:
    """How values are written."""
    for kind in (int, bool):
        connection.adapters.register_dumper(kind, _Number)
    connection.adapters.register_dumper(str, _Text)
    connection.adapters.register_dumper(bytes, BytesBinaryDumper)


class _Text(StrDumper):
    """
    Text, without the one character that PostgreSQL has no room for.

    What looks for it looks for what was written. Bodies are bytes, and keep it.
    """

    oid = 0

    def dump(self, obj: str) -> bytes:
        return obj.replace("\0", "\N{SYMBOL FOR NULL}").encode()


class PostgresSession(Session):
    """
    Args:
        connect: makes the connection, now and whenever it was lost.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._queries = dialect.queries()
        self._named: dict[str, dialect.Query] = {}
        self._transaction = ""
        #: Of which parts it is asked what is due; all, where nobody else has any.
        self.scope: Mapping[str, str] = dict.fromkeys(("held", "these"), leases.array(range(PARTS)))
        #: Told to the others with the next commit, when there is something.
        self.news: Callable[[], str] = str
        self._claim: Callable[[PostgresSession], int] | None = None
        #: Among those that write, where it does.
        self.number = 0
        self._open()

    def _open(self) -> None:
        self.connection = self._connect()
        self._cursor = self.connection.cursor(binary=True)
        (self._backend,) = self.statement(
            "select pid, backend_start::text from pg_stat_activity where pid = pg_backend_pid()", {}
        )

    def claim(self, claim: Callable[[PostgresSession], int]) -> None:
        """Become one of those that write, now and whenever the connection was made again."""
        self._claim = claim
        self.number = claim(self)

    @property
    def changed(self) -> int:
        return self._cursor.rowcount

    def run(self, name: str, values: Mapping[str, Any]) -> list[Any]:
        query = self._named.get(name)
        if query is None:
            query = self._named[name] = dialect.query(self._queries[name])
        scope = self.scope
        return self._rows(query.text, [values[one] if one in values else scope[one] for one in query.names])

    def among(self, name: str, keys: Sequence[Any]) -> list[Any]:
        if not keys:
            return []
        return self._rows(_among(self._queries[name]), [_list(keys)])

    def each(self, name: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
        found: list[Any] = []
        for some in portions(rows):
            found += self._rows(_with_rows(self._queries[name], len(some)), list(chain.from_iterable(some)))
        return found

    def statement(self, text: str, values: Mapping[str, Any]) -> list[Any]:
        query = dialect.query(dialect.typed(text))
        return self._rows(query.text, [values[one] for one in query.names], prepare=False)

    def _rows(self, text: str, values: Sequence[Any], *, prepare: bool = True) -> list[Any]:
        cursor = self._cursor.execute(text, values, prepare=prepare)
        return cursor.fetchall() if cursor.description else []

    def begin(self) -> None:
        cursor = self.connection.execute(_BEGIN, prepare=False)
        cursor.nextset()
        self._transaction = cursor.fetchall()[0][0]

    def commit(self) -> None:
        if news := self.news():
            self.run("tell", {"news": news})
        self._cursor.execute("commit", prepare=False)
        self._transaction = ""

    def rollback(self) -> None:
        self._transaction = ""
        try:
            self._cursor.execute("rollback", prepare=False)
        except psycopg.Error as error:
            # With the connection the transaction has ended as well.
            if not self._is_lost(error):
                raise

    def mark(self) -> None:
        self._cursor.execute("savepoint alone", prepare=False)

    def keep(self) -> None:
        self._cursor.execute("release savepoint alone", prepare=False)

    def back(self) -> None:
        self._cursor.execute("rollback to savepoint alone", prepare=False)
        self._cursor.execute("release savepoint alone", prepare=False)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._cursor.execute("begin isolation level repeatable read read only", prepare=False)
        try:
            yield
        finally:
            # A connection that has ended holds no snapshot.
            if not self.connection.closed:
                self._cursor.execute("rollback", prepare=False)

    def fault(self, error: Exception) -> Fault:
        if self._is_lost(error):
            return Fault.LOST
        if isinstance(error, errors.SerializationFailure | errors.DeadlockDetected | errors.LockNotAvailable):
            return Fault.AGAIN
        if isinstance(error, psycopg.OperationalError | errors.InternalError_ | errors.ReadOnlySqlTransaction):
            return Fault.ALL
        return Fault.ONE

    def _is_lost(self, error: Exception) -> bool:
        return isinstance(error, _ENDED) or (isinstance(error, psycopg.Error) and self.connection.closed)

    def refusal(self, error: Exception) -> StoreError | None:
        if isinstance(error, errors.DiskFull):
            return StoreError("S210", "the disk of the database is full")
        if self._is_lost(error):
            return StoreError("S244", "the connection to the database was lost: what was asked for is not done")
        if isinstance(error, errors.ReadOnlySqlTransaction):
            return StoreError("S245", "the database takes nothing: it is a copy that only reads, or set so")
        if self.fault(error) in (Fault.ALL, Fault.AGAIN):
            # The kind alone: the text of an error may hold what was to be stored.
            return StoreError("S245", f"the database cannot do it now ({type(error).__name__})")
        return None

    def reopened(self) -> bool | None:
        transaction, self._transaction = self._transaction, ""
        until = time.monotonic() + (_PATIENCE if transaction else 0.0)
        while True:
            with suppress(psycopg.Error):
                self.connection.close()
            before = self._backend
            try:
                self._open()
                self._end(before)
                if self._claim is not None:
                    self.number = self._claim(self)
                return self._is_there(transaction, until) if transaction else False
            except (psycopg.Error, StoreError) as error:
                if time.monotonic() > until:
                    refused = self.refusal(error) if isinstance(error, psycopg.Error) else error
                    raise refused or StoreError("S244", "the database cannot be reached") from None
                time.sleep(_PAUSE)

    def _end(self, backend: Sequence[Any]) -> None:
        """The server may not have noticed that the connection has ended, and holds what it held."""
        pid, started = backend
        self.statement(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where pid = cast(:pid as int4) and backend_start::text = :started and pid <> pg_backend_pid()",
            {"pid": pid, "started": started},
        )

    def _is_there(self, transaction: str, until: float) -> bool | None:
        """Whether a transaction was committed."""
        while True:
            ((status,),) = self.run("status_of_transaction", {"id": transaction})
            if status != "in progress":
                return None if status is None else bool(status == "committed")
            if time.monotonic() > until:
                return None
            time.sleep(_PAUSE)

    def close(self) -> None:
        self.connection.close()


_among = cache(dialect.among)
_with_rows = cache(dialect.with_rows)


def _list(keys: Sequence[Any]) -> str:
    """Keys as PostgreSQL writes an array of them."""
    if isinstance(keys[0], bytes):
        return "{" + ",".join([f'"\\\\x{key.hex()}"' for key in keys]) + "}"
    return "{" + ",".join([str(int(key)) for key in keys]) + "}"
