"""
Everything that is known of one person, and which records are of one person. Pure.

This module must never join the records of two senders for a restricted patient, or by an NHS number that was not
verified. What says that it was is a pack's, and an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mhbridge.mapping.known import fold, restricts

__all__ = ["Heard", "Person", "Told", "Trail", "folded", "joined"]


@dataclass(frozen=True, slots=True)
class Heard:
    """
    What one reading said.

    Args:
        patient: whose it is, where identifiers were merged: the one that stays.
        own: it came under that one.
        episode: which stay it is of, as the store names it.
        place: event time, sent time and number; readings fold in this order.
    """

    patient: int
    supplier: str
    document: str
    episode: bytes
    place: tuple[int, int, int]
    items: Mapping[str, Any]
    own: bool = True


@dataclass(frozen=True, slots=True)
class Trail:
    """
    What the gateway itself did about a stay, or waits for.

    Args:
        what: `delivery` of a version of a document, or `deadline`.
        name: the type of the document, or the name of the clock.
        who: the destination; empty: none is known.
        state: as the store has it.
    """

    patient: int
    episode: bytes
    at: datetime | None
    what: str
    name: str
    who: str
    state: str


@dataclass(frozen=True, slots=True)
class Told:
    """
    What was told last.

    Args:
        subject: which of several of the same watch and patient; empty: there is only ever one.
        number: how often something was told of it.
        said: a hash of what it was; empty: that it was taken back.
    """

    patient: int
    watch: str
    subject: bytes
    number: int
    said: bytes


@dataclass(frozen=True, slots=True)
class Person:
    """Everything of one person: under every identifier that a verified NHS number, or a merge, makes theirs."""

    heard: Sequence[Heard] = ()
    trail: Sequence[Trail] = ()
    told: Sequence[Told] = ()


def joined(
    person: Person, patient: int, mine: Sequence[Heard], verified: Callable[[Mapping[str, Any]], bool]
) -> Iterator[Heard]:
    """
    What other records of the person say, where they may be joined.

    Args:
        verified: whether the NHS number among the items of a record is known to be its patient's.
    """
    number = _verified(mine, verified)
    if not number or _restricted(mine):
        return
    for other in sorted({one.patient for one in person.heard} - {patient}):
        theirs = [one for one in person.heard if one.patient == other]
        if _verified(theirs, verified) == number and _agree(_born(mine), _born(theirs)) and not _restricted(theirs):
            yield from theirs


def folded(heard: Iterable[Heard]) -> dict[str, Any]:
    """What readings say together, in their order."""
    return fold(one.items for one in sorted(heard, key=lambda one: one.place))


def _verified(heard: Sequence[Heard], verified: Callable[[Mapping[str, Any]], bool]) -> str:
    """The NHS number by which a record may be joined with another; empty: there is none."""
    items = folded(heard)
    number = items.get("nhs_number")
    return number if isinstance(number, str) and verified(items) else ""


def _born(heard: Sequence[Heard]) -> str:
    born = folded(heard).get("birth_date")
    return born if isinstance(born, str) else ""


def _agree(one: str, other: str) -> bool:
    """Whether two dates of birth may be one person's; of an unknown or shorter one nothing is said against it."""
    return one.startswith(other) or other.startswith(one)


def _restricted(heard: Sequence[Heard]) -> bool:
    return any(restricts(one.items.get("sensitivity")) for one in heard)
