"""
`kill -9` of the real gateway under load, at random points, over MLLP, HTTP and from a folder: it is started again, the
hospitals go on, and in the end nothing answered is lost, doubled or out of order.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from checker import check
from receivers import Receiver, at_random
from scene import ROOT, SUPPLIER
from senders import Attempts, Stays, over_mllp, send
from story import withheld

from databases import database
from mhbridge import config
from mhbridge.adapters.sql.transitions import OPEN_DELIVERIES
from mhbridge.app.storing import store_of
from mhbridge.testing.faults import OK

#: The long form is the same with a larger number.
KILLS = int(os.environ.get("MHBRIDGE_TEST_SERVE_KILLS", "8"))
SEED = int(os.environ.get("MHBRIDGE_TEST_SEED", "1"))

CONFIGURATION = """
[gateway]
name = "killed"
lease = "1s"
mode = "test"
workers = 0
store = "{store}"
store_key = "file:{folder}/key"
mappings = ["{root}/mappings"]

[[receiver]]
supplier = "{supplier}"
kind = "mllp"
listen = "127.0.0.1:{mllp}"

[[receiver]]
supplier = "{supplier}"
kind = "http"
listen = "127.0.0.1:{http}"

[[receiver]]
supplier = "{supplier}"
kind = "folder"
path = "{folder}/in"
settle = "10ms"
every = "10ms"

[[destination]]
name = "fhir"
kind = "fhir"
url = "{url}"
timeout = "2s"

[[route]]
documents = ["encounter-event", "mental-health-inpatient-discharge"]
to = ["fhir"]
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def over_http(session, port):
    async def deliver(message):
        feed = "discharge-letter" if message.event == "MDM" else "adt"
        url = f"http://127.0.0.1:{port}/feeds/{SUPPLIER}/{feed}/messages"
        try:
            async with session.post(url, data=message.body) as response:
                return str(response.status)
        except aiohttp.ClientError as error:
            raise ConnectionResetError from error

    return deliver


def over_folder(folder):
    """A file is answered when it is put away. Nothing is sent again: it is still there."""

    async def deliver(message):
        name = f"{message.control}.hl7"
        (folder / "in" / f".{name}").write_bytes(message.body)
        (folder / "in" / f".{name}").rename(folder / "in" / name)
        while True:
            for end in ("archive", "rejected"):
                if next((folder / "in" / end).glob(f"*-{name}"), None):
                    return end
            await asyncio.sleep(0.01)

    return deliver


class Serving:
    """The process, and its parent."""

    def __init__(self, parent, draw):
        self._parent, self._draw = parent, draw
        self._number = 0
        self.kills = 0

    async def _line(self):
        return int(await self._parent.stdout.readline())

    async def live(self, answered):
        """
        Start it, kill it at some point of its life, as often as is asked for; at last, start it and leave it.

        Now and then it is killed while it starts, otherwise when so many more have been answered, however long that is.
        """
        for _ in range(KILLS):
            self._parent.stdin.write(b"\n")
            number, begun = await self._line(), answered()
            more = self._draw.randrange(60) if self._draw.random() < 0.9 else 0
            async with asyncio.timeout(60):
                while answered() < begun + more:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            await asyncio.sleep(self._draw.uniform(0, 0.02 if more else 0.4))
            os.kill(number, signal.SIGKILL)
            assert await self._line() == -signal.SIGKILL
            self.kills += 1
        self._parent.stdin.write(b"\n")
        self._number = await self._line()

    async def end(self):
        os.kill(self._number, signal.SIGTERM)
        return await self._line()


@asynccontextmanager
async def serving(configuration, *how):
    command = [sys.executable, str(Path(__file__).with_name("serving.py")), str(configuration), *how]
    with (configuration.parent / "stderr").open("ab") as stderr:
        # A gateway takes what begins with its name for its configuration.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MHBRIDGE_")}
        parent = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=stderr, env=environ)
    try:
        yield Serving(parent, random.Random(SEED))
    except BaseException:
        # Its gateway goes with it: one that is left over would go on with the folder.
        with suppress(ProcessLookupError):
            parent.kill()
        raise
    finally:
        parent.stdin.close()
        await asyncio.wait_for(parent.wait(), 30)


async def killed_again_and_again(folder, store, *how):
    """What the checker says in the end."""
    mllp, http, draw, ended = free_port(), free_port(), random.Random(SEED), asyncio.Event()
    attempts, patients = Attempts(), count()
    stays = Stays(draw, datetime.now(UTC) - timedelta(days=4_000))
    (folder / "in").mkdir()
    async with Receiver(plan=at_random(draw, lost=0.02)) as receiver, aiohttp.ClientSession() as session:
        text = CONFIGURATION.format(
            folder=folder, root=ROOT, supplier=SUPPLIER, mllp=mllp, http=http, url=receiver.url, store=store
        )
        (folder / "key").write_text("6b" * 32)
        (folder / "mhbridge.toml").write_text(text)

        async def hospital(deliver):
            while not ended.is_set():
                await send(stays.of(next(patients), 8), deliver, attempts, patience=0.02)

        async with serving(folder / "mhbridge.toml", *how) as gateway:
            ways = [over_mllp("127.0.0.1", mllp)] * 3 + [over_http(session, http)] * 2 + [over_folder(folder)]
            hospitals = [asyncio.create_task(hospital(deliver)) for deliver in ways]
            await gateway.live(lambda: len(attempts.answered))
            ended.set()
            receiver.plan = lambda _: OK
            await asyncio.wait_for(asyncio.gather(*hospitals), 60)
            store = store_of(config.load(folder / "mhbridge.toml", {}), read_only=True)
            await store.open()
            try:
                # What the receiver lost of so many kills is looked up, patient by patient.
                async with asyncio.timeout(120 + KILLS):
                    while set((await store.status(datetime.now(UTC))).deliveries) & OPEN_DELIVERIES:  # noqa: ASYNC110
                        await asyncio.sleep(0.5)
                assert await gateway.end() == 0
                status = await store.status(datetime.now(UTC))
                await store.verify_log()
                report = check(attempts, receiver, status, excused=await withheld(store))
            finally:
                await store.close()
    return gateway.kills, report


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def store(request, tmp_path):
    if request.param == "SQLite":
        yield f"sqlite:{tmp_path}/store/mhbridge.db"
    else:
        with database() as address:
            yield address


async def test_a_gateway_that_is_killed_under_load_loses_nothing_that_it_answered(tmp_path, store):
    kills, report = await killed_again_and_again(tmp_path, store)
    assert report.faults == {}
    assert kills == KILLS
    assert report.answered == report.sent > 10 * KILLS
    assert report.repeats > KILLS


async def test_a_gateway_that_answers_before_it_commits_is_seen_to_lose(tmp_path, store, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "KILLS", 3)
    _, report = await killed_again_and_again(tmp_path, store, "early")
    assert report.lost
