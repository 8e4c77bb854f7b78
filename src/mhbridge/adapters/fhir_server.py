"""
Delivery to a FHIR server, so that a repeat changes nothing there.

    document       PUT Bundle/{id}, the id derived from the document; where a server takes no PUT, POST Bundle
    transaction    POST to the base; its entries are PUTs by derived ids or by business identifier
    message        POST $process-message

What an answer means for the delivery is one table (`_refusal`). A redirect is never followed, an answer is read up to a
limit and its text goes nowhere: it may name the patient. This module must never put anything of a document into a URL
but the id that was derived for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import aiohttp
import orjson

from mhbridge.errors import (
    DeliveryError,
    DestinationHeld,
    DestinationRejected,
    DestinationSilent,
    DestinationUnavailable,
)
from mhbridge.ports import Clock, Delivered, DueDelivery

if TYPE_CHECKING:
    import ssl

__all__ = ["FhirSender"]

#: More than this nobody needs to say about one document.
_ANSWER_LIMIT: Final = 5_000_000
_CONNECT: Final = 10.0
#: A server that asks for a longer wait than this is not believed.
_LONGEST_WAIT: Final = 3600.0
#: How long a POST may go on being executed after its answer was lost; two looks lie so far apart (gateway design §7).
_TWO_LOOKS: Final = 30.0
#: A server says with these that it has no update by id here.
_NO_PUT: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
#: A POST with one of these answers may have been executed all the same.
_MAYBE_DONE: Final = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
_CONFLICTS: Final = 3
_MEDIA_TYPE: Final = "application/fhir+json"

Authorise = Callable[[], Awaitable[Mapping[str, str]]]
"""The headers that say who we are; asked for before each request. Raises a `DeliveryError`."""


@dataclass(frozen=True, slots=True)
class _Reply:
    """An answer, as far as it is looked at."""

    status: int
    headers: Mapping[str, str]
    resource: Mapping[str, Any] | None
    understood: bool


async def _nobody() -> Mapping[str, str]:
    return {}


class FhirSender:
    """
    One FHIR server.

    Args:
        base: its base address, without a slash at the end.
        authorise: who we are.
        timeout: seconds for one request, from connecting to the last byte of the answer.
        context: TLS; `None` only for a server on this machine.
    """

    def __init__(
        self,
        *,
        name: str,
        base: str,
        clock: Clock,
        authorise: Authorise = _nobody,
        timeout: float = 30.0,
        concurrency: int = 4,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self._base = base
        self._clock = clock
        self._authorise = authorise
        self._timeout = timeout
        self._concurrency = concurrency
        self._context = context
        self._session: aiohttp.ClientSession | None = None
        #: The server takes no PUT of a Bundle: learnt from its answer, forgotten at the next start.
        self._no_put = False
        #: Deliveries that were looked for and not found, and when.
        self._missed: dict[int, datetime] = {}

    async def open(self) -> None:
        """Make the pool of connections; nothing is connected yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency, ssl=self._context or True),
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=min(_CONNECT, self._timeout)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # The same header everywhere: no version of ours or of a library.
            headers={"User-Agent": "mhbridge", "Accept": _MEDIA_TYPE, "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def deliver(self, delivery: DueDelivery) -> Delivered:
        """Send it, in the way that its kind of Bundle is sent."""
        body = delivery.document.body
        match delivery.document.bundle:
            case "transaction" | "batch":
                return self._judge(await self._send("POST", "", body), delivery)
            case "message":
                return self._judge(await self._send("POST", "/$process-message", body), delivery)
        delivered = await self._put(delivery)
        if delivered is not None:
            return delivered
        reply = await self._send("POST", "/Bundle", body)
        if reply.status in _MAYBE_DONE:
            # Only an update is the same there once or twice. This may have been made before it went wrong.
            raise DestinationSilent("D942", "the destination failed while it was making the document")
        return self._judge(reply, delivery)

    async def look(self, delivery: DueDelivery) -> Delivered | None:
        """
        What was put by id or as a transaction is sent again: it is the same there, once or twice. A POST is searched
        for, twice, since it may still be executed after the first search.
        """
        match delivery.document.bundle:
            case "transaction" | "batch":
                return await self.deliver(delivery)
            case "message":
                raise DestinationRejected("D948", "the server cannot be asked whether a message arrived")
        return await self._put(delivery) or await self._search(delivery)

    async def _put(self, delivery: DueDelivery) -> Delivered | None:
        """Update by id; `None` where the server has no such thing."""
        if not self._no_put:
            # The document's own id: the UUID of its identifier, which `Bundle.id` repeats.
            identity = delivery.document.identifier.removeprefix("urn:uuid:")
            reply = await self._send("PUT", f"/Bundle/{identity}", delivery.document.body)
            if not _takes_no_put(reply):
                return self._judge(reply, delivery)
            self._no_put = True
        return None

    async def _search(self, delivery: DueDelivery) -> Delivered | None:
        # By POST: the identifier of a document belongs in no URL, which proxies write into their logs.
        form = urlencode({"identifier": f"urn:ietf:rfc:3986|{delivery.document.identifier}"}).encode()
        reply = await self._send("POST", "/Bundle/_search", form, "application/x-www-form-urlencoded")
        if reply.status in _NO_PUT or reply.status == HTTPStatus.BAD_REQUEST:
            raise DestinationRejected("D948", "the server cannot be asked whether it arrived")
        self._judge(reply, delivery)
        if reply.resource is None or reply.resource.get("resourceType") != "Bundle":
            raise DestinationSilent("D943", "the answer to a search is no Bundle")
        if reply.resource.get("entry"):
            self._missed.pop(delivery.id, None)
            return Delivered(2)
        now = self._clock()
        first = self._missed.setdefault(delivery.id, now)
        if (now - first).total_seconds() < _TWO_LOOKS:
            raise DestinationSilent("D958", "not found yet")
        del self._missed[delivery.id]
        return None

    async def _send(self, method: str, path: str, body: bytes, media_type: str = _MEDIA_TYPE) -> _Reply:
        """One request and as much of the answer as is wanted. Raises a `DeliveryError` when there is no answer."""
        assert self._session is not None
        headers = {"Content-Type": media_type, "Prefer": "return=minimal", **await self._authorise()}
        try:
            async with self._session.request(
                method, self._base + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) > _ANSWER_LIMIT:
                        break
                return _reply(response, bytes(content))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # DNS, refused, TLS: not one byte of the request has left.
            raise DestinationUnavailable("D940", "cannot connect") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DestinationSilent("D942", "the connection broke, or no answer came in time") from error

    def _judge(self, reply: _Reply, delivery: DueDelivery) -> Delivered:
        """
        What an answer means for a delivery.

        Raises:
            DeliveryError: it was not taken, or nobody can tell.
        """
        if HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            if not reply.understood:
                # A proxy's page with status 200 is not a FHIR server's acceptance.
                raise DestinationSilent("D943", "the answer is too long, or is no FHIR")
            return Delivered(2, _remote_id(reply))
        raise _refusal(reply.status, delivery.attempts + 1, _retry_after(reply, self._clock()))


def _reply(response: aiohttp.ClientResponse, content: bytes) -> _Reply:
    resource: Any = None
    # Nothing is as good as a resource: we have asked for a minimal answer.
    understood = not content
    if 0 < len(content) <= _ANSWER_LIMIT:
        try:
            resource = orjson.loads(content)
            understood = isinstance(resource, dict) and isinstance(resource.get("resourceType"), str)
        except orjson.JSONDecodeError:
            pass
    return _Reply(response.status, response.headers, resource if understood else None, understood)


def _takes_no_put(reply: _Reply) -> bool:
    """The server has no update by id here, rather than something against this document."""
    return reply.status in _NO_PUT or (
        reply.status == HTTPStatus.BAD_REQUEST and "not-supported" in _issue_types(reply)
    )


def _issue_types(reply: _Reply) -> frozenset[str]:
    issues = reply.resource.get("issue") if reply.resource is not None else None
    return frozenset(str(issue.get("code")) for issue in issues or () if isinstance(issue, dict))


def _refusal(status: int, attempt: int, wait: float | None) -> DeliveryError:
    """What an answer that is no success means for a delivery (gateway design §7)."""
    match status:
        case 401 | 403:
            return DestinationHeld("D944", "the destination refuses us")
        case 408 | 425 | 429:
            return DestinationUnavailable("D941", "the destination asks for a pause", after=wait)
        case 409 | 412 if attempt < _CONFLICTS:
            return DestinationUnavailable("D947", "somebody else is writing the same")
        case 409 | 412:
            return DestinationRejected("D947", "somebody else is writing the same, three times running")
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return DestinationUnavailable("D941", "the destination cannot take it now", after=wait)
        case _ if status >= HTTPStatus.BAD_REQUEST:
            return DestinationRejected("D946", "the destination does not take this content")
        case _ if status >= HTTPStatus.MULTIPLE_CHOICES:
            return DestinationRejected("D945", "the destination redirects, which is never followed")
    return DestinationSilent("D943", "the answer cannot be understood")


def _retry_after(reply: _Reply, now: datetime) -> float | None:
    """Seconds to wait, given as a number or as a date (RFC 9110 §10.2.3)."""
    text = reply.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return min(float(text), _LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _remote_id(reply: _Reply) -> str:
    """What the server calls it: type, id and version of its Location, which is its own and holds nothing of ours."""
    location = reply.headers.get("Location", "") or reply.headers.get("Content-Location", "")
    parts = location.partition("?")[0].rstrip("/").split("/")
    tail = "/".join(parts[-4:] if "_history" in parts[-2:-1] else parts[-2:])
    return tail if len(tail) <= 200 and tail.isascii() and tail.isprintable() else ""
