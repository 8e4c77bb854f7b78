"""Nothing that was acknowledged is lost when the process is killed or the power goes; and the tests would see it."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from powerloss import Disk
from store_cases import T0, keep, key_of, take

from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore, opening, writing
from mhbridge.adapters.sqlite.opening import Pragma
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import Move

#: The long form of these tests is the same with larger numbers.
KILLS = int(os.environ.get("MHBRIDGE_TEST_KILLS", "12"))
CUTS = int(os.environ.get("MHBRIDGE_TEST_POWER_CUTS", "240"))
CUTS_A_RUN = 40
COMMITS_A_RUN = 40
#: About as many operations of the disk as a run has.
OPERATIONS_A_RUN = 2_800


# --- kill -9 -----------------------------------------------------------------------------------------------


def killed(path, first, acknowledgements, *how):
    """Let a process work until it has acknowledged so many, kill it, and return all that it acknowledged."""
    command = [sys.executable, str(Path(__file__).with_name("load.py")), str(path), str(first), *how]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        lines = [process.stdout.readline() for _ in range(acknowledgements)]
        process.kill()
        lines += process.stdout.readlines()
    return [int(line) for line in lines if line.endswith(b"\n")]


async def lost(path, numbers):
    """Which of these are not in the store. The store itself must be whole."""
    store = SqliteStore(path)
    await store.open()
    await store.recover(T0)
    status = await store.status(T0)
    assert status.differences == ()
    assert "sending" not in status.deliveries
    await store.verify_log()
    there = {key for (key,) in store._readers[0].execute("select dedupe from envelope").fetchall()}
    for row in await store.messages(most=1_000):
        assert (await store.original(row.id)).startswith(b"original ")
        assert all(await store.documents(row.id))
    await store.close()
    return [number for number in numbers if key_of(number) not in there]


async def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path):
    path, rng, acknowledged = tmp_path / "store" / "mhbridge.db", random.Random(20260303), []
    for kill in range(KILLS):
        acknowledged += await asyncio.to_thread(killed, path, kill * 1_000_000, rng.randrange(1, 300))
        assert await lost(path, acknowledged) == []
    assert len(acknowledged) >= KILLS


async def test_an_acknowledgement_before_the_commit_is_seen_as_a_loss(tmp_path):
    path, rng, acknowledged = tmp_path / "store" / "mhbridge.db", random.Random(20260303), []
    for kill in range(5):
        acknowledged += await asyncio.to_thread(killed, path, kill * 1_000_000, rng.randrange(50, 300), "early")
        if await lost(path, acknowledged):
            return
    pytest.fail("the test sees no acknowledgement that came too early")


# --- power -------------------------------------------------------------------------------------------------


async def run_until_the_power_goes(directory, rng):
    """One run of the store on a disk that forgets, and the instants at which the power went."""
    acknowledged = []
    at = {rng.randrange(1, OPERATIONS_A_RUN) for _ in range(CUTS_A_RUN)}
    disk = Disk(at, acknowledged, [directory / f"mhbridge.db.{name}" for name in ("key", "keys")])
    try:
        store = SqliteStore(directory / "mhbridge.db", turns=lambda _name: InlineTurns(), connect=disk.connect)
        await store.open()
        for number in range(COMMITS_A_RUN):
            # A new month now and then, so that the power also goes between a new key and what is closed with it.
            await keep(store, number, "gp", patient=number % 5, at=T0 + timedelta(days=10 * number))
            acknowledged.append(number)
            if number % 3 == 0:
                for due in await take(store, T0 + timedelta(days=500), 2):
                    await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
        # Only the cuts count: what the end of the run writes is not looked at.
        await store.close()
    finally:
        disk.unregister()
    return disk.cuts


async def lost_in_power_cuts(tmp_path, cuts, unreadable=()):
    """
    How many cuts there were, how many acknowledged messages they had, and how many of those were lost.

    Of a store that raises one of `unreadable`, all are lost.
    """
    rng, done, had, gone = random.Random(20260303), 0, 0, 0
    while done < cuts:
        before = tmp_path / f"run{done}"
        for cut in await run_until_the_power_goes(before, rng):
            after = tmp_path / "after"
            after.mkdir(mode=0o700)
            cut.restore(after, rng)
            done += 1
            had += len(cut.acknowledged)
            try:
                gone += len(await lost(after / "mhbridge.db", cut.acknowledged))
            except unreadable:
                gone += len(cut.acknowledged)
            shutil.rmtree(after)
        shutil.rmtree(before)
    return done, had, gone


@pytest.fixture
def _checkpoints_often(monkeypatch):
    # So that the power also goes in the middle of checkpoints.
    monkeypatch.setattr(writing, "_CHECKPOINT_PAGES", 60)


@pytest.mark.usefixtures("_checkpoints_often")
async def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path):
    cuts, had, gone = await lost_in_power_cuts(tmp_path, CUTS)
    assert cuts >= CUTS
    assert had > 5 * cuts
    assert gone == 0


@pytest.mark.usefixtures("_checkpoints_often")
@pytest.mark.parametrize(("weaker", "says"), [("normal", 1), ("off", 0)])
async def test_with_anything_weaker_than_full_a_power_cut_loses(tmp_path, monkeypatch, weaker, says):
    pragmas = tuple(
        Pragma("synchronous", weaker, says) if pragma.name == "synchronous" else pragma for pragma in opening.WRITER
    )
    monkeypatch.setattr(opening, "WRITER", pragmas)
    # Without any sync the file itself may be in pieces; NORMAL must leave it whole.
    unreadable = (apsw.Error, StoreError) if weaker == "off" else ()
    _, had, gone = await lost_in_power_cuts(tmp_path, CUTS_A_RUN, unreadable)
    assert had > 0
    assert gone > 0
