"""
Another master key: the data keys are wrapped anew, and nothing of what they closed is touched.

Where the key is beside the store, two files change. The new ones are whole on the disk before either gets its name, and
between the two names an opening finds the new key under its first one. This module must never be used while the store
is open.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from pathlib import Path

from mhbridge.adapters.sql.keyring import write_durably
from mhbridge.adapters.sql.sealing import KEY_SIZE
from mhbridge.adapters.sqlite import opening

__all__ = ["rekey"]


def rekey(path: Path, *, master: opening.Master | None = None, to: opening.Master | None = None) -> None:
    """
    Wrap the data keys of a store under another master key.

    Args:
        master: gives the present one; left out, it is beside the store.
        to: gives the next one; left out, one is made beside the store, in the place of the present one.

    Raises:
        StoreError: S206 while another process has the store, and what opening it raises.
    """
    if to is None and master is not None:
        raise ValueError("a key that is kept elsewhere is made there")
    with closing(opening.lock(path)):
        keys = opening.find_files(path, master)
        new = secrets.token_bytes(KEY_SIZE) if to is None else to()
        if to is None:
            write_durably(opening.next_secret_of(path), new)
        write_durably(opening.ring_of(path), keys.ring.wrapped_under(new, keys.secret))
        if to is None:
            opening.take_next_secret(path)
