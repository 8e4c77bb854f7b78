"""Every sender under the one contract, and each protection taken away to see that the contract would miss it."""

# ruff: noqa: ARG002 - what a sender has no use for, others have

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

from sender_contract import (
    FAULTS,
    HTTP_FAULTS,
    TIMEOUT,
    KnowsRepeats,
    Life,
    OverNetwork,
    SenderContract,
    fated,
    identifier,
)

from mhbridge.adapters.fhir_server import FhirSender, Messaging
from mhbridge.adapters.folder import FolderSender
from mhbridge.adapters.mllp import MllpSender
from mhbridge.adapters.webhook import WebhookSender
from mhbridge.config import Listen, Secret
from mhbridge.fhir.bundle import dumps
from mhbridge.testing import DROP_AFTER, LATE, ReceivingServer, refused
from mhbridge.testing.hooks import ReceivingHook
from mhbridge.testing.listening import ReceivingListener

SYSTEM = "https://example.org/id"


class Fhir(OverNetwork):
    """What is the same for all that is sent to a FHIR server."""

    faults = FAULTS | HTTP_FAULTS
    server = {}  # noqa: RUF012

    @asynccontextmanager
    async def place(self, path):
        async with ReceivingServer(**self.server) as server:
            yield server

    def sender(self, place, clock, files):
        del files
        return FhirSender(name="d", base=place.url, clock=clock, timeout=TIMEOUT)

    def carries(self, asked):
        return asked.method in ("PUT", "POST") and not asked.path.endswith("_search")


class Documents(Fhir):
    def body(self, n):
        head = {"resourceType": "Bundle", "id": identifier(n).removeprefix("urn:uuid:"), "type": "document"}
        return dumps(head | {"identifier": {"system": "urn:ietf:rfc:3986", "value": identifier(n)}})

    def effects(self, place):
        return Counter(int(value[-12:]) for _, value in place.holdings.order)

    def order(self, place):
        return [int(value[-12:]) for _, value in place.holdings.order]


class TestDocumentsThatArePut(Documents, KnowsRepeats):
    pass


class TestDocumentsThatArePosted(Documents, KnowsRepeats):
    """A repeat is made on the condition that it is not there."""

    server = {"updates": False}  # noqa: RUF012

    def carries(self, asked):
        return asked.method == "POST" and asked.path == "Bundle"


class TestDocumentsThatArePostedUnconditionally(Documents):
    """A repeat is another document there: only looking keeps it from being made."""

    server = {"updates": False, "conditional": False}  # noqa: RUF012
    carries = TestDocumentsThatArePosted.carries

    async def test_a_request_that_is_carried_out_after_its_successor_brings_nothing_back(self, tmp_path):
        """The control: who is later than both looks makes it twice, where the server knows no condition."""
        async with self.world(tmp_path) as world:
            world.place.plan = fated(self.carries, LATE)
            await world.add(1, 2)
            await world.live()
            assert set((await world.judge()).values()) == {("done", "")}
            world.place.carry_out_late()
            assert self.effects(world.place) == {1: 2, 2: 1}

    async def test_without_looking_it_would_arrive_twice(self, tmp_path, monkeypatch):
        """The control of looking."""

        async def found_nothing(*_):
            return None

        async with self.world(tmp_path) as world:
            monkeypatch.setattr(FhirSender, "look", found_nothing)
            world.place.plan = fated(self.carries, DROP_AFTER)
            await world.add(1)
            await world.live()
            assert self.effects(world.place) == {1: 2}


class Transactions(Fhir):
    """Events: of one patient, whom each changes, and each a stay of its own."""

    bundle = "transaction"

    def body(self, n):
        def entry(type_, value, **more):
            resource = {"resourceType": type_, "identifier": [{"system": SYSTEM, "value": value}], **more}
            request = {"method": "PUT", "url": f"{type_}?identifier=https%3A%2F%2Fexample.org%2Fid%7C{value}"}
            return {"fullUrl": f"urn:uuid:{type_}-{value}", "resource": resource, "request": request}

        subject = {"reference": "urn:uuid:Patient-p"}
        entries = [entry("Patient", "p", multipleBirthInteger=n), entry("Encounter", str(n), subject=subject)]
        return dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})

    def effects(self, place):
        return Counter(self.order(place))

    def order(self, place):
        return [int(value) for _, value in place.holdings.order if value != "p"]

    def final(self, place, n):
        (patient,) = place.holdings.all("Patient")
        assert patient["multipleBirthInteger"] == n
        # Each changed the patient once: nothing was brought back in between.
        assert place.holdings.effects[SYSTEM, "p"] == n


class TestTransactions(Transactions, KnowsRepeats):
    pass


class TestTransactionsWhereThereAreNoConditions(Transactions, KnowsRepeats):
    server = {"conditional": False, "versions": False}  # noqa: RUF012

    async def test_a_request_that_is_carried_out_after_its_successor_brings_nothing_back(self, tmp_path):
        """The control of the conditions: without them the older state is back, if it comes late enough."""
        async with self.world(tmp_path) as world:
            world.place.plan = fated(self.carries, LATE)
            await world.add(1, 2)
            begun = world.clock()
            await world.live()
            assert set((await world.judge()).values()) == {("done", "")}
            # What could be done was done: it was waited until the lost request's own time had passed, and more.
            assert (world.clock() - begun).total_seconds() >= TIMEOUT + 5
            world.place.carry_out_late()
            (patient,) = world.place.holdings.all("Patient")
            assert patient["multipleBirthInteger"] == 1


class TestTransactionsWhereNothingIsCreatedOnACondition(Transactions, KnowsRepeats):
    server = {"conditional": False}  # noqa: RUF012

    async def test_a_request_that_is_carried_out_after_its_successor_brings_nothing_back(self, tmp_path):
        async with self.world(tmp_path) as world:
            await world.add(1)
            await world.live()
            world.place.plan = fated(self.carries, LATE)
            await world.add(2, 3)
            await world.live()
            life_of_its_own = await world.live()
            assert life_of_its_own.calls == []
            assert world.place.carry_out_late() == 1
            (patient,) = world.place.holdings.all("Patient")
            assert patient["multipleBirthInteger"] == 3


class Messages(Fhir):
    """Each in a Bundle of its own, which is acted on."""

    messaging = Messaging("https://example.org/events|discharged", "https://example.org/us", "us", recognised=True)
    body = Documents.body

    def sender(self, place, clock, files):
        return FhirSender(name="d", base=place.url, clock=clock, timeout=TIMEOUT, messaging=self.messaging)

    def order(self, place):
        inner = [entry["resource"] for bundle in place.holdings.all("Bundle") for entry in bundle["entry"][1:]]
        return [int(one["identifier"]["value"][-12:]) for one in inner]

    def effects(self, place):
        return Counter(self.order(place))


class TestMessagesThatAreRecognised(Messages, KnowsRepeats):
    pass


class TestMessagesThatAreActedOnEachTime(Messages):
    """A server that knows no repeat, which the configuration does not say that it does."""

    server = {"recognises": False}  # noqa: RUF012
    messaging = replace(Messages.messaging, recognised=False)
    unknown = "D948"

    async def test_a_repeat_would_be_acted_on_twice(self, tmp_path):
        """The control: with a configuration that says what is not so."""
        self.messaging = Messages.messaging
        async with self.world(tmp_path) as world:
            world.place.plan = fated(self.carries, DROP_AFTER)
            await world.add(1)
            await world.live()
            assert self.effects(world.place) == {1: 2}


class Hooks(OverNetwork):
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    recognises = True

    @asynccontextmanager
    async def place(self, path):
        async with ReceivingHook(secret=self.secret, recognises=self.recognises) as hook:
            yield hook

    def sender(self, place, clock, files):
        place._clock = clock
        secret = Secret("env:HOOK", lambda: self.secret)
        return WebhookSender(name="d", url=place.url, secret=secret, clock=clock, timeout=TIMEOUT)

    def body(self, n):
        return b"%d" % n

    def effects(self, place):
        return Counter(self.order(place))

    def order(self, place):
        return [int(body) for body in place.order]


class TestWebhooks(Hooks, KnowsRepeats):
    # A key that is still being worked is asked for again; there are no versions of which one could be the wrong one.
    faults = (
        FAULTS | HTTP_FAULTS | {"409 for ever": ([refused(409)] * 3, "done"), "412 twice": ([refused(412)], "D946")}
    )

    async def test_without_the_receivers_duty_it_would_arrive_twice(self, tmp_path):
        """The control: a receiver that does not keep the key of what it took."""
        self.recognises = False
        async with self.world(tmp_path) as world:
            world.place.plan = fated(self.carries, DROP_AFTER)
            await world.add(1)
            await world.live()
            assert self.effects(world.place) == {1: 2}


class TestRelays(KnowsRepeats):
    faults = FAULTS | {
        "AE": ([refused(word="AE")], "D949"),
        "CE": ([refused(word="CE")], "D949"),
        "AR": ([refused(word="AR")] * 3, "done"),
        "CR": ([refused(word="CR")], "done"),
    }
    on_unknown = "resend"
    recognises = True

    @asynccontextmanager
    async def place(self, path):
        async with ReceivingListener(recognises=self.recognises) as listener:
            yield listener

    def sender(self, place, clock, files):
        del clock, files
        address = Listen("127.0.0.1", place.port)
        return MllpSender(name="d", address=address, timeout=TIMEOUT, on_unknown=self.on_unknown)

    def original(self, n):
        return f"MSH|^~\\&|A|B|C|D|20260102030405||ADT^A08|{n}|P|2.4\rPID|1\r".encode()

    def body(self, n):
        return b"{}"

    def effects(self, place):
        return Counter({int(name): count for name, count in place.effects.items()})

    def order(self, place):
        return [int(name) for name in place.order]


class TestRelaysThatAskAPerson(TestRelays):
    """A listener that acts on whatever it gets."""

    on_unknown = "ask"
    recognises = False
    unknown = "D948"
    test_a_request_that_something_between_repeats_has_one_effect = None


class Consumer:
    """Whoever reads a folder: takes a file away as soon as it is there."""

    def __init__(self, path):
        self.path, self.taken = path, []

    async def take(self):
        while True:
            self.take_now()
            await asyncio.sleep(0.001)

    def take_now(self):
        for file in sorted(self.path.glob("*.json")):
            self.taken.append(int(file.read_bytes()))
            file.unlink()


class TestFolders(SenderContract):
    @asynccontextmanager
    async def place(self, path):
        path.mkdir(parents=True)
        consumer = Consumer(path)
        taking = asyncio.create_task(consumer.take())
        try:
            yield consumer
        finally:
            taking.cancel()

    def sender(self, place, clock, files):
        return FolderSender(name="d", path=place.path, files=files, clock=clock)

    def body(self, n):
        return b"%d" % n

    def effects(self, place):
        place.take_now()
        return Counter(place.taken)

    def order(self, place):
        return place.taken

    async def test_without_the_witness_it_would_arrive_twice(self, tmp_path):
        """The control: the process ends between the rename and its result, and the file has been taken."""
        async with self.world(tmp_path) as world:
            await world.add(1)
            calls = (await world.live()).calls
            await world.add(2)
            await world.live(Life(calls.index("files.rename") + 1, after=True))
            while not self.effects(world.place)[2]:  # noqa: ASYNC110  what is waited for is a file
                await asyncio.sleep(0.001)
            for witness in (world.place.path / ".staging").glob("*.leaving"):
                witness.unlink()
            await world.live()
            assert self.effects(world.place) == {1: 1, 2: 2}
