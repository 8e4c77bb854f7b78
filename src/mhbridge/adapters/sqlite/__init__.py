"""The store on SQLite. One process, one file, one thread that writes."""

from __future__ import annotations

from mhbridge.adapters.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
