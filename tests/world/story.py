"""
One run from its beginning to its end: hospitals send, receivers fail, the gateway is killed and started again, until
all that was sent is answered and all that was taken is delivered. Then the checker says what came of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import merge
from typing import Any

from checker import Report, check
from interrupt import Interrupt
from receivers import Receiver, restarts
from scene import MLLP, configuration
from senders import Attempts, Message, Stays, over_mllp, send, slips

from mhbridge.adapters.sql.door import Door
from mhbridge.adapters.sql.transitions import OPEN_DELIVERIES
from mhbridge.errors import StoreError
from mhbridge.testing.faults import OK, Plan
from world import Gateway, Killed, World

__all__ = ["Story", "hospitals", "withheld"]

_PATIENCE = 3 * 86_400.0


def hospitals(
    world: World, *, patients: int, messages: int, systems: int = 1, letters: bool = True, slip: float = 0.0
) -> list[list[Message]]:
    """What each of so many systems sends: its patients' messages as they happen, but for those that slip."""
    stays = Stays(world.random, world.now() - timedelta(days=4_000), letters=letters)
    of_each = [slips(world.random, stays.of(patient, messages // patients), slip) for patient in range(patients)]
    return [list(merge(*of_each[n::systems], key=lambda message: message.at)) for n in range(systems)]


async def withheld(store: Door) -> set[str]:
    """
    Control ids of what was not sent, which the store says of each: something newer made it void, or it is parked and
    waits for a person, as what happened in the hour that the clocks went forward over.
    """
    query = """
        select message from delivery where state in ('superseded', 'cancelled')
        union select id from message where state = 'parked'
    """
    found = set()
    for (message,) in await store.ask(lambda reader: reader.session.statement(query, {})):
        original = await store.original(message)
        assert original is not None
        found.add(original.split(b"|")[9].decode())
    return found


@dataclass
class Story:
    """
    Args:
        plan: what the receiver does to each request.
        interrupts: for the first gateway, the second …; those after that are not broken.
        pause: seconds between two messages of one system.
        again: as `senders.send` has it.
        restart: about every so many seconds the receiver is started again; 0 never.
        server: further options of the receiver.
        concurrency: deliveries at a time.
        options: further options of the gateways.
        started: called with each gateway that was started.
        patience: what is not delivered after so many seconds never will be.
    """

    world: World
    systems: list[list[Message]]
    plan: Plan = lambda _: OK
    interrupts: Iterable[Interrupt] = ()
    pause: Callable[[], float] = lambda: 1.0
    again: Callable[[int], int | None] = lambda _sent: None
    restart: float = 0.0
    server: dict[str, Any] = field(default_factory=dict)
    concurrency: int = 4
    options: dict[str, Any] = field(default_factory=dict)
    started: Callable[[Gateway], None] = lambda _: None
    patience: float = _PATIENCE
    attempts: Attempts = field(default_factory=Attempts)
    gateway: Gateway | None = None
    receiver: Receiver = field(init=False)

    async def run(self) -> Report:
        """
        Tell it to its end.

        Raises:
            TimeoutError: something was never answered, or never delivered.
        """
        async with Receiver(clock=self.world.now, plan=self.plan, **self.server) as self.receiver:
            helpers = [asyncio.create_task(self._keep())]
            if self.restart:
                helpers.append(asyncio.create_task(restarts(self.receiver, self.world.random, self.restart)))
            try:
                deliver = over_mllp(*MLLP)
                async with asyncio.timeout(100 * self.patience):
                    sending = [
                        send(s, deliver, self.attempts, pause=self.pause, again=self.again) for s in self.systems
                    ]
                    await asyncio.gather(*sending)
                async with asyncio.timeout(self.patience):
                    while not await self._delivered():  # noqa: ASYNC110
                        await asyncio.sleep(10)
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
            assert self.gateway is not None
            await self.gateway.stop()
            # Whatever the stop left behind, the next one finds in order.
            last = await self.world.gateway(self._text, **self.options)
            report = check(self.attempts, self.receiver, await last.status(), excused=await withheld(last.files))
            await last.stop()
            return report

    @property
    def _text(self) -> str:
        return configuration(self.receiver.url, concurrency=self.concurrency)

    async def _keep(self) -> None:
        """Whenever there is no gateway, start one, as an init system does."""
        interrupts = iter(self.interrupts)
        while True:
            try:
                self.gateway = await self.world.gateway(self._text, interrupt=next(interrupts, None), **self.options)
                self.started(self.gateway)
                await self.gateway.died.wait()
            except (Killed, StoreError):
                # Killed while it started, or it would not start.
                pass
            await asyncio.sleep(1)

    async def _delivered(self) -> bool:
        if self.gateway is None or self.gateway.dead:
            return False
        status = await self.gateway.status()
        open_ = sum(n for state, n in status.deliveries.items() if state in OPEN_DELIVERIES)
        return not open_ and not any(status.messages.get(state) for state in ("stored", "held"))
