"""
A world that is a seed: virtual time, a network within the process, and all randomness drawn from one number.

When nothing is ready the clock jumps to the next timer, so that a day takes as long as what happens in it. Nothing in
it depends on the machine: the same seed gives the same world, to the last line of its log, and a failure is replayed by
its seed. What runs in it is the gateway as it is, from its configuration: `Gateway` here is a process of it, with a
real store on real files, that can be stopped in good order, or killed: then whatever it had in memory is gone at once,
its connections are reset, and what it does while it is taken apart reaches nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import math
import random
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import apsw
import disk as disks
from interrupt import Interrupt, Killed
from network import PROCESS, Network

from mhbridge import config
from mhbridge import log as logs
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.app import App, build

__all__ = ["START", "Gateway", "Loop", "Stuck", "World", "simulate"]

START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)

#: So many turns of the loop at one instant are no longer work, but somebody who waits by asking again and again.
_TURNS_AT_ONCE = 200_000

_T = TypeVar("_T")


class Stuck(Exception):
    """Nothing is ready and no timer is set, or everybody is busy and time stands still."""


class Loop(asyncio.BaseEventLoop):
    """
    An event loop whose time jumps to the next timer when nothing is ready. Threads' work is done where it is asked for.
    """

    def __init__(self, random: random.Random) -> None:
        super().__init__()
        self.network = Network(self, random)
        self._selector = self
        self._now = 0.0
        self._turns = 0
        self._connecting: dict[Any, Any] = {}
        self.tasks: dict[Any, set[asyncio.Task[Any]]] = {}
        self.set_task_factory(self._task)

    # --- time ---

    def time(self) -> float:
        return self._now

    @property
    def _clock_resolution(self) -> float:
        """
        A timer fires when it is its time and no earlier. After months a nanosecond is less than two instants are apart,
        and whoever is called before their time and asks to be called again would be for ever.
        """
        return math.ulp(self._now)

    @_clock_resolution.setter
    def _clock_resolution(self, resolution: float) -> None:
        """The base class says that of the machine's clock."""

    def select(self, timeout: float | None) -> list[Any]:
        """What the loop asks when it has nothing else to do: the whole of virtual time."""
        if timeout is None:
            raise Stuck("nothing is ready, and nothing ever will be")
        self._turns += 1
        if timeout > 0:
            self._now += timeout
            self._turns = 0
        if self._turns > _TURNS_AT_ONCE:
            self._turns = 0
            raise Stuck("time stands still")
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There is nobody to wake: everything happens in this thread."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        del executor
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        return future

    # --- whose tasks ---

    def _task(self, loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        mine = self.tasks.setdefault(PROCESS.get(), set())
        mine.add(task)
        task.add_done_callback(mine.discard)
        return task

    # --- the network ---

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return self.network.listen(protocol_factory, host, port)

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, *, sock: Any = None, **_: Any
    ) -> Any:
        if sock is not None:
            host, port = self._connecting.pop(sock)
            sock.close()
        await asyncio.sleep(self.network.latency())
        made = self.network.connect(protocol_factory, (host, port))
        # As a real loop does, this returns when the protocol has its transport.
        await asyncio.sleep(0)
        return made

    async def sock_connect(self, sock: Any, address: Any) -> None:
        self.network.reach(address[:2])
        self._connecting[sock] = address[:2]


class World:
    """
    What a test has in hand.

    Attributes:
        random: for whatever the test draws itself.
        said: what all gateways have logged: (seconds since the start, the line without its wall-clock time).
    """

    def __init__(self, loop: Loop, folder: Path, seed: int) -> None:
        self.loop = loop
        self.folder = folder
        self.random = random.Random(f"{seed} test")
        self.said: list[tuple[float, dict[str, Any]]] = []
        self.gateways: list[Gateway] = []
        self._seed = seed

    def now(self) -> datetime:
        """The present instant."""
        return START + timedelta(seconds=self.loop.time())

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The lines that are of these events."""
        return [line for _, line in self.said if line["event"] in names]

    async def until(self, condition: Callable[[], Any], seconds: float = 86_400.0, every: float = 0.05) -> None:
        """Wait for a condition that somebody else makes true; simulated time costs nothing."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(every)

    async def gateway(self, text: str, *, interrupt: Interrupt | None = None, **options: Any) -> Gateway:
        """Start a gateway with this configuration, on the store that the last one left."""
        made = Gateway(self, text, f"{self._seed} gateway {len(self.gateways)}", interrupt, **options)
        self.gateways.append(made)
        await made.start()
        return made


class Gateway:
    """
    A gateway process: the whole of `app.build`, from its start until it is stopped or killed.

    Args:
        interrupt: what breaks its ports; left out, nothing does, and killing it is all that can be done.
        around: what else is put around its store.
        connect: makes the store's connections.
    """

    def __init__(
        self,
        world: World,
        text: str,
        seed: str,
        interrupt: Interrupt | None,
        around: Callable[[Any], Any] = lambda store: store,
        connect: Callable[..., apsw.Connection] = disks.connect,
    ) -> None:
        self.world = world
        self.died = asyncio.Event()
        self.interrupt = interrupt or Interrupt()
        self.interrupt.kill = self.kill
        self.interrupt.dead = lambda: self.dead
        parsed = config.parse(text, base=world.folder, environ={})
        self.files = SqliteStore(
            parsed.gateway.store_path,
            turns=lambda _name: InlineTurns(),
            connect=connect,
            die=self._die,
            duties=config.duties_of(parsed),
        )
        self._path = parsed.gateway.store_path
        self._random = random.Random(seed)
        self._context = contextvars.copy_context()
        self._context.run(PROCESS.set, self)
        store = self.interrupt.around("store", around(self.files))
        self.app: App = self._context.run(build, parsed, log=logs.make(_Said(self)), clock=world.now, store=store)
        self.app.outbox._attempts._jitter = self._random.random
        for outlet in self.app.outbox._outlets.values():
            outlet.sender = self.interrupt.around("sender", outlet.sender)

    @property
    def dead(self) -> bool:
        return self.died.is_set()

    def spawn(self, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Do something as this process; it goes with it."""
        return self._context.run(self.world.loop.create_task, coroutine)

    async def start(self) -> None:
        """
        Raises:
            Killed: it was, while it started.
        """
        opening = self.spawn(self.app.open())
        await asyncio.wait([opening])
        if self.dead:
            raise Killed
        await opening

    async def stop(self) -> None:
        """Stop in good order; it may be killed even then."""
        if not self.dead:
            closing = self.spawn(self.app.close())
            await asyncio.wait([closing])
            if not self.dead:
                await closing

    def kill(self) -> None:
        """
        Whatever it was doing, it does no more. What it had written is there: the system has it, as after `kill -9`.
        """
        if self.dead:
            return
        self.died.set()
        self.world.loop.network.cut(self)
        for task in list(self.world.loop.tasks.get(self, ())):
            task.cancel()
        self._leave_files()

    def _die(self, _code: int) -> None:
        """What the store does after an I/O error."""
        self.kill()
        raise Killed

    async def bury(self) -> None:
        """What a dead process still holds of this one is given back; nothing of it reaches the world."""
        for sender in self.app.senders:
            await sender.close()
        await self.files.close()

    def _leave_files(self) -> None:
        """The next gateway finds the files as they are now, not as closing them would leave them."""
        found, left = self._path.parent, self._path.parent.with_name(f"{self._path.parent.name}.left")
        shutil.copytree(found, left, ignore=shutil.ignore_patterns("*-shm"))
        # The connections that are still open go on with the files that they have.
        found.rename(found.with_name(f"{found.name}.{len(self.world.gateways)}"))
        left.rename(found)

    def address(self, kind: str) -> str:
        """Where it receives, by a part of the receiver's name."""
        return next(receiver.address for name, receiver in self.app.receivers.items() if kind in name)

    async def status(self) -> Any:
        """The accounts, from the store itself, whatever breaks the ports."""
        return await self.files.status(self.world.now())


class _Said:
    """Where a gateway logs to."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def write(self, line: bytes) -> None:
        if not self._gateway.dead:
            said = json.loads(line)
            del said["timestamp"]
            self._gateway.world.said.append((round(self._gateway.world.loop.time(), 6), said))

    def flush(self) -> None:
        """It is there."""


def simulate(seed: int, folder: Path, main: Callable[[World], Awaitable[_T]], *, disk: disks.Disk | None = None) -> _T:
    """Run a world until `main` returns."""
    disks.put_in(disk or disks.Disk())
    loop = Loop(random.Random(f"{seed} network"))
    # What a gateway that is being taken apart says to the loop is nobody's business.
    loop.set_exception_handler(
        lambda _, context: None if _of_the_dead(context) else loop.default_exception_handler(context)
    )
    world = World(loop, folder, seed)
    try:
        return loop.run_until_complete(main(world))
    finally:
        loop.run_until_complete(_end(world))
        loop.close()


async def _end(world: World) -> None:
    loop = world.loop
    left = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for gateway in world.gateways:
        await gateway.bury()
    await loop.shutdown_asyncgens()


def _of_the_dead(context: dict[str, Any]) -> bool:
    return isinstance(context.get("exception"), Killed)
