"""
What people narrow a list of messages by: states, feeds, times, identifiers and pages, checked, as the store takes them.

The same for HTTP and for the command line. What is wrong is said without what was given: it may be an identifier.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from mhbridge.model import MessageState
from mhbridge.ports import Sought

__all__ = ["FILTERS", "filters", "instant"]

#: Keys of a query in a URL. What is searched for is not among them: URLs are kept by proxies and browsers.
FILTERS: Final = ("state", "feed", "since", "until", "before", "most")
_MOST: Final = 1000
#: Times without a zone are those of the wards.
_LOCAL: Final = ZoneInfo("Europe/London")
_AGO: Final = re.compile(r"(\d{1,5})(m|h|d)")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def instant(text: str, now: datetime) -> datetime:
    """
    A date, a date and time, or how long ago: `2026-03-03`, `2026-03-03T09:30`, `45m`, `2h`, `7d`.

    Raises:
        ValueError: it is none of them.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=_LOCAL)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("write a time as 2026-03-03, 2026-03-03T09:30 or, for how long ago, 2h") from None


def filters(given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """
    What `Store.messages` is asked with.

    Raises:
        ValueError: a key is not known, or a value is not of its shape.
    """
    known = (*FILTERS, "search", "kind")
    if unknown := set(given) - set(known):
        raise ValueError(f"known parameters: {', '.join(known)}; {len(unknown)} are not")
    if any(not isinstance(value, str | int) for value in given.values()):
        raise ValueError("every parameter is a text or a number")
    texts = {key: str(value) for key, value in given.items()}
    state, kind = texts.get("state", ""), texts.get("kind", "")
    if state and state not in list(MessageState):
        raise ValueError(f"known states: {', '.join(MessageState)}")
    if kind and kind not in list(Sought):
        raise ValueError(f"known kinds: {', '.join(Sought)}")
    before, most = texts.get("before", "0"), texts.get("most", "100")
    if not (before.isdecimal() and most.isdecimal() and len(before) < 19 and 0 < int(most[:9]) <= _MOST):
        raise ValueError(f"before is an id, and most a number up to {_MOST}")
    search = texts.get("search", "").strip()
    if kind and not search:
        raise ValueError("a kind is of something that is searched for")
    times = {key: instant(texts[key], now) for key in ("since", "until") if texts.get(key)}
    return {
        "state": state, "feed": texts.get("feed", ""), "search": search, "kind": kind,
        "before": int(before), "most": int(most), **times,
    }  # fmt: skip
