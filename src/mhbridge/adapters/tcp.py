"""
Connections whose other end is gone without a word: a cable, a firewall that forgot them, a machine without power.

Neither end of an idle connection learns of that by itself, so a listener would hold it for ever and believe that its
sender is there. This module must never close a connection: it has the system do it.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final

__all__ = ["notice_absence"]

#: Seconds between questions, and how many may stay unanswered.
_EVERY: Final = 15
_TRIES: Final = 4
#: Names of the options where the system has them, all but the last set in seconds.
_IDLE: Final = ("TCP_KEEPIDLE", "TCP_KEEPALIVE")


def notice_absence(transport: asyncio.BaseTransport, after: float) -> None:
    """
    Have a connection end that nobody answers on: asked after so many idle seconds, and a minute later given up.

    What was written and is not confirmed is given the same time.
    """
    connection = transport.get_extra_info("socket")
    if connection is None:
        # A network within the process, in simulation.
        return
    seconds = max(1, round(after))
    idle = next((name for name in _IDLE if hasattr(socket, name)), "")
    options = {idle: seconds, "TCP_KEEPINTVL": _EVERY, "TCP_KEEPCNT": _TRIES}
    options["TCP_USER_TIMEOUT"] = (seconds + _EVERY * _TRIES) * 1000
    # A connection that is over already may not take them any more.
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
