"""The whole gateway: built from a configuration, started, stopped, killed."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mhbridge import config
from mhbridge import log as logs
from mhbridge.adapters.mllp.framing import frame
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.app import build, faults_of, loop_factory, run
from mhbridge.errors import ConfigurationError, StoreError
from mhbridge.testing.receiving import ReceivingServer

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "fixtures" / "example-mental-health"
SUPPLIER = "example-mental-health"

GATEWAY = f"""
[gateway]
name = "test"
mode = "test"
store = "sqlite:store.db"
mappings = ["{ROOT / "mappings"}"]
"""
RECEIVERS = """
[http]
listen = "127.0.0.1:0"

[[receiver]]
supplier = "example-mental-health"
kind = "mllp"
listen = "127.0.0.1:0"

[[receiver]]
supplier = "example-mental-health"
kind = "folder"
path = "in"
settle = "50ms"
every = "10ms"

[[receiver]]
supplier = "example-mental-health"
kind = "http"
listen = "127.0.0.1:0"
token = "env:SENDER"
"""
DESTINATIONS = """
[[destination]]
name = "fhir"
kind = "fhir"
url = "{url}"

[[destination]]
name = "letters"
kind = "folder"
path = "out"

[[route]]
documents = ["encounter-event", "mental-health-inpatient-discharge"]
to = ["fhir"]

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["letters"]
when = "= not attachments"
"""


@asynccontextmanager
async def running(path, text):
    stream = io.BytesIO()
    app = build(config.parse(text, base=path, environ={"SENDER": "s"}), log=logs.make(stream))
    await app.open()
    try:
        yield app
    finally:
        await app.close()
        assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()][-1] == "stopped"


async def until(condition):
    """What is waited for happens in another task, or in a file."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def relay(address, *bodies):
    """Send over MLLP; the acknowledgements' MSA-1."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    codes = []
    for body in bodies:
        writer.write(frame(body))
        async with asyncio.timeout(10):
            answer = await reader.readuntil(b"\x1c\r")
        # Behind MSA stands the message's own separator.
        codes.append(answer.partition(b"\rMSA")[2][1:3].decode())
    writer.close()
    await writer.wait_closed()
    return codes


async def test_a_frame_a_file_and_a_request_become_documents_at_their_destinations(tmp_path):
    plain = (FIXTURES / "discharge-letter" / "plain.hl7").read_bytes()
    minimal = (FIXTURES / "discharge-letter" / "minimal.hl7").read_bytes()
    event = (FIXTURES / "adt" / "a01-admission.hl7").read_bytes()
    async with ReceivingServer() as server:
        async with running(tmp_path, GATEWAY + RECEIVERS + DESTINATIONS.format(url=server.url)) as app:
            assert await relay(app.receivers[f"{SUPPLIER}/mllp"].address, event) in (["AA"], ["CA"])
            (tmp_path / "in" / "letter.hl7").write_bytes(plain)
            url = f"{app.receivers[f'{SUPPLIER}/http'].address}/feeds/{SUPPLIER}/discharge-letter/messages"
            async with aiohttp.ClientSession() as session:
                async with session.post(url, data=minimal) as response:
                    assert response.status == 401
                async with session.post(url, data=minimal, headers={"Authorization": "Bearer s"}) as response:
                    assert response.status == 202
            await server.until(lambda: len(server.requests) == 3)
            await until(lambda: list((tmp_path / "out").glob("*.json")))
            rows = await app.store.messages()
            assert {row.feed for row in rows} == {
                f"{SUPPLIER}/mllp", f"{SUPPLIER}/folder", f"{SUPPLIER}/discharge-letter",
            }  # fmt: skip
        assert len(server.holdings.search("Bundle", [])) == 2
        assert len(server.holdings.search("Patient", [])) == 1
        # The condition of the second route: only the letter without an attachment.
        names = {json.loads(file.read_bytes())["resourceType"] for file in (tmp_path / "out").glob("*.json")}
        assert names == {"Bundle"}
    store = SqliteStore(config.parse(GATEWAY, base=tmp_path, environ={}).gateway.store_path, read_only=True)
    await store.open()
    try:
        assert (await store.status(app.gateway._clock())).deliveries["done"] >= 4
    finally:
        await store.close()


FOLDER = '[[destination]]\nname = "d"\nkind = "folder"\npath = "out"\n'
ROUTE = FOLDER + '[[route]]\nto = ["d"]\ndocuments = ["encounter-event"]\n'
UNBUILDABLE = {
    "a supplier without mappings": (
        '[[receiver]]\nsupplier = "example-mental-helth"\nkind = "folder"\npath = "in"\n', "C818", "did you mean",
    ),
    "a document type that does not exist": (ROUTE.replace("event", "events"), "C819", "did you mean"),
    "a condition over an item that does not exist": (ROUTE + 'when = "= not no_such_item"\n', "C817", "no_such_item"),
    "a condition that is no expression": (ROUTE + 'when = "= not ("\n', "C817", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", UNBUILDABLE)
def test_what_the_configuration_names_must_exist(tmp_path, name):
    text, code, said = UNBUILDABLE[name]
    with pytest.raises(ConfigurationError) as raised:
        build(config.parse(GATEWAY + text, base=tmp_path, environ={}), log=logs.make(io.BytesIO()))
    assert {found for found, _ in raised.value.problems} == {code}
    assert said in raised.value.problems[0][1]


def test_a_condition_with_a_fault_is_reported_once_with_its_line(tmp_path):
    text = ROUTE.replace('["encounter-event"]', '["encounter-event", "mental-health-inpatient-discharge"]')
    with pytest.raises(ConfigurationError) as raised:
        build(config.parse(GATEWAY + text + 'when = "= not no_such_item"\n', base=tmp_path, environ={}))
    ((code, message),) = raised.value.problems
    line = (GATEWAY + text).count("\n") + 1
    assert code == "C817"
    assert message.startswith(f"mhbridge.toml:{line}: route[0].when: E")


def test_what_the_configuration_names_is_reported_with_its_line(tmp_path):
    text = GATEWAY + ROUTE.replace("event", "events")
    with pytest.raises(ConfigurationError) as raised:
        build(config.parse(text, base=tmp_path, environ={}))
    assert raised.value.problems[0][1].startswith(f"mhbridge.toml:{text.count(chr(10))}: route[0].documents: ")


def test_the_event_loop_is_uvloop_where_that_is_installed_and_can_do_what_is_asked(tmp_path, monkeypatch):
    (tmp_path / "x.pem").write_text("x")
    receiver = '[[receiver]]\nsupplier = "example-mental-health"\nkind = "mllp"\nlisten = "127.0.0.1:0"\n'
    plain = config.parse(GATEWAY + receiver, base=tmp_path, environ={})
    tls = 'tls = {certificate = "file:x.pem", key = "file:x.pem"}\n'
    secure = config.parse(GATEWAY + receiver + tls, base=tmp_path, environ={})
    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(new_event_loop=asyncio.new_event_loop))
    assert loop_factory(plain) is asyncio.new_event_loop
    assert loop_factory(secure) is None
    # As where it is not installed.
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory(plain) is None


def test_whose_certificate_cannot_be_used_is_said(tmp_path):
    (tmp_path / "x.pem").write_text("x")
    tls = 'tls = {certificate = "file:x.pem", key = "file:x.pem"}\n'
    for text, whose in (
        ('[http]\nlisten = "127.0.0.1:0"\n', "[http]"),
        (RELAY.format(port=1).partition("[[destination]]")[0], f"receiver {SUPPLIER}/mllp"),
        ('[[destination]]\nname = "d"\nkind = "fhir"\nurl = "https://x.example.org"\n', "destination d"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            build(config.parse(GATEWAY + text.rstrip() + "\n" + tls, base=tmp_path, environ={}))
        ((code, message),) = raised.value.problems
        assert (code, message.partition(": ")[0]) == ("C821", whose)


def test_all_that_keeps_a_gateway_from_being_served_is_said_at_once(tmp_path):
    """The form of one section, and of the others what they name, their certificates and their secrets."""
    (tmp_path / "x.pem").write_text("x")
    tls = 'tls = {certificate = "file:x.pem", key = "file:x.pem"}\n'
    text = (
        GATEWAY
        + ROUTE.replace("event", "events")
        + '[[receiver]]\nsupplier = "example-mental-heath"\nkind = "mllp"\nlisten = "127.0.0.1:0"\n' + tls
        + '[[destination]]\nname = "f"\nkind = "fhir"\nurl = "https://x.example.org"\n' + tls
        + '[[destination]]\nname = "e"\nkind = "webhook"\nurl = "https://x.example.org"\nsecret = "env:SHORT"\n'
    )  # fmt: skip
    wrong = '[[receiver]]\nsupplier = "example-community"\nkind = "folder"\n'
    for more, codes in (("", []), (wrong, ["C804"])):
        with pytest.raises(ConfigurationError) as raised:
            build(config.parse(text + more, base=tmp_path, environ={"SHORT": "short"}, further=faults_of))
        codes += ["C819", "C818", "C821", "C826", "C821"]
        assert [code for code, _ in raised.value.problems] == codes


async def test_a_folder_that_is_a_file_is_said_and_nothing_is_left_open(tmp_path):
    (tmp_path / "out").write_text("")
    app = build(config.parse(GATEWAY + FOLDER, base=tmp_path, environ={}), log=logs.make(io.BytesIO()))
    with pytest.raises(ConfigurationError) as raised:
        await app.open()
    assert [code for code, _ in raised.value.problems] == ["C820"]
    assert "destination d" in raised.value.problems[0][1]
    async with running(tmp_path, GATEWAY):
        pass


@pytest.mark.parametrize("text", ["", GATEWAY, GATEWAY + FOLDER])
def test_a_gateway_with_nothing_to_receive_from_does_not_start(tmp_path, text):
    with pytest.raises(ConfigurationError) as raised:
        run(config.parse(text, base=tmp_path, environ={}))
    assert [code for code, _ in raised.value.problems] == ["C823"]
    assert "--config" in raised.value.problems[0][1]
    assert not (tmp_path / "store.db").exists()


KINDS = """
[[destination]]
name = "with-token"
kind = "fhir"
url = "https://fhir.example.org/R4"
auth = {kind = "bearer", token = "env:SENDER"}
acknowledged_by = "sent"

[[destination]]
name = "with-assertion"
kind = "fhir"
url = "https://fhir.example.org/R4"
auth = {kind = "private_key_jwt", client_id = "us", key = "env:KEY", token_url = "https://auth.example.org"}

[[destination]]
name = "relay"
kind = "mllp"
url = "mllps://relay.example.org:2575"
"""


def key():
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_every_kind_of_destination_can_be_built_and_opened_without_anybody_there(tmp_path):
    environ = {"SENDER": "s", "KEY": key()}
    app = build(config.parse(GATEWAY + KINDS, base=tmp_path, environ=environ), log=logs.make(io.BytesIO()))
    assert [sender.name for sender in app.senders] == ["with-token", "with-assertion", "relay"]
    await app.open()
    await app.close()


def test_a_key_that_cannot_sign_is_found_before_anything_starts(tmp_path):
    text = GATEWAY + KINDS
    with pytest.raises(ConfigurationError) as raised:
        build(config.parse(text, base=tmp_path, environ={"SENDER": "s", "KEY": "no"}), log=logs.make(io.BytesIO()))
    assert [code for code, _ in raised.value.problems] == ["C822"]


RELAY = """
[[receiver]]
supplier = "example-mental-health"
kind = "mllp"
listen = "127.0.0.1:0"

[[destination]]
name = "relay"
kind = "mllp"
url = "mllp://127.0.0.1:{port}"

[[route]]
documents = ["encounter-event"]
to = ["relay"]
"""


async def test_a_message_is_relayed_as_it_came(tmp_path):
    body, seen = (FIXTURES / "adt" / "a01-admission.hl7").read_bytes(), []

    async def other(reader, writer):
        seen.append((await reader.readuntil(b"\x1c\r"))[1:-2])
        control_id = seen[0].split(b"|")[9]
        writer.write(frame(b"MSH|^~\\&|X|X|Y|Y|1||ACK|9|P|2.4\rMSA|AA|" + control_id + b"\r"))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    async with running(tmp_path, GATEWAY + RELAY.format(port=server.sockets[0].getsockname()[1])) as app:
        await relay(app.receivers[f"{SUPPLIER}/mllp"].address, body)
        await until(lambda: seen)
    server.close()
    await server.wait_closed()
    assert seen == [body]


async def test_of_a_batch_each_message_is_relayed_alone_and_named_by_its_own_acknowledgement(tmp_path):
    one, seen = (FIXTURES / "adt" / "a01-admission.hl7").read_bytes(), []
    control_id = one.split(b"|")[9]
    two = one.replace(control_id, b"SECOND")

    async def other(reader, writer):
        # It takes the first for good and says nothing of the second, which must not count as delivered.
        while True:
            try:
                seen.append((await reader.readuntil(b"\x1c\r"))[1:-2])
            except asyncio.IncompleteReadError:
                break
            writer.write(frame(b"MSH|^~\\&|X|X|Y|Y|1||ACK|9|P|2.4\rMSA|AA|" + control_id + b"\r"))
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    text = GATEWAY + RELAY.format(port=server.sockets[0].getsockname()[1]).replace("url =", 'timeout = "1s"\nurl =')
    async with running(tmp_path, text) as app:
        await relay(app.receivers[f"{SUPPLIER}/mllp"].address, b"BHS|^~\\&\r" + one + two + b"BTS|2\r")
        await until(lambda: len(seen) > 1)
        status = await app.store.status(datetime.now(UTC))
        assert status.deliveries["done"] == 1
    server.close()
    await server.wait_closed()
    assert [body.strip() for body in seen] == [one.strip(), two.strip()]


async def test_an_address_that_is_taken_is_said_and_nothing_is_left_open(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = GATEWAY + f'[http]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n'
        app = build(config.parse(text, base=tmp_path, environ={}), log=logs.make(io.BytesIO()))
        with pytest.raises(ConfigurationError) as raised:
            await app.open()
        assert [code for code, _ in raised.value.problems] == ["C820"]
    # The store was closed again: it can be opened.
    async with running(tmp_path, GATEWAY):
        pass


async def test_two_gateways_never_have_one_store(tmp_path):
    async with running(tmp_path, GATEWAY):
        second = build(config.parse(GATEWAY, base=tmp_path, environ={}), log=logs.make(io.BytesIO()))
        with pytest.raises(StoreError):
            await second.open()


async def test_nothing_listens_that_is_not_configured(tmp_path):
    async with running(tmp_path, GATEWAY) as app:
        assert app.receivers == {}


# --- a process of its own ----------------------------------------------------------------------------------

_SERVE = (
    "import sys; from pathlib import Path; from mhbridge import app, config; app.run(config.load(Path(sys.argv[1])))"
)


class Process:
    """A gateway in a process of its own, and its log."""

    def __init__(self, path, text):
        (path / "mhbridge.toml").write_text(text)
        self._log = path / "log"
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "SENDER": "s"}
        arguments = [sys.executable, "-c", _SERVE, str(path / "mhbridge.toml")]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(arguments, stderr=log, env=environ, cwd=path)

    def lines(self):
        """The log so far: whole lines."""
        return [json.loads(line) for line in self._log.read_bytes().split(b"\n")[:-1]]

    @property
    def addresses(self):
        return {line.get("feed", "http"): line["address"] for line in self.lines() if line["event"] == "listening"}

    def end(self, number):
        """(exit code, events)."""
        self.process.send_signal(number)
        return self.process.wait(timeout=40), [line["event"] for line in self.lines()]


@asynccontextmanager
async def process(path, text):
    gateway = Process(path, text)
    try:
        await until(lambda: "started" in [line["event"] for line in gateway.lines()])
        yield gateway
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
        await asyncio.to_thread(gateway.process.wait)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_good_order(tmp_path, number):
    body = (FIXTURES / "adt" / "a01-admission.hl7").read_bytes()
    async with process(tmp_path, GATEWAY + RECEIVERS) as gateway:
        assert await relay(gateway.addresses[f"{SUPPLIER}/mllp"], body) in (["AA"], ["CA"])
        code, events = await asyncio.to_thread(gateway.end, number)
    assert code == 0
    assert events[-2:] == ["stopping", "stopped"]


async def test_killed_while_it_sends_it_loses_nothing_and_sends_nothing_twice(tmp_path):
    """Everything acknowledged is delivered once, though the process was killed while it delivered."""
    letters = sorted(set((FIXTURES / "discharge-letter").glob("*.hl7")) - set(FIXTURES.glob("*/*.ack.hl7")))
    bodies = [path.read_bytes() for path in letters]
    async with ReceivingServer() as server:
        text = GATEWAY + RECEIVERS + DESTINATIONS.format(url=server.url)
        async with process(tmp_path, text) as gateway:
            codes = await relay(gateway.addresses[f"{SUPPLIER}/mllp"], *bodies)
            code, _ = await asyncio.to_thread(gateway.end, signal.SIGKILL)
            assert code == -signal.SIGKILL
        async with process(tmp_path, text) as gateway:
            # As far as the sender knows, the last acknowledgements did not arrive: it sends everything again.
            assert await relay(gateway.addresses[f"{SUPPLIER}/mllp"], *bodies) == codes
            status = await settled(gateway.addresses["http"])
            code, _ = await asyncio.to_thread(gateway.end, signal.SIGTERM)
            assert code == 0
    assert set(codes) <= {"AA", "CA"}
    assert status["differences"] == []
    assert (status["receipts"], status["repeats"]) == (2 * len(bodies), len(bodies))
    assert len(server.holdings.search("Bundle", [])) == status["messages"]["done"]


async def settled(base):
    """The accounts, when nothing is under way any more."""
    async with aiohttp.ClientSession(base) as session, asyncio.timeout(30):
        while True:
            async with session.get("/status") as response:
                status = await response.json()
            if not {"queued", "sending", "unknown", "retry"} & {s for s, n in status["deliveries"].items() if n}:
                return status
            await asyncio.sleep(0.1)
