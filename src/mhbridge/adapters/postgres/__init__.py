"""The store on PostgreSQL: connecting, settings read back, tables, keys in a table, what a lost connection means."""

from __future__ import annotations

from mhbridge.adapters.postgres.opening import Address
from mhbridge.adapters.postgres.store import PostgresStore

__all__ = ["Address", "PostgresStore"]
