"""
The one durable place: all that is asked of it, together.
"""

from __future__ import annotations

from typing import Protocol

from mhbridge.ports.deliveries import Deliveries
from mhbridge.ports.desk import Desk
from mhbridge.ports.figures import Figures
from mhbridge.ports.keeping import Keeping
from mhbridge.ports.receipts import Receipts
from mhbridge.ports.repairing import Repairing
from mhbridge.ports.silence import Silence
from mhbridge.ports.tasks import Tasks
from mhbridge.ports.waiting import WaitingMessages
from mhbridge.ports.watching import Watching

__all__ = ["Store"]


class Store(
    Receipts, WaitingMessages, Deliveries, Repairing, Desk, Tasks, Watching, Silence, Keeping, Figures, Protocol
):
    """
    The one durable place. A call returns when its effect is durable (committed and fsynced), or raises `StoreError`.

    All state changes go through the store's one move function: `update … where id = ? and state = ?` that touches one
    row, with its log row and tally in the same transaction.
    """

    async def open(self) -> None: ...

    async def close(self) -> None: ...
