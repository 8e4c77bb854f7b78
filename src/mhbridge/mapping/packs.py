"""
A document type as its pack declares it: items, records, lists. Frozen; made by `checker.packs`.

This is the vocabulary that bindings write and builds read. It must never know a supplier or a target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mhbridge.errors import Span
from mhbridge.mapping.codes import CodeList
from mhbridge.mapping.nodes import Derived
from mhbridge.mapping.types import Type
from mhbridge.model.frozen import frozen

__all__ = [
    "CARRY",
    "EARLIER_VERSION",
    "MESSAGE_FIELDS",
    "NEEDS",
    "RESERVED",
    "Asked",
    "DocumentType",
    "Item",
    "RecordType",
    "Stale",
    "Wait",
]

#: Items that the gateway reads (mapping language §4), so no build need write them.
RESERVED: Final = frozenset({"act", "patient_key", "merged_from", "replaces", "effective_at", "sensitivity", "message"})

#: How strongly something is asked for, the strongest first (PRSB's M, R and O).
NEEDS: Final = ("mandatory", "required", "optional")

#: How far what an event said serves a letter that does not say it: not at all, within the stay, or in all stays.
CARRY: Final = ("never", "episode", "patient")

#: The read-only fields of `message`.
MESSAGE_FIELDS: Final[Mapping[str, Type]] = {
    "received_at": Type("instant"),
    "control_id": Type("string"),
    "sender": Type("string"),
    "supplier": Type("string"),
}


@frozen(frozen=True, slots=True)
class Item:
    """
    One thing there is to say.

    Args:
        need: `mandatory`, `required` or `optional`.
        heading: the section of the narrative it stands in; empty with a reason in `carried`.
        on_bad: what a value that will not convert costs: `omit`, `text` or `park`.
        systems: names of the code systems that may occur.
        withhold: its value is withheld when the patient's record is restricted.
        identifies: it says who the patient is, and so holds of the record that said it alone.
        derived: it is computed, never bound.
        before: the item of the same heading that it stands in front of; empty: where it is declared.
        carry: whether an earlier message may fill it: `never`, within one `episode`, or of the `patient`.
        unless_said: items beside which it is not carried, since they would contradict each other.
        absence: it says that there is none, or that nobody knows: never carried, and nothing is carried beside it.
        for_letters: of an event: it is kept for letters that may carry it, and no build need write it.
        safety: when what is carried of it changes, whoever has the letter is told at once.
    """

    name: str
    type: Type
    span: Span
    label: str = ""
    heading: str = ""
    need: str = "optional"
    carried: str = ""
    help: str = ""
    source: str = ""
    on_bad: str = "omit"
    systems: tuple[str, ...] = ()
    binding: str = ""
    withhold: bool = False
    identifies: bool = False
    derived: bool = False
    before: str = ""
    carry: str = "never"
    unless_said: tuple[str, ...] = ()
    absence: bool = False
    safety: bool = False
    for_letters: bool = False

    def one(self) -> Item:
        """The same of one element of it, which is another's value in a loop."""
        # Written out, as `replace` asks for the fields one by one.
        return Item(
            self.name, self.type.single(), self.span, self.label, self.heading, self.need, self.carried, self.help,
            self.source, self.on_bad, self.systems, self.binding, self.withhold, self.identifies, self.derived,
            self.before, self.carry, self.unless_said, self.absence, self.safety, self.for_letters,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecordType:
    """
    A record: named fields.

    Args:
        atomic: kept whole as text when any of its parts fails (mapping language §4).
        key: the fields that are its identity; empty: its place in the list.
    """

    name: str
    fields: Mapping[str, Item]
    atomic: bool = False
    key: tuple[str, ...] = ()

    @property
    def keeper(self) -> str:
        """The field in which an atomic record keeps its text when a part of it fails; empty when it is not atomic."""
        concept = Type("CodeableConcept")
        coded = (name for name, one in self.fields.items() if one.need == "mandatory" and one.type == concept)
        return next(coded, "") if self.atomic else ""


#: What a message waits for that takes a letter back. No item can be called so.
EARLIER_VERSION: Final = "earlier-version"


@dataclass(frozen=True, slots=True)
class Wait:
    """
    A message that may overtake the one that it speaks of: it waits for that, and then for a person.

    Args:
        item: the item by which such a message is known, and its `value`.
        needs: the item that the other one sets, or `EARLIER_VERSION`: the other one is a letter.
        minutes: how long it waits.
    """

    item: str
    value: str
    needs: str
    minutes: int

    @property
    def for_version(self) -> bool:
        """What it waits for is a letter, whatever that says."""
        return self.needs == EARLIER_VERSION


@dataclass(frozen=True, slots=True)
class Stale:
    """
    What makes a letter out of date when it happens after the letter was written.

    Args:
        document: type of the document that says it.
        item: the item by which such a message is known, and its `value`; empty: every one is.
        then: `replace`: the letter is made again; `tell`: a person decides; `hold`: before it leaves.
    """

    document: str
    item: str
    value: str
    then: str


@dataclass(frozen=True, slots=True)
class Asked:
    """
    A heading that a document is to have.

    Args:
        need: how strongly it is asked for; that is the standard's to say, whatever its elements are. Where it does not,
            as strongly as the strongest of them.
        items: the names of what stands under it.
    """

    heading: str
    title: str
    need: str
    items: tuple[str, ...]


@frozen(frozen=True, slots=True)
class DocumentType:
    """
    Args:
        identity: the items whose values name the same document again.
        parts: the shared parts, in order.
        lasting: items that hold for the patient and not for one stay: known from every episode.
        identifies: items that say who the patient is. Of records that were merged, those of the one that stays hold.
        waits: messages that may overtake those they speak of.
        headings: what the record standard asks for, in the order in which the items name it.
        stale: what makes a letter of this type out of date.
        settled: an instant that is said once for a stay → by how many minutes it may differ when it is said again.
        lists: name → (system name, code) pairs, for `in`.
        code_lists: the lists that stand in files, for `member`.
        extracts: document types that may be made of a letter of this one, beside it.
        takes: of such a type: the items that it takes of the letter.
        takes_under: headings of which it takes whatever the letter has.
        derived: the derived items, each after those it reads.
    """

    name: str
    title: str
    identity: tuple[str, ...]
    parts: tuple[str, ...]
    items: Mapping[str, Item]
    records: Mapping[str, RecordType]
    lists: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    code_lists: Mapping[str, CodeList] = field(default_factory=dict)
    derived: tuple[Derived, ...] = ()
    lasting: frozenset[str] = frozenset()
    waits: tuple[Wait, ...] = ()
    stale: tuple[Stale, ...] = ()
    settled: Mapping[str, int] = field(default_factory=dict)
    headings: tuple[Asked, ...] = ()
    extracts: tuple[str, ...] = ()
    takes: frozenset[str] = frozenset()
    takes_under: frozenset[str] = frozenset()
    identifies: frozenset[str] = field(init=False)
    #: Name of an item that is a record → the mandatory fields of it; of records that have some.
    demanding: Mapping[str, tuple[Item, ...]] = field(init=False)
    #: Heading → every item under it, the supplier's own too, each with the field of a record that is to be coded (`""`:
    #: the value itself is) or `None` where nothing need be.
    under: Mapping[str, tuple[tuple[str, str | None], ...]] = field(init=False)
    #: Items that an earlier message may fill → the items beside which it must not.
    carried: Mapping[str, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        records = ((name, self.records.get(item.type.name)) for name, item in self.items.items())
        found = {
            name: tuple(one for one in record.fields.values() if one.need == "mandatory")
            for name, record in records
            if record is not None
        }
        names = (name for name, item in self.items.items() if item.identifies)
        object.__setattr__(self, "identifies", frozenset(names) | {"patient_key"})
        object.__setattr__(self, "demanding", {name: fields for name, fields in found.items() if fields})
        carried = {name: self._contrary(item) for name, item in self.items.items() if item.carry != "never"}
        object.__setattr__(self, "carried", carried)
        own: dict[str, list[str]] = {}
        for name, item in self.items.items():
            own.setdefault(item.heading, []).append(name)
        under = {
            asked.heading: tuple(
                (name, self.coded(self.items[name]))
                for name in dict.fromkeys((*asked.items, *own.get(asked.heading, ())))
                if name in self.items
            )
            for asked in self.headings
        }
        object.__setattr__(self, "under", under)

    def taken_of(self, letter: DocumentType) -> frozenset[str]:
        """The items that a document of this type takes of a letter."""
        under = (one.name for one in letter.items.values() if one.heading in self.takes_under and not one.derived)
        return self.takes.union(under)

    def coded(self, item: Item) -> str | None:
        """The field of an item's record that is to be coded; `""` where its value is, `None` where nothing need be."""
        # An atomic record is coded by the field that names it: a medicine by its drug.
        record = self.records.get(item.type.name)
        if record is not None and record.keeper:
            return record.keeper
        return "" if "CodeableConcept" in item.type.names else None

    def _contrary(self, item: Item) -> frozenset[str]:
        """What a letter may say that a carried value would contradict: above all, that there is none."""
        absences = (one.name for one in self.items.values() if one.absence and one.heading == item.heading)
        return frozenset((*item.unless_said, *absences))

    def fields_of(self, type_name: str) -> Mapping[str, Type] | None:
        """The fields of a declared record, or `None`."""
        record = self.records.get(type_name)
        return None if record is None else {name: item.type for name, item in record.fields.items()}
