"""Mailboxes of MESH in the whole gateway: from an outbox to a delivered document, with the NHS's own sandbox."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mhbridge import config
from mhbridge import log as logs
from mhbridge.app import build
from sandbox import FROM, KEY, PASSWORD, TO, WORKFLOW, sandbox

ROOT = Path(__file__).parents[1]
LETTER = (ROOT / "fixtures" / "example-mental-health" / "discharge-letter" / "plain.hl7").read_bytes()
ACCESS = 'password = "env:PASSWORD"\nshared_key = "env:KEY"\n'
GATEWAY = f"""
[gateway]
name = "test"
store = "sqlite:store.db"
mode = "test"
mappings = ["{ROOT / "mappings"}"]

[[destination]]
name = "letters"
kind = "folder"
path = "out"

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["letters"]
"""
RECEIVER = """
[[receiver]]
supplier = "example-mental-health"
kind = "mesh"
url = "{url}"
mailbox = "{mailbox}"
every = "20ms"
expect = {{connection = "1h"}}
"""


@pytest.fixture
def mesh():
    return sandbox()


@asynccontextmanager
async def running(path, text):
    stream = io.BytesIO()
    environ = {"PASSWORD": PASSWORD, "KEY": KEY}
    app = build(config.parse(text, base=path, environ=environ), log=logs.make(stream))
    await app.open()
    try:
        yield app, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        await app.close()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  what is waited for is in another process
            await asyncio.sleep(0.01)


async def test_a_letter_comes_by_mesh_once_and_is_delivered(mesh, tmp_path):
    mesh.send(LETTER, chunks=3, packed=True)
    text = GATEWAY + RECEIVER.format(url=mesh.url, mailbox=TO) + ACCESS
    async with running(tmp_path, text) as (app, events):
        await until(lambda: not mesh.inbox() and list((tmp_path / "out").glob("*.json")))
        # The same once more, as after an acknowledgement that was lost.
        mesh.send(LETTER)
        await until(lambda: not mesh.inbox())
        (row,) = await app.store.messages()
        assert (row.feed, row.state) == ("example-mental-health/mesh", "done")
        assert app.receivers["example-mental-health/mesh"].connected == 1
        assert [event["peer"] for event in events() if event["event"] == "received"] == [FROM]
        assert len([event for event in events() if event["event"] == "repeated"]) == 1
    assert len(list((tmp_path / "out").glob("*.json"))) == 1


async def test_what_no_mapping_takes_stays_in_the_mailbox_and_is_a_task_until_it_is_gone(mesh, tmp_path):
    name = mesh.send(b"this is nothing that anybody knows")
    text = GATEWAY + RECEIVER.format(url=mesh.url, mailbox=TO) + ACCESS
    async with running(tmp_path, text) as (app, _):

        async def tasks():
            return [(task.what, task.cause, task.name) for task in await app.store.tasks()]

        async def until_so(holds):
            async with asyncio.timeout(20):
                while not holds(await tasks()):  # noqa: ASYNC110  it is in the store
                    await asyncio.sleep(0.01)

        await until_so(lambda found: found)
        assert await tasks() == [("mailbox", "D984", "example-mental-health/mesh")]
        assert mesh.inbox() == [name]
        mesh.acknowledge(name)
        await until_so(lambda found: not found)


async def test_a_report_of_what_nobody_here_has_sent_is_a_task(mesh, tmp_path):
    mesh.report(FROM, linked_message_id="20261101_ABC", local_id="x", workflow_id=WORKFLOW)
    text = GATEWAY + RECEIVER.format(url=mesh.url, mailbox=FROM) + ACCESS
    async with running(tmp_path, text) as (app, events):
        await until(lambda: not mesh.inbox(FROM))
        (task,) = await app.store.tasks()
        assert (task.what, task.cause, task.name) == ("report", "D983", "20261101_ABC")
        said = [(event["code"], event["error"], event["severity"]) for event in events() if "error" in event]
        assert said == [("D983", "14", "high")]


OUT = """
[[destination]]
name = "gp"
kind = "mesh"
url = "{url}"
mailbox = "X26ABC1"
recipient = "X26ABC2"
workflow = "TEST_WORKFLOW"
tracks = "20ms"
"""
TO_GP = GATEWAY.replace('to = ["letters"]', 'to = ["gp"]')
IN = "X26ABC3"


async def delivery(app, state):
    """The one delivery of the one message, when it has this state."""
    async with asyncio.timeout(20):
        while True:
            for row in await app.store.messages():
                for one in (await app.store.trace(row.id)).deliveries:
                    if one["state"] == state:
                        return one
            await asyncio.sleep(0.01)


async def test_a_letter_is_sent_by_mesh_and_done_when_it_is_collected(mesh, tmp_path):
    mesh.send(LETTER, to=IN)
    text = TO_GP + RECEIVER.format(url=mesh.url, mailbox=IN) + ACCESS
    text += OUT.format(url=mesh.url) + ACCESS + 'acknowledged_by = "collected"\n'
    async with running(tmp_path, text) as (app, events):
        sent = await delivery(app, "awaiting")
        assert mesh.inbox() == [sent["remote_id"]]
        headers, body = mesh.read(sent["remote_id"])
        assert json.loads(body)["resourceType"] == "Bundle"
        # What MESH and its staff see of it, and what we log, says nothing of whom it is about.
        seen = json.dumps([dict(headers), events()])
        assert not [
            word for word in ("9990001014", "M-104482", "TESTPATIENT", "Marigold", PASSWORD, KEY) if word in seen
        ]
        await asyncio.sleep(0.1)
        assert (await delivery(app, "awaiting"))["level"] == 2
        mesh.acknowledge(sent["remote_id"])
        assert (await delivery(app, "done"))["level"] == 3
        assert [event["code"] for event in events() if event["event"] == "acknowledged"] == ["ok"]


@pytest.mark.parametrize("heard", ["by a report", "by asking"])
async def test_a_letter_that_reaches_nobody_is_a_persons(mesh, tmp_path, heard):
    mesh.send(LETTER, to=IN)
    text = TO_GP + RECEIVER.format(url=mesh.url, mailbox=IN) + ACCESS
    text += OUT.format(url=mesh.url) + ACCESS + 'acknowledged_by = "collected"\n'
    if heard == "by a report":
        text = text.replace('tracks = "20ms"', 'tracks = "1h"')
        text += RECEIVER.format(url=mesh.url, mailbox=FROM) + ACCESS + 'name = "reports"\n'
    async with running(tmp_path, text) as (app, events):
        sent = await delivery(app, "awaiting")
        if heard == "by a report":
            mesh.report(FROM, linked_message_id=sent["remote_id"])
        else:
            mesh.happen(sent["remote_id"], status="undeliverable", code="14", description="not collected")
        assert (await delivery(app, "parked"))["code"] == "D982"
        (task,) = await app.store.tasks()
        assert (task.what, task.cause, task.severity) == ("delivery", "D982", "high")
        if heard == "by a report":
            await until(lambda: not mesh.inbox(FROM))
            said = [(event["destination"], event["error"]) for event in events() if event["event"] == "not_delivered"]
            assert said == [("gp", "14")]


async def test_a_report_of_what_was_done_with_is_a_persons_too(mesh, tmp_path):
    mesh.send(LETTER, to=IN)
    text = TO_GP + RECEIVER.format(url=mesh.url, mailbox=IN) + ACCESS + OUT.format(url=mesh.url) + ACCESS
    text += RECEIVER.format(url=mesh.url, mailbox=FROM) + ACCESS + 'name = "reports"\n'
    async with running(tmp_path, text) as (app, _):
        sent = await delivery(app, "done")
        mesh.report(FROM, linked_message_id=sent["remote_id"], local_id="x")
        await until(lambda: not mesh.inbox(FROM))
        (task,) = await app.store.tasks()
        assert (task.what, task.about, task.cause) == ("acknowledgement", sent["id"], "D982")
