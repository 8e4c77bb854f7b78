"""FHIR messaging in: a message is answered with a message, by whichever of several senders it came from."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from test_http import LIMIT, NOW, Door, committed, serving, told

from mhbridge.adapters.http import Entrance
from mhbridge.adapters.http_messaging import MessagingDoor
from mhbridge.config import Secret
from mhbridge.formats.fhir import FORMAT
from mhbridge.mapping.library import built_in
from mhbridge.model import Verdict

PATH = "/fhir/$process-message"
TOC = built_in("fixtures") / "example-toc" / "mental-health-discharge"
MARKUP, JSON = (TOC / "itk3-message.xml").read_bytes(), (TOC / "two-documents.json").read_bytes()
ALONE = Entrance("s", "s/http", LIMIT)
TWO = [Entrance(name, f"{name}/http", LIMIT, Secret("env:T", lambda name=name: f"secret of {name}")) for name in "ab"]


@asynccontextmanager
async def door(*entrances):
    own = Door()
    messaging = MessagingDoor(
        entrances=lambda: entrances,
        take=own.take,
        refuse=own.refuse,
        acknowledge=lambda body, answer: FORMAT.acknowledge(body, answer, name="hub"),
        clock=lambda: NOW,
    )
    async with serving(messaging.routes) as (session, _, log):
        yield SimpleNamespace(session=session, door=own, log=log)


def answered(body: bytes) -> dict[str, str]:
    source = FORMAT.declare("Europe/London", "", {"version": "STU3", "messages": ["message"]})
    ((message, _),) = FORMAT.messages(body, [source])
    return {
        FORMAT.path(message, cell, 0, source, exact=False): FORMAT.leaf(message, cell, 0)
        for cell, _ in FORMAT.populated(message)
    }


@pytest.mark.parametrize(("kind", "body"), [("application/fhir+xml", MARKUP), ("application/fhir+json", JSON)])
@pytest.mark.parametrize(
    ("says", "status", "code", "issue"),
    [
        (committed(), 200, "ok", "D900"),
        (committed(repeated=True), 200, "ok", "D900"),
        (committed(code="M710"), 200, "ok", "M710"),
        (committed(Verdict.REFUSED, code="M710"), 422, "fatal-error", "M710"),
    ],
)
async def test_a_message_is_answered_with_a_message(kind, body, says, status, code, issue) -> None:
    async with door(ALONE) as world:
        world.door.says = says
        async with world.session.post(PATH, data=body, headers={"Content-Type": kind}) as response:
            assert (response.status, response.content_type) == (status, kind)
            said = answered(await response.read())
        assert said["MessageHeader.response.code"] == code
        assert said["OperationOutcome.issue.details.coding.code"] == issue
        assert [one.body for one in world.door.envelopes] == [body]


async def test_a_repeat_gets_the_same_bytes() -> None:
    async with door(ALONE) as world:
        found = []
        for repeated in (False, True):
            world.door.says = committed(repeated=repeated)
            async with world.session.post(PATH, data=JSON, headers={"Content-Type": "application/fhir+json"}) as one:
                found.append(await one.read())
        assert found[0] == found[1]


async def test_what_is_no_message_is_answered_with_an_outcome() -> None:
    async with door(ALONE) as world:
        headers = {"Content-Type": "application/fhir+json"}
        async with world.session.post(PATH, data=b'{"resourceType": "Patient"}', headers=headers) as response:
            assert (response.status, (await told(response))[0]) == (202, "D900")
        async with world.session.post(PATH, data=JSON, headers={"Content-Type": "text/csv"}) as response:
            assert (response.status, (await told(response))[0]) == (415, "D927")


async def test_of_several_senders_the_token_says_which() -> None:
    async with door(*TWO) as world:
        headers = {"Content-Type": "application/fhir+json"}
        for token, status in [(None, 401), ("wrong", 401), ("secret of b", 200)]:
            more = {"Authorization": f"Bearer {token}"} if token else {}
            async with world.session.post(PATH, data=JSON, headers=headers | more) as response:
                assert response.status == status
        assert [one.supplier for one in world.door.envelopes] == ["b"]
    async with door() as world, world.session.post(PATH, data=JSON, headers=headers) as response:
        assert response.status == 404


async def test_nothing_of_a_message_is_logged_or_given_back() -> None:
    async with door(ALONE) as world:
        headers = {"Content-Type": "application/fhir+json"}
        async with world.session.post(PATH, data=JSON, headers=headers) as response:
            text = (await response.read()).decode()
        assert not [word for word in ("Madeup", "Jonquil", "9990123") if word in text + json.dumps(world.log())]
