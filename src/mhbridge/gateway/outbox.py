"""
Delivery: due heads of lanes from the store, to their destinations, and what became of each back to the store.

    start     the store records that bytes may leave                     queued, retry → sending
    deliver   the sender hands them over, or says what may be done next
    finish    the store records the result                               → done, awaiting, retry, unknown, parked

After no answer a delivery is `unknown` and is looked up, never sent blindly. A destination that cannot be reached or
does not answer five times running, or that refuses us, is left alone but for one delivery now and then; nobody else's
lane waits for it, and none of its own burns an attempt. Order within a lane is the store's: it never gives two heads
of one lane. This module must never decide what is sent where: that was decided when the message was worked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mhbridge.errors import (
    DestinationHeld,
    DestinationRejected,
    DestinationSilent,
    DestinationUnavailable,
    MhbridgeError,
    StoreError,
)
from mhbridge.log import Event, Log, where
from mhbridge.model import DeliveryState
from mhbridge.ports import Clock, Delivered, DueDelivery, Move, Sender, Store

__all__ = ["Outbox", "Outlet"]

#: So many heads are asked for at a time, at most.
_MOST: Final = 64
#: First wait before another try, and the longest, in seconds. In between it doubles.
_FIRST, _LONGEST = 2.0, 900.0
#: After a request's own deadline, so long a lost one may still be executed before anybody looks.
_SETTLE: Final = 5.0
_LONGEST_LOOK: Final = 300.0
#: So many failures running, and a destination counts as down; so often one delivery is tried all the same.
_FAILURES, _PROBE = 5, 30.0
#: A destination that refuses us is asked again so often: somebody may have mended it over there.
_HELD: Final = 900.0
#: The destination has answered that it does not have it; it is only too early to believe that.
_NOT_YET: Final = "D958"
#: When the gateway stops, what is being sent has so long.
_DRAIN: Final = 25.0
#: When the store fails, so long until it is asked again, and so often for one result.
_STORE_PAUSE, _FINISHES = 2.0, 30


@dataclass(slots=True)
class Outlet:
    """
    A destination as the outbox sees it: its sender, its limits, and how it has been doing.

    Args:
        concurrency: deliveries at a time; they are of different patients.
        timeout: seconds that the sender itself allows for one.
        needs: the level at which a delivery is done: 1 sent, 2 accepted.
    """

    sender: Sender
    concurrency: int = 4
    timeout: float = 30.0
    needs: int = 2
    busy: int = 0
    failures: int = 0
    held: bool = False
    shut_until: datetime | None = None

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.sender.name

    @property
    def down(self) -> bool:
        """It counts as down, or refuses us."""
        return self.held or self.failures >= _FAILURES

    def room(self, now: datetime) -> int:
        """How many more deliveries may be started now."""
        if self.shut_until is not None and now < self.shut_until:
            return 0
        return (1 if self.down else self.concurrency) - self.busy

    def went_well(self) -> None:
        """It took one: all is well."""
        self.failures, self.held, self.shut_until = 0, False, None

    def failed(self, now: datetime) -> None:
        """It could not be reached, gave no answer, or asked to be left alone."""
        self.failures += 1
        if self.failures >= _FAILURES:
            self.shut_until = now + timedelta(seconds=_PROBE)

    def hold(self, now: datetime) -> None:
        """It refuses us."""
        self.held, self.shut_until = True, now + timedelta(seconds=_HELD)


class Outbox:
    """
    Delivers what the store says is due. Sleeps until something is, and is woken by `wake`.

    Args:
        jitter: a number from 0 to 1, so that lanes that failed together do not try again together.
        first: seconds before the second try.
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
    ) -> None:
        self._store = store
        self._outlets: Mapping[str, Outlet] = {outlet.name: outlet for outlet in outlets}
        self._clock = clock
        self._log = log
        self._jitter = jitter
        self._first = first
        self._settle = settle
        self._drain = drain
        self._woken = asyncio.Event()
        self._closing = False
        self._loop: asyncio.Task[None] | None = None
        self._in_hand: dict[int, asyncio.Task[None]] = {}
        self._looks: dict[int, int] = {}
        self._strange: set[str] = set()

    @property
    def shut(self) -> Mapping[str, str]:
        """Destinations that are not being sent to, and why: `held` or `down`."""
        return {name: "held" if outlet.held else "down" for name, outlet in self._outlets.items() if outlet.down}

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    async def open(self) -> None:
        """Begin to deliver."""
        self._closing = False
        self._loop = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Start nothing more, wait for what is being sent. What takes too long stays `sending` in the store."""
        self._closing = True
        self._woken.set()
        if self._loop is not None:
            await self._loop
            self._loop = None
        if self._in_hand:
            _, late = await asyncio.wait(self._in_hand.values(), timeout=self._drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # --- the loop ---

    async def _run(self) -> None:
        while not self._closing:
            self._woken.clear()
            try:
                more = await self._start_due()
                # Whoever was woken meanwhile need not ask how long to sleep.
                seconds = 0.0 if more or self._woken.is_set() else await self._until_due()
            except StoreError as error:
                self._log.error(Event.STORE_FAILED, code=error.code)
                seconds = _STORE_PAUSE
            except Exception as error:  # noqa: BLE001  deliveries must go on, whatever one round ran into
                self._log.critical(Event.FAILED, **where(error))
                seconds = _STORE_PAUSE
            await _first_of(self._woken, seconds)

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
        started = 0
        for name, deliveries in chosen.items():
            started += await self._start(self._outlets[name], deliveries, now)
        return bool(started) and len(heads) == most

    def _without(self, now: datetime) -> list[str]:
        return [name for name, outlet in self._outlets.items() if outlet.room(now) <= 0] + sorted(self._strange)

    async def _start(self, outlet: Outlet, deliveries: Sequence[DueDelivery], now: datetime) -> int:
        if not deliveries:
            return 0
        look_at = now + timedelta(seconds=outlet.timeout + 2 * self._settle)
        taken = frozenset(await self._store.start([delivery.id for delivery in deliveries], now, look_at))
        for delivery in deliveries:
            if delivery.id in taken:
                outlet.busy += 1
                self._in_hand[delivery.id] = asyncio.create_task(self._attempt(outlet, delivery))
        return len(taken)

    async def _until_due(self) -> float | None:
        """Seconds until there is something to start; `None` when only being woken can change anything."""
        now = self._clock()
        shut = (outlet.shut_until for outlet in self._outlets.values())
        times = [until for until in shut if until is not None and until > now]
        without = self._without(now)
        if any(outlet.room(now) > 0 for outlet in self._outlets.values()):
            due = await self._store.next_due(without=without)
            if due is not None:
                times.append(due)
        future = [(at - now).total_seconds() for at in times]
        # What is due already and was not started is in hand, and will wake us; never spin meanwhile.
        return max(min(future), 0.2) if future else None

    # --- one attempt ---

    async def _attempt(self, outlet: Outlet, delivery: DueDelivery) -> None:
        try:
            try:
                move = await self._try(outlet, delivery)
            finally:
                # The destination is done with it: the next may go there while this result is being recorded.
                outlet.busy -= 1
                self._woken.set()
            if move.state is DeliveryState.UNKNOWN:
                self._looks[delivery.id] = self._looks.get(delivery.id, 0) + 1
            else:
                self._looks.pop(delivery.id, None)
            await self._finish(move)
        finally:
            del self._in_hand[delivery.id]
            self._woken.set()

    async def _try(self, outlet: Outlet, delivery: DueDelivery) -> Move:
        """Send, or after no answer look; whatever happens, it ends in one move."""
        looking = delivery.state not in (DeliveryState.QUEUED, DeliveryState.RETRY)
        try:
            # The sender keeps to its own time; this is for one that does not.
            async with asyncio.timeout(outlet.timeout + self._settle):
                found = await (outlet.sender.look(delivery) if looking else outlet.sender.deliver(delivery))
        except DestinationRejected as error:
            self._went_well(outlet)
            return self._park(delivery, error)
        except DestinationHeld as error:
            return self._held(outlet, delivery, error, looking=looking)
        except DestinationUnavailable as error:
            self._went_wrong(outlet, error.code)
            if looking:
                # That it cannot be asked now says nothing of what arrived before.
                return self._unknown(delivery, error.code)
            return self._again(delivery, error.code, max(self._wait(delivery.attempts), error.after or 0.0))
        except (DestinationSilent, TimeoutError) as error:
            code = error.code if isinstance(error, DestinationSilent) else "D942"
            if code != _NOT_YET:
                # Silence is a failure of the destination's like any other, or it would be sent to for ever.
                self._went_wrong(outlet, code)
            return self._unknown(delivery, code)
        except Exception as error:  # noqa: BLE001  a fault in a sender says nothing of what arrived
            self._log.critical(Event.FAILED, destination=delivery.destination, delivery=delivery.id, **where(error))
            return self._unknown(delivery, "D954")
        if found is None:
            # Nobody took anything, and where nobody can be asked nobody even answered: that is not going well.
            return self._again(delivery, "D956", self._wait(delivery.attempts - 1))
        self._went_well(outlet)
        return self._delivered(outlet, delivery, found)

    def _delivered(self, outlet: Outlet, delivery: DueDelivery, found: Delivered) -> Move:
        done = found.level >= outlet.needs
        self._log.info(
            Event.DELIVERED,
            destination=delivery.destination,
            delivery=delivery.id,
            message=delivery.message,
            attempts=delivery.attempts + 1,
        )
        due_at = None if done else delivery.deadline or self._clock() + timedelta(days=1)
        state = DeliveryState.DONE if done else DeliveryState.AWAITING
        return Move(delivery.id, state, level=found.level, due_at=due_at, remote_id=found.remote_id)

    def _wait(self, failed: int) -> float:
        """Seconds until another try, after so many before this one."""
        wait: float = self._first * 2 ** max(failed, 0)
        return min(wait, _LONGEST) * (0.5 + self._jitter() / 2)

    def _again(self, delivery: DueDelivery, code: str, wait: float) -> Move:
        # Past its deadline it is overdue, which the watch says; but late is better than never, so it goes on.
        self._say(Event.WILL_RETRY, delivery, code, seconds=round(wait, 1))
        return Move(delivery.id, DeliveryState.RETRY, code, due_at=self._clock() + timedelta(seconds=wait))

    def _unknown(self, delivery: DueDelivery, code: str) -> Move:
        now, looks = self._clock(), self._looks.get(delivery.id, 0)
        if looks and delivery.deadline is not None and now > delivery.deadline:
            self._say(Event.DELIVERY_PARKED, delivery, "D955")
            return Move(delivery.id, DeliveryState.PARKED, "D955")
        wait = min(self._settle * 2**looks, _LONGEST_LOOK)
        self._say(Event.UNKNOWN, delivery, code, seconds=round(wait, 1))
        return Move(delivery.id, DeliveryState.UNKNOWN, code, due_at=now + timedelta(seconds=wait))

    def _park(self, delivery: DueDelivery, error: MhbridgeError) -> Move:
        self._say(Event.DELIVERY_PARKED, delivery, error.code)
        return Move(delivery.id, DeliveryState.PARKED, error.code)

    def _held(self, outlet: Outlet, delivery: DueDelivery, error: DestinationHeld, *, looking: bool) -> Move:
        outlet.hold(self._clock())
        self._log.error(Event.DESTINATION_HELD, destination=outlet.name, code=error.code, seconds=_HELD)
        state = DeliveryState.UNKNOWN if looking else DeliveryState.RETRY
        return Move(delivery.id, state, error.code, due_at=self._clock())

    def _went_well(self, outlet: Outlet) -> None:
        if outlet.down:
            self._log.info(Event.DESTINATION_BACK, destination=outlet.name)
        outlet.went_well()

    def _went_wrong(self, outlet: Outlet, code: str) -> None:
        was_down = outlet.down
        outlet.failed(self._clock())
        if outlet.down and not was_down:
            self._log.error(Event.DESTINATION_DOWN, destination=outlet.name, code=code)

    def _say(self, event: Event, delivery: DueDelivery, code: str, **more: float) -> None:
        self._log.warning(
            event,
            destination=delivery.destination,
            delivery=delivery.id,
            message=delivery.message,
            attempts=delivery.attempts + 1,
            code=code,
            **more,
        )

    async def _finish(self, move: Move) -> None:
        """Record the result. Where the store cannot, it stays `sending`, becomes due again, and is then looked up."""
        for _ in range(_FINISHES):
            try:
                await self._store.finish([move], self._clock())
            except StoreError as error:
                self._log.error(Event.STORE_FAILED, delivery=move.delivery, code=error.code)
                await asyncio.sleep(_STORE_PAUSE)
            else:
                return


async def _first_of(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for the event, or so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
