"""What a store refuses to start with: a bad build, a pragma that did not take, wide permissions, a wrong secret."""

import asyncio
import os
import stat
import subprocess
import sys
from dataclasses import replace

import apsw
import pytest
from store_cases import T0, an_answer, an_envelope, an_outcome, keep, key_of

from mhbridge.adapters.sql import queries, schema
from mhbridge.adapters.sqlite import SqliteStore, opening
from mhbridge.errors import StoreError, explanations


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "mhbridge.db"


async def refused(store):
    with pytest.raises(StoreError) as raised:
        await store.open()
    await store.close()
    return raised.value


async def once(path, *numbers):
    """A store that was used and closed."""
    store = SqliteStore(path)
    await store.open()
    for number in numbers:
        await keep(store, number, "gp")
    await store.close()


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("3.7.0", False),
        ("3.40.1", False),
        ("3.51.2", False),
        ("3.51.3", True),
        ("3.52.0", False),
        ("3.52.1", True),
        ("3.54.1", True),
        ("4.0.0", True),
    ],
)
async def test_builds_that_may_corrupt_a_store_are_refused(path, monkeypatch, version, good):
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    store = SqliteStore(path)
    if good:
        await store.open()
        await store.close()
    else:
        assert (await refused(store)).code == "S201"
        assert not path.exists()


@pytest.mark.parametrize("pragma", opening.WRITER, ids=lambda pragma: pragma.name)
async def test_a_pragma_of_the_writer_that_says_something_else_is_refused(path, pragma):
    class Deaf(apsw.Connection):
        def pragma(self, name, *to):
            if name == pragma.name:
                return None if to else "no"
            return super().pragma(name, *to)

    error = await refused(SqliteStore(path, connect=Deaf))
    assert (error.code, pragma.name in error.message) == ("S202", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("synchronous", "normal"), ("synchronous", "off"), ("journal_mode", "delete"), ("wal_autocheckpoint", 1000)],
)
async def test_a_connection_that_is_set_to_something_weaker_is_refused(path, name, value):
    class Weak(apsw.Connection):
        def pragma(self, pragma, *to):
            return super().pragma(pragma, *([value] if to and pragma == name else to))

    error = await refused(SqliteStore(path, connect=Weak))
    assert (error.code, name in error.message) == ("S202", True)


async def test_several_pragmas_in_one_call_would_have_been_noticed(path):
    # The trap that the reading back is for: APSW runs no further than the first statement that returns a row.
    class Hasty(apsw.Connection):
        def pragma(self, name, *to):
            if not to:
                return super().pragma(name)
            if name == opening.WRITER[0].name:
                self.execute(";".join(f"pragma {one.name} = {one.value}" for one in opening.WRITER))
            return None

    assert (await refused(SqliteStore(path, connect=Hasty))).code == "S202"


async def test_all_files_are_their_owners_alone(path):
    store = SqliteStore(path)
    umask = os.umask(0)
    try:
        await store.open()
        await keep(store, 1, "gp")
        modes = {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in path.parent.iterdir()}
    finally:
        os.umask(umask)
        await store.close()
    assert modes == {
        "mhbridge.db": "0o600",
        "mhbridge.db-wal": "0o600",
        "mhbridge.db-shm": "0o600",
        "mhbridge.db.key": "0o600",
        "mhbridge.db.keys": "0o600",
        "mhbridge.db.lock": "0o600",
    }
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_directory_that_others_may_write_to_is_refused(path):
    path.parent.mkdir()
    path.parent.chmod(0o775)
    assert (await refused(SqliteStore(path))).code == "S203"


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_path_where_no_store_can_be_is_refused_with_a_code(tmp_path, read_only):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.key").write_bytes(b"x" * 32)
    (tmp_path / "folder.key").chmod(0o600)
    for path in (tmp_path / "file" / "m.db", tmp_path / "folder"):
        error = await refused(SqliteStore(path, read_only=read_only))
        assert error.code == ("S205" if read_only and path.name == "m.db" else "S216")


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_file_that_is_no_database_is_refused_with_a_code(path, read_only):
    await once(path)
    path.write_bytes(b"no database " * 1000)
    assert (await refused(SqliteStore(path, read_only=read_only))).code == "S216"


async def test_a_secret_that_others_may_read_is_refused(path):
    await once(path)
    path.with_name("mhbridge.db.key").chmod(0o640)
    assert (await refused(SqliteStore(path))).code == "S203"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda _, secret: secret.unlink(), "S205"),
        (lambda path, _: path.unlink(), "S205"),
        # What it does not open first is the data keys.
        (lambda _, secret: secret.write_bytes(b"x" * 32), "S223"),
        (lambda _, secret: secret.write_bytes(secret.read_bytes()[:31]), "S205"),
    ],
    ids=["the secret is gone", "the store is gone", "another secret", "a secret cut short"],
)
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_store_without_its_secret_is_refused_and_never_made_anew(path, spoil, code, read_only):
    await once(path, 1)
    spoil(path, path.with_name("mhbridge.db.key"))
    files = [path, path.with_name("mhbridge.db.key"), path.with_name("mhbridge.db.keys")]
    before = [file.read_bytes() if file.exists() else None for file in files]
    assert (await refused(SqliteStore(path, read_only=read_only))).code == code
    assert [file.read_bytes() if file.exists() else None for file in files] == before


async def test_a_crash_between_store_and_secret_leaves_a_new_store(path):
    path.parent.mkdir(mode=0o700)
    path.touch()
    await once(path, 1)


async def test_another_schema_is_refused(path):
    await once(path)
    with apsw.Connection(str(path)) as connection:
        connection.execute("update meta set value = '0' where name = 'schema'")
    connection.close()
    assert (await refused(SqliteStore(path))).code == "S204"


async def test_a_second_process_is_refused_until_the_first_has_ended(path):
    script = (
        "import asyncio, pathlib, sys\n"
        "from mhbridge.adapters.sqlite import SqliteStore\n"
        "async def main():\n"
        "    await SqliteStore(pathlib.Path(sys.argv[1])).open()\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.read()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    other = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert await other.stdout.readline() == b"open\n"
    assert (await refused(SqliteStore(path))).code == "S206"
    other.kill()
    await other.communicate()
    await once(path, 1)


async def test_a_store_that_is_in_use_can_be_looked_into(path):
    store = SqliteStore(path)
    await store.open()
    done = await keep(store, 1, "gp")
    looking = SqliteStore(path, read_only=True)
    await looking.open()
    assert await looking.original(done.messages[0]) == b"original 1"
    assert await looking.verify_log() == 1
    await keep(store, 2, "gp")
    assert (await looking.status(T0)).messages == {"done": 2}
    for call in (keep(looking, 3), looking.refuse("a/b", "M701", T0), looking.recover(T0)):
        with pytest.raises(StoreError) as raised:
            await call
        assert raised.value.code == "S215"
    await looking.close()
    await store.close()


async def test_looking_into_a_store_makes_none(path):
    assert (await refused(SqliteStore(path, read_only=True))).code == "S205"
    assert not path.parent.exists()


async def test_a_reader_cannot_write(path):
    await once(path)
    reader = opening.open_reader(path, apsw.Connection)
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("delete from log")
    reader.close()


async def test_no_identifier_of_a_patient_stands_outside_the_bodies(path):
    store = SqliteStore(path)
    await store.open()
    # Long enough not to be met by chance in a random token.
    outcome = an_outcome(1, "gp", episode="VISIT-4711")
    outcome = replace(outcome, facts=replace(outcome.facts, control_id="CONTROL-4711"))
    await store.commit(an_envelope(1), key_of(1), [outcome], an_answer(), {})
    await store.close()
    connection = apsw.Connection(str(path))
    tables = [name for (name,) in connection.execute("select name from sqlite_schema where type = 'table'").fetchall()]
    assert len(tables) > 10
    for table in tables:
        for row in connection.execute(f'select * from "{table}"').fetchall():
            for value in row:
                text = value if isinstance(value, bytes) else str(value).encode()
                assert not any(identifier in text for identifier in (b"P0001", b"4711"))
    connection.close()


async def test_nothing_is_loaded_at_the_start(path):
    """A restart looks only at the ends of indexes, however much is queued."""
    await once(path, *range(1, 40))
    steps = []

    class Counting(apsw.Connection):
        def __init__(self, *values, **named):
            super().__init__(*values, **named)
            self.trace_v2(apsw.SQLITE_TRACE_PROFILE, lambda event: steps.append(event["stmt_status"]))

    store = SqliteStore(path, connect=Counting)
    await store.open()
    await store.recover(T0)
    await store.due(T0, 1)
    await store.close()
    names = ("SQLITE_STMTSTATUS_FULLSCAN_STEP", "SQLITE_STMTSTATUS_SORT", "SQLITE_STMTSTATUS_AUTOINDEX")
    scanned = {name: sum(step[name] for step in steps) for name in names}
    # `sqlite_schema`, `destination` and the tail of the log are read whole.
    assert scanned["SQLITE_STMTSTATUS_SORT"] == 0
    assert scanned["SQLITE_STMTSTATUS_AUTOINDEX"] == 0
    assert scanned["SQLITE_STMTSTATUS_FULLSCAN_STEP"] < 39


HOT = [
    "seen",
    "messages_of_envelope",
    "seen_of",
    "find_patients",
    "newest_versions",
    "move_message",
    "move_delivery",
    "settle_lane",
    "delivery_now",
    "found_sending",
    "parked_of_message",
    "due_heads",
    "next_due",
    "readings",
    "newest_in_state",
    "newest_with_parked_delivery",
    "audited",
    "newest_with_property",
    "newest_of_identity",
    "newest_with_remote_id",
    "awaiting_of",
    "received_at_or_before",
    "delivery_states",
    "deliveries",
    "documents",
    "log_about",
    "log_head",
    "oldest_in_state",
    "overdue",
    "waiting_heads",
    "waiting_newest_heads",
    "waiting_behind",
    "next_waiting",
    "waits_now",
    "stored_of_patients",
    "bring_forward",
    "left_in_hand",
    "messages_forgotten",
]


#: One row, one row that an aggregate made, or the rows of values that a query is given.
GIVEN = {f"SCAN {name}" for name in ("h", "w", "m", "s", "CONSTANT ROW")}


@pytest.mark.parametrize("name", HOT)
def test_a_frequent_query_scans_no_table(name):
    connection = apsw.Connection(":memory:")
    for statement in schema():
        connection.execute(statement)
    text = queries()[name]
    plan = connection.execute(f"explain query plan {text}", _any(text)).fetchall()
    details = [detail for *_, detail in plan]
    assert details
    scans = [detail for detail in details if detail.startswith("SCAN") and detail not in GIVEN]
    assert scans == []
    connection.close()


class _Any(dict):
    """A value for every parameter."""

    def __missing__(self, name):
        return 1


def _any(text):
    return _Any() if ":" in text else (1,) * text.count("?")


def test_every_query_is_well_formed():
    connection = apsw.Connection(":memory:")
    for statement in schema():
        connection.execute(statement)
    for name, text in queries().items():
        assert connection.execute(f"explain {text}", _any(text)).fetchall(), name
    connection.close()


def test_every_code_of_the_store_is_explained():
    codes = {code for code in explanations() if code.startswith("S2")}
    assert codes >= {f"S{number}" for number in range(201, 218)}
