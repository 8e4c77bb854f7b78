"""
The MLLP listener.

It answers everything: a good frame with what the gateway says of it, and whatever is wrong with a rejection in the
sender's own format, so that a sender never waits for an answer that does not come. It closes a connection only when it
can no longer tell where a frame begins. This module must never look into a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, cast

from mhbridge.adapters.mllp.framing import FRAME_LIMIT, Fault, Frame, Framer, NeedData, frame
from mhbridge.adapters.tcp import notice_absence
from mhbridge.adapters.tls import peer_name
from mhbridge.errors import StoreError
from mhbridge.log import Event, Log, where
from mhbridge.model import Answer, Envelope, Verdict
from mhbridge.ports import Clock, Receive

if TYPE_CHECKING:
    import ssl

    from mhbridge.config import Listen

__all__ = ["MllpReceiver"]

Acknowledge = Callable[[bytes, Answer], bytes]
"""The answer in the sender's own format; empty when none is to be given."""

Refuse = Callable[[str, str], Awaitable[None]]
"""Count and log what was refused before it was an envelope: feed and code."""

#: How long a sender that ends frames with FS alone is waited for, before its FS counts as the end.
_SILENCE: Final = 0.5
#: A worker that is busy lets so much more be read; then the peer has to wait (TCP pushes back).
_AHEAD: Final = 65_536

_SAYS: Final = {
    "D901": "The gateway is stopping; send it again.",
    "D903": "The gateway failed; send it again.",
    "D910": "Bytes outside an MLLP frame.",
    "D911": "The frame is larger than is accepted here.",
    "D912": "The frame was not finished in time.",
    "D913": "The connection ended inside a frame.",
    "D914": "The next frame began before this one had ended.",
}


class MllpReceiver:
    """
    A port for MLLP. Each connection has one worker, so its answers leave in the order of its messages.

    Args:
        receive: what takes an envelope and answers.
        refuse: what counts a refusal of which there is no envelope.
        acknowledge: the format's acknowledgement, given whatever bytes there are.
        limit: the largest frame.
        frame_time: seconds from the first byte of a frame to its last. Between frames there is no limit.
        connections: so many at a time; one more is closed at once.
        keepalive: seconds after which an idle connection is asked whether anybody is still there.
        idle: seconds after which an idle connection is closed; left out, it may be idle for ever.
    """

    def __init__(
        self,
        *,
        supplier: str,
        feed: str,
        listen: Listen,
        receive: Receive,
        refuse: Refuse,
        acknowledge: Acknowledge,
        clock: Clock,
        log: Log,
        context: ssl.SSLContext | None = None,
        limit: int = FRAME_LIMIT,
        frame_time: float = 30.0,
        connections: int = 200,
        keepalive: float = 60.0,
        idle: float | None = None,
    ) -> None:
        self.supplier = supplier
        self.feed = feed
        self.receive = receive
        self.refuse = refuse
        self.acknowledge = acknowledge
        self.clock = clock
        self.log = log
        self.context = context
        self.limit = limit
        self.frame_time = frame_time
        self.connections = connections
        self.keepalive = keepalive
        self.idle = idle
        self.open_connections: set[_Connection] = set()
        self._listen = listen
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """`host:port`, with the port that the system chose."""
        if self._server is None or not self._server.sockets:
            return str(self._listen)
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(self._listen._replace(host=host, port=port))

    @property
    def connected(self) -> int:
        """How many connections there are, of those who may have one."""
        return sum(connection.secured for connection in self.open_connections)

    async def open(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        host, port = self._listen
        self._server = await loop.create_server(lambda: _Connection(self), host, port, backlog=128)
        self.log.info(Event.LISTENING, feed=self.feed, kind="mllp", address=self.address)

    async def close(self) -> None:
        """Listen no more, answer what was read, close."""
        if self._server is None:
            return
        self._server.close()
        working = [connection.stop() for connection in self.open_connections]
        await asyncio.gather(*working, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None


class _Connection(asyncio.Protocol):
    """One connection: the transport's callbacks feed the framer, one worker empties it."""

    def __init__(self, receiver: MllpReceiver) -> None:
        self._receiver = receiver
        self._framer = Framer(receiver.limit)
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._deadline: float | None = None
        self._working = False
        self._ended = False
        self._lost = False
        self._stopping = False
        self._peer = ""
        #: The handshake is done, where there is one.
        self.secured = False

    # the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Nothing is read before the worker says so: with TLS, the handshake comes first.
        self._transport.pause_reading()
        address = transport.get_extra_info("peername")
        self._peer = str(address[0]) if address else ""
        receiver = self._receiver
        notice_absence(transport, receiver.keepalive)
        self._task = asyncio.get_running_loop().create_task(self._work())
        if len(receiver.open_connections) >= receiver.connections:
            receiver.log.warning(
                Event.CONNECTION_REFUSED,
                feed=receiver.feed,
                code="D915",
                peer=self._peer,
                connections=len(receiver.open_connections),
            )
            self._task.cancel()
            transport.close()
            return
        receiver.open_connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._framer.receive_data(data)
        self._arrived.set()
        if self._working and self._framer.buffered > _AHEAD:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end()
        # The other half stays open for the answers that are still owed; TLS has no half.
        return self._receiver.context is None

    def connection_lost(self, _exc: Exception | None) -> None:
        self._lost = True
        self._end()
        self._writable.set()
        self._receiver.open_connections.discard(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._framer.receive_data(b"")
        self._arrived.set()

    def stop(self) -> asyncio.Task[None]:
        """Take no more than what has been read. The task ends when all of that is answered."""
        self._stopping = True
        self._arrived.set()
        return self._task

    # the worker

    async def _work(self) -> None:
        try:
            if not await self._secure():
                return
            self.secured = True
            while True:
                event = self._framer.next_event()
                if isinstance(event, NeedData):
                    if not await self._more():
                        return
                    continue
                self._deadline = None
                self._working = True
                answer = await self._answer(event)
                self._working = False
                if answer and not self._lost:
                    self._transport.write(answer)
                    if not self._writable.is_set():
                        async with asyncio.timeout(self._receiver.frame_time):
                            await self._writable.wait()
                if isinstance(event, Fault) and event.lost:
                    return
        except TimeoutError:
            # Somebody who does not read the answers is not waited for.
            self._transport.abort()
        finally:
            self._transport.close()

    async def _secure(self) -> bool:
        """The TLS handshake, where there is one. Here and not in the listener, so that a failure is seen and logged."""
        receiver = self._receiver
        if receiver.context is None:
            self._transport.resume_reading()
            return True
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                self._transport, self, receiver.context, server_side=True, ssl_handshake_timeout=receiver.frame_time
            )
        except OSError as error:
            receiver.log.warning(
                Event.HANDSHAKE_FAILED, feed=receiver.feed, code="D916", peer=self._peer, error=type(error).__name__
            )
            return False
        if transport is None:
            return False
        self._transport = transport
        if name := peer_name(transport.get_extra_info("peercert")):
            self._peer = f"{self._peer} {name}"
        return True

    async def _more(self) -> bool:
        """Wait for more bytes, or for the end of somebody's patience. False when there will be no more."""
        if self._ended:
            return False
        if self._stopping:
            self._framer.give_up("D901")
            self._ended = True
            return True
        self._arrived.clear()
        self._transport.resume_reading()
        if not self._framer.partial:
            try:
                async with asyncio.timeout(self._receiver.idle):
                    await self._arrived.wait()
            except TimeoutError:
                # Whoever has something to say connects again.
                return False
            return True
        now = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = now + self._receiver.frame_time
        silence = self._framer.ends_in_fs
        try:
            async with asyncio.timeout(min(self._deadline - now, _SILENCE) if silence else self._deadline - now):
                await self._arrived.wait()
        except TimeoutError:
            if silence:
                self._framer.silence()
            else:
                self._framer.give_up("D912")
        return True

    async def _answer(self, event: Frame | Fault) -> bytes:
        receiver = self._receiver
        now = receiver.clock()
        try:
            if isinstance(event, Frame):
                body = event.body
                envelope = Envelope(body, receiver.supplier, receiver.feed, now, "mllp", self._peer)
                answer = cast("Answer", await receiver.receive(envelope))
            else:
                body = event.head
                answer = Answer(Verdict.REJECTED, _SAYS[event.code], now, event.code)
                await receiver.refuse(receiver.feed, event.code)
        except StoreError as error:
            answer = Answer(Verdict.REJECTED, error.message, now, error.code)
        except Exception as error:  # noqa: BLE001  whatever it is, the sender is answered and the others go on
            receiver.log.critical(Event.FAILED, feed=receiver.feed, **where(error))
            answer = Answer(Verdict.REJECTED, _SAYS["D903"], now, "D903")
        try:
            acknowledgement = receiver.acknowledge(body, answer)
        except Exception as error:  # noqa: BLE001  as above; without an answer the sender sends again
            receiver.log.critical(Event.FAILED, feed=receiver.feed, **where(error))
            return b""
        return frame(acknowledgement) if acknowledgement else b""
