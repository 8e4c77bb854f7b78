"""
What became of one message: documents and deliveries, the clocks that ought to run by it, and the answer to its sender.

Must never decide what becomes of one.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from mhbridge.model.documents import Document, Joining, MessageState, Past, Planned, Withdrawal
from mhbridge.model.findings import NO_LEDGER, Issue, Ledger
from mhbridge.model.frozen import frozen
from mhbridge.model.messages import MessageFacts
from mhbridge.model.readings import Reading
from mhbridge.model.values import Key

__all__ = ["Answer", "Deadline", "Entry", "Letter", "Outcome", "Overtaken", "Verdict"]


@frozen(frozen=True, slots=True)
class Entry:
    """
    What a clock says of one entry of a list, of those that the newest version of a document has.

    Args:
        called: what it is known by from version to version.
        place: where it stands in the list, from 1.
        ladder: as that of a `Deadline`.
        done_at: since when it is done; `None`: it is not.
        excluded: it ought not to be watched.
        near: it may begin to be watched: what is due then is neither long ago nor for years.
    """

    called: str
    place: int
    due_at: datetime
    ladder: tuple[tuple[datetime, str, str], ...]
    done_at: datetime | None = None
    excluded: bool = False
    near: bool = True


@frozen(frozen=True, slots=True)
class Deadline:
    """
    A clock that ought to run, or ought not to, as a message says. The store makes it so.

    Args:
        document: type of the document in whose pack it is declared.
        episode: the stay, as the document's identity names it; of what another document says, that document's own.
        rank: how much its start is to be believed; 0 the most.
        recipients: destinations that the document would go to now; empty: to none, or it is not sent.
        authored: said by the document itself, so that the recipients are those that it goes to.
        needs: the level that the newest version must reach at each recipient; 0: another document meets it.
        ladder: (when, queue, severity) of each step; the last is when it is due.
        ended: `cancelled` or `excluded`: it ought not to run.
        says: another document says that each clock of the patient that had begun by `met_at` is `met`, or `excluded`.
        met_at: then; `None`: it does not say so any more.
        entries: of a clock that each entry of a list has, all that there are; `None`: it is none such.
    """

    name: str
    document: str
    patient: Key
    episode: str = ""
    rank: int = 0
    recipients: tuple[str, ...] = ()
    authored: bool = False
    needs: int = 0
    started_at: datetime | None = None
    due_at: datetime | None = None
    ladder: tuple[tuple[datetime, str, str], ...] = ()
    ended: str = ""
    says: str = ""
    met_at: datetime | None = None
    entries: tuple[Entry, ...] | None = None


@frozen(frozen=True, slots=True)
class Letter:
    """
    How complete a letter is, as it was sent, without a word of it.

    Args:
        headings: heading of its record standard → whether and how something is said under it, in that standard's order.
    """

    mapping: str
    document: str
    headings: tuple[tuple[str, str], ...]


@frozen(frozen=True, slots=True)
class Overtaken:
    """
    Letters that a message has overtaken: what they carry is another now, or they were written before it happened.

    Args:
        episode: of this stay; empty: of every stay of the patient.
        document: type of the letters.
        at: those written before, in microseconds since 1970; `None`: all.
        then: `again`: they are made again, soon; `now`: at once; `tell`: a person is told; `hold`: what has not left
            waits for a person, and of what has left one is told; `held`: the letter itself, which comes after what
            would have held it.
    """

    patient: Key
    episode: str
    document: str
    then: str
    at: int | None = None


@frozen(frozen=True, slots=True)
class Outcome:
    """
    All that became of one message: its state, what to say about it, and what is to be delivered.

    Args:
        ledger: what became of every leaf of it, under all mappings that took it.
        due_at: when it is looked at again, where it waits (`held`, `stored`).
        past: what the step was told came before; the outcome holds only as long as that does.
        withdrawals: deliveries of older versions that have not left and are not to leave any more.
        deadlines: the clocks that ought to run by it.
        merges: identifiers that are one patient's from now on, or no longer.
        letters: how complete those are that it is, where it was worked.
        overtaken: letters that are to be looked at again.
        watched: what it may be to a watch (`pipeline.watching`); 0: nothing.
    """

    facts: MessageFacts
    state: MessageState
    code: str = ""
    issues: tuple[Issue, ...] = ()
    readings: tuple[Reading, ...] = ()
    documents: tuple[Document, ...] = ()
    deliveries: tuple[Planned, ...] = ()
    patient: Key | None = None
    episode: str = ""
    occurred_at: str = ""
    ledger: Ledger = NO_LEDGER
    due_at: datetime | None = None
    past: tuple[Past, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    merges: tuple[Joining, ...] = ()
    letters: tuple[Letter, ...] = ()
    overtaken: tuple[Overtaken, ...] = ()
    watched: int = 0


class Verdict(StrEnum):
    """
    What the sender is told, in the order of how well it went.

    `ACCEPTED` answers AA/CA or 2xx, `REFUSED` AE/CE or 422 (this content), `REJECTED` AR/CR or 4xx/503 (this message,
    or not now).
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    REJECTED = "rejected"


@frozen(frozen=True, slots=True)
class Answer:
    """
    The first answer to an envelope. A repeat of the envelope gets it again, byte for byte.

    Args:
        code: code of the first reason, when the verdict is not `ACCEPTED` or something was parked.
        text: one sentence for the sender, without any value of the message.
        reference: our id of the envelope, so that both sides can speak of one thing; empty when nothing was stored.
        answered_at: aware UTC instant of the first answer.
        repeated: this is the first answer given again.
    """

    verdict: Verdict
    text: str
    answered_at: datetime
    code: str = ""
    issues: tuple[Issue, ...] = ()
    reference: str = ""
    repeated: bool = False
