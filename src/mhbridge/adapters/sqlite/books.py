"""
What one writing transaction keeps track of: ids, the log's chain, tallies, and the names already looked up.

Log rows and tallies of a whole batch are written together by `close`, just before the commit. After a rollback
`forget` takes everything back to the mark, the head of the chain too. This module must never begin or end a
transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain
from typing import Any, Final, NamedTuple, TypeVar

import apsw  # noqa: TC002, as for TC001: types are imported where they are used

from mhbridge.adapters.sql import queries
from mhbridge.adapters.sql.chain import Chain, LogRow
from mhbridge.adapters.sql.keyring import expiry
from mhbridge.adapters.sql.sealing import Keys, Seal
from mhbridge.ports import Duties, Retention, RetentionClass

__all__ = ["CLASS_OF", "GATEWAY", "WRITER_ID", "Books", "Mark", "for_each", "micros", "when"]


#: How long the body of a row of each table is kept.
CLASS_OF: Final[Mapping[str, RetentionClass]] = {"envelope": "raw", "document": "document", "reading": "episode"}

#: Who moved it, when no person did.
GATEWAY: Final = "gateway"

#: This store's number among those that write one database. SQLite has one.
WRITER_ID: Final = 1

#: Statements are made for powers of two up to this, so that there are few of them and each stays prepared.
_AT_ONCE: Final = 64

_VALUES: Final = re.compile(r"\((?:\?, )*\?\)")

_T = TypeVar("_T")

# So that the names remembered stay small beside a million patients.
_REMEMBERED: Final = 20_000

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
        retention: how long bodies are kept.
        duties: whose each task is.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        keys: Keys,
        *,
        last_id: int,
        chain: Chain,
        retention: Retention,
        duties: Duties | None = None,
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.duties = duties or Duties()
        self.seal = Seal(keys)
        self.retention = retention
        self.queries = queries()
        #: How many readings were written, those of a rolled-back transaction among them.
        self.readings = 0
        #: The write-ahead log is to be cut to nothing after the commit.
        self.tidy = False
        self._id = last_id
        self._chain = chain
        self._log: list[LogRow] = []
        self._tallies: dict[tuple[str, str, str], int] = {}
        self._patients: dict[bytes, int] = {}
        self._merged: dict[int, int] | None = None
        self._destinations: dict[str, int] = {}

    def id(self) -> int:
        """The next id. One that a rollback leaves unused is not given again."""
        self._id += 1
        return self._id

    def sealed(self, table: str, row: int, body: bytes, at: int, kind: str = "") -> tuple[int, bytes]:
        """
        A body as it is stored, behind the number of its key: `key_id` and what follows it in a row.

        Args:
            at: from when on its days are counted.
            kind: the type of a document.
        """
        retention = CLASS_OF[table]
        key = self.keys.ring.id_for(retention, expiry(at, self.retention.days(retention, kind)))
        return key, self.seal.close(table, row, body, key)

    def run(self, name: str, /, **values: Any) -> list[Any]:
        """Run the query of this name, and return the rows that it gives."""
        return self.connection.execute(self.queries[name], values).fetchall()

    def row(self, name: str, /, **values: Any) -> Any:
        """The first row, or `None`."""
        return next(iter(self.run(name, **values)), None)

    def value(self, name: str, /, **values: Any) -> Any:
        """The one value of the first row, or `None`."""
        return next(iter(self.row(name, **values) or ()), None)

    def among(self, name: str, keys: Sequence[Any]) -> list[Any]:
        """The rows that a query with `:each` finds for these keys, in one statement for many of them."""
        found: list[Any] = []
        for some in _portions(keys):
            found += self.connection.execute(for_each(self.queries[name], len(some)), some).fetchall()
        return found

    def each(self, name: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """
        Run a query for each of these rows of values, many with one statement, and return the rows that it gives.

        A step of a statement lets other threads go first. One for each row would wait for them as often.
        """
        found: list[Any] = []
        for some in _portions(rows):
            values = tuple(chain.from_iterable(some))
            found += self.connection.execute(_with_rows(self.queries[name], len(some)), values).fetchall()
        return found

    def log(self, at: int, what: str, about: int, moves: str, who: str = GATEWAY) -> None:
        """A row of the log, written with the others of the transaction."""
        self._log.append(self._chain.link(at, what, about, moves, who))

    def count(self, feed: str, what: str, state: str, n: int = 1) -> None:
        """Count what the rows are compared with."""
        key = (feed, what, state)
        self._tallies[key] = self._tallies.get(key, 0) + n

    def patients(self, tokens: Iterable[bytes]) -> Mapping[bytes, int]:
        """The patients of these tokens, made when not yet known."""
        wanted = dict.fromkeys(tokens)
        strange = [token for token in wanted if token not in self._patients]
        if strange:
            if len(self._patients) + len(strange) > _REMEMBERED:
                self._patients.clear()
                strange = list(wanted)
            self._patients.update(self.among("find_patients", strange))
            made = [(self.id(), token) for token in strange if token not in self._patients]
            self.each("add_patient", made)
            self._patients.update((token, about) for about, token in made)
        return self._patients

    def root(self, patient: int) -> int:
        """The patient to whom one was merged in the end; most often the same."""
        if self._merged is None:
            self._merged = dict(self.run("merged_patients"))
        while patient in self._merged:
            patient = self._merged[patient]
        return patient

    def join(self, patient: int, into: int | None) -> None:
        """Merge a patient into another, or into none any more."""
        self.run("merge_patient", id=patient, into=into)
        if self._merged is not None:
            self._merged.pop(patient, None)
            if into is not None:
                self._merged[patient] = into

    def destination(self, name: str) -> int:
        """The destination of this name, made when not yet known."""
        found = self._destinations.get(name)
        if found is None:
            found = self.value("find_destination", name=name)
            if found is None:
                found = self.id()
                self.run("add_destination", id=found, name=name)
            self._destinations[name] = found
        return found

    @property
    def head(self) -> Mark:
        """The last row of the log, written or not."""
        return Mark(self._chain.seq, self._chain.mac)

    def close(self) -> None:
        """Write what was logged and counted. The last thing of a transaction or savepoint."""
        self.each("add_log", self._log)
        self.each("add_tally", [(WRITER_ID, *key, n) for key, n in self._tallies.items() if n])
        self._log.clear()
        self._tallies.clear()

    def forget(self, mark: Mark) -> None:
        """After a rollback to `mark`: what was logged, counted and looked up since then never was."""
        self._chain.seq, self._chain.mac = mark
        self._log.clear()
        self._tallies.clear()
        self.forget_names()

    def forget_names(self) -> None:
        """Rows that were looked up may not be there any more."""
        self._patients.clear()
        self._merged = None
        self._destinations.clear()


def _portions(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """The values in portions whose lengths are powers of two."""
    at, length = 0, _AT_ONCE
    while at < len(values):
        while length > len(values) - at:
            length //= 2
        yield values[at : at + length]
        at += length


@cache
def for_each(query: str, count: int) -> str:
    """A query with `:each`, for so many keys."""
    return query.replace(":each", ", ".join("?" * count))


@cache
def _with_rows(query: str, count: int) -> str:
    return _VALUES.sub(lambda row: ", ".join([row[0]] * count), query, count=1)
