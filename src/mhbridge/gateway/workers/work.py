"""
What becomes of an envelope, in two calls: read it, then step its messages with what is known of their patients.

In between stands whoever asks the store. Both calls are pure, so they give the same in this process (`here`) as in one
of their own (`process`). This module must never wait for anything, and must never know of a store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from mhbridge import pipeline
from mhbridge.mapping.known import only, restricts, without
from mhbridge.model import (
    NO_LEDGER,
    NOTHING_KNOWN,
    Act,
    Carry,
    Key,
    Known,
    Later,
    MessageState,
    Outcome,
    Past,
    Place,
    Reading,
    Recorded,
)

if TYPE_CHECKING:
    from mhbridge.pipeline import Feed, Intake, Taken

__all__ = ["Asked", "Episode", "Whose", "after", "asked", "named", "put_off", "work"]

Whose = tuple[Key, str, str]
"""What is to be known: a patient, an episode and a document type; an empty one is every one."""

Episode = tuple[Key, str]
"""A patient, and which stay."""

_JOINS: Final = frozenset({Act.MERGE, Act.UNLINK})
#: It is worked another time, and counts then.
_WAITS: Final = frozenset({MessageState.STORED, MessageState.HELD})
_SENSITIVITY: Final = ("sensitivity",)
#: Before everything.
_FIRST: Final[Place] = (-(1 << 63), -(1 << 63))


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What an envelope needs before its messages can be stepped.

    Args:
        key: names the envelope.
        patients: those that its messages are about: nobody else may work a message of theirs meanwhile.
        known: what must be known, and before which place in the patient's order; `None`: whatever the order.
        parts: of what must be known, the items that are looked at, where that is not all of them.
        past: the episodes of which must be known which documents there are; true: with their bodies.
        joinings: retired and staying identifiers of merges, and whether they are undone, that must be looked up.
        carried: patient, episode and type of a letter → what it may carry of what events said.
        messages: how many there are.
        many: too many to be stepped at once, or read too little for it.
    """

    key: bytes
    patients: tuple[Key, ...]
    known: Mapping[Whose, Place | None]
    parts: Mapping[Whose, tuple[str, ...]] = field(default_factory=dict)
    past: Mapping[Episode, bool] = field(default_factory=dict)
    joinings: tuple[tuple[Key, Key, bool], ...] = ()
    carried: Mapping[Whose, Carry] = field(default_factory=dict)
    messages: int = 1
    many: bool = False


def asked(key: bytes, intake: Intake, received_at: datetime, feed: Feed) -> Asked:
    """What these messages need."""
    carried: dict[Whose, Carry] = {}
    patients: dict[Key, None] = {}
    known: dict[Whose, Place | None] = {}
    whole: set[Whose] = set()
    parts: dict[Whose, tuple[str, ...]] = {}
    past: dict[Episode, bool] = {}
    joinings: dict[tuple[Key, Key, bool], None] = {}
    for taken in intake.messages:
        for mapping, reading in taken.readings:
            if reading.patient is None:
                continue
            patients[reading.patient] = None
            if pipeline.needs_known(reading):
                at = pipeline.place(reading, received_at)
                for whose in (
                    (reading.patient, reading.episode, reading.document),
                    (reading.patient, "", reading.document),
                ):
                    # Of several messages the first in order decides what is said one by one.
                    before = known.get(whose)
                    known[whose] = at if before is None else min(at, before)
                    whole.add(whose)
            elif settled := mapping.document.settled:
                known[reading.patient, reading.episode, reading.document] = None
                parts[reading.patient, reading.episode, reading.document] = tuple(settled)
            carry = None if taken.parked else pipeline.carrying(reading, feed)
            if carry is not None:
                carried[reading.patient, reading.episode, reading.document] = carry
            # Of all that is known of a patient only this is ever asked for.
            known[reading.patient, "", ""] = None
            parts[reading.patient, "", ""] = _SENSITIVITY
            if pipeline.needs_past(reading) and not taken.parked:
                episode = reading.patient, reading.episode
                past[episode] = past.get(episode, False) or reading.act is Act.CANCEL
            if reading.merged_from is not None and reading.act in _JOINS:
                patients[reading.merged_from] = None
                known[reading.merged_from, "", ""] = None
                parts[reading.merged_from, "", ""] = _SENSITIVITY
                if not taken.parked:
                    joinings[reading.merged_from, reading.patient, reading.act is Act.UNLINK] = None
                if reading.act is Act.MERGE and pipeline.needs_known(reading):
                    # What is known of both, one by one: they are folded together.
                    for patient in (reading.patient, reading.merged_from):
                        known[patient, "", reading.document] = _FIRST
                        whole.add((patient, "", reading.document))
    # In one order, so that two envelopes never wait for each other.
    in_order = tuple(sorted(patients, key=lambda one: (one.system, one.value)))
    for whose in whole & parts.keys():
        del parts[whose]
    return Asked(key, in_order, known, parts, past, tuple(joinings), carried, len(intake.messages))


def work(
    intake: Intake,
    stored: Mapping[Whose, Known],
    now: datetime,
    feed: Feed,
    past: Sequence[Past] = (),
    worked_at: datetime | None = None,
    before: Mapping[Whose, Sequence[Later]] | None = None,
) -> Iterator[Outcome]:
    """
    Step every message, each knowing what those before it in the same envelope said.

    What those before it sent nobody knows before it is durable: a second message about the documents of one stay, and
    all that follow it of that patient, stay to be worked after (`stored`).

    Args:
        before: of letters what events said that they may carry (`Asked.carried`).
    """
    said: dict[Whose, list[Later]] = {}
    alone = len(intake.messages) == 1
    touched: set[Episode] = set()
    behind: set[Key] = set()
    seen: set[Key] = set()
    for one in intake.messages:
        whose, joins = _whose(one)
        episodes = _episodes(one)
        if behind & whose or touched & episodes or (joins and seen & whose):
            behind |= whose
            yield after(one)
            continue
        touched |= episodes
        seen |= whose
        if joins:
            behind |= whose
        taken = _merged(one, stored, said)
        theirs = [told for told in past if _is_about(told, one, episodes)]
        known = _known(taken, stored, said, now)
        carried = _carried(taken, before or {}, said, feed)
        outcome = pipeline.step(taken, known, now, feed, past=theirs, worked_at=worked_at, carried=carried)
        if outcome.state not in _WAITS and (letters := pipeline.letters(taken.readings, carried)):
            outcome = replace(outcome, letters=letters)
        yield outcome
        if alone:
            return
        for reading in outcome.readings:
            items = pipeline.serving(outcome, reading)
            if reading.patient is None or items is None:
                continue
            own = pipeline.is_own(known.get(reading.document, NOTHING_KNOWN), items)
            for episode, document in ((reading.episode, reading.document), ("", reading.document), ("", "")):
                at = pipeline.place(reading, now)
                later = Later(at, items, own, recorded=Recorded(reading.document, reading.facts.kind, at[0]))
                said.setdefault((reading.patient, episode, document), []).append(later)


def _whose(taken: Taken) -> tuple[set[Key], bool]:
    """Whose a message is, and whether it joins identifiers or parts them."""
    found: set[Key] = set()
    joins = False
    for _, reading in taken.readings:
        if reading.patient is not None:
            found.add(reading.patient)
        if reading.act in _JOINS and reading.merged_from is not None:
            joins = True
            found.add(reading.merged_from)
    return found, joins


def _is_about(told: Past, taken: Taken, episodes: Collection[Episode]) -> bool:
    if told.joining is None:
        return (told.patient, told.episode) in episodes
    pairs = {(reading.merged_from, reading.patient) for _, reading in taken.readings if reading.act in _JOINS}
    return (told.joining.retired, told.joining.survivor) in pairs


def _episodes(taken: Taken) -> set[Episode]:
    """Of whose documents must be known what there is and what may have left."""
    return {
        (reading.patient, reading.episode)
        for _, reading in taken.readings
        if reading.patient is not None and pipeline.needs_past(reading) and not taken.parked
    }


def after(taken: Taken) -> Outcome:
    """What is made durable of a message that is to be worked later."""
    readings = tuple([reading for _, reading in taken.readings])
    outcome = Outcome(taken.facts, MessageState.STORED, readings=readings)
    if readings:
        first = readings[0]
        outcome = replace(outcome, patient=first.patient, episode=first.episode, occurred_at=first.effective_at)
    return put_off(outcome)


def put_off(outcome: Outcome) -> Outcome:
    """A message that was stepped and is to be stepped again: whose it is, and nothing of what it says."""
    readings = tuple([named(reading) for reading in outcome.readings])
    return Outcome(
        outcome.facts, MessageState.STORED, readings=readings, patient=outcome.patient, episode=outcome.episode,
        occurred_at=outcome.occurred_at,
    )  # fmt: skip


def named(reading: Reading) -> Reading:
    """What a message is found and ordered by, and nothing of what it says."""
    return replace(reading, items={}, issues=(), ledger=NO_LEDGER, written=b"")


def _merged(taken: Taken, stored: Mapping[Whose, Known], said: Mapping[Whose, list[Later]]) -> Taken:
    """A merge says of the record that stays what was known of the one it retires: that it is restricted."""
    if all(reading.act is not Act.MERGE for _, reading in taken.readings):
        return taken
    readings = list(taken.readings)
    for at, (mapping, reading) in enumerate(readings):
        if reading.act is not Act.MERGE or reading.merged_from is None or reading.patient is None:
            continue
        sensitivity = _folded((reading.merged_from, "", ""), None, stored, said).items.get("sensitivity")
        if isinstance(sensitivity, str) and restricts(sensitivity):
            items = mapping.withheld({**reading.items, "sensitivity": sensitivity})
            readings[at] = mapping, replace(reading, items=items, restricted=True)
    return replace(taken, readings=tuple(readings))


def _known(
    taken: Taken, stored: Mapping[Whose, Known], said: Mapping[Whose, list[Later]], now: datetime
) -> dict[str, Known]:
    """Document type → what is known of this patient's episode, where that decides anything."""
    known: dict[str, Known] = {}
    for mapping, reading in taken.readings:
        if reading.patient is None:
            continue
        if not pipeline.needs_known(reading):
            if settled := mapping.document.settled:
                # An authored message says all that it says; what it said otherwise before is only compared.
                said_before = _folded((reading.patient, reading.episode, reading.document), None, stored, said)
                known[reading.document] = Known(only(said_before.items, settled), said_before.digest)
            continue
        at = pipeline.place(reading, now)
        episode = _folded((reading.patient, reading.episode, reading.document), at, stored, said)
        of = reading.patient, "", reading.document
        if reading.act is Act.MERGE and reading.merged_from is not None:
            both = _both(stored[of], stored[reading.merged_from, "", reading.document])
            ever = pipeline.known_at(both, said.get(of, ()), at)
        else:
            ever = _folded(of, at, stored, said)
        episode, ever = (pipeline.by_who_stays(one, mapping.document.identifies) for one in (episode, ever))
        # A stay's own items are known from that stay; what holds for the patient, from every one.
        lasting = mapping.document.lasting
        items = without(episode.items, lasting) | only(ever.items, lasting)
        later = [replace(one, items=without(one.items, lasting)) for one in episode.later]
        later += [replace(one, items=only(one.items, lasting)) for one in ever.later]
        known[reading.document] = Known(items, episode.digest + ever.digest, tuple(later))
    # Sensitivity holds for whatever is said of the patient, and the strictest of all (mapping language §8).
    for _, reading in taken.readings:
        if reading.patient is not None:
            anything = _folded((reading.patient, "", ""), None, stored, said)
            if "sensitivity" in anything.items:
                known[""] = Known({"sensitivity": anything.items["sensitivity"]}, anything.digest)
    return known


def _carried(
    taken: Taken, before: Mapping[Whose, Sequence[Later]], said: Mapping[Whose, list[Later]], feed: Feed
) -> dict[str, pipeline.Carried]:
    """Type of a letter → what was said before it, in the store and in this envelope, of what it may carry."""
    found: dict[str, pipeline.Carried] = {}
    for _, reading in taken.readings:
        carry = pipeline.carrying(reading, feed)
        if carry is None or reading.patient is None:
            continue
        sayings = list(before.get((reading.patient, reading.episode, reading.document), ()))
        for document, (stay, ever) in carry.sources.items():
            for episode, names in ((reading.episode, stay), ("", ever)):
                theirs = said.get((reading.patient, episode, document), ())
                sayings += [replace(one, items=only(one.items, names)) for one in theirs]
        found[reading.document] = pipeline.carried_of(sayings)
    return found


def _both(stays: Known, goes: Known) -> Known:
    """
    What is known of both identifiers of a merge, which is by the one that stays.

    Both as they are stored, reading by reading: what is folded already would stand before all of the other.
    """
    theirs = [replace(one, own=False) for one in goes.later]
    # Two readings of one instant, one of each identifier, fold in the order in which they came.
    later = tuple(sorted((*stays.later, *theirs), key=lambda one: (one.place, one.arrived)))
    return Known(stays.items, stays.digest + goes.digest, later, stays.own)


def _folded(whose: Whose, at: Place | None, stored: Mapping[Whose, Known], said: Mapping[Whose, list[Later]]) -> Known:
    """What is stored of one episode, or of all, with what this envelope said before, at a place."""
    return pipeline.known_at(stored[whose], said.get(whose, ()), at)
