"""The drill: a backup under load, the disk lost, the store restored; all that was acknowledged before is there."""

import asyncio
import json
import shutil
import time
from datetime import timedelta
from itertools import count

import apsw
import pytest
from store_cases import T0, a_reading, keep, key_of, take
from test_sqlite_heads import told
from test_sqlite_migrating import an_old_store
from test_sqlite_sealing import opened, with_canaries

from mhbridge.adapters.heads import HeadsFile
from mhbridge.adapters.sqlite import backup
from mhbridge.adapters.sqlite.backup import back_up, restore
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState, MessageState
from mhbridge.ports import Move

LATER = T0 + timedelta(hours=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "mhbridge.db"


def lose(path, *, keys=False):
    """The disk is gone; the store's key was kept elsewhere, and is brought back."""
    key = path.with_name("mhbridge.db.key").read_bytes()
    ring = path.with_name("mhbridge.db.keys")
    newest = ring.read_bytes() if keys else None
    shutil.rmtree(path.parent)
    path.parent.mkdir(mode=0o700)
    path.with_name("mhbridge.db.key").write_bytes(key)
    path.with_name("mhbridge.db.key").chmod(0o600)
    if newest is not None:
        ring.write_bytes(newest)


async def code_of(call):
    with pytest.raises(StoreError) as raised:
        await call
    return raised.value.code


async def back(path, to, **others):
    return await restore(to, path, LATER, who="anna", **others)


# --- the drill ---


class Receiver:
    """Has what was delivered, by the document's own identifier, and says so when it is looked for."""

    def __init__(self):
        self.effects = {}

    async def work(self, store, now):
        done = 0
        for due in await take(store, now, 50):
            found = due.document.identifier in self.effects
            if not (due.state is DeliveryState.UNKNOWN and found):
                self.effects[due.document.identifier] = self.effects.get(due.document.identifier, 0) + 1
            await store.finish([Move(due.id, DeliveryState.DONE, level=2)], now)
            done += 1
        return done


async def until(so):
    while not so():  # noqa: ASYNC110 - nothing but the load itself knows
        await asyncio.sleep(0.01)


async def test_the_drill(path, tmp_path, capsys):
    store, receiver, numbers = await opened(path), Receiver(), count(1)
    acknowledged, stop = [], asyncio.Event()

    async def send():
        for number in numbers:
            if stop.is_set():
                return
            await keep(store, number, "gp", patient=number % 40, readings=[a_reading({"n": number})])
            acknowledged.append(number)

    async def deliver():
        while not stop.is_set():
            await receiver.work(store, T0)
            await asyncio.sleep(0.002)

    load = [asyncio.create_task(one) for one in (deliver(), *[send() for _ in range(8)])]
    await until(lambda: len(acknowledged) >= 1_000)
    before = list(acknowledged)
    done = await asyncio.to_thread(back_up, path, tmp_path / "backup", T0)
    after = list(acknowledged)
    await until(lambda: len(acknowledged) >= len(after) + 500)
    stop.set()
    await asyncio.gather(*load)
    await store.close()
    lost = len(acknowledged)
    lose(path)

    begun = time.perf_counter()
    restored = await back(path, tmp_path / "backup")
    seconds = time.perf_counter() - begun
    store = await opened(path)
    there = {key for (key,) in store._readers[0].execute("select dedupe from envelope").fetchall()}
    found = [number for number in acknowledged if key_of(number) in there]
    # All that was acknowledged before it began; and of one instant.
    assert {key_of(number) for number in before} <= there
    assert len(found) == restored.messages == done.messages
    status = await store.status(LATER)
    assert status.differences == ()
    assert set(status.deliveries) <= {"done", "unknown"}
    assert status.deliveries.get("unknown", 0) == restored.doubtful > 0
    # The senders send again what was acknowledged after it; what is here is known to be.
    again = [number for number in acknowledged if number not in set(found)]
    for number in acknowledged:
        repeated = (await keep(store, number, "gp", patient=number % 40, at=LATER)).repeated
        assert repeated == (number not in set(again))
    while await receiver.work(store, LATER + timedelta(days=1)):
        pass
    status = await store.status(LATER)
    assert (status.deliveries, status.differences) == ({"done": len(acknowledged)}, ())
    # What the backup knew of was delivered once; what it did not know of may come twice, under its own identifier.
    effects = {int(identifier[-12:]): n for identifier, n in receiver.effects.items()}
    assert set(effects) == set(acknowledged)
    assert {n for number, n in effects.items() if number in set(found)} == {1}
    await store.verify_log()
    await store.close()
    lines = (
        f"{len(before)} acknowledged before the backup, {len(after) - len(before)} while it ran ({done.seconds:.2f} s,",
        f"{done.size / 1e6:.1f} MB), {lost - len(after)} after; {restored.messages} restored in {seconds:.2f} s,",
        f"{restored.bodies} bodies opened, {restored.doubtful} deliveries looked up, {len(again)} sent again",
    )
    with capsys.disabled():
        print("", *lines, sep="\n")  # noqa: T201 - the figures of the drill


async def test_what_the_backup_does_not_have_is_missed(path, tmp_path):
    # The control of the drill: what came later is really gone.
    store = await opened(path)
    await keep(store, 1, "gp")
    back_up(path, tmp_path / "backup", T0)
    await keep(store, 2, "gp")
    await store.close()
    lose(path)
    await back(path, tmp_path / "backup")
    store = await opened(path)
    assert [(await keep(store, number, "gp")).repeated for number in (1, 2)] == [True, False]
    await store.close()


# --- what is brought back ---


async def test_what_might_have_left_is_looked_up_in_its_order(path, tmp_path):
    store = await opened(path)
    for number in range(1, 5):
        await keep(store, number, "gp", patient=1)
    (first,) = await take(store, T0)
    await keep(store, 5, "gp", patient=2)
    (second,) = await take(store, T0)
    await store.finish([Move(second.id, DeliveryState.PARKED, code="D904")], T0)
    await keep(store, 6, "gp", patient=3)
    (third,) = await take(store, T0)
    await store.finish([Move(third.id, DeliveryState.RETRY, code="D901", due_at=T0 + timedelta(days=3))], T0)
    await keep(store, 7, state=MessageState.PARKED)
    back_up(path, tmp_path / "backup", T0)
    await store.close()
    lose(path)
    restored = await back(path, tmp_path / "backup")
    assert restored.doubtful == 5
    store = await opened(path)
    status = await store.status(LATER)
    assert status.deliveries == {"unknown": 5, "parked": 1}
    assert status.differences == ()
    due = await store.due(LATER, 10)
    assert {one.id for one in due} == {first.id, third.id}
    assert {one.state for one in due} == {DeliveryState.UNKNOWN}
    await store.close()


async def test_numbers_go_on_behind_those_that_were_given_since(path, tmp_path):
    store = await opened(path)
    await keep(store, 1, "gp")
    back_up(path, tmp_path / "backup", T0)
    later = await keep(store, 2, "gp")
    await store.close()
    lose(path)
    await back(path, tmp_path / "backup")
    store = await opened(path)
    again = await keep(store, 2, "gp")
    assert again.envelope > later.envelope + 100_000_000
    await store.close()


async def test_a_restored_store_is_as_long_as_it_was_said_to_be_and_its_own_cut_is_found(path, tmp_path):
    notes = HeadsFile(tmp_path / "notes")
    await told(path, notes, 1, 2)
    back_up(path, tmp_path / "backup", T0)
    await told(path, notes, 3, 4)
    lose(path)
    await back(path, tmp_path / "backup", tell=notes.add)
    store = await opened(path)
    # Two of before, and that it was restored.
    assert await store.verify_heads(notes.lines()) == 3
    connection = apsw.Connection(str(path))
    (said,) = connection.execute("select moves from log where what = 'restore'").fetchall()
    assert said == ("from the backup of 2026-03-03 09:00:00 UTC",)
    connection.execute("delete from log where seq >= 2")
    connection.close()
    assert await code_of(store.verify_heads(notes.lines())) == "S224"
    await store.close()


async def test_what_was_purged_since_the_backup_stays_purged(path, tmp_path):
    store = await opened(path)
    done = await with_canaries(store)
    for due in await take(store, T0):
        await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
    back_up(path, tmp_path / "backup", T0, keys_to=tmp_path / "apart")
    await store.purge(T0 + timedelta(days=600))
    await store.close()
    # With the newest keys, as the manual says; the backup has none inside.
    assert not (tmp_path / "backup" / "keys").exists()
    lose(path, keys=True)
    restored = await back(path, tmp_path / "backup")
    assert (restored.bodies, restored.purged) == (0, 3)
    store = await opened(path)
    assert await code_of(store.original(done.messages[0])) == "S222"
    assert (await store.status(LATER)).differences == ()
    await store.close()
    # And with keys as old as the backup it would open: why they are kept apart, and for days only.
    lose(path)
    restored = await back(path, tmp_path / "backup", keys_from=tmp_path / "apart" / "mhbridge.db.keys")
    assert (restored.bodies, restored.purged) == (3, 0)


async def test_without_its_data_keys_nothing_is_restored(path, tmp_path):
    store = await opened(path)
    await keep(store, 1, "gp")
    back_up(path, tmp_path / "backup", T0, keys_to=tmp_path / "apart")
    await store.close()
    assert "apart" not in (tmp_path / "apart" / "NOTE.txt").read_text()
    lose(path)
    assert await code_of(back(path, tmp_path / "backup")) == "S223"
    assert not path.exists()


async def test_a_backup_of_an_older_version_comes_forward(tmp_path):
    path = an_old_store(tmp_path / "store")
    folder = tmp_path / "backup"
    folder.mkdir()
    with apsw.Connection(str(path)) as source, apsw.Connection(str(folder / "mhbridge.db")) as target:
        head = source.execute("select seq, mac from log order by seq desc limit 1").fetchone()
        with target.backup("main", source, "main") as pages:
            pages.step()
    source.close()
    target.close()
    manifest = {"format": 1, "at": 0, "store": "mhbridge.db", "seq": head[0], "mac": head[1].hex()}
    manifest["sha256"] = backup._digest(folder / "mhbridge.db")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    path.unlink()
    restored = await back(path, folder)
    assert (restored.messages, restored.bodies) == (7, 12)


# --- what is refused ---


async def test_nothing_is_written_over(path, tmp_path):
    store = await opened(path)
    await keep(store, 1, "gp")
    back_up(path, tmp_path / "backup", T0)
    before = path.read_bytes()
    assert await code_of(back(path, tmp_path / "backup")) == "S225"
    with pytest.raises(StoreError) as raised:
        back_up(path, tmp_path / "backup", T0)
    assert raised.value.code == "S225"
    assert path.read_bytes() == before
    await store.close()


def changed(name, change):
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "mhbridge.db").unlink(),
        changed("mhbridge.db", lambda content: content[:-4096]),
        changed("mhbridge.db", lambda content: content[:9000] + b"x" + content[9001:]),
        changed("manifest.json", lambda content: content.replace(b'"format": 1', b'"format": 2')),
        changed("manifest.json", lambda content: content[:20]),
    ],
    ids=["unfinished", "no store", "cut", "a byte", "another format", "half a manifest"],
)
async def test_a_backup_that_is_not_what_was_written_is_refused(path, tmp_path, spoil):
    store = await opened(path)
    await keep(store, 1, "gp")
    back_up(path, tmp_path / "backup", T0)
    await store.close()
    spoil(tmp_path / "backup")
    lose(path)
    assert await code_of(back(path, tmp_path / "backup")) == "S226"
    assert not path.exists()


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("update log set moves = 'x' where seq = 1", "S207"),
        ("delete from log where seq = (select max(seq) from log)", "S224"),
        ("update body set data = zeroblob(length(data))", "S226"),
        ("delete from message where id = (select max(id) from message)", "S226"),
    ],
)
async def test_a_backup_that_does_not_hold_is_refused_and_leaves_nothing(path, tmp_path, statement, code):
    store = await opened(path)
    for number in range(5):
        await keep(store, number, "gp")
    back_up(path, tmp_path / "backup", T0)
    await store.close()
    connection = apsw.Connection(str(tmp_path / "backup" / "mhbridge.db"))
    connection.execute(statement)
    connection.close()
    # Whoever changes it so well changes the manifest too; what is in the store still gives it away.
    manifest = json.loads((tmp_path / "backup" / "manifest.json").read_text())
    manifest["sha256"] = backup._digest(tmp_path / "backup" / "mhbridge.db")
    (tmp_path / "backup" / "manifest.json").write_text(json.dumps(manifest))
    lose(path)
    assert await code_of(back(path, tmp_path / "backup")) == code
    assert sorted(file.name for file in path.parent.iterdir()) == ["mhbridge.db.key"]


async def test_a_store_that_is_only_looked_into_is_backed_up_as_well(path, tmp_path):
    store = await opened(path)
    await keep(store, 1, "gp")
    await store.close()
    done = back_up(path, tmp_path / "backup", T0)
    assert (done.messages, done.deliveries, done.seq) == (1, 1, 1)
    modes = {file.stat().st_mode & 0o077 for file in (tmp_path / "backup").rglob("*")}
    assert modes == {0}
