"""
The door of the stores that speak SQL, by the subjects of the port.

What the port speaks of becomes calls for the threads of a store, and whoever asked waits for them. Opening and closing
are the engine's. This package must never know which engine that is.
"""

from __future__ import annotations

from mhbridge.adapters.sql.door.deliveries import Deliveries
from mhbridge.adapters.sql.door.figures import Figures
from mhbridge.adapters.sql.door.keeping import Keeping
from mhbridge.adapters.sql.door.repairing import Repairing
from mhbridge.adapters.sql.door.silence import Silence
from mhbridge.adapters.sql.door.tasks import Tasks
from mhbridge.adapters.sql.door.waiting import WaitingMessages
from mhbridge.adapters.sql.door.watching import Watching
from mhbridge.ports import Store

__all__ = ["Door"]


class Door(WaitingMessages, Deliveries, Repairing, Keeping, Tasks, Watching, Silence, Figures, Store):
    """All of the port but opening, closing and the sizes of files, which are the engine's."""
