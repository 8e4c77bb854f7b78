"""
Opening the database: settings read back, the tables, the keys, and the right to write.

Everything here either holds or refuses with a `StoreError`; nothing is mended in silence, and no setting of the server
is changed. This module must never say or write the password.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import psycopg
from psycopg import RawCursor, conninfo

from mhbridge.adapters.postgres import dialect
from mhbridge.adapters.postgres.session import PostgresSession, settle_types
from mhbridge.adapters.sql import leases
from mhbridge.adapters.sql.keyring import Keyring
from mhbridge.adapters.sql.migrating import schema_number
from mhbridge.adapters.sql.migrations import SCHEMA, migrations
from mhbridge.adapters.sql.sealing import KEY_SIZE, Keys
from mhbridge.errors import StoreError

__all__ = [
    "READER",
    "VERBS",
    "Address",
    "Setting",
    "become_writer",
    "connected",
    "is_new",
    "keys_of",
    "make_tables",
    "recognise",
]

#: The oldest that still gets corrections.
_FIRST: Final = 150000

#: Held while the tables are made. Any number, as long as it is always the same.
_MAKING: Final = 1835557489

#: A process that has just ended may still have the lock, until the server notices.
_LET_GO: Final = 1.0

_ENSURED: Final = ("on", "local", "remote_write", "remote_apply")


class Setting(NamedTuple):
    """
    A setting, and what it may say of itself.

    Args:
        value: what it is set to for this connection; empty where it is only read.
    """

    name: str
    says: tuple[str, ...]
    value: str = ""


#: Of every connection. Without the first three a committed transaction may be gone after a power cut, or the tables be
#: damaged; they are the server's, and are only read. What is the connection's own is set and read.
READER: Final = (
    Setting("fsync", ("on",)),
    Setting("full_page_writes", ("on",)),
    Setting("synchronous_commit", _ENSURED),
    Setting("zero_damaged_pages", ("off",)),
    Setting("server_encoding", ("UTF8",)),
    Setting("client_encoding", ("UTF8",), "UTF8"),
    Setting("TimeZone", ("UTC",), "UTC"),
    Setting("standard_conforming_strings", ("on",), "on"),
    Setting("default_transaction_isolation", ("read committed",), "read committed"),
    # Whoever waits for a lock for so long waits for ever; the batch is worked again.
    Setting("lock_timeout", ("1s",), "1s"),
    Setting("statement_timeout", ("0",), "0"),
    Setting("jit", ("off",), "off"),
)

#: Of those that work what the verbs ask, each of which is a search by an index: statistics may not say otherwise while
#: a table is new, since a plan that is made then is kept.
VERBS: Final = (
    *READER,
    Setting("enable_seqscan", ("off",), "off"),
    # Whoever stands still within a transaction holds leases that others are to take.
    Setting("idle_in_transaction_session_timeout", ("5s",), "5s"),
)


class Address(NamedTuple):
    """
    Where the database is.

    Args:
        url: `postgresql://user@host/database`, without a password.
        password: gives it; without it, libpq looks where it always does.
    """

    url: str
    password: Callable[[], str] | None = None

    @property
    def name(self) -> str:
        """What people call it: nothing that is secret is in it."""
        parts = urlsplit(self.url)
        return f"{parts.hostname or 'local'}{parts.path}"


def connected(address: Address, settings: Sequence[Setting], *, writes: bool) -> psycopg.Connection[Any]:
    """
    A connection whose settings are as they must be.

    Raises:
        StoreError: S240 when there is none to be had, S241 for a setting, S242 for a version.
    """
    connection = _connect(address)
    try:
        settle_types(connection)
        _settle(connection, settings)
        if writes:
            _require_primary(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_primary(connection: psycopg.Connection[Any]) -> None:
    asked = "select pg_is_in_recovery() or current_setting('default_transaction_read_only')::bool"
    if connection.execute(asked).fetchall() != [(False,)]:
        raise StoreError("S245", "the database takes nothing: it is a copy that only reads")


def _connect(address: Address) -> psycopg.Connection[Any]:
    try:
        given: Mapping[str, Any] = conninfo.conninfo_to_dict(address.url)
        defaults = {
            "application_name": "mhbridge", "connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5,
            "keepalives_count": 3, "tcp_user_timeout": 30_000,
        }  # fmt: skip
        values = {**defaults, **given}
        if address.password is not None:
            values["password"] = address.password()
        connection = psycopg.connect(**values, autocommit=True, cursor_factory=RawCursor)
    except psycopg.Error as error:
        # Its own text names the host and the user, and may repeat what was given.
        said = _why(str(error))
        raise StoreError("S240", f"the database {address.name} cannot be reached{said}") from None
    # Each text is one statement, and all of them stay.
    connection.prepare_threshold = 0
    connection.prepared_max = 4_096
    return connection


def _why(text: str) -> str:
    known = {
        "password authentication failed": "the password is not the one",
        "no password supplied": "it wants a password: give store_password",
        "does not exist": "there is no such database or user",
        "starting up": "it is starting",
        "shutting down": "it is stopping",
        "too many": "it has no connection left",
        "refused": "nobody listens there",
        "No such file": "nobody listens there",
        "timeout": "nobody answers",
        "resolve": "there is no such host",
    }
    return next((f": {why}" for part, why in known.items() if part in text), "")


def _settle(connection: psycopg.Connection[Any], settings: Sequence[Setting]) -> None:
    version = connection.info.server_version
    if version < _FIRST:
        raise StoreError("S242", f"PostgreSQL {version // 10_000} is too old: {_FIRST // 10_000} or later is needed")
    for setting in settings:
        if setting.value:
            connection.execute("select set_config($1, $2, false)", [setting.name, setting.value])
    rows = connection.execute(
        "select name, current_setting(name) from pg_settings where name = any($1)", [_names(settings)]
    )
    says = dict(rows.fetchall())
    for setting in settings:
        if says.get(setting.name) not in setting.says:
            may = " or ".join(setting.says)
            raise StoreError("S241", f"{setting.name} is {says.get(setting.name)!r} at the database, and must be {may}")


def _names(settings: Sequence[Setting]) -> str:
    return "{" + ",".join(setting.name for setting in settings) + "}"


def make_tables(session: PostgresSession) -> None:
    """
    Make the tables in a database that has none, or bring them forward, in one transaction.

    Raises:
        StoreError: S204 for a schema that this version does not know, S243 when it may not.
    """
    try:
        session.begin()
        session.statement("select pg_advisory_xact_lock(cast(:key as int8))", {"key": _MAKING})
        if not _has_tables(session):
            for statement in (*dialect.schema(), *_OURS, *leases.TABLES):
                session.statement(statement, {})
            session.run("set_meta", {"name": "schema", "value": str(SCHEMA)})
        else:
            _bring_forward(session)
        session.commit()
    except StoreError:
        session.rollback()
        raise
    except psycopg.errors.InsufficientPrivilege:
        session.rollback()
        raise StoreError("S243", "the database has no tables of a store, and its user may not make any") from None


def _bring_forward(session: PostgresSession) -> None:
    """What cannot wait; the rest is worked by the writer. A copy to go back to is made by PostgreSQL's own tools."""
    ((said,),) = session.run("read_meta", {"name": "schema"})
    found = schema_number(said)
    if found == SCHEMA:
        return
    for migration in migrations():
        if migration.schema > found:
            for statement in migration.now:
                session.statement(statement, {})
    waiting = session.run("read_meta", {"name": "later"}) or [(f"{found + 1}.0",)]
    for name, value in (("schema", str(SCHEMA)), ("later", waiting[0][0])):
        session.run("set_meta", {"name": name, "value": value})


#: What the tables of both engines have not: ids are given in blocks, and the wrapped keys stand in one row.
_OURS: Final = (
    "create sequence ids increment by 1024",
    "create table data_keys (id bigint primary key, version bigint not null, content bytea not null)",
)


def _has_tables(session: PostgresSession) -> bool:
    return session.statement("select to_regclass('meta')::text", {}) != [(None,)]


#: Writes the table anew, so that nothing is left of what was in it.
_SHREDS: Final = "vacuum (full) data_keys"


class KeyTable:
    """
    The wrapped data keys, in a row of a table: where several gateways share a database, all of them must see them.

    What they are wrapped under is never in the database. But a backup of the database holds them, and what was purged
    since can be read from it by whoever has the master key; so they have a table of their own, which a backup can leave
    out, and what was in the row is taken out of the table's file when a key is dropped.

    Args:
        connect: makes a connection: keys are durable before what they close is written.
    """

    name: Final = "the table data_keys"

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._version = 0

    def read(self) -> bytes | None:
        """The content of the row, where there is one."""
        with self._connect() as connection:
            return self._read(connection)

    def _read(self, connection: psycopg.Connection[Any]) -> bytes | None:
        row = connection.execute(dialect.queries()["read_keys"]).fetchone()
        if row is None:
            return None
        self._version, content = row
        return bytes(content)

    def write(self, content: bytes) -> bool:
        """Put it in the place of what was read last, if that is still there."""
        with self._connect() as connection:
            if not self._version:
                query = dialect.query(dialect.queries()["make_keys"])
                values: dict[str, Any] = {"content": content}
            else:
                query = dialect.query(dialect.queries()["change_keys"])
                values = {"content": content, "version": self._version}
            written = connection.execute(query.text, [values[name] for name in query.names]).rowcount == 1
            if written:
                self._version += 1
                # A dropped key must not stay behind in what the file calls free.
                connection.execute(_SHREDS)
        return written


def is_new(session: PostgresSession) -> bool:
    """
    Whether the tables have just been made, and have no keys yet.

    Raises:
        StoreError: S205, when there are no tables.
    """
    if not _has_tables(session):
        raise StoreError("S205", "the database has no tables of a store")
    return not session.run("read_meta", {"name": "secret"})


def keys_of(address: Address, master: Callable[[], bytes], *, may_make: bool) -> Keys:
    """
    The keys of a store: the master key gives those in the table, and what tokens and the log's chain are made with.

    Raises:
        StoreError: S205 when there is no store, S223 when the keys were wrapped under another master key.
    """
    ring = Keyring(KeyTable(partial(connected, address, READER, writes=may_make)), master())
    if ring.secret is None:
        if not may_make:
            raise StoreError("S205", f"the database {address.name} has no keys for its store")
        ring.adopt(secrets.token_bytes(KEY_SIZE))
    assert ring.secret is not None
    return Keys(ring.secret, ring)


def recognise(session: PostgresSession, keys: Keys, *, may_make: bool) -> None:
    """
    Raises:
        StoreError: S204 for a schema that this version does not know, S205 for a store that is not there or has another
            secret, S220 for an older schema.
    """
    found = dict(session.statement("select name, value from meta", {}))
    if schema_number(found.get("schema")) < SCHEMA:
        raise StoreError("S220", "the store is of an older version and has not been brought forward yet")
    if may_make and "secret" not in found:
        session.run("set_meta", {"name": "secret", "value": keys.proof})
    elif found.get("secret") != keys.proof:
        raise StoreError("S205", "the keys in the database are not those that its store was made with")
    ((last,),) = session.run("last_key", {})
    if (last or 0) > keys.ring.last_id:
        raise StoreError("S223", f"key {last} is in use, and {keys.ring.place.name} has none after {keys.ring.last_id}")


def become_writer(session: PostgresSession, most: int) -> int:
    """
    The number of this process among those that write: the first that nobody has.

    It is a lock of the database, which is held as long as the connection: it goes with the process, however that ends.

    Raises:
        StoreError: S206, when all are taken.
    """
    until = time.monotonic() + _LET_GO
    while True:
        # Whoever wants to be alone is so only where none of many has it, whatever its number.
        free = most > 1 or not session.run("other_writers", {})
        for number in range(1, most + 1) if free else ():
            if session.run("be_writer", {"number": number}) == [(True,)]:
                return number
        if time.monotonic() > until:
            break
        time.sleep(_LET_GO / 20)
    raise StoreError("S206", "the store is in use by another process")
