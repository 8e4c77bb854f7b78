"""Delivery by MESH under the contract of all senders, with the NHS's own sandbox: never posted twice."""

# ruff: noqa: ARG002 - what a sender has no use for, others have

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from sender_contract import FAULTS, HTTP_FAULTS, START, TIMEOUT, Life, OverNetwork, fated

from mhbridge import log as logs
from mhbridge.adapters.mesh import Credentials, Mailbox, MeshSender, sender
from mhbridge.config import Secret
from mhbridge.errors import (
    DeliveryError,
    DestinationHeld,
    DestinationRejected,
    DestinationSilent,
    DestinationUnavailable,
)
from mhbridge.gateway.mailboxes import Mailboxes
from mhbridge.gateway.tracking import Tracked
from mhbridge.model import DeliveryState, Document
from mhbridge.ports import DueDelivery, Report
from mhbridge.testing import DROP_AFTER, DROP_BEFORE, LATE, OK, refused, unavailable
from sandbox import FROM, KEY, PASSWORD, TO, WORKFLOW, Between, sandbox

UUID = "0b6f8b9f-974b-4a50-973b-8d0fda50973b"
CANARY = "Zebedee-Smithson"


def made(url, clock=lambda: datetime.now(UTC), *, timeout=10.0, password=lambda: PASSWORD, **options):
    credentials = Credentials(
        FROM, password=Secret("env:P", password), shared_key=Secret("env:K", lambda: KEY), clock=clock
    )
    found = Mailbox(url, credentials, clock=clock, timeout=timeout)
    to = {} if "organisation" in options else {"recipient": TO}
    return MeshSender(name="d", mailbox=found, workflow=WORKFLOW, clock=clock, **to | options)


class Place(Between):
    """The way to the sandbox, and what is in the recipient's mailbox there."""

    def taken(self):
        return [int(self.sandbox.read(name)[1]) for name in self.sandbox.inbox()]


class Posted(OverNetwork):
    """Whatever was done and not answered is found by the id that we gave it; of all else a person is asked."""

    unknown = "D948"
    faults = (
        FAULTS
        | HTTP_FAULTS
        | {
            "the reply is lost, and it was done": ([DROP_AFTER], "done"),
            "replies are lost again and again": ([DROP_AFTER, DROP_AFTER], "done"),
            "done in time and answered too late": (FAULTS["done in time and answered too late"][0], "done"),
            "an answer longer than anybody reads": (FAULTS["an answer longer than anybody reads"][0], "done"),
            "409": ([refused(409)], "D946"),
            "409 for ever": ([refused(409)] * 3, "D946"),
            "412 twice": ([refused(412)] * 2, "D946"),
        }
    )
    options = {}  # noqa: RUF012

    @asynccontextmanager
    async def place(self, path):
        found = sandbox()
        async with Place(found.url) as place:
            place.sandbox = found
            yield place

    def sender(self, place, clock, files):
        return made(place.url, clock, timeout=TIMEOUT, **self.options)

    def body(self, n):
        return b"%04d" % n

    def effects(self, place):
        return Counter(place.taken())

    def order(self, place):
        return place.taken()

    def carries(self, asked):
        return asked.method == "POST" and asked.path.endswith("/outbox")

    async def test_a_request_that_is_carried_out_after_its_successor_brings_nothing_back(self, tmp_path):
        async with self.world(tmp_path) as world:
            world.place.plan = fated(self.carries, LATE)
            await world.add(1, 2, 3)
            await world.live()
            assert await world.place.carry_out_late() == 1
            # A person was asked, and nothing was posted again: it is there once, late as it is.
            assert (await world.judge())[1] == ("parked", "D948")
            assert self.effects(world.place) == {1: 1}


class TestPosted(Posted):
    async def test_without_looking_it_would_arrive_twice(self, tmp_path, monkeypatch):
        """The control of looking."""

        async def found_nothing(*_):
            return None

        async with self.world(tmp_path) as world:
            monkeypatch.setattr(MeshSender, "look", found_nothing)
            world.place.plan = fated(self.carries, DROP_AFTER)
            await world.add(1)
            await world.live()
            assert self.effects(world.place) == {1: 2}

    async def test_a_report_fails_what_was_never_answered_by_the_name_that_we_gave_it(self, tmp_path):
        async with self.world(tmp_path) as world:
            world.place.plan = fated(self.carries, DROP_AFTER)
            await world.add(1)
            # It ends when the store has recorded that nobody answered.
            await world.live(Life(3, after=True))
            ((_, delivery),) = await world.deliveries()
            assert delivery["state"] == "unknown"
            notes = Mailboxes(
                store=world.store, destinations={FROM: ["d"]}, clock=world.clock, log=logs.make(io.BytesIO())
            )
            await notes.reported("s/mesh", FROM, Report("R1", "SOMETHING", delivery["remote_id"], "14"))
            ((_, delivery),) = await world.deliveries()
            assert (delivery["state"], delivery["code"]) == ("parked", "D982")
            # The control: of what nobody knows by that name, nothing is said but that there was a report.
            await notes.reported("s/mesh", FROM, Report("R2", "SOMETHING", "8-else", "14"))
            assert sorted(task.cause for task in await world.store.tasks()) == ["D982", "D983"]


class TestPostedInChunks(Posted):
    """Until the last chunk was posted nothing is delivered, so a first one that nobody answered is begun anew."""

    options = {"chunk": 2, "packs": True}  # noqa: RUF012
    unknown = "done"
    faults = {  # noqa: RUF012
        "the reply is lost, and it was done": ([DROP_AFTER], "done"),
        "replies are lost again and again": ([DROP_AFTER, DROP_BEFORE] * 2, "done"),
        "500": ([refused(500)], "done"),
        "422": ([refused(422)], "D946"),
    }

    async def test_wherever_the_process_ends_nothing_is_lost_and_nothing_arrives_twice(self, tmp_path, monkeypatch):
        # What it was doing nobody knows: it may have been at the last chunk.
        monkeypatch.setattr(type(self), "unknown", "D948")
        await super().test_wherever_the_process_ends_nothing_is_lost_and_nothing_arrives_twice(tmp_path, after=True)

    @pytest.mark.parametrize("fault", [DROP_BEFORE, DROP_AFTER], ids=["undone", "done"])
    async def test_the_process_ends_while_the_receiver_is_at_it(self, tmp_path, fault, monkeypatch):
        monkeypatch.setattr(type(self), "unknown", "D948")
        await super().test_the_process_ends_while_the_receiver_is_at_it(tmp_path, fault)

    async def test_a_request_that_is_carried_out_after_its_successor_brings_nothing_back(self, tmp_path):
        async with self.world(tmp_path) as world:
            world.place.plan = fated(self.carries, LATE)
            await world.add(1, 2, 3)
            await world.live()
            assert await world.place.carry_out_late() == 1
            assert set((await world.judge()).values()) == {("done", "")}

    CHUNKS = {  # noqa: RUF012
        "a chunk is refused for a while": ([unavailable()] * 2, "done"),
        "a chunk is not answered, and was not taken": ([DROP_BEFORE], "done"),
        "a chunk is not answered, and was taken": ([DROP_AFTER], "done"),
        "the last chunk is never answered, and was taken": ([DROP_AFTER] + [DROP_BEFORE] * 2, "done"),
        "the last chunk is never answered, and was not taken": ([DROP_BEFORE] * 3, "D948"),
        "the last chunk is refused for good": ([refused(400)], "D946"),
        "the last chunk is not answered, and then nobody believes us": ([DROP_BEFORE] + [refused(403)] * 2, "D948"),
    }

    @pytest.mark.parametrize("name", CHUNKS)
    async def test_chunks_after_the_first(self, tmp_path, name):
        faults, end = self.CHUNKS[name]
        async with self.world(tmp_path) as world:
            world.place.plan = fated(lambda asked: asked.path.endswith("/2"), *faults)
            await world.add(1)
            await world.live()
            assert (await world.judge())[1] == (("done", "") if end == "done" else ("parked", end))


# --- the sender by itself ------------------------------------------------------------------------------------


@pytest.fixture
def mesh():
    return sandbox()


def due(body=b'{"a":1}', **changes):
    document = Document("letter", "r4", "document", b"s" * 32, f"urn:uuid:{UUID}", body)
    values = {"id": 7, "message": 1, "destination": "d", "patient": 1, "number": 1, "attempts": 0, "deadline": None}
    return DueDelivery(**values | changes, state=DeliveryState.SENDING, document=document)


@asynccontextmanager
async def opened(url, *args, **options):
    found = made(url, *args, **options)
    await found.open()
    try:
        yield found
    finally:
        await found.close()


CASES = {
    "as it is": {},
    "compressed": {"packs": True},
    "in chunks": {"chunk": 1000},
    "in chunks, compressed": {"chunk": 1000, "packs": True},
}


@pytest.mark.parametrize("name", CASES)
async def test_a_document_arrives_as_it_is(mesh, name):
    body = json.dumps({"text": "x" * 2500}).encode()
    async with opened(mesh.url, **CASES[name], subject="Discharge") as out:
        delivered = await out.deliver(due(body))
        assert mesh.inbox() == [delivered.remote_id]
        headers, came = mesh.read(delivered.remote_id)
        assert (delivered.level, came) == (2, body)
        said = (headers["Mex-From"], headers["Mex-WorkflowID"], headers["Mex-LocalID"], headers["Mex-Subject"])
        assert said == (FROM, WORKFLOW, f"7-{UUID}", "Discharge")
        if "chunk" not in CASES[name]:
            assert headers["Content-Type"] == "application/fhir+json"


async def test_it_is_the_same_to_the_nhss_own_client(mesh):
    mesh_client = pytest.importorskip("mesh_client")
    body = json.dumps({"text": "x" * 2500}).encode()

    def read():
        with mesh_client.MeshClient(mesh.url, TO, PASSWORD, shared_key=KEY.encode()) as theirs:
            (name,) = theirs.list_messages()
            return theirs.retrieve_message(name).read()

    async with opened(mesh.url, chunk=1000, packs=True) as out:
        await out.deliver(due(body))
    assert await asyncio.to_thread(read) == body


async def test_an_incomplete_message_reaches_nobody(mesh):
    """What beginning anew stands on."""
    async with Between(mesh.url, plan=lambda a: refused(503) if a.path.endswith("/2") else OK) as between:
        async with opened(between.url, chunk=4) as out:
            with pytest.raises(DestinationUnavailable):
                await out.deliver(due())
        assert [path for _, path in between.asked if path.endswith("/outbox")]
    assert mesh.inbox() == []


async def test_whoever_has_collected_it_is_known_when_asked(mesh):
    async with opened(mesh.url) as out:
        name = (await out.deliver(due())).remote_id
        assert await out.collected(name) is False
        assert (await out.look(due())).level == 2
        mesh.acknowledge(name)
        assert await out.collected(name) is True
        assert (await out.look(due())).level == 3
        assert await out.collected("0" * 32) is False
        lost = (await out.deliver(due(id=8))).remote_id
        mesh.happen(lost, status="undeliverable", code="14", description="not collected", event="SEND")
        for asking in (out.collected(lost), out.look(due(id=8))):
            with pytest.raises(DestinationRejected) as raised:
                await asking
            assert raised.value.code == "D982"


async def test_while_a_secret_cannot_be_read_nothing_is_in_doubt(mesh, tmp_path):
    """Its file is put in another's place while the gateway runs."""
    path = tmp_path / "password"
    async with opened(mesh.url, password=path.read_text) as out:
        with pytest.raises(DestinationHeld) as raised:
            await out.deliver(due())
        assert raised.value.code == "D944"
        path.write_text(PASSWORD)
        await out.deliver(due())
    assert len(mesh.inbox()) == 1


#: How the question is answered, by nobody who knows: a proxy, or MESH while it is mended.
NO_ANSWERS = {"400": 400, "a redirect": 302, "403": 403, "500": 500}


@pytest.mark.parametrize("name", NO_ANSWERS)
@pytest.mark.parametrize("asked", ["of the message", "of the mailbox"])
async def test_a_question_that_is_refused_says_nothing_of_what_was_sent(mesh, name, asked):
    def alter(path, answer):
        at_it = "tracking" in path if asked == "of the message" else path.endswith(f"/{FROM}")
        return (NO_ANSWERS[name], {"Location": "/"}, b"") if at_it else answer

    async with Between(mesh.url) as between, opened(between.url) as out:
        sent = (await out.deliver(due())).remote_id
        between.alter = alter
        with pytest.raises(DeliveryError) as raised:
            await out.collected(sent)
        assert not isinstance(raised.value, DestinationRejected)
        # The control: asked as it should be, it is known.
        between.alter = lambda _path, answer: answer
        assert await out.collected(sent) is False


async def test_what_can_never_be_asked_for_holds_up_no_other():
    """Each round begins behind the last that was asked for."""
    collected, told, stream = {"c"}, [], io.BytesIO()

    class Asking:
        async def collected(self, remote_id):
            if remote_id == "a":
                raise DestinationSilent("D943", "the answer cannot be understood")
            return remote_id in collected

    class Awaiting:
        async def awaited(self, _name, _level, after, _most):
            return [(n, name) for n, name in enumerate("abc", 1) if n > after and name not in told]

        async def acknowledge(self, _name, remote_id, *_, **__):
            told.append(remote_id)

    rounds = Tracked("d", Asking(), every=1, store=Awaiting(), clock=lambda: START, log=logs.make(stream))
    await rounds.look()
    assert told == []
    await rounds.look()
    assert told == ["c"]
    await rounds.look()
    assert stream.getvalue().count(b"not_tracked") == 2


async def test_what_is_not_there_is_looked_for_a_while_and_then_a_persons(mesh):
    now = START
    async with opened(mesh.url, lambda: now) as out:
        with pytest.raises(DestinationSilent) as silent:
            await out.look(due(sent_at=START))
        assert (silent.value.code, silent.value.remote_id) == ("D958", f"7-{UUID}")
        now = START.replace(minute=START.minute + 5)
        with pytest.raises(DestinationRejected) as asked:
            await out.look(due(sent_at=START))
        assert asked.value.code == "D948"


async def test_what_may_be_posted_once_is_given_a_connection_of_its_own(mesh):
    """One that the other end has just closed would swallow it; what may be asked twice shares one."""
    async with Between(mesh.url) as between, opened(between.url, chunk=4) as out:
        for number in (7, 8):
            name = (await out.deliver(due(id=number))).remote_id
            await out.collected(name)
        made = list(between.connections.values())
        posts = [asked for asked in made if "/outbox" in asked[0][1] and "tracking" not in asked[0][1]]
        assert [len(asked) for asked in posts] == [1] * 4
        assert len(made) == 5
    assert len(mesh.inbox()) == 2


async def test_two_of_one_name_are_a_persons(mesh):
    async with opened(mesh.url) as out:
        await out.deliver(due())
        await out.deliver(due())
        with pytest.raises(DestinationRejected) as asked:
            await out.look(due())
        assert asked.value.code == "D948"


async def test_an_organisation_is_looked_up_once_an_hour_and_must_have_one_mailbox(mesh):
    async with Between(mesh.url) as between:
        async with opened(between.url, organisation="X26") as out:
            await out.deliver(due())
            await out.deliver(due(id=8))
            assert len(mesh.inbox(TO)) == 2
            assert len([path for _, path in between.asked if "endpointlookup" in path]) == 1
        for organisation, workflow in (("X99", WORKFLOW), ("X26", "TEST_WORKFLOW2")):
            async with opened(between.url, organisation=organisation) as out:
                out._workflow = workflow
                with pytest.raises(DestinationHeld) as held:
                    await out.deliver(due())
                assert held.value.code == "D985"
    assert len(mesh.inbox(TO)) == 2


@pytest.mark.parametrize("found", [None, 7, "X26\r\nMex-To: X", "../x", ""], ids=repr)
async def test_a_mailbox_that_was_looked_up_and_is_none_is_sent_nothing(mesh, found):
    answer = 200, {}, json.dumps({"results": [{"mailbox_id": found}]}).encode()
    async with Between(mesh.url, alter=lambda p, a: answer if "endpointlookup" in p else a) as between:
        async with opened(between.url, organisation="X26") as out:
            with pytest.raises(DestinationHeld) as held:
                await out.deliver(due())
            assert held.value.code == "D985"
        assert not [path for _, path in between.asked if path.endswith("/outbox")]


async def test_a_look_up_that_nobody_answers_leaves_no_doubt(mesh):
    # aiohttp itself asks once more what may be asked twice.
    plan = fated(lambda asked: "endpointlookup" in asked.path, *[DROP_AFTER] * 2)
    async with Between(mesh.url, plan=plan) as between, opened(between.url, organisation="X26") as out:
        with pytest.raises(DestinationUnavailable):
            await out.deliver(due())
    assert mesh.inbox() == []


#: What MESH answers to a post, and what that means: an error, and whether it holds the destination.
ANSWERS = {
    "no such mailbox": (417, b'{"detail": [{"event": "SEND", "code": "12", "msg": "%s"}]}', DestinationHeld, "D985"),
    "a workflow that is not ours": (417, b'{"detail": [{"code": "17"}]}', DestinationHeld, "D985"),
    "something else": (417, b'{"detail": [{"code": "02"}]}', DestinationRejected, "D946"),
    "a reason that is none": (417, b'{"detail": ["%s"]}', DestinationRejected, "D946"),
    "nothing": (417, b"", DestinationRejected, "D946"),
    "who are you": (403, b"", DestinationHeld, "D944"),
    "taken, and no id": (202, b'{"message_id": null}', DestinationSilent, "D943"),
    "taken, and a path for an id": (202, b'{"message_id": "../x"}', DestinationSilent, "D943"),
    "taken, by a proxy": (200, b"<html>%s</html>", DestinationSilent, "D943"),
    "a fault of MESH's own": (500, b"<soap>%s</soap>", DestinationSilent, "D942"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_an_answer_means(mesh, name):
    status, body, error, code = ANSWERS[name]
    answer = status, {}, body.replace(b"%s", CANARY.encode())
    async with Between(mesh.url, alter=lambda _path, _answer: answer) as between, opened(between.url) as out:
        with pytest.raises(error) as raised:
            await out.deliver(due())
    assert raised.value.code == code
    assert CANARY not in f"{raised.value!r}{raised.value.__cause__!r}"


async def test_a_real_refusal_of_an_address(mesh):
    async with opened(mesh.url, recipient="NOBODY") as out:
        with pytest.raises(DestinationHeld) as raised:
            await out.deliver(due())
    assert raised.value.code == "D985"


async def test_what_is_larger_than_a_request_is_not_sent(mesh, monkeypatch):
    monkeypatch.setattr(sender, "_LARGEST", 5)
    async with opened(mesh.url) as out:
        with pytest.raises(DestinationRejected) as raised:
            await out.deliver(due())
        assert raised.value.code == "D986"
    async with opened(mesh.url, chunk=5) as out:
        await out.deliver(due())
    assert len(mesh.inbox()) == 1
