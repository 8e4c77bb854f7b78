"""Other mappings take the place of those in force while messages are taken; what is broken changes nothing."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from mhbridge import config
from mhbridge import log as logs
from mhbridge.app import build

ROOT = Path(__file__).parents[1]
SUPPLIER = "example-mental-health"
UPDATE = (ROOT / "fixtures" / SUPPLIER / "adt" / "a08-update.hl7").read_bytes()
CONFIGURATION = """
[gateway]
mode = "test"
store = "sqlite:store.db"
mappings = ["{mappings}"]
workers = {workers}

[http]
listen = "127.0.0.1:0"

[[receiver]]
supplier = "example-mental-health"
kind = "http"

[[access]]
token = "env:VIEWER"
roles = ["viewer"]

[[access]]
token = "env:OPERATOR"
roles = ["operator"]
"""
TOKENS = {"VIEWER": "v" * 20, "OPERATOR": "o" * 20}
WORKERS = [0, pytest.param(1, marks=pytest.mark.skipif(os.name != "posix", reason="workers are processes of POSIX"))]


class Edited:
    """A folder of mappings that somebody edits."""

    def __init__(self, path):
        self.folder = path / "mappings"
        shutil.copytree(ROOT / "mappings", self.folder)
        self.file = self.folder / "suppliers" / SUPPLIER / "adt.yaml"
        self.text = self.file.read_text("utf-8")

    def without_updates(self):
        """A08 is taken no more."""
        changed = self.text.replace("ADT^A08, ", "", 1)
        assert changed != self.text
        self.file.write_text(changed, "utf-8")

    def broken(self):
        self.file.write_text(self.text.replace("= PID-5", "= PID-5 | lnes", 1), "utf-8")

    def as_before(self):
        self.file.write_text(self.text, "utf-8")


class World:
    """A gateway over HTTP, and its log."""

    def __init__(self, app, session, stream):
        self.app, self._session, self._stream, self._number = app, session, stream, 0

    def events(self):
        return [json.loads(line)["event"] for line in self._stream.getvalue().splitlines()]

    async def ask(self, method, path, who="OPERATOR", data=None):
        headers = {"Authorization": f"Bearer {TOKENS[who]}"}
        async with self._session.request(method, path, headers=headers, data=data) as response:
            return response.status, await response.json(content_type=None)

    async def reload(self, who="OPERATOR"):
        return await self.ask("POST", "/mappings/reload", who)

    async def update(self):
        """The state of an A08 that is sent now, and its code."""
        self._number += 1
        control = UPDATE.split(b"|")[9]
        body = UPDATE.replace(control, control + b"-%d" % self._number)
        async with self._session.post(f"/feeds/{SUPPLIER}/http/messages", data=body) as response:
            assert response.status == 202, await response.text()
            place = response.headers["Location"]
        _, row = await self.ask("GET", place)
        return row["state"], row["code"]


TAKEN, NOT_TAKEN = ("done", ""), ("parked", "M710")


@asynccontextmanager
async def running(path, workers):
    edited, stream = Edited(path), io.BytesIO()
    text = CONFIGURATION.format(mappings=edited.folder, workers=workers)
    app = build(config.parse(text, base=path, environ=TOKENS), log=logs.make(stream))
    await app.open()
    try:
        async with aiohttp.ClientSession(app.receivers["http"].address) as session:
            yield World(app, session, stream), edited
    finally:
        await app.close()


@pytest.mark.parametrize("workers", WORKERS)
async def test_edited_files_are_used_when_somebody_says_so_and_not_before(tmp_path, workers):
    async with running(tmp_path, workers) as (world, edited):
        assert await world.update() == TAKEN
        edited.without_updates()
        assert await world.update() == TAKEN
        _, before = await world.ask("GET", "/mappings")
        status, body = await world.reload()
        assert (status, body["changed"]) == (200, [f"{SUPPLIER}/adt"])
        assert before["mappings"] != body["mappings"]
        assert await world.update() == NOT_TAKEN
        edited.as_before()
        assert (await world.reload())[1]["mappings"] == before["mappings"]
        assert await world.update() == TAKEN
        assert (await world.reload())[1]["changed"] == []
        assert (await world.app.store.status(world.app.gateway._clock())).differences == ()


async def test_the_door_for_trials_uses_what_is_in_force(tmp_path):
    async with running(tmp_path, 0) as (world, edited):
        path = f"/translate/{SUPPLIER}/adt"
        assert (await world.ask("POST", path, data=UPDATE))[0] == 200
        edited.without_updates()
        assert (await world.ask("POST", path, data=UPDATE))[0] == 200
        await world.reload()
        status, body = await world.ask("POST", path, data=UPDATE)
        assert (status, body["issue"][0]["details"]["coding"][0]["code"]) == (422, "M710")


@pytest.mark.parametrize("workers", WORKERS)
async def test_a_broken_file_changes_nothing_and_is_shown_as_check_shows_it(tmp_path, workers):
    async with running(tmp_path, workers) as (world, edited):
        edited.broken()
        status, body = await world.reload()
        assert status == 422
        (issue,) = body["issue"]
        assert "adt.yaml:" in issue["details"]["text"]
        assert "unknown function 'lnes'" in issue["details"]["text"]
        assert await world.update() == TAKEN
        assert world.events().count("reload_failed") == 1


async def test_whoever_may_only_look_may_not_reload(tmp_path):
    async with running(tmp_path, 0) as (world, _):
        assert (await world.reload("VIEWER"))[0] == 403
        assert "reloaded" not in world.events()


async def test_a_worker_that_is_replaced_has_what_the_others_have_whatever_was_edited(tmp_path):
    async with running(tmp_path, 1) as (world, edited):
        edited.without_updates()
        # The one to spare started before the edit; the one after it, after.
        for _ in range(2):
            (pid,) = world.app.workers.pids
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(20):
                while world.app.workers.pids in ([], [pid]):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert await world.update() == TAKEN


async def test_a_new_mapping_has_a_path_of_its_own(tmp_path):
    async with running(tmp_path, 0) as (world, edited):
        path = f"/feeds/{SUPPLIER}/events/messages"
        async with world._session.post(path, data=UPDATE) as response:
            assert response.status == 404
        text = edited.text.replace(f"mapping: {SUPPLIER}/adt", f"mapping: {SUPPLIER}/events", 1)
        edited.file.rename(edited.file.with_name("events.yaml")).write_text(text, "utf-8")
        assert (await world.reload())[1]["changed"] == [f"{SUPPLIER}/events"]
        async with world._session.post(path, data=UPDATE) as response:
            assert response.status == 202


@pytest.mark.parametrize("workers", WORKERS)
async def test_messages_that_come_while_mappings_change_are_worked_with_one_or_the_other(tmp_path, workers):
    async with running(tmp_path, workers) as (world, edited):
        found, done = [], asyncio.Event()

        async def sending():
            while not done.is_set():
                found.append(await world.update())

        senders = [asyncio.create_task(sending()) for _ in range(4)]
        for change in (edited.without_updates, edited.as_before, edited.without_updates):
            change()
            before = len(found)
            status, _ = await world.reload()
            assert status == 200
            while len(found) < before + 8:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        done.set()
        await asyncio.gather(*senders)
        assert set(found) == {TAKEN, NOT_TAKEN}
        assert await world.update() == NOT_TAKEN
        status = await world.app.store.status(world.app.gateway._clock())
        assert status.differences == ()
        assert status.receipts == sum(status.messages.values()) == len(found) + 1


_SERVE = (
    "import sys; from pathlib import Path; from mhbridge import app, config; app.run(config.load(Path(sys.argv[1])))"
)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a signal of POSIX")
async def test_a_hangup_asks_for_it_too(tmp_path):
    edited = Edited(tmp_path)
    (tmp_path / "mhbridge.toml").write_text(CONFIGURATION.format(mappings=edited.folder, workers=0))
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **TOKENS}
    with (tmp_path / "log").open("wb") as log:
        arguments = [sys.executable, "-c", _SERVE, str(tmp_path / "mhbridge.toml")]
        gateway = subprocess.Popen(arguments, stderr=log, env=environ, cwd=tmp_path)  # noqa: ASYNC220
    try:
        await _said(tmp_path, "started")
        edited.broken()
        gateway.send_signal(signal.SIGHUP)
        assert (await _said(tmp_path, "reload_failed"))["code"] == "E104"
        edited.without_updates()
        gateway.send_signal(signal.SIGHUP)
        assert (await _said(tmp_path, "reloaded"))["count"] == 1
    finally:
        gateway.terminate()
        assert await asyncio.to_thread(gateway.wait, 30) == 0


async def _said(path, event):
    async with asyncio.timeout(20):
        while True:
            for line in (path / "log").read_bytes().split(b"\n")[:-1]:
                if (said := json.loads(line))["event"] == event:
                    return said
            await asyncio.sleep(0.02)
