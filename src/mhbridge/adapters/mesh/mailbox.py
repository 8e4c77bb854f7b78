"""
One mailbox of MESH: the calls of its API, each made once.

An answer is read up to a limit, and what is compressed in it is unpacked up to one. This module must never try anything
again: what may be repeated is known to the receiver and the sender.
"""

from __future__ import annotations

import asyncio
import platform
import zlib
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from mhbridge import __version__
from mhbridge.adapters.calling import Caller, Reply, refusal
from mhbridge.adapters.mesh.heads import Head, chunk_of, is_id
from mhbridge.errors import DestinationSilent, MalformedMessage
from mhbridge.ports import Clock

if TYPE_CHECKING:
    import ssl

    from mhbridge.adapters.mesh.authorising import Credentials

__all__ = ["Gone", "Mailbox"]

_JSON: Final = "application/vnd.mesh.v2+json"
_BYTES: Final = "application/octet-stream"
#: "Validate a mailbox": once every 24 hours is enough, and is asked for.
_GREETING: Final = timedelta(hours=24)
_GZIP: Final = b"\x1f\x8b"
_WBITS: Final = 16 + zlib.MAX_WBITS


class Gone(Exception):
    """There is no such message in the mailbox (any more)."""


class Mailbox:
    """
    A mailbox at an address.

    All calls raise `DeliveryError` as `Caller` does, and as `refusal` has it for an answer that is no success.

    Args:
        url: of MESH, without a slash at the end.
        timeout: seconds for each request.
        context: TLS; `None` only for what is on this machine.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        clock: Clock,
        timeout: float = 60.0,
        concurrency: int = 4,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.id = credentials.mailbox
        self._clock = clock
        self._path = f"/messageexchange/{quote(credentials.mailbox, safe='')}"
        self._caller = Caller(
            base=url, accept=_JSON, authorise=credentials, timeout=timeout, concurrency=concurrency, context=context
        )
        self._greeted: datetime | None = None

    async def open(self) -> None:
        """Make the pool of connections; nothing is connected yet."""
        await self._caller.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._caller.close()

    async def greet(self) -> None:
        """Say once a day that the mailbox is in use, and so find out whether MESH believes who we are."""
        now = self._clock()
        if self._greeted is not None and now - self._greeted < _GREETING:
            return
        headers = {
            "mex-ClientVersion": f"mhbridge=={__version__}",
            "mex-OSName": platform.system(),
            "mex-OSVersion": platform.release(),
        }
        self._well(await self._ask("POST", self._path, headers=headers))
        self._greeted = now

    # --- in ---

    async def inbox(self, after: str = "") -> tuple[list[str], str]:
        """
        Ids of messages that wait, and what to ask for those after them with; empty: there are none.

        What cannot be the id of a message is left out: it would become part of an address.
        """
        query = f"?continue_from={quote(after, safe='')}" if after else ""
        found = _json(self._well(await self._ask("GET", f"{self._path}/inbox{query}")))
        ids, links = found.get("messages"), found.get("links")
        if not isinstance(ids, list):
            raise DestinationSilent("D943", "the answer cannot be understood")
        # Of the address of the next page only the place is believed; whose mailbox it is asked of is known here.
        further = str(links.get("next", "")) if isinstance(links, dict) else ""
        place = parse_qs(urlsplit(further).query).get("continue_from", [""])[0] if further.startswith("/") else ""
        return [one for one in ids if is_id(one)], place

    async def head(self, message: str) -> Head:
        """What stands at the head of a message. Raises what `retrieve` does."""
        reply = self._well(await self._ask("HEAD", f"{self._path}/inbox/{message}"), gone=True)
        return Head.of(message, reply.headers)

    async def retrieve(self, message: str, limit: int) -> tuple[Head, bytes]:
        """
        A message, whole, and unpacked where it was compressed.

        Args:
            limit: bytes of all its chunks, as they come and unpacked.

        Raises:
            Gone: it is not in the mailbox.
            MalformedMessage: D917 when it is too large, D980 when it cannot be put together.
        """
        path = f"{self._path}/inbox/{message}"
        reply = self._well(await self._fetch(path, limit), gone=True)
        head = Head.of(message, reply.headers)
        if head.report:
            return head, b""
        body = bytearray(await self._unpacked(reply, limit, head))
        for number in range(2, head.chunks + 1):
            try:
                reply = self._well(await self._fetch(f"{path}/{number}", limit - len(body)), gone=True)
            except Gone:
                raise MalformedMessage("D980", "a chunk of the message is not there") from None
            if chunk_of(reply.headers, number) != head.chunks:
                raise MalformedMessage("D980", "the chunks of the message are numbered as they cannot be")
            body += await self._unpacked(reply, limit - len(body), head)
        if not body:
            raise MalformedMessage("D980", "the message is empty")
        return head, bytes(body)

    async def acknowledge(self, message: str) -> None:
        """Take a message out of the mailbox, for ever. To do it again changes nothing."""
        try:
            self._well(await self._ask("PUT", f"{self._path}/inbox/{message}/status/acknowledged"), gone=True)
        except Gone:
            return

    # --- how ---

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        media_type: str = _JSON,
        headers: dict[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        until = self._caller.deadline() if deadline is None else deadline
        return await self._caller.ask(method, path, body, media_type, until, headers)

    async def _fetch(self, path: str, limit: int) -> Reply:
        headers = {"Accept-Encoding": "gzip"}
        return await self._caller.ask("GET", path, None, _BYTES, self._caller.deadline(), headers, limit=limit)

    def _well(self, reply: Reply, *, gone: bool = False) -> Reply:
        """The answer, where it is a success."""
        if reply.success:
            return reply
        if gone and reply.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            raise Gone
        raise refusal(reply, self._clock())

    async def _unpacked(self, reply: Reply, limit: int, head: Head) -> bytes:
        if reply.content is None:
            raise MalformedMessage("D917", "the message is larger than is accepted here")
        body = reply.content
        if reply.headers.get("Content-Encoding", "").strip().lower() == "gzip":
            body = await asyncio.to_thread(_gunzip, body, limit)
        if head.packed and body.startswith(_GZIP):
            # Its sender packed it before MESH did anything; nothing that is taken here begins like that.
            body = await asyncio.to_thread(_gunzip, body, limit)
        return body


def _gunzip(packed: bytes, limit: int) -> bytes:
    unpacking = zlib.decompressobj(_WBITS)
    try:
        body = unpacking.decompress(packed, limit + 1)
    except zlib.error:
        raise MalformedMessage("D980", "the message cannot be unpacked") from None
    if len(body) > limit:
        raise MalformedMessage("D917", "the message is larger than is accepted here")
    if not unpacking.eof or unpacking.unused_data:
        raise MalformedMessage("D980", "the message cannot be unpacked")
    return body


def _json(reply: Reply) -> dict[str, Any]:
    """An answer that must be an object."""
    try:
        found = orjson.loads(reply.content or b"")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise DestinationSilent("D943", "the answer cannot be understood")
    return found
