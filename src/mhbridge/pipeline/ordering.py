"""
The order of a patient's messages: event time, then sent time, then arrival (gateway design §5.3).

What is known at a message is the fold of all readings worked so far with the message at its own place among them. So
one that comes late changes only what nothing newer has set. This module must never read a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mhbridge.mapping.known import OWN, fold, moment, others
from mhbridge.model import Issue, Known, Later, Place, Reading, Severity

__all__ = ["ahead", "folded", "known_at", "place"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1) // _MICROSECOND


def place(reading: Reading, received_at: datetime) -> Place:
    """
    Where a reading stands among those of its patient.

    A sender's time, or ours where it gave none, or where its clock is more than a day ahead of ours.
    """
    received = (received_at - _EPOCH) // _MICROSECOND
    return _not_ahead(moment(reading.effective_at), received), _not_ahead(moment(reading.facts.sent_at), received)


def ahead(reading: Reading, received_at: datetime) -> Issue | None:
    """What is to be said where the sender's clock is not believed."""
    received = (received_at - _EPOCH) // _MICROSECOND
    times = moment(reading.effective_at), moment(reading.facts.sent_at)
    if all(at is None or at <= received + _DAY for at in times):
        return None
    text = "a time in it is more than a day ahead of its receipt: it is put in order by its receipt"
    return Issue("M764", Severity.WARNING, text, item="effective_at")


def _not_ahead(at: int | None, received: int) -> int:
    return received if at is None or at > received + _DAY else at


def known_at(whole: Known, said: Sequence[Later], at: Place | None) -> Known:
    """
    What is known at a place, of what the store says and what messages of the same envelope have said since.

    Args:
        whole: with all readings that may belong after the place among its `later`.
        said: in the order in which they came.
        at: `None`: after everything.
    """
    if not said and not whole.later:
        return whole
    # Sorting is stable, and what is stored arrived first.
    rest = sorted((*whole.later, *said), key=lambda one: one.place)
    before = [one.items for one in rest if at is None or one.place <= at]
    later = tuple(one for one in rest if at is not None and one.place > at)
    return Known(fold([whole.items, *before]), whole.digest, later)


def folded(known: Known, items: Mapping[str, Any]) -> dict[str, Any]:
    """
    What is known together with the message at hand, at its place.

    Known is by the identifier that stays, where two were merged: what comes under the other is that patient's.
    """
    stays = _identifiers([known.items, *(one.items for one in known.later)])
    if stays and _named(stays["patient_key"]) != _named(items.get("patient_key")):
        items = {**others(items), **stays}
    return fold([known.items, items, *(one.items for one in known.later)])


def _named(identifier: Any) -> tuple[Any, Any]:
    return (
        (identifier.get("system"), identifier.get("value")) if isinstance(identifier, Mapping) else (None, identifier)
    )


def _identifiers(readings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Those of the record that stays, as its own messages say them."""
    said = fold([{name: one[name] for name in OWN if name in one} for one in readings])
    return {"local_identifiers": [said["patient_key"]], **said} if "patient_key" in said else {}
