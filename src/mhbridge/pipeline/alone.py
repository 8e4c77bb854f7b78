"""
Intake and step at once, for bytes before which nothing came: what a person tries, and what a test replays.

This module must never be used by what delivers: it knows nothing of earlier messages but what it is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO

from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.known import only
from mhbridge.model import Carry, Envelope, Later, Outcome, Reading, Recorded
from mhbridge.pipeline.arriving import Taken, intake, parts
from mhbridge.pipeline.carrying import Carried, carried_of
from mhbridge.pipeline.ordering import place
from mhbridge.pipeline.routing import Feed
from mhbridge.pipeline.stepping import carrying, serving, step

__all__ = ["Earlier", "outcome_now", "outcomes_of_file"]


class Earlier:
    """
    What some messages said, for letters that come after them: what a store knows, for whoever has none.

    Args:
        feed: of the events and of the letters, with what these carry.
    """

    def __init__(self, feed: Feed, now: datetime) -> None:
        self._feed, self._now = feed, now
        self._said: list[tuple[Reading, Later]] = []

    @property
    def carries(self) -> Mapping[str, Carry]:
        """What letters may carry of it."""
        return self._feed.carries

    def add(self, body: bytes, mappings: Sequence[SupplierMapping]) -> None:
        """
        Some bytes that came before.

        Raises:
            MalformedMessage: nothing of it can be read.
        """
        for outcome in outcome_now(body, replace(self._feed, mappings=tuple(mappings)), self._now):
            for reading in outcome.readings:
                items = serving(outcome, reading)
                if items is not None:
                    at = place(reading, self._now)
                    number = len(self._said) + 1
                    recorded = Recorded(reading.document, reading.facts.kind, at[0])
                    self._said.append((reading, Later(at, items, True, number, recorded)))

    def carried(self, reading: Reading) -> Carried:
        """What was said that a letter may carry."""
        carry = carrying(reading, self._feed)
        found = []
        for other, said in self._said if carry is not None else ():
            assert carry is not None
            stay, ever = carry.sources.get(other.document, ((), ()))
            names = (*stay, *ever) if other.episode == reading.episode else ever
            if other.patient == reading.patient and (items := only(said.items, names)):
                found.append(replace(said, items=items))
        return carried_of(found)

    def taken(self, mapping: SupplierMapping, reading: Reading) -> Carried:
        """What a letter takes of it, that does not say it itself."""
        return self.carried(reading).filling(mapping.document, reading.items)

    def of(self, taken: Taken) -> dict[str, Carried]:
        """Type of a letter → the same, of all that a message is."""
        return {reading.document: self.carried(reading) for _, reading in taken.readings}


def outcomes_of_file(file: BinaryIO, feed: Feed, now: datetime, earlier: Earlier | None = None) -> Iterator[Outcome]:
    """
    What becomes of a file before which nothing came but `earlier`, as `outcome_now`; a large extract is not held in
    memory.

    Raises:
        MalformedMessage: nothing of it can be read, or nothing more.
    """
    taken = False
    for part in parts(file, feed) or ():
        envelope = Envelope(part.body, feed.supplier, feed.name, now, "file", before=part.before)
        taken = True
        for message in intake(envelope, feed).messages:
            yield step(message, {}, now, feed, carried=earlier.of(message) if earlier else None)
    if not taken:
        file.seek(0)
        yield from outcome_now(file.read(), feed, now, earlier)


def outcome_now(body: bytes, feed: Feed, now: datetime, earlier: Earlier | None = None) -> list[Outcome]:
    """
    What becomes of some bytes for which nothing came before: intake and step at once, with no store between them.

    Raises:
        MalformedMessage: nothing of it can be read.
    """
    envelope = Envelope(body, feed.supplier, feed.name, now, "file")
    return [
        step(taken, {}, now, feed, carried=earlier.of(taken) if earlier else None)
        for taken in intake(envelope, feed).messages
    ]
