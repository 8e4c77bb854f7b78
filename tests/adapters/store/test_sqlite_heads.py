"""A log that was cut off at its end, or put back to an older one, is found by what was told of it outside."""

import shutil
from datetime import timedelta

import apsw
import orjson
import pytest
from store_cases import T0, keep
from test_sqlite_sealing import opened

from mhbridge import log as logs
from mhbridge.adapters.heads import HeadsFile
from mhbridge.adapters.sql.heads import Head, heads_in, line_of
from mhbridge.errors import StoreError
from mhbridge.gateway import Keeping


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "mhbridge.db"


@pytest.fixture
def notes(tmp_path):
    return HeadsFile(tmp_path / "elsewhere" / "heads")


async def told(path, notes, *numbers):
    """Take messages, and tell after each how far the log has come."""
    store = await opened(path)
    for number in numbers:
        await keep(store, number, "gp")
        notes.add((await store.log_head(T0 + timedelta(minutes=5 * number)))[1])
    await store.close()


async def code(path, notes):
    store = await opened(path)
    try:
        await store.verify_heads(notes.lines())
    except StoreError as error:
        return error.code
    finally:
        await store.close()
    return ""


async def test_a_log_that_was_not_cut_is_as_long_as_it_was_said_to_be(path, notes):
    await told(path, notes, 1, 2, 3)
    await told(path, notes, 4)
    store = await opened(path)
    await keep(store, 5, "gp")
    assert await store.verify_heads(notes.lines()) == 4
    await store.close()


@pytest.mark.parametrize("left", [0, 1, 2])
async def test_a_log_that_was_cut_is_found_by_nothing_else(path, notes, left):
    await told(path, notes, 1, 2, 3)
    connection = apsw.Connection(str(path))
    connection.execute("delete from log where seq > ?", (left,))
    connection.close()
    store = await opened(path)
    # The chain itself holds: the control.
    assert await store.verify_log() == left
    with pytest.raises(StoreError) as raised:
        await store.verify_heads(notes.lines())
    assert raised.value.code == "S224"
    assert raised.value.message.startswith(f"row {left + 1} of the log, its last on 03 March 2026")
    await store.close()


async def test_an_older_copy_of_the_store_is_found(path, notes, tmp_path):
    await told(path, notes, 1, 2)
    shutil.copytree(path.parent, tmp_path / "copy")
    await told(path, notes, 3)
    shutil.rmtree(path.parent)
    shutil.copytree(tmp_path / "copy", path.parent)
    path.parent.chmod(0o700)
    assert await code(path, notes) == "S224"
    # Also after it has gone on, and has rows of the same numbers.
    store = await opened(path)
    for number in range(10, 20):
        await keep(store, number, "gp", at=T0 + timedelta(hours=1))
    await store.verify_log()
    await store.close()
    assert await code(path, notes) == "S224"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: [lines[0].replace('"seq":1', '"seq":2'), *lines[1:]],
        lambda lines: [lines[0], lines[1][:40], lines[2]],
        lambda lines: ["{}", *lines],
        lambda lines: ["[]", *lines],
        lambda lines: [orjson.dumps(orjson.loads(lines[0]) | {"restored": True}).decode(), *lines[1:]],
    ],
    ids=["another number", "cut", "nothing in it", "a list", "said to be restored"],
)
async def test_a_note_that_the_store_did_not_write_is_found(path, notes, tmp_path, spoil):
    await told(path, notes, 1, 2, 3)
    spoilt = HeadsFile(tmp_path / "spoilt")
    for line in spoil(list(notes.lines())):
        spoilt.add(line)
    assert await code(path, spoilt) == "S224"


async def test_the_notes_of_another_store_are_found(path, notes, tmp_path):
    await told(path, notes, 1)
    other = tmp_path / "other" / "mhbridge.db"
    await told(other, HeadsFile(tmp_path / "more"), 1)
    assert await code(other, notes) == "S224"


async def test_a_note_that_a_power_cut_left_half_written_is_passed_over_and_ended(path, notes, tmp_path):
    await told(path, notes, 1, 2)
    file = tmp_path / "elsewhere" / "heads"
    whole = file.read_bytes()
    for size in range(whole.index(b"\n") + 2, len(whole)):
        file.write_bytes(whole[:size])
        assert await code(path, notes) == ""
    file.write_bytes(whole[:-20])
    await told(path, notes, 3)
    assert len(notes.lines()) == 2
    assert await code(path, notes) == ""


async def test_a_note_of_a_restoring_makes_later_ones_void(path, notes):
    await told(path, notes, 1, 2, 3)
    store = await opened(path)
    keys = store._keys
    heads = heads_in(keys, notes.lines())
    lines = [*notes.lines(), line_of(keys, Head(heads[-1].at, 1, 2, heads[1].mac, restored=True))]
    assert [head.seq for head in heads_in(keys, lines)] == [1, 2, 2]
    await store.close()


# --- the gateway ---


async def test_the_gateway_tells_how_far_the_log_has_come_and_does_not_start_when_it_is_cut(path, notes):
    store = await opened(path)
    keeping = Keeping(store=store, heads=notes, clock=lambda: T0, log=logs.make())
    await keeping.open()
    await keep(store, 1, "gp")
    await keeping.tell()
    await keeping.tell()
    told_so_far = len(notes.lines())
    await keep(store, 2, "gp")
    await keeping.close()
    assert len(notes.lines()) == told_so_far + 1
    await store.close()
    connection = apsw.Connection(str(path))
    connection.execute("delete from log where seq = 2")
    connection.close()
    store = await opened(path)
    with pytest.raises(StoreError) as raised:
        await Keeping(store=store, heads=notes, clock=lambda: T0, log=logs.make()).open()
    assert raised.value.code == "S224"
    await store.close()


async def test_the_gateway_purges_at_night_and_at_the_start(path, notes):
    now = T0
    store = await opened(path)
    purges = []
    purge = store.purge

    async def counted(at, **others):
        purges.append(at)
        return await purge(at, **others)

    store.purge = counted
    keeping = Keeping(store=store, heads=notes, clock=lambda: now, log=logs.make())
    await keeping.look()
    for _ in range(3 * 24 * 60):
        now += timedelta(minutes=1)
        await keeping.look()
    # At the start at nine in the morning; then each night at three.
    assert [(at.day, at.hour) for at in purges] == [(3, 9), (4, 3), (5, 3), (6, 3)]
    await store.close()
