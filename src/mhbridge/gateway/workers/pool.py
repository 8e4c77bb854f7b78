"""
The gateway's side of its workers: starts them, asks the one that has the least to do, replaces those that end.

A message in whose hands a worker dies twice, or does not come back twice, is given up as one that our own code failed
on; those that waited behind it are worked by another. This module must never hold the only copy of anything: the sender
of what was not committed sends it again.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from mhbridge.errors import MalformedMessage, MhbridgeError
from mhbridge.gateway.workers.process import DROP, READ, STEP, Failed, Refused, framed, frames
from mhbridge.log import Event, Log

if TYPE_CHECKING:
    from mhbridge.gateway.workers.here import Read
    from mhbridge.gateway.workers.work import Asked, Whose
    from mhbridge.model import Envelope, Known, Outcome
    from mhbridge.pipeline import Feed

__all__ = ["FailedThere", "WorkerDied", "Workers"]

Make = Callable[[], Mapping[str, "Feed"]]
"""Makes the feeds, in the worker. Found by its name there, with its arguments: it must be of a module."""

#: So often a worker may die with a message in hand: once may be chance.
_TRIES: Final = 2
#: One request may take so many seconds, and one more for each so many bytes.
_LONGEST: Final = 30.0
_BYTES_A_SECOND: Final = 50_000
#: Mappings are read and compiled at the start; then again after a failure, so many seconds later.
_START: Final = 60.0
_PAUSE: Final = 1.0
#: An ended gateway waits so long for a worker to end.
_END: Final = 5.0
#: Not with -m: its classes would then be of `__main__`, and not the ones that are known here.
_RUN: Final = "from mhbridge.gateway.workers.process import main; main()"
#: What a worker needs of the environment; secrets may stand there as well.
_ENVIRONMENT: Final = ("PATH", "PYTHON", "LANG", "LC_", "TZ", "VIRTUAL_ENV", "TMPDIR", "COVERAGE")


class WorkerDied(Exception):
    """A worker ended before it answered. `in_hand`: it was at work on just this."""

    def __init__(self, *, in_hand: bool) -> None:
        super().__init__()
        self.in_hand = in_hand


class FailedThere(Exception):
    """Our own code failed in a worker; `said` is what may be said of it."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        super().__init__()
        self.said = said


class Workers:
    """
    So many worker processes.

    Args:
        make: makes the feeds in each of them.
        longest: seconds that one request may take before its worker is killed.
    """

    def __init__(self, make: Make, count: int, log: Log, *, longest: float = _LONGEST) -> None:
        self._make = make
        self._count = count
        self._log = log
        self._longest = longest
        self._workers: set[_Worker] = set()
        self._some = asyncio.Event()
        self._tickets = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [worker.pid for worker in self._workers]

    async def open(self) -> None:
        """
        Start them. When this returns, each can be asked.

        Raises:
            MhbridgeError: D905, when one does not start.
        """
        self._closing = False
        # All of them are waited for: none is left behind that nobody knows of.
        started = await asyncio.gather(*[self._start() for _ in range(self._count)], return_exceptions=True)
        for error in started:
            if error is not None:
                raise error
        self._keep(self._watch())

    async def close(self) -> None:
        """End them."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*[worker.end() for worker in list(self._workers)])
        self._workers.clear()

    async def read(self, envelope: Envelope) -> Read:
        """
        Take an envelope apart.

        Raises:
            MessageError: as `pipeline.intake`.
            WorkerDied, FailedThere: see there.
        """
        read = _ReadThere(self, envelope)
        await read.begin()
        return read

    async def free(self) -> _Worker:
        """The one with the least to do; waits while there is none."""
        while not self._workers:
            self._some.clear()
            await self._some.wait()
        return min(self._workers, key=lambda worker: len(worker.waiting))

    def ticket(self) -> int:
        """A number that no other envelope has."""
        return next(self._tickets)

    # --- starting and watching ---

    async def _start(self) -> None:
        worker = _Worker(self._gone)
        try:
            async with asyncio.timeout(_START):
                await worker.start(self._make)
        except (OSError, ValueError, TimeoutError, WorkerDied) as error:
            # ValueError: a system that cannot give a process more than its three files.
            await worker.end()
            raise MhbridgeError("D905", "a worker process does not start") from error
        except BaseException:
            await worker.end()
            raise
        if worker.ended:
            # It was not known yet, so that nobody was told of its end.
            await worker.end()
            raise MhbridgeError("D905", "a worker process does not start")
        self._workers.add(worker)
        self._some.set()

    def _gone(self, worker: _Worker) -> None:
        if worker in self._workers and not self._closing:
            self._workers.discard(worker)
            self._log.error(Event.WORKER_DIED, code="D906")
            self._keep(self._replace(worker))

    async def _replace(self, worker: _Worker) -> None:
        await worker.end()
        while True:
            try:
                await self._start()
            except MhbridgeError as error:
                self._log.error(Event.WORKER_DIED, code=error.code)
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def _watch(self) -> None:
        """Kill whoever does not come back: nobody else can stop code that never waits."""
        while True:
            await asyncio.sleep(min(1.0, self._longest / 2))
            for worker in list(self._workers):
                if worker.takes > self._longest:
                    worker.kill()

    def _keep(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _ReadThere:
    """An envelope that a worker has read."""

    asked: Asked

    def __init__(self, workers: Workers, envelope: Envelope) -> None:
        self._workers = workers
        self._envelope = envelope
        self._ticket = workers.ticket()
        self._worker: _Worker
        self._deaths = 0
        self._kept = False

    async def begin(self) -> None:
        while True:
            self._worker = await self._workers.free()
            try:
                self.asked = await self._ask(READ, self._envelope)
            except WorkerDied as died:
                self._count(died)
            except asyncio.CancelledError:
                # Nobody will step it, and a worker keeps what it has read until it is told.
                self._worker.tell(DROP, self._ticket)
                raise
            else:
                self._kept = True
                return

    async def step(self, known: Mapping[Whose, Known]) -> list[Outcome]:
        said = {whose: _said(whose, one) for whose, one in known.items()}
        while True:
            self._kept = False
            try:
                return cast("list[Outcome]", await self._ask(STEP, said))
            except WorkerDied as died:
                self._count(died)
                # What was read has gone with it.
                await self.begin()

    def drop(self) -> None:
        if self._kept:
            self._kept = False
            self._worker.tell(DROP, self._ticket)

    def _count(self, died: WorkerDied) -> None:
        self._deaths += died.in_hand
        if self._deaths >= _TRIES:
            raise died

    async def _ask(self, verb: str, what: Any) -> Any:
        answer = await self._worker.ask(verb, self._ticket, what, len(self._envelope.body))
        if isinstance(answer, Refused):
            raise MalformedMessage(*answer)
        if isinstance(answer, Failed):
            raise FailedThere(answer.said)
        return answer


def _said(whose: Whose, known: Known) -> Known:
    """Of all that is known of a patient only the sensitivity is asked for: the rest need not be sent."""
    if whose[2]:
        return known
    return replace(known, items={name: value for name, value in known.items.items() if name == "sensitivity"})


class _Worker(asyncio.Protocol):
    """
    Our end of one worker. It answers in the order in which it is asked.

    Args:
        gone: told when it has ended.
    """

    def __init__(self, gone: Callable[[_Worker], None]) -> None:
        self._gone = gone
        self._buffer = bytearray()
        self._sending: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._loop = asyncio.get_running_loop()
        self._since = 0.0
        #: Who waits, and for how many bytes.
        self.waiting: deque[tuple[asyncio.Future[Any], int]] = deque()
        self.pid = 0

    async def start(self, make: Make) -> None:
        """Start the process. Raises `OSError` or `WorkerDied` when that fails."""
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _RUN,
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                # A traceback may quote what was read.
                stderr=asyncio.subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        await self._loop.create_unix_connection(lambda: self, sock=ours)
        self._send(make)
        self.pid = await self._answer(0)

    async def ask(self, verb: str, ticket: int, what: Any, size: int) -> Any:
        """Have something done. Raises `WorkerDied`."""
        if self.ended:
            # Whoever asks again must not do so before it is known to have gone.
            await asyncio.sleep(0)
            raise WorkerDied(in_hand=False)
        self._send((verb, ticket, what))
        return await self._answer(size)

    def tell(self, verb: str, ticket: int) -> None:
        """The same, without an answer."""
        if not self.ended:
            self._send((verb, ticket, None))

    @property
    def ended(self) -> bool:
        """It cannot be asked any more."""
        return self._transport is None or self._transport.is_closing()

    @property
    def takes(self) -> float:
        """Seconds that it has been at what it has in hand, less what its size allows."""
        if not self.waiting:
            return 0.0
        return self._loop.time() - self._since - self.waiting[0][1] / _BYTES_A_SECOND

    def kill(self) -> None:
        """End the process now."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def end(self) -> None:
        """End the process: it ends by itself when the socket does."""
        if self._transport is not None:
            self._transport.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(_END):
                    await self._process.wait()
            except TimeoutError:
                self.kill()
                await self._process.wait()

    def _send(self, what: Any) -> None:
        # What is sent in one turn of the loop leaves as one.
        if not self._sending:
            self._loop.call_soon(self._flush)
        self._sending.append(framed(what))

    def _flush(self) -> None:
        sending, self._sending = self._sending, []
        if self._transport is not None and not self.ended:
            self._transport.write(b"".join(sending))

    def _answer(self, size: int) -> asyncio.Future[Any]:
        if not self.waiting:
            self._since = self._loop.time()
        future: asyncio.Future[Any] = self._loop.create_future()
        self.waiting.append((future, size))
        return future

    # the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        for answer in frames(self._buffer):
            future, _ = self.waiting.popleft()
            self._since = self._loop.time()
            # Whoever was cancelled does not wait any more, and its answer is nobody's.
            if not future.done():
                future.set_result(answer)

    def connection_lost(self, _exc: Exception | None) -> None:
        in_hand = True
        while self.waiting:
            future, _ = self.waiting.popleft()
            if not future.done():
                future.set_exception(WorkerDied(in_hand=in_hand))
            in_hand = False
        self._gone(self)
