"""
Takes an envelope: intake → step → commit → the answer, which leaves only after the commit.

One patient's messages are worked one after the other. This module must never hold work that is not in the store: all
that it has in memory can be lost at any instant, and nothing else is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from mhbridge import pipeline
from mhbridge.errors import MessageError, PastChanged, StoreError
from mhbridge.gateway.backlog import Backlog
from mhbridge.gateway.failing import OTHERS
from mhbridge.gateway.outbox import Outbox
from mhbridge.gateway.pressure import Pressure
from mhbridge.gateway.rehearsing import Rehearsed, rehearse
from mhbridge.gateway.turns import Turns
from mhbridge.gateway.workers import FailedThere, Here, WorkerDied, Workers
from mhbridge.gateway.workers.apart import Part
from mhbridge.gateway.workers.work import put_off
from mhbridge.gateway.working import Told, failed_on, outcomes_of
from mhbridge.log import Event, Log, where
from mhbridge.meters import Histogram
from mhbridge.model import Answer, Envelope, Key, MessageFacts, MessageState, Outcome, Verdict
from mhbridge.ports import Clock, Committed, Store

if TYPE_CHECKING:
    from mhbridge.gateway.clocks import Clocks
    from mhbridge.gateway.parts import Parts
    from mhbridge.pipeline import Feed

__all__ = ["Gateway"]

#: How long what has been read may take to be answered, when the gateway stops.
_ANSWERING: Final = 10.0
#: After the store has failed, so long nobody is told that the gateway is ready.
_WARY: Final = 10.0
#: The store has found no room on the disk.
_FULL: Final = "S210"
#: From the moment at which it is told to stop, so long for all of it.
_ALL: Final = 20.0
#: So often an envelope is worked again when what came before has changed meanwhile.
_AGAIN: Final = 5


class Gateway:
    """
    Between receivers and store. Receivers call `take` (or `receive`, for the answer alone) and `refuse`.

    Args:
        feeds: by the name that envelopes carry.
        outbox: what delivers; told when there is something to deliver.
        deadlines: destination → seconds after which an unfinished delivery is overdue.
        workers: processes that read and step; left out, it is done here.
        taken: told of each envelope that was not there before: its feed, when it came, and what became of it.
        pressure: the door; left out, one that does not look at the disk.
        clocks: what is told that something may be due sooner than it thinks.
        fast: a message is worked before its sender is answered where it may be; otherwise every one is made durable
            first and worked after.
        parts: which patients are this node's, where several share the store. Of the others' a message is made durable,
            and they work it.
    """

    def __init__(
        self,
        *,
        store: Store,
        feeds: Mapping[str, Feed],
        outbox: Outbox,
        deadlines: Mapping[str, float],
        clock: Clock,
        log: Log,
        workers: Workers | None = None,
        taken: Callable[[str, datetime, Sequence[Outcome]], None] | None = None,
        pressure: Pressure | None = None,
        clocks: Clocks | None = None,
        fast: bool = True,
        parts: Parts | None = None,
    ) -> None:
        self._store = store
        self._parts = parts
        self._feeds = feeds
        self._workers: Workers | Here = workers or Here(feeds)
        self._outbox = outbox
        self._deadlines = deadlines
        self._clock = clock
        self._log = log
        self._taken = taken
        self._fast = fast
        self._clocks = clocks
        self._turns = Turns(store.root)
        self._told = Told(outbox, log, clocks)
        self.backlog = Backlog(
            store=store,
            workers=self._workers,
            turns=self._turns,
            deadlines=deadlines,
            told=self._told,
            clock=clock,
            log=log,
            parts=parts,
        )
        if clocks is not None:
            clocks.again = self.backlog.wake
        if parts is not None:
            parts.in_hand = lambda: outbox.parts | self.backlog.parts
            parts.wake = self._look_everywhere
        self.pressure = pressure or Pressure(log=log)
        self._open = False
        #: How many receipts were answered since the start: whatever the answer, the store has each of them.
        self.answered = 0
        self._store_failed: datetime | None = None
        #: Feed → how long its answers took, in seconds.
        self.acknowledged: dict[str, Histogram] = {}
        self.leaves = self._told.leaves
        self.headings = self._told.headings

    # --- open and close ---

    async def open(self) -> None:
        """Look up what was left `sending`, and begin to deliver. The store is open already."""
        if self._parts is not None:
            # What others left is looked up when it is known that they are gone.
            await self._parts.open()
        elif found := await self._store.recover(self._clock()):
            self._log.warning(Event.RECOVERED, count=found)
        await self._outbox.open()
        await self.backlog.open()
        await self.pressure.open()
        self._open = True

    async def close(self) -> None:
        """
        Take nothing more, answer what was read, let what is being sent come to its end. Receivers are closed already.

        What has not come to its end in time stays `sending` in the store, and is looked up at the next start.
        """
        self._open = False
        loop = asyncio.get_running_loop()
        ends = loop.time() + _ALL
        await self.pressure.close()
        try:
            async with asyncio.timeout(_ANSWERING):
                await self.pressure.empty()
        except TimeoutError:
            # Not committed, so not acknowledged: the sender sends it again.
            self._log.warning(Event.STOPPING, count=self.pressure.inside)
        await self.backlog.close()
        await self._outbox.close(within=ends - loop.time())
        if self._parts is not None:
            await self._parts.close()

    @property
    def ready(self) -> bool:
        """Envelopes can be taken now."""
        return not self.unready

    @property
    def unready(self) -> str:
        """Why no envelope can be taken now, in words; empty when they can."""
        failed = self._store_failed
        if not self._open:
            return "The gateway is starting or stopping."
        if failed is not None and (self._clock() - failed).total_seconds() <= _WARY:
            return "The store has just failed."
        if self.pressure.shut:
            return "There is too little room on the disk."
        if not self._workers.alive:
            return "No process is there that translates."
        return ""

    @property
    def workers(self) -> tuple[int, int]:
        """How many processes translate, and how many requests they have not answered."""
        return len(self._workers.pids), self._workers.waiting

    def tell_of_watched(self, wake: Callable[[], None]) -> None:
        """Call this where somebody was heard of whom something may be told."""
        self._told.watched = wake

    def adopt(self, feeds: Mapping[str, Feed]) -> None:
        """Envelopes that come from now on are worked with these feeds. What is in hand ends as it began."""
        self._feeds = feeds
        if isinstance(self._workers, Here):
            self._workers.adopt(feeds)

    # --- take ---

    async def receive(self, envelope: Envelope) -> Answer:
        """What the sender is told of an envelope. See `take`."""
        return (await self.take(envelope)).answer

    async def take(self, envelope: Envelope) -> Committed:
        """
        Take an envelope. When this returns, it is durable, or it is refused and nothing of it is kept.

        Raises:
            StoreError: it could not be made durable, or the gateway is stopping; the sender must send it again.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        # `leave` is in the `finally` below: of what is done for each message, a context manager is no small part.
        await self.pressure.enter(envelope.feed, len(envelope.body))
        try:
            if not self._open:
                raise StoreError("D901", "the gateway is stopping; send it again")
            try:
                committed = await self._take(envelope, self._feeds[envelope.feed])
            except StoreError as error:
                self._store_failed = self._clock()
                self._log.error(Event.STORE_FAILED, feed=envelope.feed, code=error.code)
                if error.code == _FULL:
                    self.pressure.no_room()
                raise
            self._store_failed = None
            times = self.acknowledged.get(envelope.feed)
            if times is None:
                times = self.acknowledged[envelope.feed] = Histogram()
            times.add(loop.time() - begun)
            return committed
        finally:
            self.pressure.leave(envelope.feed, len(envelope.body))

    async def rehearse(self, message: int) -> Rehearsed | None:
        """What would become of a message if it were worked again now. See `rehearsing`."""
        return await rehearse(self._store, self._workers, message)

    async def refuse(self, feed: str, code: str) -> None:
        """Count and log what a transport refuses, of which there is no envelope."""
        self._log.warning(Event.REFUSED, feed=feed, code=code)
        await self._store.refuse(feed, code, self._clock())
        self.answered += 1

    async def _take(self, envelope: Envelope, feed: Feed) -> Committed:
        for _ in range(_AGAIN):
            try:
                return await self._take_once(envelope, feed)
            except PastChanged:
                # A version left while its successor was being worked. Nothing is durable: it is worked again.
                continue
        return await self._take_once(envelope, feed)

    async def _take_once(self, envelope: Envelope, feed: Feed) -> Committed:
        try:
            read = await self._workers.read(envelope)
        except MessageError as error:
            await self.refuse(envelope.feed, error.code)
            return Committed(Answer(Verdict.REJECTED, error.message, envelope.received_at, error.code), 0)
        except Exception as error:  # noqa: BLE001  see _keep_poison
            return await self._keep_poison(envelope, feed, error)
        try:
            earlier = await self._store.repeat(envelope, read.asked.key)
            if earlier is not None:
                self.answered += 1
                self._log.info(Event.REPEATED, feed=envelope.feed, reference=earlier.answer.reference)
                return earlier
            if self._fast and not read.asked.many and await self._are_ours(read.asked.patients):
                async with self._turns.of(read.asked.patients):
                    # Whatever of a patient is here already is worked before what has come now.
                    if not await self._store.busy(read.asked.patients):
                        outcomes = await outcomes_of(self._store, read)
                        if any(outcome.state is MessageState.HELD for outcome in outcomes):
                            # What waits begins as every message that is not worked at once.
                            outcomes = [put_off(outcome) for outcome in outcomes]
                        try:
                            return await self._commit(envelope, feed, read.asked.key, outcomes)
                        except StoreError as error:
                            if error.code != OTHERS:
                                raise
            return await self._commit(envelope, feed, read.asked.key, await read.to_be_worked())
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  see _keep_poison
            return await self._keep_poison(envelope, feed, error)
        finally:
            read.drop()

    async def _are_ours(self, patients: Sequence[Key]) -> bool:
        return self._parts is None or await self._parts.hold(patients)

    def _look_everywhere(self) -> None:
        """Something may be due that another node has taken."""
        self.backlog.wake()
        self._outbox.wake()
        if self._clocks is not None:
            self._clocks.wake()

    async def _commit(
        self, envelope: Envelope, feed: Feed, key: bytes, outcomes: Sequence[Outcome], *, starts: int = 0
    ) -> Committed:
        answer = pipeline.answer(outcomes, feed, envelope.received_at)
        committed = await self._store.commit(envelope, key, outcomes, answer, self._deadlines, starts=starts)
        self.answered += 1
        reference = committed.answer.reference
        if committed.repeated:
            self._log.info(Event.REPEATED, feed=envelope.feed, reference=reference)
            return committed
        if self._taken is not None:
            self._taken(envelope.feed, envelope.received_at, outcomes)
        self._log.info(
            Event.RECEIVED,
            feed=envelope.feed,
            reference=reference,
            messages=len(outcomes),
            size=len(envelope.body),
            peer=envelope.peer,
        )
        self._told.tell(envelope.feed, committed.messages, outcomes)
        if committed.awaited or any(outcome.state is MessageState.STORED for outcome in outcomes):
            self.backlog.wake()
        return committed

    async def _keep_poison(self, envelope: Envelope, feed: Feed, error: Exception) -> Committed:
        """
        Our own code failed on this envelope. Keep its bytes for a person, and let the feed go on.

        To raise would lose nothing, but the sender would repeat it for ever, and all behind it would wait.
        """
        key = hashlib.blake2b(f"{envelope.feed}\0".encode() + envelope.body, digest_size=32).digest()
        if isinstance(error, WorkerDied):
            return await self._keep_suspect(envelope, feed, key)
        said = error.said if isinstance(error, FailedThere) else where(error)
        self._log.critical(Event.POISONED, feed=envelope.feed, size=len(envelope.body), **said)
        outcome = failed_on("D902", "the gateway itself failed on this message")
        return await self._commit(envelope, feed, key, [outcome])

    async def _keep_suspect(self, envelope: Envelope, feed: Feed, key: bytes) -> Committed:
        """
        A worker died of this envelope, or did not come back from it: once may be chance.

        It is durable with its first start counted, and each of its messages is worked alone. Which of them it was is
        not known, nor whose they are: they were never read.
        """
        self._log.critical(Event.POISONED, feed=envelope.feed, size=len(envelope.body), code="D906")
        try:
            read = await self._workers.read(envelope, Part(unread=True))
            key, outcomes = read.asked.key, await read.to_be_worked()
        except Exception:  # noqa: BLE001  not even that it can be taken apart is sure
            outcomes = [Outcome(MessageFacts("", "unreadable"), MessageState.STORED)]
        return await self._commit(envelope, feed, key, outcomes, starts=1)
