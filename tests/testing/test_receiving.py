"""The receiving server, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from yarl import URL

import mhbridge.testing as kit
from mhbridge.fhir.bundle import Entry, document_bundle, dumps, loads, transaction_bundle
from mhbridge.fhir.validate import validate
from mhbridge.testing import (
    DROP_AFTER,
    DROP_BEFORE,
    NOT_FHIR,
    OK,
    UNAUTHORISED,
    UNPROCESSABLE,
    ReceivingServer,
    first_time,
    in_turn,
    slow,
    unavailable,
)

SYSTEM = "https://example.org/id"
FHIR = "application/fhir+json"


def patient(id_: str = "", value: str = "1", **more: Any) -> dict[str, Any]:
    head = {"resourceType": "Patient"} | ({"id": id_} if id_ else {})
    return head | {"identifier": [{"system": SYSTEM, "value": value}]} | more


class Client:
    """Asks a server and reads its answers exactly."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def ask(
        self, method: str, path: str, resource: Any = None, media_type: str = FHIR, **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        body = resource if isinstance(resource, bytes | None) else dumps(resource)
        named = {key.replace("_", "-"): value for key, value in headers.items()} | {"Content-Type": media_type}
        async with self.session.request(method, URL(self.url + path, encoded=True), data=body, headers=named) as answer:
            content = await answer.read()
            fhir = answer.content_type == FHIR and content
            return answer.status, loads(content) if fhir else content, answer.headers


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        # aiohttp sends an idempotent request again by itself when its connection is cut, which nobody here would see.
        session._retry_connection = False
        yield session


@pytest.fixture
async def server() -> AsyncIterator[ReceivingServer]:
    async with ReceivingServer() as server:
        yield server


@pytest.fixture
async def client(session: aiohttp.ClientSession, server: ReceivingServer) -> Client:
    return Client(session, server.url)


# --- create, read, update --------------------------------------------------------------------------------------


async def test_versions_are_kept_and_a_repeat_makes_none(client: Client, server: ReceivingServer) -> None:
    status, held, headers = await client.ask("PUT", "/Patient/p", patient("p", birthDate="1985"))
    assert (status, headers["ETag"]) == (201, 'W/"1"')
    assert headers["Location"] == f"{server.url}/Patient/p/_history/1"
    assert held["meta"]["versionId"] == "1"
    assert (await client.ask("PUT", "/Patient/p", patient("p", birthDate="1985")))[0] == 200
    status, held, headers = await client.ask("PUT", "/Patient/p", patient("p", birthDate="1986"))
    assert (status, headers["ETag"], held["meta"]["versionId"]) == (200, 'W/"2"', "2")
    assert (await client.ask("GET", "/Patient/p"))[1]["birthDate"] == "1986"
    assert (await client.ask("GET", "/Patient/p/_history/1"))[1]["birthDate"] == "1985"
    assert server.holdings.effects[SYSTEM, "1"] == 2
    assert server.holdings.arrivals[SYSTEM, "1"] == 3
    assert len(server.holdings.history("Patient", "p")) == 2


async def test_what_is_sent_comes_back_digit_for_digit(client: Client) -> None:
    body = b'{"resourceType":"Observation","id":"o","valueQuantity":{"value":1.10}}'
    await client.ask("PUT", "/Observation/o", body)
    status, content, _ = await client.ask("GET", "/Observation/o")
    assert (status, str(content["valueQuantity"]["value"])) == (200, "1.10")
    assert (await client.ask("PUT", "/Observation/o", body.replace(b"1.10", b"1.1")))[2]["ETag"] == 'W/"2"'


async def test_post_gives_an_id_and_creates_again_unless_told_not_to(client: Client, server: ReceivingServer) -> None:
    first = await client.ask("POST", "/Patient", patient())
    second = await client.ask("POST", "/Patient", patient())
    assert (first[0], second[0]) == (201, 201)
    assert first[1]["id"] != second[1]["id"]
    other = f"identifier={quote(SYSTEM + '|2', safe='')}"
    assert (await client.ask("POST", "/Patient", patient(value="2"), If_None_Exist=other))[0] == 201
    assert (await client.ask("POST", "/Patient", patient(value="2"), If_None_Exist=other))[0] == 200
    assert server.holdings.effects == {(SYSTEM, "1"): 2, (SYSTEM, "2"): 1}


async def test_a_deleted_resource_is_gone_and_may_come_back(client: Client) -> None:
    await client.ask("PUT", "/Patient/p", patient("p"))
    assert (await client.ask("DELETE", "/Patient/p"))[0] == 204
    assert (await client.ask("DELETE", "/Patient/p"))[0] == 204
    assert (await client.ask("GET", "/Patient/p"))[0] == 410
    assert (await client.ask("GET", f"/Patient?identifier={SYSTEM}|1"))[1]["total"] == 0
    status, _, headers = await client.ask("PUT", "/Patient/p", patient("p"))
    assert (status, headers["ETag"]) == (201, 'W/"3"')


async def test_a_condition_finds_what_it_updates(client: Client, server: ReceivingServer) -> None:
    address = f"/Patient?identifier={quote(SYSTEM + '|1', safe='')}"
    created = await client.ask("PUT", address, patient())
    updated = await client.ask("PUT", address, patient(birthDate="1985"))
    assert (created[0], updated[0]) == (201, 200)
    assert created[1]["id"] == updated[1]["id"]
    assert server.holdings.effects[SYSTEM, "1"] == 2
    await client.ask("PUT", "/Patient/second", patient("second"))
    status, outcome, _ = await client.ask("PUT", address, patient())
    assert (status, outcome["issue"][0]["code"]) == (412, "multiple-matches")


async def test_somebody_elses_change_is_not_overwritten(client: Client) -> None:
    await client.ask("PUT", "/Patient/p", patient("p"))
    assert (await client.ask("PUT", "/Patient/p", patient("p", gender="male"), If_Match='W/"1"'))[0] == 200
    assert (await client.ask("PUT", "/Patient/p", patient("p", gender="other"), If_Match='W/"1"'))[0] == 412
    assert (await client.ask("GET", "/Patient/p"))[1]["gender"] == "male"


SEARCHES = [
    (f"identifier={SYSTEM}|1", ["a"]),
    (f"identifier={quote(SYSTEM + '|1', safe='')}", ["a"]),
    ("identifier=1", ["a", "c"]),
    ("identifier=|1", ["c"]),
    (f"identifier={SYSTEM}|1,{SYSTEM}|2", ["a", "b"]),
    ("identifier=x%5C%7Cy%5C%2Cz", ["d"]),
    (f"identifier={SYSTEM}|9", []),
    (f"identifier={SYSTEM}|1&_id=b", []),
    ("_id=a,b", ["a", "b"]),
    ("", ["a", "b", "c", "d"]),
]


@pytest.mark.parametrize(("query", "ids"), SEARCHES)
async def test_a_search_finds_what_it_asks_for(client: Client, query: str, ids: list[str]) -> None:
    for id_, identifier in (("a", (SYSTEM, "1")), ("b", (SYSTEM, "2")), ("c", ("", "1")), ("d", ("", "x|y,z"))):
        system = {"system": identifier[0]} if identifier[0] else {}
        await client.ask("PUT", f"/Patient/{id_}", patient(id_) | {"identifier": [system | {"value": identifier[1]}]})
    by_get = (await client.ask("GET", f"/Patient?{query}"))[1]
    by_post = (
        await client.ask("POST", "/Patient/_search", query.encode(), media_type="application/x-www-form-urlencoded")
    )[1]
    assert [entry["resource"]["id"] for entry in by_get.get("entry", [])] == ids
    assert by_get == by_post
    assert by_get["total"] == len(ids)


# --- documents and transactions ---------------------------------------------------------------------------------


def document(value: str = "urn:uuid:5d1e3d3a-0000-4000-8000-000000000001", title: str = "Summary") -> dict[str, Any]:
    composition = {
        "resourceType": "Composition",
        "id": "5d1e3d3a-0000-4000-8000-000000000002",
        "status": "final",
        "type": {"text": "Discharge summary"},
        "date": "2025-03-14T10:30:00+00:00",
        "author": [{"display": "Ward clerk"}],
        "title": title,
    }
    return document_bundle(
        [Entry("urn:uuid:5d1e3d3a-0000-4000-8000-000000000002", composition)],
        identifier={"system": "urn:ietf:rfc:3986", "value": value},
        timestamp="2025-03-14T10:31:00Z",
        identity="5d1e3d3a-0000-4000-8000-000000000001",
    )


async def test_a_document_is_held_as_it_is_and_found_by_its_identifier(client: Client, server: ReceivingServer) -> None:
    sent = document()
    assert (await client.ask("PUT", f"/Bundle/{sent['id']}", sent))[0] == 201
    assert (await client.ask("PUT", f"/Bundle/{sent['id']}", sent, Prefer="return=minimal"))[:2] == (200, b"")
    found = (await client.ask("GET", f"/Bundle?identifier=urn:ietf:rfc:3986|{sent['identifier']['value']}"))[1]
    held = found["entry"][0]["resource"]
    assert {key: held[key] for key in sent} == sent
    assert server.holdings.effects["urn:ietf:rfc:3986", sent["identifier"]["value"]] == 1
    assert server.holdings.all("Bundle") == [held]


def stay(patient_url: str, value: str = "stay") -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": f"enc-{value}",
        "identifier": [{"system": SYSTEM, "value": value}],
        "status": "finished",
        "class": {"code": "IMP"},
        "subject": {"reference": patient_url},
        "length": {"value": 3},
    }


async def test_a_transaction_rewrites_what_its_entries_refer_to(client: Client, server: ReceivingServer) -> None:
    await client.ask("PUT", "/Patient/known", patient("known"))
    url = "urn:uuid:5d1e3d3a-0000-4000-8000-00000000000a"
    bundle = transaction_bundle(
        [Entry(url, patient("x", birthDate="1985"), upsert=(SYSTEM, "1")), Entry("urn:uuid:b", stay(url))]
    )
    status, response, _ = await client.ask("POST", "", bundle)
    assert (status, response["type"]) == (200, "transaction-response")
    assert [entry["response"]["status"] for entry in response["entry"]] == ["200 OK", "201 Created"]
    assert response["entry"][0]["response"]["location"] == "Patient/known/_history/2"
    encounter = server.holdings.read("Encounter", "enc-stay").resource
    assert encounter is not None
    assert encounter["subject"] == {"reference": "Patient/known"}
    again = (await client.ask("POST", "", bundle))[1]
    assert [entry["response"]["etag"] for entry in again["entry"]] == ['W/"2"', 'W/"1"']
    assert server.holdings.effects == {(SYSTEM, "1"): 2, (SYSTEM, "stay"): 1}


def put(resource: dict[str, Any], **request: str) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource.get('id', '')}"
    return {"resource": resource, "request": {"method": "PUT", "url": url} | request}


BAD_TRANSACTIONS: list[tuple[list[Any], int]] = [
    ([put(patient("a")), put(stay("urn:uuid:nobody"))], 400),
    ([put(patient("a")), put(stay("Patient?identifier=nobody"))], 412),
    ([put(patient("a")), put(patient("a"))], 400),
    ([put(patient("a")), put(patient("b"), url="Patient/c")], 400),
    ([put(patient("a")), put(patient("b"), ifMatch='W/"7"')], 412),
    ([put(patient("a")), put(patient("b"), url="Encounter/b")], 400),
    ([put(patient("a")), put(patient("b"), url="patient/b")], 404),
    ([put(patient("a")), put(patient("b"), method="PATCH")], 400),
    ([put(patient("a")), put(patient("b"), url="Patient?name=x")], 400),
    ([put(patient("a")), {"resource": patient("b")}], 400),
    ([put(patient("a")), {"request": {"method": "PUT", "url": "Patient/b"}}], 400),
    ([put(patient("a")), "x"], 400),
]


@pytest.mark.parametrize(("entries", "status"), BAD_TRANSACTIONS)
async def test_a_transaction_is_done_whole_or_not_at_all(
    client: Client, server: ReceivingServer, entries: list[Any], status: int
) -> None:
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    found, outcome, _ = await client.ask("POST", "", bundle)
    assert (found, outcome["resourceType"]) == (status, "OperationOutcome")
    assert not server.holdings.effects
    assert server.holdings.all("Patient") == []
    # The first entry alone is good: what kept it out is the other.
    assert (await client.ask("POST", "", bundle | {"entry": entries[:1]}))[0] == 200


async def test_a_batch_does_what_it_can(client: Client, server: ReceivingServer) -> None:
    entries = [put(patient("a")), put(patient("b"), url="Patient/c"), put(patient("d", value="2"))]
    status, response, _ = await client.ask("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert status == 200
    assert [entry["response"]["status"][:3] for entry in response["entry"]] == ["201", "400", "201"]
    assert len(server.holdings.all("Patient")) == 2


async def test_a_message_is_taken(client: Client, server: ReceivingServer) -> None:
    message = {"resourceType": "Bundle", "type": "message", "identifier": {"system": SYSTEM, "value": "m"}}
    status, outcome, _ = await client.ask("POST", "/$process-message", message)
    assert (status, outcome["resourceType"]) == (200, "OperationOutcome")
    assert server.holdings.effects[SYSTEM, "m"] == 1
    assert (await client.ask("POST", "/$process-message", document()))[0] == 400


# --- refusals ------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, str, Any, str, int]] = [
    ("GET", "/Patient/nobody", None, FHIR, 404),
    ("GET", "/Patient/nobody/_history/1", None, FHIR, 404),
    ("GET", "/Patient?name=x", None, FHIR, 400),
    ("GET", "/", None, FHIR, 405),
    ("PATCH", "/Patient/p", patient("p"), FHIR, 405),
    ("POST", "", patient("p"), FHIR, 400),
    ("POST", "/Patient/p", patient("p"), FHIR, 405),
    ("PUT", "/Patient/p", patient("q"), FHIR, 400),
    ("PUT", "/Patient/p", patient(), FHIR, 400),
    ("PUT", "/Patient", patient(), FHIR, 400),
    ("PUT", "/Patient/p_p", patient("p_p"), FHIR, 404),
    ("PUT", "/Encounter/p", patient("p"), FHIR, 400),
    ("PUT", "/Patient/p", b"<Patient/>", "application/fhir+xml", 415),
    ("PUT", "/Patient/p", b"{not json", FHIR, 400),
    ("PUT", "/Patient/p", b"[]", FHIR, 400),
    ("POST", "/Patient/_search", b"x", FHIR, 415),
]


@pytest.mark.parametrize(("method", "path", "resource", "media_type", "status"), REFUSED)
async def test_what_a_server_must_refuse(
    client: Client, server: ReceivingServer, method: str, path: str, resource: Any, media_type: str, status: int
) -> None:
    found, outcome, _ = await client.ask(method, path, resource, media_type)
    assert (found, outcome["resourceType"]) == (status, "OperationOutcome")
    assert not server.holdings.effects


async def test_a_server_may_ask_for_a_token_take_no_updates_and_have_a_path(session: aiohttp.ClientSession) -> None:
    async with ReceivingServer(token="let-me-in", updates=False, base="/R4/") as server:
        client = Client(session, server.url)
        assert server.url.endswith("/R4")
        assert (await client.ask("POST", "/Patient", patient()))[0] == 401
        assert (await client.ask("POST", "/Patient", patient(), Authorization="Bearer let-me-out"))[0] == 401
        assert (await client.ask("POST", "/Patient", patient(), Authorization="Bearer let-me-in"))[0] == 201
        assert (await client.ask("PUT", "/Patient/p", patient("p"), Authorization="Bearer let-me-in"))[0] == 405
        outside = Client(session, server.url.removesuffix("/R4"))
        assert (await outside.ask("POST", "/Patient", patient(), Authorization="Bearer let-me-in"))[0] == 404


async def test_what_is_not_good_fhir_is_refused_if_wanted(session: aiohttp.ClientSession) -> None:
    bad = patient("p", gender="femail")
    async with ReceivingServer() as lenient, ReceivingServer(validates=True) as strict:
        assert (await Client(session, lenient.url).ask("PUT", "/Patient/p", bad))[0] == 201
        client = Client(session, strict.url)
        status, outcome, _ = await client.ask("PUT", "/Patient/p", bad)
        assert (status, outcome["resourceType"]) == (422, "OperationOutcome")
        assert "femail" not in str(outcome)
        assert (await client.ask("PUT", "/Patient/p", patient("p", gender="female")))[0] == 201
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [put(bad)]}
        assert (await client.ask("POST", "", bundle))[0] == 422
        assert strict.holdings.effects[SYSTEM, "1"] == 1


async def test_the_capability_statement_is_good_fhir_and_asks_for_nothing(session: aiohttp.ClientSession) -> None:
    async with ReceivingServer(plan=lambda _: DROP_BEFORE, token="let-me-in") as server:
        status, statement, _ = await Client(session, server.url).ask("GET", "/metadata")
        assert (status, statement["fhirVersion"]) == (200, "4.0.1")
        assert CapabilityStatement.model_validate(statement)
        assert not server.requests


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "after"),
    [(unavailable(2.5), 503, "3"), (unavailable(status=429), 429, None), (UNAUTHORISED, 401, None),
     (UNPROCESSABLE, 422, None)],
)  # fmt: skip
async def test_a_refusal_has_no_effect(
    client: Client, server: ReceivingServer, fault: kit.Fault, status: int, after: str | None
) -> None:
    server.plan = in_turn(fault)
    found, outcome, headers = await client.ask("PUT", "/Patient/p", patient("p"))
    assert (found, outcome["resourceType"], headers.get("Retry-After")) == (status, "OperationOutcome", after)
    assert not server.holdings.effects
    assert (await client.ask("PUT", "/Patient/p", patient("p")))[0] == 201


async def test_a_proxy_in_the_way_says_200_and_does_nothing(client: Client, server: ReceivingServer) -> None:
    server.plan = in_turn(NOT_FHIR)
    status, page, _ = await client.ask("PUT", "/Patient/p", patient("p"))
    assert (status, page[:6]) == (200, b"<html>")
    assert not server.holdings.effects


@pytest.mark.parametrize(("fault", "effects"), [(DROP_BEFORE, 0), (DROP_AFTER, 1)])
async def test_a_cut_connection_tells_the_sender_nothing(
    client: Client, server: ReceivingServer, fault: kit.Fault, effects: int
) -> None:
    server.plan = first_time(fault)
    with pytest.raises(aiohttp.ClientError):
        await client.ask("PUT", "/Patient/p", patient("p"))
    assert server.holdings.effects[SYSTEM, "1"] == effects
    assert (await client.ask("PUT", "/Patient/p", patient("p")))[0] == (200 if effects else 201)
    assert server.holdings.effects[SYSTEM, "1"] == 1
    assert [(a.asked.time, a.fault, a.status) for a in server.requests] == [
        (1, fault, 0),
        (2, OK, 200 if effects else 201),
    ]


async def test_a_slow_answer_comes_after_the_effect(session: aiohttp.ClientSession) -> None:
    async with ReceivingServer(plan=lambda _: slow(600)) as server:
        client = Client(session, server.url)
        asking = asyncio.create_task(client.ask("PUT", "/Patient/p", patient("p")))
        while not server.holdings.effects:  # noqa: ASYNC110  (the server tells of a request when it is finished with)
            await asyncio.sleep(0.01)
        assert not asking.done()
    # Leaving the context cuts off whoever still waits.
    with pytest.raises(aiohttp.ClientError):
        await asking
    assert server.holdings.effects[SYSTEM, "1"] == 1


async def test_a_test_can_wait_for_what_the_server_gets(client: Client, server: ReceivingServer) -> None:
    waiting = asyncio.create_task(server.until(lambda: server.holdings.effects[SYSTEM, "1"] == 2))
    await client.ask("PUT", "/Patient/p", patient("p"))
    assert not waiting.done()
    await client.ask("PUT", "/Patient/p", patient("p", gender="male"))
    await waiting
    with pytest.raises(TimeoutError):
        await server.until(lambda: False, seconds=0.01)


async def test_a_server_that_is_started_again_is_the_same(session: aiohttp.ClientSession) -> None:
    server = ReceivingServer()
    await server.start()
    url = server.url
    await Client(session, url).ask("PUT", "/Patient/p", patient("p"))
    await server.stop()
    with pytest.raises(aiohttp.ClientError):
        await Client(session, url).ask("GET", "/Patient/p")
    await server.start()
    assert (await Client(session, url).ask("GET", "/Patient/p"))[0] == 200
    await server.stop()


async def test_a_clock_of_ones_own(session: aiohttp.ClientSession) -> None:
    async with ReceivingServer(clock=lambda: datetime(2026, 1, 5, 9, tzinfo=UTC)) as server:
        _, held, headers = await Client(session, server.url).ask("PUT", "/Patient/p", patient("p"))
    assert held["meta"]["lastUpdated"] == "2026-01-05T09:00:00.000Z"
    assert headers["Last-Modified"] == "Mon, 05 Jan 2026 09:00:00 GMT"
    assert validate(held) == ()


def test_the_kit_has_what_it_says() -> None:
    assert all(getattr(kit, name) for name in kit.__all__)
    with pytest.raises(AttributeError):
        _ = kit.nothing_of_the_kind
