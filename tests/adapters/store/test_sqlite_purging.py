"""After a purge the bytes are in no file, whatever copies of the database there are; a crash on the way is no harm."""

import asyncio
import json
import random
import shutil
from datetime import UTC, datetime, timedelta
from itertools import count

import apsw
import pytest
from keeping_contract import ALL_GONE, DOCUMENTS_GONE, deliver
from powerloss import Disk
from store_cases import EVENT, T0, a_patient, a_reading, keep, key_of, take
from test_sqlite_migrating import an_old_store, settled
from test_sqlite_sealing import CANARY, files_with, opened, with_canaries

from mhbridge.adapters.sql import queries, schema, shredding
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore, opening
from mhbridge.adapters.sqlite.opening import Pragma
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import Move


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "mhbridge.db"


def copied(path, to):
    """What somebody took away: the database with its log and the key, but not the file of data keys."""
    to.mkdir(mode=0o700)
    for name in ("mhbridge.db", "mhbridge.db-wal", "mhbridge.db.key"):
        if (path.parent / name).exists():
            shutil.copy2(path.parent / name, to)
    return to / "mhbridge.db"


async def code_of(call):
    with pytest.raises(StoreError) as raised:
        await call
    return raised.value.code


# --- the bytes ---


async def test_after_a_purge_nothing_opens_a_copy_of_the_database(path, tmp_path):
    store = await opened(path)
    done = await with_canaries(store)
    await deliver(store)
    copy = copied(path, tmp_path / "copy")
    await store.purge(ALL_GONE)
    await store.close()
    # Even with all that is left of the keys.
    shutil.copy2(path.with_name("mhbridge.db.keys"), copy.parent)
    stolen = await opened(copy)
    assert await code_of(stolen.original(done.messages[0])) == "S222"
    assert await code_of(stolen.documents(done.messages[0])) == "S222"
    await stolen.close()


async def test_with_the_keys_of_before_the_copy_would_have_opened(path, tmp_path):
    # The control: what is tested is the dropping of the keys and nothing else.
    store = await opened(path)
    done = await with_canaries(store)
    copy = copied(path, tmp_path / "copy")
    shutil.copy2(path.with_name("mhbridge.db.keys"), copy.parent)
    await store.purge(ALL_GONE)
    await store.close()
    stolen = await opened(copy)
    assert CANARY in await stolen.original(done.messages[0])
    await stolen.close()


async def test_a_dropped_key_is_in_no_file(path):
    store = await opened(path)
    await with_canaries(store)
    await deliver(store)
    ring = store._keys.ring
    keys = [ring._unwrap(key.about, key.wrapped) for key in ring.living()]
    wrapped = [key.wrapped for key in ring.living()]
    await store.purge(ALL_GONE)
    for key in (*keys, *wrapped):
        assert files_with(path.parent, key) == []
        assert files_with(path.parent, key.hex().encode()) == []
    await store.close()


async def test_a_file_of_keys_is_written_over_where_it_was(path):
    store = await opened(path)
    await keep(store, 1, "gp")
    await deliver(store)
    file = path.with_name("mhbridge.db.keys")
    with file.open("rb") as old:
        wrapped = json.loads(old.read())["keys"][0]["wrapped"].encode()
        await store.purge(ALL_GONE)
        old.seek(0)
        assert wrapped not in old.read()
    await store.close()


async def test_what_nobody_can_read_leaves_the_database(path):
    store = await opened(path)
    for number in range(150):
        await with_canaries(store, number)
    await deliver(store)
    purged = await store.purge(ALL_GONE)
    assert (purged.cleared, purged.forgotten > 150) == (450, True)
    connection = apsw.Connection(str(path))
    assert connection.execute("select count(*), sum(length(data)) from body").fetchall() == [(300, 0)]
    for table in ("reading", "property", "identity", "patient", "lane"):
        assert connection.execute(f"select count(*) from {table}").get == 0, table
    assert connection.execute("select count(*), sum(n) from (select 1 as n from envelope)").get[0] == 150
    # Of each body of a page and more, the pages are free.
    assert connection.pragma("freelist_count") > 300
    connection.close()
    assert path.with_name("mhbridge.db-wal").stat().st_size < 200_000
    assert (await store.status(ALL_GONE)).differences == ()
    await store.close()


async def test_bodies_of_schema_1_are_encrypted_first_and_their_bytes_go(tmp_path):
    path = an_old_store(tmp_path / "store")
    store = await opened(path)
    await settled(store)
    assert files_with(path.parent, b"original 2")
    copy = next(path.parent.glob("*.before-schema-*"))
    purged = await store.purge(T0)
    assert (purged.encrypted, purged.expired) == (12, ())
    rows = await store.messages()
    assert {await store.original(row.id) for row in rows} == {b"original %d" % n for n in (1, 2, 3, 4, 5, 7, 8)}
    assert files_with(path.parent, b"original 2") == [copy.name]
    # The copy of before stays for a month, and is all that is left of them then.
    made_at = datetime.fromtimestamp(copy.stat().st_mtime, UTC)
    await store.purge(made_at + timedelta(days=29))
    assert copy.exists()
    await store.purge(made_at + timedelta(days=31))
    assert files_with(path.parent, b"original 2") == []
    assert (await store.status(T0)).differences == ()
    await store.close()


async def test_the_bytes_of_an_erased_patient_are_in_no_file_and_the_log_says_why(path):
    store = await opened(path)
    await with_canaries(store)
    await deliver(store)
    stored = [data for (data,) in apsw.Connection(str(path)).execute("select data from body").fetchall()]
    token = apsw.Connection(str(path)).execute("select token from patient").get
    assert files_with(path.parent, token)
    assert any(files_with(path.parent, data[:200]) for data in stored)
    await store.erase("patient", "P0001", "anna", "Art. 17, request 1", T0)
    for piece in (token, *(data[:200] for data in stored)):
        assert files_with(path.parent, piece) == []
    connection = apsw.Connection(str(path))
    (row,) = connection.execute("select moves, who from log where what = 'erasure'").fetchall()
    assert row == ("2 bodies, 1 readings, 3 tokens: Art. 17, request 1", "anna")
    connection.close()
    assert await store.verify_log() > 3
    await store.close()


async def test_the_log_names_what_was_purged_and_on_what_basis_it_was_kept(path):
    store = await opened(path)
    await keep(store, 1, "gp")
    await deliver(store)
    await store.purge(ALL_GONE, who="anna")
    connection = apsw.Connection(str(path))
    rows = connection.execute("select moves, who from log where what = 'purge' order by seq").fetchall()
    connection.close()
    assert rows == [
        ("document until 2026-04; kept by: UK GDPR Art. 6(1)(e) and 9(2)(h), direct care", "anna"),
        ("raw until 2026-06; kept by: UK GDPR Art. 6(1)(e) and 9(2)(h), direct care", "anna"),
    ]
    await store.verify_log()
    await store.close()


# --- on the way ---


class StopError(Exception):
    pass


async def test_a_purge_that_ends_anywhere_is_finished_by_the_next(tmp_path, monkeypatch):
    """Each call of the writer is the last one once, before or after it: nothing open is lost, and all else goes."""
    calls = 0
    for at in count(1):
        path = tmp_path / f"run{at}" / "mhbridge.db"
        store = await opened(path)
        await keep(store, 1, "gp", patient=1)
        await deliver(store)
        waits = await keep(store, 2, "gp", patient=2)
        left = at
        write = store.write

        async def stops(verb, item, noted=None, write=write):
            nonlocal left
            left -= 1
            if left == 0:
                raise StopError
            done = await write(verb, item, noted)
            if left == 1:
                left = 0
                raise StopError
            return done

        monkeypatch.setattr(store, "write", stops)
        stopped = True
        try:
            await store.purge(ALL_GONE)
            stopped = False
        except StopError:
            pass
        await store.close()
        store = await opened(path)
        assert await store.original(waits.messages[0]) == b"original 2"
        await store.purge(ALL_GONE)
        assert await store.original(waits.messages[0]) == b"original 2"
        assert (await store.documents(waits.messages[0]))[0].body
        assert (await store.status(T0)).differences == ()
        connection = apsw.Connection(str(path))
        assert connection.execute("select count(*) from body where data = x''").get == 2
        connection.close()
        await store.close()
        if not stopped:
            break
        calls = at
    assert calls > 6


async def test_what_is_known_is_known_without_readings_whose_key_has_just_gone(path, monkeypatch):
    store = await opened(path)
    await keep(store, 1, readings=[a_reading({"n1": 1})])
    await keep(store, 2, at=ALL_GONE, readings=[a_reading({"n2": 2}, episode="V2")])
    write = store.write

    async def stops(verb, item, noted=None):
        if verb is shredding.clear:
            raise StopError
        return await write(verb, item, noted)

    monkeypatch.setattr(store, "write", stops)
    with pytest.raises(StopError):
        await store.purge(ALL_GONE)
    store._near.forget()
    assert (await store.known(a_patient(), "", "")).items == {"n2": 2}
    assert (await store.known(a_patient(), "V1", EVENT)).items == {}
    await store.close()


async def test_what_opens_between_the_look_and_the_drop_keeps_the_key(path, monkeypatch):
    store = await opened(path)
    done = await keep(store, 1, "gp")
    await deliver(store)
    write = store.write

    async def resends_first(verb, item, noted=None):
        if verb is shredding.drop:
            await store.resend(done.messages[0], "anna", DOCUMENTS_GONE)
        return await write(verb, item, noted)

    monkeypatch.setattr(store, "write", resends_first)
    purged = await store.purge(DOCUMENTS_GONE)
    assert [(e.retention, e.dropped) for e in purged.expired] == [("document", False)]
    monkeypatch.undo()
    (due,) = await take(store, DOCUMENTS_GONE)
    assert due.document.body
    await store.finish([Move(due.id, DeliveryState.DONE, level=2)], DOCUMENTS_GONE)
    await store.close()


async def test_messages_are_taken_while_a_purge_runs(path):
    store = await opened(path)
    for number in range(400):
        await keep(store, number, "gp", patient=number % 90)
    await deliver(store)
    numbers, taken = count(10_000), []

    async def load(purge):
        for number in numbers:
            if purge.done():
                return
            await keep(store, number, "gp", at=ALL_GONE, patient=number % 90)
            taken.append(number)

    purge = asyncio.create_task(store.purge(ALL_GONE))
    await asyncio.gather(purge, *[load(purge) for _ in range(4)])
    assert purge.result().cleared == 800
    assert len(taken) > 20
    assert (await store.status(ALL_GONE)).differences == ()
    connection = apsw.Connection(str(path))
    there = {key for (key,) in connection.execute("select dedupe from envelope").fetchall()}
    connection.close()
    assert {key_of(number) for number in taken} <= there
    # What came meanwhile is found, also of patients of whom all else went.
    assert len(await store.messages(search=a_patient(taken[0] % 90).value)) > 0
    assert all([await store.original(row.id) for row in await store.messages(most=len(taken))])
    await store.close()


async def test_a_reader_that_stays_does_not_keep_the_log_from_being_cut_later(path):
    store = await opened(path)
    await with_canaries(store)
    await deliver(store)
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("begin")
    reader.execute("select count(*) from body").fetchall()
    await store.purge(ALL_GONE)
    wal = path.with_name("mhbridge.db-wal")
    assert wal.stat().st_size > 0
    reader.execute("rollback")
    reader.close()
    await keep(store, 2, "gp", at=ALL_GONE)
    assert wal.stat().st_size == 0
    await store.close()


async def test_a_store_opened_for_looking_says_what_would_go(path):
    store = await opened(path)
    await keep(store, 1, "gp")
    await deliver(store)
    looking = SqliteStore(path, read_only=True)
    await looking.open()
    assert len((await looking.purge(ALL_GONE, dry_run=True)).expired) == 2
    assert await code_of(looking.purge(ALL_GONE)) == "S215"
    assert await code_of(looking.erase("patient", "P0001", "anna", "Art. 17", T0)) == "S215"
    await looking.close()
    await store.close()


async def purge_until_the_power_goes(directory, rng):
    """A purge on a disk that forgets; the files of keys are those of the instant of each cut."""
    path = directory / "mhbridge.db"
    beside = [directory / f"mhbridge.db.{name}" for name in ("key", "keys")]
    disk = Disk(set(), [], beside)
    try:
        store = SqliteStore(path, turns=lambda _name: InlineTurns(), connect=disk.connect)
        await store.open()
        for number in range(1, 9):
            await keep(
                store, number, "gp", patient=number, readings=[a_reading({"n": number}, patient=a_patient(number))]
            )
        for due in (await take(store, T0))[:5]:
            await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
        # All of that is on the disk, also where commits are not synced.
        await store.close()
        await store.open()
        first = disk.operations
        disk.cut_at({first + rng.randrange(1, 130) for _ in range(25)})
        await store.purge(ALL_GONE)
        during = disk.operations - first
        await store.close()
    finally:
        disk.unregister()
    return disk.cuts, during


async def after_power_cuts(tmp_path, runs):
    """How many cuts there were; and of what was open after each, how much is readable and how much is not."""
    rng, cuts, kept, lost = random.Random(20260303), 0, 0, 0
    for run in range(runs):
        before = tmp_path / f"run{run}"
        before.mkdir(mode=0o700)
        found, during = await purge_until_the_power_goes(before, rng)
        assert during > 60
        for cut in found:
            after = tmp_path / "after"
            after.mkdir(mode=0o700)
            cut.restore(after, rng)
            store = SqliteStore(after / "mhbridge.db", turns=lambda _name: InlineTurns())
            await store.open()
            await store.verify_log()
            for row in await store.messages():
                if "done" in row.deliveries:
                    continue
                try:
                    assert (await store.original(row.id)).startswith(b"original")
                    assert (await store.documents(row.id))[0].body
                    assert (await store.known(a_patient(8), "V1", EVENT)).items == {"n": 8}
                    kept += 1
                except StoreError:
                    lost += 1
            # And the next purge ends what this one began.
            await store.purge(ALL_GONE)
            for row in await store.messages():
                if "done" in row.deliveries:
                    assert await code_of(store.original(row.id)) == "S222"
            await store.close()
            shutil.rmtree(after)
            cuts += 1
    return cuts, kept, lost


async def test_a_power_cut_in_a_purge_loses_nothing_that_is_open(tmp_path):
    cuts, kept, lost = await after_power_cuts(tmp_path, 4)
    assert cuts > 40
    assert (kept, lost) == (3 * cuts, 0)


async def test_with_anything_weaker_than_full_a_purge_loses_what_is_open(tmp_path, monkeypatch):
    # What is open was closed under another key, the old one dropped; and the disk does not have the first of the two.
    pragmas = tuple(Pragma("synchronous", "normal", 1) if one.name == "synchronous" else one for one in opening.WRITER)
    monkeypatch.setattr(opening, "WRITER", pragmas)
    _, _, lost = await after_power_cuts(tmp_path, 2)
    assert lost > 0


# --- how long a purge keeps others waiting ---


class _Any(dict):
    def __missing__(self, name):
        return 1


def plan(name):
    connection = apsw.Connection(":memory:")
    for statement in schema():
        connection.execute(statement)
    details = [row[-1] for row in connection.execute(f"explain query plan {queries()[name]}", _Any()).fetchall()]
    connection.close()
    return details


@pytest.mark.parametrize("name", ["raw_open_under", "document_open_under", "episode_open_under"])
def test_what_is_open_is_looked_for_from_what_is_open(name):
    # From the side of the key it would take half a minute of the writer, with a month of readings and a busy day.
    details = plan(name)
    assert not [detail for detail in details if "body_key" in detail or "reading_key" in detail]
    assert [detail for detail in details if "SCAN" in detail and "message_turn" not in detail] == []


@pytest.mark.parametrize(
    "name",
    [
        "any_under",
        "raw_page",
        "document_page",
        "episode_page",
        "clear_bodies",
        "clear_readings",
        "property_page",
        "patient_page",
        "patient_is_needed",
        "drop_property",
        "drop_identity",
        "may_have_left",
        "body_page",
        "reading_page",
    ],
)
def test_each_step_of_a_purge_searches(name):
    details = plan(name)
    assert [detail for detail in details if detail.startswith("SCAN") and detail != "SCAN CONSTANT ROW"] == []
    assert not [detail for detail in details if "clock_state" in detail]
