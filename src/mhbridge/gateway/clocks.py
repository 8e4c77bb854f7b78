"""
The one loop of all that becomes due by itself: tasks that nobody takes, deadlines with their ladders of steps.

It sleeps until the earliest of them and does what is due in one transaction of the store. What came due while nothing
ran is done at the start. All waiting is in timers of the event loop and all time is the clock's, so that in a test a
year takes minutes. This module must never decide what is due: that is in the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from mhbridge.gateway.rounds import Rounds
from mhbridge.log import Event, Log
from mhbridge.ports import Clock, Fired, Store

__all__ = ["Clocks"]

#: So many are done at a time.
_MOST: Final = 100
#: It looks at least so often, in seconds: whoever makes something due need not know of this loop.
_LONGEST: Final = 60.0
#: A wall clock that has gone so much further than time did, or so much less, in seconds, was set.
_JUMP: Final = 30.0

_SAID: Final = {
    "step": Event.CLOCK_STEP,
    "missed": Event.CLOCK_MISSED,
    "handed_on": Event.TASK_HANDED_ON,
    "unclaimed": Event.TASK_UNCLAIMED,
    "overdue": Event.TASK_OVERDUE,
}


class Clocks(Rounds):
    """
    Does what is due when it is due.

    Args:
        clock: the wall clock: deadlines are instants, and not lengths of time.
    """

    #: Told when messages wait to be worked again.
    again: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *, store: Store, clock: Clock, log: Log) -> None:
        super().__init__(log=log, kind="clocks")
        self._store = store
        self._clock = clock
        self._gone = 0.0

    async def open(self) -> None:
        """Do what came due while nothing ran, and go on from there."""
        self._gone = self._drift()
        await super().open()

    async def look(self) -> float:
        """Do what is due now. Returns for how many seconds nothing more will be."""
        self._see_the_wall()
        now = self._clock()
        following = await self._store.next_fire()
        if following is None or following > now:
            return _LONGEST if following is None else min((following - now).total_seconds(), _LONGEST)
        fired = await self._store.fire(now, _MOST)
        for one in fired:
            self._say(one)
        if any(one.kind == "again" for one in fired):
            self.again()
        # There may be more than a portion of them, or something is due next.
        return 0.0

    async def _round(self) -> float:
        return await self.look()

    def _drift(self) -> float:
        """How far the wall clock is from the loop's own, which only ever goes forward and is never set."""
        return self._clock().timestamp() - asyncio.get_running_loop().time()

    def _see_the_wall(self) -> None:
        gone, self._gone = self._gone, self._drift()
        if abs(self._gone - gone) > _JUMP:
            self._log.warning(Event.WALL_CLOCK_SET, seconds=round(self._gone - gone, 1))

    def _say(self, fired: Fired) -> None:
        if fired.kind == "again":
            self._log.info(Event.LETTER_AGAIN, message=fired.task)
            return
        say = self._log.error if fired.kind == "missed" else self._log.warning
        say = self._log.info if fired.kind in ("step", "handed_on") else say
        say(_SAID[fired.kind], task=fired.task, queue=fired.queue, severity=fired.severity, code=fired.cause)
