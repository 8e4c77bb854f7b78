"""
Our end of one worker: its process, and what it is asked over a socket. It answers in the order in which it is asked.

An answer leaves the worker as soon as it is made, and what it has sent arrives even when it dies. So the first request
that has no answer is the one that it had in hand: the culprit has a name without any memory that is shared. This module
must never decide what becomes of it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from mhbridge.gateway.workers.process import framed, frames

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
        #: Who waits, and for how many bytes.
        self.waiting: deque[tuple[asyncio.Future[Any], int]] = deque()
        #: How many envelopes it has in hand, and how many it has had.
        self.holds = 0
        self.had = 0
        self.pid = 0

    async def start(self, make: Make) -> None:
        """Start the process. Raises `OSError` or `WorkerDied` when that fails."""
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _RUN,
                str(theirs.fileno()),
                str(self._memory),
                pass_fds=(theirs.fileno(),),
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
        ours.setblocking(False)
        await self._loop.create_unix_connection(lambda: self, sock=ours)
        self._send(make)
        self.pid = await self._answer(0)

    async def ask(self, verb: str, ticket: int, what: Any, size: int) -> Any:
        """Have something done. Raises `WorkerDied`."""
        if self.ended:
            # Whoever asks again must not do so before it is known to have gone.
            await asyncio.sleep(0)
            raise WorkerDied(in_hand=False)
        self._send((verb, ticket, what))
        return await self._answer(size)

    def tell(self, verb: str, ticket: int) -> None:
        """The same, without an answer."""
        if not self.ended:
            self._send((verb, ticket, None))

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

    def _send(self, what: Any) -> None:
        # What is sent in one turn of the loop leaves as one.
        if not self._sending:
            self._loop.call_soon(self._flush)
        self._sending.append(framed(what))

    def _flush(self) -> None:
        sending, self._sending = self._sending, []
        if self._transport is not None and not self.ended:
            self._transport.write(b"".join(sending))

    def _answer(self, size: int) -> asyncio.Future[Any]:
        if not self.waiting:
            self._since = self._loop.time()
        future: asyncio.Future[Any] = self._loop.create_future()
        self.waiting.append((future, size))
        return future

    # --- the transport's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket to the process is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answers, or parts of them."""
        self._buffer += data
        for answer in frames(self._buffer):
            future, _ = self.waiting.popleft()
            self._since = self._loop.time()
            # Whoever was cancelled does not wait any more, and its answer is nobody's.
            if not future.done():
                future.set_result(answer)

    def connection_lost(self, _exc: Exception | None) -> None:
        """It has ended: whoever waits is told whether it was at work on just that."""
        in_hand = True
        while self.waiting:
            future, _ = self.waiting.popleft()
            if not future.done():
                future.set_exception(WorkerDied(in_hand=in_hand))
            in_hand = False
        self._gone(self)
