"""The store on SQLite: opening, pragmas, lock, checkpoints, backup. One process, one file, one thread that writes."""

from __future__ import annotations

from mhbridge.adapters.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
