"""Mailboxes of MESH against the NHS's own sandbox: nothing is lost, nothing is taken twice, and no half for a whole."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from mhbridge import config
from mhbridge import log as logs
from mhbridge.adapters.mesh import Credentials, Mailbox, MeshReceiver, Mine
from mhbridge.adapters.mesh import receiver as receiver_module
from mhbridge.adapters.tls import client_context
from mhbridge.app import build
from mhbridge.app.listening import certificates_of
from mhbridge.config import ClientTls, Secret
from mhbridge.errors import (
    DestinationHeld,
    DestinationSilent,
    DestinationUnavailable,
    MalformedMessage,
    StoreError,
    explanations,
)
from mhbridge.model import Answer, Verdict
from mhbridge.ports import Committed
from mhbridge.testing import OK, refused
from sandbox import FROM, KEY, PASSWORD, TO, WORKFLOW, Between, sandbox, started

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CANARY = "Zebedee-Smithson"


@pytest.fixture
def mesh():
    return sandbox()


def mailbox(url, name=TO, *, password=PASSWORD, key=KEY, **options):
    credentials = Credentials(
        name,
        password=Secret("env:P", lambda: password),
        shared_key=Secret("env:K", lambda: key),
        clock=lambda: datetime.now(UTC),
    )
    return Mailbox(url, credentials, clock=lambda: datetime.now(UTC), **{"timeout": 10.0} | options)


@asynccontextmanager
async def opened(url, name=TO, **options):
    made = mailbox(url, name, **options)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


class Door:
    """The gateway, as a receiver sees it: what it commits, what it keeps of it, what it hears."""

    def __init__(self):
        self.bodies, self.refused, self.reports, self.notes, self.peers = [], [], [], [], []
        self.fail, self.committed, self.verdict = None, True, Verdict.ACCEPTED

    async def take(self, envelope):
        assert envelope.transport == "mesh"
        if self.fail is not None:
            raise self.fail
        self.bodies.append(envelope.body)
        self.peers.append(envelope.peer)
        code = "" if self.committed else "M741"
        return Committed(Answer(self.verdict, "Said.", NOW, code, reference="1"), int(self.committed))

    async def refuse(self, feed, code):
        self.refused.append((feed, code))

    async def reported(self, feed, mailbox, report):
        assert feed == "s/mesh"
        if self.fail is not None:
            raise self.fail
        self.reports.append((mailbox, report.linked, report.local_id, report.status))

    async def left(self, feed, code):
        assert feed == "s/mesh"
        self.notes.append(code)

    async def cleared(self, feed):
        assert feed == "s/mesh"
        self.notes.append("cleared")


@asynccontextmanager
async def receiving(url, name=TO, *, starts=False, **options):
    """A receiver that polls when it is told to, or by itself; the door behind it, and what it logs."""
    door, stream = Door(), io.BytesIO()
    found = mailbox(url, name)
    receiver = MeshReceiver(
        supplier="s", feed="s/mesh", mailbox=found, take=door.take, refuse=door.refuse, notes=door,
        clock=lambda: NOW, log=logs.make(stream), **options,
    )  # fmt: skip
    whole = receiver if starts else found
    await whole.open()
    try:
        yield receiver, door, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        await whole.close()


# --- the header and the calls --------------------------------------------------------------------------------


async def test_the_header_is_that_of_the_specification():
    """The hash, made by the NHS's own client from the same values."""
    mesh_client = pytest.importorskip("mesh_client")
    theirs = mesh_client.AuthTokenGenerator(KEY.encode(), TO, PASSWORD)
    ours = Credentials(
        TO, password=Secret("x", lambda: PASSWORD), shared_key=Secret("x", lambda: KEY), clock=lambda: datetime.now(UTC)
    )
    ours._nonce = theirs._nonce
    for _ in range(3):
        made, expected = (await ours())["Authorization"], theirs.generate_token()
        # The minute may have turned between the two.
        if made.split(":")[3] == expected.split(":")[3]:
            assert made == expected
    assert PASSWORD not in repr(ours)
    assert (await ours())["Authorization"] != (await ours())["Authorization"]


async def test_a_mailbox_is_greeted_once_a_day_and_with_the_right_secrets_only(mesh):
    async with Between(mesh.url) as between, opened(between.url) as found:
        await found.greet()
        await found.greet()
        assert between.asked == [("POST", f"/messageexchange/{TO}")]
    for wrong in ({"password": "wrong"}, {"key": "wrong"}):
        async with opened(mesh.url, **wrong) as found:
            with pytest.raises(DestinationHeld):
                await found.greet()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("chunks", [1, 3])
async def test_a_message_comes_as_it_was_sent(mesh, chunks, packed):
    body = b"MSH|^~\\&|" + b"0123456789" * 1000
    name = mesh.send(body, chunks=chunks, packed=packed, Mex_LocalID="L1")
    async with opened(mesh.url) as found:
        assert await found.inbox() == ([name], "")
        head, came = await found.retrieve(name, 100_000)
        assert came == body
        assert (head.sender, head.workflow, head.chunks, head.local_id) == (FROM, WORKFLOW, chunks, "L1")
        assert (await found.head(name)).workflow == head.workflow
        await found.acknowledge(name)
        await found.acknowledge(name)
        assert await found.inbox() == ([], "")


async def test_what_its_sender_packed_is_unpacked(mesh):
    name = mesh.send(gzip.compress(b"MSH|"), Mex_Content_Compressed="Y")
    async with opened(mesh.url) as found:
        assert (await found.retrieve(name, 1000))[1] == b"MSH|"


async def test_mutual_tls(authority):
    ours, theirs = authority.pem("us"), authority.pem("server")
    options = ("--ssl-certfile", theirs, "--ssl-keyfile", authority.key("server"), "--ssl-ca-certs", authority.path)
    found, running = started(*map(str, options), "--ssl-cert-reqs", "2", context=authority.client("us"))
    try:
        tls = {"certificate": f"file:{ours}", "key": f"file:{authority.key('us')}"}
        context = client_context(ClientTls(authorities=f"file:{authority.path}", **tls))
        name = found.send(b"MSH|")
        async with opened(found.url, context=context) as known:
            await known.greet()
            assert await known.inbox() == ([name], "")
        stranger = client_context(ClientTls(authorities=f"file:{authority.path}"))
        async with opened(found.url, context=stranger) as unknown:
            # TLS 1.3 says so only when something is read.
            with pytest.raises((DestinationUnavailable, DestinationSilent)):
                await unknown.greet()
    finally:
        running.terminate()
        running.wait()


def test_a_mailbox_beyond_this_machine_is_built_and_its_certificates_are_watched(tmp_path, authority):
    text = f"""
[gateway]
store = "sqlite:store.db"
mode = "test"

[[receiver]]
supplier = "example-mental-health"
kind = "mesh"
url = "https://mesh.example.org"
mailbox = "{TO}"
password = "env:SECRET"
shared_key = "env:SECRET"
[receiver.tls]
certificate = "file:{authority.pem("us")}"
key = "file:{authority.key("us")}"
authorities = "file:{authority.path}"
"""
    found = config.parse(text, base=tmp_path, environ={"SECRET": "x"})
    assert build(found, log=logs.make(io.BytesIO())).receivers["example-mental-health/mesh"].address == TO
    whose = "receiver example-mental-health/mesh"
    assert set(certificates_of(found)) == {whose, f"{whose} authorities"}


# --- the receiver --------------------------------------------------------------------------------------------


async def test_a_message_is_taken_and_then_acknowledged(mesh):
    mesh.send(b"one")
    mesh.send(b"two", chunks=2)
    async with receiving(mesh.url) as (receiver, door, _):
        await receiver.poll()
        assert sorted(door.bodies) == [b"one", b"two"]
        assert door.peers == [FROM, FROM]
        assert mesh.inbox() == []
        assert door.notes == ["cleared"]
        assert receiver.connected == 1


async def test_it_polls_by_itself_and_not_while_there_is_no_room(mesh):
    mesh.send(b"one")
    shut = "D907"
    async with receiving(mesh.url, starts=True, every=0.01, shut=lambda: shut) as (_, door, _):
        await asyncio.sleep(0.1)
        assert door.bodies == []
        shut = ""
        async with asyncio.timeout(10):
            while mesh.inbox():  # noqa: ASYNC110  what is waited for is in another process
                await asyncio.sleep(0.01)
    assert door.bodies == [b"one"]


async def test_of_several_gateways_one_polls(mesh):
    mesh.send(b"one")
    async with receiving(mesh.url, starts=True, every=0.01, polls=lambda: False) as (_, door, _):
        await asyncio.sleep(0.05)
    assert (door.bodies, len(mesh.inbox())) == ([], 1)


async def test_what_is_not_committed_is_not_acknowledged(mesh):
    name = mesh.send(b"one")
    async with receiving(mesh.url) as (receiver, door, _):
        door.fail = StoreError("S201", "no")
        with pytest.raises(StoreError):
            await receiver.poll()
        assert mesh.inbox() == [name]
        door.fail = None
        await receiver.poll()
        assert (door.bodies, mesh.inbox()) == ([b"one"], [])


async def test_acknowledged_before_the_commit_it_would_be_lost(mesh, monkeypatch):
    """The control: a receiver that acknowledges first, and a store that fails then."""
    mesh.send(b"one")
    retrieve = Mailbox.retrieve

    async def hasty(self, name, limit):
        found = await retrieve(self, name, limit)
        await self.acknowledge(name)
        return found

    monkeypatch.setattr(Mailbox, "retrieve", hasty)
    async with receiving(mesh.url) as (receiver, door, _):
        door.fail = StoreError("S201", "no")
        with pytest.raises(StoreError):
            await receiver.poll()
        door.fail = None
        await receiver.poll()
        assert (door.bodies, mesh.inbox()) == ([], [])


async def test_what_the_gateway_refuses_stays_where_it_is_and_is_somebodys_task(mesh):
    name = mesh.send(b"one")
    async with receiving(mesh.url) as (receiver, door, _):
        door.committed, door.verdict = False, Verdict.REJECTED
        await receiver.poll()
        await receiver.poll()
        # Looked at once an hour, said once.
        assert (door.bodies, mesh.inbox(), door.notes) == ([b"one"], [name], ["D984"])
        mesh.acknowledge(name)
        await receiver.poll()
        assert door.notes == ["D984", "cleared"]


async def test_what_was_taken_and_is_told_to_be_refused_is_acknowledged(mesh):
    mesh.send(b"one")
    async with receiving(mesh.url) as (receiver, door, _):
        door.verdict = Verdict.REFUSED
        await receiver.poll()
        assert mesh.inbox() == []


async def test_a_report_is_no_document(mesh):
    mesh.report(FROM, linked_message_id="ABC1", local_id="7-x")
    async with receiving(mesh.url, FROM) as (receiver, door, _):
        door.fail = StoreError("S201", "no")
        with pytest.raises(StoreError):
            await receiver.poll()
        assert len(mesh.inbox(FROM)) == 1
        door.fail = None
        await receiver.poll()
        assert (door.bodies, door.reports) == ([], [(FROM, "ABC1", "7-x", "14")])
        assert mesh.inbox(FROM) == []


async def test_only_what_is_ours_is_taken_and_what_is_nobodys_is_said(mesh):
    ours, theirs = mesh.send(b"ours"), mesh.send(b"theirs", workflow="TEST_WORKFLOW2")
    async with receiving(mesh.url, mine=Mine({WORKFLOW}), others=[Mine({"TEST_WORKFLOW2"})]) as (receiver, door, _):
        await receiver.poll()
        assert (door.bodies, mesh.inbox(), door.notes) == ([b"ours"], [theirs], ["cleared"])
    mesh.send(b"ours")
    async with receiving(mesh.url, mine=Mine((), {"X26ABC3"})) as (receiver, door, _):
        await receiver.poll()
        assert (door.bodies, len(mesh.inbox()), door.notes) == ([], 2, ["D984"])
    assert ours


async def test_a_mailbox_that_has_more_than_it_shows_is_asked_on(mesh):
    for n in range(25):
        mesh.send(b"%d" % n)

    def small(path, answer):
        status, headers, body = answer
        if path.endswith("/inbox"):
            body = between_pages(mesh, "")
        elif "continue_from" in path:
            body = between_pages(mesh, path.partition("continue_from=")[2])
        return status, headers, body

    async with Between(mesh.url, alter=small) as between, receiving(between.url) as (receiver, door, _):
        await receiver.poll()
        assert len(door.bodies) == 25
        assert mesh.inbox() == []


def between_pages(mesh, after):
    """The sandbox's own pages, ten at a time, which nobody may ask of it for less than ten."""
    more = f"&continue_from={after}" if after else ""
    return mesh.ask("GET", f"/messageexchange/{TO}/inbox?max_results=10{more}", mailbox=TO)[2]


# --- what goes wrong -----------------------------------------------------------------------------------------


def headers_changed(**changes):
    def alter(path, answer):
        status, headers, body = answer
        if "/inbox/" in path and "acknowledged" not in path:
            lower = {name.lower(): value for name, value in headers.items()}
            lower |= {name.replace("_", "-"): value for name, value in changes.items()}
            headers = {name: value for name, value in lower.items() if value is not None}
        return status, headers, body

    return alter


def body_changed(change):
    def alter(path, answer):
        status, headers, body = answer
        if "/inbox/" in path and "status" not in path:
            headers, body = {"Mex-Content-Compressed": "N"} | headers, change(body)
        return status, headers, body

    return alter


def missing(end):
    def alter(path, answer):
        return (404, {}, b"") if path.endswith(end) else answer

    return alter


def bomb(_):
    return gzip.compress(b"0" * 5_000_000)


#: What is done to the answers, and the code with which the message is left where it is.
BROKEN = {
    "a chunk lacks": (missing("/2"), "D980"),
    "another message's": (headers_changed(mex_messageid="SOMEBODYELSES"), "D980"),
    "a type that nobody knows": (headers_changed(mex_messagetype="SURPRISE"), "D980"),
    "no numbers for chunks": (headers_changed(mex_chunk_range="one:two"), "D980"),
    "chunks that begin in the middle": (headers_changed(mex_chunk_range="2:3"), "D980"),
    "more chunks than there can be": (headers_changed(mex_chunk_range="1:999999"), "D980"),
    "chunks that change in number": (headers_changed(mex_chunk_range="1:2"), "D980"),
    "no chunks at all": (headers_changed(mex_chunk_range="1:0"), "D980"),
    "packed and cut": (lambda p, a: packed(p, a, lambda body: body[:-5]), "D980"),
    "packed, and something behind it": (lambda p, a: packed(p, a, lambda body: body + b"x"), "D980"),
    "not packed at all": (body_changed(lambda _: b"MSH|"), "D980"),
    "packed a thousandfold": (lambda p, a: packed(p, a, bomb), "D917"),
    "longer than is taken": (body_changed(lambda _: b"x" * 200_000), "D917"),
    "empty": (body_changed(lambda _: b""), "D980"),
}


def packed(path, answer, change):
    status, headers, body = answer
    if "/inbox/" in path and "status" not in path:
        body, headers = change(gzip.compress(body)), headers | {"Content-Encoding": "gzip"}
    return status, headers, body


@pytest.mark.parametrize("name", BROKEN)
async def test_one_broken_message_is_left_and_does_not_stop_the_rest(mesh, name):
    alter, code = BROKEN[name]
    broken = mesh.send(f"MSH|{CANARY}|broken".encode(), chunks=2, Mex_LocalID=CANARY)
    for n in range(3):
        mesh.send(b"whole %d" % n)

    def only_that(path, answer):
        return alter(path, answer) if broken in path else answer

    async with Between(mesh.url, alter=only_that) as between:
        async with receiving(between.url, limit=100_000) as (receiver, door, events):
            await receiver.poll()
            assert sorted(door.bodies) == [b"whole 0", b"whole 1", b"whole 2"]
            assert door.refused == [("s/mesh", code)]
            assert (mesh.inbox(), door.notes) == ([broken], ["D984"])
            assert receiver.connected == 1
        assert CANARY not in json.dumps(events())
    assert code in explanations()
    # The control: unbroken it is taken.
    async with receiving(mesh.url) as (receiver, door, _):
        await receiver.poll()
        assert (len(door.bodies), mesh.inbox()) == (1, [])


INBOXES = {
    "no object": b"[]",
    "no list": b'{"messages": {}}',
    "no JSON": b"<html>Welcome</html>",
    "a next page at no address": b'{"messages": [], "links": {"next": "//[x?continue_from=1"}}',
}


@pytest.mark.parametrize("name", INBOXES)
async def test_an_inbox_that_is_none_is_a_mailbox_that_is_down(mesh, name):
    def alter(path, answer):
        return (200, {}, INBOXES[name]) if path.endswith("/inbox") else answer

    async with Between(mesh.url, alter=alter) as between, receiving(between.url) as (receiver, _, events):
        await receiver.poll()
        await receiver.poll()
        said = [(e["event"], e["code"], e["error"]) for e in events()]
        # What lasts is said once, and its end.
        assert said == [("mailbox_down", "D981", "D943")]
        assert receiver.connected == 0
        between.alter = lambda _path, answer: answer
        await receiver.poll()
        assert events()[-1]["event"] == "mailbox_back"


async def test_an_id_is_never_a_path_and_no_page_leads_elsewhere(mesh):
    strange = ["../../admin/reset", "a/b", "", 7, None, "x" * 101, "a?b", "ä"]

    def alter(path, answer):
        if "/inbox" in path and "status" not in path:
            links = {"next": "https://elsewhere.example.org/inbox?continue_from=x"}
            return 200, {}, json.dumps({"messages": strange, "links": links}).encode()
        return answer

    async with Between(mesh.url, alter=alter) as between, receiving(between.url) as (receiver, door, _):
        await receiver.poll()
        assert between.asked[1:] == [("GET", f"/messageexchange/{TO}/inbox")]
        assert door.bodies == []


async def test_a_mailbox_that_always_has_one_more_page_is_not_asked_for_ever(mesh, monkeypatch):
    monkeypatch.setattr(receiver_module, "_PAGES", 20)
    number = iter(range(10_000))

    def alter(path, answer):
        if "/status/" in path or "/inbox" not in path:
            return answer
        if "/inbox/" in path:
            return 404, {}, b""
        links = {"next": f"/messageexchange/{TO}/inbox?continue_from={next(number)}"}
        return 200, {}, json.dumps({"messages": [f"M{next(number)}"], "links": links}).encode()

    async with Between(mesh.url, alter=alter) as between, receiving(between.url) as (receiver, _, _):
        await receiver.poll()
        assert len(between.asked) < 50


async def test_a_mailbox_that_fails_is_asked_no_more_in_this_round(mesh):
    for n in range(9):
        mesh.send(b"%d" % n)

    def plan(asked):
        return refused(500) if "/inbox/" in asked.path else OK

    async with Between(mesh.url, plan=plan) as between, receiving(between.url) as (receiver, door, events):
        await receiver.poll()
        assert (door.bodies, len(mesh.inbox())) == ([], 9)
        assert len([path for _, path in between.asked if "/inbox/" in path]) <= 3
        assert events()[-1]["event"] == "mailbox_down"


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
async def test_messages_that_mesh_itself_will_not_give_keep_no_other_waiting(mesh, status):
    broken = [mesh.send(b"broken %d" % n) for n in range(4)]

    def plan(asked):
        return refused(status) if any(name in asked.path for name in broken) else OK

    async with Between(mesh.url, plan=plan) as between, receiving(between.url) as (receiver, door, _):
        await receiver.poll()
        for n in range(3):
            mesh.send(b"whole %d" % n)
        await receiver.poll()
        await receiver.poll()
        assert sorted(door.bodies) == [b"whole 0", b"whole 1", b"whole 2"]
        assert (sorted(mesh.inbox()), door.notes) == (sorted(broken), ["cleared", "D984"])


async def test_a_fault_of_ours_in_one_message_stops_no_other(mesh, monkeypatch):
    broken, retrieve = mesh.send(b"broken"), Mailbox.retrieve
    mesh.send(b"whole")

    async def faulty(self, name, limit):
        if name == broken:
            raise ZeroDivisionError(CANARY)
        return await retrieve(self, name, limit)

    monkeypatch.setattr(Mailbox, "retrieve", faulty)
    async with receiving(mesh.url) as (receiver, door, events):
        await receiver.poll()
        assert (door.bodies, mesh.inbox(), door.notes) == ([b"whole"], [broken], ["D984"])
        assert [event["event"] for event in events()] == ["failed"]
        assert CANARY not in json.dumps(events())


async def test_an_acknowledgement_that_is_lost_is_made_good(mesh):
    mesh.send(b"one")
    lost = []

    def plan(asked):
        if "acknowledged" in asked.path and not lost:
            lost.append(asked)
            return refused(503)
        return OK

    async with Between(mesh.url, plan=plan) as between, receiving(between.url) as (receiver, door, _):
        await receiver.poll()
        assert len(mesh.inbox()) == 1
        await receiver.poll()
        # Twice the same bytes: the gateway takes the second for what it is.
        assert (door.bodies, mesh.inbox()) == ([b"one", b"one"], [])
        # What does not last is nobody's task.
        assert door.notes == ["cleared"]


async def test_no_secret_and_nothing_of_a_patient_is_logged(mesh):
    mesh.send(CANARY.encode(), Mex_LocalID=CANARY, Mex_Subject=CANARY, Mex_FileName=f"{CANARY}.json")
    mesh.report(TO, linked_message_id="ABC1", local_id=CANARY, subject=CANARY)
    async with receiving(mesh.url) as (receiver, door, events):
        await receiver.poll()
        assert len(door.bodies) == len(door.reports) == 1
        assert not {CANARY, PASSWORD, KEY} & set(json.dumps(events()).replace('"', " ").split())
    with pytest.raises(MalformedMessage) as raised:
        async with opened(mesh.url) as found:
            await found.retrieve(mesh.send(CANARY.encode() * 10), 20)
    assert CANARY not in str(raised.value)
