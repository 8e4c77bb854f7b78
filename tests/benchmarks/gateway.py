"""
How much the gateway takes: MLLP in, translated, validated, committed and fsynced, acknowledged, and delivered.

    python tests/benchmarks/gateway.py                      event and letter, 1, 8 and 64 connections
    python tests/benchmarks/gateway.py event -c 64 --profile

The gateway is a process of its own with a store on this disk, one FHIR destination and a folder. Each connection sends
a message, waits for its acknowledgement and sends the next. The receiving endpoint and the senders are in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workload import FIXTURES_BY_NAME, MAPPINGS, Fixture, varied

HERE = Path(__file__).parent
_END = b"\x1c\r"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

CONFIGURATION = """\
[gateway]
name = "benchmark"
store = "sqlite:store/mhbridge.db"
mode = "test"
workers = {workers}
mappings = ["{mappings}"]

[[receiver]]
supplier = "{supplier}"
kind = "mllp"
listen = "127.0.0.1:0"

[[destination]]
name = "community-team"
kind = "fhir"
url = "{url}"
deadline = "24h"
concurrency = 16

[[route]]
documents = ["mental-health-inpatient-discharge", "encounter-event"]
to = ["community-team"]
"""

#: design §11: acknowledged within so many ms, for 99 in 100 events.
BAR_P99 = 50.0


class Endpoint(asyncio.Protocol):
    """A FHIR server that takes everything, as fast as it can: what it costs must not be counted for the gateway."""

    received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (head := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._buffer, 0, head)
            end = head + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < end:
                return
            self._buffer = self._buffer[end:]
            Endpoint.received += 1
            self._transport.write(_TAKEN)


class Sender(asyncio.Protocol):
    """One connection in lock step."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if self._buffer.endswith(_END):
            self._load.answered(self._buffer, self._begun)
            self._buffer = b""
            self._next()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._load.closed()

    def _next(self) -> None:
        body = self._load.next()
        if body is None:
            self._transport.close()
            return
        self._begun = time.perf_counter()
        self._transport.write(b"\x0b" + body + _END)


@dataclass
class Load:
    """What is sent, by all connections together, until the time is over; counted once all have been warmed up."""

    message: Callable[[int], bytes]
    counts: float = 0.0
    until: float = 0.0
    sent: int = 0
    open: int = 0
    times: list[float] = field(default_factory=list)
    windows: list[tuple[float, float, float]] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def next(self) -> bytes | None:
        if time.perf_counter() >= self.until:
            return None
        self.sent += 1
        return self.message(self.sent)

    def answered(self, answer: bytes, begun: float) -> None:
        if begun >= self.counts:
            self.times.append(time.perf_counter() - begun)
        if answer.partition(b"\rMSA|")[2][:2] not in (b"AA", b"CA"):
            self.refused.append(answer)

    def closed(self) -> None:
        self.open -= 1
        if not self.open:
            self.ended.set()

    async def begin(self, host: str, port: int, connections: int, seconds: float) -> None:
        """Connect, and send for a while without counting."""
        loop, self.open, self.ended = asyncio.get_running_loop(), connections, asyncio.Event()
        self.counts = time.perf_counter() + min(2.0, seconds / 2)
        self.until = self.counts + seconds
        for _ in range(connections):
            await loop.create_connection(lambda: Sender(self), host, port)
        await asyncio.sleep(self.counts - time.perf_counter())

    async def end(self) -> float:
        """Go on until the time is over; how many seconds counted."""
        await self.ended.wait()
        return time.perf_counter() - self.counts


def children(pid: int) -> list[int]:
    """The processes that translate for it, and the one to spare."""
    found = [task.joinpath("children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for some in found for child in some]


def used_by(pids: list[int]) -> float:
    """Seconds on a core, of processes that are there."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


async def counted(pids: list[int]) -> Callable[[], Awaitable[dict[int, int]]]:
    """Begin to count instructions with Linux's `perf`; what is returned ends it, and says how many each thread had."""
    perf = await asyncio.create_subprocess_exec(
        "perf", "stat", "-x;", "-e", "instructions:u", "--per-thread", "-p", ",".join(map(str, pids)),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip

    async def end() -> dict[int, int]:
        perf.send_signal(signal.SIGINT)
        _, said = await perf.communicate()
        found = [line.split(";")[:2] for line in said.decode().splitlines() if "instructions" in line]
        return {int(thread.rpartition("-")[2]): int(count) for thread, count in found if count.isdecimal()}

    return end


async def windows(pid: int, load: Load) -> None:
    """What the gateway did, and the CPU it took, in each quarter of a second: the best one was disturbed least."""
    tasks = Path(f"/proc/{pid}/task")
    before: tuple[float, int, float, float] | None = None
    while tasks.exists():
        # Nanoseconds on a core; the main thread has the number of the process.
        cpu = {task.name: int((task / "schedstat").read_text().split()[0]) / 1e3 for task in tasks.iterdir()}
        now = time.perf_counter(), len(load.times), sum(cpu.values()), cpu[str(pid)]
        if before is not None and now[1] > before[1]:
            n = now[1] - before[1]
            load.windows.append((n / (now[0] - before[0]), (now[2] - before[2]) / n, (now[3] - before[3]) / n))
        before = now
        await asyncio.sleep(0.25)


@asynccontextmanager
async def gateway(fixture: Fixture, url: str, options: argparse.Namespace) -> AsyncIterator[Gateway]:
    """A gateway with an empty store, until it is done with."""
    with tempfile.TemporaryDirectory(prefix="mhbridge-benchmark-", dir=options.on) as name:
        folder = Path(name)
        text = CONFIGURATION.format(mappings=MAPPINGS, supplier=fixture.supplier, url=url, workers=options.workers)
        (folder / "mhbridge.toml").write_text(text)
        more = ["--profile"] * options.profile + ["--validator", options.validator, "--loop", options.loop]
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "served.py"), str(folder / "mhbridge.toml"), str(folder / "log"), *more,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
        )  # fmt: skip
        try:
            made = Gateway(process)
            made.address = (await made.line())["address"]
            yield made
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()


@dataclass
class Gateway:
    """The process, as far as it can be asked."""

    process: Any
    address: str = ""

    async def line(self) -> dict[str, Any]:
        return json.loads(await self.process.stdout.readline())

    async def ask(self, word: str) -> None:
        self.process.stdin.write(word.encode() + b"\n")
        await self.process.stdin.drain()


async def measure(fixture: Fixture, connections: int, options: argparse.Namespace) -> dict[str, Any]:
    """One run, of which the beginning is not counted."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Endpoint, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" if options.deliver else "http://127.0.0.1:9"
    async with gateway(fixture, url, options) as serving:
        host, _, port = serving.address.rpartition(":")
        run = f"{os.getpid() % 10_000}"
        load = Load(varied(fixture, options.patients, run))
        await load.begin(host, int(port), connections, options.seconds)
        delivered = Endpoint.received
        await serving.ask("begin")
        # The retired are gone at the end, and the new were not there at the beginning: the share of a worker is longer.
        workers = children(serving.process.pid)
        before = used_by(workers), time.process_time()
        counting = await counted([serving.process.pid, *workers, os.getpid()]) if options.instructions else None
        watching = asyncio.create_task(windows(serving.process.pid, load))
        seconds = await load.end()
        watching.cancel()
        there = set(workers) & set(children(serving.process.pid))
        translating = used_by(sorted(there)) - before[0] if there == set(workers) else 0.0
        here = time.process_time() - before[1]
        counts = await counting() if counting is not None else {}
        await serving.ask("end")
        found = await serving.line()
        names = {int(thread): name for thread, name in found["threads"].items()}
        names |= dict.fromkeys(workers, "workers") | {os.getpid(): "senders and endpoint"}
        found["instructions"] = Counter[str]()
        for thread, count in counts.items():
            found["instructions"][names.get(thread, "others")] += count
        found |= {"seconds": seconds, "times": load.times, "refused": len(load.refused)}
        found["windows"] = load.windows
        found["cpu"] |= {"workers": translating, "senders and endpoint": here}
        found["delivered"] = Endpoint.received - delivered
        if load.refused:
            print(load.refused[0].replace(b"\r", b"\n").decode(errors="replace"))
    server.close()
    return found


def show(fixture: Fixture, connections: int, found: dict[str, Any]) -> None:
    """One line of the table."""
    times = sorted(found["times"])
    n = len(times)
    rate = n / found["seconds"]
    p50, p99 = statistics.median(times) * 1e3, times[min(n - 1, int(n * 0.99))] * 1e3
    cpu = {name: round(used / n * 1e6) for name, used in found["cpu"].items()}
    threads = ", ".join(
        f"{name.removeprefix('mhbridge-')} {used}" for name, used in cpu.items() if used and name != "process"
    )
    print(
        f"{fixture.name:<8}{connections:>5}{rate:>9,.0f}{fixture.bar:>8,}{rate / fixture.bar:>7.2f}"
        f"{p50:>9.1f}{p99:>9.1f}{found['delivered'] / found['seconds']:>9,.0f}{cpu['process']:>9}  {threads}"
        f"; {found['memory']['now']:.0f} MB"
    )
    if found["instructions"]:
        threads = ", ".join(
            f"{name.removeprefix('mhbridge-')} {round(count / n / 1e3):,}"
            for name, count in found["instructions"].most_common()
            if count / n > 1e3
        )
        print(f"{'':<8}thousand instructions: {round(found['instructions'].total() / n / 1e3):,}, of which {threads}")
    if found["windows"]:
        rates, process, loop = zip(*found["windows"], strict=True)
        print(
            f"{'':<8}{'best ¼ s':>5}{max(rates):>6,.0f}{'':>8}{max(rates) / fixture.bar:>7.2f}{'':>27}"
            f"{min(process):>9.0f}  MainThread {min(loop):.0f}"
        )
    if found["refused"] or found["differences"]:
        print(f"  WRONG: {found['refused']} refused, differences: {found['differences']}")
    total = sum(count for _, count in found["areas"])
    if total:
        # A sample is taken by CPU time of the whole process, so its share is of the time that the loop held.
        loop = cpu["MainThread"]
        for area, count in found["areas"]:
            print(f"    {area:<42}{count / total:>6.1%}{count / total * loop:>8.0f} µs")
        for what in ("lines", "within"):
            print(f"      {'by itself' if what == 'lines' else 'with what it calls'}")
            for line, count in found[what]:
                print(f"        {line:<50}{count / total:>6.1%}{count / total * loop:>8.0f} µs")


def run(measuring: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """On the cheapest loop that there is: what sends and what is sent to must not be counted for the gateway."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(measuring)
    return uvloop.run(measuring)


def main() -> None:
    """Measure what was asked for."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", default=[one.name for one in FIXTURES_BY_NAME.values() if one.bar])
    options.add_argument("-c", "--connections", type=int, action="append", help="how many; more than once for several")
    options.add_argument("-s", "--seconds", type=float, default=5.0)
    options.add_argument("--patients", type=int, default=500, help="one after the other; each comes again and again")
    options.add_argument(
        "--no-delivery", dest="deliver", action="store_false", help="nobody answers at the destination"
    )
    options.add_argument("--validator", choices=("default", "tables", "none"), default="default")
    options.add_argument("--loop", choices=("default", "asyncio"), default="default", help="uvloop where there is one")
    options.add_argument("--profile", action="store_true", help="where the event loop spends its time")
    options.add_argument(
        "--instructions", action="store_true", help="count them with perf: what else runs is no matter"
    )
    options.add_argument("-w", "--workers", type=int, default=0, help="processes that translate")
    options.add_argument("--on", help="the folder whose disk the store is on")
    asked = options.parse_args()
    print(
        f"{'':<8}{'conn.':>5}{'msg/s':>9}{'bar':>8}{'ratio':>7}{'p50 ms':>9}{'p99 ms':>9}{'deliv./s':>9}{'CPU µs':>9}"
        "  of which by thread"
    )
    for name in asked.names:
        for connections in asked.connections or (1, 8, 64):
            with contextlib.suppress(KeyboardInterrupt):
                found = run(measure(FIXTURES_BY_NAME[name], connections, asked))
                show(FIXTURES_BY_NAME[name], connections, found)


if __name__ == "__main__":
    main()
