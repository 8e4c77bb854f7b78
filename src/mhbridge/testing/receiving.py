"""
A small FHIR server on this machine that takes what is delivered, for tests and demonstrations.

It answers over real sockets as a real server does, and fails on request: a plan decides for each request whether it is
answered, refused, answered late, or not at all, before or after its effect. What it took is held in memory (`holdings`)
and gone when it stops. It must never be used for patients' data: it keeps everything readable and protects nothing.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl

from aiohttp import web

from mhbridge.errors import MalformedMessage
from mhbridge.fhir.bundle import dumps, loads
from mhbridge.fhir.validate import operation_outcome, validate
from mhbridge.model import Severity
from mhbridge.testing.faults import OK, Answered, Asked, Fault, Kind, Plan
from mhbridge.testing.holdings import Holdings, Refused, Version, Written
from mhbridge.testing.site import Site

if TYPE_CHECKING:
    import ssl

__all__ = ["ReceivingServer"]

_MEDIA_TYPE: Final = "application/fhir+json"
_JSON: Final = frozenset((_MEDIA_TYPE, "application/json", "text/json"))
#: More requests than this are not remembered one by one; the counts go on.
_REMEMBERED: Final = 10_000
#: More than anybody reads of an answer.
_LONG: Final = 6_000_000


class ReceivingServer:
    """
    A FHIR R4 server, from entering the context to leaving it::

        async with ReceivingServer() as server:
            ...  # deliver to server.url
            assert server.holdings.effects["https://example.org/id", "1"] == 1

    Args:
        port: where to listen on 127.0.0.1; 0 takes a free one.
        base: path of the base address, such as `/R4`.
        plan: what happens to each request; left out, all are answered.
        validates: refuse (422) what `mhbridge.fhir.validate` finds errors in.
        updates: take `PUT` by id, which not every server does.
        versions: say which version something is, and take `ifMatch`, which not every server does.
        conditional: create on the condition that it is not there yet, which not every server does.
        recognises: take a message (`$process-message`) that was here before for what it is.
        token: the bearer token that is asked for; empty asks for none.
        context: TLS.
        clock: the present instant, aware and in UTC.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        base: str = "",
        plan: Plan | None = None,
        validates: bool = False,
        updates: bool = True,
        versions: bool = True,
        conditional: bool = True,
        recognises: bool = True,
        token: str = "",
        context: ssl.SSLContext | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.holdings = Holdings(clock)
        #: The latest requests, in the order in which they were finished with.
        self.requests: deque[Answered] = deque(maxlen=_REMEMBERED)
        #: What each request may do; may be changed while the server runs.
        self.plan: Plan = plan or (lambda _: OK)
        self._base = "/" + base.strip("/") if base.strip("/") else ""
        self._validates = validates
        self._updates = updates
        #: Conditions of an entry, and whether they are known here.
        self._conditions = {"ifMatch": versions, "ifNoneExist": conditional}
        self._recognises = recognises
        #: Messages (`$process-message`) by the id of their header, and how often each was acted on.
        self.messages: Counter[str] = Counter()
        self._token = token
        self._clock = clock
        self._asked = 0
        self._repeats: Counter[bytes] = Counter()
        self._late: list[tuple[web.Request, bytes]] = []
        self._news = asyncio.Condition()
        self._site = Site(port, context, self._receive)

    # -- running ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. Returns when it accepts; one that is started again is the same server."""
        await self._site.start()

    async def stop(self) -> None:
        """Stop listening and cut off whoever is connected. What is held stays to be looked at."""
        await self._site.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def carry_out_late(self) -> int:
        """
        Carry out the requests that were cut off as late, in the order in which they came. Returns how many.

        A server that is slow does so long after whoever asked has given up, and after what was asked since.
        """
        late, self._late = self._late, []
        for request, body in late:
            self._carried_out(request, body)
        return len(late)

    @property
    def url(self) -> str:
        """The base address, without a slash at the end."""
        return f"{self._site.url}{self._base}"

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """
        Wait until a condition holds; it is asked after each request.

        Raises:
            TimeoutError: it does not hold in time.
        """
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(condition)

    # -- one request --------------------------------------------------------------------------------------

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path.rstrip("/") == f"{self._base}/metadata":
            return self._metadata()
        body = await request.read()
        asked = self._question(request, body)
        fault = self.plan(asked)
        response = None
        try:
            response = await self._fated(request, body, fault)
        finally:
            self.requests.append(Answered(asked, fault, response.status if response is not None else 0))
            async with self._news:
                self._news.notify_all()
        if response is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return response

    def _question(self, request: web.Request, body: bytes) -> Asked:
        self._asked += 1
        same = blake2b(f"{request.method} {request.path_qs}\n".encode() + body, digest_size=16).digest()
        self._repeats[same] += 1
        path = request.path.removeprefix(self._base).strip("/")
        return Asked(self._asked, request.method, path, self._repeats[same])

    async def _fated(self, request: web.Request, body: bytes, fault: Fault) -> web.Response | None:
        """The answer that the plan allows; `None` where the connection is to be cut."""
        match fault.kind:
            case Kind.DROP_BEFORE:
                return None
            case Kind.LATE:
                self._late.append((request, body))
                return None
            case Kind.STATUS:
                code = {401: "login", 403: "forbidden", 422: "processing"}.get(fault.status, "transient")
                response = self._outcome(fault.status, code, "the plan of this server says so")
                if fault.seconds:
                    response.headers["Retry-After"] = str(ceil(fault.seconds))
                if fault.status // 100 == 3:
                    response.headers["Location"] = f"{self.url}/elsewhere"
                return response
            case Kind.NOT_FHIR:
                return web.Response(text="<html><body>Welcome</body></html>", content_type="text/html")
        response = self._carried_out(request, body)
        if fault.kind is Kind.TWICE:
            response = self._carried_out(request, body)
        if fault.kind is Kind.LONG:
            return web.Response(body=b'"' + b"x" * _LONG + b'"', content_type=_MEDIA_TYPE)
        if fault.kind is Kind.SLOW:
            await asyncio.sleep(fault.seconds)
        return None if fault.kind is Kind.DROP_AFTER else response

    def _carried_out(self, request: web.Request, body: bytes) -> web.Response:
        try:
            self._admit(request)
            return self._routed(request, body)
        except Refused as refused:
            return self._outcome(refused.status, refused.code, refused.text)
        except MalformedMessage as error:
            return self._outcome(400, "structure", error.message)

    def _admit(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode()
        if self._token and not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            raise Refused(401, "login", "a token is wanted")

    def _routed(self, request: web.Request, body: bytes) -> web.Response:
        path = request.path
        if path != self._base and not path.startswith(self._base + "/"):
            raise Refused(404, "not-found", "not an address of this server")
        steps = path[len(self._base) :].strip("/").split("/")
        match request.method, steps:
            case "POST", [""]:
                return self._transaction(self._resource(request, body))
            case "POST", ["$process-message"]:
                return self._message(request, self._resource(request, body))
            case (("GET" | "HEAD"), [type_]) if type_:
                return self._found(type_, list(request.query.items()))
            case "POST", [type_, "_search"]:
                form = self._form(request, body)
                return self._found(type_, [*request.query.items(), *form])
            case (("GET" | "HEAD"), [type_, id_]):
                return self._version(self.holdings.read(type_, id_))
            case (("GET" | "HEAD"), [type_, id_, "_history", number]):
                return self._version(self.holdings.read(type_, id_, number))
            case (("PUT" | "POST"), [type_] | [type_, _]):
                if request.method == "PUT" and len(steps) == 2 and not self._updates:
                    raise Refused(405, "not-supported", "this server takes no update by id")
                resource = self._resource(request, body)
                if refusal := self._refusal(resource):
                    return refusal
                return self._written(request, self.holdings.write(self._request(request, steps), resource))
            case "DELETE", [_] | [_, _]:
                return self._written(request, self.holdings.write(self._request(request, steps), None))
        raise Refused(405, "not-supported", "not a way to ask this server")

    @staticmethod
    def _request(request: web.Request, steps: list[str]) -> dict[str, str]:
        """The request as it would stand in a transaction."""
        address = "/".join(steps) + (f"?{request.rel_url.raw_query_string}" if request.query_string else "")
        found = {"method": request.method, "url": address}
        for header, key in (("If-Match", "ifMatch"), ("If-None-Exist", "ifNoneExist")):
            if header in request.headers:
                found[key] = request.headers[header]
        return found

    @staticmethod
    def _resource(request: web.Request, body: bytes) -> dict[str, Any]:
        if request.content_type not in _JSON:
            raise Refused(415, "not-supported", "only JSON is taken here")
        resource = loads(body)
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise Refused(400, "structure", "not a resource")
        return resource

    @staticmethod
    def _form(request: web.Request, body: bytes) -> list[tuple[str, str]]:
        if request.content_type != "application/x-www-form-urlencoded":
            raise Refused(415, "not-supported", "a search by POST is a form")
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)

    # -- what is done -------------------------------------------------------------------------------------

    def _refusal(self, resource: Mapping[str, Any]) -> web.Response | None:
        if not self._validates:
            return None
        issues = validate(resource)
        if not any(issue.severity is Severity.ERROR for issue in issues):
            return None
        return self._answer(422, operation_outcome(issues))

    def _transaction(self, bundle: dict[str, Any]) -> web.Response:
        if bundle["resourceType"] != "Bundle" or bundle.get("type") not in ("transaction", "batch"):
            raise Refused(400, "invalid", "the base address takes a Bundle of type transaction or batch")
        if refusal := self._refusal(bundle):
            return refusal
        done = self.holdings.batch if bundle["type"] == "batch" else self.holdings.transaction
        unknown = {name for name, known in self._conditions.items() if not known}
        answer = done({**bundle, "entry": [_without(unknown, entry) for entry in bundle.get("entry", [])]})
        if "ifMatch" in unknown:
            for entry in answer["entry"]:
                entry["response"].pop("etag", None)
        # Without the resources it is as little as can be said: what became of each entry, and in which version.
        return self._answer(200, answer)

    def _message(self, request: web.Request, bundle: dict[str, Any]) -> web.Response:
        if bundle["resourceType"] != "Bundle" or bundle.get("type") != "message":
            raise Refused(400, "invalid", "a message is a Bundle of type message")
        if refusal := self._refusal(bundle):
            return refusal
        taken = _said("information", "informational", "the message was taken")
        header = _header(bundle)
        if self._recognises and self.messages[header]:
            return self._preferred(request, 200, taken)
        self.messages[header] += 1
        written = self.holdings.write({"method": "POST", "url": "Bundle"}, bundle)
        return self._preferred(request, 200, taken, written)

    def _found(self, type_: str, parameters: list[tuple[str, str]]) -> web.Response:
        found = self.holdings.search(type_, parameters)
        entries = [
            {"fullUrl": f"{self.url}/{type_}/{r['id']}", "resource": r, "search": {"mode": "match"}} for r in found
        ]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        return self._answer(200, bundle | ({"entry": entries} if entries else {}))

    def _version(self, version: Version) -> web.Response:
        return self._answer(200, version.resource, _about(version))

    def _written(self, request: web.Request, written: Written) -> web.Response:
        if written.version.resource is None:
            return web.Response(status=204)
        return self._preferred(request, written.status, written.version.resource, written)

    # -- answers ------------------------------------------------------------------------------------------

    def _preferred(
        self, request: web.Request, status: int, resource: Mapping[str, Any], written: Written | None = None
    ) -> web.Response:
        headers = {}
        if written is not None:
            headers = _about(written.version) | {"Location": f"{self.url}/{written.location}"}
        if "return=minimal" in request.headers.get("Prefer", ""):
            return web.Response(status=status, headers=headers)
        return self._answer(status, resource, headers)

    def _outcome(self, status: int, code: str, text: str) -> web.Response:
        return self._answer(status, _said("error", code, text))

    @staticmethod
    def _answer(status: int, resource: Any, headers: Mapping[str, str] | None = None) -> web.Response:
        response = web.Response(status=status, body=dumps(resource), headers=headers)
        response.headers["Content-Type"] = f"{_MEDIA_TYPE}; charset=utf-8"
        return response

    def _metadata(self) -> web.Response:
        interactions = ["read", "vread", "create", "delete", "search-type"] + ["update"] * self._updates
        return self._answer(
            200,
            {
                "resourceType": "CapabilityStatement",
                "status": "active",
                "date": self._clock().date().isoformat(),
                "kind": "instance",
                "implementation": {"description": "A receiving FHIR server for tests", "url": self.url},
                "fhirVersion": "4.0.1",
                "format": ["json"],
                "rest": [
                    {
                        "mode": "server",
                        "interaction": [{"code": "transaction"}, {"code": "batch"}],
                        "operation": [
                            {
                                "name": "process-message",
                                "definition": "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message",
                            }
                        ],
                        "resource": [
                            {
                                "type": type_,
                                "interaction": [{"code": code} for code in interactions],
                                "versioning": "versioned" if self._conditions["ifMatch"] else "no-version",
                                "readHistory": True,
                                "updateCreate": self._updates,
                                "conditionalCreate": self._conditions["ifNoneExist"],
                                "conditionalUpdate": True,
                                "searchParam": [{"name": "identifier", "type": "token"}],
                            }
                            for type_ in ("Bundle", "Encounter", "Patient")
                        ],
                    }
                ],
            },
        )


def _without(conditions: Collection[str], entry: Any) -> Any:
    """An entry without some of the conditions of its request, as by a server that does not know them."""
    request = entry.get("request") if isinstance(entry, dict) else None
    if not conditions or not isinstance(request, dict):
        return entry
    return {**entry, "request": {name: value for name, value in request.items() if name not in conditions}}


def _header(bundle: Mapping[str, Any]) -> str:
    """The id of a message's header; that of the Bundle where it has none."""
    first = next(iter(bundle.get("entry") or ()), None)
    resource = first.get("resource") if isinstance(first, dict) else None
    return str((resource or bundle).get("id", ""))


def _about(version: Version) -> dict[str, str]:
    return {"ETag": f'W/"{version.number}"', "Last-Modified": format_datetime(version.at, usegmt=True)}


def _said(severity: str, code: str, text: str) -> dict[str, Any]:
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
