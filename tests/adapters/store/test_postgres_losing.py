"""A connection to PostgreSQL that ends at any point, and errors of the server: what whoever asked is told then."""

import contextlib

import psycopg
import pytest
from store_cases import MINUTE, T0, HeldTurns, keep, take

from databases import database, execute, with_tables
from mhbridge.adapters.postgres import Address, PostgresStore
from mhbridge.adapters.postgres.session import PostgresSession
from mhbridge.adapters.sql.books import Books
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import Move

MASTER = b"m" * 32


@pytest.fixture
def address():
    with database(with_tables()) as found:
        yield found


@pytest.fixture
async def ended():
    """What the process was ended with."""
    return []


@pytest.fixture
async def store(address, ended):
    store = PostgresStore(Address(address), master=lambda: MASTER, die=ended.append)
    await store.open()
    await keep(store, 1, "gp")
    yield store
    await store.close()


def end(address, session):
    """The server ends a connection, as when it is stopped."""
    pid = session.connection.info.backend_pid
    assert execute(address, f"select pg_terminate_backend({pid}, 5000)") == [(True,)]


def once(monkeypatch, session, name, instead):
    """At the next call of a method something else happens, given what it does."""
    method = getattr(session, name)

    def call(*values):
        monkeypatch.setattr(session, name, method)
        return instead(lambda: method(*values))

    monkeypatch.setattr(session, name, call)


def before(address, session):
    """It is lost before it is asked to commit."""

    def call(commit):
        end(address, session)
        return commit()

    return call


def after(address, session):
    """The server commits, and the connection is lost before it says so."""

    def call(commit):
        number = session._transaction
        commit()
        session._transaction = number
        end(address, session)
        session.connection.execute("select 1")

    return call


async def whole(store):
    status = await store.status(T0)
    assert status.differences == ()
    await store.verify_log()
    return status.messages.get("done", 0)


async def test_what_was_lost_before_its_commit_is_refused_and_not_there(store, address, monkeypatch, ended):
    session = store._books.session
    once(monkeypatch, session, "commit", before(address, session))
    with pytest.raises(StoreError) as caught:
        await keep(store, 2, "gp")
    assert caught.value.code == "S244"
    await keep(store, 3, "gp")
    assert await whole(store) == 2
    assert ended == []


async def test_what_was_committed_before_the_connection_was_lost_is_answered(store, address, monkeypatch, ended):
    session = store._books.session
    once(monkeypatch, session, "commit", after(address, session))
    committed = await keep(store, 2, "gp")
    assert not committed.repeated
    assert (await keep(store, 2, "gp")).envelope == committed.envelope
    assert await whole(store) == 2
    assert ended == []


async def test_without_asking_for_the_commit_what_is_there_would_be_refused(store, address, monkeypatch):
    session = store._books.session
    once(monkeypatch, session, "commit", after(address, session))
    monkeypatch.setattr(PostgresSession, "_is_there", lambda *_: False)
    with pytest.raises(StoreError):
        await keep(store, 2, "gp")
    assert (await keep(store, 2, "gp")).repeated


async def test_where_nobody_can_say_whether_it_is_there_the_process_ends(store, address, monkeypatch, ended):
    session = store._books.session
    once(monkeypatch, session, "commit", after(address, session))
    monkeypatch.setattr(PostgresSession, "_is_there", lambda *_: None)
    with pytest.raises(StoreError) as caught:
        await keep(store, 2, "gp")
    assert caught.value.code == "S209"
    assert ended == [74]
    with pytest.raises(StoreError):
        await keep(store, 3, "gp")


async def test_where_the_server_does_not_come_back_in_time_the_process_ends(store, address, monkeypatch, ended):
    session = store._books.session
    once(monkeypatch, session, "commit", after(address, session))
    monkeypatch.setattr("mhbridge.adapters.postgres.session._PATIENCE", 0.3)

    def gone():
        raise StoreError("S240", "nobody listens there")

    monkeypatch.setattr(session, "_connect", gone)
    with pytest.raises(StoreError) as caught:
        await keep(store, 2, "gp")
    assert caught.value.code == "S209"
    assert ended == [74]


@pytest.mark.parametrize("name", ["begin", "each", "run"])
async def test_a_connection_that_ends_within_a_transaction_takes_nothing_with_it(store, address, monkeypatch, name):
    session = store._books.session
    once(monkeypatch, session, name, before(address, session))
    with pytest.raises(StoreError) as caught:
        await keep(store, 2, "gp")
    assert caught.value.code == "S244"
    await keep(store, 2, "gp")
    assert await whole(store) == 2


async def test_a_connection_that_ends_while_a_batch_is_rolled_back_ends_no_process(store, address, monkeypatch, ended):
    session = store._books.session

    def fails(_):
        raise psycopg.errors.DiskFull

    once(monkeypatch, session, "commit", fails)
    once(monkeypatch, session, "rollback", before(address, session))
    with pytest.raises(StoreError) as caught:
        await keep(store, 2, "gp")
    assert caught.value.code in ("S210", "S244")
    await refused_once(store)
    await keep(store, 4, "gp")
    assert await whole(store) == 2
    assert ended == []


async def test_while_the_server_is_away_everything_is_refused_and_afterwards_taken(store, address, monkeypatch, ended):
    session = store._books.session
    connect = session._connect

    def gone():
        raise StoreError("S240", "nobody listens there")

    monkeypatch.setattr(session, "_connect", gone)
    end(address, session)
    for number in (2, 3):
        with pytest.raises(StoreError) as caught:
            await keep(store, number, "gp")
        assert caught.value.code in ("S240", "S244")
    monkeypatch.setattr(session, "_connect", connect)
    await keep(store, 4, "gp")
    assert await whole(store) == 2
    assert ended == []


async def test_what_is_asked_is_asked_again_when_the_connection_is_lost(store, address):
    for session in store._sessions:
        end(address, session)
    assert [found.message for found in await take(store, T0)]
    assert (await store.status(T0)).messages == {"done": 1}
    assert (await store.known(*_somebody())).items == {}


def _somebody():
    from store_cases import EVENT, a_patient

    return a_patient(), "V1", EVENT


async def test_nobody_else_becomes_the_writer_while_one_comes_back(store, address, monkeypatch):
    session = store._books.session
    end(address, session)
    await refused_once(store)
    other = PostgresStore(Address(address), master=lambda: MASTER)
    monkeypatch.setattr("mhbridge.adapters.postgres.opening._LET_GO", 0.1)
    await keep(store, 3, "gp")
    with pytest.raises(StoreError) as caught:
        await other.open()
    assert caught.value.code == "S206"


async def refused_once(store):
    with contextlib.suppress(StoreError):
        await keep(store, 3, "gp")


# --- errors of the server ----------------------------------------------------------------------------------

ERRORS = {
    "the disk is full": (psycopg.errors.DiskFull, "S210"),
    "no memory": (psycopg.errors.OutOfMemory, "S245"),
    "an I/O error": (psycopg.errors.IoError, "S245"),
    "a copy that reads": (psycopg.errors.ReadOnlySqlTransaction, "S245"),
    "it is cancelled": (psycopg.errors.QueryCanceled, "S245"),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("where", ["commit", "each"])
async def test_an_error_of_the_server_refuses_the_batch_and_nothing_of_it_is_there(
    store, monkeypatch, name, where, ended
):
    kind, code = ERRORS[name]

    def fails(_):
        raise kind("what was to be stored: 9990000018")

    once(monkeypatch, store._books.session, where, fails)
    with pytest.raises(StoreError) as caught:
        await keep(store, 2, "gp")
    assert caught.value.code == code
    assert "9990000018" not in caught.value.message
    await keep(store, 3, "gp")
    assert await whole(store) == 2
    assert ended == []


@pytest.mark.parametrize(
    "kind", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable]
)
async def test_a_batch_that_somebody_got_in_the_way_of_is_worked_again(store, monkeypatch, kind):
    def fails(_):
        raise kind

    once(monkeypatch, store._books.session, "commit", fails)
    await keep(store, 2, "gp")
    assert await whole(store) == 2


async def test_a_batch_that_is_in_the_way_for_ever_is_refused(store, monkeypatch):
    tries = []

    def fails(_session):
        tries.append(1)
        raise psycopg.errors.SerializationFailure

    with monkeypatch.context() as patch:
        patch.setattr(PostgresSession, "commit", fails)
        with pytest.raises(StoreError) as caught:
            await keep(store, 2, "gp")
    assert caught.value.code == "S245"
    assert len(tries) > 5
    await keep(store, 3, "gp")
    assert await whole(store) == 2


async def test_one_bad_call_fails_alone(address):
    turns = {}
    store = PostgresStore(
        Address(address), master=lambda: MASTER, turns=lambda name: turns.setdefault(name, HeldTurns(name))
    )
    await store.open()
    import asyncio

    def bad(books: Books, items):
        books.run("no_such_query")
        return items

    from mhbridge.adapters.sql import committing

    order = committing._ORDER
    committing._ORDER = (*order, bad)
    try:
        turns["mhbridge-writer"].hold()
        calls = [
            asyncio.create_task(one) for one in (keep(store, 1, "gp"), store.write(bad, None), keep(store, 2, "gp"))
        ]
        while len(turns["mhbridge-writer"].held) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert turns["mhbridge-writer"].release() == 3
        first, wrong, second = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        committing._ORDER = order
    assert isinstance(wrong, StoreError)
    assert first.envelope != second.envelope
    assert await whole(store) == 2
    await store.close()


# --- what PostgreSQL has no room for -----------------------------------------------------------------------


async def test_a_character_that_the_database_has_no_room_for_is_kept_as_one_that_stands_for_it(store):
    await store.audit("who\0", "act", 1, T0, why="a\0b")
    (line,) = await store.audited(who="who\0")
    assert line.why == "a\N{SYMBOL FOR NULL}b"
    await store.verify_log()
    (due,) = await take(store, T0)
    await store.finish([Move(due.id, DeliveryState.RETRY, "D9\0", due_at=T0 + MINUTE)], T0)
    assert (await store.trace(due.message)).deliveries[0]["code"] == "D9\N{SYMBOL FOR NULL}"
    await store.verify_log()


# --- damage ------------------------------------------------------------------------------------------------


async def test_a_document_that_was_changed_is_parked_and_never_sent(store, address):
    changed = "set_byte(data, 20, 255 - get_byte(data, 20))"
    execute(address, f"update body set data = {changed} where id in (select document from delivery)")
    assert await take(store, T0) == []
    assert (await store.status(T0)).deliveries == {"parked": 1}


LOG = {
    "changed": "update log set about = about + 1 where seq = 1",
    "taken out": "delete from log where seq = 1",
    "cut off": "delete from log where seq = (select max(seq) from log)",
}


@pytest.mark.parametrize("how", LOG)
async def test_a_log_that_was_changed_is_found(store, address, how):
    await keep(store, 2, "gp")
    await store.verify_log()
    execute(address, LOG[how])
    with pytest.raises(StoreError) as caught:
        await store.verify_log()
    assert caught.value.code == "S207"


@pytest.mark.parametrize("how", ["changed", "taken out"])
async def test_a_log_that_was_changed_keeps_the_store_shut(address, how):
    store = PostgresStore(Address(address), master=lambda: MASTER)
    await store.open()
    await keep(store, 1, "gp")
    await keep(store, 2, "gp")
    await store.close()
    execute(address, LOG[how])
    with pytest.raises(StoreError) as caught:
        await PostgresStore(Address(address), master=lambda: MASTER).open()
    assert caught.value.code == "S207"


# --- keys that are dropped ---------------------------------------------------------------------------------


@pytest.mark.parametrize("vacuumed", [True, False])
async def test_a_dropped_key_is_not_left_in_the_file_of_its_table(store, address, monkeypatch, vacuumed):
    from pathlib import Path

    ring = store.keys.ring
    number = ring.id_for("raw", 1_000_000)
    wrapped = ring.key(number).wrapped.hex().encode()
    folder = Path(execute(address, "show data_directory")[0][0])

    def written():
        execute(address, "checkpoint")
        ((name,),) = execute(address, "select pg_relation_filepath('data_keys')")
        return wrapped in (folder / name).read_bytes()

    execute(address, "alter table data_keys alter column content set storage plain", "vacuum (full) data_keys")
    assert written()
    if not vacuumed:
        monkeypatch.setattr("mhbridge.adapters.postgres.opening._SHREDS", "select 1")
    ring.drop(number)
    assert written() is not vacuumed
