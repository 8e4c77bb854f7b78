"""
The least that an operator expects of a feed, whatever it usually sends. Pure: it is told the time.

A longest silence, within hours; so many by an hour of the day; a connection that is there within hours. It is all that
there is for small feeds, of which a silence of hours says nothing, and for every feed in its first weeks.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from mhbridge.gateway.silence.arrivals import LOCAL

__all__ = ["Expected", "is_absent", "is_silent"]

_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Expected:
    """
    What is expected of a feed.

    Args:
        silence: the longest that is normal.
        hours: of the day in London, within which that counts, and the connection too; all day, without hours.
        by: in the place of the longest silence: by then `count` messages have come since midnight.
        working_days: Saturdays, Sundays and holidays are left out.
        connection: the longest that the sender may be without a connection.
    """

    silence: timedelta | None = None
    hours: tuple[time, time] | None = None
    by: time | None = None
    count: int = 1
    working_days: bool = False
    connection: timedelta | None = None


def is_silent(
    expected: Expected, now: datetime, *, heard: datetime, today: int, since: datetime, holidays: Collection[date] = ()
) -> bool:
    """
    Whether less has come than is expected.

    Args:
        heard: when a message came last; not before `since`.
        today: how many came since midnight.
        since: from when it is known what came.
    """
    local = now.astimezone(LOCAL)
    if not _counts(expected, local, holidays):
        return False
    if expected.by is not None:
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        return since <= midnight and local.time() >= expected.by and today < expected.count
    if expected.silence is None:
        return False
    begin = _begin(expected, local, since)
    return begin is not None and now - max(heard, since, begin) > expected.silence


def is_absent(expected: Expected, now: datetime, gone: datetime, holidays: Collection[date] = ()) -> bool:
    """Whether a connection that ended at `gone`, or never was since then, has been away for too long."""
    local = now.astimezone(LOCAL)
    if expected.connection is None or not _counts(expected, local, holidays):
        return False
    begin = _begin(expected, local, gone)
    return begin is not None and now - max(gone, begin) > expected.connection


def _counts(expected: Expected, local: datetime, holidays: Collection[date]) -> bool:
    return not expected.working_days or (local.weekday() < _SATURDAY and local.date() not in holidays)


def _begin(expected: Expected, local: datetime, since: datetime) -> datetime | None:
    """From when silence counts; `None` outside the hours."""
    if expected.hours is not None:
        begin, end = (datetime.combine(local.date(), hour, LOCAL) for hour in expected.hours)
        return begin if begin <= local < end else None
    return local.replace(hour=0, minute=0, second=0, microsecond=0) if expected.working_days else since
