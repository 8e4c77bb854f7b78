"""
Nothing of a patient is where it need not be: unique patients go through success, every error and DEBUG logging, and no
value of theirs is in logs, answers to errors, metrics, pages, URLs, temporary files or the store's files.

The short form takes 300 patients. The long form: `python tests/long.py canary`.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import logging
import os
import re
import sqlite3
import tempfile
import urllib.parse
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from itertools import islice
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from canaries import ENCODINGS, Finder, canaries

from mhbridge import config, pipeline
from mhbridge import log as logs
from mhbridge.adapters.mllp.framing import CR, FS, VT
from mhbridge.adapters.sql import intake
from mhbridge.app import build
from mhbridge.log import Event
from mhbridge.mapping.catalogue import load
from mhbridge.ports import Sought

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures"
COUNT = int(os.environ.get("MHBRIDGE_TEST_CANARIES", "300"))
MENTAL = FIXTURES / "example-mental-health"
SUPPLIER = "example-mental-health"

CONFIGURATION = """
[gateway]
store = "sqlite:store/store.db"
mappings = ["{mappings}"]
mode = "test"
workers = {workers}
[http]
listen = "127.0.0.1:0"
[[access]]
token = "env:VIEWER"
roles = ["viewer", "operator"]
[[receiver]]
supplier = "example-mental-health"
kind = "http"
limit = "200kB"
[[receiver]]
supplier = "example-mental-health"
kind = "mllp"
listen = "127.0.0.1:0"
limit = "200kB"
[[receiver]]
supplier = "example-community"
kind = "folder"
path = "in"
settle = "0s"
every = "50ms"
[[destination]]
name = "fhir"
kind = "fhir"
url = "{url}"
timeout = "2s"
[[destination]]
name = "out"
kind = "folder"
path = "out"
[[route]]
documents = ["encounter-event", "mental-health-inpatient-discharge", "community-discharge"]
to = ["fhir", "out"]
"""


# --- what is sent ------------------------------------------------------------------------------------------

LETTER = (MENTAL / "discharge-letter" / "plain.hl7").read_bytes()
RESTRICTED = (MENTAL / "discharge-letter" / "restricted-patient.hl7").read_bytes()
EVENT = (MENTAL / "adt" / "a01-admission.hl7").read_bytes()
with (FIXTURES / "example-community" / "discharges" / "plain.csv").open(encoding="cp1252", newline="") as _file:
    HEADER, ROW = csv.reader(_file)


def of(canary, template, number):
    """A message about this patient."""
    values = {
        b"9990001014": canary.nhs, b"TESTPATIENT": canary.surname.upper(), b"Marigold": canary.given.capitalize(),
        b"marigold": canary.given, b"M-104482": canary.local, b"SP-2025-00481": canary.visit,
        b"1 Invented Lane": f"1 {canary.address} Lane", b"four weeks of low mood": canary.phrase,
        b"L-000101": canary.letter, b"EXMH-W-000101": f"W{number:08}", b"EXMH-P-000201": f"P{number:08}",
    }  # fmt: skip
    for value, said in values.items():
        template = template.replace(value, said.encode())
    return template


def row(canary, number):
    """The same as a row of an extract."""
    values = dict(zip(HEADER, ROW, strict=True)) | {
        "NHS Number": canary.nhs, "Hospital No": canary.local, "Spell No": canary.visit, "Surname": canary.surname,
        "Forename": canary.given, "Address 1": f"1 {canary.address} Lane", "Clinical Summary": canary.phrase,
        "Letter Ref": f"{canary.letter}-{number}",
    }  # fmt: skip
    return list(values.values())


def as_bytes(canary):
    """Its values by their names."""
    return {name.encode(): getattr(canary, name).encode() for name in canary.__slots__}


#: What is wrong with a message, by its number: what is replaced and by what. Each keeps the patient in it.
WRONG = [
    (b"", b""),
    (b"PID|", b"PID%(surname)b|"),
    (b"\rOBX", b""),
    (b"|%(nhs)b^", b"|%(nhs)b0x^"),
    (b"||19870621|", b"||%(surname)b|"),
    (b"MDM^T02", b"%(surname)b^T02"),
    (b"^A01", b"^%(given)b"),
    (b"UNICODE UTF-8", b"%(given)b\xff"),
    (b"\rPV1|", b"\rPV1|%(local)b^~&\\X%(phrase)b\\"),
    (b"MSH|", b"%(surname)bMSH|"),
    (b"EXMH-WARD|EXMH", b"%(surname)b|%(local)b"),
    (b"\rPID|", b"\rPID|1||%(nhs)b^^^NHS||%(surname)b\rPID|"),
    (b"202503141520", b"%(phrase)b"),
]
#: These are faults of the header.
OF_HEADER = {n for n, (what, _) in enumerate(WRONG) if what in (b"MDM^T02", b"^A01", b"EXMH-WARD|EXMH")}


def wronged(body, canary, number):
    """The same message with something wrong; with the third fault, cut off."""
    what, by = (part % as_bytes(canary) for part in WRONG[number % len(WRONG)])
    return body.replace(what, by) if by else body[: body.find(what) if what else None]


# --- what is heard -----------------------------------------------------------------------------------------


class Server:
    """A FHIR server that takes, refuses while it says everything again, and hangs up."""

    def __init__(self):
        self.asked = []

    async def answer(self, request):
        body = await request.read()
        self.asked.append(f"{request.method} {request.raw_path} {dict(request.headers)}")
        said = body.decode("utf-8", "replace")
        match len(self.asked) % 7:
            case 1:
                outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "diagnostics": said}]}
                return web.json_response(outcome, status=422, headers={"X-Said": urllib.parse.quote(said[:2000])})
            case 2:
                return web.Response(status=500, text=said)
            case 3:
                request.transport.close()
                return web.Response()
            case 4:
                return web.Response(status=400, text=said, reason=said[40:80].replace("\n", " "))
        return web.json_response({"resourceType": "Bundle", "type": "transaction-response", "entry": []})


class World:
    """A gateway, and everything that it says to whoever may not see patients."""

    def __init__(self, folder, app, session, server, log):
        self.folder, self.app, self.session, self.server, self.log = folder, app, session, server, log
        self.heard = {}

    def hear(self, channel, data):
        self.heard[channel] = self.heard.get(channel, b"") + (data.encode() if isinstance(data, str) else data) + b"\n"

    async def post(self, path, body, **headers):
        # aiohttp warns of a large body that it is given as bytes.
        data = io.BytesIO(body) if len(body) > 1_000_000 else body
        async with self.session.post(path, data=data, headers=headers) as response:
            answer = await response.read()
            channel = "answers" if response.status < 400 else "answers to errors"
            self.hear(channel, f"{response.status} {dict(response.headers)} ".encode() + answer)

    async def ask(self, channel, path, method="get", **options):
        async with self.session.request(method, path, headers={"Authorization": "Bearer v"}, **options) as response:
            self.hear(channel, await response.read())

    async def mllp(self, frames):
        """Over one connection, and over a new one when that is closed on us."""
        host, port = self.app.receivers[f"{SUPPLIER}/mllp"].address.rsplit(":", 1)
        reader = writer = None
        for frame in frames:
            if writer is None or writer.is_closing():
                reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(frame)
                await writer.drain()
                self.hear("acknowledgements", await asyncio.wait_for(reader.readuntil(FS + CR), 1))
            except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    async def settled(self, seconds=5.0):
        """Nothing is in hand, or so long has passed: what was refused too often waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (await self.deliveries()) & {"queued", "sending"}:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    async def deliveries(self):
        """The states that there are deliveries in."""
        return (await self.app.store.status(self.app.gateway._clock())).deliveries.keys()

    async def look_around(self, known):
        """Every page that a viewer may see."""
        for path in (
            "/messages?most=1000",
            "/parked?most=1000",
            "/status",
            "/metrics",
            "/tasks",
            "/mappings",
            "/openapi.json",
        ):
            await self.ask("pages", path)
        for state in ("parked", "done", "filtered", "stored", "closed"):
            for message in await self.app.store.messages(state=state, most=60):
                await self.ask("pages", f"/messages/{message.id}")
                await self.ask("pages", f"/messages/{message.id}/trace")
                # Refused: the credential may not.
                await self.ask("answers to errors", f"/messages/{message.id}/original")
        for canary in known[:20]:
            for kind, value in (
                ("nhs", canary.nhs),
                ("patient", canary.local),
                ("person", f"{canary.surname} 1987-06-21"),
            ):
                await self.ask("pages", "/messages/search", "post", json={"search": value, "kind": kind})
            for wrong in (
                {"search": [canary.surname]},
                {"search": canary.surname, "kind": canary.surname},
                {canary.nhs: 1},
            ):
                await self.ask("answers to errors", "/messages/search", "post", json=wrong)
            await self.ask("answers to errors", f"/messages?search={canary.surname}")
            await self.ask("answers to errors", f"/{canary.surname}/{canary.nhs}")
            await self.ask("answers to errors", "/messages/1/close", "post", json={"why": f"\0{canary.surname}"})

    def collect(self):
        """What is on the disk, once it is closed; and what was logged."""
        self.hear("log", self.log.getvalue())
        self.hear("URLs", "\n".join(self.server.asked))
        for channel, folder, pattern in (
            ("store", "store", "*"), ("temporary files", "tmp", "**/*"),
            ("reasons beside files", "in/rejected", "*.reason.json"), ("names in the outbox", "out", "*"),
        ):  # fmt: skip
            self.hear(channel, "")
            for path in sorted((self.folder / folder).glob(pattern)):
                if channel != "reasons beside files":
                    # A reason is called as the supplier's file that it lies beside.
                    self.hear(channel, path.name)
                if path.is_file() and channel != "names in the outbox":
                    self.hear(channel, path.read_bytes())
        return self.heard


@pytest.fixture(scope="module")
def catalogue():
    return load([ROOT / "mappings"], only=True)


@pytest.fixture
def everything_is_logged():
    """As an operator would who looks for a fault: everything, of every library, where we send it."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@asynccontextmanager
async def gateway(folder, monkeypatch, catalogue, workers=0):
    monkeypatch.setattr("mhbridge.mapping.catalogue.load", lambda _: catalogue)
    (folder / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    server, stream = Server(), io.BytesIO()
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(web.Application(client_max_size=10**8), access_log=None)
        runner.app.router.add_route("*", "/{path:.*}", server.answer)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/fhir"
        text = CONFIGURATION.format(mappings=ROOT / "mappings", url=url, workers=workers)
        log = logs.make(stream, level=logging.DEBUG)
        logs.adopt_logging(log)
        logging.getLogger().setLevel(logging.DEBUG)
        for handler in logging.getLogger().handlers:
            handler.setLevel(logging.DEBUG)
        app = build(config.parse(text, base=folder, environ={"VIEWER": "v"}), log=log)
        await app.open()
        stack.push_async_callback(app.close)
        session = await stack.enter_async_context(aiohttp.ClientSession(app.receivers["http"].address))
        yield World(folder, app, session, server, stream)


def break_at(monkeypatch, poisoned, lost):
    """Our own code fails on some, with all of them in its exception; and the store on others."""
    step, keep = pipeline.step, intake.keep_message

    def stepping(taken, *values, **named):
        if not poisoned.isdisjoint(re.findall(r"\d{10}", repr(taken))):
            raise RuntimeError(f"cannot do {taken!r}")
        return step(taken, *values, **named)

    def keeping(books, rows, item, *values):
        if any(token in item.body for token in lost):
            raise ValueError(item.body.decode("utf-8", "replace"))
        return keep(books, rows, item, *values)

    monkeypatch.setattr(pipeline, "step", stepping)
    monkeypatch.setattr(intake, "keep_message", keeping)


async def send(world, known):
    """Each patient by one of the ways in, most of them with something wrong."""
    frames, rows = [], []
    path = f"/feeds/{SUPPLIER}/http/messages"
    for number, canary in enumerate(known):
        template = (LETTER, EVENT, RESTRICTED)[number % 3]
        body = wronged(of(canary, template, number), canary, number)
        match number % 5:
            case 0 | 1:
                await world.post(path, body)
            case 2:
                # An acknowledgement says to its sender whose message it answers, in the sender's own words.
                if number % len(WRONG) in OF_HEADER:
                    body = of(canary, template, number)
                frames.append(VT + body + FS + CR)
                if number % 125 == 2:
                    frames.append(body + FS + CR + VT + body[:300])
            case 3:
                rows.append(row(canary, number))
            case 4:
                await world.post(path, body, **[
                    {"Content-Type": f"text/{canary.surname}"}, {"Content-Encoding": canary.surname},
                    {"Authorization": f"Bearer {canary.nhs}", "X-Patient": canary.surname}, {},
                ][number // 5 % 4])  # fmt: skip
        if number % 50 == 7:
            await world.post(f"/feeds/{canary.surname}/{canary.nhs}/messages", body)
            await world.post(path, body * 100)
            await world.post(path, b"\x1f\x8b" + body, **{"Content-Encoding": "gzip"})
            await world.post(path, body)
            await world.post(
                f"/translate/{SUPPLIER}/discharge-letter?target={canary.surname}", body, Authorization="Bearer v"
            )
    await world.mllp(frames)
    inbox = world.folder / "in"
    for start in range(0, len(rows), 20):
        some = io.StringIO()
        writer = csv.writer(some)
        writer.writerows([HEADER, *rows[start : start + 20]])
        text = some.getvalue().replace("23/04/1941", "23/04/1941" if start % 40 else rows[start][4], 3)
        # The name of a file is the supplier's, too.
        (inbox / f"{rows[start][7]}-{start}.csv").write_text(text, "cp1252")
    if rows:
        (inbox / f"{rows[0][4]}.csv").write_text(",".join(rows[0]), "cp1252")
        (inbox / f"{rows[0][7]}.zip").write_bytes(b"PK\x03\x04" + ",".join(rows[0]).encode())
    async with asyncio.timeout(120):
        while [path for path in inbox.iterdir() if path.is_file()]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("everything_is_logged")
@pytest.mark.parametrize("workers", [0, 1])
async def test_nothing_of_a_patient_is_where_it_need_not_be(tmp_path, monkeypatch, catalogue, capfd, workers):
    known = list(islice(canaries(), COUNT if workers == 0 else min(COUNT, 100)))
    if workers == 0:
        poisoned, lost = {one.nhs for one in known[13::39]}, [one.local.encode() for one in known[20::60]]
        break_at(monkeypatch, poisoned, lost)
    async with gateway(tmp_path, monkeypatch, catalogue, workers) as world:
        await send(world, known)
        await world.settled(2 + COUNT / 60)
        await world.look_around(known)
        states = (await world.app.store.status(world.app.gateway._clock())).messages
        events = {json.loads(line)["event"] for line in world.log.getvalue().splitlines()}
    world.hear("standard output and error", "".join(capfd.readouterr()))
    heard, finder = world.collect(), Finder(known)
    # It went wrong in as many ways as was meant.
    assert states["done"] > len(known) / 20
    assert states["parked"] > len(known) / 20
    wanted = {"received", "repeated", "refused", "parked", "delivered", "delivery_parked", "will_retry", "request"}
    assert wanted | ({"poisoned", "store_failed"} if workers == 0 else set()) <= events
    for channel in ("log", "answers to errors", "acknowledgements", "pages", "store", "URLs", "reasons beside files"):
        assert len(heard[channel]) > 200, channel
    leaks = {channel: found for channel, data in heard.items() if (found := finder.found(data))}
    assert leaks == {}


# --- controls ----------------------------------------------------------------------------------------------

ENCODED = {
    "plain": lambda text: text.encode(),
    "hex": lambda text: b"x" + text.encode().hex().encode(),
    "base64": lambda text: base64.b64encode(b"ab" + text.encode()),
    "url": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "utf-16": lambda text: text.encode("utf-16-le"),
    "json": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text).encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"=", b'{"a": "'])
def test_a_value_is_found_in_every_encoding(encoding, before):
    known = list(islice(canaries(), 50))
    finder = Finder(known)
    for token in known[17].tokens:
        for said in (token, token.upper()):
            found = finder.found(before + ENCODED[encoding](said) + b'"} and more')
            assert found[encoding] == {token}
    assert finder.found(before + ENCODED[encoding]("9990000018 nobody qzxaaaaaaaa")) == {}


def test_patients_have_nothing_in_common():
    known = list(islice(canaries(), 2_000))
    assert len({token for one in known for token in one.tokens}) == 2_000 * 8
    assert all(config_number(one.nhs) for one in known)


def config_number(number):
    """Modulus 11, written out once more."""
    total = sum(int(digit) * weight for digit, weight in zip(number, range(10, 1, -1), strict=False))
    return number.startswith("999") and (11 - total % 11) % 11 == int(number[9])


def leak_to_log(world, canary):
    # Shaped like a word, so that the list of keys cannot know it.
    world.app.log.info(Event.RECEIVED, feed=canary.surname)


def leak_to_temporary_file(_world, canary):
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(base64.b64encode(canary.nhs.encode() * 3))


def leak_to_store(world, canary):
    with closing(sqlite3.connect(world.folder / "store" / "store.db")) as file, file:
        file.execute("insert into meta values ('leak', ?)", (canary.phrase,))


def leak_to_free_page(world, canary):
    with closing(sqlite3.connect(world.folder / "store" / "store.db")) as file:
        file.execute("pragma secure_delete = off")
        file.execute("create table leak (text)")
        file.execute("insert into leak values (?)", (canary.address * 500,))
        file.execute("drop table leak")
        file.commit()


def leak_to_url(world, canary):
    world.server.asked.append(f"GET /Patient?identifier={urllib.parse.quote(canary.nhs)}")


def leak_to_error(world, canary):
    world.hear("answers to errors", json.dumps({"text": f"cannot read {canary.local}"}))


def leak_to_standard_error(world, canary):
    world.hear("standard output and error", f"Traceback …\nValueError: {canary.given}")


@pytest.mark.usefixtures("everything_is_logged")
@pytest.mark.parametrize(
    ("leak", "channel"),
    [
        (leak_to_log, "log"), (leak_to_temporary_file, "temporary files"), (leak_to_store, "store"),
        (leak_to_free_page, "store"), (leak_to_url, "URLs"), (leak_to_error, "answers to errors"),
        (leak_to_standard_error, "standard output and error"),
    ],
)  # fmt: skip
async def test_a_leak_on_purpose_is_found(tmp_path, monkeypatch, catalogue, leak, channel):
    known = list(islice(canaries(), 5))
    async with gateway(tmp_path, monkeypatch, catalogue) as world:
        await world.post(f"/feeds/{SUPPLIER}/http/messages", of(known[0], LETTER, 0))
        await world.settled()
        leak(world, known[3])
    finder = Finder(known)
    leaks = {name: found for name, data in world.collect().items() if (found := finder.found(data))}
    assert list(leaks) == [channel]
    assert set().union(*leaks[channel].values()) <= set(known[3].tokens)


def test_every_kind_of_identifier_that_is_searched_by_is_a_canarys():
    # Whoever lets people search by more has one more value that must not be in clear.
    assert {kind.value for kind in Sought} == {"control", "patient", "nhs", "person", "visit", "document", "remote"}
