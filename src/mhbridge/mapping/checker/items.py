"""
Reads the items of a pack or a mapping, and the records that they are made of.

This module must never know which document type an item is of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mhbridge.errors import Span
from mhbridge.mapping.checker.carrying import check_carry
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.structure import check_name
from mhbridge.mapping.codes import CodeSystems, Heading
from mhbridge.mapping.packs import CARRY, NEEDS, Item, RecordType
from mhbridge.mapping.reader import Pairs, YamlFile
from mhbridge.mapping.run import OnBad, can_keep_text
from mhbridge.mapping.types import BUILT_IN_RECORDS, parse_type
from mhbridge.mapping.writing import undecided

__all__ = ["Codes", "check_before", "check_circles", "check_types", "in_order", "read_item", "read_record"]

_ITEM_KEYS = (
    "type",
    "label",
    "heading",
    "need",
    "carried",
    "help",
    "source",
    "on_bad",
    "systems",
    "binding",
    "is",
    "if_restricted",
    "before",
)
#: Those of an item that no field of a record has.
_OF_ITEMS: Final = ("identifies", "carry", "unless_said", "absence", "safety", "for_letters")


class Codes:
    """The code systems and headings that a check runs against."""

    def __init__(self, systems: CodeSystems, headings: Mapping[str, Heading]) -> None:
        self.systems = systems
        self.headings = headings


def check_before(file: YamlFile, item: Item, span: Span, items: Mapping[str, Item]) -> None:
    """That what stands `before` another stands under its heading, and the other above it in the file."""
    other = items.get(item.before)
    if other is None or other.heading != item.heading or other.before or other is item:
        under = [one.name for one in items.values() if one.heading == item.heading and not one.before]
        what = f"no item {item.before!r} is declared above under the same heading"
        file.report("E308", what, span, did_you_mean(item.before, under))


def in_order(items: Mapping[str, Item]) -> dict[str, Item]:
    """The items in the order of their narrative: as declared, but one that says `before` stands there."""
    order = [name for name, item in items.items() if not item.before]
    for name, item in items.items():
        if item.before:
            order.insert(order.index(item.before) if item.before in order else len(order), name)
    return {name: items[name] for name in order}


def read_record(file: YamlFile, name: str, node: object, key: Span, codes: Codes) -> RecordType | None:
    """A declared record, or `None` when it has no shape."""
    if not isinstance(node, Pairs):
        file.report("E042", "a record is written as `field: {type: …}` pairs", key)
        return None
    fields: dict[str, Item] = {}
    atomic = False
    identity: tuple[str, ...] = ()
    for field_name, field_node in node.entries.items():
        if field_name in ("atomic", "key") and not isinstance(field_node, Pairs):
            settings = Declaration(
                file,
                Pairs(node.span, {field_name: field_node}, {field_name: node.keys[field_name]}),
                "a record",
                ("atomic", "key"),
            )
            if field_name == "atomic":
                atomic = settings.flag("atomic")
            else:
                identity = tuple(text.value for text in settings.texts("key"))
            continue
        found = read_item(file, field_name, field_node, node.keys[field_name], codes, top_level=False)
        check_name(file, field_name, node.keys[field_name], "a field")
        if found is not None and found.derived:
            file.report("E202", "a field of a record is bound, never derived", node.keys[field_name])
        elif found is not None:
            fields[field_name] = found
    for text in identity:
        if text not in fields:
            hint = did_you_mean(text, fields)
            file.report("E503", f"the key names a field that is not declared: {text!r}", node.keys["key"], hint)
    made = RecordType(name, fields, atomic, identity)
    if atomic and not made.keeper:
        file.report("E046", f"the atomic record {name!r} needs a mandatory CodeableConcept to keep its text in", key)
    return made


def read_item(file: YamlFile, name: str, node: object, key: Span, codes: Codes, *, top_level: bool) -> Item | None:
    """One item, or one field of a record."""
    if not isinstance(node, Pairs):
        file.report("E042", f"{name!r} is declared as {{type: …, label: …}}", key)
        return None
    what = Declaration(
        file, node, *(("an item", (*_ITEM_KEYS, *_OF_ITEMS)) if top_level else ("a field", _ITEM_KEYS)), at=key
    )
    if not what.require("type"):
        return None
    try:
        type_ = parse_type(what.text("type"))
    except ValueError as error:
        file.report("E215", str(error), what.entries["type"].span)
        return None
    heading, derived = what.text("heading"), "is" in what
    if heading and heading not in codes.headings:
        file.report(
            "E308",
            f"there is no heading {heading!r}",
            what.entries["heading"].span,
            did_you_mean(heading, codes.headings),
        )
    if heading and not what.text("label"):
        file.report("E041", "an item with a heading needs a label: its words in the narrative", key)
    if top_level and not heading and "carried" not in what:
        file.report(
            "E312",
            f"{name!r} has no heading, so nobody would read it",
            key,
            "give it a heading, or say why not: carried: 'no: …'",
        )
    on_bad = what.choice("on_bad", OnBad, "omit")
    if on_bad == "text" and not can_keep_text(type_):
        hint = "omit, or park"
        file.report("E046", f"a {type_} cannot keep a text that does not convert", what.entries["on_bad"].span, hint)
    identifies = what.flag("identifies")
    if identifies and derived:
        file.report(
            "E040", f"{name!r} says who the patient is, so it is bound and never derived", key, "leave out `identifies`"
        )
    check_carry(what, name)
    systems = []
    for text in what.texts("systems"):
        if codes.systems.known(text.value):
            systems.append(text.value)
        else:
            file.report(
                "E401",
                f"unknown code system {text.value!r}",
                text.span,
                did_you_mean(text.value, codes.systems.names()),
            )
    return Item(
        name=name,
        type=type_,
        span=key,
        label=what.text("label"),
        heading=heading,
        need=what.choice("need", NEEDS, "optional"),
        carried=what.text("carried"),
        help=what.text("help"),
        source=what.text("source"),
        on_bad=on_bad,
        systems=tuple(systems),
        binding=what.text("binding"),
        withhold=what.choice("if_restricted", ("withhold", "keep"), "keep") == "withhold",
        identifies=identifies,
        derived=derived,
        before=what.text("before"),
        carry=what.choice("carry", CARRY, "never"),
        unless_said=tuple(text.value for text in what.texts("unless_said")),
        absence=what.flag("absence"),
        safety=what.flag("safety"),
        for_letters=what.flag("for_letters"),
    )


def check_types(items: Iterable[Item], records: Mapping[str, RecordType], file: YamlFile) -> None:
    """That every type is a known one, and that the values of an `any of` can be told apart."""
    from mhbridge.fhir.definitions import r4

    definitions = r4()
    own = ("nhs_number", "text", "xhtml")
    for item in items:
        for name in item.type.names:
            known = name in records or name in BUILT_IN_RECORDS or name in own or definitions.is_type(name)
            if not known:
                near = [*records, *BUILT_IN_RECORDS, *own, "CodeableConcept", "dateTime", "string"]
                file.report("E215", f"there is no type {name!r}", item.span, did_you_mean(name, near))
        if unclear := undecided(item.type.options):
            file.report("E215", f"{item.name!r}: {unclear}", item.span)


def check_circles(records: Mapping[str, RecordType], file: YamlFile) -> None:
    """That no record contains itself."""

    def inside(name: str, above: tuple[str, ...]) -> bool:
        if name in above:
            return name == above[0]
        fields = records[name].fields.values() if name in records else ()
        return any(inside(part, (*above, name)) for one in fields for part in one.type.names)

    for name, record in records.items():
        if inside(name, ()):
            file.report("E216", f"the record {name!r} contains itself", next(iter(record.fields.values())).span)
