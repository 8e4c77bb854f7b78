"""
The NHS's own sandbox of MESH for the tests: one for each process of them, from the package that the NHS publishes.

It listens on loopback, keeps everything in memory and asks for the real Authorization header. What the tests say to it
they say by hand, so that they share no fault with what they test. Mailboxes, workflows and the password are those that
come with it.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from functools import cache
from importlib.util import find_spec
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from ending import at_the_end
from mhbridge.testing import OK
from mhbridge.testing.faults import Asked, Kind
from mhbridge.testing.site import Site

__all__ = ["FROM", "KEY", "PASSWORD", "TO", "WORKFLOW", "Between", "Sandbox", "sandbox", "started"]

KEY, PASSWORD = "a-shared-key-of-nobody", "password"
#: Who may send what to whom there.
FROM, TO, ELSEWHERE = "X26ABC1", "X26ABC2", "X26ABC3"
WORKFLOW = "TEST_WORKFLOW"
_LONGEST = 60.0


class Sandbox:
    """
    What others do there, and what the sandbox knows.

    Args:
        context: TLS of whoever asks.
    """

    def __init__(self, url, context=None):
        self.url, self._context = url, context

    def ask(self, method, path, body=None, mailbox=FROM, **headers):
        """(status, headers, body) of one request, with headers as `Mex_To`."""
        at, nonce = datetime.now(UTC).strftime("%Y%m%d%H%M"), str(uuid4())
        digest = hmac.new(KEY.encode(), f"{mailbox}:{nonce}:0:{PASSWORD}:{at}".encode(), hashlib.sha256).hexdigest()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named |= {
            "Authorization": f"NHSMESH {mailbox}:{nonce}:0:{at}:{digest}",
            "Accept": "application/vnd.mesh.v2+json",
        }
        request = urllib.request.Request(f"{self.url}{path}", data=body, method=method, headers=named)
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._context) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def reset(self):
        assert self.ask("DELETE", "/messageexchange/admin/reset")[0] == 200

    def send(self, body, *, sender=FROM, to=TO, workflow=WORKFLOW, chunks=1, packed=False, **headers):
        """The id of a message that somebody sends, in so many pieces; the last may be left out (`chunks=-2`)."""
        size = -(-len(body) // abs(chunks))
        pieces = [body[n : n + size] for n in range(0, len(body), size)]
        if packed:
            pieces, headers = [gzip.compress(piece) for piece in pieces], headers | {"Content_Encoding": "gzip"}
        path = f"/messageexchange/{sender}/outbox"
        named = headers | {"Mex_To": to, "Mex_WorkflowID": workflow, "Mex_Chunk_Range": f"1:{len(pieces)}"}
        status, _, said = self.ask("POST", path, pieces[0], sender, **named)
        assert status == 202, said
        name = json.loads(said)["message_id"]
        for number, piece in enumerate(pieces[1:], 2):
            again = {"Content_Encoding": "gzip"} if packed else {}
            some = {"Mex_Chunk_Range": f"{number}:{len(pieces)}", "Content_Type": "application/octet-stream", **again}
            assert self.ask("POST", f"{path}/{name}/{number}", piece, sender, **some)[0] == 202
        return name

    def report(self, mailbox=FROM, **about):
        """Put a report that something was not delivered into a mailbox; its id."""
        asked = {"mailbox_id": mailbox, "code": "14", "description": "not collected", "workflow_id": WORKFLOW, **about}
        body = json.dumps(asked).encode()
        status, _, said = self.ask("POST", "/messageexchange/admin/report", body, Content_Type="application/json")
        assert status == 200, said
        return json.loads(said)["message_id"]

    def inbox(self, mailbox=TO):
        return json.loads(self.ask("GET", f"/messageexchange/{mailbox}/inbox", mailbox=mailbox)[2])["messages"]

    def read(self, name, mailbox=TO):
        """(headers, body) of a message, its chunks put together."""
        path = f"/messageexchange/{mailbox}/inbox/{name}"
        _, headers, body = self.ask("GET", path, mailbox=mailbox)
        for number in range(2, int(headers["Mex-Chunk-Range"].partition(":")[2]) + 1):
            body += self.ask("GET", f"{path}/{number}", mailbox=mailbox)[2]
        return headers, body

    def acknowledge(self, name, mailbox=TO):
        path = f"/messageexchange/{mailbox}/inbox/{name}/status/acknowledged"
        assert self.ask("PUT", path, mailbox=mailbox)[0] == 200

    def happen(self, name, **event):
        """Something becomes of a message: `status`, `code`, `description`."""
        path = f"/messageexchange/admin/message/{name}/event"
        body = json.dumps(event).encode()
        assert self.ask("POST", path, body, Content_Type="application/json")[0] == 200


def started(*options, context=None):
    """A sandbox of its own, and its process."""
    if find_spec("mesh_sandbox") is None:
        pytest.skip("there is no sandbox of MESH for this Python")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "mesh_sandbox.api:app", "--host", "127.0.0.1", "--port", str(port)]
    environ = os.environ | {"ENV": "local", "STORE_MODE": "memory", "AUTH_MODE": "full", "SHARED_KEY": KEY}
    running = subprocess.Popen(
        [*command, "--log-level", "error", *options], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    at_the_end.callback(_ended, running)
    made = Sandbox(f"{'https' if context else 'http'}://localhost:{port}", context)
    until = time.monotonic() + _LONGEST
    while time.monotonic() < until:
        assert running.poll() is None, "the sandbox has ended"
        try:
            made.ask("GET", "/health")
        except OSError:
            time.sleep(0.05)
        else:
            return made, running
    raise TimeoutError("the sandbox does not answer")


def _ended(running):
    running.kill()
    running.wait()


@cache
def shared():
    return started()[0]


def sandbox():
    """The sandbox of this run, with nothing in it. Where this Python has none, the test is skipped."""
    found = shared()
    found.reset()
    return found


class Between:
    """
    Stands between us and the sandbox, and fails by plan; what is not planned is the sandbox's own answer.

    Args:
        alter: an answer, (status, headers, body), by its path: what comes of it. `None`: it is cut off.
    """

    def __init__(self, url, *, plan=lambda _: OK, alter=lambda _path, answer: answer):
        self.plan, self.alter, self.asked = plan, alter, []
        #: (method, path) of each connection, in the order in which they were made.
        self.connections = {}
        self._to, self._late = url, []
        self._site = Site(0, None, self._receive)

    async def __aenter__(self):
        self._session = aiohttp.ClientSession(auto_decompress=False)
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()
        await self._session.close()

    async def start(self):
        await self._site.start()

    async def stop(self):
        await self._site.stop()

    @property
    def url(self):
        return self._site.url

    async def carry_out_late(self):
        late, self._late = self._late, []
        for request, body in late:
            await self._carried_out(request, body)
        return len(late)

    async def _receive(self, request):
        body = await request.read()
        asked = Asked(len(self.asked) + 1, request.method, request.path.strip("/"), 1)
        self.asked.append((request.method, request.path))
        self.connections.setdefault(request.transport.get_extra_info("peername"), []).append(self.asked[-1])
        fault, answer = self.plan(asked), None
        if fault.kind is Kind.LATE:
            self._late.append((request, body))
        elif fault.kind is Kind.STATUS:
            answer = fault.status, {"Retry-After": str(int(fault.seconds))} if fault.seconds else {}, b""
        elif fault.kind is Kind.NOT_FHIR:
            answer = 200, {"Content-Type": "text/html"}, b"<html>Welcome</html>"
        elif fault.kind is not Kind.DROP_BEFORE:
            # Whoever asked may hang up: what was begun is done all the same.
            answer = await asyncio.shield(asyncio.ensure_future(self._carried_out(request, body)))
            if fault.kind is Kind.LONG:
                answer = 202, {}, b"x" * 6_000_000
            await asyncio.sleep(fault.seconds)
            answer = None if fault.kind is Kind.DROP_AFTER else self.alter(request.path_qs, answer)
        if answer is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        status, headers, body = answer
        return web.Response(status=status, headers=headers, body=body)

    async def _carried_out(self, request, body):
        if request.headers.get("Content-Encoding") == "gzip":
            # aiohttp has unpacked it, unasked.
            body = gzip.compress(body)
        kept = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length", "connection")}
        async with self._session.request(
            request.method, self._to + request.path_qs, data=body or None, headers=kept
        ) as answer:
            found = await answer.read()
        dropped = ("content-length", "date", "server", "connection")
        headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in dropped]
        return answer.status, dict(headers), found
