"""Another master key opens everything, the old one nothing, and whatever ends the change of it loses no key."""

import shutil
from itertools import count

import pytest
from store_cases import EVENT, T0, a_patient, a_reading, keep
from test_sqlite_migrating import an_old_store, settled
from test_sqlite_sealing import files_with, opened, refused

from mhbridge.adapters.sql import keyring
from mhbridge.adapters.sqlite import SqliteStore, opening
from mhbridge.adapters.sqlite.rekeying import rekey
from mhbridge.errors import StoreError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "mhbridge.db"


async def filled(path, **others):
    store = await opened(path, **others)
    done = await keep(store, 1, "gp", readings=[a_reading({"n": 1})])
    await store.close()
    return done.messages[0]


async def holds(path, message, **others):
    """All that the old keys opened is opened, found, and gone on with."""
    store = await opened(path, **others)
    assert await store.original(message) == b"original 1"
    assert (await store.documents(message))[0].body
    assert (await store.known(a_patient(), "V1", EVENT)).items == {"n": 1}
    assert len(await store.messages(search="P0001")) == 1
    assert (await keep(store, 1, "gp")).repeated
    await store.verify_log()
    await store.close()


async def test_a_new_key_beside_the_store_opens_it_and_the_old_one_does_not(path):
    message = await filled(path)
    secret = path.with_name("mhbridge.db.key")
    old = secret.read_bytes()
    for _ in range(3):
        rekey(path)
        assert files_with(path.parent, old) == []
        await holds(path, message)
        new, old = secret.read_bytes(), secret.read_bytes()
    secret.write_bytes(b"o" * 32)
    assert await refused(SqliteStore(path)) == "S223"
    secret.write_bytes(new)
    await holds(path, message)


async def test_the_old_key_opens_a_stolen_copy_only_with_the_old_file_of_data_keys(path, tmp_path):
    message = await filled(path)
    shutil.copytree(path.parent, tmp_path / "before")
    rekey(path)
    stolen = tmp_path / "before" / "mhbridge.db"
    stolen.parent.chmod(0o700)
    shutil.copy2(path.with_name("mhbridge.db.keys"), stolen.parent)
    assert await refused(SqliteStore(stolen)) == "S223"
    await holds(path, message)


async def test_a_store_moves_to_a_key_that_is_kept_elsewhere_and_on_to_the_next(path):
    message = await filled(path)
    rekey(path, to=lambda: b"k" * 32)
    assert await refused(SqliteStore(path)) == "S223"
    path.with_name("mhbridge.db.key").unlink()
    await holds(path, message, master=lambda: b"k" * 32)
    rekey(path, master=lambda: b"k" * 32, to=lambda: b"l" * 32)
    assert await refused(SqliteStore(path, master=lambda: b"k" * 32)) == "S223"
    await holds(path, message, master=lambda: b"l" * 32)
    with pytest.raises(ValueError, match="is made there"):
        rekey(path, master=lambda: b"l" * 32)


async def test_a_store_that_is_in_use_is_left_alone(path):
    store = await opened(path)
    before = path.with_name("mhbridge.db.key").read_bytes()
    with pytest.raises(StoreError) as raised:
        rekey(path)
    assert raised.value.code == "S206"
    assert path.with_name("mhbridge.db.key").read_bytes() == before
    await store.close()


async def test_what_was_purged_stays_so(path):
    message = await filled(path)
    store = await opened(path)
    ring = store.keys.ring
    for key in ring.living():
        ring.drop(key.id)
    await store.close()
    rekey(path)
    store = await opened(path)
    with pytest.raises(StoreError) as raised:
        await store.original(message)
    assert raised.value.code == "S222"
    await store.close()


class StopError(Exception):
    pass


@pytest.mark.parametrize("read_only", [False, True])
async def test_whatever_ends_it_the_store_opens(tmp_path, monkeypatch, read_only):
    """Each step on the disk is the last one once: a file that is written, one that gets its name, one that goes."""
    for at in count(1):
        path = tmp_path / f"run{at}" / "mhbridge.db"
        message = await filled(path)
        left = at

        def step(do):
            def stops(*values, **named):
                nonlocal left
                left -= 1
                if left == 0:
                    raise StopError
                return do(*values, **named)

            return stops

        for name in ("open", "fsync"):
            monkeypatch.setattr(keyring.os, name, step(getattr(keyring.os, name)))
        for name in ("replace", "unlink"):
            monkeypatch.setattr(opening.Path, name, step(getattr(opening.Path, name)))
        try:
            rekey(path)
        except StopError:
            stopped = True
        else:
            stopped = False
        monkeypatch.undo()
        if read_only:
            looking = await opened(path, read_only=True)
            assert await looking.original(message) == b"original 1"
            await looking.close()
        await holds(path, message)
        await holds(path, message)
        if not stopped:
            break
    assert at > 8


async def test_a_store_of_an_older_version_has_its_key_changed_too(tmp_path):
    path = an_old_store(tmp_path / "store")
    store = await opened(path)
    await settled(store)
    await store.close()
    rekey(path)
    store = await opened(path)
    rows = await store.messages()
    assert {await store.original(row.id) for row in rows} == {b"original %d" % n for n in (1, 2, 3, 4, 5, 7, 8)}
    assert (await store.status(T0)).differences == ()
    await store.verify_log()
    await store.close()
