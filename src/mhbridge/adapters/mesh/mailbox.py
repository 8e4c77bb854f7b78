"""
One mailbox of MESH: the calls of its API, each made once.

An answer is read up to a limit, and what is compressed in it is unpacked up to one. This module must never try anything
again: what may be repeated is known to the receiver and the sender.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from mhbridge import __version__
from mhbridge.adapters.calling import CONFLICTS, MAYBE_DONE, Caller, Reply, refusal
from mhbridge.adapters.mesh.heads import Head, chunk_of, is_id
from mhbridge.adapters.mesh.packing import gunzip, is_packed
from mhbridge.errors import DestinationHeld, DestinationRejected, DestinationSilent, MalformedMessage
from mhbridge.ports import Clock

if TYPE_CHECKING:
    import ssl

    from mhbridge.adapters.mesh.authorising import Credentials

__all__ = ["Gone", "Letter", "Mailbox", "Tracked", "Whole"]

_JSON: Final = "application/vnd.mesh.v2+json"
_BYTES: Final = "application/octet-stream"
#: "Validate a mailbox": once every 24 hours is enough, and is asked for.
_GREETING: Final = timedelta(hours=24)


#: What is wrong with whom something is from, or for, and not with what it is (`mesh-api.yaml`, Error codes; those of a
#: look-up that MESH makes itself are its sandbox's).
_ADDRESSES: Final = frozenset({"07", "08", "12", "16", "17", "EPL-150", "EPL-151"})
#: How the states of a message are called, in small letters, that is with its recipient, that they have taken, and that
#: will not reach them.
_THERE: Final = frozenset({"accepted", "acknowledged"})
_COLLECTED: Final = "acknowledged"
_LOST: Final = frozenset({"undeliverable", "error"})


class Gone(Exception):
    """There is no such message in the mailbox (any more)."""


class Whole(Exception):
    """The message has all its chunks already."""


@dataclass(frozen=True, slots=True)
class Letter:
    """
    What is to be sent.

    Args:
        local_id: what we call it; MESH and the recipient see it, so it must say nothing of a patient.
        pieces: the chunks; where they are `packed`, each by itself.
    """

    to: str
    workflow: str
    local_id: str
    media_type: str
    pieces: Sequence[bytes]
    packed: bool = False
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Tracked:
    """
    What MESH knows of a message that was sent.

    Args:
        there: it lies with its recipient; `collected`: they have taken it; `lost`: it will not reach them.
    """

    id: str
    there: bool
    collected: bool
    lost: bool


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
        own: dict[str, Any] = {"timeout": timeout, "concurrency": concurrency, "context": context}
        self._caller = Caller(base=url, accept=_JSON, authorise=credentials, **own)
        # What may not be posted again is not trusted to a connection that may be gone.
        self._posting = Caller(base=url, accept=_JSON, authorise=credentials, keep=False, **own)
        self._greeted: datetime | None = None

    async def open(self) -> None:
        """Make the pool of connections; nothing is connected yet."""
        await self._caller.open()
        await self._posting.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._caller.close()
        await self._posting.close()

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
        self._well(await self._ask("POST", self._path, headers))
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
        try:
            place = parse_qs(urlsplit(further).query).get("continue_from", [""])[0] if further.startswith("/") else ""
        except ValueError:
            raise DestinationSilent("D943", "the answer cannot be understood") from None
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

    # --- out ---

    async def send(self, letter: Letter, deadline: float) -> str:
        """
        Post a message, or the first chunk of one; the id that MESH gives it. What is posted again is another.

        Raises:
            DestinationSilent: it may have been taken.
            DestinationHeld: D985 when it is for nobody whom we may send this.
        """
        headers = {"Mex-To": letter.to, "Mex-WorkflowID": letter.workflow, "Mex-LocalID": letter.local_id}
        if letter.subject:
            headers["Mex-Subject"] = letter.subject
        if letter.packed:
            headers["Content-Encoding"] = "gzip"
        if len(letter.pieces) > 1:
            headers["Mex-Chunk-Range"] = f"1:{len(letter.pieces)}"
        path, kind = f"{self._path}/outbox", letter.media_type
        reply = await self._posting.ask("POST", path, letter.pieces[0], kind, deadline, headers)
        name = _json(self._taken(reply)).get("message_id")
        if not is_id(name):
            raise DestinationSilent("D943", "the answer cannot be understood")
        return str(name)

    async def send_chunk(self, message: str, number: int, letter: Letter, deadline: float) -> None:
        """
        Post a chunk after the first. The same again changes nothing; after the last one the message is whole.

        Raises:
            Whole: the message was whole already.
            DestinationSilent: it may have been taken.
        """
        headers = {"Mex-Chunk-Range": f"{number}:{len(letter.pieces)}"}
        if letter.packed:
            headers["Content-Encoding"] = "gzip"
        path, piece = f"{self._path}/outbox/{message}/{number}", letter.pieces[number - 1]
        reply = await self._posting.ask("POST", path, piece, _BYTES, deadline, headers)
        if reply.status == HTTPStatus.LOCKED:
            raise Whole
        self._taken(reply)

    async def track(self, message: str) -> Tracked:
        """What became of a message that was sent from here. Raises `Gone`."""
        path = f"{self._path}/outbox/tracking?messageID={quote(message, safe='')}"
        return _tracked(_json(self._well(await self._ask("GET", path), gone=True)))

    async def track_ours(self, local_id: str) -> Tracked:
        """
        What became of the message that we called so.

        The specification calls this endpoint deprecated. It is the only one that can be asked without the id that MESH
        gives, so it is asked where that was never heard, and believed only when it knows exactly one. Raises `Gone`.
        """
        path = f"{self._path}/outbox/tracking/{quote(local_id, safe='')}"
        return _tracked(_json(self._well(await self._ask("GET", path), gone=True)))

    async def lookup(self, organisation: str, workflow: str) -> list[str]:
        """The mailboxes in which an organisation takes messages of a workflow; empty: one that can be none."""
        path = f"/messageexchange/endpointlookup/{quote(organisation, safe='')}/{quote(workflow, safe='')}"
        found = _json(self._well(await self._ask("GET", path))).get("results")
        if not isinstance(found, list):
            raise DestinationSilent("D943", "the answer cannot be understood")
        # It becomes a header.
        names = [one.get("mailbox_id") if isinstance(one, dict) else None for one in found]
        return [str(name) if is_id(name) else "" for name in names]

    # --- how ---

    def deadline(self) -> float:
        """When what begins now must have ended."""
        return self._caller.deadline()

    def _taken(self, reply: Reply) -> Reply:
        """The answer to a post, where it says that it was taken; otherwise it was not, unless nobody can tell."""
        if reply.success:
            return reply
        if reply.status in MAYBE_DONE:
            raise DestinationSilent("D942", "MESH failed at it")
        if reply.status == HTTPStatus.EXPECTATION_FAILED and _code(reply) in _ADDRESSES:
            raise DestinationHeld("D985", "MESH takes nothing from us for this recipient and workflow")
        if reply.status in CONFLICTS:
            raise DestinationRejected("D946", "the destination does not take this content")
        raise refusal(reply, self._clock())

    async def _ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> Reply:
        return await self._caller.ask(method, path, None, _JSON, self._caller.deadline(), headers)

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
            body = await asyncio.to_thread(gunzip, body, limit)
        if head.packed and is_packed(body):
            # Its sender packed it before MESH did anything; nothing that is taken here begins like that.
            body = await asyncio.to_thread(gunzip, body, limit)
        return body


def _tracked(found: dict[str, Any]) -> Tracked:
    # Version 1 of an answer, which the deprecated endpoint gives, and version 2 name it differently.
    name, status = found.get("message_id") or found.get("messageId"), str(found.get("status", "")).lower()
    if not is_id(name):
        raise DestinationSilent("D943", "the answer cannot be understood")
    return Tracked(str(name), status in _THERE, status == _COLLECTED, status in _LOST)


def _code(reply: Reply) -> str:
    """The code of an error (`mesh-api.yaml`, MeshError); empty where it has none that can be read."""
    try:
        detail = orjson.loads(reply.content or b"")["detail"][0]["code"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return ""
    return detail if isinstance(detail, str) else ""


def _json(reply: Reply) -> dict[str, Any]:
    """An answer that must be an object."""
    try:
        found = orjson.loads(reply.content or b"")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise DestinationSilent("D943", "the answer cannot be understood")
    return found
