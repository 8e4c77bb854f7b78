"""
Reads `documents/<type>/items.yaml` and the parts it names into a `DocumentType`.
"""

from __future__ import annotations

from collections.abc import Mapping

from mhbridge.errors import Span
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.expressions import Environment, Resolver, assignable, reads
from mhbridge.mapping.codes import CodeSystems, Heading
from mhbridge.mapping.expression import parse
from mhbridge.mapping.library import Library
from mhbridge.mapping.nodes import Derived
from mhbridge.mapping.packs import RESERVED, DocumentType, Item, RecordType
from mhbridge.mapping.reader import Items, Pairs, Text, YamlFile
from mhbridge.mapping.run import OnBad
from mhbridge.mapping.types import BUILT_IN_RECORDS, Type, parse_type

__all__ = ["Codes", "read_item", "read_lists", "read_pack"]

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
)
_NEEDS = ("mandatory", "required", "optional")


class Codes:
    """The code systems and headings that a check runs against."""

    def __init__(self, systems: CodeSystems, headings: Mapping[str, Heading]) -> None:
        self.systems = systems
        self.headings = headings


def read_pack(library: Library, name: str, codes: Codes, file: YamlFile) -> DocumentType | None:
    """
    The document type that `file` (its `items.yaml`) declares, with its parts joined in.

    Returns `None` when the file has no shape at all; otherwise what could be read, with diagnostics for the rest.
    """
    if file.root is None:
        return None
    top = Declaration(
        file, file.root, "a document type", ("document", "title", "parts", "identity", "items", "records", "lists")
    )
    top.require("document", "title", "identity", "items")
    if top.text("document", name) != name:
        file.report(
            "E044",
            f"this file stands in documents/{name}/ but declares {top.text('document')!r}",
            top.entries["document"].span,
        )
    items: dict[str, Item] = {}
    records: dict[str, RecordType] = {}
    lists = read_lists(file, top, codes.systems)
    derivations: dict[str, tuple[YamlFile, Text]] = {}
    parts: list[str] = []
    for part in top.texts("parts"):
        tree = library.tree(f"parts/{part.value}/items.yaml")
        if tree is None:
            file.report(
                "E045",
                f"there is no part {part.value!r}",
                part.span,
                did_you_mean(part.value, library.folders("parts")),
            )
            continue
        parts.append(part.value)
        if tree.root is not None:
            shared = Declaration(tree, tree.root, "a part", ("part", "title", "items", "records", "lists"))
            lists |= read_lists(tree, shared, codes.systems)
            _collect(tree, shared, items, records, derivations, codes)
    _collect(file, top, items, records, derivations, codes)
    _check_types(items, records, file)
    identity = tuple(text.value for text in top.texts("identity"))
    for text in top.texts("identity"):
        if text.value not in items:
            file.report(
                "E503",
                f"the identity names an item that is not declared: {text.value!r}",
                text.span,
                did_you_mean(text.value, items),
            )
    document = DocumentType(name, top.text("title", name), identity, tuple(parts), items, records, lists)
    derived = _derive(document, derivations, codes.systems)
    return DocumentType(name, document.title, identity, tuple(parts), items, records, lists, derived)


def read_lists(file: YamlFile, top: Declaration, systems: CodeSystems) -> dict[str, frozenset[tuple[str, str]]]:
    """`lists:` written in place: name → [system#code, …]."""
    found: dict[str, frozenset[tuple[str, str]]] = {}
    pairs = top.pairs("lists")
    for name, node in (pairs.entries if pairs else {}).items():
        members = set()
        for entry in node.entries if isinstance(node, Items) else (node,):
            system, hash_, code = entry.value.partition("#") if isinstance(entry, Text) else ("", "", "")
            if not hash_ or not code:
                file.report("E042", "a list has entries like system#code", entry.span)
            elif not systems.known(system):
                file.report(
                    "E401", f"unknown code system {system!r}", entry.span, did_you_mean(system, systems.names())
                )
            else:
                members.add((system, code))
        found[name] = frozenset(members)
    return found


def _collect(
    file: YamlFile,
    top: Declaration,
    items: dict[str, Item],
    records: dict[str, RecordType],
    derivations: dict[str, tuple[YamlFile, Text]],
    codes: Codes,
) -> None:
    pairs = top.pairs("items")
    for name, node in (pairs.entries if pairs else {}).items():
        key = pairs.keys[name] if pairs else node.span
        if name in items or name in ("message", "sections"):
            other = f", in {items[name].span}" if name in items else ""
            file.report(
                "E307",
                f"an item named {name!r} is declared already{other}",
                key,
                "items of a document and its parts share one name space",
            )
            continue
        item = read_item(file, name, node, key, codes, top_level=True)
        if item is None:
            continue
        items[name] = item
        if item.derived and isinstance(node, Pairs):
            derivation = node.entries["is"]
            if isinstance(derivation, Text):
                derivations[name] = (file, derivation)
    declared = top.pairs("records")
    for name, node in (declared.entries if declared else {}).items():
        key = declared.keys[name] if declared else node.span
        if name in records or name in BUILT_IN_RECORDS:
            file.report("E307", f"a record named {name!r} is declared already", key)
            continue
        record = _record(file, name, node, key, codes)
        if record is not None:
            records[name] = record


def _record(file: YamlFile, name: str, node: object, key: Span, codes: Codes) -> RecordType | None:
    if not isinstance(node, Pairs):
        file.report("E042", "a record is written as `field: {type: …}` pairs", key)
        return None
    fields: dict[str, Item] = {}
    atomic, identity = False, ()
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
        field = read_item(file, field_name, field_node, node.keys[field_name], codes, top_level=False)
        if field is not None:
            fields[field_name] = field
    if atomic and not any(f.need == "mandatory" and f.type == Type("CodeableConcept") for f in fields.values()):
        file.report("E046", f"the atomic record {name!r} needs a mandatory CodeableConcept to keep its text in", key)
    return RecordType(name, fields, atomic, identity)


def read_item(file: YamlFile, name: str, node: object, key: Span, codes: Codes, *, top_level: bool) -> Item | None:
    """One item, or one field of a record."""
    if not isinstance(node, Pairs):
        file.report("E042", f"{name!r} is declared as {{type: …, label: …}}", key)
        return None
    what = Declaration(file, node, "an item" if top_level else "a field", _ITEM_KEYS, at=key)
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
        need=what.choice("need", _NEEDS, "optional"),
        carried=what.text("carried"),
        help=what.text("help"),
        source=what.text("source"),
        on_bad=what.choice("on_bad", OnBad, "omit"),
        systems=tuple(systems),
        binding=what.text("binding"),
        withhold=what.choice("if_restricted", ("withhold", "keep"), "keep") == "withhold",
        derived=derived,
    )


def _check_types(items: Mapping[str, Item], records: Mapping[str, RecordType], file: YamlFile) -> None:
    """Every type is a known one, and no record contains itself."""
    from mhbridge.fhir.definitions import r4

    definitions = r4()

    def check(item: Item) -> None:
        for name in item.type.names:
            if (
                name not in records
                and name not in BUILT_IN_RECORDS
                and name not in ("nhs_number", "text", "xhtml")
                and not definitions.is_type(name)
            ):
                file.report(
                    "E215",
                    f"there is no type {name!r}",
                    item.span,
                    did_you_mean(
                        name,
                        [*records, *BUILT_IN_RECORDS, "text", "nhs_number", "CodeableConcept", "dateTime", "string"],
                    ),
                )

    for item in items.values():
        check(item)
    for record in records.values():
        for field in record.fields.values():
            check(field)

    def circle(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            record = records[name]
            file.report("E216", f"the record {name!r} contains itself", next(iter(record.fields.values())).span)
            return
        if name in records:
            for field in records[name].fields.values():
                circle(field.type.name, (*above, name))

    for name in records:
        circle(name, ())


def _derive(
    document: DocumentType, derivations: Mapping[str, tuple[YamlFile, Text]], systems: CodeSystems
) -> tuple[Derived, ...]:
    """Derived items, each after those it reads; a circle is E213."""
    found: dict[str, Derived] = {}
    needs: dict[str, set[str]] = {}
    for name, (file, text) in derivations.items():
        env = Environment(file, systems, document=document, lists=document.lists, item=name)
        tree = parse(file, text, None, condition=True)
        value = None if tree is None else Resolver(env).expression(tree, document.items[name].type)
        if value is None:
            continue
        if not assignable(value.type.name, document.items[name].type.name):
            file.report("E204", f"this gives a {value.type}, {name!r} is a {document.items[name].type}", text.span)
            continue
        found[name] = Derived(name, document.items[name].type, value)
        needs[name] = {read.name for read in reads(value) if hasattr(read, "name")} & derivations.keys()
    ordered: list[Derived] = []
    while found:
        ready = [name for name in found if not needs[name] & found.keys()]
        if not ready:
            name = next(iter(found))
            file, text = derivations[name]
            file.report("E213", f"derived items in a circle: {', '.join(found)}", text.span)
            break
        ordered += [found.pop(name) for name in ready]
    return tuple(ordered)


def is_reserved(name: str) -> bool:
    """Whether the gateway itself reads the item."""
    return name in RESERVED
