"""
Plays the sender: messages over real MLLP and HTTP, one after the other as hospital systems send them.

For demonstrations and for replaying fixtures against a gateway that says it is a test one. It must never be pointed at
a live gateway, and refuses one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from mhbridge.errors import ConfigurationError
from mhbridge.testing.replaying import Case

__all__ = ["MllpPeer", "Posted", "Sent", "mllp_peer", "post", "send_cases"]

_START, _END = b"\x0b", b"\x1c\r"
_PATIENCE: Final = 30.0


class MllpPeer:
    """A connection that sends a message and waits for its acknowledgement (HL7 v2 Appendix C, MLLP release 1)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, body: bytes) -> bytes:
        """
        Send one message; its acknowledgement, without the frame.

        Raises:
            TimeoutError: no answer within half a minute.
            asyncio.IncompleteReadError: the peer went away.
        """
        self._writer.write(_START + body + _END)
        await self._writer.drain()
        async with asyncio.timeout(_PATIENCE):
            answer = await self._reader.readuntil(_END)
        return answer.removeprefix(_START).removesuffix(_END)


@asynccontextmanager
async def mllp_peer(host: str, port: int) -> AsyncIterator[MllpPeer]:
    """Connect, and hang up at the end."""
    reader, writer = await asyncio.open_connection(host, port, limit=20_000_000)
    try:
        yield MllpPeer(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


@dataclass(frozen=True, slots=True)
class Posted:
    """The answer to a message over HTTP. `message` is the gateway's id of it, when it has one."""

    status: int
    message: int | None
    outcome: dict[str, Any]


async def post(session: aiohttp.ClientSession, base: str, feed: str, body: bytes) -> Posted:
    """Send one message to `base`/feeds/`feed`/messages."""
    headers = {"Content-Type": "application/octet-stream"}
    async with session.post(f"{base}/feeds/{feed}/messages", data=body, headers=headers) as answer:
        location = answer.headers.get("Location", "").rpartition("/")[2]
        outcome = await answer.json(content_type=None)
        return Posted(answer.status, int(location) if location.isdigit() else None, outcome)


@dataclass(frozen=True, slots=True)
class Sent:
    """A fixture that was sent: what was answered, in how many seconds."""

    case: Case
    answer: str
    accepted: bool
    seconds: float


def send_cases(
    cases: Sequence[Case],
    address: str,
    *,
    rate: float | None = None,
    concurrency: int = 1,
    status_at: str | None = None,
) -> tuple[list[Sent], float]:
    """
    Send fixtures to a gateway: the answers in the order of the fixtures, and how many seconds it took.

    Args:
        address: `http://…` of a gateway in test mode, or `HOST:PORT` of its MLLP listener.
        rate: so many messages a second; as fast as they are answered, if left out.
        concurrency: connections at a time. With more than one, nothing keeps the order of one patient's messages.
        status_at: of a gateway that is sent to by MLLP, where it says over HTTP that it is a test one.

    Raises:
        ConfigurationError: C830, it does not say that it is a test gateway, or a message that it is a trial.
    """
    return asyncio.run(_send_cases(cases, address, rate, concurrency, status_at))


async def _send_cases(
    cases: Sequence[Case], address: str, rate: float | None, concurrency: int, status_at: str | None
) -> tuple[list[Sent], float]:
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        if "://" in address:
            base = address.rstrip("/")
            await _require_test_gateway(session, base)

            async def posted(case: Case) -> tuple[str, bool]:
                answer = await post(session, base, f"{case.supplier}/{case.feed}", case.path.read_bytes())
                return str(answer.status), answer.status in (200, 202)

            return await _paced(cases, [posted] * concurrency, rate)
        cases = [case for case in cases if case.path.suffix.lower() == ".hl7"]
        _require_trials(cases)
        if status_at is not None:
            await _require_test_gateway(session, status_at.rstrip("/"))
        elif urlsplit(f"//{address}").hostname not in ("127.0.0.1", "localhost", "::1"):
            # Over MLLP nobody can say that it is a test gateway, so only this machine's own are believed.
            text = "fixtures are sent over MLLP only to this machine, or to what --status-at says is a test one"
            raise ConfigurationError([("C830", text)])
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ConfigurationError([("C830", f"{address!r} is neither http://… nor HOST:PORT")])
        async with AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(mllp_peer(host, int(port))) for _ in range(concurrency)]
            return await _paced(cases, [partial(_acknowledged, peer) for peer in peers], rate)


async def _acknowledged(peer: MllpPeer, case: Case) -> tuple[str, bool]:
    code = _code(await peer.send(case.path.read_bytes()))
    return code, code in ("AA", "CA")


async def _paced(
    cases: Sequence[Case], senders: Sequence[Callable[[Case], Awaitable[tuple[str, bool]]]], rate: float | None
) -> tuple[list[Sent], float]:
    """Each sender takes the next fixture when it is free, and when its time has come."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting = iter(enumerate(cases))
    found: dict[int, Sent] = {}

    async def work(send: Callable[[Case], Awaitable[tuple[str, bool]]]) -> None:
        for number, case in waiting:
            if rate is not None:
                await asyncio.sleep(began + number / rate - loop.time())
            at = loop.time()
            answer, accepted = await send(case)
            found[number] = Sent(case, answer, accepted, loop.time() - at)

    await asyncio.gather(*(work(send) for send in senders))
    return [found[number] for number in sorted(found)], loop.time() - began


def _require_trials(cases: Sequence[Case]) -> None:
    real = [case.name for case in cases if b"|P|" in case.path.read_bytes().partition(b"\r")[0]]
    if real:
        # A live gateway keeps what says that it is a trial from every destination; what says P it would deliver.
        raise ConfigurationError([("C830", f"{real[0]} does not say that it is a trial (MSH-11 T)")])


async def _require_test_gateway(session: aiohttp.ClientSession, base: str) -> None:
    async with session.get(f"{base}/health/ready") as answer:
        ready = await answer.json(content_type=None)
    if ready.get("mode") != "test":
        raise ConfigurationError([("C830", "this gateway does not say that it is a test one (gateway.mode)")])


def _code(acknowledgement: bytes) -> str:
    """MSA-1 of an acknowledgement."""
    for segment in acknowledgement.split(b"\r"):
        if segment.startswith(b"MSA"):
            return segment[4:6].decode("ascii", "backslashreplace")
    return "none"
