"""
The four states of a value, and what is said of one: a business identifier.

Must never know where a value is from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ABSENT", "DELETED", "MASKED", "UNKNOWN_ERROR", "Absent", "Deleted", "Key", "State", "Unknown"]


class State:
    """
    A value that is not present. Falsy, so that generated code can test it plainly.

    The fourth state, *present*, is any other Python object: a present value is never an instance of `State`.
    """

    __slots__ = ()

    #: `a or b` goes on to `b` when `a` is in this state; otherwise the state itself is the result.
    passes: bool = False

    # `bool()` is False, and asked so often that a function of Python's own would be felt.
    __bool__ = bool


class Absent(State):
    """Nothing was there: leaves an earlier value unchanged."""

    __slots__ = ()
    passes = True

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        # There is one of it, in every process.
        return "ABSENT"


class Deleted(State):
    """The source said explicitly that there is no value any more (HL7 v2 `""`, §2.5.3 of HL7 v2.5.1)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DELETED"

    def __reduce__(self) -> str:
        return "DELETED"


class Unknown(State):
    """
    There is a value, but not here: `reason` is a code of FHIR's data-absent-reason.

    `error` (it would not convert) and `masked` (withheld) stop an `or`; every other reason is passed over.
    """

    __slots__ = ("passes", "reason")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.passes = reason not in ("error", "masked")

    def __repr__(self) -> str:
        return f"Unknown({self.reason!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and other.reason == self.reason

    def __hash__(self) -> int:
        return hash((Unknown, self.reason))


ABSENT: Final = Absent()
DELETED: Final = Deleted()
UNKNOWN_ERROR: Final = Unknown("error")
MASKED: Final = Unknown("masked")


@dataclass(frozen=True, slots=True)
class Key:
    """A business identifier: system (a name of `codes/systems.csv` or a URI) and value."""

    system: str
    value: str
