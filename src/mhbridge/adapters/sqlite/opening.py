"""
Opening the store's files: the SQLite build, permissions, pragmas read back, the secret, the lock, the schema.

Everything here either holds or refuses with a `StoreError`; nothing is mended in silence. This module must never
create a store where one has been before.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from mhbridge.adapters.sql import queries, schema
from mhbridge.adapters.sql.keyring import Keyring, write_durably
from mhbridge.adapters.sql.migrations import SCHEMA
from mhbridge.adapters.sql.sealing import KEY_SIZE, Keys
from mhbridge.adapters.sqlite.migrating import bring_forward, schema_of
from mhbridge.errors import StoreError

__all__ = ["READER", "WRITER", "Connect", "Pragma", "find_files", "lock", "open_files", "open_reader", "open_writer"]
__all__ += ["Master", "next_secret_of", "refuse_build", "ring_of", "secret_beside", "take_next_secret"]

Connect = Callable[..., apsw.Connection]

Master = Callable[[], bytes]
"""Gives the master key."""

# Every build before 3.51.3 can corrupt a WAL database when two connections write or checkpoint at the same instant
# (sqlite.org, "WAL-reset bug"); 3.52.0 was withdrawn.
_FIRST_GOOD: Final = (3, 51, 3)
_WITHDRAWN: Final = (3, 52, 0)


class Pragma(NamedTuple):
    """A pragma, what it is set to, and what it then says of itself."""

    name: str
    value: str | int
    says: str | int


#: For the connection that writes. `synchronous` FULL is the promise; NORMAL loses commits at a power cut.
WRITER: Final[tuple[Pragma, ...]] = (
    Pragma("busy_timeout", 5_000, 5_000),
    Pragma("journal_mode", "wal", "wal"),
    Pragma("synchronous", "full", 2),
    # Apple's fsync leaves the bytes in the disk's cache; elsewhere these two change nothing.
    Pragma("fullfsync", 1, 1),
    Pragma("checkpoint_fullfsync", 1, 1),
    # The writer checkpoints itself, between batches.
    Pragma("wal_autocheckpoint", 0, 0),
    Pragma("journal_size_limit", 1 << 26, 1 << 26),
    # 24 MB: an extract of a million rows must not cost more than 200 MB in all; what does not fit, the system caches.
    Pragma("cache_size", -24_576, -24_576),
    # No temporary file ever holds what patients are about.
    Pragma("temp_store", "memory", 2),
    # Also where it costs a write: what is deleted or replaced is to be gone, and little ever is.
    Pragma("secure_delete", 1, 1),
    Pragma("cell_size_check", 1, 1),
    Pragma("trusted_schema", 0, 0),
)

#: For connections that only read.
READER: Final[tuple[Pragma, ...]] = (
    Pragma("busy_timeout", 5_000, 5_000),
    Pragma("query_only", 1, 1),
    Pragma("cache_size", -16_384, -16_384),
    Pragma("temp_store", "memory", 2),
    Pragma("cell_size_check", 1, 1),
    Pragma("trusted_schema", 0, 0),
)


def refuse_build(version: str) -> None:
    """
    Raises:
        StoreError: S201, when this build of SQLite may corrupt a database in WAL mode.
    """
    parts = tuple(int(part) for part in version.split("."))[:3]
    if parts < _FIRST_GOOD or parts == _WITHDRAWN:
        raise StoreError("S201", f"SQLite {version} may corrupt the store: 3.51.3 or later is needed, and not 3.52.0")


def open_files(path: Path, master: Master | None = None) -> Keys:
    """
    Make the directory, the empty database and the secret, or find all of them as they must be.

    Args:
        master: gives the master key, where that is not the file beside the store.

    Raises:
        StoreError: S203 for what others may write, S205 when one of database and secret is there without the other,
            S223 when the data keys are not there or cannot be unwrapped.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix" and stat.S_IMODE(path.parent.stat().st_mode) & 0o022:
        raise StoreError("S203", f"others may write to the directory {path.parent.name!r} of the store")
    secret = _secret_of(path)
    used = path.exists() and path.stat().st_size > 0
    if master is None:
        if used and not secret.exists():
            raise StoreError("S205", f"the store {path.name} is there, but not its secret {secret.name}")
        if secret.exists() and not path.exists():
            raise StoreError("S205", f"the secret {secret.name} is there, but not its store {path.name}")
    # The database first, empty: a crash between the two then leaves what the next start takes for a new store.
    _create(path)
    if master is None and not secret.exists():
        write_durably(secret, secrets.token_bytes(KEY_SIZE))
    keys = _keys(path, master, may_write=True)
    if master is not None and not used and keys.ring.secret is None:
        # So that a key which is kept elsewhere can be changed.
        keys.ring.adopt(secrets.token_bytes(KEY_SIZE))
        keys = _keys(path, master)
    return keys


def find_files(path: Path, master: Master | None = None) -> Keys:
    """
    The keys of a store that is there, and nothing made.

    Raises:
        StoreError: S203 when others may read the secret, S205 when the store or its secret is not there, S223 when the
            data keys cannot be unwrapped.
    """
    for file in (path, _secret_of(path)) if master is None else (path,):
        if not file.exists():
            raise StoreError("S205", f"there is no {file.name}")
    return _keys(path, master)


def _keys(path: Path, master: Master | None, *, may_write: bool = False) -> Keys:
    if master is not None:
        return _keys_under(path, master())
    try:
        return _keys_under(path, _read_secret(_secret_of(path)))
    except StoreError:
        # A change of the key that was not finished: the data keys are under the next one already.
        following = next_secret_of(path)
        if not following.exists():
            raise
        keys = _keys_under(path, _read_secret(following))
    if may_write:
        take_next_secret(path)
    return keys


def _keys_under(path: Path, key: bytes) -> Keys:
    ring = Keyring(ring_of(path), key)
    return Keys(ring.secret or key, ring)


def next_secret_of(path: Path) -> Path:
    """Where the next key is, until the data keys are under it."""
    return path.with_name(f"{path.name}.key.next")


def take_next_secret(path: Path) -> None:
    """The next key is the key from now on; what the old one was is written over."""
    write_durably(_secret_of(path), next_secret_of(path).read_bytes())
    next_secret_of(path).unlink()


def secret_beside(path: Path) -> bytes:
    """
    The key in the file beside a store, which need not be there itself.

    Raises:
        StoreError: S203 when others may read it, S205 when it is not there or not whole.
    """
    secret = _secret_of(path)
    if not secret.exists():
        raise StoreError("S205", f"there is no {secret.name}")
    return _read_secret(secret)


def ring_of(path: Path) -> Path:
    """The file of the wrapped data keys."""
    return path.with_name(f"{path.name}.keys")


def _secret_of(path: Path) -> Path:
    return path.with_name(path.name + ".key")


def _create(path: Path) -> None:
    """An empty file that only we may read, or the same of one that is there. `-wal` and `-shm` take its mode over."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)


def _read_secret(path: Path) -> bytes:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise StoreError("S203", f"others may read the secret {path.name}")
    secret = path.read_bytes()
    if len(secret) != KEY_SIZE:
        raise StoreError("S205", f"the secret {path.name} is not {KEY_SIZE} bytes long")
    return secret


def lock(path: Path) -> apsw.Connection:
    """
    Keep every other process from writing to this store for as long as the connection is open.

    SQLite alone would let a second one in between two transactions, and ids and the log's chain are continued from
    memory. The lock is SQLite's own, on a file of nothing: it goes with the process, however that ends.

    Raises:
        StoreError: S206, when another process has it.
    """
    file = path.with_name(path.name + ".lock")
    _create(file)
    connection = apsw.Connection(str(file))
    try:
        connection.pragma("journal_mode", "memory")
        connection.execute("begin exclusive")
    except apsw.BusyError as error:
        connection.close()
        raise StoreError("S206", f"the store {path.name} is in use by another process") from error
    return connection


def open_writer(path: Path, keys: Keys, connect: Connect) -> apsw.Connection:
    """
    The one connection that writes, with its pragmas, its schema and the right secret. An older store comes forward.

    Raises:
        StoreError: S202 for a pragma, S204 for a schema that this version does not know, S205 for a wrong secret, S221
            when there is no room for the copy of an older store.
    """
    connection = connect(str(path), statementcachesize=200)
    try:
        _settle(connection, WRITER)
        if not connection.execute("select count(*) from sqlite_schema").get:
            with connection:
                for statement in schema():
                    connection.execute(statement)
                for name, value in (("schema", str(SCHEMA)), ("secret", keys.proof)):
                    connection.execute(queries()["set_meta"], {"name": name, "value": value})
        _recognise(connection, keys)
        bring_forward(connection, path, connect)
        _require_keys(connection, keys)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, connect: Connect, keys: Keys | None = None) -> apsw.Connection:
    """
    A connection that cannot write. With `keys` the store is recognised first.

    Raises:
        StoreError: as `open_writer`; S220 when the store is of an older schema, which only a writer brings forward.
    """
    connection = connect(str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=100)
    try:
        _settle(connection, READER)
        if keys is not None:
            _recognise(connection, keys)
            _require_newest(connection)
            _require_keys(connection, keys)
    except BaseException:
        connection.close()
        raise
    return connection


def _settle(connection: apsw.Connection, pragmas: Sequence[Pragma]) -> None:
    # One pragma a call: APSW stops after the first statement of several that returns a row, and `journal_mode` does.
    for pragma in pragmas:
        connection.pragma(pragma.name, pragma.value)
    for pragma in pragmas:
        says: Any = connection.pragma(pragma.name)
        if says != pragma.says:
            raise StoreError("S202", f"pragma {pragma.name} is {says!r} and must be {pragma.says!r}")


def _recognise(connection: apsw.Connection, keys: Keys) -> None:
    # First the schema: of a newer one nothing is known, not even where its secret is proved.
    schema_of(connection)
    if connection.execute(queries()["read_meta"], {"name": "secret"}).get != keys.proof:
        raise StoreError("S205", "the secret beside the store is not the one that it was made with")


def _require_newest(connection: apsw.Connection) -> None:
    if schema_of(connection) < SCHEMA:
        raise StoreError("S220", "the store is of an older version and has not been brought forward yet")


def _require_keys(connection: apsw.Connection, keys: Keys) -> None:
    """A lost or older file of keys would be gone on with as if nothing had been closed with the others."""
    if connection.execute(queries()["read_meta"], {"name": "later"}).get:
        # Of a store that has just come forward. It has no such keys yet, nor the index that says so.
        return
    last = connection.execute(queries()["last_key"]).get or 0
    if last > keys.ring.last_id:
        raise StoreError("S223", f"key {last} is in use, and {keys.ring.place.name} has none after {keys.ring.last_id}")
