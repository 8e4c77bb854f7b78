"""
Reading envelopes and stepping their messages: in this process, or in others, so that every core is used and a message
can harm none but its own.

    work       the two calls themselves, pure
    apart      an envelope, or some messages of it, and what is kept of those that wait
    here       in this process                                           (`Here`)
    pool       in others, as the gateway sees them                       (`Workers`)
    worker     our end of one of those                                   (`Worker`)
    process    what runs in it
    wire       how what goes between them is written

With either, what becomes of a message is the same. This package must never know of a store.
"""

from mhbridge.gateway.workers.here import Here, Read
from mhbridge.gateway.workers.pool import FailedThere, Workers
from mhbridge.gateway.workers.worker import WorkerDied

__all__ = ["FailedThere", "Here", "Read", "WorkerDied", "Workers"]
