"""
A network within the process: connections between protocols of one event loop, with the loop's own time.

What asyncio, aiohttp and the MLLP adapters ask of a loop (`create_server`, `create_connection`, `sock_connect`) is
answered here, so they run as they are, and nothing depends on the machine. Bytes arrive in order, some time later, or
the connection ends. There is no flow control: what is written is on its way at once.

Both ends remember in whose `process` they were made, so that a process can be killed with all its connections.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from typing import Any

PROCESS: contextvars.ContextVar[Any] = contextvars.ContextVar("PROCESS", default=None)
"""Whose doing it is: the gateway that runs, or `None` for the world around it."""

Address = tuple[str, int]


class End(asyncio.Transport):
    """One end of a connection. What is written here is read at `other`."""

    def __init__(self, network: Network, address: Address, peer: Address) -> None:
        super().__init__({"sockname": address, "peername": peer, "socket": None})
        self.other: End
        self.protocol: Any
        self.process = PROCESS.get()
        self._network = network
        self._context = contextvars.copy_context()
        self._arrives = 0.0
        self._paused = False
        self._waiting: list[Callable[[], None]] = []
        self._closing = False
        self._lost = False

    def begin(self, protocol: Any) -> None:
        self.protocol = protocol
        self._network.ends.append(self)
        self._soon(lambda: protocol.connection_made(self))

    # --- what a protocol asks of its transport ---

    def write(self, data: Any) -> None:
        if not self._closing and data:
            self._send(lambda end, data=bytes(data): end.protocol.data_received(data))

    def write_eof(self) -> None:
        self._send(End._eof)

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing ever waits to be written."""

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._read()

    def is_reading(self) -> bool:
        return not self._paused

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._send(lambda end: end._end(None))
            self._soon(lambda: self._end(None))

    def abort(self) -> None:
        if not self._lost:
            self._closing = True
            self._send(lambda end: end._end(ConnectionResetError("the other end is gone")))
            self._soon(lambda: self._end(None))

    # --- the way between ---

    def _send(self, what: Callable[[End], None]) -> None:
        """Have something happen at the other end, after all that was sent before."""
        loop = self._network.loop
        self._arrives = max(self._arrives, loop.time() + self._network.latency())
        loop.call_at(self._arrives, self.other._arrived, lambda: what(self.other), context=self.other._context)

    def _arrived(self, what: Callable[[], None]) -> None:
        self._waiting.append(what)
        self._read()

    def _read(self) -> None:
        while self._waiting and not self._paused and not self._lost:
            self._waiting.pop(0)()

    def _eof(self) -> None:
        if not self._lost and not self.protocol.eof_received():
            self.close()

    def _end(self, error: Exception | None) -> None:
        if self._lost:
            return
        if error is None and not self._closing:
            # The other side has closed: this one reads the end of the stream first, and may still write into nothing.
            self.protocol.eof_received()
        self._closing = self._lost = True
        self._waiting.clear()
        if self in self._network.ends:
            self._network.ends.remove(self)
        self.protocol.connection_lost(error)

    def _soon(self, what: Callable[[], None]) -> None:
        self._network.loop.call_soon(what, context=self._context)


class _Socket:
    """As much of a socket as a server is asked about."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def getsockname(self) -> Address:
        return self._address


class Server(asyncio.AbstractServer):
    """Somebody listening."""

    def __init__(self, network: Network, address: Address, factory: Callable[[], Any]) -> None:
        self.address, self.factory, self.process = address, factory, PROCESS.get()
        self.context = contextvars.copy_context()
        self._network = network

    @property
    def sockets(self) -> list[Any]:
        return [_Socket(self.address)] if self.is_serving() else []

    def is_serving(self) -> bool:
        return self._network.servers.get(self.address) is self

    def close(self) -> None:
        if self.is_serving():
            del self._network.servers[self.address]

    async def wait_closed(self) -> None:
        """Those who are connected stay so."""


class Network:
    """
    All connections of one loop.

    Args:
        random: what latency is drawn from.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, random: random.Random) -> None:
        self.loop = loop
        self.servers: dict[Address, Server] = {}
        self.ends: list[End] = []
        self._random = random
        self._ports = 40_000

    def latency(self) -> float:
        """Seconds until something arrives: a local network's."""
        return self._random.uniform(0.000_1, 0.002)

    def port(self) -> int:
        self._ports += 1
        return self._ports

    def listen(self, factory: Callable[[], Any], host: str, port: int) -> Server:
        address = (host, port or self.port())
        if address in self.servers:
            raise OSError(98, "address already in use")
        server = self.servers[address] = Server(self, address, factory)
        return server

    def connect(self, factory: Callable[[], Any], address: Address) -> tuple[End, Any]:
        server = self.reach(address)
        here = End(self, ("127.0.0.1", self.port()), address)
        there = server.context.run(End, self, address, here.get_extra_info("sockname"))
        here.other, there.other = there, here
        protocol = factory()
        there.begin(server.context.run(server.factory))
        here.begin(protocol)
        return here, protocol

    def reach(self, address: Address) -> Server:
        """Who listens there. Nobody does when its process is gone."""
        server = self.servers.get(address)
        if server is None:
            raise ConnectionRefusedError(111, "connection refused")
        return server

    def cut(self, process: Any) -> None:
        """End all that a process has open, as the system does when it is killed."""
        for server in [s for s in self.servers.values() if s.process is process]:
            server.close()
        for end in [e for e in self.ends if e.process is process]:
            end.abort()
