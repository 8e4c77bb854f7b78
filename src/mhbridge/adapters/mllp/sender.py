"""
The MLLP client: relays a sender's own message to another listener.

This module must never look into a message but for its own bytes within the envelope, MSH-10, and MSA of the answer.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mhbridge.adapters.mllp.framing import Frame, Framer, NeedData, can_be_framed, frame
from mhbridge.adapters.tcp import notice_absence
from mhbridge.errors import DestinationRejected, DestinationSilent, DestinationUnavailable, StoreError
from mhbridge.formats.hl7v2.envelope import own_bytes
from mhbridge.ports import Delivered, DueDelivery

if TYPE_CHECKING:
    import ssl

    from mhbridge.config import Listen

__all__ = ["MllpSender"]

#: An acknowledgement is a few hundred bytes; what is larger is none.
_ANSWER_LIMIT: Final = 1_000_000
#: Seconds after which an idle connection is asked whether anybody is still there.
_KEEPALIVE: Final = 60.0


@dataclass(slots=True)
class _Line:
    """An open connection to the destination. Never used again after anything was odd on it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    framer: Framer


class MllpSender:
    """
    Relays a sender's own message to another MLLP listener, and believes only an acknowledgement that names it.

    Of an envelope with several messages, each delivery sends its own and nothing of the others, without batch headers.
    A message goes out as it came, from its MSH on: a byte order mark before that is the envelope's.

    Connections are kept and used again. After a timeout the connection is closed before anything else is sent, so that
    a late acknowledgement can never answer the next message; one with another control id is passed over.

    Args:
        timeout: seconds for one delivery, from connecting to the acknowledgement.
        on_unknown: after no answer, `resend` (as HL7 systems do: MSH-10 names the repeat) or `ask` a person.
    """

    def __init__(
        self,
        *,
        name: str,
        address: Listen,
        timeout: float = 30.0,
        context: ssl.SSLContext | None = None,
        on_unknown: str = "resend",
    ) -> None:
        self.name = name
        self._address = address
        self._timeout = timeout
        self._context = context
        self._on_unknown = on_unknown
        self._idle: list[_Line] = []

    async def open(self) -> None:
        """Nothing is connected before there is something to send."""

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await _hang_up(self._idle.pop())

    async def deliver(self, delivery: DueDelivery) -> Delivered:
        """Send, and wait for the acknowledgement."""
        try:
            # It reads the store, and an envelope may be large: not on the event loop.
            body = await asyncio.to_thread(_body, delivery)
        except StoreError as error:
            raise DestinationUnavailable(error.code, "the original cannot be read now") from error
        control_id = _field(body, b"MSH", 10)
        if not control_id or not can_be_framed(body):
            raise DestinationRejected("D951", "there is no HL7 v2 message with a control id that could be relayed")
        line, sent = None, False
        try:
            async with asyncio.timeout(self._timeout):
                line = await self._connect()
                sent = True
                line.writer.write(frame(body))
                await line.writer.drain()
                code = await _acknowledged(line, control_id)
        except (OSError, EOFError) as error:
            # TimeoutError is an OSError.
            if line is not None:
                await _hang_up(line)
            if sent:
                raise DestinationSilent("D942", "no acknowledgement came") from error
            raise DestinationUnavailable("D940", "cannot connect") from error
        except BaseException:
            if line is not None:
                line.writer.close()
            raise
        self._idle.append(line)
        return _judge(code)

    async def look(self, delivery: DueDelivery) -> Delivered | None:  # noqa: ARG002  the policy is the same for each
        """There is nobody to ask in MLLP: by policy it counts as not arrived, or a person decides."""
        if self._on_unknown == "ask":
            raise DestinationRejected("D948", "no acknowledgement came, and this destination is not to be sent repeats")
        return None

    async def _connect(self) -> _Line:
        while self._idle:
            line = self._idle.pop()
            if not (line.reader.at_eof() or line.writer.is_closing()):
                return line
            await _hang_up(line)
        host, port = self._address
        reader, writer = await asyncio.open_connection(host, port, ssl=self._context)
        # A connection is used again after hours: by then it is known whether anybody is there.
        notice_absence(writer.transport, _KEEPALIVE)
        return _Line(reader, writer, Framer(_ANSWER_LIMIT))


def _body(delivery: DueDelivery) -> bytes:
    """The message's own bytes; none when they cannot be told from those of its neighbours in the envelope."""
    if delivery.original is None:
        return b""
    original = delivery.original()
    return own_bytes(original.envelope, original.number, original.of) or b""


async def _acknowledged(line: _Line, control_id: bytes) -> bytes:
    """MSA-1 of the acknowledgement that names `control_id` in MSA-2 (HL7 v2.5.1 §2.14.8)."""
    while True:
        event = line.framer.next_event()
        if isinstance(event, Frame):
            if _field(event.body, b"MSA", 2) == control_id:
                return _field(event.body, b"MSA", 1)
        elif isinstance(event, NeedData):
            data = await line.reader.read(65_536)
            if not data:
                raise EOFError
            line.framer.receive_data(data)
            if line.framer.ends_in_fs:
                line.framer.silence()


def _judge(code: bytes) -> Delivered:
    """What an acknowledgement code means for the delivery (HL7 table 0008)."""
    if code in (b"AA", b"CA"):
        return Delivered(2)
    if code in (b"AE", b"CE"):
        raise DestinationRejected("D949", "acknowledged as an error (AE or CE)")
    if code in (b"AR", b"CR"):
        # A rejection is for reasons that are not the content's: down, busy, not yet set up (HL7 v2.5.1 §2.9.2.1).
        raise DestinationUnavailable("D950", "rejected (AR or CR)")
    raise DestinationSilent("D943", "the acknowledgement cannot be understood")


def _field(message: bytes, segment: bytes, number: int) -> bytes:
    """One field of the first segment of that name, as it stands. MSH-1 is the separator itself."""
    for line in re.split(rb"[\r\n]+", message):
        if line[:3] == segment and len(line) > 3:
            fields = line.split(line[3:4])
            index = number - 1 if segment == b"MSH" else number
            return fields[index] if index < len(fields) else b""
    return b""


async def _hang_up(line: _Line) -> None:
    line.writer.close()
    try:
        async with asyncio.timeout(5):
            await line.writer.wait_closed()
    except (OSError, TimeoutError):
        line.writer.transport.abort()
