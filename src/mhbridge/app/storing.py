"""
The store of a configuration, for the gateway and for commands.

This module must never open it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mhbridge import config as settings

if TYPE_CHECKING:
    from mhbridge.adapters.sqlite import SqliteStore

__all__ = ["store_of"]


def store_of(config: settings.Config, *, read_only: bool = False) -> SqliteStore:
    """The store that a configuration names, with its key, what is kept in it for how long, and whose its tasks are."""
    from mhbridge.adapters.sqlite import SqliteStore

    return SqliteStore(
        config.gateway.store_path,
        master=settings.master_key_of(config),
        retention=settings.retention_of(config),
        read_only=read_only,
        duties=settings.duties_of(config),
    )
