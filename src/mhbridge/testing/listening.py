"""
A small MLLP listener on this machine that takes what is relayed, for tests and demonstrations.

It counts effects by control id (MSH-10), as a system does that knows a repeat by it, and fails by plan as the FHIR
server of `receiving` does. It reads frames in its own way, so that it shares no fault with what it tests. This module
must never be used for patients' data.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Self

from mhbridge.testing.faults import OK, Answered, Asked, Fault, Kind, Plan

if TYPE_CHECKING:
    import ssl

__all__ = ["ReceivingListener"]

_START, _END = b"\x0b", b"\x1c\r"
_REMEMBERED: Final = 10_000
#: More than any acknowledgement is long.
_LONG: Final = 6_000_000


class ReceivingListener:
    """
    An MLLP listener, from entering the context to leaving it::

        async with ReceivingListener() as listener:
            ...  # relay to listener.port
            assert listener.effects["MSG00001"] == 1

    Args:
        recognises: take a message of a control id that was here before for a repeat: acknowledged, and no effect.
        plan: what happens to each message; left out, all are acknowledged. A fault's `word` stands in MSA-1.
    """

    def __init__(
        self, *, port: int = 0, plan: Plan | None = None, recognises: bool = True, context: ssl.SSLContext | None = None
    ) -> None:
        self.plan: Plan = plan or (lambda _: OK)
        #: How often something was done for a control id, and the control ids in the order in which it was.
        self.effects: Counter[str] = Counter()
        self.order: list[str] = []
        self.requests: deque[Answered] = deque(maxlen=_REMEMBERED)
        self._port = port
        self._recognises = recognises
        self._context = context
        self._asked = 0
        self._repeats: Counter[bytes] = Counter()
        self._late: list[str] = []
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen. Returns when it accepts; a listener that is started again has the same port."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, ssl=self._context, limit=64_000_000
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut off whoever is connected."""
        if self._server is not None:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._port

    def carry_out_late(self) -> int:
        """Carry out what was cut off as late, in the order in which it came. Returns how much."""
        late, self._late = self._late, []
        for control_id in late:
            self._carry_out(control_id)
        return len(late)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                frame = await reader.readuntil(_END)
                if not await self._answer(frame.partition(_START)[2].removesuffix(_END), writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _answer(self, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Carry out one message as planned; whether the connection goes on."""
        control_id = _field(body, b"MSH", 9)
        self._asked += 1
        same = blake2b(body, digest_size=16).digest()
        self._repeats[same] += 1
        asked = Asked(self._asked, "MLLP", control_id, self._repeats[same])
        fault = self.plan(asked)
        goes_on = fault.kind not in (Kind.DROP_BEFORE, Kind.DROP_AFTER, Kind.LATE)
        self.requests.append(Answered(asked, fault, 200 if goes_on else 0))
        if fault.kind is Kind.LATE:
            self._late.append(control_id)
        elif fault.kind not in (Kind.DROP_BEFORE, Kind.STATUS, Kind.NOT_FHIR):
            self._carry_out(control_id)
        if fault.kind is Kind.TWICE:
            self._carry_out(control_id)
        if fault.kind is Kind.SLOW:
            await asyncio.sleep(fault.seconds)
        if goes_on:
            writer.write(_START + _said(fault, control_id) + _END)
            await writer.drain()
        return goes_on

    def _carry_out(self, control_id: str) -> None:
        if not (self._recognises and self.effects[control_id]):
            self.effects[control_id] += 1
            self.order.append(control_id)


def _said(fault: Fault, control_id: str) -> bytes:
    match fault.kind:
        case Kind.NOT_FHIR:
            return b"HTTP/1.1 400 Bad Request"
        case Kind.LONG:
            return b"MSH|" + b"x" * _LONG
    return (
        f"MSH|^~\\&|T|T|G|G|20260102030405||ACK|A{control_id}|T|2.4\rMSA|{fault.word or 'AA'}|{control_id}\r".encode()
    )


def _field(body: bytes, segment: bytes, index: int) -> str:
    for line in body.split(b"\r"):
        if line[:3] == segment:
            fields = line.split(line[3:4])
            return fields[index].decode("latin-1") if index < len(fields) else ""
    return ""
