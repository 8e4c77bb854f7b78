"""
What a destination says later of what it was sent, and a destination that is held, over the API of a whole gateway.
"""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from mhbridge import config
from mhbridge import log as logs
from mhbridge.app import build
from mhbridge.mapping.library import built_in
from mhbridge.testing import OK, UNAUTHORISED, ReceivingServer

ROOT = Path(__file__).parents[1]
PLAIN = (built_in("fixtures") / "example-mental-health" / "discharge-letter" / "plain.hl7").read_bytes()
TOKENS = {"OPERATOR": "o-secret", "GP": "g-secret", "OTHER": "x-secret"}
CONFIGURATION = """
[gateway]
name = "example-ics"
mode = "test"
store = "sqlite:store.db"
mappings = ["{mappings}"]

[http]
listen = "127.0.0.1:0"

[[access]]
token = "env:OPERATOR"
roles = ["operator"]

[[receiver]]
supplier = "example-mental-health"
kind = "http"

[[destination]]
name = "gp"
kind = "fhir"
url = "{url}"
how = "message"
event = "https://example.org/events|discharge"
source = "https://gateway.example.org"
repeats = "recognised"
acknowledged_by = "business"
acknowledgements = "env:GP"

[[destination]]
name = "other"
kind = "fhir"
url = "{url}"
how = "message"
event = "https://example.org/events|discharge"
source = "https://gateway.example.org"
acknowledged_by = "business"
acknowledgements = "env:OTHER"

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["gp"]
"""


class Gateway:
    def __init__(self, app, session, stream):
        self.app, self.session, self.stream = app, session, stream

    async def post(self, path, token, body=b""):
        headers = {"Authorization": f"Bearer {token}", "X-Reason": "call 17"}
        async with self.session.post(path, data=body, headers=headers) as response:
            return response.status

    async def send(self):
        async with self.session.post("/feeds/example-mental-health/http/messages", data=PLAIN) as response:
            return int(response.headers["Location"].rsplit("/", 1)[1])

    async def delivery(self, message, state):
        async with asyncio.timeout(5):
            while True:
                (found,) = (await self.app.store.trace(message)).deliveries
                if found["state"] == state:
                    return found
                await asyncio.sleep(0.01)


@asynccontextmanager
async def gateway(path, server):
    text = CONFIGURATION.format(mappings=ROOT / "mappings", url=server.url)
    stream = io.BytesIO()
    app = build(config.parse(text, base=path, environ=TOKENS), log=logs.make(stream))
    await app.open()
    try:
        async with aiohttp.ClientSession(app.receivers["http"].address) as session:
            yield Gateway(app, session, stream)
    finally:
        await app.close()


def response(message, code, **more):
    header = {"resourceType": "MessageHeader", "response": {"identifier": message, "code": code}} | more
    return json.dumps({"resourceType": "Bundle", "type": "message", "entry": [{"resource": header}]}).encode()


async def test_a_letter_is_done_when_the_receiver_says_that_it_has_it(tmp_path):
    async with ReceivingServer() as server, gateway(tmp_path, server) as world:
        message = await world.send()
        found = await world.delivery(message, "awaiting")
        (bundle,) = server.holdings.all("Bundle")
        header = bundle["entry"][0]["resource"]
        assert header["id"] == found["remote_id"]
        assert header["source"]["name"] == "example-ics"
        assert header["eventCoding"] == {"system": "https://example.org/events", "code": "discharge"}
        assert bundle["entry"][1]["resource"]["type"] == "document"
        # Who is somebody else, or nobody, can say nothing of it.
        said = response(header["id"], "ok")
        path = "/destinations/gp/acknowledgements"
        assert await world.post(path, "x-secret", said) == 401
        assert await world.post(path, "o-secret", said) == 401
        assert await world.post("/destinations/nobody/acknowledgements", "", said) == 401
        assert await world.post("/destinations/other/acknowledgements", "x-secret", said) == 404
        await world.delivery(message, "awaiting")
        assert await world.post(path, "g-secret", said) == 200
        assert (await world.delivery(message, "done"))["level"] == 5
        assert await world.post(path, "g-secret", said) == 200


@pytest.mark.parametrize("code", ["fatal-error", "transient-error"])
async def test_a_letter_that_the_receiver_refuses_is_for_a_person(tmp_path, code):
    async with ReceivingServer() as server, gateway(tmp_path, server) as world:
        message = await world.send()
        found = await world.delivery(message, "awaiting")
        said = response(found["remote_id"], code)
        assert await world.post("/destinations/gp/acknowledgements", "g-secret", said) == 200
        assert (await world.delivery(message, "parked"))["code"] == "D961"


NO_RESPONSES = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "no message": json.dumps({"resourceType": "Bundle", "type": "collection"}).encode(),
    "a message that answers nothing": json.dumps(
        {"resourceType": "Bundle", "type": "message", "entry": [{"resource": {"resourceType": "MessageHeader"}}]}
    ).encode(),
    "a code that does not exist": response("x", "perhaps"),
    "no id": response(7, "ok"),
    "nested too deep": b"[" * 100_000,
}


async def test_what_is_no_response_is_said_to_be_none(tmp_path):
    async with ReceivingServer() as server, gateway(tmp_path, server) as world:
        for name, body in NO_RESPONSES.items():
            assert await world.post("/destinations/gp/acknowledgements", "g-secret", body) == 400, name


async def test_a_destination_that_refuses_us_is_one_task_and_goes_on_at_once_when_a_person_says_so(tmp_path):
    async with ReceivingServer(plan=lambda _: UNAUTHORISED) as server, gateway(tmp_path, server) as world:
        message = await world.send()
        async with asyncio.timeout(5):
            while not await world.app.store.tasks():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        (task,) = await world.app.store.tasks()
        assert (task.what, task.name, task.cause) == ("destination", "gp", "D944")
        assert world.app.outbox.shut == {"gp": "held"}
        server.plan = lambda _: OK
        assert await world.post("/destinations/gp/release", "g-secret") == 401
        assert await world.post("/destinations/gp/release", "o-secret") == 200
        await world.delivery(message, "awaiting")
        assert world.app.outbox.shut == {}
        assert await world.post("/destinations/gp/release", "o-secret") == 409
        async with asyncio.timeout(5):
            while await world.app.store.tasks():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_response_that_comes_at_once_is_an_acknowledgement_too(tmp_path):
    async with ReceivingServer() as server, gateway(tmp_path, server) as world:
        answer = server._message

        def at_once(request, bundle):
            answer(request, bundle)
            said = response(bundle["id"], "ok")
            return server._answer(200, json.loads(said))

        server._message = at_once
        assert (await world.delivery(await world.send(), "done"))["level"] == 5
