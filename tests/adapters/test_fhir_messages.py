"""Messages made around what is delivered: good FHIR, the same for every attempt, and what their answers mean."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from mhbridge.adapters.fhir_server import FhirSender, Messaging
from mhbridge.adapters.fhir_server.messages import message_of
from mhbridge.errors import DestinationRejected, DestinationSilent, DestinationUnavailable
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.validate import validate
from mhbridge.model import DeliveryState, Document, Severity
from mhbridge.ports import DueDelivery
from mhbridge.testing import ReceivingServer

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FIXTURES = ROOT / "fixtures" / "example-mental-health"
MESSAGING = Messaging("https://example.org/events|discharge", "https://gateway.example.org", "example-ics")


@cache
def golden(name):
    return (FIXTURES / name).read_bytes()


def due(name="discharge-letter/plain.r4.json", **changes):
    body = golden(name)
    bundle = json.loads(body)
    identifier = bundle.get("identifier", {}).get("value") or f"urn:uuid:{bundle['id']}"
    document = Document("letter", "r4", bundle["type"], b"s" * 32, identifier, body)
    values = {"id": 7, "message": 1, "destination": "gp", "patient": 1, "number": 1, "attempts": 0, "deadline": None}
    return DueDelivery(**values | changes, state=DeliveryState.SENDING, document=document)


@pytest.mark.parametrize("name", ["discharge-letter/plain.r4.json", "adt/a03-discharge.r4.json"])
@pytest.mark.parametrize("event", ["https://example.org/events|discharge", "https://example.org/events/discharge"])
def test_a_message_is_good_fhir(name, event):
    messaging = Messaging(event, MESSAGING.source, MESSAGING.gateway)
    identity, body = message_of(due(name), messaging, "https://gp.example.org/R4")
    bundle = loads(body)
    errors = [issue for issue in validate(bundle) if issue.severity is Severity.ERROR]
    assert errors == []
    header = bundle["entry"][0]["resource"]
    assert (bundle["id"], bundle["identifier"]["value"], header["id"]) == (identity, f"urn:uuid:{identity}", identity)
    # What it is about is in it.
    assert header["focus"][0]["reference"] in {entry["fullUrl"] for entry in bundle["entry"][1:]}


def test_a_document_stands_in_it_as_it_was_made():
    _, body = message_of(due(), MESSAGING, "https://gp.example.org/R4")
    assert golden("discharge-letter/plain.r4.json").strip() in body


def test_every_attempt_is_the_same_and_every_delivery_another():
    first, again = due(), due(attempts=3)
    assert message_of(first, MESSAGING, "x:y") == message_of(again, MESSAGING, "x:y")
    others = [message_of(due(**change), MESSAGING, "x:y")[0] for change in ({"id": 8}, {"destination": "other"})]
    assert len({message_of(first, MESSAGING, "x:y")[0], *others}) == 3


def answer(code, identifier=None, kind="message"):
    def made(bundle):
        header = {
            "resourceType": "MessageHeader",
            "response": {"identifier": identifier or bundle["id"], "code": code},
        }
        return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": header}]}

    return made


ANSWERS = {
    "it was acted on": (answer("ok"), 5),
    "taken, and no more is said": (lambda _: {"resourceType": "OperationOutcome", "issue": []}, 2),
    "not now": (answer("transient-error"), DestinationUnavailable),
    "refused": (answer("fatal-error"), DestinationRejected),
    "an answer to another message": (answer("ok", "another"), DestinationSilent),
    "a code that does not exist": (answer("perhaps"), DestinationSilent),
    "a Bundle of another kind": (answer("ok", kind="collection"), DestinationSilent),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_is_answered_at_once_is_read(name):
    made, wanted = ANSWERS[name]
    async with ReceivingServer() as server:
        server._message = lambda _request, bundle: server._answer(200, made(bundle))
        sender = FhirSender(name="gp", base=server.url, clock=lambda: NOW, messaging=MESSAGING)
        await sender.open()
        try:
            if isinstance(wanted, int):
                found = await sender.deliver(due())
                assert (found.level, found.remote_id) == (wanted, message_of(due(), MESSAGING, server.url)[0])
            else:
                with pytest.raises(wanted):
                    await sender.deliver(due())
        finally:
            await sender.close()
