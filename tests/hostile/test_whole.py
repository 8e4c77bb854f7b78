"""
All of our malformed messages, one after the other, into `mhbridge serve` in a process of its own: it answers each, it
still takes good ones afterwards, the accounts add up, and its log says nothing of what was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cases
from doors import CR, FS, LIBRARY, catalogue, take, well_formed
from test_cases import SECRETS

from mhbridge.adapters.mllp.framing import can_be_framed, frame
from mhbridge.mapping.reviews import HEADER, Review, path_of
from mhbridge.mapping.reviews import line as line_of
from mhbridge.testing.replaying import feed_of

CONFIGURATION = """\
[gateway]
name = "hub"
store = "sqlite:store/mhbridge.db"
mappings = ["{signed}", "{library}"]
mode = "live"

[[receiver]]
supplier = "hostile"
kind = "mllp"
listen = "127.0.0.1:{port}"

[[destination]]
name = "letters"
kind = "folder"
path = "out"

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["letters"]
"""


async def connected(port: int, process: asyncio.subprocess.Process):
    async with asyncio.timeout(40):
        while process.returncode is None:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(0.1)
    raise AssertionError("it has ended")


async def test_the_whole_gateway_under_everything_malformed(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = tmp_path / "mhbridge.toml"
    # A live gateway takes only mappings that somebody has signed for.
    signed = tmp_path / "signed"
    (signed / "suppliers" / "hostile").mkdir(parents=True)
    mappings = feed_of(catalogue(), "hostile").mappings
    reviews = "".join(line_of(Review(one.name, one.hash, "N. Obody", "2026-01-05")) for one in mappings)
    (signed / path_of("hostile")).write_text(",".join(HEADER) + "\n" + reviews, "utf-8")
    places = {"library": LIBRARY.as_posix(), "signed": signed.as_posix(), "port": port}
    configuration.write_text(CONFIGURATION.format(**places), "utf-8")
    command = [sys.executable, "-m", "mhbridge"]
    with (tmp_path / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, "serve", "--config", str(configuration), stderr=log)
    sent = {name: body for name, (body, _) in cases.HL7V2.items() if can_be_framed(body) and len(body) < 300_000}
    both = replace(feed_of(catalogue(), "hostile"), live=True)
    expected = {name: take(body, own=both) for name, body in sent.items()}
    try:
        reader, writer = await connected(port, process)
        for name, body in sent.items():
            writer.write(frame(body))
            await writer.drain()
            if expected[name].acknowledgement:
                async with asyncio.timeout(30):
                    answer = (await reader.readuntil(FS + CR))[1:-2]
                assert well_formed(answer) == well_formed(expected[name].acknowledgement), name
        writer.close()
        asked = await asyncio.to_thread(
            subprocess.run,
            [*command, "status", "--json", "--config", str(configuration)],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert asked.returncode == 0, "the accounts add up"
        told = json.dumps(json.loads(asked.stdout))
        assert not [secret for secret in SECRETS if secret.decode() in told]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 40)
    assert process.returncode == 0
    said = (tmp_path / "log").read_bytes()
    assert not [secret for secret in SECRETS if secret in said]
    lines = [json.loads(line) for line in said.splitlines()]
    assert not [line for line in lines if line["level"] in ("error", "critical")]
    refused = sorted(line["code"] for line in lines if line["event"] == "refused")
    assert refused == sorted(taken.codes for taken in expected.values() if not taken.outcomes)
