"""
What comes in: bytes exactly as received, and what a message says about itself.

Must never hold what was made of them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mhbridge.model.frozen import frozen

__all__ = ["NOTHING_BEFORE", "Before", "Envelope", "MessageFacts"]


@frozen(frozen=True, slots=True)
class Before:
    """
    What there is of a file before a part of it: rows, lines and bytes. It is also where reading goes on after a stop.
    """

    rows: int = 0
    lines: int = 0
    offset: int = 0


NOTHING_BEFORE: Final = Before()


@frozen(frozen=True, slots=True)
class Envelope:
    """
    Bytes exactly as received, with how, when and from whom.

    Args:
        supplier: the supplier the receiver belongs to.
        feed: `supplier/receiver` or, where the sender named it, `supplier/feed`; receipts are counted by it.
        received_at: aware UTC instant.
        transport: `mllp`, `http`, `folder`, `mesh` or `file`.
        peer: who sent it, as the transport knows it (address, certificate name); never patient data.
        before: of a large file that is taken in parts, what came before this one.
    """

    body: bytes
    supplier: str
    feed: str
    received_at: datetime
    transport: str
    peer: str = ""
    before: Before = NOTHING_BEFORE


@frozen(frozen=True, slots=True)
class MessageFacts:
    """
    What a message says about itself, for correlation and answers. `sent_at` is the sender's own text.

    Args:
        format: name of the format that parsed it (`hl7v2`, `csv`).
        kind: `ADT^A03`, `MDM^T02`, `row`.
        place: where in the envelope, for people: `message 3`, `row 17`; empty when it is alone.
        trial: it says of itself that it is not about a real patient (HL7 v2 MSH-11: training, debugging).
        sequence: its number in the sender's counting (HL7 v2 MSH-13), where the sender counts.
    """

    format: str
    kind: str
    control_id: str = ""
    sender: str = ""
    sent_at: str = ""
    version: str = ""
    place: str = ""
    trial: bool = False
    sequence: str = ""
