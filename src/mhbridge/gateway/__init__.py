"""
The gateway: takes envelopes, makes what becomes of them durable, answers, and then delivers. Read it from here.

    taking    an envelope from a transport → intake → step → commit → the answer      (`taking.Gateway`)
    backlog   messages that are durable first → begin → intake → step → settle       (`backlog.Backlog`)
    rehearsing  what would become of a message if it were worked again               (`rehearsing.rehearse`)
    workers   the pure part of that, here or in processes of its own                   (`workers.Workers`)
    pressure  how much may be inside at once, and when nothing more may come in        (`pressure.Pressure`)
    outbox    a due delivery from the store → start → send or look → finish           (`outbox.Outbox`)
    parts     which patients are this node's, where several share a store             (`parts.Parts`)
    failing   how it is said that the store has refused something                      (`failing.say_refused`)
    outlets   how much may go to a destination now, and how it has been doing          (`outlets.Outlet`)
    attempts  one attempt, and what follows from its result                            (`attempts.Attempts`)
    awaited   acknowledgements that do not come                                        (`awaited.Awaited`)
    tracking  whether what was taken was collected, of those who are to be asked       (`tracking.Tracked`)
    mailboxes  what mailboxes say besides messages: what was not delivered, what lies there (`mailboxes.Mailboxes`)
    clocks    what becomes due by itself: tasks nobody takes, deadlines                (`clocks.Clocks`)
    noticing  what is to be told of a patient, as a message of our own                 (`noticing.Noticing`)
    keeping   every night what is no longer to be kept; how far the log has come    (`keeping.Keeping`)
    watch     every minute: do the accounts balance, is anything overdue or silent    (`watch.Watch`)
    expiry    which certificates end soon                                              (`expiry.Expiry`)
    silence   what feeds usually send, the least that is expected of them, their gaps  (`silence.Silence`)

This package must never hold work that is not in the store.
"""

from mhbridge.gateway.clocks import Clocks
from mhbridge.gateway.keeping import Keeping
from mhbridge.gateway.noticing import Noticing
from mhbridge.gateway.outbox import Outbox
from mhbridge.gateway.outlets import Outlet
from mhbridge.gateway.pressure import Disk, Pressure
from mhbridge.gateway.taking import Gateway
from mhbridge.gateway.watch import Watch
from mhbridge.gateway.workers import Workers

__all__ = ["Clocks", "Disk", "Gateway", "Keeping", "Noticing", "Outbox", "Outlet", "Pressure", "Watch", "Workers"]
