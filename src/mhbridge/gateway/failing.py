"""
How it is said that the store has refused something.

This module must never decide what follows from it.
"""

from __future__ import annotations

from typing import Any, Final

from mhbridge.errors import StoreError
from mhbridge.log import Event, Log

__all__ = ["OTHERS", "say_refused"]

#: The patient has become another node's, where several share the store. Nothing is wrong with that.
OTHERS: Final = "S260"


def say_refused(log: Log, error: StoreError, **about: Any) -> None:
    """Say that the store has refused something; an alarm, unless it is another's work now."""
    if error.code == OTHERS:
        log.warning(Event.LEASES_LOST, code=error.code, **about)
    else:
        log.error(Event.STORE_FAILED, code=error.code, **about)
