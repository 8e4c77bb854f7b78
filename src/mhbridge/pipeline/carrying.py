"""
What earlier events give a letter that does not say it (gateway design §6): by item, opt-in, dated.

Nobody wrote an event, so it never makes a letter; but a ward's letter need not repeat what the administration system
has said of the stay. What the letter says wins, whatever it is. Pure: the readings are an argument, in any order, and
the same readings give the same values and the same name of them. This module must never carry an absence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.packs import DocumentType, Stale
from mhbridge.model import Carry, Deleted, Issue, Later, Overtaken, Reading, Recorded, Severity, State
from mhbridge.pipeline.ordering import place

__all__ = ["NOTHING_CARRIED", "Carried", "carried_of", "carries_by_document", "overtaken", "stale_by_document"]
__all__ += ["told_of"]


class Carried(NamedTuple):
    """
    What was said before a letter, of that which it may carry.

    Args:
        recorded: item → the message since which it has been so.
        digest: a hash over the readings that said any of it, in order; empty when there are none.
    """

    items: Mapping[str, Any]
    recorded: Mapping[str, Recorded]
    digest: bytes = b""

    def filling(self, document: DocumentType, items: Mapping[str, Any]) -> Carried:
        """What of it a letter takes that says these items: what it does not say, and does not contradict."""
        found = {
            name: value
            for name, value in self.items.items()
            if name not in items and not any(_is_said(items.get(other)) for other in document.carried[name])
        }
        return Carried(found, {name: self.recorded[name] for name in found}, self.digest)

    def less(self, items: Mapping[str, Any]) -> Carried:
        """The same without what these items withhold."""
        left = {name: value for name, value in self.items.items() if not isinstance(items.get(name), State)}
        return Carried(left, {name: self.recorded[name] for name in left}, self.digest)


NOTHING_CARRIED: Final = Carried({}, {})


def carries_by_document(mappings: Iterable[SupplierMapping]) -> dict[str, Carry]:
    """
    Type of letter → what the events among a supplier's mappings may give it.

    An item of a letter is that of an event when name and type are the same, whatever else either of them says.
    """
    mappings = tuple(mappings)
    events = {one.document.name: one.document for one in mappings if not one.file.authors}
    found: dict[str, Carry] = {}
    for mapping in mappings:
        letter = mapping.document
        if not mapping.file.authors or not letter.carried:
            continue
        sources = {}
        for name, event in events.items():
            same = [item for item in letter.carried if item in event.items and _is_same(letter, event, item)]
            stay = tuple(item for item in same if letter.items[item].carry == "episode")
            ever = tuple(item for item in same if letter.items[item].carry == "patient")
            if same and name != letter.name:
                sources[name] = stay, ever
        if sources:
            safety = frozenset(name for name in letter.carried if letter.items[name].safety)
            found[letter.name] = Carry(letter.name, sources, safety)
    return found


def stale_by_document(mappings: Iterable[SupplierMapping]) -> dict[str, tuple[Stale, ...]]:
    """Type of letter → what makes it out of date, of the letters that a supplier sends."""
    letters = (one.document for one in mappings if one.file.authors)
    return {one.name: one.stale for one in letters if one.stale}


def _is_same(letter: DocumentType, event: DocumentType, item: str) -> bool:
    own, other = letter.items[item].type, event.items[item].type
    shapes = ({name: one.fields_of(name) for name in own.names} for one in (letter, event))
    return own == other and next(shapes) == next(shapes)


def carried_of(said: Iterable[Later]) -> Carried:
    """
    What readings say together: of each item the last that says it, dated by the first since which it has been so.

    Args:
        said: each with where it was recorded, and no more of its items than may be carried.
    """
    items: dict[str, Any] = {}
    recorded: dict[str, Recorded] = {}
    named = hashlib.sha256()
    none = True
    for one in sorted(said, key=lambda one: (one.place, one.arrived)):
        assert one.recorded is not None
        none = False
        named.update(one.arrived.to_bytes(8, "big"))
        for name, value in one.items.items():
            if isinstance(value, Deleted):
                items.pop(name, None)
            elif name not in items or items[name] != value:
                # Said again just so it is no news, and a letter that carries it must not change by it.
                items[name], recorded[name] = value, one.recorded
    present = {name: value for name, value in items.items() if _is_said(value)}
    return Carried(present, {name: recorded[name] for name in present}, b"" if none else named.digest())


def overtaken(
    reading: Reading,
    had: Mapping[str, Any],
    has: Mapping[str, Any],
    now: datetime,
    carries: Mapping[str, Carry],
    stale: Mapping[str, Sequence[Stale]],
) -> list[Overtaken]:
    """
    The letters that a message has overtaken.

    Whether a letter says another thing now is found when it is made again; here is asked only whether it may.

    Args:
        had: what was known without it, and `has` with it.
    """
    if reading.patient is None:
        return []
    found: dict[Overtaken, None] = {}
    for carry in carries.values():
        stay, ever = carry.sources.get(reading.document, ((), ()))
        for episode, names in ((reading.episode, stay), ("", ever)):
            changed = {name for name in names if had.get(name) != has.get(name)}
            if changed:
                then = "again" if carry.safety.isdisjoint(changed) else "now"
                found[Overtaken(reading.patient, episode, carry.document, then)] = None
    for letter, rules in stale.items():
        for rule in rules:
            if rule.document == reading.document and (not rule.item or reading.items.get(rule.item) == rule.value):
                then = "again" if rule.then == "replace" else rule.then
                found[Overtaken(reading.patient, "", letter, then, place(reading, now)[0])] = None
    if reading.authors and any(rule.then == "hold" for rule in stale.get(reading.document, ())):
        own = Overtaken(reading.patient, reading.episode, reading.document, "held", place(reading, now)[0])
        found[own] = None
    return list(found)


def told_of(carried: Carried) -> list[Issue]:
    """What there is to say of a letter that carries something: which message said it, and no value."""
    return [
        Issue("I660", Severity.INFORMATION, f"not said by the letter: as {_message(one)} said it", item=name)
        for name, one in sorted(carried.recorded.items())
    ]


def _message(one: Recorded) -> str:
    return f"message {one.message} ({one.kind})" if one.message else f"an earlier message ({one.kind})"


def _is_said(value: Any) -> bool:
    """Whether something is said: what could not be read, is withheld or is empty is nothing to go on."""
    return value is not None and not isinstance(value, State) and value not in ("", [], {}, False)
