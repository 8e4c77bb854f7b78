"""
What a document says of what its record standard asks for: heading by heading, element by element.

The standard is the pack: each item's need (`mandatory`, `required`, `optional`) and the heading it stands under, with
its source beside it in `items.yaml`. "Nothing was recorded" is an absence here; "there is none" is something said. This
module must never hold a heading, an element, or a value of a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from mhbridge.mapping.packs import DocumentType
from mhbridge.model import MASKED, State, Unknown

__all__ = ["Completeness", "Element", "Said", "Tally", "completeness", "headings"]


class Said(StrEnum):
    """What a document says of an element; of several, the first that one of them is."""

    PRESENT = "present"
    #: In words, where the standard has codes.
    TEXT = "text only"
    #: Not by the letter but by an earlier event, and dated so in it.
    CARRIED = "carried"
    #: The record is restricted.
    WITHHELD = "withheld"
    #: The source says something that cannot be read.
    UNREADABLE = "unreadable"
    ABSENT = "absent"


_RANK: Final = {said: place for place, said in enumerate(Said)}


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the record standard in one document; of a heading as a whole, `item` is empty."""

    item: str
    label: str
    heading: str
    need: str
    said: Said


@dataclass(frozen=True, slots=True)
class Completeness:
    """
    One document beside its record standard.

    Args:
        headings: each as well said as the best of its elements.
        elements: every item that has a heading.
    """

    document: str
    headings: tuple[Element, ...]
    elements: tuple[Element, ...]


def completeness(document: DocumentType, items: Mapping[str, Any], carried: Collection[str] = ()) -> Completeness:
    """
    What `items`, one message's, say of what the document type's record standard asks for.

    Args:
        items: name → value, as a reading has them; a missing name is an absence.
        carried: the names of those that an earlier event said, and the message does not.
    """
    headings, elements = [], []
    for asked in document.headings:
        under = []
        for name in asked.items:
            item = document.items[name]
            said = Said.CARRIED if name in carried else _said(document.coded(item), items.get(name))
            under.append(Element(name, item.label or name, asked.heading, item.need, said))
        # A supplier's own items are no elements of the standard, and say something under its heading all the same.
        own = (
            _said(document.coded(item), items.get(name))
            for name, item in document.items.items()
            if item.heading == asked.heading and name not in asked.items
        )
        best = min((*(one.said for one in under), *own), key=_RANK.__getitem__)
        headings.append(Element("", asked.title, asked.heading, asked.need, best))
        elements += under
    return Completeness(document.name, tuple(headings), tuple(elements))


def headings(
    document: DocumentType, items: Mapping[str, Any], carried: Collection[str] = ()
) -> tuple[tuple[str, str], ...]:
    """What `completeness` says of the headings alone: heading → the value of `Said`. It is asked of every letter."""
    found = []
    for heading, under in document.under.items():
        best = Said.ABSENT
        for name, keeper in under:
            value = items.get(name)
            if value is not None:
                said = _said(keeper, value)
                if said is Said.PRESENT:
                    best = said
                    break
                if _RANK[said] < _RANK[best]:
                    best = said
            elif name in carried and _RANK[Said.CARRIED] < _RANK[best]:
                best = Said.CARRIED
        found.append((heading, best.value))
    return tuple(found)


def _said(keeper: str | None, value: Any) -> Said:
    if value is None:
        return Said.ABSENT
    if isinstance(value, State):
        if value == MASKED:
            return Said.WITHHELD
        return Said.UNREADABLE if isinstance(value, Unknown) and value.reason == "error" else Said.ABSENT
    values = [one for one in value if not isinstance(one, State)] if isinstance(value, list) else [value]
    if not values:
        return Said.ABSENT
    if keeper is None:
        return Said.PRESENT
    concepts = (one.get(keeper) if keeper and isinstance(one, Mapping) else one for one in values)
    return Said.PRESENT if any(_coded(one) for one in concepts) else Said.TEXT


def _coded(concept: Any) -> bool:
    return isinstance(concept, Mapping) and any(one.get("code") for one in concept.get("coding", ()))


@dataclass(slots=True)
class Counted:
    """One element, or heading, in many documents."""

    about: Element
    said: Counter[Said] = field(default_factory=Counter)


@dataclass(slots=True)
class Tally:
    """
    The same of many documents of one type.

    Args:
        headings: by name, in the order of the pack.
        elements: by item, in the order of the pack.
    """

    documents: int = 0
    headings: dict[str, Counted] = field(default_factory=dict)
    elements: dict[str, Counted] = field(default_factory=dict)

    def add(self, one: Completeness) -> None:
        """Count one document."""
        self.documents += 1
        for heading in one.headings:
            self.headings.setdefault(heading.heading, Counted(heading)).said[heading.said] += 1
        for element in one.elements:
            self.elements.setdefault(element.item, Counted(element)).said[element.said] += 1

    def under(self, heading: str) -> list[Counted]:
        """The elements of a heading."""
        return [one for one in self.elements.values() if one.about.heading == heading]

    def percent(self, need: str) -> float:
        """Of the elements that are asked for so strongly, how many are said, be it in words or withheld, in percent."""
        counts = [one.said for one in self.elements.values() if one.about.need == need]
        total = sum(count.total() for count in counts)
        missing = sum(count[Said.ABSENT] + count[Said.UNREADABLE] for count in counts)
        return 100.0 * (1 - missing / total) if total else 100.0
