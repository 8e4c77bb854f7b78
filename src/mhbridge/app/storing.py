"""
The store of a configuration, for the gateway and for commands.

This module must never open it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mhbridge import config as settings
from mhbridge.errors import StoreError

if TYPE_CHECKING:
    from mhbridge.adapters.sql.door import Door

__all__ = ["store_of"]

#: So many processes may write to a database at the same time: gateways, and commands beside them.
_GATEWAYS: Final = 64


def store_of(config: settings.Config, *, read_only: bool = False, alone: bool = False) -> Door:
    """
    The store that a configuration names, with its key, what is kept in it for how long, and whose its tasks are.

    Args:
        alone: no gateway may have it, also where several may.

    Raises:
        StoreError: S247, when it is in a database and the package is not there that speaks to it.
    """
    path = config.gateway.store_path
    if path is None:
        return _in_database(config, read_only=read_only, writers=1 if alone else _GATEWAYS)

    from mhbridge.adapters.sqlite import SqliteStore

    return SqliteStore(
        path,
        master=settings.master_key_of(config),
        retention=settings.retention_of(config),
        read_only=read_only,
        duties=settings.duties_of(config),
    )


def _in_database(config: settings.Config, *, read_only: bool, writers: int) -> Door:
    try:
        from mhbridge.adapters.postgres import Address, PostgresStore
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise StoreError("S247", "the store is in a database: pip install 'mhbridge[postgres]'") from None

    password, master = config.gateway.store_password, settings.master_key_of(config)
    assert master is not None
    return PostgresStore(
        Address(config.gateway.database, None if password is None else password.reveal),
        master=master,
        node=config.gateway.node,
        writers=writers,
        retention=settings.retention_of(config),
        read_only=read_only,
        duties=settings.duties_of(config),
    )
