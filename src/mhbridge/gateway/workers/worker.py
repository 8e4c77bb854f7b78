"""
Our end of one worker: its process, and what it is asked over a socket. It answers in the order in which it is asked.

What it has in hand it writes into eight bytes that both ends see. So when it dies the culprit has a name, though some
answers were made and had not left. Where it had begun nothing, that is the first that has no answer. This module must
never decide what becomes of it.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from mhbridge.gateway.workers import wire
from mhbridge.gateway.workers.process import TICKET
from mhbridge.gateway.workers.wire import framed, frames

if TYPE_CHECKING:
    from mhbridge.pipeline import Feed

__all__ = ["Make", "Worker", "WorkerDied"]

Make = Callable[[], Mapping[str, "Feed"]]
"""Makes the feeds, in the worker. Found by its name there, with its arguments: it must be of a module."""

#: One request may take as long as is allowed, and one second more for each so many bytes.
_BYTES_A_SECOND: Final = 50_000
#: An ended gateway waits so long for a worker to end.
_END: Final = 5.0
#: Not with -m: its classes would then be of `__main__`, and not the ones that are known here.
_RUN: Final = "from mhbridge.gateway.workers.process import main; main()"
#: What a worker needs of the environment; secrets may stand there as well.
_ENVIRONMENT: Final = ("PATH", "PYTHON", "LANG", "LC_", "TZ", "VIRTUAL_ENV", "TMPDIR", "COVERAGE")


class WorkerDied(Exception):
    """A worker ended before it answered. `in_hand`: it was at work on just this."""

    def __init__(self, *, in_hand: bool) -> None:
        super().__init__()
        self.in_hand = in_hand


class Worker(asyncio.Protocol):
    """
    Our end of one worker. It answers in the order in which it is asked.

    Args:
        gone: told when it has ended.
        memory: bytes of address space that it may have.
    """

    def __init__(self, gone: Callable[[Worker], None], memory: int) -> None:
        self._gone = gone
        self._memory = memory
        self._buffer = bytearray()
        self._sending: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._loop = asyncio.get_running_loop()
        self._since = 0.0
        self._hand: mmap.mmap | None = None
        #: Who waits, for how many bytes, and for what.
        self.waiting: deque[tuple[asyncio.Future[Any], int, int]] = deque()
        #: How many envelopes it has in hand, and how many it has had.
        self.holds = 0
        self.had = 0
        self.pid = 0

    async def start(self, make: Make) -> None:
        """Start the process. Raises `OSError` or `WorkerDied` when that fails."""
        ours, theirs = socket.socketpair()
        hand = _shared()
        self._hand = mmap.mmap(hand, TICKET)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _RUN,
                str(theirs.fileno()),
                str(self._memory),
                str(hand),
                pass_fds=(theirs.fileno(), hand),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                # A traceback may quote what was read.
                stderr=asyncio.subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(hand)
        ours.setblocking(False)
        await self._loop.create_unix_connection(lambda: self, sock=ours)
        self._send(framed(make))
        self.pid = await self._answer(0, 0)

    async def ask(self, request: bytes, ticket: int, size: int) -> Any:
        """Have something done, as `wire` writes it. Raises `WorkerDied`."""
        if self.ended:
            # Whoever asks again must not do so before it is known to have gone.
            await asyncio.sleep(0)
            raise WorkerDied(in_hand=False)
        self._send(request)
        return await self._answer(size, ticket)

    def tell(self, verb: str, ticket: int) -> None:
        """The same, without an answer."""
        if not self.ended:
            self._send(wire.told(verb, ticket))

    @property
    def ended(self) -> bool:
        """It cannot be asked any more."""
        return self._transport is None or self._transport.is_closing()

    @property
    def takes(self) -> float:
        """Seconds that it has been at what it has in hand, less what its size allows."""
        if not self.waiting:
            return 0.0
        return self._loop.time() - self._since - self.waiting[0][1] / _BYTES_A_SECOND

    def kill(self) -> None:
        """End the process now."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def end(self) -> None:
        """End the process: it ends by itself when the socket does."""
        if self._transport is not None:
            self._transport.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(_END):
                    await self._process.wait()
            except TimeoutError:
                self.kill()
                await self._process.wait()

    def _send(self, request: bytes) -> None:
        # What is sent in one turn of the loop leaves as one.
        if not self._sending:
            self._loop.call_soon(self._flush)
        self._sending.append(request)

    def _flush(self) -> None:
        sending, self._sending = self._sending, []
        if self._transport is not None and not self.ended:
            self._transport.write(b"".join(sending))

    def _answer(self, size: int, ticket: int) -> asyncio.Future[Any]:
        if not self.waiting:
            self._since = self._loop.time()
        future: asyncio.Future[Any] = self._loop.create_future()
        self.waiting.append((future, size, ticket))
        return future

    # --- the transport's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket to the process is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answers, or parts of them."""
        self._buffer += data
        for answer in frames(self._buffer):
            future, _, _ = self.waiting.popleft()
            # Whoever was cancelled does not wait any more, and its answer is nobody's.
            if not future.done():
                future.set_result(wire.answer(answer))
        self._since = self._loop.time()

    def connection_lost(self, _exc: Exception | None) -> None:
        """It has ended: whoever waits is told whether it was at work on just that."""
        culprit = self._culprit()
        while self.waiting:
            future, _, ticket = self.waiting.popleft()
            if not future.done():
                future.set_exception(WorkerDied(in_hand=ticket == culprit))
        self._gone(self)

    def _culprit(self) -> int:
        """Of those who wait, the one that it was at work on."""
        tickets = [ticket for _, _, ticket in self.waiting]
        hand, self._hand = self._hand, None
        if hand is None:
            return 0
        in_hand = int.from_bytes(hand[:TICKET], "big")
        hand.close()
        return in_hand if in_hand in tickets else next(iter(tickets), 0)


def _shared() -> int:
    """A file of no name, as large as what a worker says that it has in hand."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("mhbridge-hand")
    else:
        with tempfile.TemporaryFile() as made:
            file = os.dup(made.fileno())
    os.ftruncate(file, TICKET)
    return file
