"""
Dates and times in words, as they are written in England: as precise as they are, and never an hour off unnoticed.

This module must never convert a time: the value's own local time is what is shown.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo

__all__ = ["date_words"]

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)


@cache
def _london() -> ZoneInfo:
    return ZoneInfo("Europe/London")


@lru_cache(maxsize=512)
def date_words(value: str) -> str:
    """
    A FHIR date, dateTime or instant: `14 March 2025, 10:30`, as precise as it is.

    The time is the value's own local time. Its offset is said only where it is not that of clocks in London, and
    whether it is BST or GMT only in the hour that they show twice. What is not a date comes back unchanged.
    """
    match = _DATE.fullmatch(value)
    if match is None:
        return value
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    if month is None:
        return value
    if not 1 <= int(month) <= 12:
        return value
    if day is None:
        return f"{_MONTHS[int(month) - 1]} {year}"
    try:
        naive = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), min(int(second or 0), 59))  # noqa: DTZ001
    except ValueError:
        return value
    words = f"{int(day)} {_MONTHS[int(month) - 1]} {year}"
    if hour is None:
        return words
    words = f"{words}, {hour}:{minute}"
    if (second or "00") != "00" or (fraction or "").strip(".0"):
        words += f":{second}{fraction or ''}"
    return words + _zone(naive, offset) if offset else words


def _zone(naive: datetime, offset: str) -> str:
    # Since 1972 the clocks have changed in March and October only: most values need no look into the time zone.
    if naive.year >= 1972 and offset == (
        "+01:00" if 4 <= naive.month <= 9 else "+00:00" if naive.month not in (3, 10) else ""
    ):
        return ""
    ahead = timedelta(0)
    if offset != "Z":
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        if hours > 23 or minutes > 59:
            return f" (UTC{offset})"
        ahead = timedelta(hours=hours, minutes=minutes) * (-1 if offset[0] == "-" else 1)
    london = _london()
    try:
        there = naive.replace(tzinfo=timezone(ahead)).astimezone(london)
    except (OverflowError, ValueError):
        return f" (UTC{'' if offset == 'Z' else offset})"
    if there.utcoffset() != ahead:
        return f" (UTC{offset})" if ahead else " (UTC)"
    if there.replace(fold=1 - there.fold).utcoffset() != ahead:
        return " (BST)" if ahead else " (GMT)"
    return ""
