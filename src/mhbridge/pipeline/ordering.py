"""
The order of a patient's messages: event time, then sent time, then arrival (gateway design §5.3).

What is known at a message is the fold of all readings worked so far with the message at its own place among them. So
one that comes late changes only what nothing newer has set. This module must never read a clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mhbridge.mapping.known import fold, moment, only, without
from mhbridge.model import Issue, Known, Later, Place, Reading, Severity

__all__ = ["ahead", "by_who_stays", "folded", "is_own", "known_at", "needs_known", "place"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_KEY: Final = "patient_key"
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
    before = [one for one in rest if at is None or one.place <= at]
    later = tuple(one for one in rest if at is not None and one.place > at)
    own = whole.own
    if own is not None or not all(one.own for one in before):
        own = fold([whole.items if own is None else own, *(one.items for one in before if one.own)])
    return Known(fold([whole.items, *(one.items for one in before)]), whole.digest, later, own)


def by_who_stays(known: Known, identifies: Collection[str]) -> Known:
    """
    What is known of records that were merged: who the patient is says the one that stays, and no other.

    Args:
        identifies: names of the items that say it.
    """
    items = known.items
    if known.own is not None:
        items = {**without(items, identifies), **only(known.own, identifies)}
    later = tuple(one if one.own else replace(one, items=without(one.items, identifies)) for one in known.later)
    return Known(items, known.digest, later)


def is_own(known: Known, items: Mapping[str, Any]) -> bool:
    """Whether a message comes under the identifier by which its patient is known, and not under one merged into it."""
    said = [known.items, *(one.items for one in known.later)]
    stays = fold([{_KEY: one[_KEY]} for one in said if _KEY in one]).get(_KEY)
    return stays is None or _named(stays) == _named(items.get(_KEY))


def folded(known: Known, items: Mapping[str, Any], identifies: Collection[str]) -> dict[str, Any]:
    """
    What is known together with the message at hand, at its place.

    Args:
        known: `by_who_stays`; of what comes under another identifier nothing that says who the patient is holds.
    """
    if not known.items and not known.later:
        return fold([items])
    if not is_own(known, items):
        items = without(items, identifies)
    return fold([known.items, items, *(one.items for one in known.later)])


def _named(identifier: Any) -> tuple[Any, Any]:
    return (identifier.get("system"), identifier.get("value")) if isinstance(identifier, dict) else (None, identifier)


def needs_known(reading: Reading) -> bool:
    """
    Whether what came before decides what is sent.

    An event updates what the receiver has, and "empty leaves unchanged" is impossible without memory (gateway design
    §5.3). An authored document says what its author says and nothing else.
    """
    return not reading.authors and reading.patient is not None
