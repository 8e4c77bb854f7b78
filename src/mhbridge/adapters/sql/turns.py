"""
Where calls to the database are worked: on a thread of their own, or at once where they are made.

A thread takes all that waits as one batch and wakes the event loop once for it. This module must never know what a
call does.
"""

# ruff: noqa: D102 - `Turns` says what each method promises

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

__all__ = ["Call", "InlineTurns", "Result", "ThreadTurns", "Turns", "Work"]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """
    One thing to do, and who waits for it.

    Args:
        noted: told the value where the call was made, in the order in which calls were worked, and even when who
            waited for it has gone.
    """

    verb: Callable[..., Any]
    item: Any
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    noted: Callable[[Any], None] | None = None


class Result(NamedTuple):
    """What became of one call: a value, or the exception to raise where it was made."""

    call: Call
    value: Any = None
    error: Exception | None = None


Work = Callable[[Sequence[Call]], Sequence[Result]]
"""Works a batch of calls and never raises: every call of the batch has its result."""


class Turns(Protocol):
    """Works calls in the order in which they are put, by the function given to `start`."""

    def start(self, work: Work) -> None:
        """Begin, with what works a batch."""

    @property
    def waiting(self) -> int:
        """How many calls wait, about."""

    def put(self, call: Call) -> None:
        """Have a call worked; its future tells what became of it."""

    async def stop(self, last: Callable[[], None]) -> None:
        """Work all that was put, then `last`, where calls are worked."""


class ThreadTurns:
    """
    A thread that works whatever waits, at most `most` calls at a time. No timer: a batch grows while one is worked.

    Args:
        name: the thread's name, for those who look at a running process.
    """

    def __init__(self, name: str, most: int = 256) -> None:
        self._name = name
        self._most = most
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._last: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None

    def start(self, work: Work) -> None:
        self._thread = threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return self._calls.qsize()

    def put(self, call: Call) -> None:
        self._calls.put(call)

    async def stop(self, last: Callable[[], None]) -> None:
        assert self._thread is not None
        self._last = last
        self._calls.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self, work: Work) -> None:
        while batch := self._waiting():
            _tell(work(batch))
        assert self._last is not None
        self._last()

    def _waiting(self) -> list[Call]:
        """All that waits; nothing when the end has come."""
        batch: list[Call] = []
        with suppress(queue.Empty):
            call = self._calls.get()
            while call is not None:
                batch.append(call)
                if len(batch) == self._most:
                    return batch
                call = self._calls.get_nowait()
            if batch:
                self._calls.put(None)
        return batch


class InlineTurns:
    """Works each call where it is put: for simulation, where a seed must replay exactly."""

    #: Nothing ever waits.
    waiting = 0

    def __init__(self) -> None:
        self._work: Work | None = None

    def start(self, work: Work) -> None:
        self._work = work

    def put(self, call: Call) -> None:
        assert self._work is not None
        _settle(self._work([call]))

    async def stop(self, last: Callable[[], None]) -> None:
        last()


def _tell(results: Iterable[Result]) -> None:
    """Wake each event loop once. There is one of them but in tests that open a store in one and use it in another."""
    loops: dict[asyncio.AbstractEventLoop, list[Result]] = {}
    for result in results:
        loops.setdefault(result.call.loop, []).append(result)
    for loop, theirs in loops.items():
        # A loop that was closed meanwhile has nobody waiting.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, theirs)


def _settle(results: Iterable[Result]) -> None:
    for call, value, error in results:
        if error is None and call.noted is not None:
            call.noted(value)
        if call.future.done():
            continue
        if error is None:
            call.future.set_result(value)
        else:
            call.future.set_exception(error)
