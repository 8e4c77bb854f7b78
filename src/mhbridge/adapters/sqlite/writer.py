"""
Group commit: the one thread that writes takes what waits, and makes it durable in one transaction.

If a batch fails it is rolled back and worked again one call at a time, each within a savepoint, so that the one bad
call fails alone. After an I/O error nothing is retried and nothing is read: what the kernel has already thrown away
looks like what was written. This module must never tell a caller of something that is not yet committed.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import apsw

from mhbridge.adapters.sqlite import (
    acknowledging,
    auditing,
    backlog,
    clocks,
    intake,
    migrating,
    moves,
    purging,
    repairing,
    silence,
    tasks,
)
from mhbridge.adapters.sqlite.books import Books, Mark
from mhbridge.adapters.sqlite.turns import Call, Result
from mhbridge.errors import MhbridgeError, StoreError
from mhbridge.meters import SECONDS, SIZES, Histogram

__all__ = ["IO_ERROR", "UNUSABLE", "Die", "Verb", "Writer", "log_head", "probe", "refusal"]

Verb = Callable[[Books, Sequence[Any]], Sequence[Any]]
"""Works items of one kind together, in the transaction of its caller, and returns a value for each."""

Die = Callable[[int], Any]
"""Ends the process at once: `os._exit`. A test's returns, and every later call is refused."""

#: EX_IOERR of sysexits.h.
IO_ERROR: Final = 74

#: The WAL is copied back whenever it has grown by so many pages: small and often, so that no commit waits long.
_CHECKPOINT_PAGES: Final = 1_000

#: Milliseconds for which the writer waits for readers when it cuts the WAL, and otherwise, as `opening.WRITER` has it.
_CUT_WAITS: Final = 100
_BUSY: Final = 5_000


def probe(books: Books, items: Sequence[int]) -> list[None]:
    """Write something of no consequence, so that it is known that it can be written."""
    books.run("set_meta", name="probed", value=str(items[-1]))
    return [None] * len(items)


def log_head(books: Books, items: Sequence[None]) -> list[Mark]:
    """The last row of the log when all that was asked before has been committed."""
    return [books.head] * len(items)


# What is sent leaves the lanes before what arrives joins them; within a batch nothing depends on the order.
_ORDER: Final[Sequence[Verb]] = (
    auditing.audit,
    moves.recover,
    moves.doubt,
    moves.finish,
    acknowledging.acknowledge,
    acknowledging.lapse,
    moves.park,
    moves.start,
    moves.release,
    moves.close,
    intake.refuse,
    intake.repeat,
    intake.commit,
    intake.settle,
    intake.divide,
    backlog.put_back,
    backlog.begin,
    repairing.reprocess,
    moves.resend,
    tasks.open_task,
    tasks.end,
    tasks.take,
    tasks.finished,
    clocks.fire,
    silence.keep_profiles,
    silence.keep_gaps,
    migrating.later,
    probe,
    *purging.VERBS,
    log_head,
)

UNUSABLE: Final = "the store had an I/O error and takes nothing more"


class Writer:
    """
    Works batches of calls on the one writing connection.

    Args:
        die: what ends the process after an I/O error.
    """

    def __init__(self, books: Books, die: Die = os._exit) -> None:
        self._books = books
        self._connection = books.connection
        self._die = die
        self._dead = False
        self._pages = 0
        self._copied = 0
        #: How long commits took, and how many calls were committed together.
        self.seconds = Histogram(SECONDS)
        self.sizes = Histogram(SIZES)
        self._connection.set_wal_hook(self._grown)

    def work(self, batch: Sequence[Call]) -> Sequence[Result]:
        """Make a batch durable. Every call of it has its own result."""
        if not self._dead:
            begun = time.perf_counter()
            try:
                results = self._together(batch)
                self.seconds.add(time.perf_counter() - begun)
                self.sizes.add(len(batch))
                self._checkpoint()
            except Exception:  # noqa: BLE001, there is nobody else to catch it
                # An I/O error, or a rollback that failed: what is in memory and on the disk may differ.
                self._dead = True
                self._die(IO_ERROR)
            else:
                return results
        return [Result(call, error=StoreError("S209", UNUSABLE)) for call in batch]

    def close(self) -> None:
        """Copy the WAL back whole, and close the connection. Where that fails, the next start does it."""
        try:
            if not self._dead:
                with suppress(apsw.BusyError, apsw.FullError, apsw.IOError):
                    self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            self._connection.close()

    def _together(self, batch: Sequence[Call]) -> Sequence[Result]:
        mark = self._books.head
        try:
            self._connection.execute("begin immediate")
            results = self._by_verb(batch)
            self._books.close()
            self._connection.execute("commit")
        except apsw.IOError:
            raise
        except (apsw.FullError, apsw.BusyError) as error:
            self._roll_back()
            self._books.forget(mark)
            return _all(batch, refusal(error))
        except Exception as error:  # noqa: BLE001, whatever it is, its caller is told
            self._roll_back()
            self._books.forget(mark)
            return [Result(batch[0], error=refusal(error))] if len(batch) == 1 else self._one_by_one(batch)
        return results

    def _by_verb(self, batch: Sequence[Call]) -> Sequence[Result]:
        by_verb: dict[Verb, list[Call]] = {}
        for call in batch:
            by_verb.setdefault(call.verb, []).append(call)
        results: list[Result] = []
        for verb in sorted(by_verb, key=_ORDER.index):
            calls = by_verb[verb]
            values = verb(self._books, [call.item for call in calls])
            results += [Result(call, value) for call, value in zip(calls, values, strict=True)]
        return results

    def _one_by_one(self, batch: Sequence[Call]) -> Sequence[Result]:
        start = self._books.head
        try:
            self._connection.execute("begin immediate")
            results = [self._alone(call) for call in batch]
            self._connection.execute("commit")
        except apsw.IOError:
            raise
        except Exception as error:  # noqa: BLE001, whatever it is, its caller is told
            self._roll_back()
            self._books.forget(start)
            return _all(batch, refusal(error))
        return results

    def _alone(self, call: Call) -> Result:
        mark = self._books.head
        self._connection.execute("savepoint alone")
        try:
            (value,) = call.verb(self._books, [call.item])
            self._books.close()
        except (apsw.IOError, apsw.FullError):
            raise
        except Exception as error:  # noqa: BLE001, whatever it is, its caller is told
            self._connection.execute("rollback to alone")
            self._connection.execute("release alone")
            self._books.forget(mark)
            return Result(call, error=refusal(error))
        self._connection.execute("release alone")
        return Result(call, value)

    def _roll_back(self) -> None:
        # After a full disk SQLite may have rolled back by itself.
        if self._connection.in_transaction:
            self._connection.execute("rollback")

    def _grown(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
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


def refusal(error: Exception) -> MhbridgeError:
    """What a caller is told of an error: its kind and place, since its text may hold what was to be stored."""
    if isinstance(error, MhbridgeError):
        return error
    if isinstance(error, apsw.FullError):
        return StoreError("S210", "the disk of the store is full")
    if isinstance(error, apsw.BusyError):
        return StoreError("S206", "another process is writing to the store")
    (*_, (frame, line)) = traceback.walk_tb(error.__traceback__)
    place = f"{Path(frame.f_code.co_filename).name}:{line}"
    return StoreError("S211", f"the store cannot do it ({type(error).__name__} at {place})")


def _all(batch: Sequence[Call], error: Exception) -> Sequence[Result]:
    # One exception for each, as each is raised in a place of its own.
    return [Result(call, error=refusal(error)) for call in batch]
