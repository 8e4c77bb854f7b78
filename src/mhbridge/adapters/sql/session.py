"""
The seam between the verbs of the store and the engine under them: one session of one thread with the database.

A verb names a query and gives values. Which text the engine is asked in, how many rows go at once and what an error
means are the engine's. This module must never know an engine.
"""

# ruff: noqa: D102 - what the names do not say is said

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Any, Final, Protocol, TypeVar

from mhbridge.errors import StoreError

__all__ = ["Fault", "Session", "portions"]

#: Statements are made for powers of two up to this, so that there are few of them and each stays prepared.
_AT_ONCE: Final = 64

_T = TypeVar("_T")


class Fault(Enum):
    """What an error of the engine means for a batch of calls, which is rolled back in each case."""

    #: Of one call: each is worked again by itself, and the bad one fails alone.
    ONE = auto()
    #: Nothing can be written now: every call is refused, and the next batch is tried.
    ALL = auto()
    #: Somebody else wrote to the same rows at the same time: the batch is worked again.
    AGAIN = auto()
    #: The session has ended: nothing of the batch is there, or the session says so after it was opened again.
    LOST = auto()
    #: What is in memory and what is on the disk may differ: the process ends.
    DEAD = auto()


class Session(Protocol):
    """
    A session with the database. It is in a transaction only between `begin` and `commit` or `rollback`.

    A row is a sequence of its columns. What an engine has as true and false may come as such or as 1 and 0.
    """

    #: Its number among those that write one database. Each has its own chain of the log, and its own tallies.
    number: int

    #: How many rows the last `run` or `statement` changed.
    @property
    def changed(self) -> int: ...

    def run(self, name: str, values: Mapping[str, Any]) -> list[Any]:
        """Run the query of this name, and return the rows that it gives."""

    def among(self, name: str, keys: Sequence[Any]) -> list[Any]:
        """The rows that a query with `:each` finds for these keys."""

    def each(self, name: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Run a query for each of these rows of values, many with one statement, and return the rows that it gives."""

    def statement(self, text: str, values: Mapping[str, Any]) -> list[Any]:
        """Run what is not a named query: a statement of a migration."""

    def begin(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None:
        """Take back what was done since `begin`. Nothing, when no transaction is open."""

    def mark(self) -> None:
        """Within a transaction, set the mark that `back` goes back to."""

    def keep(self) -> None:
        """Forget the mark, and keep what was done since."""

    def back(self) -> None:
        """Take back what was done since the mark, and forget it."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read inside is of one instant, and nothing is written."""

    def fault(self, error: Exception) -> Fault:
        """What an error means."""

    def refusal(self, error: Exception) -> StoreError | None:
        """What a caller is told of an error of the engine; `None` where it is not of a kind that people know."""

    def reopened(self) -> bool | None:
        """
        After it was lost, open it again.

        Returns:
            Whether what was last to be committed is there: `None` when that cannot be known any more.

        Raises:
            StoreError: when it cannot be opened now.
        """

    def close(self) -> None: ...


def portions(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """The values in portions whose lengths are powers of two."""
    at, length = 0, _AT_ONCE
    while at < len(values):
        while length > len(values) - at:
            length //= 2
        yield values[at : at + length]
        at += length
