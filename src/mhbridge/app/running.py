"""
A gateway that was built, from its start to its end.

It opens in the order store, senders, workers, gateway, receivers, and closes in the reverse order. This module must
never make what it runs but through `build`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mhbridge.app.mappings import Reloading
from mhbridge.errors import ConfigurationError
from mhbridge.gateway import Clocks, Gateway, Keeping, Noticing, Outbox, Watch, Workers
from mhbridge.log import Event, Log

if TYPE_CHECKING:
    from mhbridge.adapters.outward import AlarmWebhook, Heartbeat
    from mhbridge.ports import Receiver, Sender, Store

__all__ = ["App"]

#: How long receivers have to answer what they have read, when the gateway stops.
_ANSWERING: Final = 5.0


@dataclass(slots=True)
class App:
    """
    A gateway with all that belongs to it.

    Args:
        receivers: what listens, by feed; `http` is the listener of the API.
        outward: what tells others of alarms, and that the gateway is well.
    """

    store: Store
    senders: Sequence[Sender]
    gateway: Gateway
    outbox: Outbox
    watch: Watch
    clocks: Clocks
    noticing: Noticing
    keeping: Keeping
    receivers: Mapping[str, Receiver]
    reloading: Reloading
    log: Log
    workers: Workers | None = None
    outward: Sequence[AlarmWebhook | Heartbeat] = ()
    _opened: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def open(self) -> None:
        """
        Start. When this returns, the gateway takes messages.

        Raises:
            StoreError: the store is not to be trusted as it is.
            ConfigurationError: something cannot be listened on.
        """
        try:
            await self._start()
        except BaseException:
            await self._opened.aclose()
            raise

    async def _start(self) -> None:
        push = self._opened.push_async_callback
        for one in self.outward:
            push(one.close)
            await one.open()
        push(self.store.close)
        await self.store.open()
        problems: list[tuple[str, str]] = []
        for sender in self.senders:
            push(sender.close)
            try:
                await sender.open()
            except OSError as error:
                problem = f"destination {sender.name}: what it writes to cannot be used: {_reason(error)}"
                problems.append(("C820", problem))
        if problems:
            raise ConfigurationError(problems)
        if self.workers is not None:
            push(self.workers.close)
            await self.workers.open()
        push(self.gateway.close)
        await self.gateway.open()
        push(self.keeping.close)
        await self.keeping.open()
        push(self.clocks.close)
        await self.clocks.open()
        push(self.noticing.close)
        await self.noticing.open()
        push(self.watch.close)
        await self.watch.open()
        push(self._stop_receiving)
        for feed, receiver in self.receivers.items():
            try:
                await receiver.open()
            except OSError as error:
                problems.append(("C820", f"{feed}: cannot listen on {receiver.address}: {_reason(error)}"))
        if problems:
            raise ConfigurationError(problems)
        self.log.info(Event.STARTED)

    async def close(self) -> None:
        """Stop: take nothing more, answer what was read, let what is being sent end, close the store."""
        self.log.info(Event.STOPPING)
        await self._opened.aclose()
        self.log.info(Event.STOPPED)

    async def _stop_receiving(self) -> None:
        closing = [asyncio.create_task(receiver.close()) for receiver in self.receivers.values()]
        if closing:
            _, late = await asyncio.wait(closing, timeout=_ANSWERING)
            for task in late:
                task.cancel()
            await asyncio.gather(*closing, return_exceptions=True)


def _reason(error: OSError) -> str:
    # What asyncio makes of it says the address once more.
    number = error.errno or 0  # of a name that is not found it is below nought
    return (os.strerror(number) if number > 0 else error.strerror or type(error).__name__).lower()
