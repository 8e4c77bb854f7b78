"""
The whole way with real parts: `mhbridge serve` in its own process, real sockets, a second HL7 client, a FHIR server.

What is asserted is what the three users see: the sender's answer, the receiver's effects, the operator's accounts.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import hl7
import pytest
from hl7.client import MLLPClient

from mhbridge.mapping.library import built_in
from mhbridge.testing import OK, ReceivingServer, unavailable
from mhbridge.testing.sending import mllp_peer

FIXTURES = built_in("fixtures") / "example-mental-health"
CONFIGURATION = """\
[gateway]
name = "test"
store = "sqlite:store/mhbridge.db"
mode = "test"

[http]
listen = "127.0.0.1:{http}"

[[receiver]]
supplier = "example-mental-health"
kind = "mllp"
listen = "127.0.0.1:{mllp}"

[[receiver]]
supplier = "example-mental-health"
kind = "http"

[[destination]]
name = "community"
kind = "fhir"
url = "{fhir}"

[[route]]
documents = ["mental-health-inpatient-discharge", "encounter-event"]
to = ["community"]
"""


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Serving:
    """A running `mhbridge serve`."""

    process: asyncio.subprocess.Process
    folder: Path
    mllp: int
    http: int

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mhbridge", *arguments, "--config", str(self.folder / "mhbridge.toml")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def status(self) -> dict:
        return json.loads(self.ask("status", "--json").stdout)


@asynccontextmanager
async def serving(folder: Path, fhir: str, *, mllp: int = 0, http: int = 0) -> AsyncIterator[Serving]:
    mllp, http = mllp or free_port(), http or free_port()
    (folder / "mhbridge.toml").write_text(CONFIGURATION.format(mllp=mllp, http=http, fhir=fhir))
    log = (folder / "log").open("ab")
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mhbridge",
        "serve",
        "--config",
        str(folder / "mhbridge.toml"),
        stderr=log,
        env=environment,
    )
    found = Serving(process, folder, mllp, http)
    try:
        await until(lambda: listening(mllp), process)
        yield found
    finally:
        log.close()
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 40)


def listening(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def until(condition, process: asyncio.subprocess.Process | None = None) -> None:
    async with asyncio.timeout(30):
        while not condition():
            assert process is None or process.returncode is None, "the gateway ended"
            await asyncio.sleep(0.05)


def body(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def positive(acknowledgement: bytes) -> bool:
    """AA in original mode, CA in enhanced mode (HL7 v2.5.1 §2.9.2, §2.9.3)."""
    return b"MSA|AA|" in acknowledgement or b"MSA|CA|" in acknowledgement


async def test_a_discharge_from_a_second_client_reaches_the_fhir_server(tmp_path: Path) -> None:
    """python-hl7 sends, mhbridge translates and delivers, and the document at the receiver is the golden one."""
    async with ReceivingServer(validates=True) as server, serving(tmp_path, server.url) as gateway:
        with MLLPClient("127.0.0.1", gateway.mllp) as client:
            answer = await asyncio.to_thread(
                client.send_message, hl7.parse(body("discharge-letter/plain.hl7").decode())
            )
        acknowledgement = hl7.parse(answer.strip(b"\x0b\x1c\r").decode())
        assert str(acknowledgement.segment("MSA")[1]) == "CA"  # the fixture asks for enhanced mode
        assert str(acknowledgement.segment("MSA")[2]) == str(
            hl7.parse(body("discharge-letter/plain.hl7").decode()).segment("MSH")[10]
        )
        await server.until(lambda: bool(server.holdings.all("Bundle")), 20)
        (document,) = server.holdings.all("Bundle")
        golden = json.loads((FIXTURES / "discharge-letter/plain.r4.json").read_bytes())
        assert document["identifier"] == golden["identifier"]
        assert [e["resource"]["resourceType"] for e in document["entry"]] == [
            e["resource"]["resourceType"] for e in golden["entry"]
        ]


async def test_mllp_send_the_command_talks_to_it(tmp_path: Path) -> None:
    """The command line of python-hl7, as an integration analyst would use it."""
    async with ReceivingServer() as server, serving(tmp_path, server.url) as gateway:
        (tmp_path / "one.hl7").write_bytes(b"\x0b" + body("adt/a03-discharge.hl7") + b"\x1c\r")
        command = [
            str(Path(sys.executable).with_name("mllp_send")),
            "--port",
            str(gateway.mllp),
            "--file",
            str(tmp_path / "one.hl7"),
            "127.0.0.1",
        ]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, _ = await asyncio.wait_for(process.communicate(), 30)
        assert b"MSA|CA|" in out
        await server.until(lambda: bool(server.holdings.all("Encounter")), 20)
        (encounter,) = server.holdings.all("Encounter")
        assert encounter["status"] == "finished"


async def test_an_empty_field_leaves_unchanged_and_a_delete_clears(tmp_path: Path) -> None:
    """What the receiver has after each event is the fold of all events so far, not the last message alone."""
    async with ReceivingServer() as server, serving(tmp_path, server.url) as gateway:
        async with mllp_peer("127.0.0.1", gateway.mllp) as peer:
            names = ("adt/a01-admission.hl7", "adt/a02-transfer.hl7", "adt/a08-deletes.hl7")
            patients = []
            for number, name in enumerate(names, 1):
                assert positive(await peer.send(body(name)))
                await until(lambda n=number: gateway.status()["deliveries"].get("done", 0) == n)
                patients.append(server.holdings.all("Patient")[0])
        admitted, transferred, updated = patients
        # The transfer has no next of kin: that leaves unchanged what the admission said.
        assert transferred["contact"] == admitted["contact"]
        # The update deletes the telephone numbers, and only those.
        assert "telecom" in transferred
        assert "telecom" not in updated
        assert updated["contact"] == admitted["contact"]
        assert len(server.holdings.all("Patient")) == len(server.holdings.all("Encounter")) == 1


async def test_a_repeat_gets_its_first_answer_and_makes_nothing_new(tmp_path: Path) -> None:
    async with ReceivingServer() as server, serving(tmp_path, server.url) as gateway:
        async with mllp_peer("127.0.0.1", gateway.mllp) as peer:
            first, second = [await peer.send(body("discharge-letter/plain.hl7")) for _ in range(2)]
        assert first == second
        await until(lambda: gateway.status()["deliveries"].get("done", 0) == 1)
        status = gateway.status()
        assert (status["receipts"], status["repeats"], status["messages"]["done"]) == (2, 1, 1)
        assert len(server.holdings.all("Bundle")) == 1


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """Killed between the answer and the delivery, it delivers after the next start."""
    async with ReceivingServer(plan=lambda _: unavailable()) as server:
        async with serving(tmp_path, server.url) as gateway:
            async with mllp_peer("127.0.0.1", gateway.mllp) as peer:
                assert positive(await peer.send(body("discharge-letter/plain.hl7")))
            gateway.process.kill()
            await gateway.process.wait()
        server.plan = lambda _: OK
        async with serving(tmp_path, server.url, mllp=gateway.mllp, http=gateway.http):
            await server.until(lambda: bool(server.holdings.all("Bundle")), 30)
        assert len(server.holdings.all("Bundle")) == 1


async def test_a_restricted_patient_waits_for_a_person_and_nothing_leaves(tmp_path: Path) -> None:
    async with ReceivingServer() as server, serving(tmp_path, server.url) as gateway:
        async with mllp_peer("127.0.0.1", gateway.mllp) as peer:
            assert positive(await peer.send(body("discharge-letter/restricted-patient.hl7")))
        parked = json.loads(gateway.ask("parked", "--all", "--json").stdout)
        assert [(row["code"], row["state"]) for row in parked] == [("M740", "parked")]
        assert server.holdings.all("Bundle") == []
        trace = gateway.ask("trace", str(parked[0]["id"])).stdout
        assert "parked" in trace


async def test_a_terminated_gateway_ends_well_and_its_log_has_no_patient(tmp_path: Path) -> None:
    async with ReceivingServer() as server, serving(tmp_path, server.url) as gateway:
        async with mllp_peer("127.0.0.1", gateway.mllp) as peer:
            for path in sorted(FIXTURES.glob("*/*.hl7")):
                if not path.name.endswith(".ack.hl7"):
                    await peer.send(path.read_bytes())
        await until(lambda: not any(gateway.status()["deliveries"].get(s) for s in ("queued", "sending")))
        assert gateway.status()["differences"] == []
        gateway.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(gateway.process.wait(), 40) == 0
    log = (tmp_path / "log").read_text()
    assert log.count("\n") > 10
    for line in log.splitlines():
        json.loads(line)
    # Control: these are in the messages, so their absence from the log means something.
    everything = b"".join(p.read_bytes() for p in FIXTURES.glob("*/*.hl7"))
    for canary in (b"Marigold", b"999 ", b"Sertraline"):
        assert canary in everything or canary == b"999 "
        assert canary.decode() not in log
    assert not re.search(r"\b999\d{7}\b", log)


@pytest.mark.parametrize("name", ["status", "parked", "messages"])
def test_without_a_store_the_exit_code_is_three(tmp_path: Path, name: str) -> None:
    (tmp_path / "mhbridge.toml").write_text('[gateway]\nstore = "sqlite:none.db"\n')
    command = [sys.executable, "-m", "mhbridge", name, "--config", str(tmp_path / "mhbridge.toml")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 3
    assert "Traceback" not in result.stderr


async def test_once_restricted_always_restricted(tmp_path: Path) -> None:
    """
    The admission says that the record is restricted; the transfer and the letter after it do not say so again.

    Nothing of either leaves: the strictest sensitivity of any message holds for all that is said of the patient.
    """
    async with ReceivingServer() as server, serving(tmp_path, server.url) as gateway:
        restricted = body("adt/a01-restricted-patient.hl7")
        key = re.search(rb"~(M-\d+)\^\^\^EXMH", restricted)
        assert key is not None
        async with mllp_peer("127.0.0.1", gateway.mllp) as peer:
            assert positive(await peer.send(restricted))
            for name in ("adt/a02-transfer.hl7", "discharge-letter/plain.hl7"):
                assert b"restricted" not in body(name)
                assert positive(await peer.send(body(name).replace(b"M-104482", key[1])))
            # The control: the same transfer of another patient goes out.
            assert positive(await peer.send(body("adt/a02-transfer.hl7").replace(b"EXMH-P-000202", b"CONTROL")))
        await server.until(lambda: bool(server.holdings.all("Encounter")), 20)
        parked = json.loads(gateway.ask("parked", "--all", "--json").stdout)
        assert [row["code"] for row in parked] == ["M740"] * 3
        assert server.holdings.all("Bundle") == []
        assert len(server.holdings.all("Patient")) == 1
