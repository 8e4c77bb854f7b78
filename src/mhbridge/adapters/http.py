"""
HTTP in: the server that all our routes run on, and the door for messages, `POST /feeds/{supplier}/{feed}/messages`.

Whatever goes wrong, the answer is an OperationOutcome with the diagnostic's code, also where the HTTP library itself
refuses. It must never hold a traceback, a path of this machine, a version, or anything that was sent.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import re
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from aiohttp import HttpVersion10, HttpVersion11, web

from mhbridge.adapters.tls import peer_name
from mhbridge.errors import MessageError, MhbridgeError, StoreError, UnsupportedMessage
from mhbridge.fhir.validate import operation_outcome
from mhbridge.log import Event, Log, where
from mhbridge.model import Envelope, Issue, Severity, Verdict
from mhbridge.ports import Clock, Committed

if TYPE_CHECKING:
    import ssl

    from mhbridge.adapters.allowance import Allowance
    from mhbridge.config import Listen, Secret

__all__ = ["Entrance", "HttpServer", "MessageDoor", "outcome", "read_body", "said"]

#: Diagnostic code and FHIR issue type for refusals that have no code of their own.
_STATUS: Final[Mapping[int, tuple[str, str, str]]] = {
    400: ("D920", "invalid", "The request cannot be understood."),
    401: ("D921", "login", "A bearer token is needed."),
    403: ("D922", "forbidden", "This needs a role that the caller does not have."),
    404: ("D923", "not-found", "There is nothing here."),
    405: ("D924", "not-supported", "This method is not possible here."),
    408: ("D925", "timeout", "The request was not finished in time."),
    409: ("D929", "conflict", "This is not possible in the present state."),
    413: ("D926", "too-long", "The request is larger than is accepted here."),
    415: ("D927", "not-supported", "This kind of content is not accepted here."),
    422: ("D928", "processing", "The content cannot be processed."),
    429: ("D977", "throttled", "Too many requests; come again when Retry-After says."),
    503: ("D932", "transient", "Not now; try again."),
}
_FAILED: Final = ("D931", "exception", "The gateway failed. It is in its log.")
#: The code of what went well.
_STORED: Final = "D900"
_ISSUE_TYPE: Final = {code: kind for code, kind, _ in (*_STATUS.values(), _FAILED)} | {_STORED: "informational"}

#: What messages come as. The last is what curl and urllib say when nobody says anything.
_CONTENT: Final = frozenset(
    {
        "application/octet-stream",
        "text/plain",
        "application/hl7-v2",
        "application/hl7-v2+er7",
        "application/edi-hl7v2",
        "x-application/hl7-v2+er7",
        "text/csv",
        "application/csv",
        "application/xml",
        "text/xml",
        "application/json",
        "application/fhir+json",
        "application/fhir+xml",
        "application/x-www-form-urlencoded",
    }
)
#: The folders of a library of mappings; the last one in a path is the library's own.
_MAPPINGS: Final = re.compile(r".*(?:^|[/\\])((?:suppliers|documents|parts)[/\\].+)")
#: A path or a place in a file, and not the name of a mapping.
_FILE: Final = re.compile(r"^(?:[/\\.~]|[A-Za-z]:[/\\])|:\d+$")
#: Text compresses to a tenth; a hundredth is a bomb.
_RATIO: Final = 100
_BODY_TIME: Final = 30.0
#: aiohttp's own log of requests would hold paths, and its own decompression knows no ratio.
_CONNECTION: Final[Mapping[str, Any]] = {"access_log": None, "auto_decompress": False, "keepalive_timeout": 75.0}
_RETRY_AFTER: Final = "5"
#: Nothing is kept on the way or guessed at, and nobody is told what runs here.
_EVERYWHERE: Final = {"Server": "mhbridge", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def outcome(issues: Iterable[Issue]) -> bytes:
    """An OperationOutcome of these issues, as bytes."""
    said = operation_outcome([replace(issue, rule=_below(issue.rule)) for issue in issues])
    for issue in said["issue"]:
        # What a status of HTTP means is more than the family of its code says.
        code = issue["details"]["coding"][0]["code"]
        issue["code"] = _ISSUE_TYPE.get(code, issue["code"])
    return orjson.dumps(said)


def _below(rule: str) -> str:
    """
    The place in the mapping as those know it who did not install it, without folders of this machine:
    `suppliers/x/y.yaml:56:17`.
    """
    if found := _MAPPINGS.match(rule):
        return found[1]
    return re.split(r"[/\\]", rule)[-1] if _FILE.search(rule) else rule


def _respond(status: int, issues: Iterable[Issue], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=outcome(issues), content_type="application/fhir+json", charset="utf-8", headers=headers
    )


def _refused(status: int, text: str = "") -> web.Response:
    code, _, default = _STATUS.get(status, _STATUS[400] if status < HTTPStatus.INTERNAL_SERVER_ERROR else _FAILED)
    return _respond(status, [Issue(code, Severity.ERROR, text or default)])


# --- the server --------------------------------------------------------------------------------------------


class HttpServer:
    """
    One listener and its routes.

    Args:
        routes: handlers may raise aiohttp's HTTP exceptions (their text is shown: it must hold no value of a message)
            and `MhbridgeError`s; anything else is a failure of ours, is logged without its text, and answered with 500.
        context: TLS, where it is configured.
        connections: so many at a time; one more is closed at once.
        feed: of a listener for one receiver alone, its feed, for the log.
    """

    def __init__(
        self,
        *,
        listen: Listen,
        routes: Iterable[web.RouteDef],
        log: Log,
        context: ssl.SSLContext | None = None,
        connections: int = 200,
        feed: str = "",
    ) -> None:
        self._feed = feed
        self._listen = listen
        self._connections = connections
        self._routes = tuple(routes)
        self._log = log
        self._context = context
        self._server: asyncio.Server | None = None
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """`http://127.0.0.1:8080`, with the port that the system chose."""
        listen = self._listen
        if self._server is not None and self._server.sockets:
            host, port = self._server.sockets[0].getsockname()[:2]
            listen = listen._replace(host=host, port=port)
        return f"{'https' if self._context else 'http'}://{listen}"

    async def open(self) -> None:
        """Listen."""
        application = web.Application(middlewares=[self._answer])
        application.add_routes(self._routes)
        application.on_response_prepare.append(_headers)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        loop, manager = asyncio.get_running_loop(), self._runner.server
        assert manager is not None

        def connection() -> asyncio.Protocol:
            if len(manager.connections) < self._connections:
                return _Connection(manager, loop=loop, **_CONNECTION)
            self._log.warning(Event.CONNECTION_REFUSED, kind="http", code="D915", connections=self._connections)
            return _Closed()

        self._server = await loop.create_server(connection, *self._listen, ssl=self._context)
        self._log.info(Event.LISTENING, feed=self._feed, kind="http", address=self.address)

    async def close(self) -> None:
        """Listen no more, answer what was asked, close."""
        if self._server is None or self._runner is None:
            return
        self._server.close()
        await self._runner.cleanup()
        await self._server.wait_closed()
        self._server = None

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # The parameter's name `handler` is aiohttp's, which passes it by name.
        cast("_Connection", request.protocol).asked = True
        try:
            if request.version not in (HttpVersion10, HttpVersion11):
                # A first line without a version is HTTP 0.9, which has no body and nobody speaks; others are none.
                response: web.StreamResponse = _refused(HTTPStatus.BAD_REQUEST)
                response.force_close()
            elif request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
                # A page of somebody else's, in a browser on this machine, may not speak to a loopback listener.
                response = _refused(HTTPStatus.FORBIDDEN, "Requests from other sites are refused.")
            else:
                response = await handler(request)
        except web.HTTPException as refusal:
            response = _refused(
                refusal.status, "" if refusal.text == f"{refusal.status}: {refusal.reason}" else refusal.text or ""
            )
            for name in ("Allow", "Retry-After", "WWW-Authenticate"):
                if name in refusal.headers:
                    response.headers[name] = refusal.headers[name]
        except MhbridgeError as error:
            response = _respond(_status(error), [Issue(error.code, Severity.ERROR, error.message)])
            if isinstance(error, StoreError):
                response.headers["Retry-After"] = _RETRY_AFTER
        except TimeoutError:
            response = _refused(HTTPStatus.REQUEST_TIMEOUT)
        except Exception as error:  # noqa: BLE001  a failure of ours is answered and logged like any other
            self._log.critical(Event.FAILED, route=_route(request), **where(error))
            response = _refused(HTTPStatus.INTERNAL_SERVER_ERROR)
        log = self._log.debug if response.status < HTTPStatus.BAD_REQUEST else self._log.info
        log(Event.REQUEST, method=request.method, route=_route(request), status=response.status)
        return response


class _Connection(web.RequestHandler):
    """aiohttp's connection, but what it refuses by itself is said as we say it, and nobody may trickle headers."""

    #: A request was read to the end of its headers.
    asked: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)

        def look() -> None:
            # Later requests are bounded by the keep-alive time; the first has no limit of aiohttp's own.
            if not self.asked:
                transport.close()

        asyncio.get_running_loop().call_later(_BODY_TIME, look)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # The library's own message quotes what was sent.
        del exc, message
        if request.writer.output_size > 0:
            raise ConnectionError
        response = _refused(status)
        response.headers.update(_EVERYWHERE)
        response.force_close()
        return response


class _Closed(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _headers(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.update(_EVERYWHERE)


def _status(error: MhbridgeError) -> int:
    if isinstance(error, StoreError):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, UnsupportedMessage):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.BAD_REQUEST if isinstance(error, MessageError) else HTTPStatus.INTERNAL_SERVER_ERROR


def _route(request: web.Request) -> str:
    """The route's pattern: a path itself may hold anything."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


# --- reading a body ----------------------------------------------------------------------------------------


async def read_body(request: web.Request, limit: int) -> bytes:
    """
    The body, decompressed, within its limits.

    Raises:
        web.HTTPException: 413 too large or compressed too well, 415 another content or encoding, 400 broken, 408 slow.
    """
    if request.content_type not in _CONTENT:
        raise web.HTTPUnsupportedMediaType(text="Send the message as application/octet-stream or as its own type.")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise web.HTTPUnsupportedMediaType(text="Content-Encoding may be gzip or identity.")
    if (request.content_length or 0) > limit:
        raise web.HTTPRequestEntityTooLarge(limit, request.content_length or 0, text=_STATUS[413][2])
    body, received = bytearray(), 0
    unpack = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    try:
        async with asyncio.timeout(_BODY_TIME):
            async for chunk in request.content.iter_any():
                received += len(chunk)
                body += chunk if unpack is None else unpack.decompress(chunk, limit + 1 - len(body))
                if len(body) > limit:
                    raise web.HTTPRequestEntityTooLarge(limit, len(body), text=_STATUS[413][2])
                if len(body) > _RATIO * received:
                    raise web.HTTPRequestEntityTooLarge(limit, len(body), text="The body is compressed too well.")
    except zlib.error:
        raise web.HTTPBadRequest(text="The body is not gzip, though it says so.") from None
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=_STATUS[408][2]) from None
    if unpack is not None and (not unpack.eof or unpack.unused_data):
        raise web.HTTPBadRequest(text="The body is not one whole gzip member.")
    return bytes(body)


# --- the door for messages ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entrance:
    """
    One path that takes messages: for whom, how large, and the token that the sender must have, if any.

    Args:
        allowance: how often a sender may ask; shared by the paths of a receiver.
    """

    supplier: str
    feed: str
    limit: int = 20_000_000
    token: Secret | None = None
    allowance: Allowance | None = None


class MessageDoor:
    """
    `POST /feeds/{supplier}/{feed}/messages`: 202 when durable, 200 and the first answer for a repeat, 4xx when refused.

    Args:
        entrance: the one of a `supplier/feed`, as in the path; `None` when there is none.
        take: what takes an envelope and makes it durable.
        refuse: what counts a refusal of which there is no envelope.
        shut: why nothing is taken now: a code, or empty.
    """

    def __init__(
        self,
        *,
        entrance: Callable[[str], Entrance | None],
        take: Callable[[Envelope], Awaitable[Committed]],
        refuse: Callable[[str, str], Awaitable[None]],
        clock: Clock,
        shut: Callable[[], str] = str,
    ) -> None:
        self._entrance = entrance
        self._shut = shut
        self._take = take
        self._refuse = refuse
        self._clock = clock

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """For `HttpServer`."""
        return (web.post("/feeds/{supplier}/{feed}/messages", self._post),)

    async def _post(self, request: web.Request) -> web.Response:
        entrance = self._entrance(f"{request.match_info['supplier']}/{request.match_info['feed']}")
        if entrance is None:
            raise web.HTTPNotFound(text="No receiver takes messages for this supplier and feed here.")
        return said(await self._take(await self.received(request, entrance)))

    async def received(self, request: web.Request, entrance: Entrance) -> Envelope:
        """What was sent, of a sender who may, once something can be taken."""
        try:
            _authenticate(request, entrance.token)
            _admit(request, entrance)
            if code := self._shut():
                # Before any of it is read: it would have to be sent again.
                raise StoreError(code, "nothing can be taken now; send it again")
            body = await read_body(request, entrance.limit)
        except web.HTTPTooManyRequests:
            # Nothing of it was received, and to write each of a flood into the store would make it the store's.
            raise
        except web.HTTPException as refusal:
            await self._refuse(entrance.feed, _STATUS.get(refusal.status, _STATUS[400])[0])
            raise
        return Envelope(body, entrance.supplier, entrance.feed, self._clock(), "http", _peer(request))


def said(committed: Committed) -> web.Response:
    """The answer to what was sent, as an OperationOutcome."""
    answer = committed.answer
    if answer.verdict is Verdict.ACCEPTED:
        status = HTTPStatus.OK if answer.repeated else HTTPStatus.ACCEPTED
        severity = Severity.WARNING if answer.code else Severity.INFORMATION
        first = Issue(answer.code or _STORED, severity, answer.text)
    else:
        # What is stored though it was refused is well formed; what is not even stored could not be read.
        status = HTTPStatus.UNPROCESSABLE_ENTITY if answer.reference else HTTPStatus.BAD_REQUEST
        first = Issue(answer.code, Severity.ERROR, answer.text)
    # Of an envelope with several messages, the first: it names the envelope, which the others name, too.
    headers = {"Location": f"/messages/{committed.messages[0]}"} if committed.messages else None
    return _respond(status, (first, *answer.issues), headers)


def _authenticate(request: web.Request, token: Secret | None) -> None:
    if token is None:
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.reveal().encode()):
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})


def _admit(request: web.Request, entrance: Entrance) -> None:
    """By its token or certificate a sender is known; without either, by where it comes from."""
    if entrance.allowance is None:
        return
    caller = "" if entrance.token is not None else _peer(request)
    if wait := entrance.allowance.wait(caller, asyncio.get_running_loop().time()):
        raise web.HTTPTooManyRequests(headers={"Retry-After": str(math.ceil(wait))}, text=_STATUS[429][2])


def _peer(request: web.Request) -> str:
    certificate: dict[str, Any] | None = request.transport.get_extra_info("peercert") if request.transport else None
    return f"{request.remote or ''} {peer_name(certificate)}".strip()
