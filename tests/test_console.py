"""The reading side over real HTTP: who sees what, that it is in the log first, and that the description is true."""

from __future__ import annotations

import asyncio
import io
import json
import re
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

import shipped
from gateways import configuration
from mhbridge import config
from mhbridge import log as logs
from mhbridge.app import build
from mhbridge.console import description
from mhbridge.errors import DestinationRejected, MappingError, StoreError, explanations

ROOT = Path(__file__).parents[1]
LETTERS = ROOT / "fixtures" / "example-mental-health" / "discharge-letter"
PLAIN = (LETTERS / "plain.hl7").read_bytes()
EVENT = (LETTERS.parent / "adt" / "a03-discharge.hl7").read_bytes()
SUPPLIER = "example-mental-health"

ACCESS = """
[[access]]
token = "env:VIEWER"
roles = ["viewer"]
[[access]]
token = "env:OPERATOR"
roles = ["operator"]
[[access]]
token = "env:CLINICAL"
roles = ["clinical"]
name = "records"
"""
TOKENS = {"VIEWER": "v-secret", "OPERATOR": "o-secret", "CLINICAL": "c-secret"}


WHY = "asked by the ward, call 17"

_TOLD = description("test")["paths"]


def _template(path):
    """The path of the description that a path of a request is of."""
    path = re.sub(r"/\d+(?=/|$)", "/{id}", path.partition("?")[0])
    path = re.sub(r"^/destinations/[^/]+", "/destinations/{name}", path)
    return re.sub(r"^/(feeds|translate)/[^/]+/[^/]+", r"/\1/{supplier}/{feed}", path)


class Console:
    def __init__(self, app, session, stream):
        self.app, self.session, self.stream = app, session, stream

    async def ask(self, method, path, role=None, why=WHY, **options):
        """(status, body): JSON where it is JSON."""
        headers = {"Authorization": f"Bearer {TOKENS[role.upper()]}"} if role else {}
        headers |= {"X-Reason": why} if why else {}
        async with self.session.request(method, path, headers=headers, **options) as response:
            body = await response.read()
            told = _TOLD.get(_template(path), {}).get(method)
            assert told is None or str(response.status) in told["responses"], "a status that the description has not"
            return response.status, json.loads(body) if response.content_type.endswith("json") else body

    async def send(self, body, feed="http"):
        async with self.session.post(f"/feeds/{SUPPLIER}/{feed}/messages", data=body) as response:
            return int(response.headers["Location"].rsplit("/", 1)[1])

    async def delivered(self, message, *states):
        async with asyncio.timeout(5):
            while [d["state"] for d in (await self.app.store.trace(message)).deliveries] != list(states):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def lines(self, event):
        return [line for line in map(json.loads, self.stream.getvalue().splitlines()) if line["event"] == event]


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """The mappings are compiled once and not for each test."""
    catalogue = shipped.catalogue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mhbridge.mapping.catalogue.Catalogue", lambda _: catalogue)
        yield


@asynccontextmanager
async def console(path, access=ACCESS):
    text = configuration(mappings=str(ROOT / "mappings"), access=access)
    stream = io.BytesIO()
    app = build(config.parse(text, base=path, environ=TOKENS), log=logs.make(stream))
    await app.open()
    try:
        async with aiohttp.ClientSession(app.receivers["http"].address) as session:
            yield Console(app, session, stream)
    finally:
        await app.close()


def code(body):
    found = body["issue"][0]["details"]["coding"][0]["code"]
    assert found in explanations()
    return found


# --- who may do what ---------------------------------------------------------------------------------------

#: Route → the role it needs; for each, what whoever has it gets.
ROLES = {
    ("get", "/messages"): ("viewer", 200),
    ("post", "/messages/search"): ("viewer", 400),
    ("get", "/messages/{id}"): ("viewer", 200),
    ("get", "/messages/{id}/trace"): ("viewer", 200),
    ("get", "/messages/{id}/original"): ("clinical", 200),
    ("get", "/messages/{id}/documents"): ("clinical", 200),
    ("post", "/messages/{id}/resend"): ("operator", 200),
    ("post", "/messages/{id}/reprocess"): ("operator", 200),
    ("post", "/messages/{id}/close"): ("operator", 400),
    ("post", "/deliveries/{id}/release"): ("operator", 409),
    ("get", "/parked"): ("viewer", 200),
    ("get", "/parked/causes"): ("viewer", 200),
    ("post", "/parked/reprocess"): ("operator", 400),
    ("get", "/tasks"): ("viewer", 200),
    ("post", "/tasks/{id}/take"): ("operator", 409),
    ("post", "/tasks/{id}/done"): ("operator", 400),
    ("get", "/destinations"): ("viewer", 200),
    ("post", "/destinations/{name}/release"): ("operator", 409),
    ("get", "/status"): ("viewer", 200),
    ("get", "/mappings"): ("viewer", 200),
    ("post", "/mappings/reload"): ("operator", 200),
    ("get", "/metrics"): ("viewer", 200),
    ("post", "/translate/example-mental-health/discharge-letter"): ("viewer", 400),
    ("get", "/health/live"): (None, 200),
    ("get", "/health/ready"): (None, 200),
    ("get", "/openapi.json"): (None, 200),
}


@pytest.mark.parametrize("route", ROLES, ids=lambda route: f"{route[0]} {route[1]}")
async def test_every_route_and_every_role(tmp_path, route):
    (method, path), (needed, good) = route, ROLES[route]
    async with console(tmp_path) as world:
        message = await world.send(PLAIN)
        await world.delivered(message, "done")
        for role in (None, "viewer", "operator", "clinical"):
            status, body = await world.ask(method, path.format(id=message, name="out"), role)
            allowed = needed is None or needed == role or (needed == "viewer" and role is not None)
            assert status == (good if allowed else 401 if role is None else 403), role
            if not allowed:
                assert code(body) in ("D921", "D922")
        denied = world.lines("access_denied")
        assert len(denied) == {None: 0, "viewer": 1}.get(needed, 3)
        assert all(token not in world.stream.getvalue().decode() for token in TOKENS.values())


async def test_the_roles_of_every_route_are_tested_above_and_told_in_the_description(tmp_path):
    async with console(tmp_path) as world:
        _, said = await world.ask("get", "/openapi.json")
        routes = {
            (method, path): operation.get("description", "").removeprefix("Needs the role ").rstrip(".") or None
            for path, operations in said["paths"].items()
            for method, operation in operations.items()
        }
    routes.pop(("post", "/feeds/{supplier}/{feed}/messages"))
    routes.pop(("post", "/fhir/$process-message"))
    # A destination says what became of what it was sent with a token of its own (test_acknowledgements).
    routes.pop(("post", "/destinations/{name}/acknowledgements"))
    routes["post", "/translate/example-mental-health/discharge-letter"] = routes.pop(
        ("post", "/translate/{supplier}/{feed}")
    )
    assert routes == {route: role for route, (role, _) in ROLES.items()}


async def test_the_description_is_of_all_routes_that_there_are(tmp_path):
    async with console(tmp_path) as world:
        _, said = await world.ask("get", "/openapi.json")
        application = world.app.receivers["http"]._runner.app
        there = {
            (route.method.lower(), route.resource.canonical)
            for route in application.router.routes()
            if route.method != "HEAD"
        }
    assert said["openapi"].startswith("3.1")
    assert {(method, path) for path, methods in said["paths"].items() for method in methods} == there


def test_the_description_says_what_a_body_holds_and_what_may_be_answered():
    def body(path):
        return _TOLD[path]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert body("/messages/search")["required"] == ["search"]
    assert set(body("/messages/search")["properties"]) == {
        "search", "kind", "state", "feed", "since", "until", "before", "most",
    }  # fmt: skip
    assert (body("/messages/{id}/close")["required"], list(body("/messages/{id}/close")["properties"])) == (
        ["why"],
    ) * 2
    door = set(_TOLD["/feeds/{supplier}/{feed}/messages"]["post"]["responses"])
    assert door >= {"200", "202", "400", "401", "403", "404", "413", "415", "422", "503"}


@pytest.mark.parametrize("route", ROLES, ids=lambda route: f"{route[0]} {route[1]}")
async def test_without_any_credential_states_can_be_read_and_nothing_else(tmp_path, route):
    (method, path), (needed, good) = route, ROLES[route]
    async with console(tmp_path, access="") as world:
        message = await world.send(PLAIN)
        await world.delivered(message, "done")
        status, _ = await world.ask(method, path.format(id=message, name="out"))
        assert status == (good if needed in (None, "viewer") else 403)


# --- what is shown -----------------------------------------------------------------------------------------


async def test_lists_are_narrowed_and_hold_no_values(tmp_path):
    async with console(tmp_path) as world:
        plain = await world.send(PLAIN)
        restricted = await world.send((LETTERS / "restricted-patient.hl7").read_bytes())

        async def ids(path):
            status, body = await world.ask("get", path, "viewer")
            assert status == 200
            return [row["id"] for row in body["messages"]]

        assert await ids("/messages") == [restricted, plain]
        assert await ids("/messages?state=done") == [plain]
        assert await ids(f"/messages?feed={SUPPLIER}/http&most=1") == [restricted]
        assert await ids(f"/messages?before={restricted}") == [plain]
        assert await ids("/parked") == [restricted]
        _, body = await world.ask("get", f"/messages/{plain}/trace", "viewer")
        assert [delivery["destination"] for delivery in body["deliveries"]] == ["out"]
        said = json.dumps(body) + json.dumps((await world.ask("get", "/messages", "viewer"))[1])
        patient = PLAIN.split(b"\rPID|")[1].split(b"\r")[0].split(b"|")[4].split(b"^")
        assert all(part.decode() not in said for part in patient if len(part) > 3)


WRONG = {
    "/messages?state=gone": 400,
    "/messages?most=0": 400,
    "/messages?most=1001": 400,
    "/messages?most=x": 400,
    "/messages?before=-1": 400,
    "/messages?unknown=1": 400,
    "/messages?search=9990000018": 400,
    "/tasks?unknown=1": 400,
    "/tasks?most=0": 400,
    "/tasks?ended=maybe": 400,
    "/messages/999999999999": 404,
    "/messages/999999999999/trace": 404,
    "/messages/x": 404,
    "/messages/99999999999999999999999999": 404,
}


@pytest.mark.parametrize("path", WRONG)
async def test_a_question_that_cannot_be_answered_is_told_so(tmp_path, path):
    async with console(tmp_path) as world:
        status, body = await world.ask("get", path, "viewer")
        assert status == WRONG[path]
        assert code(body) in ("D920", "D923")
        assert "9990000018" not in json.dumps(body)


async def test_what_is_searched_for_comes_in_the_body(tmp_path):
    control_id = PLAIN.split(b"|")[9].decode()
    async with console(tmp_path) as world:
        message = await world.send(PLAIN)
        status, body = await world.ask("post", "/messages/search", "viewer", json={"search": control_id, "most": 5})
        assert (status, [row["id"] for row in body["messages"]]) == (200, [message])
        _, body = await world.ask("post", "/messages/search", "viewer", json={"search": "nothing"})
        assert body == {"messages": [], "before": None}
        for wrong in ({}, {"search": 7}, {"search": "x", "other": 1}, []):
            assert (await world.ask("post", "/messages/search", "viewer", json=wrong))[0] == 400
        assert (await world.ask("post", "/messages/search", "viewer", data=b"{"))[0] == 400


async def test_bodies_are_read_by_clinical_credentials_and_it_is_in_the_log_first(tmp_path):
    async with console(tmp_path) as world:
        message = await world.send(PLAIN)
        original, seen = world.app.store.original, []

        async def watched(about):
            seen.append([(line.who, line.act, line.why) for line in await world.app.store.audited(about=about)])
            return await original(about)

        world.app.store.original = watched
        assert await world.ask("get", f"/messages/{message}/original", "clinical") == (200, PLAIN)
        assert seen == [[("records", "read original", WHY)]]
        status, body = await world.ask("get", f"/messages/{message}/documents", "clinical")
        assert status == 200
        (document,) = body["documents"]
        assert document["content"]["resourceType"] == "Bundle"
        assert [(line["who"], line["kind"], line["message"]) for line in world.lines("body_read")] == [
            ("records", "original", message),
            ("records", "documents", message),
        ]


@pytest.mark.parametrize("why", ["", "   ", "x" * 201, "a\tb"], ids=["none", "blank", "long", "unprintable"])
@pytest.mark.parametrize("part", ["original", "documents"])
async def test_without_a_reason_nothing_of_a_patient_is_read(tmp_path, part, why):
    async with console(tmp_path) as world:
        message = await world.send(PLAIN)
        status, body = await world.ask("get", f"/messages/{message}/{part}", "clinical", why=why)
        assert (status, code(body)) == (400, "D920")
        assert await world.app.store.audited() == []
        # Who may not read is told that, and not what is missing.
        assert (await world.ask("get", f"/messages/{message}/{part}", "operator", why=why))[0] == 403


@pytest.mark.parametrize("part", ["original", "documents"])
async def test_what_cannot_be_in_the_log_is_not_read(tmp_path, part):
    async with console(tmp_path) as world:
        message = await world.send(PLAIN)

        async def full(*_values, **_named):
            raise StoreError("S210", "full")

        world.app.store.audit = full
        world.app.store.original = world.app.store.documents = None
        assert (await world.ask("get", f"/messages/{message}/{part}", "clinical"))[0] == 503
        assert (await world.ask("post", f"/messages/{message}/resend", "operator"))[0] == 503


async def test_every_act_is_in_the_log_and_so_is_everybody_who_was_refused(tmp_path):
    async with console(tmp_path) as world:
        message = await world.send((LETTERS / "restricted-patient.hl7").read_bytes())
        acts = [route for route, (needed, _) in ROLES.items() if needed in ("operator", "clinical")]
        for method, path in acts:
            await world.ask(
                method, path.format(id=message, name="out"), "viewer", json={"why": "posted", "as": "posted"}
            )
        lines = await world.app.store.audited()
        assert [line.act for line in reversed(lines)] == [f"denied {m.upper()} {path}" for m, path in acts]
        assert {(line.who, line.why) for line in lines} == {("env:VIEWER", "")}
        assert [line.about for line in reversed(lines)] == [message if "{id}" in path else 0 for _, path in acts]
        for method, path in acts:
            needed, _ = ROLES[method, path]
            await world.ask(method, path.format(id=message, name="out"), needed, json={"why": "posted", "as": "posted"})
        done = {line.act: (line.who, line.why) for line in (await world.app.store.audited(most=len(acts)))[::-1]}
        assert (
            done.items()
            >= {
                "read original": ("records", WHY),
                "read documents": ("records", WHY),
                "resend": ("env:OPERATOR", ""),
                "close": ("env:OPERATOR", "posted"),
                "release": ("env:OPERATOR", ""),
                "take task": ("env:OPERATOR", ""),
                "end task": ("env:OPERATOR", "posted"),
                "reload mappings": ("env:OPERATOR", ""),
            }.items()
        )
        assert len(done) == len(acts)
        assert await world.app.store.verify_log() > len(acts)
        # Nobody who is not known is written down: whoever cannot come in could fill the log.
        before = len(await world.app.store.audited())
        assert (await world.ask("get", f"/messages/{message}/original"))[0] == 401
        assert len(await world.app.store.audited()) == before


async def test_a_message_is_sent_again_once_it_has_been_delivered(tmp_path):
    async with console(tmp_path) as world:
        message = await world.send(PLAIN)
        await world.delivered(message, "done")
        assert await world.ask("post", f"/messages/{message}/resend", "operator") == (200, {"deliveries": 1})
        await world.delivered(message, "done", "done")
        assert len([file for file in (tmp_path / "out").iterdir() if file.is_file()]) == 2
        assert [line["who"] for line in world.lines("resent")] == ["env:OPERATOR"]
        status, _ = await world.ask("post", "/messages/999999999999/resend", "operator")
        assert status == 404


async def test_a_parked_message_is_ended_by_a_person_with_a_reason(tmp_path):
    async with console(tmp_path) as world:
        message = await world.send((LETTERS / "restricted-patient.hl7").read_bytes())
        status, body = await world.ask("post", f"/messages/{message}/close", "operator", json={"why": "sent by post"})
        assert (status, body) == (200, {"closed": True})
        assert (await world.ask("get", f"/messages/{message}", "viewer"))[1]["state"] == "closed"
        again, body = await world.ask("post", f"/messages/{message}/close", "operator", json={"why": "again"})
        assert (again, code(body)) == (409, "D929")


async def test_a_parked_delivery_is_let_go_by_a_person(tmp_path):
    async with console(tmp_path) as world:
        (sender,) = world.app.senders
        deliver = sender.deliver

        async def refuse(_delivery):
            sender.deliver = deliver
            raise DestinationRejected("D946", "not wanted")

        sender.deliver = refuse
        message = await world.send(PLAIN)
        await world.delivered(message, "parked")
        (delivery,) = (await world.app.store.trace(message)).deliveries
        _, body = await world.ask("get", "/parked", "viewer")
        assert [(row["id"], row["state"]) for row in body["messages"]] == [(message, "done")]
        assert body["messages"][0]["waiting"] == [{"delivery": delivery["id"], "destination": "out", "code": "D946"}]
        assert b"\nmhbridge_messages_waiting 1\n" in (await world.ask("get", "/metrics", "viewer"))[1]
        path = f"/deliveries/{delivery['id']}/release"
        assert await world.ask("post", path, "operator") == (200, {"released": True})
        await world.delivered(message, "done")
        # What is not parked is let alone.
        assert (await world.ask("post", path, "operator"))[0] == 409
        assert [line["who"] for line in world.lines("released")] == ["env:OPERATOR"] * 2


async def test_what_is_parked_under_way_cannot_be_sent_again(tmp_path):
    async with console(tmp_path) as world:
        message = await world.send((LETTERS / "restricted-patient.hl7").read_bytes())
        status, body = await world.ask("post", f"/messages/{message}/resend", "operator")
        assert (status, code(body)) == (409, "D929")


async def test_a_task_is_taken_by_one_person_and_ends_with_what_it_is_about(tmp_path):
    async with console(tmp_path) as world:
        message = await world.send((LETTERS / "restricted-patient.hl7").read_bytes())
        _, body = await world.ask("get", "/tasks", "viewer")
        ((task,),) = body.values()
        told = {key: task[key] for key in ("what", "about", "cause", "queue", "severity", "holder")}
        assert told == {
            "what": "message", "about": message, "cause": "M740", "queue": "records", "severity": "high", "holder": "",
        }  # fmt: skip
        path = f"/tasks/{task['id']}"
        assert await world.ask("post", f"{path}/take", "operator") == (200, {"taken": True})
        assert (await world.ask("get", "/tasks?queue=records", "viewer"))[1]["tasks"][0]["holder"] == "env:OPERATOR"
        assert (await world.ask("get", "/tasks?queue=ward", "viewer"))[1] == {"tasks": []}
        status, body = await world.ask("post", f"{path}/done", "operator", json={"as": "looked at"})
        assert (status, code(body)) == (409, "D929")
        _, body = await world.ask("get", "/metrics", "viewer")
        assert b'\nmhbridge_tasks{queue="records",severity="high"} 1\n' in body
        assert b'\nmhbridge_tasks_overdue{queue="records",severity="high"} 0\n' in body
        await world.ask("post", f"/messages/{message}/close", "operator", json={"why": "sent by post"})
        assert (await world.ask("get", "/tasks", "viewer"))[1] == {"tasks": []}
        _, body = await world.ask("get", "/tasks?ended=yes", "viewer")
        assert [one["closed_as"] for one in body["tasks"]] == ["closed by env:OPERATOR"]
        about = await world.app.store.raise_task("feed", "D970", world.app.gateway._clock(), name="a/mllp")
        assert await world.ask("post", f"/tasks/{about}/done", "operator", json={"as": "seen to"}) == (
            200, {"done": True},
        )  # fmt: skip
        assert [line["task"] for line in world.lines("task_done")] == [task["id"], about]


async def test_status_adds_up_and_says_what_kind_of_gateway_this_is(tmp_path):
    async with console(tmp_path) as world:
        await world.send(PLAIN)
        _, body = await world.ask("get", "/status", "viewer")
        assert (body["mode"], body["ready"], body["receipts"], body["differences"]) == ("test", True, 1, [])


async def test_the_mappings_in_use_are_listed(tmp_path):
    async with console(tmp_path) as world:
        _, body = await world.ask("get", "/mappings", "viewer")
        assert {f"{SUPPLIER}/adt", f"{SUPPLIER}/discharge-letter"} <= {m["mapping"] for m in body["mappings"]}
        assert all(len(mapping["hash"]) == 32 for mapping in body["mappings"])


# --- translate ---------------------------------------------------------------------------------------------


async def test_translate_gives_the_document_and_keeps_nothing(tmp_path):
    async with console(tmp_path, access="") as world:
        status, body = await world.ask("post", f"/translate/{SUPPLIER}/discharge-letter?target=r4", data=PLAIN)
        assert (status, body["resourceType"]) == (200, "Bundle")
        assert (await world.app.store.status(world.app.gateway._clock())).receipts == 0


async def test_translate_gives_one_line_a_message(tmp_path):
    two = PLAIN + b"\r" + PLAIN.replace(PLAIN.split(b"|")[9], b"OTHER-ID")
    async with console(tmp_path, access="") as world:
        async with world.session.post(f"/translate/{SUPPLIER}/discharge-letter", data=two) as response:
            assert (response.status, response.content_type) == (200, "application/x-ndjson")
            lines = (await response.read()).splitlines()
        assert [json.loads(line)["resourceType"] for line in lines] == ["Bundle", "Bundle"]


async def test_translate_gives_the_page_that_a_person_reads_and_it_may_do_nothing(tmp_path):
    async with console(tmp_path, access="") as world:
        path = f"/translate/{SUPPLIER}/discharge-letter?target=letter"
        async with world.session.post(path, data=PLAIN) as response:
            assert (response.status, response.content_type) == (200, "text/html")
            assert response.headers["Content-Security-Policy"] == "sandbox"
            assert "<h1>Mental health inpatient discharge summary</h1>" in await response.text()


UNTRANSLATED = {
    "what cannot be read": (f"{SUPPLIER}/discharge-letter", b"hello", 400),
    "what the mapping does not take": (f"{SUPPLIER}/adt", PLAIN, 422),
    "what must be parked": (f"{SUPPLIER}/discharge-letter", (LETTERS / "bad-check-digit.hl7").read_bytes(), 422),
    "no such mapping": (f"{SUPPLIER}/other", PLAIN, 404),
    "no such target": (f"{SUPPLIER}/discharge-letter?target=r5", PLAIN, 400),
    "a mapping that is none": ("../../etc", PLAIN, 404),
    "a letter of two messages": (f"{SUPPLIER}/discharge-letter?target=letter", PLAIN + b"\r" + PLAIN, 422),
    "a letter of an event": (f"{SUPPLIER}/adt?target=letter", EVENT, 422),
}


@pytest.mark.parametrize("name", UNTRANSLATED)
async def test_translate_says_why_not(tmp_path, name):
    path, body, status = UNTRANSLATED[name]
    async with console(tmp_path, access="") as world:
        found, outcome = await world.ask("post", f"/translate/{path}", data=body)
        assert found == status
        assert outcome["resourceType"] == "OperationOutcome"


async def test_translate_with_a_mapping_that_has_errors_shows_nothing_of_it(tmp_path):
    async with console(tmp_path, access="") as world:

        def broken(_name):
            raise MappingError(world.app.gateway._feeds and [_diagnostic()])

        door = next(
            route
            for route in world.app.receivers["http"]._runner.app.router.routes()
            if route.resource.canonical.startswith("/translate")
        ).handler.__self__
        door._mapping = broken
        status, body = await world.ask("post", f"/translate/{SUPPLIER}/adt", data=PLAIN)
        assert (status, code(body)) == (422, "D928")


def _diagnostic():
    from mhbridge.errors import Diagnostic, Span

    return Diagnostic("E104", "unknown function", Span("x.yaml", 1, 1, 1, 2))
