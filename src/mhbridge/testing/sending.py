"""
Plays the sender: messages over real MLLP and HTTP, one after the other as hospital systems send them.

For demonstrations and for replaying fixtures against a gateway that says it is a test one. It must never be pointed at
a live gateway, and refuses one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from mhbridge.errors import ConfigurationError
from mhbridge.testing.replaying import Case

__all__ = ["MllpPeer", "Posted", "mllp_peer", "post", "send_cases"]

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


def send_cases(cases: Sequence[Case], address: str) -> int:
    """
    Send fixtures to a gateway, printing each answer; how many were not accepted decides the exit code.

    Args:
        address: `http://…` of a gateway in test mode, or `HOST:PORT` of its MLLP listener.
    """
    return asyncio.run(_send_cases(cases, address))


async def _send_cases(cases: Sequence[Case], address: str) -> int:
    import click

    refused = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE)) as session:
        if "://" in address:
            base = address.rstrip("/")
            await _require_test_gateway(session, base)
            for case in cases:
                answer = await post(session, base, f"{case.supplier}/{case.feed}", case.path.read_bytes())
                refused += answer.status not in (200, 202)
                click.echo(f"{case.name}: {answer.status}")
            return 1 if refused else 0
    host, _, port = address.rpartition(":")
    real = [case.name for case in cases if b"|P|" in case.path.read_bytes().partition(b"\r")[0]]
    if real:
        # A live gateway keeps what says that it is a trial from every destination; what says P it would deliver.
        raise ConfigurationError([("C830", f"{real[0]} does not say that it is a trial (MSH-11 T)")])
    if urlsplit(f"//{address}").hostname not in ("127.0.0.1", "localhost", "::1"):
        # Over MLLP nobody can say that it is a test gateway, so only this machine's own are believed.
        raise ConfigurationError([("C830", "fixtures are sent over MLLP only to this machine")])
    async with mllp_peer(host, int(port)) as peer:
        for case in cases:
            acknowledgement = await peer.send(case.path.read_bytes())
            code = _code(acknowledgement)
            refused += code not in ("AA", "CA")
            click.echo(f"{case.name}: {code}")
    return 1 if refused else 0


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
