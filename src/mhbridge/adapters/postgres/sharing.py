"""
What gateways that share a database ask of it: whose the patients are, and that the others have made something durable.

This module must never say what is to be done with a part.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mhbridge.adapters.sql import leases
from mhbridge.adapters.sql.books import micros
from mhbridge.adapters.sql.door import Door
from mhbridge.errors import StoreError
from mhbridge.model import Key
from mhbridge.ports import Holding

if TYPE_CHECKING:
    import psycopg

    from mhbridge.adapters.postgres.session import PostgresSession

__all__ = ["CHANNEL", "Listener", "Sharing"]

#: What is told when something was made durable that may be another's.
CHANNEL: Final = "mhbridge"
#: In seconds: told so often at most, and listened for so long at a time, so that an end is noticed; and the rest after
#: a connection was lost, while which whoever listens looks by itself.
_AT_MOST, _LISTENS, _RESTS = 0.05, 1.0, 1.0


class Listener:
    """
    A thread that hears what the others have made durable.

    Args:
        connect: makes a connection.
        run: whose own news is no news.
        parts: of which news is heard.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        run: str,
        parts: Callable[[], Collection[int]],
        heard: Callable[[bool], None],
    ) -> None:
        self._connect = connect
        self._parts = parts
        self._run = run
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="mhbridge-listener", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Listen no more."""
        self._ended.set()
        await asyncio.to_thread(self._thread.join)

    def _listen(self) -> None:
        import psycopg

        while not self._ended.is_set():
            with suppress(psycopg.Error, StoreError), self._connect() as connection:
                connection.execute(f"listen {CHANNEL}")
                while not self._ended.is_set():
                    # Several at once are one piece of news.
                    said = [one.payload for one in connection.notifies(timeout=_LISTENS, stop_after=1)]
                    if news := [one.split()[1:] for one in said if not one.startswith(self._run)]:
                        self._hear(news)
            self._ended.wait(_RESTS)

    def _hear(self, news: Sequence[Sequence[str]]) -> None:
        given_up, mine = ["*"] in news, self._parts()
        if given_up or any(int(part) in mine for parts in news for part in parts):
            with suppress(RuntimeError):
                # The loop may have ended before this thread.
                self._loop.call_soon_threadsafe(self._heard, given_up)
            self._ended.wait(_AT_MOST)


class Sharing(Door):
    """The port `SharedStore`, beside `Store`. The engine sets these when it opens."""

    node: str
    _run: str
    _fence: leases.LeaseFence
    _listener: Listener | None
    _parts: Collection[int] = frozenset()
    #: Every session in which it is asked what is due.
    _scoped: Sequence[PostgresSession]

    def listen(self, heard: Callable[[bool], None]) -> None:
        connect = partial(self._connected, writes=False)
        self._listener = Listener(connect, self._run, lambda: self._parts, heard)

    @abstractmethod
    def _connected(self, *, writes: bool) -> psycopg.Connection[Any]: ...

    async def renew(self, lease: float, *, leave: Collection[int] = (), want: Collection[int] = ()) -> Holding:
        item = leases.Renewing(self._run, round(lease * 1_000_000), tuple(leave), tuple(want))
        found: Holding = await self.write(leases.renew, item)
        return found

    async def resign(self, leave: Collection[int]) -> None:
        await self.write(leases.resign, leases.Resigning(self._run, tuple(leave)))

    def work_for(self, held: Mapping[int, int], parts: Collection[int]) -> None:
        self._fence.tokens, self._parts = dict(held), frozenset(parts)
        for session in self._scoped:
            session.scope = {**session.scope, "held": leases.array(parts)}

    async def parts_of(self, patients: Sequence[Key]) -> Collection[int]:
        return {(await self.root(patient))[0] for patient in patients}

    async def take_over(self, parts: Collection[int], now: datetime, until: datetime) -> int:
        found: int = await self.write(leases.take_over, leases.TakingOver(tuple(parts), micros(now), micros(until)))
        return found
