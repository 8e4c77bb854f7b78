"""
What becomes of an envelope, in two calls: read it, then step its messages with what is known of their patients.

In between stands whoever asks the store. Both calls are pure, so they give the same in this process (`here`) as in one
of their own (`process`). This module must never wait for anything, and must never know of a store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mhbridge import pipeline
from mhbridge.mapping.known import fold, restricts
from mhbridge.model import Act, Key, Known, Outcome

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
        known: what must be known.
    """

    key: bytes
    patients: tuple[Key, ...]
    known: tuple[Whose, ...]


def asked(key: bytes, intake: Intake) -> Asked:
    """What these messages need."""
    patients: dict[Key, None] = {}
    known: dict[Whose, None] = {}
    for taken in intake.messages:
        for _, reading in taken.readings:
            if reading.patient is None:
                continue
            if pipeline.needs_known(reading):
                patients[reading.patient] = None
                known[reading.patient, reading.episode, reading.document] = None
                known[reading.patient, "", reading.document] = None
            known[reading.patient, "", ""] = None
            if reading.act is Act.MERGE and reading.merged_from is not None:
                patients[reading.merged_from] = None
                known[reading.merged_from, "", ""] = None
    # In one order, so that two envelopes never wait for each other.
    return Asked(key, tuple(sorted(patients, key=lambda one: (one.system, one.value))), tuple(known))


def work(intake: Intake, stored: Mapping[Whose, Known], now: datetime, feed: Feed) -> Iterator[Outcome]:
    """Step every message, each knowing what those before it in the same envelope said."""
    said: dict[Whose, list[Mapping[str, Any]]] = {}
    alone = len(intake.messages) == 1
    for one in intake.messages:
        taken = _merged(one, stored, said)
        outcome = pipeline.step(taken, _known(taken, stored, said), now, feed)
        yield outcome
        if alone:
            return
        for reading in outcome.readings:
            items = pipeline.serving(outcome, reading)
            if reading.patient is None or items is None:
                continue
            for episode, document in ((reading.episode, reading.document), ("", reading.document), ("", "")):
                said.setdefault((reading.patient, episode, document), []).append(items)


def _merged(taken: Taken, stored: Mapping[Whose, Known], said: Mapping[Whose, list[Mapping[str, Any]]]) -> Taken:
    """A merge says of the record that stays what was known of the one it retires: that it is restricted."""
    if all(reading.act is not Act.MERGE for _, reading in taken.readings):
        return taken
    readings = list(taken.readings)
    for at, (mapping, reading) in enumerate(readings):
        if reading.act is not Act.MERGE or reading.merged_from is None or reading.patient is None:
            continue
        sensitivity = _folded((reading.merged_from, "", ""), stored, said).items.get("sensitivity")
        if isinstance(sensitivity, str) and restricts(sensitivity):
            items = mapping.withheld({**reading.items, "sensitivity": sensitivity})
            readings[at] = mapping, replace(reading, items=items, restricted=True)
    return replace(taken, readings=tuple(readings))


def _known(
    taken: Taken, stored: Mapping[Whose, Known], said: Mapping[Whose, list[Mapping[str, Any]]]
) -> dict[str, Known]:
    """Document type → what is known of this patient's episode, where that decides anything."""
    known: dict[str, Known] = {}
    for mapping, reading in taken.readings:
        if reading.patient is None or not pipeline.needs_known(reading):
            continue
        episode = _folded((reading.patient, reading.episode, reading.document), stored, said)
        ever = _folded((reading.patient, "", reading.document), stored, said)
        # A stay's own items are known from that stay; what holds for the patient, from every one.
        lasting = mapping.document.lasting
        items = {name: value for name, value in episode.items.items() if name not in lasting}
        items |= {name: value for name, value in ever.items.items() if name in lasting}
        known[reading.document] = Known(items, episode.digest + ever.digest)
    # Sensitivity holds for whatever is said of the patient, and the strictest of all (mapping language §8).
    for _, reading in taken.readings:
        if reading.patient is not None:
            anything = _folded((reading.patient, "", ""), stored, said)
            if "sensitivity" in anything.items:
                known[""] = Known({"sensitivity": anything.items["sensitivity"]}, anything.digest)
    return known


def _folded(whose: Whose, stored: Mapping[Whose, Known], said: Mapping[Whose, list[Mapping[str, Any]]]) -> Known:
    """What is stored of one episode, or of all, gone on with what this envelope said before."""
    just_now = said.get(whose)
    return replace(stored[whose], items=fold([stored[whose].items, *just_now])) if just_now else stored[whose]
