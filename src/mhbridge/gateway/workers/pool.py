"""
The gateway's side of its workers: starts them, asks the one that has the least to do, replaces those that end.

One more than are asked is always ready, so that nobody waits for a process to start. A worker that has had its share is
retired: it finishes what it has in hand and ends. So is every worker when the mappings change: what an envelope was
read with is what its messages are stepped with. A message in whose hands a worker dies twice, or does not come back
twice, is given up as one that our own code failed on; those that waited behind it are worked by another. This module
must never hold the only copy of anything: the sender of what was not committed sends it again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mhbridge.errors import MalformedMessage, MhbridgeError
from mhbridge.gateway.workers import wire
from mhbridge.gateway.workers.apart import ALL, Part
from mhbridge.gateway.workers.wire import DROP, KEEP, Failed, Refused
from mhbridge.gateway.workers.worker import Make, Worker, WorkerDied
from mhbridge.log import Event, Log

if TYPE_CHECKING:
    from datetime import datetime

    from mhbridge.gateway.workers.here import Read
    from mhbridge.gateway.workers.work import Asked, Whose
    from mhbridge.model import Envelope, Known, Later, Outcome, Past

__all__ = ["FailedThere", "Workers"]

#: So often a worker may die with a message in hand: once may be chance.
_TRIES: Final = 2
#: Seconds that one request may take, besides what its size allows. A letter takes milliseconds.
_LONGEST: Final = 2.0
#: What leaks a little with each envelope does so no longer than this.
_SHARE: Final = 10_000
#: Bytes of address space of a worker. The largest envelope over a socket, 20 MB, takes 830 MB for an instant.
_MEMORY: Final = 1_500_000_000
#: Mappings are read and compiled at the start; then again after a failure, so many seconds later.
_START: Final = 60.0
_PAUSE: Final = 1.0


class FailedThere(Exception):
    """Our own code failed in a worker; `said` is what may be said of it."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        super().__init__()
        self.said = said


class Workers:
    """
    So many worker processes, and one to spare.

    Args:
        make: makes the feeds in each of them.
        longest: seconds that one request may take before its worker is killed, besides what its size allows.
        share: envelopes that one worker reads before it is retired.
        memory: bytes of address space that a worker may have.
    """

    def __init__(
        self,
        make: Make,
        count: int,
        log: Log,
        *,
        longest: float = _LONGEST,
        share: int = _SHARE,
        memory: int = _MEMORY,
    ) -> None:
        self._make = make
        self._count = count
        self._log = log
        self._longest = longest
        self._share = share
        self._memory = memory
        self._asked: set[Worker] = set()
        self._spare: Worker | None = None
        self._retired: set[Worker] = set()
        self._some = asyncio.Event()
        self._tickets = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._filling = False
        self._closing = False

    @property
    def pids(self) -> list[int]:
        """The processes that are asked."""
        return [worker.pid for worker in self._asked]

    @property
    def alive(self) -> bool:
        """Some process can be asked."""
        return bool(self._asked)

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return sum(len(worker.waiting) for worker in self._all)

    async def open(self) -> None:
        """
        Start them. When this returns, each can be asked.

        Raises:
            MhbridgeError: D905, when one does not start.
        """
        self._closing = False
        *asked, self._spare = await self._started(self._make, self._count + 1)
        self._ask_these(asked)
        self._keep(self._watch())

    async def close(self) -> None:
        """End them."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*[worker.end() for worker in self._all])
        self._asked.clear()
        self._retired.clear()
        self._spare = None

    async def adopt(self, make: Make) -> None:
        """
        Let others read and step from now on, that have these feeds. What is in hand ends as it began.

        Raises:
            MhbridgeError: D905, when one of them does not start; all is then as it was.
        """
        *asked, spare = await self._started(make, self._count + 1)
        before = [*self._asked, *([self._spare] if self._spare is not None else [])]
        self._make, self._spare = make, spare
        self._asked.clear()
        self._ask_these(asked)
        for worker in before:
            self._retire(worker)

    async def read(self, envelope: Envelope, part: Part = ALL) -> Read:
        """
        Take an envelope apart, or some messages of it.

        Raises:
            MessageError: as `pipeline.intake`.
            WorkerDied, FailedThere: see there.
        """
        read = _ReadThere(self, envelope, part)
        await read.begin()
        return read

    async def take(self) -> Worker:
        """The one with the least to do, for one envelope; waits while there is none. To be given back."""
        while not self._asked:
            self._some.clear()
            await self._some.wait()
        worker = min(self._asked, key=lambda worker: len(worker.waiting))
        worker.holds += 1
        worker.had += 1
        if worker.had >= self._share and self._spare is not None:
            self._asked.discard(worker)
            self._retire(worker)
            self._fill()
        return worker

    def give_back(self, worker: Worker) -> None:
        """It is done with that envelope."""
        worker.holds -= 1
        if worker in self._retired and not worker.holds:
            self._keep(worker.end())

    def ticket(self) -> int:
        """A number that no other envelope has."""
        return next(self._tickets)

    # --- starting and watching ---

    @property
    def _all(self) -> list[Worker]:
        return [*self._asked, *self._retired, *([self._spare] if self._spare is not None else [])]

    def _ask_these(self, workers: list[Worker]) -> None:
        self._asked.update(workers)
        self._some.set()
        # One that ended before it was known here told nobody.
        for worker in [worker for worker in workers if worker.ended]:
            self._gone(worker)

    async def _started(self, make: Make, count: int) -> list[Worker]:
        """So many new ones, or none."""
        # All of them are waited for: none is left behind that nobody knows of.
        found = await asyncio.gather(*[self._start(make) for _ in range(count)], return_exceptions=True)
        error = next((one for one in found if isinstance(one, BaseException)), None)
        workers = [one for one in found if isinstance(one, Worker)]
        if error is None:
            return workers
        await asyncio.gather(*[worker.end() for worker in workers])
        raise error

    async def _start(self, make: Make) -> Worker:
        worker = Worker(self._gone, self._memory)
        try:
            async with asyncio.timeout(_START):
                await worker.start(make)
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
        return worker

    def _gone(self, worker: Worker) -> None:
        if worker in self._retired:
            self._retired.discard(worker)
            return
        if self._closing or (worker not in self._asked and worker is not self._spare):
            return
        self._log.error(Event.WORKER_DIED, code="D906")
        self._asked.discard(worker)
        if worker is self._spare:
            self._spare = None
        self._keep(worker.end())
        self._fill()

    def _retire(self, worker: Worker) -> None:
        self._retired.add(worker)
        if not worker.holds:
            self._keep(worker.end())

    def _fill(self) -> None:
        """Let the spare one be asked where one is missing, and start as many as are missing then."""
        if self._spare is not None and len(self._asked) < self._count:
            spare, self._spare = self._spare, None
            self._ask_these([spare])
        if not self._filling:
            self._filling = True
            self._keep(self._start_missing())

    async def _start_missing(self) -> None:
        try:
            while self._spare is None or len(self._asked) < self._count:
                make = self._make
                try:
                    worker = await self._start(make)
                except MhbridgeError as error:
                    self._log.error(Event.WORKER_DIED, code=error.code)
                    await asyncio.sleep(_PAUSE)
                    continue
                if make is not self._make:
                    # Others were adopted meanwhile.
                    await worker.end()
                elif len(self._asked) < self._count:
                    self._ask_these([worker])
                else:
                    self._spare = worker
        finally:
            self._filling = False

    async def _watch(self) -> None:
        """Kill whoever does not come back: nobody else can stop code that never waits."""
        while True:
            await asyncio.sleep(min(1.0, self._longest / 2))
            for worker in self._all:
                if worker.takes > self._longest:
                    worker.kill()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _ReadThere:
    """An envelope that a worker has read."""

    asked: Asked

    def __init__(self, workers: Workers, envelope: Envelope, part: Part) -> None:
        self._workers = workers
        self._envelope = envelope
        self._part = part
        self._ticket = workers.ticket()
        #: Who has it in hand.
        self._worker: Worker | None = None
        self._deaths = 0

    async def begin(self) -> None:
        while True:
            self._worker = worker = await self._workers.take()
            try:
                self.asked = await self._ask(worker, wire.read(self._ticket, self._envelope, self._part))
            except WorkerDied as died:
                self._give_back()
                self._count(died)
            except asyncio.CancelledError:
                # Nobody will step it, and a worker keeps what it has read until it is told.
                self.drop()
                raise
            except BaseException:
                self._give_back()
                raise
            else:
                return

    async def step(
        self,
        known: Mapping[Whose, Known],
        past: Sequence[Past] = (),
        worked_at: datetime | None = None,
        before: Mapping[Whose, Sequence[Later]] | None = None,
    ) -> list[Outcome]:
        return await self._finish(wire.step(self._ticket, known, self.asked.parts, past, worked_at, before))

    async def to_be_worked(self) -> list[Outcome]:
        return await self._finish(wire.told(KEEP, self._ticket))

    async def _finish(self, request: bytes) -> list[Outcome]:
        while True:
            assert self._worker is not None
            try:
                outcomes: list[Outcome] = await self._ask(self._worker, request)
            except WorkerDied as died:
                self._give_back()
                self._count(died)
                # What was read has gone with it.
                await self.begin()
            except BaseException:
                self._give_back()
                raise
            else:
                self._give_back()
                return outcomes

    def drop(self) -> None:
        if self._worker is not None:
            self._worker.tell(DROP, self._ticket)
            self._give_back()

    def _give_back(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            self._workers.give_back(worker)

    def _count(self, died: WorkerDied) -> None:
        self._deaths += died.in_hand
        if self._deaths >= _TRIES:
            raise died

    async def _ask(self, worker: Worker, request: bytes) -> Any:
        answer = await worker.ask(request, self._ticket, len(self._envelope.body))
        if isinstance(answer, Refused):
            raise MalformedMessage(*answer)
        if isinstance(answer, Failed):
            raise FailedThere(answer.said)
        return answer
