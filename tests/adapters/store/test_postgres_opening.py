"""What a store on PostgreSQL refuses when it opens, and that it is refused for that alone."""

import asyncio
import secrets
import socket

import pytest
from store_cases import T0, keep

from databases import address_of, database, execute, with_tables
from mhbridge.adapters.sql.migrations import SCHEMA, Migration, migrations
from mhbridge.errors import StoreError

MASTER = b"m" * 32
CANARY = "c4n4ry-of-a-password"


@pytest.fixture
def address():
    with database(with_tables()) as found:
        yield found


def store_at(address, master=MASTER, password=None, **others):
    from mhbridge.adapters.postgres import Address, PostgresStore

    return PostgresStore(Address(address, password), master=lambda: master, **others)


async def refused(address, **others):
    with pytest.raises(StoreError) as caught:
        await store_at(address, **others).open()
    return caught.value


async def kept(address, *numbers):
    store = store_at(address)
    await store.open()
    for number in numbers:
        await keep(store, number, "gp")
    await store.close()


def name_of(address):
    return address.rpartition("/test_")[2].partition("?")[0].join(("test_", ""))


# --- settings ----------------------------------------------------------------------------------------------

WEAK = {
    "synchronous_commit": "off",
    "zero_damaged_pages": "on",
}


@pytest.mark.parametrize("setting", WEAK)
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_setting_that_loses_what_was_acknowledged_is_refused(address, setting, read_only):
    await kept(address, 1)
    execute(address, f"alter database {name_of(address)} set {setting} = {WEAK[setting]}")
    error = await refused(address, read_only=read_only)
    assert error.code == "S241"
    assert setting in error.message


@pytest.mark.parametrize("setting", WEAK)
async def test_without_the_look_at_settings_it_would_open(address, setting, monkeypatch):
    from mhbridge.adapters.postgres import opening

    execute(address, f"alter database {name_of(address)} set {setting} = {WEAK[setting]}")
    for name in ("READER", "VERBS"):
        left = tuple(one for one in getattr(opening, name) if one.name != setting)
        monkeypatch.setattr(opening, name, left)
    await kept(address, 1)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "server_encoding", "TimeZone", "client_encoding"])
async def test_each_setting_is_read_back(address, setting, monkeypatch):
    from mhbridge.adapters.postgres import opening

    # What is the whole server's is not changed for one test: the store wants something else instead.
    wants = tuple(one._replace(says=("x",)) if one.name == setting else one for one in opening.VERBS)
    monkeypatch.setattr(opening, "VERBS", wants)
    error = await refused(address)
    assert error.code == "S241"
    assert setting in error.message


async def test_what_stands_in_the_database_does_not_change_a_connection(address):
    for setting in (
        "TimeZone = 'Asia/Tokyo'", "default_transaction_isolation = 'serializable'", "statement_timeout = '2s'",
    ):  # fmt: skip
        execute(address, f"alter database {name_of(address)} set {setting}")
    await kept(address, 1)


async def test_a_copy_that_only_reads_is_refused(address):
    execute(address, f"alter database {name_of(address)} set default_transaction_read_only = on")
    assert (await refused(address)).code == "S245"


async def test_an_old_version_is_refused(address, monkeypatch):
    from mhbridge.adapters.postgres import opening

    monkeypatch.setattr(opening, "_FIRST", 990000)
    assert (await refused(address)).code == "S242"


# --- reaching it -------------------------------------------------------------------------------------------


async def test_a_database_that_is_not_there_is_refused_and_the_password_is_not_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"postgresql://mhbridge@127.0.0.1:{free.getsockname()[1]}/x"
        error = await refused(address, password=lambda: CANARY)
    assert error.code == "S240"
    assert CANARY not in f"{error!r} {error.message} {error.__cause__} {error.__context__}"


async def test_an_unknown_database_is_refused():
    assert (await refused(address_of(f"no_{secrets.token_hex(4)}"))).code == "S240"


async def test_who_may_make_no_tables_is_told():
    with database() as empty:
        role = f"reader_{secrets.token_hex(4)}"
        execute(empty, f"create role {role} login", "revoke create on schema public from public")
        try:
            assert (await refused(empty.replace("postgres@", f"{role}@"))).code == "S243"
        finally:
            execute(empty, f"drop role {role}")


async def test_a_reader_makes_no_store():
    with database() as empty:
        assert (await refused(empty, read_only=True)).code == "S205"
        assert execute(empty, "select to_regclass('meta')") == [(None,)]


# --- keys --------------------------------------------------------------------------------------------------


async def test_another_master_key_is_refused(address):
    await kept(address, 1)
    assert (await refused(address, master=b"n" * 32)).code == "S223"


async def test_keys_that_are_gone_or_older_are_refused(address):
    await kept(address, 1)
    before = execute(address, "select version, content from data_keys")
    execute(address, "delete from data_keys")
    assert (await refused(address)).code == "S205"
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("insert into data_keys values (1, %s, %s)", before[0])
    await kept(address, 2)
    execute(address, "update body set key_id = 99 where id = (select max(id) from body)")
    assert (await refused(address)).code == "S223"


async def test_the_database_does_not_hold_what_opens_it(address):
    await kept(address, 1)
    tables = [name for (name,) in execute(address, "select tablename from pg_tables where schemaname = 'public'")]
    written = repr([execute(address, f'select * from "{name}"') for name in tables])
    assert MASTER.hex() not in written
    assert repr(MASTER)[2:-1] not in written


async def test_two_that_make_keys_at_once_keep_both(address):
    from mhbridge.adapters.sql.keyring import Keyring

    first, second = store_at(address, writers=2), store_at(address, writers=2)
    await first.open()
    await second.open()
    try:
        ours, theirs = first.keys.ring.id_for("raw", 1), second.keys.ring.id_for("raw", 2)
        assert ours != theirs
        assert second.keys.ring.id_for("raw", 1) == ours
        assert {key.id for key in Keyring(first.keys.ring.place, MASTER).living()} >= {ours, theirs}
    finally:
        await first.close()
        await second.close()


# --- who writes --------------------------------------------------------------------------------------------


async def test_a_second_process_may_look_and_not_write(address, monkeypatch):
    from mhbridge.adapters.postgres import opening

    monkeypatch.setattr(opening, "_LET_GO", 0.1)
    store = store_at(address)
    await store.open()
    await keep(store, 1, "gp")
    assert (await refused(address)).code == "S206"
    looking = store_at(address, read_only=True)
    await looking.open()
    assert (await looking.status(T0)).messages == {"done": 1}
    with pytest.raises(StoreError, match="reading only"):
        await keep(looking, 2)
    await looking.close()
    await store.close()
    await kept(address, 3)


# --- forward -----------------------------------------------------------------------------------------------

NEXT = Migration(
    SCHEMA + 1,
    [
        "alter table message add column colour text not null default ''",
        "create table shade (id integer primary key) strict",
    ],
    ["update message set colour = 'red' where id in (select id from message where colour = '' limit :most)"],
)


@pytest.fixture
def _next(monkeypatch):
    from mhbridge.adapters.postgres import opening
    from mhbridge.adapters.sql import migrating

    for module in (opening, migrating):
        monkeypatch.setattr(module, "SCHEMA", SCHEMA + 1)
        monkeypatch.setattr(module, "migrations", lambda: (*migrations(), NEXT))
    monkeypatch.setattr("mhbridge.adapters.sql.door.calling._PAUSE", 0.0)


@pytest.fixture
async def older(address):
    await kept(address, *range(1, 6))
    return address


@pytest.mark.usefixtures("older", "_next")
async def test_an_older_store_comes_forward_when_a_writer_opens_it(address):
    assert (await refused(address, read_only=True)).code == "S220"
    store = store_at(address)
    await store.open()
    await keep(store, 6, "gp")
    async with asyncio.timeout(30):
        while not store._migrating.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert execute(address, "select distinct colour from message") == [("red",)]
    assert (await store.status(T0)).differences == ()
    await store.close()
    assert execute(address, "select value from meta where name = 'schema'") == [(str(SCHEMA + 1),)]


@pytest.mark.usefixtures("older", "_next")
async def test_a_step_forward_that_fails_leaves_the_store_as_it_was(address, monkeypatch):
    from mhbridge.adapters.postgres import opening

    bad = NEXT._replace(now=[*NEXT.now, "alter table nothing add column x text"])
    monkeypatch.setattr(opening, "migrations", lambda: (*migrations(), bad))
    assert (await refused(address)).code == "S245"
    assert execute(address, "select value from meta where name = 'schema'") == [(str(SCHEMA),)]
    assert execute(address, "select to_regclass('shade')") == [(None,)]


@pytest.mark.parametrize("schema", [str(SCHEMA + 1), "", "two"])
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_schema_that_is_not_known_is_refused(older, schema, read_only):
    execute(older, f"update meta set value = '{schema}' where name = 'schema'")
    assert (await refused(older, read_only=read_only)).code == "S204"
