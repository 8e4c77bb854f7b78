"""
What one writing transaction keeps track of: ids, the log's chain, tallies, and the names already looked up.

Log rows and tallies of a whole batch are written together by `close`, just before the commit. After a rollback
`forget` takes everything back to the mark, the head of the chain too. This module must never begin or end a
transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

from mhbridge.adapters.sql.chain import Chain, LogRow
from mhbridge.adapters.sql.keyring import expiry
from mhbridge.adapters.sql.sealing import Keys, Seal
from mhbridge.adapters.sql.session import Session
from mhbridge.ports import Duties, Retention, RetentionClass

__all__ = ["CLASS_OF", "GATEWAY", "NAMED_AT_MOST", "OTHERS", "Books", "Fence", "Mark", "micros", "when", "when_said"]


#: How long the body of a row of each table is kept.
CLASS_OF: Final[Mapping[str, RetentionClass]] = {"envelope": "raw", "document": "document", "reading": "episode"}

#: Who moved it, when no person did.
GATEWAY: Final = "gateway"

#: Figures whose names come with messages, and how many of them a mapping may have in a month before the others are
#: counted together.
_OF_MESSAGES: Final = frozenset({"code", "field"})
NAMED_AT_MOST: Final = 500
OTHERS: Final = "(others)"

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


def when_said(at: int | None) -> datetime | None:
    """The same, where there may be none."""
    return None if at is None else when(at)


class Mark(NamedTuple):
    """Where a transaction or savepoint began."""

    seq: int
    mac: bytes


class Fence(Protocol):
    """Keeps whoever has lost a patient to another gateway from writing for them."""

    #: What is being worked is a person's or a receiver's doing, which any gateway may write down.
    by_anybody: bool

    def check(self, patients: Iterable[int]) -> None:
        """
        Hold the leases of these patients' parts until the transaction or savepoint ends.

        Raises:
            StoreError: S260, when another gateway has one of them.
        """

    def tell_others(self, patients: Iterable[int] | None) -> None:
        """What is committed next may be for whoever has these patients; `None`: it is for everybody."""

    def forget(self) -> None:
        """A transaction or savepoint has ended: nothing is held any more."""


class Books:
    """
    Args:
        session: the one that writes; its caller holds the transaction.
        id: gives the next id. One that a rollback leaves unused is not given again.
        chain: the log's chain at its head.
        retention: how long bodies are kept.
        duties: whose each task is.
        renew: what is done before each transaction where others write to the same database: nothing that was looked up
            in the last one is taken for true in the next.
        patient_id: gives the next id of a patient; left out, ids are ids.
    """

    def __init__(
        self,
        session: Session,
        keys: Keys,
        *,
        id: Callable[[], int],  # noqa: A002, as the column
        chain: Chain,
        retention: Retention,
        duties: Duties | None = None,
        renew: Callable[[], None] | None = None,
        patient_id: Callable[[bytes], int] | None = None,
    ) -> None:
        self._renew = renew
        self.session = session
        self.id = id
        self.patient_id = patient_id or (lambda _token: id())
        self.keys = keys
        self.duties = duties or Duties()
        self.seal = Seal(keys)
        self.retention = retention
        #: How many readings were written, those of a rolled-back transaction among them.
        self.readings = 0
        #: Whose patients are whose, where several gateways share the database.
        self.fence: Fence | None = None
        #: The write-ahead log is to be cut to nothing after the commit.
        self.tidy = False
        self._chain = chain
        self._log: list[LogRow] = []
        self._tallies: dict[tuple[str, str, str], int] = {}
        self._figures: dict[tuple[str, ...], int] = {}
        #: Month → mapping → the names that are counted there by themselves.
        self._named: dict[str, dict[str, set[str]]] = {}
        self._patients: dict[bytes, int] = {}
        self._merged: dict[int, int] | None = None
        self._destinations: dict[str, int] = {}

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

    @property
    def alone(self) -> bool:
        """Nobody else writes."""
        return self._renew is None

    def begin(self) -> None:
        """Begin a transaction."""
        if self._renew is not None:
            self._renew()
            self.forget_names()
        self.session.begin()

    def run(self, name: str, /, **values: Any) -> list[Any]:
        """Run the query of this name, and return the rows that it gives."""
        return self.session.run(name, values)

    @property
    def changed(self) -> int:
        """How many rows the last query changed."""
        return self.session.changed

    def row(self, name: str, /, **values: Any) -> Any:
        """The first row, or `None`."""
        return next(iter(self.run(name, **values)), None)

    def value(self, name: str, /, **values: Any) -> Any:
        """The one value of the first row, or `None`."""
        return next(iter(self.row(name, **values) or ()), None)

    def among(self, name: str, keys: Sequence[Any]) -> list[Any]:
        """The rows that a query with `:each` finds for these keys, in one statement for many of them."""
        return self.session.among(name, keys)

    def each(self, name: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Run a query for each of these rows of values, many with one statement, and return the rows that it gives."""
        return self.session.each(name, rows)

    def act_for(self, patients: Iterable[int]) -> None:
        """
        Before anything is written for patients: they are this gateway's until the transaction ends.

        Raises:
            StoreError: S260, when one of them is another's.
        """
        if self.fence is not None:
            self.fence.check(patients)

    def tell_others(self, patients: Iterable[int] | None) -> None:
        """What is committed next may be for whoever has these patients; `None`: it is for everybody."""
        if self.fence is not None:
            self.fence.tell_others(patients)

    def by_anybody(self, anybody: bool) -> None:
        """Whether what is worked next any gateway may write down, whoever has the patients."""
        if self.fence is not None:
            self.fence.by_anybody = anybody

    def log(self, at: int, what: str, about: int, moves: str, who: str = GATEWAY) -> None:
        """A row of the log, written with the others of the transaction."""
        if "\0" in moves or "\0" in who:
            # Not every engine has room for it, and the chain is over what can be read again.
            moves, who = (text.replace("\0", "\N{SYMBOL FOR NULL}") for text in (moves, who))
        self._log.append(self._chain.link(at, what, about, moves, who))

    def count(self, feed: str, what: str, state: str, n: int = 1) -> None:
        """Count what the rows are compared with."""
        key = (feed, what, state)
        self._tallies[key] = self._tallies.get(key, 0) + n

    def figure(self, month: str, counted: tuple[str, str, str, str, str]) -> None:
        """Count something of which there are figures. Names that there are too many of are counted together."""
        if counted[3] and counted[2] in _OF_MESSAGES:
            counted = self._within_bounds(month, counted)
        key = (month, *counted)
        self._figures[key] = self._figures.get(key, 0) + 1

    def _within_bounds(self, month: str, counted: tuple[str, str, str, str, str]) -> tuple[str, str, str, str, str]:
        mapping, kind, what, name, said = counted
        named = self._named.get(month)
        if named is None:
            # Of another month nothing is remembered: what is worked late is rare.
            named = {}
            for other, known in self.run("figure_names", month=month):
                named.setdefault(other, set()).add(known)
            self._named = {month: named}
        mine = named.setdefault(mapping, set())
        if name not in mine:
            if len(mine) >= NAMED_AT_MOST:
                return mapping, kind, what, OTHERS, said
            mine.add(name)
        return counted

    def patients(self, tokens: Iterable[bytes]) -> Mapping[bytes, int]:
        """The patients of these tokens, made when not yet known."""
        wanted = dict.fromkeys(tokens)
        strange = [token for token in wanted if token not in self._patients]
        if strange:
            if len(self._patients) + len(strange) > _REMEMBERED:
                self._patients.clear()
                strange = list(wanted)
            self._patients.update(self.among("find_patients", strange))
            made = [(self.patient_id(token), token) for token in strange if token not in self._patients]
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
    def writer(self) -> int:
        """Its number among those that write one database."""
        return self._chain.writer

    @property
    def head(self) -> Mark:
        """The last row of the log, written or not."""
        return Mark(self._chain.seq, self._chain.mac)

    def close(self) -> None:
        """Write what was logged and counted. The last thing of a transaction or savepoint."""
        self.each("add_log", self._log)
        if self.fence is not None:
            self.fence.forget()
        self.each("add_tally", [(self._chain.writer, *key, n) for key, n in self._tallies.items() if n])
        self.each("add_figure", [(self._chain.writer, *key, n) for key, n in self._figures.items()])
        self._log.clear()
        self._tallies.clear()
        self._figures.clear()

    def forget(self, mark: Mark) -> None:
        """After a rollback to `mark`: what was logged, counted and looked up since then never was."""
        self._chain.seq, self._chain.mac = mark
        if self.fence is not None:
            self.fence.forget()
        self._log.clear()
        self._tallies.clear()
        self._figures.clear()
        self._named.clear()
        self.forget_names()

    def follow(self, chain: Chain) -> None:
        """The log goes on from here: what was written last has turned out to be there, or not to be."""
        self._chain = chain
        self.forget(Mark(chain.seq, chain.mac))

    def forget_names(self) -> None:
        """Rows that were looked up may not be there any more."""
        self._patients.clear()
        self._merged = None
        self._destinations.clear()
