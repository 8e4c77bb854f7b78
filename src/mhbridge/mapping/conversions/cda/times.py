"""
Instants, dates and intervals of CDA as item values. This module must never complete a date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions import times as t
from mhbridge.mapping.conversions.at import At
from mhbridge.mapping.conversions.cda.reasons import null
from mhbridge.mapping.conversions.xml import time_written

__all__ = ["as_period", "as_time"]


def as_time(convert: Callable[[str, Context], str]) -> Callable[[At, Context], Any]:
    """An instant or a date, as `convert` makes it of what HL7 v2 writes in the same way."""

    def run(at: At, context: Context) -> Any:
        value = at.take("value")
        if value:
            return convert(time_written(value), context)
        ends = [end for name in ("low", "high", "center") if (end := at.one(name)) is not None]
        if any(end.peek("value") for end in ends):
            raise Unconvertible("an interval of time: bind its low or its high")
        return null(at)

    return run


def as_period(at: At, context: Context) -> Any:
    """IVL_TS: from, until; of a point in time both."""
    found: dict[str, Any] = {}
    if at.peek("value"):
        found["start"] = found["end"] = t.v2_date_time(time_written(at.take("value")), context)
        return found
    for name, key in (("low", "start"), ("high", "end")):
        end = at.one(name)
        if end is not None and end.peek("value"):
            found[key] = t.v2_date_time(time_written(end.take("value")), context)
    return found or null(at)
