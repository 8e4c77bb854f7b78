"""
HTTP towards a destination: one request, with one absolute deadline, and what its answer's status means for a delivery.

A redirect is never followed, an answer is read up to a limit, and its text goes nowhere: it may name the patient. This
module must never try anything twice: what may be sent again is known to the sender alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import aiohttp

from mhbridge.errors import (
    DeliveryError,
    DestinationHeld,
    DestinationRejected,
    DestinationSilent,
    DestinationUnavailable,
)

if TYPE_CHECKING:
    import ssl

__all__ = ["CONFLICTS", "MAYBE_DONE", "Authorise", "Caller", "Reply", "nobody", "refusal", "retry_after"]

#: More than this nobody needs to say about one document.
ANSWER_LIMIT: Final = 5_000_000
_CONNECT: Final = 10.0
#: A server that asks for a longer wait than this is not believed.
_LONGEST_WAIT: Final = 3600.0
#: Somebody else has written the same.
CONFLICTS: Final = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})
#: What is not the same there once and twice, and got one of these answers, may have been carried out all the same.
MAYBE_DONE: Final = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})

Authorise = Callable[[], Awaitable[Mapping[str, str]]]
"""The headers that say who we are; asked for before each request. Raises a `DeliveryError`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, as far as it is looked at. `content` is `None` where it is longer than anybody reads."""

    status: int
    headers: Mapping[str, str]
    content: bytes | None = field(repr=False)

    @property
    def success(self) -> bool:
        """2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


async def nobody() -> Mapping[str, str]:
    """No headers: the destination knows us by our certificate, or does not ask."""
    return {}


class Caller:
    """
    Requests to one base address.

    Args:
        base: without a slash at the end.
        accept: the media type that is asked for.
        timeout: seconds for one delivery, from connecting to the last byte of the answer, however many requests it is.
        context: TLS; `None` only for a server on this machine.
        keep: use a connection again. One that the other end has just closed swallows a request, and nobody can tell
            whether it arrived.
    """

    def __init__(
        self,
        *,
        base: str,
        accept: str,
        authorise: Authorise = nobody,
        timeout: float = 30.0,
        concurrency: int = 4,
        context: ssl.SSLContext | None = None,
        keep: bool = True,
    ) -> None:
        self.timeout = timeout
        self._base = base
        self._accept = accept
        self._authorise = authorise
        self._concurrency = concurrency
        self._context = context
        self._keep = keep
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool of connections; nothing is connected yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._concurrency, ssl=self._context or True, force_close=not self._keep
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # The same header everywhere: no version of ours or of a library.
            headers={"User-Agent": "mhbridge", "Accept": self._accept, "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def deadline(self) -> float:
        """When a delivery that begins now must have ended, on the event loop's own clock."""
        return asyncio.get_running_loop().time() + self.timeout

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        media_type: str,
        deadline: float,
        headers: Mapping[str, str] | None = None,
        *,
        limit: int = ANSWER_LIMIT,
    ) -> Reply:
        """
        One request and as much of the answer as is wanted.

        Args:
            limit: bytes of the answer; what is longer is not read.

        Raises:
            DestinationUnavailable: not one byte of the request has left.
            DestinationSilent: there is no answer.
            DestinationHeld: nobody believes who we are, or what proves it cannot be read.
        """
        assert self._session is not None
        try:
            known = await self._authorise()
        except (OSError, UnicodeDecodeError) as error:
            # The file of a secret is being changed, or is gone.
            raise DestinationHeld("D944", "what proves who we are cannot be read now") from error
        sent = {"Content-Type": media_type, **(headers or {}), **known}
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise DestinationUnavailable("D942", "there was no time left to ask")
        timeout = aiohttp.ClientTimeout(total=left, sock_connect=min(_CONNECT, left))
        try:
            async with self._session.request(
                method, self._base + path, data=body, headers=sent, allow_redirects=False, timeout=timeout
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) > limit:
                        return Reply(response.status, response.headers, None)
                return Reply(response.status, response.headers, bytes(content))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # DNS, refused, TLS: not one byte of the request has left.
            raise DestinationUnavailable("D940", "cannot connect") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DestinationSilent("D942", "the connection broke, or no answer came in time") from error


def refusal(reply: Reply, now: datetime) -> DeliveryError:
    """What an answer that is no success means for a delivery (gateway design §7)."""
    match reply.status:
        case 401 | 403:
            return DestinationHeld("D944", "the destination refuses us")
        case 408 | 425 | 429:
            return DestinationUnavailable("D941", "the destination asks for a pause", after=retry_after(reply, now))
        case 409 | 412:
            return DestinationUnavailable("D947", "somebody else is writing the same")
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return DestinationUnavailable("D941", "the destination cannot take it now", after=retry_after(reply, now))
        case status if status >= HTTPStatus.BAD_REQUEST:
            return DestinationRejected("D946", "the destination does not take this content")
        case status if status >= HTTPStatus.MULTIPLE_CHOICES:
            return DestinationRejected("D945", "the destination redirects, which is never followed")
    return DestinationSilent("D943", "the answer cannot be understood")


def retry_after(reply: Reply, now: datetime) -> float | None:
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
