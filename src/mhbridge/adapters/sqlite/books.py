"""
What one writing transaction keeps track of: ids, the log's chain, tallies, and the names already looked up.

Log rows and tallies of a whole batch are written together by `close`, just before the commit. After a rollback
`forget` takes everything back to the mark, the head of the chain too. This module must never begin or end a
transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import apsw  # noqa: TC002, as for TC001: types are imported where they are used

from mhbridge.adapters.sql import queries
from mhbridge.adapters.sql.chain import Chain, LogRow
from mhbridge.adapters.sql.sealing import Keys, Seal

__all__ = ["GATEWAY", "WRITER_ID", "Books", "Mark", "micros", "when"]

#: Who moved it, when no person did.
GATEWAY: Final = "gateway"

#: This store's number among those that write one database. SQLite has one.
WRITER_ID: Final = 1

# So that the names remembered stay small beside a million patients.
_REMEMBERED: Final = 50_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """An instant as the database has it. A naive one has no place in time, and is refused by the subtraction."""
    return (at - _EPOCH) // _MICROSECOND


def when(at: int) -> datetime:
    """The instant that the database has."""
    return _EPOCH + timedelta(microseconds=at)


class Mark(NamedTuple):
    """Where a transaction or savepoint began."""

    seq: int
    mac: bytes


class Books:
    """
    Args:
        connection: the one that writes; its caller holds the transaction.
        last_id: the largest id in use.
        chain: the log's chain at its head.
    """

    def __init__(self, connection: apsw.Connection, keys: Keys, *, last_id: int, chain: Chain) -> None:
        self.connection = connection
        self.keys = keys
        self.seal = Seal(keys)
        self.queries = queries()
        self._id = last_id
        self._chain = chain
        self._log: list[LogRow] = []
        self._tallies: dict[tuple[str, str, str], int] = {}
        self._patients: dict[bytes, int] = {}
        self._destinations: dict[str, int] = {}

    def id(self) -> int:
        """The next id. One that a rollback leaves unused is not given again."""
        self._id += 1
        return self._id

    def run(self, name: str, /, **values: Any) -> list[Any]:
        """Run the query of this name, and return the rows that it gives."""
        return self.connection.execute(self.queries[name], values).fetchall()

    def row(self, name: str, /, **values: Any) -> Any:
        """The first row, or `None`."""
        return next(iter(self.run(name, **values)), None)

    def value(self, name: str, /, **values: Any) -> Any:
        """The one value of the first row, or `None`."""
        return next(iter(self.row(name, **values) or ()), None)

    def log(self, at: int, what: str, about: int, moves: str, who: str = GATEWAY) -> None:
        """A row of the log, written with the others of the transaction."""
        self._log.append(self._chain.link(at, what, about, moves, who))

    def count(self, feed: str, what: str, state: str, n: int = 1) -> None:
        """Count what the rows are compared with."""
        key = (feed, what, state)
        self._tallies[key] = self._tallies.get(key, 0) + n

    def patient(self, token: bytes) -> int:
        """The patient of this token, made when not yet known."""
        return self._named(self._patients, "patient", "token", token)

    def destination(self, name: str) -> int:
        """The destination of this name, made when not yet known."""
        return self._named(self._destinations, "destination", "name", name)

    def _named(self, remembered: dict[Any, int], what: str, column: str, value: bytes | str) -> int:
        found: int | None = remembered.get(value)
        if found is None:
            found = self.value(f"find_{what}", **{column: value})
            if found is None:
                found = self.id()
                self.run(f"add_{what}", id=found, **{column: value})
            if len(remembered) >= _REMEMBERED:
                remembered.clear()
            remembered[value] = found
        return found

    @property
    def head(self) -> Mark:
        """The last row of the log, written or not."""
        return Mark(self._chain.seq, self._chain.mac)

    def close(self) -> None:
        """Write what was logged and counted. The last thing of a transaction or savepoint."""
        many = self.connection.executemany
        if self._log:
            many(self.queries["add_log"], self._log)
        if self._tallies:
            rows = [(WRITER_ID, *key, n) for key, n in self._tallies.items() if n]
            many(self.queries["add_tally"], rows)
        self._log.clear()
        self._tallies.clear()

    def forget(self, mark: Mark) -> None:
        """After a rollback to `mark`: what was logged, counted and looked up since then never was."""
        self._chain.seq, self._chain.mac = mark
        self._log.clear()
        self._tallies.clear()
        self._patients.clear()
        self._destinations.clear()
