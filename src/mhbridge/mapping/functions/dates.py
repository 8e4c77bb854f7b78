"""
Functions of dates and times.

A partial date that cannot decide a question gives unknown, never a guess: `2025-03` is not before `2025-03-14`, nor is
it not. This module must never read a clock.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.times import at
from mhbridge.mapping.functions import Example, Parameter, function
from mhbridge.model import ABSENT, DELETED, State, Unknown

__all__ = ["FUNCTIONS"]

_UNDECIDED: Final = Unknown("unknown")
_MOMENT: Final = ("dateTime", "date", "instant")


def _earlier(first: str, second: str) -> bool | None:
    """
    Whether one FHIR dateTime is before another, as FHIRPath compares them: part by part as far as both go.

    `None` when they are equal so far and one goes further. Two times of day are compared as instants.
    """
    if len(first) > 10 and len(second) > 10:
        return datetime.fromisoformat(first) < datetime.fromisoformat(second)
    # A time of day is of its own local day, which is what a date beside it means.
    first, second = first[:11], second[:11]
    shared = min(len(first), len(second), 10)
    if first[:shared] != second[:shared]:
        return first[:shared] < second[:shared]
    return False if len(first) == len(second) else None


def _tried(first: str, second: str) -> bool | None:
    try:
        return _earlier(first, second)
    except (TypeError, ValueError):
        # A TypeError: one of the two has a time without an offset, so it is no FHIR dateTime.
        raise Unconvertible("not a date that can be compared") from None


@function(
    Parameter("first", "value", _MOMENT),
    Parameter("second", "value", _MOMENT),
    results=("boolean",),
    examples=(
        Example("before(admitted_at, discharged_at)", ("2025-03-01", "2025-03-14"), result=True),
        Example("before(admitted_at, discharged_at)", ("2025-03", "2025-03-14"), Unknown("unknown")),
        Example("before(a, b)", ("2025-10-26T01:30:00+01:00", "2025-10-26T01:10:00+00:00"), result=True),
    ),
)
def before(context: Context, first: str, second: str, *, want: str) -> Any:  # noqa: ARG001
    """Whether one date is before another; unknown when a partial date cannot tell."""
    found = _tried(first, second)
    return _UNDECIDED if found is None else found


@function(
    Parameter("start", "value", _MOMENT),
    Parameter("end", "value", _MOMENT),
    Parameter("other_start", "value", _MOMENT),
    Parameter("other_end", "value", _MOMENT),
    results=("boolean",),
    states=True,
    examples=(
        Example("overlaps(a, b, c, d)", ("2025-01-01", ABSENT, "2024-12-01", "2025-01-01"), result=True),
        Example("overlaps(a, b, c, d)", ("2025-01-02", ABSENT, "2024-12-01", "2025-01-01"), result=False),
    ),
)
def overlaps(context: Context, start: Any, end: Any, other_start: Any, other_end: Any, *, want: str) -> Any:  # noqa: ARG001
    """
    Whether two periods share a moment. An end that is absent or deleted is open; without a start it is unknown.
    """
    if isinstance(start, State) or isinstance(other_start, State):
        return _UNDECIDED
    undecided = False
    for last, first in ((end, other_start), (other_end, start)):
        if last is ABSENT or last is DELETED:
            continue
        apart = None if isinstance(last, State) else _tried(last, first)
        if apart:
            return False
        undecided = undecided or apart is None
    return _UNDECIDED if undecided else True


@function(
    Parameter("first", "value", _MOMENT),
    Parameter("second", "value", _MOMENT),
    results=("integer",),
    examples=(
        Example("days_between(admitted_at, discharged_at)", ("2025-03-01T23:50:00+00:00", "2025-03-02"), 1),
        Example("days_between(admitted_at, discharged_at)", ("2025-03", "2025-03-02"), Unknown("unknown")),
    ),
)
def days_between(context: Context, first: str, second: str, *, want: str) -> Any:  # noqa: ARG001
    """How many midnights lie between two dates, negative when the second is the earlier; unknown for partial dates."""
    if len(first) < 10 or len(second) < 10:
        return _UNDECIDED
    try:
        return (date.fromisoformat(second[:10]) - date.fromisoformat(first[:10])).days
    except ValueError:
        raise Unconvertible("not a date") from None


@function(
    Parameter("date", "value", ("date",)),
    Parameter("time", "value", ("time",)),
    results=("dateTime",),
    states=True,
    examples=(
        Example("timestamp([AdmDate], [AdmTime])", ("2025-07-01", "09:30:00"), "2025-07-01T09:30:00+01:00"),
        Example("timestamp([AdmDate], [AdmTime])", ("2025-07-01", ABSENT), "2025-07-01"),
    ),
)
def timestamp(context: Context, day: Any, time: Any, *, want: str) -> Any:  # noqa: ARG001
    """
    A date and a time of day that stand in two columns, as one dateTime of the feed's zone; without a time, the date.
    """
    if isinstance(day, State) or isinstance(time, State):
        return day
    return at(day, time, context)


@function(
    Parameter("value", "value", ("dateTime",)),
    results=("instant",),
    examples=(
        Example("moment(SCH-11.4)", ("2025-07-01T09:30:00+01:00",), "2025-07-01T09:30:00+01:00"),
        Example("moment(OBR-22)", ("2025-07-01T08:30:00.250Z",), "2025-07-01T08:30:00.250Z"),
    ),
)
def moment(context: Context, value: str, *, want: str) -> Any:  # noqa: ARG001
    """A dateTime that has a time of day as an instant: seconds that nobody said are nought. A day is no instant."""
    if "T" not in value:
        raise Unconvertible("a day is no instant")
    return value


@function(
    Parameter("start", "value", ("instant",)),
    Parameter("minutes", "value", ("decimal", "integer", "positiveInt", "unsignedInt")),
    results=("instant",),
    examples=(
        Example("lasting(starts_at, minutes)", ("2025-07-01T09:30:00+01:00", 45), "2025-07-01T10:15:00+01:00"),
        Example("lasting(moment(AIS-4), AIS-7)", ("2025-10-26T00:30:00+01:00", 60), "2025-10-26T01:30:00+01:00"),
    ),
)
def lasting(context: Context, start: str, minutes: Any, *, want: str) -> Any:  # noqa: ARG001
    """When something ends that begins at an instant and lasts so many minutes, with the offset that it begins with."""
    try:
        return (datetime.fromisoformat(start) + timedelta(minutes=float(minutes))).isoformat()
    except (ArithmeticError, ValueError):
        raise Unconvertible("the end is no time of this calendar") from None


FUNCTIONS: Final = (before, overlaps, days_between, timestamp, moment, lasting)
