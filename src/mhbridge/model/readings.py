"""
What messages say under a mapping, one by one and put together, and what of it may serve another message.

Must never hold what was made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Final

from mhbridge.model.findings import NO_LEDGER, Issue, Ledger
from mhbridge.model.frozen import frozen
from mhbridge.model.messages import MessageFacts
from mhbridge.model.values import Key

__all__ = ["NOTHING_KNOWN", "Act", "Carry", "Known", "Later", "Place", "Reading", "Recorded"]


class Act(StrEnum):
    """What a message does to its series (mapping language §4, the reserved item `act`)."""

    NEW = "new"
    UPDATE = "update"
    CANCEL = "cancel"
    MERGE = "merge"
    UNLINK = "unlink"
    NONE = "none"


@frozen(frozen=True, slots=True)
class Reading:
    """
    What one message says under one mapping: its items. Depends on the message and the mapping alone.

    Args:
        mapping: `supplier/feed` of the mapping that bound it.
        mapping_hash: content hash of everything that the mapping consists of.
        document: document type.
        items: item name → present value, or `DELETED`, or `Unknown`; an absent item has no key.
        issues: what could not be read as it stands.
        parked: code of the reason why a person must look, or empty.
        patient: the sender's own patient key (lane key), when the message has one.
        merged_from: the retired key of a merge.
        episode: the identity items' values, joined: which stay this belongs to.
        effective_at: FHIR dateTime of the event, or empty.
        authors: an authored message; only such a message makes a document.
        restricted: sensitivity forbids automatic routing.
        ledger: what became of every leaf of the message under this mapping alone.
        written: the items as `mapping.record` writes them, where that was done already.
        serves: names of the items that serve later messages, and are kept for that; `None`: all of them do.
    """

    facts: MessageFacts
    supplier: str
    mapping: str
    mapping_hash: str
    document: str
    items: Mapping[str, Any]
    issues: tuple[Issue, ...] = ()
    parked: str = ""
    act: Act = Act.NEW
    patient: Key | None = None
    merged_from: Key | None = None
    episode: str = ""
    effective_at: str = ""
    authors: bool = False
    restricted: bool = False
    ledger: Ledger = NO_LEDGER
    written: bytes = field(default=b"", repr=False, compare=False)
    serves: tuple[str, ...] | None = None


Place = tuple[int, int]
"""Where a reading stands among others: event time and sent time, in microseconds since 1970. Equal ones: by arrival."""


@frozen(frozen=True, slots=True)
class Recorded:
    """
    Where a value was said that the message at hand does not say.

    Args:
        document: type of the document that the message was read as.
        kind: of the message, for people: `ADT^A01`.
        at: when it says that this was so, in microseconds since 1970.
        message: its id in the store; 0: it came in the same envelope.
    """

    document: str
    kind: str
    at: int
    message: int = 0


@frozen(frozen=True, slots=True)
class Later:
    """
    What a reading said that arrived earlier and belongs after the message at hand.

    Args:
        own: it came under the identifier that stays, where several were merged.
        arrived: what of two at one place was here first: the smaller.
        recorded: which message said it, where that is asked for.
    """

    place: Place
    items: Mapping[str, Any]
    own: bool = True
    arrived: int = 0
    recorded: Recorded | None = None


@frozen(frozen=True, slots=True)
class Known:
    """
    The ordered fold of the readings of one patient's episode (mapping language §8). Computed, never stored.

    Args:
        items: what the readings before the message at hand say together, in the shape of `Reading.items`.
        digest: a hash over the ids of all the readings, in order.
        later: the readings after it, in order. There are some only when the message came late.
        own: of `items`, what those say that came under the identifier that stays; `None`: nothing came under another.
    """

    items: Mapping[str, Any] = field(default_factory=dict)
    digest: bytes = b""
    later: tuple[Later, ...] = ()
    own: Mapping[str, Any] | None = None


NOTHING_KNOWN: Final = Known()


@frozen(frozen=True, slots=True)
class Carry:
    """
    What the events of a patient may give a letter that does not say it.

    Args:
        document: type of the letter.
        sources: document type → the items known of its own stay, and those known of every stay.
        safety: those of which a change is sent at once.
    """

    document: str
    sources: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    safety: frozenset[str] = frozenset()
