"""Messages that are durable first and worked after: in order, however they end, and wherever the process ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import poison
import pytest
from poison import NOW, a_batch, an_envelope, an_event, running

from mhbridge import log as logs
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.gateway.workers import Workers
from mhbridge.gateway.workers.apart import Part
from mhbridge.model import Answer, MessageFacts, MessageState, Outcome, Verdict

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed as POSIX does it")


# --- order -------------------------------------------------------------------------------------------------


@pytest.fixture
def unworked(monkeypatch):
    """Nothing is worked from the backlog before it is let go."""
    free, begin = asyncio.Event(), SqliteStore.begin

    async def later(self, *values):
        await free.wait()
        return await begin(self, *values)

    monkeypatch.setattr(SqliteStore, "begin", later)
    return free


async def arrive_in_order(path, free):
    """Fifty-one messages are durable and not worked; then one comes of a patient of theirs, and one of another."""
    async with running(path) as world:
        many = await world.take(a_batch(*[an_event(f"{n:06}", patient=n % 5) for n in range(51)]))
        behind = await world.take(an_event("000900", patient=3, kind=b"A08"))
        other = await world.take(an_event("000901", patient=77))
        before = await world.states(behind), await world.states(other)
        free.set()
        await world.worked()
        assert await world.states(many) == ["done"] * 51
        async with asyncio.timeout(10):
            while len(world.destination.sent) < 53:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        sent = [delivery.message for delivery in world.destination.sent]
        theirs = [about for n, about in enumerate(many.messages) if n % 5 == 3]
        in_order = [about for about in sent if about in {*theirs, *behind.messages}] == [*theirs, *behind.messages]
        return behind, *before, in_order


async def test_what_comes_behind_a_message_that_waits_waits_behind_it(tmp_path, unworked):
    behind, waited, other, in_order = await arrive_in_order(tmp_path, unworked)
    assert (behind.answer.verdict, behind.answer.text, behind.answer.issues) == (
        Verdict.ACCEPTED,
        "Safely stored.",
        (),
    )
    assert (waited, other, in_order) == (["stored"], ["done"], True)


async def test_the_control_for_the_order(tmp_path, unworked, monkeypatch):
    async def never(_self, _patients):
        return False

    monkeypatch.setattr(SqliteStore, "busy", never)
    _, waited, _, in_order = await arrive_in_order(tmp_path, unworked)
    assert (waited, in_order) == (["done"], False)


# --- many messages in one envelope -------------------------------------------------------------------------


async def test_an_envelope_of_many_is_answered_first_and_worked_in_parts_with_one_reading_each(tmp_path):
    body = a_batch(*[an_event(f"{n:06}", patient=n) for n in range(250)])
    async with running(tmp_path) as world:
        read, parts = world.gateway._workers.read, []

        async def reading(envelope, part=Part()):  # noqa: B008
            parts.append(part)
            return await read(envelope, part)

        world.gateway._workers.read = reading
        committed = await world.take(body)
        assert committed.answer.text == "Safely stored."
        assert len(committed.messages) == 250
        await world.worked()
        assert set(await world.states(committed)) == {"done"}
        assert parts[0] == Part()
        assert sorted(number for part in parts[1:] for number in part.only) == list(range(250))
        assert len(parts) == 4
        assert (await world.take(body)).repeated


async def test_a_stop_in_the_middle_goes_on_where_it_was(tmp_path):
    async with running(tmp_path) as world:
        committed = await world.take(a_batch(*[an_event(f"{n:06}", patient=n) for n in range(400)]))
        async with asyncio.timeout(10):
            while not world.destination.sent:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    async with running(tmp_path) as world:
        before = (await world.store.status(NOW)).messages
        await world.worked()
        assert set(await world.states(committed)) == {"done"}
        rows = [(await world.store.trace(message)).message for message in committed.messages]
        assert {row.fanout for row in rows} == {1}
    assert before.get("done", 0) > 0


async def test_what_comes_meanwhile_does_not_wait_for_all_of_it(tmp_path):
    async with running(tmp_path, fast=False) as world:
        many = await world.take(a_batch(*[an_event(f"{n:06}", patient=n) for n in range(1500)]))
        late = await world.take(an_event("009999", patient=99_999))
        async with asyncio.timeout(20):
            while await world.states(late) != ["done"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await world.store.status(NOW)).messages["stored"] > 500
        assert len(many.messages) == 1500


# --- poison ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def with_workers(path, monkeypatch, where, **named):
    monkeypatch.setenv("PYTHONPATH", str(Path(poison.__file__).parent))
    workers = Workers(partial(poison.feeds, where), 2, logs.make(), **named)
    await workers.open()
    try:
        async with running(path, workers=workers) as world:
            yield world
    finally:
        await workers.close()


GOOD, BAD = "000001", "POISON"


@pytest.mark.parametrize("where", ["take", "step"])
@pytest.mark.parametrize(
    ("controls", "patients", "expected"),
    [
        ([BAD], [1], ["parked M780"]),
        ([GOOD, BAD], [1, 2], ["done", "parked M780"]),
        ([BAD, "000002", "000003"], [1, 2, 1], ["parked M780", "done", "done"]),
        ([GOOD, BAD, "000002", "POISON2"], [1, 1, 1, 1], ["done", "parked M780", "done", "parked M780"]),
    ],
    ids=["alone", "after another", "before others", "two of one patient"],
)
async def test_a_message_that_kills_its_worker_is_kept_worked_alone_and_parked_and_no_other(
    tmp_path, monkeypatch, where, controls, patients, expected
):
    messages = [an_event(control, patient) for control, patient in zip(controls, patients, strict=True)]
    async with with_workers(tmp_path, monkeypatch, where) as world:
        committed = await world.take(a_batch(*messages))
        assert (committed.answer.verdict, committed.answer.text) == (Verdict.ACCEPTED, "Safely stored.")
        await world.worked()
        assert await world.states(committed) == expected
        # The feed goes on, and so does the patient.
        assert await world.states(await world.take(an_event("000009", 1))) == ["done"]
        # To be sent again is to be a repeat.
        assert (await world.take(a_batch(*messages))).repeated


async def test_the_messages_of_a_large_envelope_suffer_no_more(tmp_path, monkeypatch):
    names = [f"{n:06}" for n in range(60)]
    names[17] = BAD
    async with with_workers(tmp_path, monkeypatch, "step") as world:
        committed = await world.take(a_batch(*[an_event(name, n) for n, name in enumerate(names)]))
        await world.worked()
        assert [state for state in await world.states(committed) if state != "done"] == ["parked M780"]
        assert (await world.states(committed))[17] == "parked M780"


async def test_a_message_that_never_comes_back_is_the_same(tmp_path, monkeypatch):
    async with with_workers(tmp_path, monkeypatch, "step", longest=0.3) as world:
        committed = await world.take(an_event(GOOD, 1))
        assert await world.states(committed) == ["done"]
        (pid, *_) = world.gateway._workers.pids
        os.kill(pid, signal.SIGSTOP)
        assert {(await world.take(an_event(f"00001{n}", 1))).answer.verdict for n in range(4)} == {Verdict.ACCEPTED}
        await world.worked()


async def prepared(path):
    """A store with three messages that are durable and not worked; the second is poison."""
    store = SqliteStore(path / "store.db")
    world = poison.World(path, store=store, fast=False)
    await store.open()
    world.gateway._open = True
    await world.gateway.pressure.open()
    try:
        return await world.take(a_batch(an_event(GOOD, 1), an_event(BAD, 2), an_event("000002", 3)))
    finally:
        await world.gateway.pressure.close()
        await store.close()


def run(path, *how):
    """A gateway in a process of its own, on this store. Returns how it ended."""
    program = [sys.executable, poison.__file__, str(path), *how]
    return subprocess.run(program, capture_output=True, timeout=60, check=False).returncode


@pytest.mark.parametrize("where", ["take", "step"])
async def test_a_start_counts_though_the_whole_gateway_is_killed(tmp_path, where):
    committed = await prepared(tmp_path)
    ends = []
    while not ends or (ends[-1] and len(ends) < 6):
        ends.append(await asyncio.to_thread(run, tmp_path, where))
    # With all three in hand, then alone; at its third start it is parked, and nobody dies of it.
    assert ends == [-signal.SIGKILL, -signal.SIGKILL, 0]
    async with running(tmp_path) as world:
        assert await world.states(committed) == ["done", "parked M780", "done"]


async def test_the_control_for_the_count(tmp_path):
    await prepared(tmp_path)
    ends = [await asyncio.to_thread(run, tmp_path, "step", "uncounted") for _ in range(4)]
    assert ends == [-signal.SIGKILL] * 4


async def kept_as(world, count, body):
    """An envelope that was kept as so many messages, of which nothing is known."""
    outcomes = [Outcome(MessageFacts("", "unreadable"), MessageState.STORED)] * count
    answer = Answer(Verdict.ACCEPTED, "Safely stored.", NOW)
    committed = await world.store.commit(an_envelope(body), b"k" * 32, outcomes, answer, {})
    world.gateway.backlog.wake()
    await world.worked()
    return committed


@pytest.mark.parametrize("count", [2, 70])
async def test_an_envelope_that_was_kept_as_one_message_becomes_those_that_it_has(tmp_path, count):
    body = a_batch(*[an_event(f"{n:06}", patient=n) for n in range(count)])
    async with running(tmp_path) as world:
        await kept_as(world, 1, body)
        rows = await world.store.messages(most=100)
        assert [(row.state, row.fanout) for row in rows] == [("done", 1)] * count
        assert len({row.envelope for row in rows}) == 1
        found = [row.id for n in range(count) for row in await world.store.messages(search=f"{n:06}")]
        assert found == sorted(row.id for row in rows)


async def test_a_message_that_is_not_in_its_envelope_any_more_waits_for_a_person(tmp_path):
    async with running(tmp_path) as world:
        committed = await kept_as(world, 3, a_batch(an_event(GOOD, 1), an_event("000002", 2)))
        assert await world.states(committed) == ["done", "done", "parked M781"]
