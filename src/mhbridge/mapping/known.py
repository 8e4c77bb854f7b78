"""
The fold of readings: what earlier messages of an episode say together (mapping language §8 and §3.1).

Pure, and independent of where readings are kept: a store gives them in order and gets the items back. This module
must never read a clock, and must never change a reading.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Final

from mhbridge.model import Absent, Deleted, Unknown

__all__ = ["fold", "fold_on", "moment", "only", "restricts", "without"]

#: HL7 v3 Confidentiality R and V, which PDS uses, and the words themselves.
_RESTRICTED: Final = frozenset({"R", "V", "restricted", "very-restricted"})

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

# FHIR's dateTime and HL7 v2's DTM (§2.A.22) at once: they differ only in their separators. Every part is of fixed
# width or ends the match, so it takes linear time.
_MOMENT: Final = re.compile(
    r"(\d{4})(?:-?(\d\d)(?:-?(\d\d)(?:[T ]?(\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?)?)?)?"
    r"(Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)


def fold(readings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """
    The items of several readings as one, the last that says something about an item deciding it.

    Present and unknown replace what was there; deleted removes it; absent (no key) leaves it. A list is replaced whole.
    Of the item `sensitivity` the strictest holds: no later reading makes a restricted patient's record open again.

    Args:
        readings: items of each reading, in the order of (event time, sent time, arrival).
    """
    known: dict[str, Any] = {}
    for items in readings:
        fold_on(known, items)
    return known


def fold_on(known: dict[str, Any], items: Mapping[str, Any]) -> None:
    """Go on with a fold: `known` becomes what it says together with one more reading."""
    kept = known.get("sensitivity")
    strict = kept is not None and restricts(kept)
    for name, value in items.items():
        kind = type(value)
        if kind is Absent:
            continue
        if kind is Deleted:
            if not strict or name != "sensitivity":
                known.pop(name, None)
        else:
            known[name] = value
    if strict:
        known["sensitivity"] = kept


def only(items: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The items of these names."""
    return {name: value for name, value in items.items() if name in names}


def without(items: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The items of other names."""
    return {name: value for name, value in items.items() if name not in names}


def restricts(sensitivity: Any) -> bool:
    """
    Whether a value of the item `sensitivity` forbids automatic routing (design §12).

    One that could not be read does: late is better than out.
    """
    if isinstance(sensitivity, Unknown):
        return not sensitivity.passes
    return isinstance(sensitivity, str) and sensitivity in _RESTRICTED


@lru_cache(maxsize=1024)
def moment(text: str) -> int | None:
    """
    The instant of a FHIR dateTime or an HL7 v2 DTM, in microseconds since 1970, for putting readings in order.

    A partial date is its beginning, and a time without a zone is taken as UTC: the readings of an episode come from
    one sender, which leaves the zone out of all of them or of none. `None` when the text is no such time. The same
    text is asked about several times for each message.
    """
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        at = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")),
            _zone(zone),
        )
    except ValueError:
        return None
    return (at - _EPOCH) // _MICROSECOND


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
