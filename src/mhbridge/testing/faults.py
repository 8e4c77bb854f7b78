"""
What can go wrong at what receives, and plans that say when.

A plan is a function of the request alone, so that a test says what happens and the same test always sees the same.
This module must never do anything to a request itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

__all__ = [
    "DROP_AFTER",
    "DROP_BEFORE",
    "LATE",
    "LONG",
    "NOT_FHIR",
    "OK",
    "TWICE",
    "UNAUTHORISED",
    "UNPROCESSABLE",
    "Answered",
    "Asked",
    "Fault",
    "Kind",
    "Plan",
    "first_time",
    "in_turn",
    "refused",
    "slow",
    "unavailable",
]


class Kind(Enum):
    """What happens to a request."""

    #: It is carried out and answered.
    OK = auto()
    #: The connection is cut when the request has been read; nothing was done.
    DROP_BEFORE = auto()
    #: It is carried out, and the connection is cut in place of the answer.
    DROP_AFTER = auto()
    #: It is carried out at once and answered late.
    SLOW = auto()
    #: It is not carried out; the answer has this status.
    STATUS = auto()
    #: It is not carried out; a proxy's page with status 200 is the answer.
    NOT_FHIR = auto()
    #: The connection is cut, and it is carried out when the server is told to carry out what is late.
    LATE = auto()
    #: It is carried out twice, as by a proxy that tries again, and answered once.
    TWICE = auto()
    #: It is carried out, and the answer is longer than anybody reads.
    LONG = auto()


@dataclass(frozen=True, slots=True)
class Fault:
    """
    What happens to a request.

    Args:
        seconds: how late (`SLOW`), or what `Retry-After` asks for (`STATUS`).
        status: of the answer (`STATUS`).
        word: what a receiver that is not spoken to in HTTP says instead of a status: `AE`.
    """

    kind: Kind
    seconds: float = 0.0
    status: int = 0
    word: str = ""


OK: Final = Fault(Kind.OK)
DROP_BEFORE: Final = Fault(Kind.DROP_BEFORE)
DROP_AFTER: Final = Fault(Kind.DROP_AFTER)
NOT_FHIR: Final = Fault(Kind.NOT_FHIR)
LATE: Final = Fault(Kind.LATE)
TWICE: Final = Fault(Kind.TWICE)
LONG: Final = Fault(Kind.LONG)
UNAUTHORISED: Final = Fault(Kind.STATUS, status=401)
UNPROCESSABLE: Final = Fault(Kind.STATUS, status=422)


def unavailable(after: float = 0.0, status: int = 503) -> Fault:
    """Not now; `after` seconds are asked for, if any."""
    return Fault(Kind.STATUS, after, status)


def refused(status: int = 0, word: str = "") -> Fault:
    """Not carried out, and this is said."""
    return Fault(Kind.STATUS, status=status, word=word)


def slow(seconds: float) -> Fault:
    """Done at once, answered late."""
    return Fault(Kind.SLOW, seconds)


@dataclass(frozen=True, slots=True)
class Asked:
    """
    One request, as a plan sees it.

    Args:
        number: 1 for the first request to this server.
        method: `PUT`, `POST`, …; `MLLP` for a message over MLLP.
        path: below the base address, without a query: `Bundle/1`; for a message over MLLP its control id.
        time: 1 when this very request (method, address and content) comes for the first time, 2 for its repeat.
    """

    number: int
    method: str
    path: str
    time: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a request; `status` is 0 where the connection was cut."""

    asked: Asked
    fault: Fault
    status: int


Plan = Callable[[Asked], Fault]
"""Decides what happens to each request."""


def in_turn(*faults: Fault) -> Plan:
    """The first request meets the first fault, and so on; when they are used up, all is well."""
    return lambda asked: faults[asked.number - 1] if asked.number <= len(faults) else OK


def first_time(fault: Fault) -> Plan:
    """Every request meets the fault when it comes for the first time; its repeats are answered."""
    return lambda asked: fault if asked.time == 1 else OK
