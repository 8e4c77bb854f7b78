"""
The field ledger: what became of every populated leaf of a message (mapping language §10).

Each leaf is in exactly one state, the first of these that holds:

    failed       read, and it would not convert, or its code was refused or omitted
    bound        read, and its value is in an item
    selector     it decided a predicate or a condition, or how the message itself is read and answered
    ignored      the mapping names it under `ignore`, with the reason
    passed over  the mapping can reach it, but took another alternative, repetition or branch
    unmapped     no mapping mentions it

It is drawn up after a message was read, from the entries that reading left in the trace and the leaves that the format
finds populated. A leaf counts as bound only as far as its conversion says that this very value depends on it. Paths go
into a ledger, and never contents.

`levels` has the paths of a mapping, `taking` says what was read, `reaching` what could have been, `field_ledger` has
both for one mapping, `account` draws up the ledger of a message, and `detail` has each leaf by itself.
"""

from __future__ import annotations

from mhbridge.mapping.ledger.account import drawn_up
from mhbridge.mapping.ledger.detail import Leaf, detailed
from mhbridge.mapping.ledger.field_ledger import FieldLedger, Taken
from mhbridge.mapping.ledger.levels import always_read

__all__ = ["FieldLedger", "Leaf", "Taken", "always_read", "detailed", "drawn_up"]
