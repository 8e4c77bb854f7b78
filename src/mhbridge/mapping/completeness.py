"""
What a document says of what its record standard asks for: heading by heading, element by element.

The standard is the pack: each item's need (`mandatory`, `required`, `optional`) and the heading it stands under, with
its source beside it in `items.yaml`. "Nothing was recorded" is an absence here; "there is none" is something said. This
module must never hold a heading, an element, or a value of a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from mhbridge.mapping.packs import DocumentType, Item
from mhbridge.model import MASKED, State, Unknown

__all__ = ["NEEDS", "Completeness", "Element", "Said", "Tally", "completeness"]

#: How strongly an element is asked for, the strongest first (PRSB: mandatory "M", required "R", optional "O").
NEEDS: Final = ("mandatory", "required", "optional")

_CONCEPT: Final = "CodeableConcept"


class Said(StrEnum):
    """What a document says of an element; of several, the first that one of them is."""

    PRESENT = "present"
    #: In words, where the standard has codes.
    TEXT = "text only"
    #: The record is restricted.
    WITHHELD = "withheld"
    #: The source says something that cannot be read.
    UNREADABLE = "unreadable"
    ABSENT = "absent"


_RANK: Final = {said: place for place, said in enumerate(Said)}


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the record standard in one document."""

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
        elements: every item that has a heading, in the order of the pack.
        standard: heading → how strongly it is asked for itself, whichever of its elements are.
    """

    document: str
    elements: tuple[Element, ...]
    standard: Mapping[str, str]

    def headings(self) -> Iterator[Element]:
        """
        Each heading as one element, as well said as the best under it.

        Where the standard does not say how strongly it is asked for, it is as the strongest under it.
        """
        under: dict[str, list[Element]] = {}
        for element in self.elements:
            under.setdefault(element.heading, []).append(element)
        for heading, elements in under.items():
            need = self.standard.get(heading) or min((one.need for one in elements), key=NEEDS.index)
            said = min((one.said for one in elements), key=_RANK.__getitem__)
            yield Element("", "", heading, need, said)


def completeness(document: DocumentType, items: Mapping[str, Any]) -> Completeness:
    """
    What `items`, one message's, say of what the document type's record standard asks for.

    Args:
        items: name → value, as a reading has them; a missing name is an absence.
    """
    found = (
        Element(name, item.label or name, item.heading, item.need, _said(document, item, items.get(name)))
        for name, item in document.items.items()
        if item.heading
    )
    return Completeness(document.name, tuple(found), document.standard)


def _said(document: DocumentType, item: Item, value: Any) -> Said:
    if isinstance(value, State) or value is None:
        if value == MASKED:
            return Said.WITHHELD
        return Said.UNREADABLE if isinstance(value, Unknown) and value.reason == "error" else Said.ABSENT
    values = [one for one in (value if isinstance(value, list) else [value]) if not isinstance(one, State)]
    if not values:
        return Said.ABSENT
    record = document.records.get(item.type.name)
    # An atomic record is coded by the field that names it: a medicine by its drug.
    keeper = record.keeper if record is not None else ""
    if not keeper and _CONCEPT not in item.type.names:
        return Said.PRESENT
    concepts = (one.get(keeper) if keeper and isinstance(one, Mapping) else one for one in values)
    return Said.PRESENT if any(_coded(one) for one in concepts) else Said.TEXT


def _coded(concept: Any) -> bool:
    return isinstance(concept, Mapping) and any(one.get("code") for one in concept.get("coding", ()))


@dataclass(slots=True)
class Tally:
    """
    The same of many documents of one type.

    Args:
        elements: item → how many documents say what of it.
        headings: heading → the same.
        under: heading → its items, in the order of the pack.
        needs: item, or heading, → how strongly it is asked for.
        labels: item → what a letter calls it.
    """

    documents: int = 0
    elements: dict[str, Counter[Said]] = field(default_factory=dict)
    headings: dict[str, Counter[Said]] = field(default_factory=dict)
    under: dict[str, list[str]] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def add(self, one: Completeness) -> None:
        """Count one document."""
        self.documents += 1
        for element in one.elements:
            self._count(self.elements, element.item, element)
            self.labels[element.item] = element.label
            under = self.under.setdefault(element.heading, [])
            if element.item not in under:
                under.append(element.item)
        for heading in one.headings():
            self._count(self.headings, heading.heading, heading)

    def _count(self, counts: dict[str, Counter[Said]], name: str, element: Element) -> None:
        counts.setdefault(name, Counter())[element.said] += 1
        self.needs[name] = element.need

    def percent(self, needs: Iterable[str]) -> float:
        """Of the elements that are asked for so strongly, how many are said, be it in words or withheld, in percent."""
        wanted = set(needs)
        counted = [count for name, count in self.elements.items() if self.needs[name] in wanted]
        total = sum(count.total() for count in counted)
        missing = sum(count[Said.ABSENT] + count[Said.UNREADABLE] for count in counted)
        return 100.0 * (1 - missing / total) if total else 100.0
