"""
The step: reading + known → documents and deliveries, in the patient's order.

Pure: what came before is an argument, and so is the instant. It raises for nothing that a message holds. This module
must never decide what is known, nor what of a series has left: that is the store's to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from mhbridge.fhir.validate import Validator, default_validator
from mhbridge.mapping.known import fold, only, restricts
from mhbridge.model import (
    DELETED,
    NO_LEDGER,
    NOTHING_KNOWN,
    Act,
    Carry,
    Issue,
    Known,
    MessageState,
    Outcome,
    Past,
    Reading,
    Severity,
)
from mhbridge.pipeline.arriving import Taken
from mhbridge.pipeline.carrying import NOTHING_CARRIED, Carried
from mhbridge.pipeline.clocking import deadlines
from mhbridge.pipeline.making import Making
from mhbridge.pipeline.routing import Feed
from mhbridge.pipeline.succeeding import told
from mhbridge.pipeline.watching import role

__all__ = ["carrying", "needs_past", "serving", "step"]

_WAITS: Final = Issue("M766", Severity.INFORMATION, "something has to come or to end before it: it waits for that")
_CONTRARY: Final = Issue("M768", Severity.ERROR, "it contradicts an earlier merge")
#: What is being sent has mostly come to its end by then.
_LOOK_AGAIN: Final = timedelta(seconds=30)
_CAME_ALONE: Final = Issue("M767", Severity.ERROR, "what it takes back has not come")


def carrying(reading: Reading, feed: Feed) -> Carry | None:
    """What a reading may carry of what the events of its patient said; `None` when nothing."""
    if not reading.authors or reading.patient is None or reading.act not in (Act.NEW, Act.UPDATE):
        return None
    return feed.carries.get(reading.document)


def needs_past(reading: Reading) -> bool:
    """
    Whether the documents that there are of its stay, and what of them may have left, decide what is sent.

    An authored message makes a version that replaces another; a cancellation takes all of them back.
    """
    return reading.patient is not None and (reading.authors or reading.act is Act.CANCEL)


def serving(outcome: Outcome, reading: Reading) -> Mapping[str, Any] | None:
    """
    What of a reading may serve a later message of its patient; `None` when nothing may.

    All of it when the message was worked, or was parked only because the patient's record is restricted: the next
    message, which need not say so again, must find that it is. A message which says of itself that it adds nothing
    (leave), or that a person has still to look at, serves by one thing alone: that it says in so many words that the
    record is restricted, because the strictest sensitivity of any reading holds for all (mapping language §8).

    Of a letter no more serves than is compared with others: what its author wrote is kept nowhere for that.
    """
    if (reading.patient or outcome.patient) is None:
        return None
    # A restricted record may have been parked for more than that: as a trial, or because it names two patients.
    worked = outcome.state is MessageState.DONE or outcome.code == "M740"
    if worked and not reading.parked and reading.act is not Act.NONE:
        return reading.items if reading.serves is None else only(reading.items, reading.serves)
    sensitivity = reading.items.get("sensitivity")
    return {"sensitivity": sensitivity} if isinstance(sensitivity, str) and restricts(sensitivity) else None


def step(
    taken: Taken,
    known: Mapping[str, Known],
    now: datetime,
    feed: Feed,
    *,
    past: Sequence[Past] | None = None,
    worked_at: datetime | None = None,
    validator: Validator | None = None,
    carried: Mapping[str, Carried] | None = None,
) -> Outcome:
    """
    What becomes of one message, in the patient's order.

    Args:
        known: document type → the fold of the patient's readings where `needs_known`, of others what of it is compared;
            under no type, what is known of the patient's sensitivity from all of them.
        now: the instant of receipt; the same for every replay of the message.
        past: which documents of its episodes there are, and what of them may have left; `None`: nobody was asked, so
            that it waits for nothing.
        worked_at: the instant of this step, where that is later: a message does not wait for ever.
        carried: type of a letter → what was said before it of what it may carry (`carrying`).
    """
    carried = carried or {}
    taken = _kept(_parted(taken), feed)
    readings = tuple(reading for _, reading in taken.readings)
    first = readings[0] if readings else None
    outcome = partial(
        Outcome,
        facts=taken.facts,
        state=MessageState.PARKED,
        code=taken.parked,
        issues=taken.issues,
        readings=readings,
        patient=first.patient if first else None,
        episode=first.episode if first else "",
        occurred_at=first.effective_at if first else "",
        ledger=taken.ledger,
        past=told(past) if past else (),
        watched=_watched(taken, feed),
    )
    if taken.parked:
        # Whatever is wrong with it, the patient has left, and time goes by.
        return outcome(deadlines=deadlines(taken, known, now, feed))
    if all(reading.act is Act.NONE for reading in readings):
        return outcome(state=MessageState.FILTERED, code="M730")
    waiting = None if past is None else _waiting(taken, known, past, now)
    if waiting is not None:
        if (worked_at or now) < waiting:
            issues = (*taken.issues, _WAITS)
            return outcome(state=MessageState.HELD, code="M766", issues=issues, due_at=waiting)
        return outcome(code="M767", issues=(*taken.issues, _CAME_ALONE))
    joinings = [one.joining for one in past or () if one.joining is not None]
    if any(one.contrary for one in joinings):
        return outcome(code="M768", issues=(*taken.issues, _CONTRARY))
    # A merge that is done already, and an undoing of none, change nothing.
    joinings = [one for one in joinings if one.joined == one.undone]
    if any(one.busy for one in joinings):
        due_at = (worked_at or now) + _LOOK_AGAIN
        waits = outcome(state=MessageState.HELD, code="M766", issues=(*taken.issues, _WAITS), due_at=due_at)
        if any(one.undone for one in joinings):
            return waits
        # What comes later of either patient comes behind it: it keeps its place, and is not stood aside.
        bare = tuple(replace(reading, items={}, issues=(), ledger=NO_LEDGER, written=b"") for reading in readings)
        return replace(waits, state=MessageState.STORED, code="", readings=bare, ledger=NO_LEDGER, deadlines=())
    if any(one.undone for one in joinings):
        # What is known of both no longer holds: it is worked when they are parted.
        bare = tuple(replace(reading, items={}, issues=(), ledger=NO_LEDGER, written=b"") for reading in readings)
        return outcome(
            state=MessageState.STORED, code="", issues=(), readings=bare, ledger=NO_LEDGER, merges=tuple(joinings)
        )
    making = Making(now, feed, validator or default_validator(), past or ())
    for at, (mapping, reading) in enumerate(taken.readings):
        if reading.act is Act.NONE:
            continue
        before = known.get(reading.document, NOTHING_KNOWN)
        # The strictest sensitivity of any reading holds for all (mapping language §8): what is only known now of a
        # restricted patient is withheld too.
        before_it = any(mapping.restricts(earlier.items) for earlier in known.values())
        restricted = reading.restricted or before_it
        if restricted and not before_it:
            making.restricts(reading)
        if restricted:
            # It serves later messages as one does that says so itself.
            hidden = replace(reading, items=mapping.withheld(reading.items), restricted=True, written=b"")
            readings = (*readings[:at], hidden, *readings[at + 1 :])
        making.add(mapping, reading, before, carried.get(reading.document, NOTHING_CARRIED), restricted=restricted)
    return making.outcome(
        partial(outcome, readings=readings), taken, tuple(joinings), deadlines(taken, known, now, feed)
    )


def _watched(taken: Taken, feed: Feed) -> int:
    """What the message may be to a watch."""
    found = 0
    for mapping, reading in taken.readings if feed.looks else ():
        if reading.patient is not None:
            found |= role(feed.looks, mapping, reading)
    return found


def _kept(taken: Taken, feed: Feed) -> Taken:
    """Of a letter that a watch looks at, what it looks at serves, too."""
    if all(reading.serves is None or reading.document not in feed.looks for _, reading in taken.readings):
        return taken
    return replace(taken, readings=tuple([(mapping, _serving_looks(one, feed)) for mapping, one in taken.readings]))


def _serving_looks(reading: Reading, feed: Feed) -> Reading:
    if reading.serves is None or reading.document not in feed.looks:
        return reading
    needs = {name for _, look in feed.looks[reading.document] for name in look.look.needs}
    return replace(reading, serves=(*reading.serves, *sorted(needs.difference(reading.serves))))


def _parted(taken: Taken) -> Taken:
    """Where a merge is undone, what is said of the patient says that nobody is merged any more."""
    if all(reading.act is not Act.UNLINK for _, reading in taken.readings):
        return taken
    return replace(
        taken,
        readings=tuple(
            (mapping, replace(reading, items={**reading.items, "merged_from": DELETED}, written=b""))
            for mapping, reading in taken.readings
        ),
    )


def _waiting(taken: Taken, known: Mapping[str, Known], past: Sequence[Past], now: datetime) -> datetime | None:
    """
    Until when a message waits that has overtaken the one it speaks of; `None`: it has not.

    A letter of which nothing is known cannot be taken back, and to say so to everybody would be news of it: where
    its pack gives it no time to come, a person looks at once.
    What is taken back may be known by a document that is there, too, where nobody sends the events of a stay.
    """
    if any(one.series for one in past):
        return None
    for mapping, reading in taken.readings:
        waits = [wait for wait in mapping.document.waits if reading.items.get(wait.item) == wait.value]
        if reading.authors and reading.act is Act.CANCEL:
            return now + timedelta(minutes=max((wait.minutes for wait in waits if wait.for_version), default=0))
        before = known.get(reading.document, NOTHING_KNOWN)
        for wait in waits:
            if wait.for_version:
                continue
            earlier = fold([before.items, *(one.items for one in before.later)])
            # It may say again what was taken back already.
            if wait.needs not in earlier and earlier.get(wait.item) != wait.value:
                return now + timedelta(minutes=wait.minutes)
    return None
