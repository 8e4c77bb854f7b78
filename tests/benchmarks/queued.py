"""
How a gateway bears a long queue: `python tests/benchmarks/queued.py [--queued 100000]`.

Fills a store with so many deliveries that are due, each of another patient, and starts `mhbridge serve` on it, with a
destination that takes one a second. Prints how long the start takes, what memory it needs a while later, how long an
event then waits for its acknowledgement, and how long a stop takes while the destination does not answer at all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from workload import EVENT, MAPPINGS, varied

from mhbridge import config
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.model import Answer, Document, Envelope, Key, MessageFacts, MessageState, Outcome, Planned, Verdict
from mhbridge.testing.sending import mllp_peer

#: Seconds until it takes messages, and until it has stopped; megabytes.
BAR_START, BAR_STOP, BAR_MEMORY = 5.0, 30.0, 300.0
_AT_ONCE = 500

CONFIGURATION = """\
[gateway]
name = "queued"
mode = "test"
store = "sqlite:store/mhbridge.db"
workers = 0
mappings = ["{mappings}"]

[[receiver]]
supplier = "example-mental-health"
kind = "mllp"
listen = "127.0.0.1:0"

[[destination]]
name = "slow"
kind = "fhir"
url = "{url}"
deadline = "24h"
concurrency = 1

[[route]]
documents = ["encounter-event", "mental-health-inpatient-discharge"]
to = ["slow"]
"""


def outcomes(first: int, count: int) -> Iterator[Outcome]:
    """So many messages, each with one document to be sent; what they say does not matter here."""
    for number in range(first, first + count):
        body = json.dumps({"resourceType": "Bundle", "type": "document", "id": f"{number}", "x": "y" * 500}).encode()
        series = sha256(b"%d" % number).digest()
        yield Outcome(
            MessageFacts("hl7v2", "MDM^T02", control_id=f"Q{number}"),
            MessageState.DONE,
            documents=(Document("x", "r4", "document", series, f"urn:uuid:{number}", body),),
            deliveries=(Planned(0, "slow"),),
            patient=Key("queue", str(number)),
        )


async def fill(found: config.Config, queued: int) -> None:
    """Commit them, some hundreds with each envelope."""
    store = SqliteStore(found.gateway.store_path, duties=config.duties_of(found))
    await store.open()
    now = datetime.now(UTC) - timedelta(seconds=5)
    answer = Answer(Verdict.ACCEPTED, "Safely stored.", now)
    for first in range(0, queued, _AT_ONCE):
        body = b"%d" % first
        envelope = Envelope(body, "queue", "queue/file", now, "file")
        made = list(outcomes(first, min(_AT_ONCE, queued - first)))
        await store.commit(envelope, sha256(body).digest(), made, answer, {"slow": 86_400.0})
    await store.close()


class Slow(asyncio.Protocol):
    """A server that takes one request a second, and in the end answers none."""

    taken = 0
    answers = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        length = self._buffer[:head].lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        if head >= 0 and len(self._buffer) >= head + 4 + int(length or 0):
            self._buffer = b""
            Slow.taken += 1
            if Slow.answers:
                asyncio.get_running_loop().call_later(
                    1.0, self._transport.write, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                )


def memory(process: int) -> float:
    """Megabytes that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def started(stream: asyncio.StreamReader) -> str:
    """The address of the listener, once messages are taken."""
    address = ""
    while line := await stream.readline():
        said = json.loads(line)
        if said["event"] == "listening" and said["kind"] == "mllp":
            address = said["address"]
        if said["event"] == "started":
            return address
    raise SystemExit("it did not start")


async def measure(options: argparse.Namespace) -> None:
    """One store, one start, one stop."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Slow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="mhbridge-benchmark-", dir=options.on) as name:
        file = Path(name) / "mhbridge.toml"
        file.write_text(CONFIGURATION.format(mappings=MAPPINGS, url=url))
        begun = time.perf_counter()
        await fill(config.load(file, {}), options.queued)
        size = sum(one.stat().st_size for one in (Path(name) / "store").iterdir()) / 1e6
        print(f"{options.queued:,} queued in {time.perf_counter() - begun:.0f} s; the store has {size:,.0f} MB")
        begun = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mhbridge", "serve", "--config", str(file), stderr=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )  # fmt: skip
        assert process.stderr is not None
        address = await started(process.stderr)
        show("start, s", time.perf_counter() - begun, BAR_START)
        reading = asyncio.create_task(process.stderr.read())
        await asyncio.sleep(options.seconds)
        show("memory after a while, MB", memory(process.pid), BAR_MEMORY)
        times = []
        make = varied(EVENT, 200, "q")
        async with mllp_peer(address.rpartition(":")[0], int(address.rpartition(":")[2])) as peer:
            for number in range(200):
                sent = time.perf_counter()
                await peer.send(make(number))
                times.append((time.perf_counter() - sent) * 1e3)
        show("an acknowledgement, p50 ms", statistics.median(times))
        show("                    p99 ms", sorted(times)[-2])
        show("memory then, MB", memory(process.pid), BAR_MEMORY)
        print(f"  {Slow.taken} delivered meanwhile")
        Slow.answers = False
        await asyncio.sleep(2)
        begun = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        await process.wait()
        show("stop while nobody answers, s", time.perf_counter() - begun, BAR_STOP)
        await reading
    server.close()


def show(what: str, value: float, bar: float | None = None) -> None:
    """One line of the table."""
    print(f"  {what:<34}{value:>9.2f}" + (f"{bar:>9.0f}{value / bar:>7.2f}" if bar else ""), flush=True)


def main() -> None:
    """Measure, and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--queued", type=int, default=100_000)
    options.add_argument("-s", "--seconds", type=float, default=60.0, help="how long it runs before it is looked at")
    options.add_argument("--on", help="the folder whose disk the store is on")
    asyncio.run(measure(options.parse_args()))


if __name__ == "__main__":
    main()
