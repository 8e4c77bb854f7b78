"""
One attempt: send, or after no answer look, and what follows from it, as one move of the delivery.

After no answer a delivery is `unknown` and is looked up, never sent blindly. This module must never write to the store,
and never lets an attempt end without a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from mhbridge.errors import (
    DestinationHeld,
    DestinationRejected,
    DestinationSilent,
    DestinationUnavailable,
    MhbridgeError,
)
from mhbridge.gateway.outlets import HELD, Outlet
from mhbridge.log import Event, Log, where
from mhbridge.model import DeliveryState
from mhbridge.ports import Clock, Delivered, DueDelivery, Move

__all__ = ["Attempts"]

#: The longest wait before another try, in seconds. Up to there it doubles.
_LONGEST: Final = 900.0
_LONGEST_LOOK: Final = 300.0
#: What a destination asks for is made longer by up to so much of it: lanes that were told the same do not come at once.
_SPREAD: Final = 0.1
#: An acknowledgement that has no deadline is asked for after so long.
_ASK: Final = timedelta(days=1)
#: The destination has answered that it does not have it; it is only too early to believe that.
_NOT_YET: Final = "D958"
#: Somebody else writes the same there: that says that it is well.
_CONFLICT: Final = "D947"


class Attempts:
    """
    What becomes of attempts.

    Args:
        jitter: a number from 0 to 1, so that lanes that failed together do not try again together.
        first: seconds before the second try.
        settle: after a request's own deadline, so long a lost one may still be executed before anybody looks.
    """

    def __init__(self, *, clock: Clock, log: Log, jitter: Callable[[], float], first: float, settle: float) -> None:
        self._clock = clock
        self._log = log
        self._jitter = jitter
        self._first = first
        self._settle = settle
        self._looks: dict[int, int] = {}

    async def make(self, outlet: Outlet, delivery: DueDelivery) -> Move:
        """Send or look; whatever happens, it ends in one move."""
        move = await self._try(outlet, delivery)
        if move.state is DeliveryState.UNKNOWN:
            self._looks[delivery.id] = self._looks.get(delivery.id, 0) + 1
        else:
            self._looks.pop(delivery.id, None)
        return move

    async def _try(self, outlet: Outlet, delivery: DueDelivery) -> Move:
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
            return self._not_now(outlet, delivery, error, looking=looking)
        except (DestinationSilent, TimeoutError) as error:
            silent = error if isinstance(error, DestinationSilent) else DestinationSilent("D942", "no answer came")
            if silent.code != _NOT_YET:
                # Silence is a failure of the destination's like any other, or it would be sent to for ever.
                self._went_wrong(outlet, silent.code)
            return self._unknown(delivery, silent.code, silent.after, silent.remote_id)
        except Exception as error:  # noqa: BLE001  a fault in a sender says nothing of what arrived
            self._log.critical(Event.FAILED, destination=delivery.destination, delivery=delivery.id, **where(error))
            return self._unknown(delivery, "D954")
        if found is None:
            # Nobody took anything, and where nobody can be asked nobody even answered: that is not going well.
            return self._again(delivery, "D956", self._wait(delivery.attempts - 1))
        self._went_well(outlet)
        return self._delivered(delivery, found)

    # --- what follows ---

    def _delivered(self, delivery: DueDelivery, found: Delivered) -> Move:
        done = found.level >= delivery.needs
        self._log.info(
            Event.DELIVERED,
            destination=delivery.destination,
            delivery=delivery.id,
            message=delivery.message,
            attempts=delivery.attempts + 1,
        )
        now = self._clock()
        # One that is late already is asked for when a day has passed: to be late is said by the watch.
        asked_at = delivery.deadline if delivery.deadline is not None and delivery.deadline > now else now + _ASK
        state = DeliveryState.DONE if done else DeliveryState.AWAITING
        due_at = None if done else asked_at
        return Move(delivery.id, state, level=found.level, due_at=due_at, remote_id=found.remote_id)

    def _not_now(self, outlet: Outlet, delivery: DueDelivery, error: DestinationUnavailable, *, looking: bool) -> Move:
        if error.code == _CONFLICT:
            self._went_well(outlet)
        else:
            self._went_wrong(outlet, error.code)
        after = 0.0 if error.after is None else error.after * (1 + _SPREAD * self._jitter())
        if error.after:
            # It speaks for itself, not for one patient: nobody else is sent there meanwhile.
            outlet.rest(self._clock() + timedelta(seconds=error.after))
        if looking:
            # That it cannot be asked now says nothing of what arrived before.
            return self._unknown(delivery, error.code, after or None)
        return self._again(delivery, error.code, max(self._wait(delivery.attempts), after))

    def _wait(self, failed: int) -> float:
        """Seconds until another try, after so many before this one."""
        wait: float = self._first * 2 ** min(max(failed, 0), 30)
        return min(wait, _LONGEST) * (0.5 + self._jitter() / 2)

    def _again(self, delivery: DueDelivery, code: str, wait: float) -> Move:
        # Past its deadline it is overdue, which the watch says; but late is better than never, so it goes on.
        self._say(Event.WILL_RETRY, delivery, code, seconds=round(wait, 1))
        return Move(delivery.id, DeliveryState.RETRY, code, due_at=self._clock() + timedelta(seconds=wait))

    def _unknown(self, delivery: DueDelivery, code: str, after: float | None = None, remote_id: str = "") -> Move:
        now, looks = self._clock(), self._looks.get(delivery.id, 0)
        if looks and delivery.deadline is not None and now > delivery.deadline:
            self._say(Event.DELIVERY_PARKED, delivery, "D955")
            return Move(delivery.id, DeliveryState.PARKED, "D955", remote_id=remote_id)
        wait = min(self._settle * 2 ** min(looks, 30), _LONGEST_LOOK) if after is None else after
        self._say(Event.UNKNOWN, delivery, code, seconds=round(wait, 1))
        due_at = now + timedelta(seconds=wait)
        return Move(delivery.id, DeliveryState.UNKNOWN, code, due_at=due_at, remote_id=remote_id)

    def _park(self, delivery: DueDelivery, error: MhbridgeError) -> Move:
        self._say(Event.DELIVERY_PARKED, delivery, error.code)
        return Move(delivery.id, DeliveryState.PARKED, error.code)

    def _held(self, outlet: Outlet, delivery: DueDelivery, error: DestinationHeld, *, looking: bool) -> Move:
        outlet.hold(self._clock())
        self._log.error(Event.DESTINATION_HELD, destination=outlet.name, code=error.code, seconds=HELD)
        state = DeliveryState.UNKNOWN if looking else DeliveryState.RETRY
        return Move(delivery.id, state, error.code, due_at=self._clock(), burnt=looking)

    # --- how the destination does ---

    def _went_well(self, outlet: Outlet) -> None:
        if outlet.down:
            self._log.info(Event.DESTINATION_BACK, destination=outlet.name)
        outlet.went_well(self._clock())

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
