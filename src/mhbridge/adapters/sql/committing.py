"""
Group commit: the one thread that writes takes what waits, and makes it durable in one transaction.

If a batch fails it is rolled back and worked again one call at a time, each within a savepoint, so that the one bad
call fails alone. What other errors mean the engine says (`Fault`). After one that leaves in doubt what is on the disk
nothing is retried and nothing is read: what the kernel has already thrown away looks like what was written. This module
must never tell a caller of something that is not yet committed.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from mhbridge.adapters.sql import (
    acknowledging,
    attempts,
    auditing,
    backlog,
    decisions,
    following,
    intake,
    leases,
    letters,
    migrating,
    repairing,
    settling,
    shredding,
    silence,
    tasks,
    watching,
)
from mhbridge.adapters.sql.books import Books, Mark
from mhbridge.adapters.sql.chain import Chain
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.sealing import Keys
from mhbridge.adapters.sql.session import Fault, Session
from mhbridge.adapters.sql.turns import Call, Result
from mhbridge.errors import MhbridgeError, StoreError
from mhbridge.meters import SECONDS, SIZES, Histogram

__all__ = ["IO_ERROR", "UNUSABLE", "Die", "Verb", "Writer", "checked_head", "log_head", "probe", "refusal"]

Verb = Callable[[Books, Sequence[Any]], Sequence[Any]]
"""Works items of one kind together, in the transaction of its caller, and returns a value for each."""

Die = Callable[[int], Any]
"""Ends the process at once: `os._exit`. A test's returns, and every later call is refused."""

#: EX_IOERR of sysexits.h.
IO_ERROR: Final = 74

#: How much of the log is checked before anything is taken.
CHECKED_AT_START: Final = 1_000

#: How often a batch is worked again that somebody else's got in the way of.
_AGAIN: Final = 10


def probe(books: Books, items: Sequence[int]) -> list[None]:
    """Write something of no consequence, so that it is known that it can be written."""
    books.run("set_meta", name="probed", value=str(items[-1]))
    return [None] * len(items)


def log_head(books: Books, items: Sequence[None]) -> list[Mark]:
    """The last row of the log when all that was asked before has been committed."""
    return [books.head] * len(items)


# What is sent leaves the lanes before what arrives joins them; within a batch nothing depends on the order.
_ORDER: Final[Sequence[Verb]] = (
    *leases.VERBS,
    auditing.audit,
    attempts.recover,
    attempts.doubt,
    attempts.finish,
    acknowledging.acknowledge,
    acknowledging.lapse,
    attempts.park,
    attempts.start,
    decisions.release,
    decisions.close,
    intake.refuse,
    intake.repeat,
    intake.commit,
    settling.settle,
    settling.divide,
    backlog.put_back,
    backlog.begin,
    repairing.reprocess,
    decisions.resend,
    tasks.open_task,
    tasks.end,
    tasks.take,
    tasks.finished,
    letters.fire,
    watching.noticed,
    silence.keep_profiles,
    silence.keep_gaps,
    migrating.later,
    probe,
    *shredding.VERBS,
    log_head,
)

#: What a person does, or a receiver says: any gateway may write it down, whoever has the patient.
_BY_ANYBODY: Final[frozenset[Verb]] = frozenset(
    {acknowledging.acknowledge, decisions.release, decisions.close, decisions.resend, repairing.reprocess}
)

UNUSABLE: Final = "the store had an I/O error and takes nothing more"

_LOST: Final = "the connection to the database was lost; what was asked is not done"


def checked_head(session: Session, keys: Keys, writer: int) -> Chain:
    """
    The head of a writer's chain, when the last rows before it hold.

    Raises:
        StoreError: S207, when they do not.
    """
    head = next(iter(session.run("log_head", {"writer": writer})), None)
    if head is None:
        return Chain(keys.log, writer)
    values = {"writer": writer, "seq": head[0] - CHECKED_AT_START}
    before = next(iter(session.run("log_before", values)), None)
    chain = Chain(keys.log, writer, *(before or ()))
    following.log_from(Reader(session, keys), chain)
    return chain


class Writer:
    """
    Works batches of calls on the one session that writes.

    Args:
        die: what ends the process after an I/O error.
    """

    def __init__(self, books: Books, die: Die = os._exit) -> None:
        self._books = books
        self._session = books.session
        self._die = die
        self._dead = False
        self._lost = False
        #: How long commits took, and how many calls were committed together.
        self.seconds = Histogram(SECONDS)
        self.sizes = Histogram(SIZES)

    @property
    def number(self) -> int:
        """Its number among those that write one database."""
        return self._books.writer

    def work(self, batch: Sequence[Call]) -> Sequence[Result]:
        """Make a batch durable. Every call of it has its own result."""
        if not self._dead:
            begun = time.perf_counter()
            try:
                if self._lost and (why := self._open_again()) is not None:
                    return self._all(batch, why)
                results = self._together(batch)
                self.seconds.add(time.perf_counter() - begun)
                self.sizes.add(len(batch))
                self._committed()
            except Exception:  # noqa: BLE001, there is nobody else to catch it
                # An I/O error, or a rollback that failed: what is in memory and on the disk may differ.
                self._dead = True
                self._die(IO_ERROR)
            else:
                return results
        return [Result(call, error=StoreError("S209", UNUSABLE)) for call in batch]

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _committed(self) -> None:
        """What an engine does between two batches."""

    def _together(self, batch: Sequence[Call]) -> Sequence[Result]:
        """In one transaction, verb by verb; when one of them is at fault, one by one."""

        def after(error: Exception) -> Sequence[Result] | None:
            # Where others write too, a row may have been theirs a moment before it was ours.
            may_be_theirs = not (self._books.alone or isinstance(error, MhbridgeError))
            return self._one_by_one(batch) if len(batch) > 1 or may_be_theirs else None

        return self._tried(batch, self._by_verb, after)

    def _one_by_one(self, batch: Sequence[Call]) -> Sequence[Result]:
        """In one transaction still, but what is wrong with one of them is undone alone."""
        return self._tried(batch, lambda calls: [self._alone(call) for call in calls], lambda _error: None)

    def _tried(
        self,
        batch: Sequence[Call],
        do: Callable[[Sequence[Call]], Sequence[Result]],
        after: Callable[[Exception], Sequence[Result] | None],
        again: int = _AGAIN,
    ) -> Sequence[Result]:
        """
        Do them, and commit.

        Args:
            after: what is done instead when one of them is at fault; `None`: then all of them have failed.
            again: so often it is tried once more where others were in the way.
        """
        mark = self._books.head
        committing = False
        try:
            self._books.begin()
            results = do(batch)
            committing = True
            self._session.commit()
        except Exception as error:
            fault = self._session.fault(error)
            if fault is Fault.DEAD:
                raise
            if fault is Fault.LOST:
                return self._after_a_loss(batch, results if committing else None, error)
            self._roll_back(mark)
            if fault is Fault.AGAIN and again:
                return self._tried(batch, do, after, again - 1)
            instead = after(error) if fault is Fault.ONE else None
            return self._all(batch, error) if instead is None else instead
        return results

    def _by_verb(self, batch: Sequence[Call]) -> Sequence[Result]:
        by_verb: dict[Verb, list[Call]] = {}
        for call in batch:
            by_verb.setdefault(call.verb, []).append(call)
        results: list[Result] = []
        for verb in sorted(by_verb, key=_ORDER.index):
            calls = by_verb[verb]
            self._books.by_anybody(verb in _BY_ANYBODY)
            values = verb(self._books, [call.item for call in calls])
            results += [Result(call, value) for call, value in zip(calls, values, strict=True)]
        self._books.close()
        return results

    def _alone(self, call: Call, *, again: bool = True) -> Result:
        mark = self._books.head
        self._session.mark()
        self._books.by_anybody(call.verb in _BY_ANYBODY)
        try:
            (value,) = call.verb(self._books, [call.item])
            self._books.close()
        except Exception as error:
            if self._session.fault(error) is not Fault.ONE:
                raise
            self._session.back()
            self._books.forget(mark)
            if again and not self._books.alone and not isinstance(error, MhbridgeError):
                # What somebody else has just written was not there to be found, and is now.
                return self._alone(call, again=False)
            return Result(call, error=refusal(error, self._session))
        self._session.keep()
        return Result(call, value)

    def _roll_back(self, mark: Mark) -> None:
        self._session.rollback()
        self._books.forget(mark)

    def _after_a_loss(
        self, batch: Sequence[Call], results: Sequence[Result] | None, error: Exception
    ) -> Sequence[Result]:
        """
        The session ended within a transaction.

        Before its commit was asked for, nothing of it is there. After that it may be: nobody is told anything until
        that is known, and when it cannot be known the process ends, as whoever asks again finds what is there.
        """
        self._lost = True
        if results is None:
            return self._all(batch, error)
        if self._open_again(in_doubt=True) is not None:
            raise error
        return results if self._was_committed else self._all(batch, error)

    def _open_again(self, *, in_doubt: bool = False) -> Exception | None:
        """Open the session again, and go on from the log's head as it is. What prevents it, when something does."""
        try:
            found = self._session.reopened()
            if in_doubt and found is None:
                return StoreError("S209", UNUSABLE)
            self._was_committed = bool(found)
            self._books.follow(checked_head(self._session, self._books.keys, self._session.number))
        except Exception as error:  # noqa: BLE001, whatever it is, its caller is told
            return error
        self._lost = False
        return None

    def _all(self, batch: Sequence[Call], error: Exception) -> Sequence[Result]:
        # One exception for each, as each is raised in a place of its own.
        return [Result(call, error=refusal(error, self._session)) for call in batch]


def refusal(error: Exception, session: Session) -> MhbridgeError:
    """What a caller is told of an error: its kind and place, since its text may hold what was to be stored."""
    if isinstance(error, MhbridgeError):
        return error
    if (known := session.refusal(error)) is not None:
        return known
    (*_, (frame, line)) = traceback.walk_tb(error.__traceback__)
    place = f"{Path(frame.f_code.co_filename).name}:{line}"
    return StoreError("S211", f"the store cannot do it ({type(error).__name__} at {place})")
