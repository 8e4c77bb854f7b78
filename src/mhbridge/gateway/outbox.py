"""
Delivery: due heads of lanes from the store, to their destinations, and what became of each back to the store.

    start     the store records that bytes may leave                     queued, retry → sending
    deliver   the sender hands them over, or says what may be done next
    finish    the store records the result                               → done, awaiting, retry, unknown, parked

After no answer a delivery is `unknown` and is looked up, never sent blindly. A destination that cannot be reached or
does not answer five times running, or that refuses us, is left alone but for one delivery now and then; nobody else's
lane waits for it, and none of its own burns an attempt. Order within a lane is the store's: it never gives two heads
of one lane. Where several nodes share a store it gives this one's only, and the lease is looked at right before each
send. This module must never decide what is sent where: that was decided when the message was worked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from mhbridge.errors import StoreError
from mhbridge.gateway.attempts import Attempts
from mhbridge.gateway.awaited import Awaited
from mhbridge.gateway.failing import say_refused
from mhbridge.gateway.outlets import Outlet
from mhbridge.gateway.tracking import Tracked
from mhbridge.log import Event, Log, where
from mhbridge.model import DeliveryState
from mhbridge.ports import Clock, DueDelivery, Move, Store, Tracking, part_of

__all__ = ["Outbox", "first_of"]

#: So many heads are asked for at a time, at most.
_MOST: Final = 64
#: What is due is asked for so often at most, in seconds.
_ROUND: Final = 0.005
#: First wait before another try, in seconds.
_FIRST: Final = 2.0
#: After a request's own deadline, so long a lost one may still be executed before anybody looks.
_SETTLE: Final = 5.0
#: However little there is to do, so often it is looked for: a wake that was lost must not be for ever.
_LONGEST_SLEEP: Final = 20.0
#: So long after a destination had no room, what is due there may still wait.
_CROWDED: Final = 60.0
#: When the gateway stops, what is being sent has so long.
_DRAIN: Final = 25.0
#: When the store fails, so long until it is asked again, and so often for one result.
_STORE_PAUSE, _FINISHES = 2.0, 30

#: The receiver's own acknowledgement was here before the result of the attempt, and has moved the delivery on; or it is
#: another node's now.
_MOVED_ON: Final = frozenset({"S212", "S213", "S260"})


def _always(_patient: int) -> bool:
    return True


class Outbox:
    """
    Delivers what the store says is due. Sleeps until something is, and is woken by `wake`.

    Args:
        jitter: a number from 0 to 1, so that lanes that failed together do not try again together.
        first: seconds before the second try.
        may_send: asked right before each send whether this patient is still this node's, where several share the store.
    """

    def __init__(
        self,
        *,
        store: Store,
        outlets: Iterable[Outlet],
        clock: Clock,
        log: Log,
        jitter: Callable[[], float] = random.random,
        first: float = _FIRST,
        settle: float = _SETTLE,
        drain: float = _DRAIN,
        may_send: Callable[[int], bool] | None = None,
    ) -> None:
        self._store = store
        self._may_send = may_send or _always
        self._outlets: Mapping[str, Outlet] = {outlet.name: outlet for outlet in outlets}
        self._clock = clock
        self._log = log
        self._attempts = Attempts(clock=clock, log=log, jitter=jitter, first=first, settle=settle)
        self._awaited = Awaited(store=store, clock=clock, log=log)
        self._tracked = [
            Tracked(outlet.name, outlet.sender, every=outlet.tracks, store=store, clock=clock, log=log)
            for outlet in self._outlets.values()
            if outlet.tracks is not None and isinstance(outlet.sender, Tracking)
        ]
        self._settle = settle
        self._drain = drain
        self._woken = asyncio.Event()
        self._closing = False
        self._loop: asyncio.Task[None] | None = None
        #: Whether there is a task about a destination that refuses us; what is not here is not known.
        self._told: dict[str, bool] = {}
        self._in_hand: dict[int, asyncio.Task[None]] = {}
        #: Delivery in hand → its patient.
        self._whose: dict[int, int] = {}
        #: Parts in which something was cut off when it took too long to stop.
        self._cut_off: set[int] = set()
        self._strange: set[str] = set()
        #: When a destination last had no room.
        self._full_at: dict[str, datetime] = {}

    @property
    def shut(self) -> Mapping[str, str]:
        """Destinations that are not being sent to, and why: `held` or `down`."""
        return {name: "held" if outlet.held else "down" for name, outlet in self._outlets.items() if outlet.down}

    @property
    def parts(self) -> set[int]:
        """The parts in which something is in hand, or was cut off."""
        return {part_of(patient) for patient in self._whose.values()} | self._cut_off

    @property
    def crowded(self) -> frozenset[str]:
        """Destinations that have had no room just now, for whatever reason: what is due there waits, as it should."""
        now = self._clock()
        since = now - timedelta(seconds=_CROWDED)
        self._without(now)
        return frozenset(name for name, at in self._full_at.items() if at > since)

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    def let_go(self, destination: str) -> bool:
        """A person says that a destination may be sent to again; false when it is neither down nor held."""
        outlet = self._outlets.get(destination)
        if outlet is None or not (outlet.down or outlet.opens_at(self._clock())):
            return False
        outlet.let_go(self._clock())
        self._woken.set()
        return True

    async def open(self) -> None:
        """Begin to deliver."""
        self._closing = False
        self._loop = asyncio.create_task(self._run())
        for rounds in (self._awaited, *self._tracked):
            await rounds.open()

    async def close(self, *, within: float | None = None) -> None:
        """
        Start nothing more, wait for what is being sent. What takes too long stays `sending` in the store.

        Args:
            within: seconds, where there are fewer than usual.
        """
        drain = self._drain if within is None else min(self._drain, max(within, 0.0))
        self._closing = True
        self._woken.set()
        for rounds in (self._awaited, *self._tracked):
            await rounds.close()
        if self._loop is not None:
            await self._loop
            self._loop = None
        if self._in_hand:
            _, late = await asyncio.wait(self._in_hand.values(), timeout=drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # --- the loop ---

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing:
            self._woken.clear()
            began = loop.time()
            try:
                more = await self._start_due()
                # Whoever was woken meanwhile need not ask how long to sleep.
                seconds = 0.0 if more or self._woken.is_set() else await self._until_due()
            except StoreError as error:
                say_refused(self._log, error)
                seconds = _STORE_PAUSE
            except Exception as error:  # noqa: BLE001  deliveries must go on, whatever one round ran into
                self._log.critical(Event.FAILED, **where(error))
                seconds = _STORE_PAUSE
            await first_of(self._woken, seconds)
            # Under load there is always one more due and one more place: some of them together cost hardly more.
            if (left := began + _ROUND - loop.time()) > 0 and not self._closing:
                await asyncio.sleep(left)

    async def _start_due(self) -> bool:
        """Start what is due and has room; whether there may be more."""
        now = self._clock()
        # Each comes with its document, so no more are asked for than can be started.
        most = min(sum(max(outlet.room(now), 0) for outlet in self._outlets.values()), _MOST)
        if not most:
            return False
        heads = await self._store.due(now, most, without=self._without(now))
        chosen: dict[str, list[DueDelivery]] = {}
        for delivery in heads:
            outlet = self._outlets.get(delivery.destination)
            if outlet is None:
                self._strange.add(delivery.destination)
                self._log.error(Event.DESTINATION_HELD, destination=delivery.destination, code="D957")
            elif delivery.id not in self._in_hand:
                mine = chosen.setdefault(delivery.destination, [])
                if len(mine) < outlet.room(now):
                    mine.append(delivery)
        if len(heads) < most:
            for outlet in self._outlets.values():
                if outlet.catching_up and outlet.name not in chosen and not outlet.busy and outlet.room(now) > 0:
                    outlet.caught_up()
        started = 0
        for name, deliveries in chosen.items():
            started += await self._start(self._outlets[name], deliveries, now)
        return bool(started) and len(heads) == most

    def _without(self, now: datetime) -> list[str]:
        full = [name for name, outlet in self._outlets.items() if outlet.room(now) <= 0]
        self._full_at.update(dict.fromkeys(full, now))
        return full + sorted(self._strange)

    async def _start(self, outlet: Outlet, deliveries: Sequence[DueDelivery], now: datetime) -> int:
        if not deliveries:
            return 0
        look_at = now + timedelta(seconds=outlet.timeout + 2 * self._settle)
        taken = frozenset(await self._store.start([delivery.id for delivery in deliveries], now, look_at))
        for delivery in deliveries:
            if delivery.id in taken:
                outlet.started(1)
                self._whose[delivery.id] = delivery.patient
                self._in_hand[delivery.id] = asyncio.create_task(self._attempt(outlet, delivery))
        return len(taken)

    async def _until_due(self) -> float:
        """Seconds until there is something to start, or to look whether there is."""
        now = self._clock()
        times = [at for outlet in self._outlets.values() if (at := outlet.opens_at(now)) is not None]
        without = self._without(now)
        if any(outlet.room(now) > 0 for outlet in self._outlets.values()):
            due = await self._store.next_due(without=without)
            if due is not None:
                times.append(due)
        future = [(at - now).total_seconds() for at in times]
        # What is due already and was not started is in hand, and will wake us; never spin meanwhile.
        return min(max(min(future, default=_LONGEST_SLEEP), 0.2), _LONGEST_SLEEP)

    # --- one attempt ---

    async def _attempt(self, outlet: Outlet, delivery: DueDelivery) -> None:
        try:
            try:
                # Nothing may come between this look and the send.
                mine = self._may_send(delivery.patient)
                move = await self._attempts.make(outlet, delivery) if mine else self._not_mine(delivery)
            finally:
                # The destination is done with it: the next may go there while this result is being recorded.
                outlet.busy -= 1
                self._woken.set()
            await self._finish(move)
            await self._tell(outlet)
        except asyncio.CancelledError:
            self._cut_off.add(part_of(delivery.patient))
            raise
        finally:
            del self._in_hand[delivery.id], self._whose[delivery.id]
            self._woken.set()

    def _not_mine(self, delivery: DueDelivery) -> Move:
        """The lease has ended before anything left. Where it is another's by now, the store refuses this."""
        self._log.warning(Event.NOT_SENT, destination=delivery.destination, delivery=delivery.id, code="D991")
        was_waiting = delivery.state in (DeliveryState.QUEUED, DeliveryState.RETRY)
        state = DeliveryState.RETRY if was_waiting else DeliveryState.UNKNOWN
        # Not at once: a lease that is renewed late is back in a moment, and until then this would go round and round.
        due_at = self._clock() + timedelta(seconds=_STORE_PAUSE)
        return Move(delivery.id, state, "D991", due_at=due_at, burnt=not was_waiting)

    async def _tell(self, outlet: Outlet) -> None:
        """A destination that refuses us is somebody's task, once, until it takes something again."""
        if self._told.get(outlet.name) is outlet.held:
            return
        now = self._clock()
        try:
            if outlet.held:
                await self._store.raise_task("destination", "D944", now, name=outlet.name)
            else:
                await self._store.close_task("destination", "it takes something again", now, name=outlet.name)
        except StoreError as error:
            # It is told after the next attempt.
            say_refused(self._log, error)
            return
        self._told[outlet.name] = outlet.held

    async def _finish(self, move: Move) -> None:
        """Record the result. Where the store cannot, it stays `sending`, becomes due again, and is then looked up."""
        for _ in range(_FINISHES):
            try:
                await self._store.finish([move], self._clock())
            except StoreError as error:
                if error.code in _MOVED_ON:
                    return
                say_refused(self._log, error, delivery=move.delivery)
                await asyncio.sleep(_STORE_PAUSE)
            else:
                return


async def first_of(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for the event, or so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
