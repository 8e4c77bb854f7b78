"""
Three gateways on one PostgreSQL, each a process of its own: stopped for longer than their leases, killed, cut off from
the database, slowed down and frozen, while hospitals send to whichever of them answers. In the end nothing answered is
lost, doubled or out of order, and the accounts of all add up.

A pause is longer than a lease and shorter than that and the new owner's wait together: what a longer one can do
between the look at the clock and the send, nobody can prevent (docker/OPERATING.md). The control is stopped for longer,
and does not look.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from between import Between
from checker import check
from receivers import Receiver, at_random
from scene import ROOT, SUPPLIER
from senders import Attempts, Stays, over_mllp, send
from story import withheld

from databases import database, with_tables
from mhbridge import config
from mhbridge.adapters.sql.transitions import OPEN_DELIVERIES
from mhbridge.app.storing import store_of
from mhbridge.testing.faults import OK

#: The long form is the same with a larger number: so many times each thing that can happen to a node happens.
ROUNDS = int(os.environ.get("MHBRIDGE_TEST_CLUSTER_ROUNDS", "1"))
SEED = int(os.environ.get("MHBRIDGE_TEST_SEED", "1"))

NODES = ("alder", "larch", "rowan")
#: In seconds. Nobody sends for what a dead node had before its lease, and this after it, are over.
LEASE, TIMEOUT, SETTLE = 2.0, 1.0, 0.5
PAUSE = LEASE + 0.8 * (TIMEOUT + SETTLE)

CONFIGURATION = """
[gateway]
name = "cluster"
node = "{node}"
lease = "{lease}s"
mode = "test"
workers = 0
store = "postgresql://postgres@127.0.0.1:{port}/{database}"
store_key = "file:{folder}/store-key"
log_heads = "{folder}/{node}.heads"
mappings = ["{root}/mappings"]

[[receiver]]
supplier = "{supplier}"
kind = "mllp"
listen = "127.0.0.1:{mllp}"

[[destination]]
name = "fhir"
kind = "fhir"
url = "{url}"
timeout = "{timeout}s"

[[route]]
documents = ["encounter-event", "mental-health-inpatient-discharge"]
to = ["fhir"]
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def address():
    with database(with_tables()) as found:
        yield found


class Node:
    """One gateway, and whoever starts it again when it ends, as an init system does."""

    def __init__(self, parent, port, between):
        self.port, self.between = port, between
        self._parent = parent
        self._rest, self._ended = 0.5, False
        self._number, self._code = 0, None
        self._runs = asyncio.Event()

    async def _line(self):
        return int(await self._parent.stdout.readline())

    async def live(self):
        """From its first start to its end in good order; how it ended."""
        while not self._ended:
            self._parent.stdin.write(b"\n")
            self._number = await self._line()
            self._runs.set()
            self._code = await self._line()
            self._runs.clear()
            await asyncio.sleep(0 if self._ended else self._rest)
        return self._code

    def _signal(self, number):
        with suppress(ProcessLookupError):
            os.kill(self._number, number)

    async def kill(self, rest):
        """Kill it; after so many seconds it is started again."""
        await self._runs.wait()
        self._rest = rest
        self._signal(signal.SIGKILL)
        await asyncio.sleep(rest)

    async def pause(self, seconds):
        await self._runs.wait()
        self._signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._signal(signal.SIGCONT)

    async def end(self):
        await self._runs.wait()
        self._ended = True
        self._signal(signal.SIGTERM)


class Cluster:
    """All of it: the database, the gateways, who sends and who receives."""

    def __init__(self, folder, address, *, faults=(), server=None):
        self.folder, self.faults = folder, faults
        parts = urlsplit(address)
        self._database, self._socket = parts.path[1:], Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432"
        self.draw = random.Random(SEED)
        self.attempts = Attempts()
        self.receiver = Receiver(plan=at_random(self.draw, lost=0.02), **(server or {}))
        self.nodes = []
        self._ended = asyncio.Event()
        self._hospitals, self._lives = [], []
        self._joined = set()

    @asynccontextmanager
    async def running(self, hospitals):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.receiver)
            (self.folder / "store-key").write_text("5a" * 32)
            for name in NODES:
                between = await stack.enter_async_context(Between(self._socket))
                self.nodes.append(await stack.enter_async_context(self._node(name, between)))
            self._lives = [asyncio.create_task(node.live()) for node in self.nodes]
            for node in self.nodes:
                await self._listening(node)
            stays = Stays(self.draw, datetime.now(UTC) - timedelta(days=4_000))
            patients = count()
            self._hospitals = [asyncio.create_task(self._hospital(stays, patients)) for _ in range(hospitals)]
            try:
                yield self
            finally:
                for task in (*self._hospitals, *self._lives):
                    task.cancel()

    @asynccontextmanager
    async def _node(self, name, between):
        port = free_port()
        text = CONFIGURATION.format(
            node=name, lease=LEASE, timeout=TIMEOUT, port=between.port, database=self._database, folder=self.folder,
            root=ROOT, supplier=SUPPLIER, mllp=port, url=self.receiver.url,
        )  # fmt: skip
        file = self.folder / f"{name}.toml"
        file.write_text(text)
        command = [sys.executable, str(Path(__file__).with_name("node.py")), str(file), *self.faults]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MHBRIDGE_")}
        with (self.folder / f"{name}.log").open("ab") as stderr:
            parent = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=stderr, env=environ)
        try:
            yield Node(parent, port, between)
        finally:
            parent.stdin.close()
            if parent.returncode is None:
                parent.kill()
            await parent.wait()

    async def _listening(self, node):
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", node.port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    async def _hospital(self, stays, patients):
        """Sends to any of them, and again to any of them, until one has answered."""

        async def deliver(message):
            node = self.draw.choice(self.nodes)
            async with asyncio.timeout(3):
                return await over_mllp("127.0.0.1", node.port)(message)

        while not self._ended.is_set():
            messages = self._merged(stays, patients) if self.draw.random() < 0.2 else stays.of(next(patients), 6)
            await send(messages, deliver, self.attempts, patience=0.05, pause=lambda: 0.15)

    def _merged(self, stays, patients):
        """Two patients, who are seldom one gateway's, turn out to be one, half-way through what is sent of them."""
        retired, survivor = next(patients), next(patients)
        self._joined |= {retired, survivor}
        before, after = stays.of(retired, 3), stays.of(survivor, 6)
        merge = stays.merge(retired, survivor, after[2].at + timedelta(minutes=1))
        return [*sorted([*before, *after[:3]], key=lambda message: message.at), merge, *after[3:]]

    async def settled(self):
        """Nobody sends any more, and all that was taken has been delivered; what the checker says of it."""
        self._ended.set()
        self.receiver.plan = lambda _: OK
        await asyncio.wait_for(asyncio.gather(*self._hospitals), 120)
        store = store_of(config.load(self.folder / f"{NODES[0]}.toml", {}), read_only=True)
        await store.open()
        try:
            async with asyncio.timeout(120):
                while not self._is_over(await store.status(datetime.now(UTC))):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            for node, life in zip(self.nodes, self._lives, strict=True):
                await node.end()
                assert await life == 0
            status = await store.status(datetime.now(UTC))
            await store.verify_log()
            assert status.behind == {}
            report = check(self.attempts, self.receiver, status, excused=await withheld(store))
        finally:
            await store.close()
        # What a retired record is in the end is the receiver's business; the checker knows no merges.
        report.wrong = [one for one in report.wrong if int(one[0].split("-")[1]) not in self._joined]
        return report

    @staticmethod
    def _is_over(status):
        open_ = sum(n for state, n in status.deliveries.items() if state in OPEN_DELIVERIES)
        return not open_ and not any(status.messages.get(state) for state in ("stored", "held"))

    @property
    def merges(self):
        """How many records were merged with another."""
        return sum(message.event == "A40" for message in self.attempts.attempted.values())

    def said(self, event):
        """How often the nodes have logged it."""
        return sum((self.folder / f"{name}.log").read_bytes().count(b'"event":"%s"' % event.encode()) for name in NODES)


async def afflict(cluster, draw):
    """Each thing that can happen to a node happens to one."""

    happens = [
        lambda node: node.pause(PAUSE),
        lambda node: node.kill(draw.uniform(0, 1.5 * LEASE)),
        lambda node: node.between.frozen(PAUSE),
        lambda node: node.between.cut(draw.uniform(0, 0.3)),
        lambda node: node.between.slow(1.0, 0.03),
    ]
    for _ in range(ROUNDS):
        draw.shuffle(happens)
        for happen in happens:
            await happen(draw.choice(cluster.nodes))
            await asyncio.sleep(draw.uniform(0.2, 0.8))


#: A receiver that knows no versions: an older state that comes late stays there.
FORGETFUL = {"versions": False, "conditional": False}


async def test_several_gateways_lose_double_and_disorder_nothing(tmp_path, address):
    cluster = Cluster(tmp_path, address, faults=("held-up",), server=FORGETFUL)
    async with cluster.running(hospitals=5):
        await asyncio.sleep(1)
        for _ in range(10):
            await afflict(cluster, cluster.draw)
            # On a machine with other work few deliveries may be on their way when something happens.
            if cluster.said("leases_lost") and cluster.said("recovered"):
                break
        report = await cluster.settled()
    assert report.faults == {}
    assert report.answered == report.sent > 50
    assert cluster.merges > 0
    assert cluster.said("leases_lost") > 0
    assert cluster.said("recovered") > 0


async def test_gateways_that_do_not_look_at_their_leases_are_seen_to_double_or_disorder(tmp_path, address):
    cluster = Cluster(tmp_path, address, faults=("held-up", "unchecked"), server=FORGETFUL)
    async with cluster.running(hospitals=8):
        for _ in range(20):
            await asyncio.sleep(1)
            await cluster.draw.choice(cluster.nodes).pause(LEASE + TIMEOUT + SETTLE + 2)
            if any(len(numbers) > len(set(numbers)) for numbers in cluster.receiver.effects.values()):
                break
        report = await cluster.settled()
    assert report.duplicated or report.disordered or report.wrong
