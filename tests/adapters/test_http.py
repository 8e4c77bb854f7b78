"""HTTP in: what is taken, what is refused, and that every refusal is an OperationOutcome that gives nothing away."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zlib
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from mhbridge import log as logs
from mhbridge.adapters.allowance import Allowance
from mhbridge.adapters.http import Entrance, HttpServer, MessageDoor
from mhbridge.adapters.http_translate import TranslateDoor
from mhbridge.config import Listen, Secret
from mhbridge.errors import MalformedMessage, StoreError, UnsupportedMessage, explanations
from mhbridge.model import Answer, Issue, Severity, Verdict
from mhbridge.ports import Committed

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CANARY = "Zyxwvutsrq"
LIMIT = 100_000


class Door:
    def __init__(self):
        self.envelopes, self.refused, self.says = [], [], committed()

    async def take(self, envelope):
        self.envelopes.append(envelope)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    async def refuse(self, feed, code):
        self.refused.append((feed, code))


def committed(verdict=Verdict.ACCEPTED, *, code="", issues=(), messages=(8,), repeated=False):
    reference = "7" if messages else ""
    answer = Answer(verdict, "Said so.", NOW, code, issues, reference=reference, repeated=repeated)
    return Committed(answer, 7, messages, repeated=repeated)


@asynccontextmanager
async def serving(routes=(), **options):
    """A server, the door behind it, a session, and its log."""
    door, stream = Door(), io.BytesIO()
    entrances = {
        "s/http": Entrance("s", "s/http", LIMIT),
        "s/guarded": Entrance("s", "s/guarded", LIMIT, Secret("env:T", lambda: "secret")),
        "s/slow": Entrance("s", "s/slow", LIMIT, allowance=Allowance(20)),
        "s/slow-guarded": Entrance("s", "s/slow-guarded", LIMIT, Secret("env:T", lambda: "secret"), Allowance(20)),
    }
    messages = MessageDoor(entrance=entrances.get, take=door.take, refuse=door.refuse, clock=lambda: NOW)
    server = HttpServer(
        listen=Listen("127.0.0.1", 0), routes=(*messages.routes, *routes), log=logs.make(stream), **options
    )
    await server.open()
    try:
        async with aiohttp.ClientSession(server.address) as session:
            yield session, door, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        await server.close()


async def told(response):
    """Code, issue type and text of the first issue of an OperationOutcome."""
    assert response.content_type == "application/fhir+json"
    outcome = await response.json(content_type=None)
    assert outcome["resourceType"] == "OperationOutcome"
    for issue in outcome["issue"]:
        assert issue["details"]["coding"][0]["code"] in explanations()
    first = outcome["issue"][0]
    return first["details"]["coding"][0]["code"], first["code"], first["details"]["text"]


PATH = "/feeds/s/http/messages"

ANSWERS = {
    "durable": (committed(), 202, "/messages/8", ("D900", "informational")),
    "a batch": (committed(messages=(8, 9)), 202, "/messages/8", ("D900", "informational")),
    "durable and parked": (committed(code="M710"), 202, "/messages/8", ("M710", "processing")),
    "a repeat": (committed(repeated=True), 200, "/messages/8", ("D900", "informational")),
    "stored, and refused": (committed(Verdict.REFUSED, code="M710"), 422, "/messages/8", ("M710", "processing")),
    "refused at the door": (
        committed(Verdict.REJECTED, code="M701", messages=()), 400, None, ("M701", "processing"),
    ),
    "malformed": (MalformedMessage("M701", "Not HL7 v2."), 400, None, ("M701", "processing")),
    "unsupported": (UnsupportedMessage("M710", "No mapping."), 422, None, ("M710", "processing")),
    "the store fails": (StoreError("D901", "Stopping."), 503, None, ("D901", "transient")),
    "a fault of ours": (ValueError(CANARY), 500, None, ("D931", "exception")),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_became_of_a_message_decides_the_status(name):
    says, status, location, expected = ANSWERS[name]
    async with serving() as (session, door, log):
        door.says = says
        async with session.post(PATH, data=b"MSH|...") as response:
            assert (response.status, response.headers.get("Location")) == (status, location)
            assert (await told(response))[:2] == expected
            assert ("Retry-After" in response.headers) == (status == 503)
        (envelope,) = door.envelopes
        assert (envelope.body, envelope.supplier, envelope.feed, envelope.transport, envelope.peer) == (
            b"MSH|...", "s", "s/http", "http", "127.0.0.1",
        )  # fmt: skip
        assert CANARY not in json.dumps(log())


async def test_every_issue_of_the_answer_is_told_with_its_place():
    issues = (Issue("I602", Severity.WARNING, "not in the table", "PV1-36", "discharge_method", "x.yaml:3:4"),)
    async with serving() as (session, door, _):
        door.says = committed(issues=issues)
        async with session.post(PATH, data=b"MSH|...") as response:
            outcome = await response.json(content_type=None)
    assert [issue["severity"] for issue in outcome["issue"]] == ["information", "warning"]
    assert outcome["issue"][1]["diagnostics"] == "PV1-36; discharge_method; x.yaml:3:4"


async def test_which_targets_there_are_is_told():
    mapping = SimpleNamespace(builds={"r4": None})

    async def allow(_):
        return None

    door = TranslateDoor(mapping=lambda _: mapping, allow=allow, clock=lambda: NOW)
    async with serving(door.routes) as (session, _, _), session.post("/translate/s/f?target=stu3") as response:
        assert response.status == 400
        assert (await told(response))[2] == "Known targets: letter, r4."


PLACES = {
    "/srv/canary/mappings/suppliers/x/y.yaml:56:17": "suppliers/x/y.yaml:56:17",
    "/srv/canary/suppliers/mappings/documents/d/r4.yaml:1:2": "documents/d/r4.yaml:1:2",
    "C:\\canary\\parts\\p\\r4.yaml:1:2": "parts\\p\\r4.yaml:1:2",
    "suppliers/x/y.yaml:56:17": "suppliers/x/y.yaml:56:17",
    "/srv/canary/x.yaml:3:4": "x.yaml:3:4",
    "../canary/x.yaml:3:4": "x.yaml:3:4",
    "/srv/canary/x.yaml": "x.yaml",
    "example/adt": "example/adt",
    "": "",
}


@pytest.mark.parametrize(("rule", "told"), PLACES.items())
async def test_no_folder_of_this_machine_is_told(rule, told):
    issues = (Issue("I602", Severity.WARNING, "not in the table", "PV1-36", "", rule),)
    async with serving() as (session, door, _):
        door.says = committed(issues=issues)
        async with session.post(PATH, data=b"MSH|...") as response:
            text = await response.text()
    assert "canary" not in text
    assert json.loads(text)["issue"][1]["diagnostics"] == "; ".join(filter(None, ("PV1-36", told)))


def zipped(size):
    return gzip.compress(b"x" * size)


REFUSED = {
    "too large": (b"x" * (LIMIT + 1), {}, 413, "D926"),
    "too large, in chunks": ((b"x" * 1000 for _ in range(LIMIT // 1000 + 1)), {}, 413, "D926"),
    "too large when it is unpacked": (zipped(LIMIT * 10), {"Content-Encoding": "gzip"}, 413, "D926"),
    "a bomb within the limit": (zipped(LIMIT), {"Content-Encoding": "gzip"}, 413, "D926"),
    "not gzip though it says so": (b"MSH|...", {"Content-Encoding": "gzip"}, 400, "D920"),
    "half of a gzip": (gzip.compress(b"MSH|...")[:-4], {"Content-Encoding": "gzip"}, 400, "D920"),
    "two members": (gzip.compress(b"MSH") + gzip.compress(b"|"), {"Content-Encoding": "gzip"}, 400, "D920"),
    "another encoding": (zlib.compress(b"MSH|..."), {"Content-Encoding": "deflate"}, 415, "D927"),
    "two encodings": (b"x", {"Content-Encoding": "gzip, gzip"}, 415, "D927"),
    "another content": (b"x", {"Content-Type": "image/png"}, 415, "D927"),
    "a form of a page": (b"x", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "D927"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_not_taken_is_refused_and_counted(name):
    body, headers, status, code = REFUSED[name]
    if not isinstance(body, bytes):
        chunks = list(body)

        async def body():
            for chunk in chunks:
                yield chunk

        body = body()
    async with serving() as (session, door, _):
        async with session.post(PATH, data=body, headers=headers) as response:
            assert response.status == status
            assert (await told(response))[0] == code
        assert (door.envelopes, door.refused) == ([], [("s/http", code)])


@pytest.mark.parametrize("content", ["application/octet-stream", "x-application/hl7-v2+er7", "text/csv; charset=utf-8"])
async def test_gzip_within_its_limits_is_unpacked(content):
    body = b"".join(b"OBX|%d|TX|x||text %d\r" % (n, n * n) for n in range(1000))
    async with serving() as (session, door, _):
        headers = {"Content-Encoding": "gzip", "Content-Type": content}
        async with session.post(PATH, data=gzip.compress(body), headers=headers) as response:
            assert response.status == 202
        assert door.envelopes[0].body == body


WRONG = {
    "no such feed": ("POST", "/feeds/s/other/messages", {}, 404, "D923"),
    "no such supplier": ("POST", "/feeds/other/http/messages", {}, 404, "D923"),
    "no such route": ("GET", f"/{CANARY}", {}, 404, "D923"),
    "no such method": ("DELETE", PATH, {}, 405, "D924"),
    "no token": ("POST", "/feeds/s/guarded/messages", {}, 401, "D921"),
    "another token": ("POST", "/feeds/s/guarded/messages", {"Authorization": "Bearer secretx"}, 401, "D921"),
    "another scheme": ("POST", "/feeds/s/guarded/messages", {"Authorization": "Basic secret"}, 401, "D921"),
    "another site's page": ("POST", PATH, {"Sec-Fetch-Site": "cross-site"}, 403, "D922"),
    "another page of this site": ("POST", PATH, {"Sec-Fetch-Site": "same-site"}, 403, "D922"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_whoever_may_not_is_told_so(name):
    method, path, headers, status, code = WRONG[name]
    async with serving() as (session, door, log):
        async with session.request(method, path, data=b"MSH|...", headers=headers) as response:
            assert response.status == status
            assert (await told(response))[0] == code
            assert ("WWW-Authenticate" in response.headers) == (status == 401)
            assert CANARY not in await response.text()
        assert door.envelopes == []
        assert CANARY not in json.dumps(log())


async def test_whoever_asks_too_often_is_told_when_to_come_again():
    async with serving() as (session, door, _):
        statuses = []
        for path in ["/feeds/s/slow/messages"] * 5 + [PATH]:
            async with session.post(path, data=b"MSH|...") as response:
                statuses.append(response.status)
                if response.status == 429:
                    assert (await told(response))[:2] == ("D977", "throttled")
                    assert 1 <= int(response.headers["Retry-After"]) <= 20
        assert statuses == [202, 202, 202, 429, 429, 202]
        # Nothing of it was received, so nothing is counted.
        assert (len(door.envelopes), door.refused) == (4, [])


async def test_a_stranger_uses_nothing_of_what_a_sender_may_ask():
    async with serving() as (session, _, _):

        async def asked(token):
            headers = {"Authorization": f"Bearer {token}"}
            async with session.post("/feeds/s/slow-guarded/messages", data=b"MSH|...", headers=headers) as response:
                return response.status

        assert [await asked("guessed") for _ in range(9)] == [401] * 9
        assert [await asked("secret") for _ in range(4)] == [202] * 3 + [429]


async def test_the_right_token_is_let_in():
    async with serving() as (session, door, _):
        headers = {"Authorization": "Bearer secret"}
        async with session.post("/feeds/s/guarded/messages", data=b"x", headers=headers) as response:
            assert response.status == 202
        assert len(door.envelopes) == 1


BROKEN_HTTP = {
    "not HTTP": b"MSH|^~\\&|" + CANARY.encode() + b"\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a header without end": b"GET / HTTP/1.1\r\nX: " + CANARY.encode() * 10_000 + b"\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a strange header": b"GET / HTTP/1.1\r\nHost: x\r\n" + CANARY.encode() + b"\x00: a\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN_HTTP)
async def test_what_is_not_http_is_answered_like_everything_else_and_closed(name):
    async with serving() as (session, door, log):
        reader, writer = await asyncio.open_connection(session._base_url.host, session._base_url.port)
        writer.write(BROKEN_HTTP[name])
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
        assert b"aiohttp" not in head
        assert b"Python" not in head
        assert json.loads(body)["issue"][0]["details"]["coding"][0]["code"] == "D920"
        assert CANARY.encode() not in answer
        assert CANARY not in json.dumps(log())
        assert door.envelopes == []


async def test_no_answer_may_be_kept_sniffed_or_tells_what_runs_here():
    async with serving() as (session, _, _log), session.post(PATH, data=b"x") as response:
        assert response.headers["Server"] == "mhbridge"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_whoever_trickles_headers_is_cut_off(monkeypatch):
    monkeypatch.setattr("mhbridge.adapters.http._BODY_TIME", 0.2)
    async with serving() as (session, _, _log):
        reader, writer = await asyncio.open_connection(session._base_url.host, session._base_url.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_whoever_trickles_a_body_is_told_and_cut_off(monkeypatch):
    monkeypatch.setattr("mhbridge.adapters.http._BODY_TIME", 0.2)

    async def trickle():
        for _ in range(50):
            yield b"x"
            await asyncio.sleep(0.05)

    async with serving() as (session, door, _):
        async with session.post(PATH, data=trickle()) as response:
            assert response.status == 408
            assert (await told(response))[0] == "D925"
        assert door.refused == [("s/http", "D925")]


async def test_one_connection_more_than_allowed_is_closed_and_said():
    async with serving(connections=1) as (session, door, log):
        async with session.post(PATH, data=b"x") as response:
            assert response.status == 202
        async with aiohttp.ClientSession() as other:
            with pytest.raises(aiohttp.ClientConnectionError):
                await other.post(session._base_url.join(session._base_url.with_path(PATH)), data=b"x")
        async with session.post(PATH, data=b"x") as response:
            assert response.status == 202
        assert len(door.envelopes) == 2
        assert "D915" in [line["code"] for line in log() if line["event"] == "connection_refused"]


async def test_a_route_of_ours_that_fails_shows_nothing_of_why():
    async def fail(_request):
        raise ValueError(CANARY)

    async def not_found(_request):
        raise web.HTTPNotFound(text="There is no message with this id.")

    routes = (web.get("/fail", fail), web.get("/none/{id}", not_found))
    async with serving(routes) as (session, _, log):
        async with session.get("/fail") as response:
            assert await told(response) == ("D931", "exception", "The gateway failed. It is in its log.")
        async with session.get(f"/none/{CANARY}") as response:
            assert await told(response) == ("D923", "not-found", "There is no message with this id.")
        (failed,) = [line for line in log() if line["event"] == "failed"]
        assert failed["error"] == "ValueError"
        assert CANARY not in json.dumps(log())
        # The log names the route and not the path.
        assert [line["route"] for line in log() if line["event"] == "request"] == ["/fail", "/none/{id}"]


async def test_closing_answers_what_was_asked():
    begun, free = asyncio.Event(), asyncio.Event()

    async def slow(_request):
        begun.set()
        await free.wait()
        return web.Response(text="done")

    server = HttpServer(listen=Listen("127.0.0.1", 0), routes=[web.get("/", slow)], log=logs.make(io.BytesIO()))
    await server.open()
    async with aiohttp.ClientSession() as session:
        asking = asyncio.create_task(session.get(server.address))
        await begun.wait()
        closing = asyncio.create_task(server.close())
        await asyncio.sleep(0.05)
        free.set()
        async with await asking as response:
            assert await response.text() == "done"
        await closing


async def test_with_tls_a_sender_is_known_by_its_certificate(authority):
    async with serving(context=authority.server(clients=True)) as (session, door, _):
        context = authority.client("trust-a")
        async with session.post(PATH, data=b"x", ssl=context, server_hostname="localhost") as response:
            assert response.status == 202
        assert door.envelopes[0].peer == "127.0.0.1 trust-a"
        with pytest.raises(aiohttp.ClientError):
            await session.post(PATH, data=b"x", ssl=authority.client(None), server_hostname="localhost")
        assert len(door.envelopes) == 1
