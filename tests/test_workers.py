"""Workers give what this process would give; a message that ends one is given up, and nobody else notices."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pickle
import signal
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from mhbridge import config
from mhbridge import log as logs
from mhbridge.app import build, feeds_of, without_secrets
from mhbridge.errors import MhbridgeError
from mhbridge.gateway.workers import FailedThere, Here, WorkerDied, Workers
from mhbridge.gateway.workers.apart import ALL, Part
from mhbridge.gateway.workers.wire import DROP
from mhbridge.gateway.workers.worker import Worker
from mhbridge.mapping import record
from mhbridge.mapping.library import Snapshot
from mhbridge.model import ABSENT, DELETED, NOTHING_KNOWN, Envelope, MessageState, Verdict

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "fixtures" / "example-mental-health"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SUPPLIER = "example-mental-health"
FEED = f"{SUPPLIER}/mllp"

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="workers are processes of POSIX")

CONFIGURATION = f"""
[gateway]
mode = "test"
store = "sqlite:store.db"
mappings = ["{ROOT / "mappings"}"]
workers = 2

[[receiver]]
supplier = "{SUPPLIER}"
kind = "mllp"
listen = "127.0.0.1:0"

[[receiver]]
supplier = "{SUPPLIER}"
kind = "http"
listen = "127.0.0.1:0"
token = "env:SENDER"

[[destination]]
name = "fhir"
kind = "fhir"
url = "http://127.0.0.1:1"
auth = {{kind = "bearer", token = "env:SENDER"}}

[[route]]
documents = ["encounter-event", "mental-health-inpatient-discharge"]
to = ["fhir"]
when = "= not sensitive"
"""
SECRET = "Zyxwvutsrq"


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    return config.parse(CONFIGURATION, base=tmp_path_factory.mktemp("store"), environ={"SENDER": SECRET})


@pytest.fixture(scope="module")
def make(configuration):
    return partial(feeds_of, without_secrets(configuration), Snapshot.of([ROOT / "mappings"]))


def an_envelope(body):
    return Envelope(body, SUPPLIER, FEED, NOW, "mllp", "127.0.0.1")


EVENT = an_envelope((FIXTURES / "adt" / "a01-admission.hl7").read_bytes())


@asynccontextmanager
async def working(make, count=1, **named):
    stream = io.BytesIO()
    workers = Workers(make, count, logs.make(stream), **named)
    await workers.open()
    try:
        yield workers, stream
    finally:
        await workers.close()


async def outcomes(workers, envelope):
    read = await workers.read(envelope)
    try:
        return read.asked, await read.step(dict.fromkeys(read.asked.known, NOTHING_KNOWN))
    finally:
        read.drop()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_workers_give_is_what_this_process_gives(make):
    here = Here(make())
    bodies = [path.read_bytes() for path in sorted(FIXTURES.glob("*/*.hl7")) if ".ack." not in path.name]
    bodies += [b"\r".join(bodies[:3]), bodies[0][:200]]
    async with working(make, 2) as (workers, _):
        found = await asyncio.gather(*[outcomes(workers, an_envelope(body)) for body in bodies])
    for body, (asked, there) in zip(bodies, found, strict=True):
        assert (asked, there) == await outcomes(here, an_envelope(body))
        for reading in (reading for outcome in there for reading in outcome.readings):
            assert record.loads(reading.written) == reading.items


async def test_what_is_no_message_is_refused_as_here(make):
    async with working(make) as (workers, _):
        for body in (b"", b"hello", b"MSH"):
            with pytest.raises(MhbridgeError) as there:
                await workers.read(an_envelope(body))
            with pytest.raises(MhbridgeError) as here:
                await Here(make()).read(an_envelope(body))
            assert (there.value.code, there.value.message) == (here.value.code, here.value.message)


async def test_of_a_failure_only_its_kind_and_place_come_back():
    # Without feeds, none is found by the envelope's name.
    async with working(dict) as (workers, _):
        with pytest.raises(FailedThere) as raised:
            await workers.read(EVENT)
        assert raised.value.said["error"] == "KeyError"
        assert FEED not in str(raised.value.said)
        # And the worker goes on.
        with pytest.raises(FailedThere):
            await workers.read(EVENT)


async def stopped(workers):
    (pid,) = workers.pids
    os.kill(pid, signal.SIGSTOP)
    return pid


async def test_a_worker_that_dies_once_costs_nothing(make):
    async with working(make) as (workers, stream):
        pid = await stopped(workers)
        waiting = [asyncio.ensure_future(outcomes(workers, EVENT)) for _ in range(3)]
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        for _, (outcome,) in await asyncio.gather(*waiting):
            assert outcome.state is MessageState.DONE
        assert workers.pids
        assert workers.pids != [pid]
    assert [json.loads(line)["code"] for line in stream.getvalue().splitlines()] == ["D906"]


async def test_what_was_read_before_its_worker_died_is_read_again(make):
    async with working(make) as (workers, _):
        read = await workers.read(EVENT)
        (pid,) = workers.pids
        os.kill(pid, signal.SIGKILL)
        (outcome,) = await read.step(dict.fromkeys(read.asked.known, NOTHING_KNOWN))
        assert outcome.state is MessageState.DONE


async def test_a_message_in_whose_hands_workers_die_is_given_up_and_those_behind_it_are_not(make):
    async with working(make) as (workers, _):
        pid = await stopped(workers)
        first = asyncio.ensure_future(outcomes(workers, EVENT))
        await asyncio.sleep(0.05)
        others = [asyncio.ensure_future(outcomes(workers, EVENT)) for _ in range(3)]
        await asyncio.sleep(0.05)

        # The next one is stopped before it has read the first again.
        replaced = asyncio.create_task(_stop_next(workers, pid))
        os.kill(pid, signal.SIGKILL)
        second = await replaced
        await until(lambda: any(worker.waiting for worker in workers._asked))
        os.kill(second, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            await first
        for _, (outcome,) in await asyncio.gather(*others):
            assert outcome.state is MessageState.DONE


async def _stop_next(workers, pid):
    async with asyncio.timeout(20):
        while workers.pids in ([], [pid]):  # noqa: ASYNC110
            await asyncio.sleep(0)
    return await stopped(workers)


async def test_a_worker_that_does_not_come_back_is_killed(make):
    async with working(make, longest=0.2) as (workers, _):
        pid = await stopped(workers)
        _, (outcome,) = await outcomes(workers, EVENT)
        assert outcome.state is MessageState.DONE
        assert workers.pids != [pid]


async def test_what_workers_die_of_is_safely_stored_and_parked_at_the_third_start(tmp_path):
    stream = io.BytesIO()
    settings = config.parse(CONFIGURATION, base=tmp_path, environ={"SENDER": SECRET})
    app = build(settings, log=logs.make(stream))
    await app.open()
    try:
        good = await app.gateway.take(EVENT)
        assert good.answer.verdict is Verdict.ACCEPTED

        deaths = []

        async def dying(_envelope, part=ALL):
            deaths.append(part)
            raise WorkerDied(in_hand=True)

        app.workers.read, real = dying, app.workers.read
        bad = await app.gateway.take(an_envelope(EVENT.body.replace(b"000201", b"000202")))
        assert (bad.answer.verdict, bad.answer.code, bad.answer.text) == (Verdict.ACCEPTED, "", "Safely stored.")
        async with asyncio.timeout(20):
            while (await app.store.trace(bad.messages[0])).message.state != "parked":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        app.workers.read = real
        assert (await app.store.trace(bad.messages[0])).message.code == "M780"
        # Before the answer, into how many messages it falls, and once from the backlog: its second start.
        assert deaths == [ALL, Part(unread=True), ALL]
        assert (await app.gateway.take(EVENT)).repeated
        pids = app.workers.pids
        assert len(pids) == 2
        assert (await app.store.status(NOW)).differences == ()
    finally:
        await app.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert SECRET not in stream.getvalue().decode()


async def test_nothing_is_kept_of_what_nobody_waits_for_any_more(make, monkeypatch):
    """Its sender has gone before it was read: a worker that is not told keeps it until it ends."""
    told = []
    tell = Worker.tell
    monkeypatch.setattr(Worker, "tell", lambda self, *what: (told.append(what), tell(self, *what)))
    async with working(make) as (workers, _):
        for cancelled in (True, False):
            waiting = asyncio.ensure_future(workers.read(EVENT))
            await asyncio.sleep(0)
            if cancelled:
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            else:
                (await waiting).drop()
        assert told == [(DROP, 1), (DROP, 2)]


@pytest.fixture
async def turns():
    """How often something else had its turn."""
    count = [0]

    async def other():
        while True:
            count[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    yield count
    task.cancel()


async def test_a_large_envelope_lets_others_have_their_turn(make, turns):
    here, body = Here(make()), b"\r".join([EVENT.body] * 201)
    before = turns[0]
    read = await here.read(an_envelope(body), Part(frozenset(range(201))))
    between = turns[0]
    found = await read.step(dict.fromkeys(read.asked.known, NOTHING_KNOWN))
    assert (len(found), between - before, turns[0] - between) == (201, 4, 4)


@pytest.mark.parametrize("count", [50, 51])
async def test_of_many_messages_only_their_names_are_held(make, count):
    body = b"\r".join([EVENT.body] * count)
    async with working(make) as (workers, _):
        for maker in (Here(make()), workers):
            read = await maker.read(an_envelope(body))
            assert (read.asked.messages, read.asked.many) == (count, count > 50)
            kept = await read.to_be_worked()
            assert {outcome.state for outcome in kept} == {MessageState.STORED}
            assert {outcome.patient for outcome in kept} == {kept[0].patient} != {None}
            assert not any(reading.items for outcome in kept for reading in outcome.readings)


async def test_some_messages_of_an_envelope_are_those_of_all_of_it(make):
    names = ("a01-admission.hl7", "a02-transfer.hl7", "a08-update.hl7", "a01-unknown-codes.hl7")
    body = b"\r".join((FIXTURES / "adt" / name).read_bytes() for name in names)
    here = Here(make())
    whole = await here.read(an_envelope(body))
    for only in ({0}, {1, 3}, {3}, {7}):
        read = await here.read(an_envelope(body), Part(frozenset(only)))
        expected = [one for number, one in enumerate(whole._intake.messages) if number in only]
        assert list(read._intake.messages) == expected
        assert read.asked.messages == len(expected)


async def test_a_worker_that_cannot_start_stops_the_start(tmp_path):
    settings = config.parse(CONFIGURATION, base=tmp_path, environ={"SENDER": SECRET})
    broken = settings.gateway.model_copy(update={"mappings": (tmp_path,)})
    settings = without_secrets(_with(settings, broken))
    workers = Workers(partial(feeds_of, settings, Snapshot({})), 1, logs.make(io.BytesIO()))
    with pytest.raises(MhbridgeError) as raised:
        await workers.open()
    assert raised.value.code == "D905"
    await workers.close()


def _with(settings, gateway):
    receivers = [one.model_copy(update={"supplier": "nobody"}) for one in settings.receivers]
    return config.Config(gateway=gateway, receivers=tuple(receivers), destinations=settings.destinations)


async def test_a_worker_that_ends_just_as_it_is_ready_is_not_taken_for_one(make, monkeypatch):
    """Whoever asked it would ask again and again: nobody would ever say that it is gone."""
    start = Worker.start

    async def started(self, make):
        await start(self, make)
        os.kill(self.pid, signal.SIGKILL)
        await until(self._transport.is_closing)

    monkeypatch.setattr(Worker, "start", started)
    workers = Workers(make, 1, logs.make(io.BytesIO()))
    with pytest.raises(MhbridgeError) as raised:
        await workers.open()
    await workers.close()
    assert raised.value.code == "D905"


LETTER = (FIXTURES / "discharge-letter" / "accents-and-emoji.hl7").read_bytes().rstrip()
#: It takes 800 MB for an instant.
LARGE = LETTER + b"\rOBX|99|ED|LETTER||^application^pdf^Base64^" + b"QUJD" * 4_500_000 + b"||||||F"


async def test_a_message_that_needs_more_memory_than_a_worker_has_fails_alone(make):
    async with working(make, memory=400_000_000) as (workers, _):
        # Libraries that are not written in Python end the process where there is no memory.
        with pytest.raises((FailedThere, WorkerDied)):
            await outcomes(workers, an_envelope(LARGE))
        _, (outcome,) = await outcomes(workers, EVENT)
        assert outcome.state is MessageState.DONE


async def test_with_the_memory_that_a_worker_has_the_largest_message_is_worked(make):
    async with working(make) as (workers, _):
        _, (outcome,) = await outcomes(workers, an_envelope(LARGE))
        assert outcome.state is MessageState.DONE


async def test_no_answer_waits_for_a_long_message_behind_it(make):
    async with working(make) as (workers, _):
        pid = await stopped(workers)
        bodies = EVENT.body, b"\r".join([EVENT.body] * 60)
        both = [asyncio.ensure_future(workers.read(an_envelope(body))) for body in bodies]
        await asyncio.sleep(0.05)
        # Both are there when it goes on.
        os.kill(pid, signal.SIGCONT)
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        assert done == {both[0]}
        for read in await asyncio.gather(*both):
            read.drop()


async def test_a_worker_that_has_had_its_share_ends_when_its_hands_are_empty(make):
    async with working(make, share=2) as (workers, stream):
        (pid,) = workers.pids
        reads = [await workers.read(EVENT) for _ in range(2)]
        assert workers.pids != [pid]
        os.kill(pid, 0)
        for read in reads:
            (outcome,) = await read.step(dict.fromkeys(read.asked.known, NOTHING_KNOWN))
            assert outcome.state is MessageState.DONE
        await until(lambda: not _lives(pid))
        _, (outcome,) = await outcomes(workers, EVENT)
        assert outcome.state is MessageState.DONE
        # A worker that ends because it is to ends without a word.
        assert stream.getvalue() == b""


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_while_one_is_missing_the_spare_one_is_asked(make, monkeypatch):
    async with working(make) as (workers, _):

        async def slow(_self, _make):
            await asyncio.Event().wait()

        monkeypatch.setattr(Worker, "start", slow)
        os.kill(*workers.pids, signal.SIGKILL)
        _, (outcome,) = await outcomes(workers, EVENT)
        assert outcome.state is MessageState.DONE


async def test_what_was_read_with_one_set_of_mappings_is_stepped_with_it(make):
    async with working(make) as (workers, _):
        before = await workers.read(EVENT)
        pids = workers.pids
        await workers.adopt(dict)
        assert workers.pids != pids
        (outcome,) = await before.step(dict.fromkeys(before.asked.known, NOTHING_KNOWN))
        assert outcome.state is MessageState.DONE
        await until(lambda: not _lives(pids[0]))
        # The others have no feeds.
        with pytest.raises(FailedThere):
            await workers.read(EVENT)


async def test_workers_that_do_not_start_are_not_adopted(make):
    async with working(make) as (workers, _):
        pids = workers.pids
        with pytest.raises(MhbridgeError) as raised:
            await workers.adopt(partial(_fails, 1))
        assert raised.value.code == "D905"
        assert workers.pids == pids
        _, (outcome,) = await outcomes(workers, EVENT)
        assert outcome.state is MessageState.DONE


def _fails(_number):
    raise ValueError


def test_no_secret_goes_to_a_worker(configuration):
    assert SECRET.encode() not in pickle.dumps(without_secrets(configuration))


def test_there_is_one_absent_and_one_deleted():
    assert pickle.loads(pickle.dumps([ABSENT, DELETED])) == [ABSENT, DELETED]
    assert [type(one) for one in pickle.loads(pickle.dumps([ABSENT, DELETED]))] == [type(ABSENT), type(DELETED)]
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT
    assert pickle.loads(pickle.dumps(DELETED)) is DELETED
