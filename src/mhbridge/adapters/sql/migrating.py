"""
What a migration left for later: worked by the writer a piece at a time, between what arrives.

Where it is stands in `meta`, so that it goes on after a stop. This module must never do what cannot wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mhbridge.adapters.sql.books import Books
from mhbridge.adapters.sql.migrations import SCHEMA, migrations
from mhbridge.errors import StoreError

__all__ = ["later", "schema_number"]

#: Rows that one piece of the rest changes: some milliseconds, so that what arrives waits no longer than for a commit.
_ROWS: Final = 500


def schema_number(found: object) -> int:
    """
    The number of a store's schema, of what `meta` says.

    Raises:
        StoreError: S204, when this version does not know it.
    """
    number = int(found) if isinstance(found, str) and found.isascii() and found.isdigit() else 0
    if not 0 < number <= SCHEMA:
        raise StoreError("S204", f"the store has schema {found!r}, and this version works with {SCHEMA} and older ones")
    return number


def later(books: Books, items: Sequence[None]) -> list[bool]:
    """Work a piece of what was left for later. Returns whether something is still left."""
    return [_later(books) for _ in items]


def _later(books: Books) -> bool:
    where = books.value("read_meta", name="later")
    if not where:
        return False
    schema, step = map(int, where.split("."))
    migration = next((one for one in migrations() if one.schema == schema), None)
    if migration is None:
        books.run("drop_meta", name="later")
        return False
    if step >= len(migration.later):
        books.run("set_meta", name="later", value=f"{schema + 1}.0")
        return True
    statement = migration.later[step]
    in_portions = ":most" in statement
    books.session.statement(statement, {"most": _ROWS} if in_portions else {})
    if not in_portions or books.changed == 0:
        books.run("set_meta", name="later", value=f"{schema}.{step + 1}")
    return True
