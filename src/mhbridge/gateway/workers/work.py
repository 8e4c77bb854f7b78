"""
What becomes of an envelope, in two calls: read it, then step its messages with what is known of their patients.

In between stands whoever asks the store. Both calls are pure, so they give the same in this process (`here`) as in one
of their own (`process`). This module must never wait for anything, and must never know of a store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mhbridge import pipeline
from mhbridge.mapping.known import restricts
from mhbridge.model import Act, Key, Known, Later, Outcome, Place

if TYPE_CHECKING:
    from mhbridge.pipeline import Feed, Intake, Taken

__all__ = ["Asked", "Whose", "asked", "work"]

Whose = tuple[Key, str, str]
"""What is to be known: a patient, an episode and a document type; an empty one is every one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What an envelope needs before its messages can be stepped.

    Args:
        key: names the envelope.
        patients: of whom something must be known, so that nobody else may add to it meanwhile.
        known: what must be known, and before which place in the patient's order; `None`: whatever the order.
    """

    key: bytes
    patients: tuple[Key, ...]
    known: Mapping[Whose, Place | None]


def asked(key: bytes, intake: Intake, received_at: datetime) -> Asked:
    """What these messages need."""
    patients: dict[Key, None] = {}
    known: dict[Whose, Place | None] = {}
    for taken in intake.messages:
        for _, reading in taken.readings:
            if reading.patient is None:
                continue
            if pipeline.needs_known(reading):
                patients[reading.patient] = None
                at = pipeline.place(reading, received_at)
                for whose in (
                    (reading.patient, reading.episode, reading.document),
                    (reading.patient, "", reading.document),
                ):
                    # Of several messages the first in order decides what is said one by one.
                    before = known.get(whose)
                    known[whose] = at if before is None else min(at, before)
            known[reading.patient, "", ""] = None
            if reading.act is Act.MERGE and reading.merged_from is not None:
                patients[reading.merged_from] = None
                known[reading.merged_from, "", ""] = None
    # In one order, so that two envelopes never wait for each other.
    return Asked(key, tuple(sorted(patients, key=lambda one: (one.system, one.value))), known)


def work(intake: Intake, stored: Mapping[Whose, Known], now: datetime, feed: Feed) -> Iterator[Outcome]:
    """Step every message, each knowing what those before it in the same envelope said."""
    said: dict[Whose, list[Later]] = {}
    alone = len(intake.messages) == 1
    for one in intake.messages:
        taken = _merged(one, stored, said)
        outcome = pipeline.step(taken, _known(taken, stored, said, now), now, feed)
        yield outcome
        if alone:
            return
        for reading in outcome.readings:
            items = pipeline.serving(outcome, reading)
            if reading.patient is None or items is None:
                continue
            for episode, document in ((reading.episode, reading.document), ("", reading.document), ("", "")):
                later = Later(pipeline.place(reading, now), items)
                said.setdefault((reading.patient, episode, document), []).append(later)


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
        if reading.patient is None or not pipeline.needs_known(reading):
            continue
        at = pipeline.place(reading, now)
        episode = _folded((reading.patient, reading.episode, reading.document), at, stored, said)
        ever = _folded((reading.patient, "", reading.document), at, stored, said)
        # A stay's own items are known from that stay; what holds for the patient, from every one.
        lasting = mapping.document.lasting
        items = _without(episode.items, lasting) | _only(ever.items, lasting)
        later = [replace(one, items=_without(one.items, lasting)) for one in episode.later]
        later += [replace(one, items=_only(one.items, lasting)) for one in ever.later]
        known[reading.document] = Known(items, episode.digest + ever.digest, tuple(later))
    # Sensitivity holds for whatever is said of the patient, and the strictest of all (mapping language §8).
    for _, reading in taken.readings:
        if reading.patient is not None:
            anything = _folded((reading.patient, "", ""), None, stored, said)
            if "sensitivity" in anything.items:
                known[""] = Known({"sensitivity": anything.items["sensitivity"]}, anything.digest)
    return known


def _only(items: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in items.items() if name in names}


def _without(items: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in items.items() if name not in names}


def _folded(whose: Whose, at: Place | None, stored: Mapping[Whose, Known], said: Mapping[Whose, list[Later]]) -> Known:
    """What is stored of one episode, or of all, with what this envelope said before, at a place."""
    return pipeline.known_at(stored[whose], said.get(whose, ()), at)
