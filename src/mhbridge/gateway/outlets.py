"""
A destination as the outbox sees it: how much may go there now, and how it has been doing.

    well        as much at a time as it is configured for
    resting     it asked for a pause: nothing before that is over
    down        five failures running: one delivery now and then, to see
    held        it refuses us: one delivery every quarter of an hour, or when a person says so
    catching up it is back: what has gathered goes there at a rate, so that it is not knocked over again

This module must never send anything, and knows nothing of any delivery.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from mhbridge.ports import Sender

__all__ = ["HELD", "Outlet"]

#: So many failures running, and a destination counts as down; so often one delivery is tried all the same.
_FAILURES, _PROBE = 5, 30.0
#: A destination that refuses us is asked again so often: somebody may have mended it over there.
HELD: Final = 900.0
#: In so many seconds the pace at which it catches up grows by as much as it was at first.
_DOUBLES: Final = 60.0


@dataclass(slots=True)
class Outlet:
    """
    One destination.

    Args:
        concurrency: deliveries at a time; they are of different patients.
        timeout: seconds that the sender itself allows for one.
        catch_up: deliveries each second, at most, after it was down or held; a minute later twice as many, and so on.
            `None`: as fast as they go.
        tracks: so often, in seconds, the destination is asked whether what it took was collected; `None`: never.
    """

    sender: Sender
    concurrency: int = 4
    timeout: float = 30.0
    catch_up: float | None = None
    tracks: float | None = None
    busy: int = 0
    failures: int = 0
    held: bool = False
    shut_until: datetime | None = None
    _back_at: datetime | None = field(default=None, init=False)
    _since: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.sender.name

    @property
    def down(self) -> bool:
        """It counts as down, or refuses us."""
        return self.held or self.failures >= _FAILURES

    @property
    def catching_up(self) -> bool:
        """It is back, and what has gathered is not yet through."""
        return self._back_at is not None

    def room(self, now: datetime) -> int:
        """How many more deliveries may be started now."""
        if self.shut_until is not None and now < self.shut_until:
            return 0
        room = (1 if self.down else self.concurrency) - self.busy
        return min(room, self._allowed(now)) if self._back_at is not None and self.catch_up else room

    def _allowed(self, now: datetime) -> int:
        assert self._back_at is not None
        assert self.catch_up
        seconds = (now - self._back_at).total_seconds()
        # Faster as it goes well: where more comes than the pace allows, what has gathered would never be through.
        return int(seconds * self.catch_up * (1 + seconds / _DOUBLES)) + 1 - self._since

    def opens_at(self, now: datetime) -> datetime | None:
        """When there will be room though nothing happens; `None` when only something that happens makes room."""
        if self.shut_until is not None and now < self.shut_until:
            return self.shut_until
        if self._back_at is None or not self.catch_up or self._allowed(now) > 0:
            return None
        return now + timedelta(seconds=1 / self.catch_up)

    def started(self, count: int) -> None:
        """So many were started."""
        self.busy += count
        self._since += count

    def went_well(self, now: datetime) -> None:
        """It took one: all is well."""
        if self.down:
            self._back_at, self._since = now, 0
        self.failures, self.held, self.shut_until = 0, False, None

    def caught_up(self) -> None:
        """Nothing waits for it that is due."""
        self._back_at = None

    def failed(self, now: datetime) -> None:
        """It could not be reached, or gave no answer."""
        self.failures += 1
        if self.failures >= _FAILURES:
            self.shut_until = now + timedelta(seconds=_PROBE)

    def rest(self, until: datetime) -> None:
        """It asked to be left alone."""
        self.shut_until = until if self.shut_until is None else max(self.shut_until, until)

    def hold(self, now: datetime) -> None:
        """It refuses us."""
        self.held, self.shut_until = True, now + timedelta(seconds=HELD)

    def let_go(self, now: datetime) -> None:
        """A person says that it may be sent to again."""
        if self.down:
            self._back_at, self._since = now, 0
        self.failures, self.held, self.shut_until = 0, False, None
