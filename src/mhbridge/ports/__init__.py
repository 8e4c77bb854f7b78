"""
What the shell needs of the outside world, as protocols. Adapters implement them; tests wrap them to break them.

A port says what is promised, never how. A store keeps every promise of `store.Store`, which is those of

    receipts     How receipts become durable, and what is known of those before: the port that takes.
    waiting      Messages that are durable and not yet worked, and those that are worked again.
    deliveries   What is due to whom, and what became of it.
    repairing    What people put right: what is parked, by its cause, and what is worked or sent again.
    desk         What people ask: messages, their stories, the accounts, and who did what.
    tasks        What people must do, whose it is, and what becomes due by itself.
    watching     Of whom something was heard that may be told onwards, and what was told.
    silence      What a feed usually sends, and what it left out.
    keeping      What is kept no longer, and whether what is kept is whole.
    ownership    Whose work it is, where several gateways share one store.

and `transports` is what comes in and goes out. This package must never import an adapter.
"""

from mhbridge.ports.alarms import Alarm
from mhbridge.ports.deliveries import LEVELS, Deliveries, DueDelivery, Move, Original
from mhbridge.ports.desk import AuditLine, Desk, MessageRow, Meters, Sought, Status, Trace, TraceLine, Waiting
from mhbridge.ports.figures import Figure, Figures, Measure
from mhbridge.ports.keeping import Erased, Expired, Keeping, Purged, Retention, RetentionClass
from mhbridge.ports.ownership import LEADING, PARTS, Holding, SharedStore, part_of
from mhbridge.ports.receipts import Committed, Receipts
from mhbridge.ports.repairing import ParkedCause, Repairing
from mhbridge.ports.silence import OPEN_ENDED, Gap, Profile, Silence
from mhbridge.ports.store import Store
from mhbridge.ports.tasks import (
    PARKED_TASKS,
    URGENCIES,
    ClockRow,
    Duties,
    Duty,
    Fired,
    OpenTasks,
    Queue,
    Task,
    Tasks,
    Urgency,
)
from mhbridge.ports.time import Clock
from mhbridge.ports.transports import Delivered, Files, Notes, Receive, Receiver, Report, Sender, Tracking
from mhbridge.ports.waiting import Pending, WaitingMessages
from mhbridge.ports.watching import Noticed, SeenPerson, Watching

__all__ = [
    "LEADING",
    "LEVELS",
    "OPEN_ENDED",
    "PARKED_TASKS",
    "PARTS",
    "URGENCIES",
    "Alarm",
    "AuditLine",
    "Clock",
    "ClockRow",
    "Committed",
    "Delivered",
    "Deliveries",
    "Desk",
    "DueDelivery",
    "Duties",
    "Duty",
    "Erased",
    "Expired",
    "Figure",
    "Figures",
    "Files",
    "Fired",
    "Gap",
    "Holding",
    "Keeping",
    "Measure",
    "MessageRow",
    "Meters",
    "Move",
    "Notes",
    "Noticed",
    "OpenTasks",
    "Original",
    "ParkedCause",
    "Pending",
    "Profile",
    "Purged",
    "Queue",
    "Receipts",
    "Receive",
    "Receiver",
    "Repairing",
    "Report",
    "Retention",
    "RetentionClass",
    "SeenPerson",
    "Sender",
    "SharedStore",
    "Silence",
    "Sought",
    "Status",
    "Store",
    "Task",
    "Tasks",
    "Trace",
    "TraceLine",
    "Tracking",
    "Urgency",
    "Waiting",
    "WaitingMessages",
    "Watching",
    "part_of",
]
