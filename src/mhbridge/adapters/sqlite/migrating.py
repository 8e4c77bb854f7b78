"""
Bringing the store of an older version forward: a copy of it, then what cannot wait, then the rest beside the work.

What cannot wait is one transaction together with the new number of the schema, so a crash leaves the old store or the
new one. The rest is worked by the writer (`adapters/sql/migrating.py`). This module must never take a step back, nor
touch a store that is newer than it knows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import apsw  # noqa: TC002, as for TC001: types are imported where they are used

from mhbridge.adapters.disk import sync_names
from mhbridge.adapters.sql import queries
from mhbridge.adapters.sql.migrating import schema_number
from mhbridge.adapters.sql.migrations import SCHEMA, migrations
from mhbridge.errors import StoreError

__all__ = ["bring_forward", "drop_copies", "schema_of"]

#: Left free on the disk beside the copy.
_ROOM: Final = 64 << 20


def schema_of(connection: apsw.Connection) -> int:
    """
    The number of the store's schema.

    Raises:
        StoreError: S204, when this version does not know it.
    """
    return schema_number(connection.execute(queries()["read_meta"], {"name": "schema"}).get)


def bring_forward(connection: apsw.Connection, path: Path, connect: Callable[..., apsw.Connection]) -> bool:
    """
    Make the store one of this version's schema. Returns whether anything had to be done.

    Raises:
        StoreError: S204 for a schema that this version does not know, S221 when there is no room for the copy.
    """
    found = schema_of(connection)
    if found == SCHEMA:
        return False
    _copy(connection, path, found, connect)
    connection.execute("begin immediate")
    try:
        waiting = _waiting(connection)
        for migration in migrations():
            if migration.schema > found:
                for statement in migration.now:
                    connection.execute(statement)
        for name, value in (("schema", str(SCHEMA)), ("later", waiting or f"{found + 1}.0")):
            connection.execute(queries()["set_meta"], {"name": name, "value": value})
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    return True


def _waiting(connection: apsw.Connection) -> str:
    """Which step comes next: `schema.number`; empty when all is done."""
    found: str = connection.execute(queries()["read_meta"], {"name": "later"}).get or ""
    return found


def _copy(connection: apsw.Connection, path: Path, schema: int, connect: Callable[..., apsw.Connection]) -> None:
    """
    A whole copy of the store beside it, since there is no way back.

    Raises:
        StoreError: S221, when it would fill the disk.
    """
    copy = path.with_name(f"{path.name}.before-schema-{SCHEMA}")
    part = copy.with_name(f"{copy.name}.part")
    for leftover in (part, part.with_name(f"{part.name}-journal")):
        leftover.unlink(missing_ok=True)
    size = connection.pragma("page_count") * connection.pragma("page_size")
    if shutil.disk_usage(path.parent).free < size + _ROOM:
        raise StoreError("S221", f"there is no room for the copy of the store before it leaves schema {schema}")
    os.close(os.open(part, os.O_RDWR | os.O_CREAT, 0o600))
    target = connect(str(part))
    try:
        with target.backup("main", connection, "main") as backup:
            backup.step()
    finally:
        target.close()
    part.rename(copy)
    sync_names(copy.parent)


def drop_copies(path: Path, before: datetime) -> int:
    """Delete copies that were made before an instant: what is purged from the store is still in them."""
    old = [
        file
        for file in path.parent.glob(f"{path.name}.before-schema-*")
        if datetime.fromtimestamp(file.stat().st_mtime, UTC) < before
    ]
    for file in old:
        file.unlink()
    return len(old)
