"""
Dates and times: HL7 v2's and those of spreadsheets, as FHIR's.

Precision is kept, an offset that is stated is kept, and a time without one is local time of the feed. A local time that
happened twice (the hour after summer time ends) is the first of the two, and that is noted; one that never happened
is refused. This module must never fill in what was not sent, except for the seconds (and, noted, the minutes) that
FHIR demands.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from mhbridge.mapping.conversions import Context, Unconvertible

__all__ = [
    "at",
    "date_patterns",
    "plain_date",
    "plain_date_time",
    "text_date",
    "text_date_time",
    "text_instant",
    "text_time",
    "v2_date",
    "v2_date_time",
    "v2_instant",
    "v2_time",
]

_AMBIGUOUS: Final = ("I621", "this hour came twice that night; the first, in summer time, was taken")
_TIME_LEFT_OUT: Final = ("I622", "the item holds a date; the time of day was left out")
_HOUR_ONLY: Final = ("I623", "the time is given to the hour; the minutes were written as 00")


class _Parts(NamedTuple):
    """A moment as it was written, in digits; what was not there is empty. `offset` is `Z`, `+0100` or `+01:00`."""

    year: str
    month: str = ""
    day: str = ""
    hour: str = ""
    minute: str = ""
    second: str = ""
    fraction: str = ""
    offset: str = ""


_TWO: Final = [f"{number:02d}" for number in range(60)]
#: `HHMM` and `SS` → as FHIR writes them; seconds that are not there are noughts.
_MINUTES: Final = {hour + minute: f"{hour}:{minute}" for hour in _TWO[:24] for minute in _TWO}
_SECONDS: Final = {"": "00", **{second: second for second in _TWO}}


# --- the way in: HL7 v2 ------------------------------------------------------------------------------------

# HL7 v2.5.1 §2.A.22 (DTM): YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]; some senders give more digits of a second.
_V2: Final = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(\.\d{1,9})?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)
_V2_TIME: Final = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(\.\d{1,9})?)?)?([+-]\d{4})?", re.ASCII)


def v2_date_time(text: str, context: Context) -> str:
    """A DT, DTM or TS.1 as a FHIR dateTime of the same precision."""
    return plain_date_time(text, context) or _date_time(_v2_parts(text), context)


def plain_date_time(text: str, context: Context) -> str | None:
    """
    The same of what has nothing but digits, to the day, the minute or the second, on a day whose offset is one and the
    same; of anything else `None`.
    """
    if len(text) == 8:
        return _whole_day(text)
    minute, second = _MINUTES.get(text[8:12]), _SECONDS.get(text[12:])
    if minute is None or second is None:
        return None
    known = _day_in(text[:8], context.timezone) if text.isascii() and text.isdecimal() else None
    return f"{known[0]}T{minute}:{second}{known[1]}" if known is not None and known[1] else None


def v2_date(text: str, context: Context) -> str:
    """A DT, DTM or TS.1 as a FHIR date; a time of day other than midnight is noted."""
    if len(text) == 8 and (day := _whole_day(text)):
        return day
    return _date(_v2_parts(text), context)


def plain_date(text: str, _context: Context) -> str | None:
    """The same of eight digits that are a day; of anything else `None`."""
    return _whole_day(text) if len(text) == 8 else None


def v2_instant(text: str, context: Context) -> str:
    """A DTM or TS.1 as a FHIR instant, which needs the second."""
    return _instant(_v2_parts(text), context)


def v2_time(text: str, context: Context) -> str:
    """A TM as a FHIR time, which has no offset (HL7 v2.5.1 §2.A.75)."""
    found = _V2_TIME.fullmatch(text.strip())
    if found is None:
        raise Unconvertible("not a time of the form HHMM[SS[.S…]]")
    hour, minute, second, fraction, offset = (part or "" for part in found.groups())
    return _time(_Parts("", "", "", hour, minute, second, fraction, offset), context)


def _whole_day(text: str) -> str | None:
    return _calendar(text) if text.isdecimal() and text.isascii() else None


def _v2_parts(text: str) -> _Parts:
    found = _V2.fullmatch(text.strip())
    if found is None:
        raise Unconvertible("not a date of the form YYYY[MM[DD[HHMM[SS[.S…]]]]][+ZZZZ]")
    return _Parts(*(part or "" for part in found.groups()))


# --- the way in: text --------------------------------------------------------------------------------------

_CLOCK: Final = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d{1,9})?)?"
    r"(?: ?(?P<offset>Z|[+-]\d\d:?\d\d))?"
)
_ISO: Final = re.compile(rf"(?P<year>\d{{4}})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)(?:[T ]{_CLOCK})?)?)?", re.ASCII)
_TEXT_TIME: Final = re.compile(_CLOCK, re.ASCII)
_TOKEN: Final = re.compile(r"yyyy|mmm|mm?|dd?|[-/. ]")
_CLOCK_OF_PATTERN: Final = re.compile(r"[t ]hh?:mm(:ss)?$")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@lru_cache(maxsize=64)
def date_patterns(dates: str) -> tuple[re.Pattern[str], ...]:
    """
    The patterns that a source declares for its dates: `dd/mm/yyyy`, `dd-mmm-yyyy`, `yyyymmdd`, several with commas.

    A time may follow every one of them, so a pattern need not mention it. `yyyy-mm-dd` is ISO 8601, partial dates too.

    Raises:
        ValueError: a pattern is not one, or two of them would read the same text differently.
    """
    found: list[re.Pattern[str]] = []
    shapes: dict[str, str] = {}
    for pattern in dates.lower().split(","):
        wanted = _CLOCK_OF_PATTERN.sub("", pattern.strip())
        if wanted in ("", "yyyy-mm-dd"):
            found.append(_ISO)
            continue
        tokens = _TOKEN.findall(wanted)
        if "".join(tokens) != wanted or sorted(token[0] for token in tokens if token.isalpha()) != ["d", "m", "y"]:
            raise ValueError(f"{pattern.strip()!r} is no date pattern: it has yyyy, mm or mmm, and dd, each once")
        # Day and month are both numbers: where they stand in either order, no text tells which was meant.
        shape = "".join("n" if token in ("d", "dd", "m", "mm") else token for token in tokens)
        if shapes.setdefault(shape, wanted) != wanted:
            raise ValueError(f"{shapes[shape]!r} and {wanted!r} read the same text as different days")
        found.append(_compiled(tokens))
    return tuple(found)


def _compiled(tokens: list[str]) -> re.Pattern[str]:
    separated = any(not token.isalpha() for token in tokens)
    number = r"\d{1,2}" if separated else r"\d\d"
    parts = {
        "yyyy": r"(?P<year>\d{4})",
        "mmm": r"(?P<month>[A-Za-z]{3})",
        "mm": f"(?P<month>{number})",
        "m": f"(?P<month>{number})",
        "dd": f"(?P<day>{number})",
        "d": f"(?P<day>{number})",
    }
    return re.compile(
        "".join(parts.get(token) or re.escape(token) for token in tokens) + rf"(?:[T ]{_CLOCK})?", re.ASCII
    )


def text_date_time(text: str, context: Context) -> str:
    """A date of a declared pattern as a FHIR dateTime of the same precision."""
    return _date_time(_text_parts(text, context), context)


def text_date(text: str, context: Context) -> str:
    """A date of a declared pattern as a FHIR date; a time of day other than midnight is noted."""
    return _date(_text_parts(text, context), context)


def text_instant(text: str, context: Context) -> str:
    """A date of a declared pattern as a FHIR instant, which needs the second."""
    return _instant(_text_parts(text, context), context)


def text_time(text: str, context: Context) -> str:
    """A time `HH:MM[:SS]` as a FHIR time."""
    found = _TEXT_TIME.fullmatch(text.strip())
    if found is None:
        raise Unconvertible("not a time of the form HH:MM[:SS]")
    part = found.groupdict("")
    part["hour"] = part["hour"].zfill(2)
    return _time(_Parts("", **part), context)


def _text_parts(text: str, context: Context) -> _Parts:
    try:
        patterns = date_patterns(context.dates)
    except ValueError:
        raise Unconvertible("the dates of the source have no readable pattern") from None
    text = text.strip()
    for pattern in patterns:
        found = pattern.fullmatch(text)
        if found is not None:
            part = found.groupdict("")
            month = part["month"]
            if month.isalpha():
                if month.lower() not in _MONTHS:
                    break
                month = str(_MONTHS.index(month.lower()) + 1)
            # Spreadsheets drop leading zeros; what is there is filled up, what is missing stays missing.
            month, day, hour = (digits.zfill(2) if digits else "" for digits in (month, part["day"], part["hour"]))
            return _Parts(
                part["year"], month, day, hour, part["minute"], part["second"], part["fraction"], part["offset"]
            )
    raise Unconvertible(f"not a date of the form {context.dates or 'yyyy-mm-dd[Thh:mm[:ss]]'}")


# --- the way out -------------------------------------------------------------------------------------------


def _date_time(parts: _Parts, context: Context) -> str:
    day = _partial_day(parts)
    if not parts.hour:
        return day
    offset = _offset(parts, context)
    # FHIR demands the seconds, which may be zero-filled when they are not known (R4 datatypes, dateTime).
    moment = f"{day}T{parts.hour}:{parts.minute or '00'}:{parts.second or '00'}{parts.fraction}{offset}"
    if not parts.minute:
        context.note(*_HOUR_ONLY)
    return moment


def _date(parts: _Parts, context: Context) -> str:
    day = _partial_day(parts)
    if parts.hour:
        _check_clock(parts)
        if (parts.hour + parts.minute + parts.second + parts.fraction).strip("0."):
            context.note(*_TIME_LEFT_OUT)
    return day


def _instant(parts: _Parts, context: Context) -> str:
    if not parts.second:
        raise Unconvertible("an instant is given to the second")
    return _date_time(parts, context)


def _time(parts: _Parts, context: Context) -> str:
    if parts.offset:
        raise Unconvertible("a time of day cannot carry an offset")
    _check_clock(parts)
    if not parts.minute:
        context.note(*_HOUR_ONLY)
    return f"{parts.hour}:{parts.minute or '00'}:{parts.second or '00'}{parts.fraction}"


def at(day: str, time: str, context: Context) -> str:
    """
    A FHIR date and a FHIR time as the dateTime of the two, in the feed's zone.

    Raises:
        Unconvertible: the date is partial, or there was no such time that day.
    """
    if len(day) != 10:
        raise Unconvertible("a time belongs to a whole date")
    hour, minute, second = time[:8].split(":")
    return _date_time(_Parts(day[:4], day[5:7], day[8:], hour, minute, second, time[8:]), context)


def _partial_day(parts: _Parts) -> str:
    year, month, day = parts[:3]
    if day:
        whole = _calendar(year + month + day)
        if whole is None:
            raise Unconvertible("there is no such day")
        return whole
    if year == "0000" or (month and not "01" <= month <= "12"):
        raise Unconvertible("there is no such month")
    return f"{year}-{month}" if month else year


def _check_clock(parts: _Parts) -> None:
    if parts.hour > "23" or parts.minute > "59" or parts.second > "59":
        raise Unconvertible("there is no such time of day")


def _offset(parts: _Parts, context: Context) -> str:
    """The offset as FHIR writes it: the stated one, or that of the feed's zone at this local time."""
    _check_clock(parts)
    stated = parts.offset
    if stated == "Z":
        return stated
    if stated:
        hours, minutes = stated[1:3], stated[-2:]
        # FHIR R4 datatypes, dateTime: offsets end at 14:00.
        if minutes > "59" or hours + minutes > "1400":
            raise Unconvertible("there is no such offset")
        return f"{stated[0]}{hours}:{minutes}"
    known = _day_in(parts.year + parts.month + parts.day, context.timezone)
    if known is not None and known[1]:
        return known[1]
    clock = (int(part or "0") for part in parts[:6])
    first, second = _offsets(datetime(*clock, tzinfo=context.timezone))  # type: ignore[arg-type, misc]
    if first > second:
        context.note(*_AMBIGUOUS)
    elif first < second:
        raise Unconvertible("there was no such time: the clocks went forward over it")
    return _written(first)


# --- days and zones ----------------------------------------------------------------------------------------


@lru_cache(maxsize=1 << 16)
def _calendar(digits: str) -> str | None:
    """`YYYYMMDD` as FHIR writes it; `None` when the calendar has no such day."""
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).isoformat()
    except ValueError:
        return None


@lru_cache(maxsize=1 << 14)
def _day_in(digits: str, zone: ZoneInfo) -> tuple[str, str] | None:
    """(the day, its offset) of `YYYYMMDD`; the offset is empty where the clocks are changed, or are off by seconds."""
    day = _calendar(digits)
    if day is None:
        return None
    midnight = datetime.fromisoformat(day).replace(tzinfo=zone)
    found = {*_offsets(midnight), *_offsets(midnight.replace(hour=23, minute=59, second=59))}
    offset = found.pop()
    return day, "" if found or offset % timedelta(minutes=1) else _written(offset)


def _offsets(local: datetime) -> tuple[timedelta, timedelta]:
    """
    The offsets of a local time, read as the first and as the second of two.

    Equal: it happened once. The first larger: it happened twice. The first smaller: it never happened (PEP 495).
    """
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    assert first is not None
    assert second is not None
    return first, second


def _written(offset: timedelta) -> str:
    minutes, rest = divmod(offset, timedelta(minutes=1))
    if rest:
        # Local mean time, before zones: FHIR has no seconds in offsets.
        raise Unconvertible("the offset of that time is not in whole minutes")
    hours, minutes = divmod(abs(minutes), 60)
    return f"{'-' if offset < timedelta() else '+'}{hours:02d}:{minutes:02d}"
