"""
The backlog: messages that are durable already and are worked after their sender was answered.

    waiting   the store says what is due, whole patients in order
    begin     the store counts the start, and it is durable before anything is done
    work      the same reading and stepping as for a message whose sender waits, in its patient's turn
    settle    the store writes what became of it

Many messages of one envelope are worked with one reading of it. One on which a start was lost is worked alone, so that
it takes no others along; at the third start the store parks it. Nothing in memory says what is in hand: the store gives
again what does not come back in time. This module must never decide what becomes of a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from mhbridge.errors import MessageError, PastChanged, StoreError
from mhbridge.gateway.failing import say_refused
from mhbridge.gateway.outbox import first_of
from mhbridge.gateway.workers import FailedThere, WorkerDied
from mhbridge.gateway.workers.apart import ALL, Part
from mhbridge.gateway.working import failed_on, outcomes_of
from mhbridge.log import Event, Log, where
from mhbridge.model import Envelope, Key, Outcome
from mhbridge.ports import Clock, Pending, Store, part_of

if TYPE_CHECKING:
    from mhbridge.gateway.parts import Parts
    from mhbridge.gateway.turns import Turns
    from mhbridge.gateway.workers import Here, Workers
    from mhbridge.gateway.working import Told

__all__ = ["Backlog"]

#: So many messages of one envelope are worked together, and so many envelopes at a time.
_TOGETHER: Final = 100
_AT_ONCE: Final = 4
#: Whoever has messages in hand has so long, in seconds, and for each so many bytes of their envelope one more.
_LEASE: Final = 60.0
_BYTES_A_SECOND: Final = 50_000
#: After the store has failed, so long until it is asked again.
_STORE_PAUSE: Final = 2.0
#: So often it is tried to put messages back: a database that was cut off for a moment is there again soon.
_PUTS_BACK: Final = 10
#: However little there is to do, so often it is looked for: a wake that was lost must not be for ever.
_LONGEST_SLEEP: Final = 20.0
#: When the gateway stops, what is in hand has so long.
_DRAIN: Final = 10.0
#: At this start the store parks it.
_LAST_START: Final = 3
#: Failures of the store that say nothing of the message: a full disk, another writer, a lost connection, an end.
_NOT_ITS_FAULT: Final = frozenset(
    {"S206", "S209", "S210", "S213", "S215", "S240", "S241", "S242", "S244", "S245", "S260"}
)


#: What is about somebody who is another node's is looked at again after so long.
_OTHERS: Final = timedelta(seconds=1)


#: Nothing becomes of these however often they are tried.
_UNREADABLE: Final = {"S208": "its bytes are damaged", "S222": "its bytes have been purged"}


class Backlog:
    """
    Works what the store says is waiting. Sleeps until something is, and is woken by `wake`.

    Args:
        turns: of the patients; shared with whoever else works messages.
        deadlines: destination → seconds after which an unfinished delivery is overdue.
        told: told of what became of messages.
        together: messages of one envelope that are worked at a time.
        parts: which patients are this node's, where several share the store. It gives those of these only.
    """

    def __init__(
        self,
        *,
        store: Store,
        workers: Workers | Here,
        turns: Turns,
        deadlines: Mapping[str, float],
        told: Told,
        clock: Clock,
        log: Log,
        together: int = _TOGETHER,
        lease: float = _LEASE,
        parts: Parts | None = None,
    ) -> None:
        self._parts = parts
        self._store = store
        self._workers = workers
        self._turns = turns
        self._deadlines = deadlines
        self._told = told
        self._clock = clock
        self._log = log
        self._together = together
        self._lease = lease
        self._woken = asyncio.Event()
        self._closing = False
        self._suspects_next = False
        self._loop: asyncio.Task[None] | None = None
        self._in_hand: dict[asyncio.Task[None], Sequence[Pending]] = {}

    @property
    def parts(self) -> set[int]:
        """The parts in which something is in hand."""
        return {part_of(pending.patient) for taken in self._in_hand.values() for pending in taken}

    def wake(self) -> None:
        """Something may be waiting."""
        self._woken.set()

    async def open(self) -> None:
        """Begin to work."""
        self._closing = False
        self._loop = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Begin nothing more; what is in hand is worked to its end, or put back where that takes too long."""
        self._closing = True
        self._woken.set()
        if self._loop is not None:
            await self._loop
            self._loop = None
        if self._in_hand:
            _, late = await asyncio.wait(self._in_hand, timeout=_DRAIN)
            left = [pending for task in late for pending in self._in_hand[task]]
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            if left:
                await self._put_back(left, counted=False)

    # --- the loop ---

    async def _run(self) -> None:
        while not self._closing:
            self._woken.clear()
            try:
                more = await self._start_some()
                # Whoever was woken meanwhile need not ask how long to sleep.
                seconds = 0.0 if more or self._woken.is_set() else await self._until_due()
            except StoreError as error:
                say_refused(self._log, error)
                seconds = _STORE_PAUSE
            except Exception as error:  # noqa: BLE001  the others must go on, whatever one round ran into
                self._log.critical(Event.FAILED, **where(error))
                seconds = _STORE_PAUSE
            await first_of(self._woken, seconds)

    async def _start_some(self) -> bool:
        """Take in hand what is due and has room; whether there may be more."""
        room = _AT_ONCE - len(self._in_hand)
        if room <= 0 or any(pending.starts > 1 for taken in self._in_hand.values() for pending in taken):
            # One that may have ended a worker, or this process, has nobody beside it.
            return False
        waiting = await self._store.waiting(self._clock(), room * self._together)
        suspects = [pending for pending in waiting if pending.starts]
        if suspects and (self._suspects_next or len(suspects) == len(waiting)):
            if self._in_hand:
                return False
            self._suspects_next = False
            return await self._start(suspects[:1])
        # In turns, so that neither keeps the others waiting for long.
        self._suspects_next = bool(suspects)
        started = False
        for group in self._grouped([pending for pending in waiting if not pending.starts])[:room]:
            if not self._closing:
                started |= await self._start(group)
        return started

    def _grouped(self, waiting: Sequence[Pending]) -> list[list[Pending]]:
        """By envelope, in its order."""
        groups: dict[int, list[Pending]] = {}
        for pending in waiting:
            groups.setdefault(pending.envelope, []).append(pending)
        return [sorted(group, key=lambda pending: pending.number)[: self._together] for group in groups.values()]

    async def _start(self, group: Sequence[Pending]) -> bool:
        """Take these in hand; whether anything came of it. What nobody may take is not asked for without a pause."""
        now = self._clock()
        until = now + timedelta(seconds=self._lease + group[0].size / _BYTES_A_SECOND)
        taken = await self._store.begin(group, now, until)
        there = {pending.id for pending in taken}
        parked = [one for one in group if one.id not in there and one.starts + 1 >= _LAST_START]
        for pending in parked:
            self._log.warning(Event.PARKED, feed=pending.feed, message=pending.id, code="M780")
        if taken:
            task = asyncio.create_task(self._work(taken))
            self._in_hand[task] = taken
            task.add_done_callback(self._ended)
        return bool(taken or parked)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._in_hand[task]
        self._woken.set()

    async def _until_due(self) -> float:
        """Seconds until something comes due, or to look whether it has."""
        now = self._clock()
        due = await self._store.next_waiting(now)
        return _LONGEST_SLEEP if due is None else min(max((due - now).total_seconds(), 0.2), _LONGEST_SLEEP)

    # --- one part of an envelope ---

    async def _work(self, taken: Sequence[Pending]) -> None:
        feed = taken[0].feed
        try:
            await self._work_them(taken)
        except WorkerDied:
            # Which of them it was, each will show alone.
            self._log.critical(Event.POISONED, feed=feed, count=len(taken), code="D906")
            await self._put_back(taken, counted=True)
        except PastChanged:
            # A version left while its successor was being worked. Nothing is durable: it is worked again.
            await self._put_back(taken, counted=False)
        except StoreError as error:
            say_refused(self._log, error, feed=feed)
            await self._put_back(taken, counted=error.code not in _NOT_ITS_FAULT)
            await asyncio.sleep(_STORE_PAUSE)
        except Exception as error:  # noqa: BLE001  whatever it is, they are worked again
            self._log.critical(Event.FAILED, feed=feed, **where(error))
            await self._put_back(taken, counted=True)

    async def _work_them(self, taken: Sequence[Pending]) -> None:
        try:
            envelope = await self._store.envelope(taken[0].envelope)
        except StoreError as error:
            if error.code not in _UNREADABLE:
                raise
            await self._settle(taken, [failed_on(error.code, _UNREADABLE[error.code])] * len(taken))
            return
        if envelope is None:
            await self._settle(taken, [failed_on("S208", "its bytes are not there")] * len(taken))
            return
        try:
            await self._read_and_step(envelope, taken)
        except MessageError as error:
            await self._settle(taken, [failed_on(error.code, error.message)] * len(taken))
        except (WorkerDied, StoreError):
            raise
        except Exception as error:
            if len(taken) > 1:
                raise
            said = error.said if isinstance(error, FailedThere) else where(error)
            self._log.critical(Event.POISONED, feed=envelope.feed, size=len(envelope.body), **said)
            await self._settle(taken, [failed_on("D902", "the gateway itself failed on this message")])

    async def _read_and_step(self, envelope: Envelope, taken: Sequence[Pending]) -> None:
        part = ALL if taken[0].of == 1 else Part(frozenset(pending.number for pending in taken))
        read = await self._workers.read(envelope, part)
        try:
            if read.asked.messages != len(taken):
                # With the mapping as it is now the envelope falls into other messages than it did.
                if taken[0].of == 1 and read.asked.messages > 1:
                    # It was kept as one, since it could not be taken apart.
                    await self._store.divide(taken[0], await read.to_be_worked(), self._clock())
                    return
                if len(taken) > 1:
                    await self._put_back(taken, counted=True)
                    return
                outcome = failed_on("M781", "the message is not found in its envelope any more")
                await self._settle(taken, [outcome] * len(taken))
                return
            if not await self._are_ours(taken, read.asked.patients):
                await self._store.put_back(taken, self._clock() + _OTHERS, counted=False)
                return
            async with self._turns.of(read.asked.patients):
                await self._settle(taken, await outcomes_of(self._store, read, self._clock()))
        finally:
            read.drop()

    async def _are_ours(self, taken: Sequence[Pending], patients: Sequence[Key]) -> bool:
        """Whether all that these messages are about is this node's. What is not, as of a merge, is asked for."""
        own = {part_of(pending.patient) for pending in taken}
        return self._parts is None or await self._parts.hold_or_want(patients, own)

    async def _settle(self, taken: Sequence[Pending], outcomes: Sequence[Outcome]) -> None:
        await self._store.settle(list(zip(taken, outcomes, strict=True)), self._clock(), self._deadlines)
        self._log.info(Event.WORKED, feed=taken[0].feed, messages=len(taken))
        self._told.tell(taken[0].feed, [pending.id for pending in taken], outcomes)

    async def _put_back(self, taken: Sequence[Pending], *, counted: bool) -> None:
        """Where the store cannot for long, they come due by themselves, and the start counts."""
        for _ in range(_PUTS_BACK):
            try:
                await self._store.put_back(taken, self._clock(), counted=counted)
            except StoreError as error:
                say_refused(self._log, error)
                if self._closing:
                    return
                await asyncio.sleep(_STORE_PAUSE)
            else:
                return
