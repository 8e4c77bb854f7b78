"""Delivery to a FHIR server: what each answer means, and that a repeat changes nothing there."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from mhbridge.adapters.fhir_server import FhirSender
from mhbridge.adapters.tokens import BearerToken, SignedTokens
from mhbridge.config import JwtAuth, Secret
from mhbridge.errors import (
    ConfigurationError,
    DestinationHeld,
    DestinationRejected,
    DestinationSilent,
    DestinationUnavailable,
)
from mhbridge.model import DeliveryState, Document
from mhbridge.ports import DueDelivery
from mhbridge.testing.faults import DROP_AFTER, DROP_BEFORE, NOT_FHIR, OK, in_turn, slow, unavailable
from mhbridge.testing.receiving import ReceivingServer

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UUID = "0b6f8b9f-974b-4a50-973b-8d0fda50973b"
IDENTIFIER = ("urn:ietf:rfc:3986", f"urn:uuid:{UUID}")
BODY = json.dumps(
    {
        "resourceType": "Bundle",
        "id": UUID,
        "type": "document",
        "identifier": {"system": IDENTIFIER[0], "value": IDENTIFIER[1]},
    }
).encode()
EVENTS = json.dumps(
    {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"urn:uuid:{UUID}",
                "resource": {"resourceType": "Patient", "id": "p1"},
                "request": {"method": "PUT", "url": "Patient/p1"},
            }
        ],
    }
).encode()


def due(body=BODY, bundle="document", attempts=0) -> DueDelivery:
    document = Document("letter", "r4", bundle, b"s" * 32, f"urn:uuid:{UUID}", body)
    values = {"id": 7, "message": 1, "destination": "fhir", "patient": 1, "number": 1, "deadline": None}
    return DueDelivery(**values, attempts=attempts, state=DeliveryState.SENDING, document=document)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


@asynccontextmanager
async def sending_to(base, **options):
    sender = FhirSender(name="fhir", base=base, **{"timeout": 2.0, "clock": lambda: START} | options)
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


@asynccontextmanager
async def answering(status=200, *, body=b"", headers=None, content_type="application/fhir+json"):
    """A server that says one thing to everything, and remembers what it was asked."""
    seen = []

    async def say(request):
        seen.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        return web.Response(status=status, body=body, headers=headers, content_type=content_type)

    application = web.Application(client_max_size=10**8)
    application.router.add_route("*", "/{path:.*}", say)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/R4", seen
    finally:
        await runner.cleanup()


# --- what an answer means ----------------------------------------------------------------------------------

ANSWERS = {
    200: None,
    201: None,
    204: None,
    301: DestinationRejected,
    302: DestinationRejected,
    307: DestinationRejected,
    308: DestinationRejected,
    400: DestinationRejected,
    401: DestinationHeld,
    403: DestinationHeld,
    408: DestinationUnavailable,
    409: DestinationUnavailable,
    410: DestinationRejected,
    412: DestinationUnavailable,
    413: DestinationRejected,
    415: DestinationRejected,
    422: DestinationRejected,
    429: DestinationUnavailable,
    500: DestinationUnavailable,
    502: DestinationUnavailable,
    503: DestinationUnavailable,
    504: DestinationUnavailable,
}


@pytest.mark.parametrize("status", ANSWERS)
async def test_a_status_decides_what_may_be_done_next(status):
    elsewhere = {"Location": "http://127.0.0.1:1/elsewhere"}
    async with answering(status, headers=elsewhere) as (base, seen), sending_to(base) as sender:
        if ANSWERS[status] is None:
            assert (await sender.deliver(due())).level == 2
        else:
            with pytest.raises(ANSWERS[status]):
                await sender.deliver(due())
    # Nothing was followed, nothing was tried twice; of a conflict it is read what there is.
    asked = ["PUT", "GET"] if status in (409, 412) else ["PUT"]
    assert [(method, path) for method, path, _, _ in seen] == [(method, f"/R4/Bundle/{UUID}") for method in asked]


@pytest.mark.parametrize("status", [409, 412])
async def test_the_third_conflict_is_for_a_person(status):
    async with answering(status) as (base, _), sending_to(base) as sender:
        for error in (DestinationUnavailable, DestinationUnavailable, DestinationRejected):
            with pytest.raises(error) as raised:
                await sender.deliver(due(attempts=7))
            assert raised.value.code == "D947"


WAITS = {
    "7": 7.0,
    "Fri, 02 Jan 2026 03:05:05 GMT": 60.0,
    "Fri, 02 Jan 2026 03:00:00 GMT": 0.0,
    "99999999": 3600.0,
    "soon": None,
    "": None,
}


@pytest.mark.parametrize("text", WAITS)
async def test_retry_after_is_honoured(text):
    async with answering(503, headers={"Retry-After": text}) as (base, _), sending_to(base) as sender:
        with pytest.raises(DestinationUnavailable) as raised:
            await sender.deliver(due())
        assert raised.value.after == WAITS[text]


NOT_UNDERSTOOD = {
    "a proxy's page": (b"<html>Welcome</html>", "text/html"),
    "JSON that is no resource": (b'{"ok": true}', "application/json"),
    "broken JSON": (b'{"resourceType": "Bundle"', "application/fhir+json"),
    "more than anybody needs": (b'"' + b"x" * 6_000_000 + b'"', "application/fhir+json"),
    "deep JSON": (b"[" * 100_000 + b"]" * 100_000, "application/fhir+json"),
}


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
async def test_an_answer_that_is_not_understood_is_no_acceptance(name):
    body, content_type = NOT_UNDERSTOOD[name]
    async with answering(200, body=body, content_type=content_type) as (base, _), sending_to(base) as sender:
        with pytest.raises(DestinationSilent):
            await sender.deliver(due())


async def test_an_error_says_nothing_of_the_receivers_text():
    body = b'{"resourceType": "OperationOutcome", "issue": [{"diagnostics": "Smithson 9990000018"}]}'
    async with answering(422, body=body) as (base, _), sending_to(base) as sender:
        with pytest.raises(DestinationRejected) as raised:
            await sender.deliver(due())
        assert "Smithson" not in repr(raised.value) + str(raised.value)


async def test_nobody_there_is_certainly_not_taken():
    async with answering() as (base, _):
        pass
    async with sending_to(base) as sender:
        with pytest.raises(DestinationUnavailable):
            await sender.deliver(due())


async def test_a_name_that_does_not_exist_is_certainly_not_taken():
    async with sending_to("http://nobody.invalid/R4") as sender:
        with pytest.raises(DestinationUnavailable):
            await sender.deliver(due())


@pytest.mark.parametrize("fault", [slow(1.0), DROP_AFTER, DROP_BEFORE, NOT_FHIR])
@pytest.mark.parametrize("bundle", ["document", "transaction"])
async def test_without_an_answer_nobody_knows(fault, bundle):
    def plan(asked):
        return OK if asked.method == "GET" else fault

    async with ReceivingServer(plan=plan) as server, sending_to(server.url, timeout=0.3) as sender:
        with pytest.raises(DestinationSilent):
            await sender.deliver(due(BODY if bundle == "document" else EVENTS, bundle))


async def test_over_tls_the_server_must_be_who_it_says(authority, other_authority):
    async with ReceivingServer(context=authority.server()) as server:
        base = server.url.replace("127.0.0.1", "localhost")
        async with sending_to(base, context=authority.client(None)) as sender:
            assert (await sender.deliver(due())).level == 2
        async with sending_to(base, context=other_authority.client(None)) as deceived:
            with pytest.raises(DestinationUnavailable):
                await deceived.deliver(due())


# --- what is asked -----------------------------------------------------------------------------------------


async def test_a_document_is_put_by_its_own_id_and_a_repeat_changes_nothing():
    async with ReceivingServer() as server, sending_to(server.url) as sender:
        first = await sender.deliver(due())
        again = await sender.deliver(due())
        assert first.remote_id.startswith(f"Bundle/{UUID}")
        assert again.level == 2
        assert len(server.holdings.search("Bundle", [("identifier", "|".join(IDENTIFIER))])) == 1


async def test_events_are_posted_to_the_base_and_a_repeat_changes_nothing():
    async with ReceivingServer() as server, sending_to(server.url) as sender:
        for _ in range(2):
            assert (await sender.deliver(due(EVENTS, "transaction"))).level == 2
        # Read once in which version it is, and known from then on.
        asked = [(answered.asked.method, answered.asked.path) for answered in server.requests]
        assert asked == [("GET", "Patient/p1"), ("POST", ""), ("POST", "")]


async def test_the_request_holds_the_document_and_no_name_or_version_of_ours():
    async with answering(201) as (base, seen), sending_to(base) as sender:
        await sender.deliver(due())
        ((_, path, headers, body),) = seen
        assert body == BODY
        assert path == f"/R4/Bundle/{UUID}"
        assert headers["Content-Type"] == "application/fhir+json"
        assert headers["User-Agent"] == "mhbridge"
        assert set(headers) == {
            "Host", "User-Agent", "Accept", "Accept-Encoding", "Content-Type", "Prefer", "Content-Length",
        }  # fmt: skip


async def test_where_a_server_takes_no_put_a_document_is_posted_and_put_is_not_tried_again():
    async with ReceivingServer(updates=False) as server, sending_to(server.url) as sender:
        assert (await sender.deliver(due())).level == 2
        await sender.deliver(due())
        assert [answered.asked.method for answered in server.requests] == ["PUT", "POST", "POST"]


# --- after no answer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [DROP_AFTER, DROP_BEFORE])
@pytest.mark.parametrize("bundle", ["document", "transaction"])
async def test_a_look_makes_sure_that_it_is_there_once(fault, bundle):
    # The HTTP library itself tries a PUT on a fresh connection once more, and a POST never.
    plan = in_turn(*([fault] * 2 if bundle == "document" else [OK, fault]))
    async with ReceivingServer(plan=plan) as server, sending_to(server.url) as sender:
        delivery = due(BODY if bundle == "document" else EVENTS, bundle)
        with pytest.raises(DestinationSilent):
            await sender.deliver(delivery)
        found = await sender.look(delivery)
        while found is None:
            found = await sender.deliver(delivery)
        kind = "Bundle" if bundle == "document" else "Patient"
        assert len(server.holdings.search(kind, [])) == 1


@pytest.mark.parametrize("fault", [DROP_AFTER, DROP_BEFORE, unavailable(status=500)])
async def test_a_post_without_an_answer_is_searched_for_twice_before_it_is_made_again(fault):
    """A lost POST may be executed after the first search; only then is it certain that it was not."""
    clock = Clock()
    async with ReceivingServer(updates=False) as server, sending_to(server.url, clock=clock) as sender:
        server.plan = in_turn(unavailable(status=405), fault)
        with pytest.raises(DestinationSilent):
            await sender.deliver(due())
        arrived = fault is DROP_AFTER
        if arrived:
            assert (await sender.look(due())).level == 2
        else:
            for _ in range(2):
                with pytest.raises(DestinationSilent):
                    await sender.look(due())
            clock.now += timedelta(seconds=31)
            assert await sender.look(due()) is None
            await sender.deliver(due())
        assert len(server.holdings.search("Bundle", [])) == 1
        # What was searched for stood in a form, not in an address.
        assert {answered.asked.path for answered in server.requests} == {f"Bundle/{UUID}", "Bundle", "Bundle/_search"}


@pytest.mark.parametrize("status", [404, 405, 400])
async def test_a_server_that_can_neither_update_nor_search_is_for_a_person(status):
    body = b'{"resourceType": "OperationOutcome", "issue": [{"code": "not-supported"}]}'
    async with answering(status, body=body) as (base, _), sending_to(base) as sender:
        with pytest.raises(DestinationRejected):
            await sender.look(due())


# --- who we are --------------------------------------------------------------------------------------------


async def test_a_fixed_token_is_sent_and_read_anew():
    tokens = iter(["first", "second"])
    authorise = BearerToken(Secret("env:T", lambda: next(tokens)))
    async with answering(201) as (base, seen), sending_to(base, authorise=authorise) as sender:
        for _ in range(2):
            await sender.deliver(due())
        assert [headers["Authorization"] for _, _, headers, _ in seen] == ["Bearer first", "Bearer second"]


def written(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P384 = ec.generate_private_key(ec.SECP384R1())


def auth(key, algorithm, url="https://auth.example.org/token") -> JwtAuth:
    secret = Secret("env:KEY", lambda: key)
    return JwtAuth.model_construct(
        kind="private_key_jwt", client_id="us", key=secret, key_id="k1", token_url=url, algorithm=algorithm, scope="s"
    )


def verify(key, algorithm, content, signature):
    digest = hashes.SHA384() if algorithm.endswith("384") else hashes.SHA512()
    if algorithm == "ES384":
        r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
        key.public_key().verify(utils.encode_dss_signature(r, s), content, ec.ECDSA(digest))
    else:
        key.public_key().verify(signature, content, padding.PKCS1v15(), digest)


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@asynccontextmanager
async def endpoint(answers):
    """A token endpoint: (status, body) in turn."""
    seen, answers = [], list(answers)

    async def give(request):
        seen.append(dict(await request.post()))
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.json_response(body, status=status)

    application = web.Application()
    application.router.add_post("/token", give)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/token", seen
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS384"), (RSA, "RS512"), (P384, "ES384")])
async def test_a_signed_assertion_is_exchanged_for_a_token_that_is_kept_until_it_ends(key, algorithm):
    clock = Clock()
    async with endpoint([(200, {"access_token": f"t{n}", "expires_in": 300}) for n in range(3)]) as (url, seen):
        tokens = SignedTokens(auth(written(key), algorithm, url), clock=clock, context=None)
        first = [await tokens() for _ in range(3)]
        clock.now += timedelta(seconds=239)
        assert [await tokens(), *first] == [{"Authorization": "Bearer t0"}] * 4
        clock.now += timedelta(seconds=2)
        assert await tokens() == {"Authorization": "Bearer t1"}
    form = seen[0]
    assert (form["grant_type"], form["scope"]) == ("client_credentials", "s")
    head, claims, signature = form["client_assertion"].split(".")
    verify(key, algorithm, f"{head}.{claims}".encode(), decoded(signature))
    assert json.loads(decoded(head)) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    said = json.loads(decoded(claims))
    assert (said["iss"], said["sub"], said["aud"]) == ("us", "us", url)
    assert said["exp"] - said["iat"] <= 300
    jtis = [json.loads(decoded(form["client_assertion"].split(".")[1]))["jti"] for form in seen]
    assert len(set(jtis)) == len(jtis)


NO_TOKEN = {
    "it fails": ((500, {}), DestinationUnavailable),
    "it refuses": ((401, {"error": "invalid_client"}), DestinationHeld),
    "it does not know us": ((400, {"error": "invalid_client"}), DestinationHeld),
    "it redirects": ((302, {}), DestinationUnavailable),
    "it gives none": ((200, {}), DestinationUnavailable),
    "it gives something else": ((200, {"access_token": "a\r\nX: y"}), DestinationUnavailable),
}


@pytest.mark.parametrize("name", NO_TOKEN)
async def test_without_a_token_nothing_is_sent(name):
    given, error = NO_TOKEN[name]
    async with endpoint([given]) as (url, _), answering(201) as (base, seen):
        tokens = SignedTokens(auth(written(RSA), "RS512", url), clock=lambda: START, context=None)
        async with sending_to(base, authorise=tokens) as sender:
            with pytest.raises(error):
                await sender.deliver(due())
        assert seen == []


@pytest.mark.parametrize(("key", "algorithm"), [("no key", "RS512"), (written(P384), "RS512"), (written(RSA), "ES384")])
def test_a_key_that_cannot_sign_is_found_at_the_start(key, algorithm):
    with pytest.raises(ConfigurationError):
        SignedTokens(auth(key, algorithm), clock=lambda: START, context=None)


async def test_a_transaction_is_sent_unread_where_nothing_can_stand_on_a_condition(monkeypatch):
    async with answering(200) as (base, seen), sending_to(base) as sender:
        monkeypatch.setattr("mhbridge.adapters.fhir_server.transactions.orjson.loads", None)
        assert (await sender.deliver(due(EVENTS, "transaction"))).level == 2
        assert [body for method, _, _, body in seen if method == "POST"] == [EVENTS]


async def test_the_conflicts_of_what_was_taken_are_forgotten():
    """Three times running it would be a person's."""
    sent = due(EVENTS, "transaction")
    async with answering(200) as (base, _), sending_to(base) as sender:
        conflicts = sender._transactions._conflicts
        for _ in range(2):
            conflicts.again(sent.id)
        await sender.deliver(sent)
        assert isinstance(conflicts.again(sent.id), DestinationUnavailable)


@pytest.mark.parametrize("unread", [False, True], ids=["read", "the control: unread"])
async def test_what_a_document_itself_asks_for_is_read_everywhere(monkeypatch, unread):
    """It says that the patient is to be made where there is none, and nobody answers that one was made."""
    body = EVENTS.replace(b'"method": "PUT"', b'"method": "POST", "ifNoneExist": "identifier=1"')
    if unread:
        monkeypatch.setattr("mhbridge.adapters.fhir_server.transactions.Transactions._stands_alone", lambda *_: True)
    async with answering(200) as (base, _), sending_to(base) as sender:
        if unread:
            await sender.deliver(due(body, "transaction"))
            return
        with pytest.raises(DestinationUnavailable):
            await sender.deliver(due(body, "transaction"))
