"""
What is between a node and its database: a way for bytes that can be cut, frozen and made slow.

It listens on a port of its own and goes on to the database's socket. Frozen, nothing is read from either end, so that
both believe in a connection on which nothing arrives, as when a switch forgets it.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import Self

__all__ = ["Between"]


class Between:
    """
    One node's way to the database.

    Args:
        socket: the database's, in the file system.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._open = asyncio.Event()
        self._open.set()
        self._cut = False
        self._delay = 0.0
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- faults ---

    async def frozen(self, seconds: float) -> None:
        """For so long nothing goes through; then all of it does."""
        self._open.clear()
        await asyncio.sleep(seconds)
        self._open.set()

    async def cut(self, seconds: float) -> None:
        """All connections are reset, and for so long there are no new ones."""
        self._cut = True
        self._drop()
        await asyncio.sleep(seconds)
        self._cut = False

    async def slow(self, seconds: float, delay: float) -> None:
        """For so long whatever is sent takes up to `delay` longer."""
        self._delay = delay
        await asyncio.sleep(seconds)
        self._delay = 0.0

    # --- underneath ---

    def _drop(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        there, onwards = await asyncio.open_unix_connection(str(self._socket))
        ends = {writer, onwards}
        self._ends |= ends
        ways = [asyncio.create_task(self._copy(*way)) for way in ((reader, onwards), (there, writer))]
        self._tasks.update(ways)
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._tasks.difference_update(ways)
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            while True:
                await self._open.wait()
                data = await reader.read(65_536)
                if not data:
                    return
                await self._open.wait()
                if self._delay:
                    await asyncio.sleep(random.uniform(0, self._delay))
                writer.write(data)
                await writer.drain()
