"""
The frozen values that travel through mhbridge, and the four states of a value.

Everything that crosses a layer is declared here and is immutable: an `Envelope` (bytes as received) becomes readings of
its messages (`Reading`), becomes an `Outcome` (documents and planned deliveries). This package imports nothing of
mhbridge and must never do work: no parsing, no I/O, no clock.

    values      the four states of a value
    findings    what is said about a message: issues, and the field ledger
    messages    what comes in
    readings    what messages say, and what is known by them
    documents   documents, versions, deliveries and their states
    outcomes    what became of a message, and the answer to it
    signs       what fonts of signs show
"""

from __future__ import annotations

from mhbridge.model.documents import (
    HELD_AS_STALE,
    DeliveryState,
    Document,
    Joining,
    MessageState,
    Past,
    Planned,
    Sent,
    Series,
    Version,
    Withdrawal,
)
from mhbridge.model.findings import NO_LEDGER, Issue, LeafState, Ledger, Severity
from mhbridge.model.messages import NOTHING_BEFORE, Before, Envelope, MessageFacts
from mhbridge.model.outcomes import Answer, Deadline, Entry, Letter, Outcome, Overtaken, Verdict
from mhbridge.model.readings import NOTHING_KNOWN, Act, Carry, Known, Later, Place, Reading, Recorded
from mhbridge.model.values import ABSENT, DELETED, MASKED, UNKNOWN_ERROR, Absent, Deleted, Key, State, Unknown

__all__ = [
    "ABSENT",
    "DELETED",
    "HELD_AS_STALE",
    "MASKED",
    "NOTHING_BEFORE",
    "NOTHING_KNOWN",
    "NO_LEDGER",
    "UNKNOWN_ERROR",
    "Absent",
    "Act",
    "Answer",
    "Before",
    "Carry",
    "Deadline",
    "Deleted",
    "DeliveryState",
    "Document",
    "Entry",
    "Envelope",
    "Issue",
    "Joining",
    "Key",
    "Known",
    "Later",
    "LeafState",
    "Ledger",
    "Letter",
    "MessageFacts",
    "MessageState",
    "Outcome",
    "Overtaken",
    "Past",
    "Place",
    "Planned",
    "Reading",
    "Recorded",
    "Sent",
    "Series",
    "Severity",
    "State",
    "Unknown",
    "Verdict",
    "Version",
    "Withdrawal",
]
