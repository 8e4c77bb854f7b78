"""
Documents, their versions and deliveries, and the states that messages and deliveries are in.

Must never decide what follows from a state.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import Final

from mhbridge.model.frozen import frozen
from mhbridge.model.values import Key

__all__ = [
    "HELD_AS_STALE",
    "DeliveryState",
    "Document",
    "Joining",
    "MessageState",
    "Past",
    "Planned",
    "Sent",
    "Series",
    "Version",
    "Withdrawal",
]


@frozen(frozen=True, slots=True)
class Document:
    """
    One version of one document, ready to leave. `body` is its serialised form and is never changed.

    Args:
        type: document type, for example `mental-health-inpatient-discharge`.
        target: `r4`.
        bundle: FHIR Bundle type (`document`, `transaction`); decides how a FHIR server is asked to take it.
        series: 32 bytes naming (authority, episode, document type): versions of one series replace each other.
        identifier: `urn:uuid:…` of this version, derived, so that the same input gives the same identifier.
        status: `final` or `entered-in-error`.
        content: a hash of what it says, without the names of the version; empty where versions are not compared.
        known: a hash over the readings that were known when it was made.
        episode: whose versions it is one of.
    """

    type: str
    target: str
    bundle: str
    series: bytes
    identifier: str
    body: bytes
    media_type: str = "application/fhir+json"
    status: str = "final"
    content: bytes = b""
    known: bytes = b""
    episode: str = field(default="", compare=False)


@frozen(frozen=True, slots=True)
class Planned:
    """
    One delivery to be made: which of the outcome's documents goes to which destination.

    Args:
        needs: the level at which it is done (gateway design §2.2): 1 sent, 2 accepted, 4 infrastructure, 5 business.
    """

    document: int
    destination: str
    needs: int = 2


class MessageState(StrEnum):
    """States of a message (`stored` and `held` are open and move by themselves, `parked` needs a person)."""

    STORED = "stored"
    HELD = "held"
    PARKED = "parked"
    DONE = "done"
    FILTERED = "filtered"
    SUPERSEDED = "superseded"
    CLOSED = "closed"


class DeliveryState(StrEnum):
    """States of a delivery; `unknown` means that bytes may have arrived and nobody answered."""

    QUEUED = "queued"
    SENDING = "sending"
    UNKNOWN = "unknown"
    RETRY = "retry"
    AWAITING = "awaiting"
    PARKED = "parked"
    DONE = "done"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    CLOSED = "closed"


#: A delivery is held: something newer is known than what it says. It has certainly not left.
HELD_AS_STALE: Final = "M782"


@frozen(frozen=True, slots=True)
class Sent:
    """A delivery of a version of a document, as it stands."""

    delivery: int
    destination: str
    state: DeliveryState
    attempts: int = 0
    code: str = ""

    @property
    def held(self) -> bool:
        """It was kept from leaving because something newer is known than what it says."""
        return self.state is DeliveryState.PARKED and self.code == HELD_AS_STALE

    @property
    def waits(self) -> bool:
        """It has certainly not left, and would leave by itself, or when a person lets it go."""
        return self.held or self.state in (DeliveryState.QUEUED, DeliveryState.RETRY)

    @property
    def arrived(self) -> bool:
        """The receiver has it."""
        return self.state in (DeliveryState.DONE, DeliveryState.AWAITING)

    @property
    def may_have_left(self) -> bool:
        """The receiver has it or may have it, or gets it when a person lets it go."""
        if self.state is DeliveryState.CLOSED:
            return self.attempts > 0
        if self.held:
            return False
        return self.arrived or self.state in (DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.PARKED)


@frozen(frozen=True, slots=True)
class Version:
    """
    A version of a document.

    Args:
        identifier: `urn:uuid:…`; versions made for one message share it.
        content: a hash of what it says, without the names of the version.
        body: its serialised form, where that was asked for.
    """

    number: int
    identifier: str
    target: str
    content: bytes
    status: str
    sent: tuple[Sent, ...] = ()
    body: bytes = field(default=b"", repr=False, compare=False)


@frozen(frozen=True, slots=True)
class Series:
    """
    The versions of one document of one episode, in order.

    Args:
        name: of its newest version's series.
        document: document type.
    """

    name: bytes
    document: str
    versions: tuple[Version, ...]


@frozen(frozen=True, slots=True)
class Joining:
    """
    Two identifiers of a merge, or of its undoing, and how they stand to each other.

    Args:
        joined: the retired one belongs to the other already.
        contrary: the merge contradicts an earlier one: the other belongs to the retired one, or that to a third.
        busy: something is in the way that has to come to its end first.
    """

    retired: Key
    survivor: Key
    undone: bool = False
    joined: bool = False
    contrary: bool = False
    busy: bool = False


@frozen(frozen=True, slots=True)
class Past:
    """
    What the store says of an episode besides what was said in it: which documents there are and what may have left.

    A step is told it and says it again in its outcome; where it has changed at the commit, the step is done again.
    """

    patient: Key
    episode: str
    series: tuple[Series, ...] = ()
    joining: Joining | None = None


@frozen(frozen=True, slots=True)
class Withdrawal:
    """A delivery that is not to leave any more: `superseded` by a newer version, or `cancelled`."""

    delivery: int
    state: DeliveryState
