"""Group commit: one transaction for what waits, the bad one alone fails, and nothing is said before it is durable."""

import asyncio
import threading
from dataclasses import replace

import apsw
import pytest
from store_cases import (
    EVENT,
    T0,
    HeldTurns,
    a_patient,
    a_reading,
    an_answer,
    an_envelope,
    an_outcome,
    keep,
    key_of,
    take,
)

from mhbridge.adapters.sql.committing import IO_ERROR
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import Move


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "mhbridge.db"


@pytest.fixture
async def held(path):
    """A store whose writer can be held, and what holds it."""
    turns = {}

    def make(name):
        turns[name] = HeldTurns(name)
        return turns[name]

    store = SqliteStore(path, turns=make)
    await store.open()
    yield store, turns["mhbridge-writer"]
    await store.close()


async def outcomes_of(calls, writer):
    """Put calls while the writer is held, work them as one batch, and see what became of each."""
    writer.hold()
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    assert writer.release() == len(tasks)
    return await asyncio.gather(*tasks, return_exceptions=True)


def a_bad_one(store, number):
    # What no column of a strict table takes, and no check before the writer sees.
    envelope = replace(an_envelope(number), peer=b"not text")
    return store.commit(envelope, key_of(number), [an_outcome(number, "gp", patient=number)], an_answer(), {})


def commits_of(store):
    commits = []
    store._books.session.connection.set_commit_hook(lambda: commits.append(1) or False)
    return commits


async def test_what_waits_is_one_transaction(held):
    store, writer = held
    commits = commits_of(store)
    done = await outcomes_of([keep(store, n, "gp", patient=n) for n in range(64)], writer)
    assert len(commits) == 1
    assert len({one.envelope for one in done}) == 64
    assert (await store.status(T0)).differences == ()


async def test_verbs_of_every_kind_share_a_transaction(held):
    store, writer = held
    parked = await keep(store, 1, "gp")
    (due,) = await take(store, T0)
    commits = commits_of(store)
    calls = [
        keep(store, 1, "gp"),
        keep(store, 2, "gp"),
        store.refuse("a/b", "M701", T0),
        store.finish([Move(due.id, DeliveryState.PARKED, code="D904")], T0),
        store.close_message(parked.messages[0], "operator-7", "sent by post", T0),
    ]
    done = await outcomes_of(calls, writer)
    assert len(commits) == 1
    assert done[0].repeated
    # The result of the attempt is worked first, so the person finds it parked.
    assert done[2:] == [None, None, True]
    assert (await store.status(T0)).differences == ()
    await store.verify_log()


async def test_the_bad_one_of_a_batch_fails_alone(held):
    store, writer = held
    await keep(store, 100, "gp")
    calls = [a_bad_one(store, n) if n == 7 else keep(store, n, "gp", patient=n) for n in range(20)]
    done = await outcomes_of(calls, writer)
    assert isinstance(done[7], StoreError)
    assert done[7].code == "S211"
    assert "not text" not in str(done[7])
    kept = [one for n, one in enumerate(done) if n != 7]
    assert len({one.envelope for one in kept}) == 19
    status = await store.status(T0)
    assert (status.receipts, status.deliveries, status.differences) == (20, {"queued": 20}, ())
    assert await store.verify_log() == 20
    # What was bad for another reason than its key may come again.
    assert not (await keep(store, 7, "gp")).repeated


async def test_a_bad_one_alone_leaves_no_trace(held):
    store, _ = held
    with pytest.raises(StoreError):
        await a_bad_one(store, 1)
    # Its patient and destination were rolled back with it, and are made again.
    await keep(store, 2, "gp", patient=1, readings=[a_reading({"n": 1}, patient=a_patient(1))])
    assert (await store.status(T0)).receipts == 1
    assert len(await store.due(T0, 10)) == 1
    assert (await store.known(a_patient(1), "V1", EVENT)).items == {"n": 1}
    assert await store.verify_log() == 1


async def test_duplicates_in_one_batch_are_one(held):
    store, writer = held
    rolled_back = []
    store._books.session.connection.set_rollback_hook(lambda: rolled_back.append(1))
    done = await outcomes_of([keep(store, 1, "gp") for _ in range(10)], writer)
    assert [one.repeated for one in done] == [False] + [True] * 9
    assert rolled_back == []
    done = await outcomes_of([keep(store, 2, "gp"), a_bad_one(store, 3), keep(store, 2, "gp")], writer)
    assert [done[0].repeated, done[2].repeated] == [False, True]
    assert (await store.status(T0)).differences == ()


async def test_the_event_loop_is_woken_once_for_a_batch(path):
    store = SqliteStore(path)
    await store.open()
    loop = asyncio.get_running_loop()
    committing, go_on = threading.Event(), threading.Event()
    store._books.session.connection.set_commit_hook(lambda: committing.set() or not go_on.wait(30))
    first = asyncio.ensure_future(keep(store, 0, "gp"))
    await asyncio.to_thread(committing.wait, 30)
    wakes = []
    wake = loop.call_soon_threadsafe
    loop.call_soon_threadsafe = lambda *values, **named: wakes.append(1) or wake(*values, **named)
    rest = [asyncio.ensure_future(keep(store, n, "gp", patient=n)) for n in range(1, 65)]
    # One turn of the loop puts them all.
    await asyncio.sleep(0)
    assert wakes == []
    go_on.set()
    await asyncio.gather(first, *rest)
    del loop.call_soon_threadsafe
    assert len(wakes) == 2
    await store.close()


async def test_nothing_is_told_before_the_commit(held):
    store, writer = held
    told = []
    writer.hold()
    task = asyncio.ensure_future(keep(store, 1, "gp"))
    task.add_done_callback(lambda _: told.append("told"))
    await asyncio.sleep(0)
    store._books.session.connection.set_commit_hook(lambda: told.append("commit") or False)
    writer.release()
    await task
    assert told == ["commit", "told"]


async def test_a_caller_that_gave_up_is_not_told(held):
    store, writer = held
    writer.hold()
    task = asyncio.ensure_future(keep(store, 1, "gp"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    writer.release()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await keep(store, 1, "gp")).repeated


async def test_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room(held):
    store, writer = held
    await keep(store, 1, "gp")
    connection = store._books.session.connection
    pages = connection.pragma("page_count")
    connection.pragma("max_page_count", pages + 3)
    before = store._books.head
    big = b"x" * 100_000
    calls = [store.commit(an_envelope(2, body=big), key_of(2), [], an_answer(), {}), keep(store, 3, "gp")]
    done = await outcomes_of(calls, writer)
    assert [error.code for error in done] == ["S210", "S210"]
    assert store._books.head == before
    assert (await store.status(T0)).receipts == 1
    connection.pragma("max_page_count", 1 << 30)
    assert not (await store.commit(an_envelope(2, body=big), key_of(2), [], an_answer(), {})).repeated
    assert await store.verify_log() == 1
    assert (await store.status(T0)).differences == ()


async def test_a_locked_file_acknowledges_nothing(held, path):
    store, writer = held
    store._books.session.connection.pragma("busy_timeout", 0)
    other = apsw.Connection(str(path))
    other.execute("begin immediate")
    done = await outcomes_of([keep(store, 1, "gp"), keep(store, 2, "gp")], writer)
    assert [error.code for error in done] == ["S206", "S206"]
    other.execute("rollback")
    other.close()
    assert not (await keep(store, 1, "gp")).repeated


class _Broken(apsw.VFS):
    """A file system whose next sync, write or read fails."""

    def __init__(self):
        super().__init__("broken", "")
        self.fails = ""

    def xOpen(self, name, flags):  # noqa: N802
        return _BrokenFile(self, name, flags)


class _BrokenFile(apsw.VFSFile):
    def __init__(self, vfs, name, flags):
        super().__init__("", name, flags)
        self._vfs = vfs

    def _maybe(self, what):
        if self._vfs.fails == what:
            raise apsw.IOError

    def xSync(self, flags):  # noqa: N802
        self._maybe("sync")
        return super().xSync(flags)

    def xWrite(self, data, offset):  # noqa: N802
        self._maybe("write")
        return super().xWrite(data, offset)

    def xRead(self, amount, offset):  # noqa: N802
        self._maybe("read")
        return super().xRead(amount, offset)


@pytest.fixture
async def breaking(path):
    """A store on a file system that can be broken, and the exit codes that it would have ended with."""
    vfs = _Broken()
    died = []
    store = SqliteStore(
        path, connect=lambda *values, **named: apsw.Connection(*values, vfs="broken", **named), die=died.append
    )
    await store.open()
    yield store, vfs, died
    vfs.fails = ""
    await store.close()
    vfs.unregister()


@pytest.mark.parametrize("fails", ["sync", "write"])
async def test_an_io_error_ends_the_process_with_nothing_acknowledged(breaking, fails):
    store, vfs, died = breaking
    await keep(store, 1, "gp")
    vfs.fails = fails
    results = await asyncio.gather(*[keep(store, n, "gp") for n in range(2, 6)], return_exceptions=True)
    assert {error.code for error in results} == {"S209"}
    assert died == [IO_ERROR]
    # Nothing is retried: the second fsync of the same pages would succeed without having written them.
    vfs.fails = ""
    with pytest.raises(StoreError) as raised:
        await keep(store, 6, "gp")
    assert raised.value.code == "S209"


async def test_an_io_error_of_a_reader_ends_the_process(breaking):
    store, vfs, died = breaking
    await keep(store, 1, "gp")
    vfs.fails = "read"
    with pytest.raises(StoreError) as raised:
        await store.due(T0, 10)
    assert raised.value.code == "S209"
    assert died == [IO_ERROR]


async def test_the_wal_is_copied_back_small_and_often(path):
    copied = []

    class Watching(apsw.Connection):
        def wal_checkpoint(self, *values, **named):
            result = super().wal_checkpoint(*values, **named)
            copied.append(result)
            return result

    store = SqliteStore(path, connect=Watching)
    await store.open()
    for number in range(1, 13):
        envelope = an_envelope(number, body=b"x" * 1_000_000)
        await store.commit(envelope, key_of(number), [], an_answer(), {})
    assert len(copied) in (2, 3)
    assert all(pages < 1_500 for pages, _ in copied)
    assert path.with_name("mhbridge.db-wal").stat().st_size < 8_000_000
    await store.close()
    assert not path.with_name("mhbridge.db-wal").exists()
