"""What lies on the disk: nothing of a body can be read without its key, which is nowhere but in a file of its own."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import apsw
import pytest
from store_cases import EVENT, T0, a_document, a_patient, a_reading, an_answer, an_envelope, an_outcome, keep, key_of

from mhbridge.adapters.sql.keyring import Keyring, expiry
from mhbridge.adapters.sql.sealing import Keys, Seal
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.errors import StoreError
from mhbridge.ports import Retention

CANARY = b"CANARY-OF-A-PATIENT"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "mhbridge.db"


@pytest.fixture
def ring(tmp_path):
    return Keyring(tmp_path / "some.keys", b"m" * 32)


async def opened(path, **others):
    store = SqliteStore(path, **others)
    await store.open()
    return store


async def refused(store):
    with pytest.raises(StoreError) as raised:
        await store.open()
    await store.close()
    return raised.value.code


async def with_canaries(store, number=1):
    """An envelope, a document and a reading, each with the canary in it, larger than a page and not compressible."""
    noise = random.Random(number).randbytes(6_000)
    reading = a_reading({"surname": CANARY.decode(), "n": number})
    outcome = an_outcome(number, "gp", readings=[reading])
    document = a_document(number, body=noise + CANARY + noise)
    outcome = type(outcome)(**{f: getattr(outcome, f) for f in outcome.__slots__} | {"documents": (document,)})
    envelope = an_envelope(number, body=CANARY + noise + CANARY)
    return await store.commit(envelope, key_of(number), [outcome], an_answer(), {})


def files_with(directory, canary=CANARY):
    return sorted(file.name for file in directory.iterdir() if canary in file.read_bytes())


# --- on the disk ---


async def test_no_file_of_the_store_has_anything_of_a_body(path):
    store = await opened(path)
    for number in range(20):
        await with_canaries(store, number)
    assert path.with_name("mhbridge.db-wal").stat().st_size > 100_000
    assert files_with(path.parent) == []
    done = await with_canaries(store, 99)
    assert (await store.original(done.messages[0])).count(CANARY) == 2
    assert (await store.documents(done.messages[0]))[0].body.count(CANARY) == 1
    assert (await store.known(a_patient(), "V1", EVENT)).items["surname"] == CANARY.decode()
    await store.close()
    assert files_with(path.parent) == []


async def test_the_test_would_find_it(path, monkeypatch):
    monkeypatch.setattr(Keyring, "close", lambda _self, _key, about, body: sha256(about).digest() + body)
    store = await opened(path)
    await with_canaries(store)
    assert "mhbridge.db-wal" in files_with(path.parent)
    await store.close()
    assert "mhbridge.db" in files_with(path.parent)


async def test_no_file_has_a_data_key_in_clear(path):
    store = await opened(path)
    await keep(store, 1, "gp")
    ring = store._keys.ring
    keys = [ring._unwrap(key.about, key.wrapped) for key in ring._keys.values()]
    assert len(keys) == 2
    await store.close()
    for key in keys:
        assert files_with(path.parent, key) == []
        assert files_with(path.parent, key.hex().encode()) == []


async def test_each_class_has_a_key_for_each_month(path):
    store = await opened(path, retention=Retention(raw=90, document=30, documents={"special": 365}))
    for number, day in enumerate((0, 1, 27, 28, 29, 59)):
        await keep(store, number, "gp", at=T0 + timedelta(days=day))
    ring = json.loads(path.with_name("mhbridge.db.keys").read_text())
    await store.close()
    found = sorted((k["class"], str(datetime.fromtimestamp(k["expires"] / 1e6, UTC).date())) for k in ring["keys"])
    assert found == [
        # 3 March and 30 days is 2 April, 29 days later 1 May.
        ("document", "2026-05-01"),
        ("document", "2026-06-01"),
        ("raw", "2026-07-01"),
        ("raw", "2026-08-01"),
    ]


@pytest.mark.parametrize(
    ("at", "days", "expires"),
    [
        ("2026-03-03", 30, "2026-05-01"),
        ("2026-03-01", 30, "2026-04-01"),
        ("2026-03-02", 30, "2026-05-01"),
        ("2026-12-31", 1, "2027-02-01"),
        ("2026-11-30", 1, "2027-01-01"),
        ("2028-01-30", 30, "2028-03-01"),
        ("2026-01-31", 0, "2026-02-01"),
    ],
)
def test_a_key_expires_at_the_end_of_the_month_in_which_the_days_are_over(at, days, expires):
    instant = datetime.fromisoformat(at).replace(hour=23, minute=59, tzinfo=UTC)
    found = expiry(int(instant.timestamp() * 1_000_000), days)
    assert str(datetime.fromtimestamp(found / 1e6, UTC)) == f"{expires} 00:00:00+00:00"


# --- what is closed opens only where it was ---


def test_a_body_opens_only_for_its_row_its_table_and_its_key(ring):
    seal = Seal(Keys(b"s" * 32, ring))
    one, two = ring.id_for("raw", 1), ring.id_for("raw", 2)
    stored = seal.close("envelope", 7, b"body", one)
    assert seal.open("envelope", 7, stored, one) == b"body"
    for table, row, key in (("envelope", 8, one), ("document", 7, one), ("envelope", 7, two)):
        with pytest.raises(StoreError) as raised:
            seal.open(table, row, stored, key)
        assert raised.value.code == "S208"
    for at in range(len(stored)):
        spoilt = bytes([*stored[:at], stored[at] ^ 1, *stored[at + 1 :]])
        with pytest.raises(StoreError):
            seal.open("envelope", 7, spoilt, one)
    for size in range(len(stored)):
        with pytest.raises(StoreError) as raised:
            seal.open("envelope", 7, stored[:size], one)
        assert raised.value.code == "S208"


def test_no_nonce_is_used_twice(ring):
    key = ring.id_for("raw", 1)
    assert len({ring.close(key, b"a 1", b"same")[:12] for _ in range(1_000)}) == 1_000


# --- the file of keys ---


def test_a_key_is_on_the_disk_before_anything_is_closed_with_it(ring, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda _file: synced.append(ring.place.path.exists()))
    key = ring.id_for("raw", 1)
    # The file under its temporary name, then the directory that has it under its own.
    assert synced == [False, True]
    assert Keyring(ring.place.path, b"m" * 32).open(key, b"a", ring.close(key, b"a", b"x")) == b"x"
    ring.id_for("raw", 1)
    assert len(synced) == 2


def test_a_key_that_cannot_be_written_is_not_used(ring, monkeypatch):
    def fails(_file):
        raise OSError

    monkeypatch.setattr("os.fsync", fails)
    for _ in range(2):
        with pytest.raises(OSError):
            ring.id_for("raw", 1)
    monkeypatch.undo()
    key = ring.id_for("raw", 1)
    again = Keyring(ring.place.path, b"m" * 32)
    assert again.open(key, b"a", ring.close(key, b"a", b"x")) == b"x"


def test_a_dropped_key_is_gone_and_its_number_stays(ring):
    key = ring.id_for("raw", 1)
    stored, wrapped = ring.close(key, b"a 1", b"x"), ring.key(key).wrapped
    ring.drop(key)
    assert wrapped.hex() not in ring.place.path.read_text()
    for one in (ring, Keyring(ring.place.path, b"m" * 32)):
        with pytest.raises(StoreError) as raised:
            one.open(key, b"a 1", stored)
        assert raised.value.code == "S222"
        assert one.id_for("raw", 1) != key


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"raw"', '"document"'),
        lambda text: text.replace('"expires": 1', '"expires": 2'),
        lambda text: text.replace('"id": 1', '"id": 2'),
        lambda text: text.replace('"format": 1', '"format": 2'),
        lambda text: text.replace('"wrapped": "', '"wrapped": "00'),
        lambda text: text.replace('"wrapped"', '"wrap"'),
        lambda text: text.replace('"wrapped": "', '"wrapped": "g'),
    ],
    ids=["empty", "half", "class", "month", "number", "format", "key", "without", "no hex"],
)
def test_a_spoilt_file_of_keys_is_refused(ring, spoil):
    ring.id_for("raw", 1)
    text = ring.place.path.read_text()
    ring.place.path.write_text(spoil(text))
    assert ring.place.path.read_text() != text
    with pytest.raises(StoreError) as raised:
        Keyring(ring.place.path, b"m" * 32)
    assert raised.value.code == "S223"


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_store_without_its_keys_is_refused(path, read_only):
    store = await opened(path)
    await keep(store, 1, "gp")
    keys = path.with_name("mhbridge.db.keys")
    older = keys.read_bytes()
    await keep(store, 2, "gp", at=T0 + timedelta(days=40))
    await store.close()
    newest = keys.read_bytes()
    for content in (older, None):
        keys.unlink()
        if content is not None:
            keys.write_bytes(content)
        assert await refused(SqliteStore(path, read_only=read_only)) == "S223"
        keys.write_bytes(newest)
    store = await opened(path, read_only=read_only)
    await store.close()


async def test_who_looks_on_finds_keys_that_were_made_since(path):
    store = await opened(path)
    await keep(store, 1, "gp")
    looking = await opened(path, read_only=True)
    done = await keep(store, 2, "gp", at=T0 + timedelta(days=400))
    assert await looking.original(done.messages[0]) == b"original 2"
    await looking.close()
    await store.close()


async def test_what_was_rolled_back_leaves_a_key_that_is_used_next(path):
    store = await opened(path)
    with pytest.raises(StoreError):
        await store.write(lambda books, _items: [books.sealed("envelope", 1, b"x", 0), books.run("no query")], None)
    await keep(store, 1, "gp")
    await store.close()


# --- a master key from elsewhere ---


async def test_the_master_key_may_come_from_elsewhere(path):
    store = await opened(path, master=lambda: b"k" * 32)
    done = await keep(store, 1, "gp")
    await store.close()
    assert not path.with_name("mhbridge.db.key").exists()
    assert files_with(path.parent, b"k" * 32) == []
    assert await refused(SqliteStore(path, master=lambda: b"l" * 32)) == "S223"
    assert await refused(SqliteStore(path)) == "S205"
    assert await refused(SqliteStore(path, master=lambda: b"l" * 32, read_only=True)) == "S223"
    store = await opened(path, master=lambda: b"k" * 32)
    assert await store.original(done.messages[0]) == b"original 1"
    assert (await keep(store, 1, "gp")).repeated
    await store.close()


async def test_another_secret_under_the_same_master_key_is_refused(path):
    store = await opened(path, master=lambda: b"k" * 32)
    await keep(store, 1, "gp")
    await store.close()
    ring = Keyring(path.with_name("mhbridge.db.keys"), b"k" * 32)
    ring._change(ring._keys, b"another secret, of another store")
    assert await refused(SqliteStore(path, master=lambda: b"k" * 32)) == "S205"


async def test_many_commits_at_once_share_their_keys(path):
    store = await opened(path)
    await asyncio.gather(*[keep(store, number, "gp") for number in range(200)])
    assert store._keys.ring.last_id == 2
    connection = apsw.Connection(str(path))
    assert connection.execute("select count(*) from body where key_id not in (1, 2)").get == 0
    connection.close()
    await store.close()
