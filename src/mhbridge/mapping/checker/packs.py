"""
Reads `documents/<type>/items.yaml` and the parts it names into a `DocumentType`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mhbridge.errors import Span
from mhbridge.mapping.checker.carrying import check_carried, check_carry, read_stale
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.environment import Environment, assignable
from mhbridge.mapping.checker.expressions import Resolver
from mhbridge.mapping.checker.structure import check_name
from mhbridge.mapping.code_files import load_list
from mhbridge.mapping.codes import CodeList, CodeSystems, Heading
from mhbridge.mapping.expression import parse
from mhbridge.mapping.library import Library
from mhbridge.mapping.nodes import Derived, ItemOf, reads
from mhbridge.mapping.packs import CARRY, EARLIER_VERSION, NEEDS, Asked, DocumentType, Item, RecordType, Wait
from mhbridge.mapping.reader import Items, Node, Pairs, Text, YamlFile
from mhbridge.mapping.run import OnBad, can_keep_text
from mhbridge.mapping.types import BUILT_IN_RECORDS, parse_type
from mhbridge.mapping.writing import undecided

__all__ = ["Codes", "Lists", "check_before", "check_types", "in_order", "read_item", "read_lists", "read_pack"]

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
_PART_KEYS: Final = ("part", "title", "carry", "extracts", "items", "records", "lists", "waits")
#: A day, in minutes.
_LONGEST_WAIT: Final = 1440


@dataclass(frozen=True, slots=True)
class Lists:
    """
    The lists of codes that a file declares.

    Args:
        members: name → (system name, code), for `in`.
        files: name → list with dates, for `member`, of those that stand in files.
    """

    members: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    files: Mapping[str, CodeList] = field(default_factory=dict)

    def __or__(self, other: Lists) -> Lists:
        return Lists({**self.members, **other.members}, {**self.files, **other.files})


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
    keys = (
        "document", "title", "carry", "standard", "parts", "lasting", "identity", "waits", "settled", "stale", "needs",
        "takes", "takes_under",
        "items", "records", "lists",
    )  # fmt: skip
    top = Declaration(file, file.root, "a document type", keys)
    top.require("document", "title", "identity", "items")
    if top.text("document", name) != name:
        file.report(
            "E044",
            f"this file stands in documents/{name}/ but declares {top.text('document')!r}",
            top.entries["document"].span,
        )
    items: dict[str, Item] = {}
    records: dict[str, RecordType] = {}
    lists = read_lists(library, file, top, codes.systems)
    derivations: dict[str, tuple[YamlFile, Text]] = {}
    parts: list[str] = []
    lasting: set[str] = set()
    #: Names of items and records that no document may carry → the part that says so.
    never: dict[str, str] = {}
    waiting: list[tuple[YamlFile, Node]] = []
    extracts: list[str] = []
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
        before = set(items)
        if tree.root is not None:
            shared = Declaration(tree, tree.root, "a part", _PART_KEYS)
            lists |= read_lists(library, tree, shared, codes.systems)
            had = set(records)
            _collect(tree, shared, items, records, derivations, codes)
            if "carry" in shared:
                shared.choice("carry", ("never",), "never")
                never |= dict.fromkeys((items.keys() - before) | (records.keys() - had), part.value)
            waiting += [(tree, node) for node in shared.items("waits")]
            extracts += [one.value for one in shared.texts("extracts") if _is_extract(library, tree, one)]
        if part.value in {text.value for text in top.texts("lasting")}:
            lasting |= items.keys() - before
    for text in top.texts("lasting"):
        if text.value not in parts:
            file.report("E045", f"this document has no part {text.value!r}", text.span, did_you_mean(text.value, parts))
    shared_items = frozenset(items)
    _collect(file, top, items, records, derivations, codes)
    _set_needs(top, items, shared_items)
    items = in_order(items)
    fields = (one for record in records.values() for one in record.fields.values())
    check_types((*items.values(), *fields), records, file)
    _check_circles(records, file)
    check_carried([file, *filter(None, (library.tree(f"parts/{part}/items.yaml") for part in parts))], items, never)
    if "carry" in top:
        # What is told to somebody who is not of the care team is what its author chose to say.
        top.choice("carry", ("never",), "never")
        items = {name: replace(item, carry="never", safety=False, unless_said=()) for name, item in items.items()}
    identity = tuple(text.value for text in top.texts("identity"))
    for text in top.texts("identity"):
        if text.value not in items:
            file.report(
                "E503",
                f"the identity names an item that is not declared: {text.value!r}",
                text.span,
                did_you_mean(text.value, items),
            )
    document = DocumentType(
        name, top.text("title", name), identity, tuple(parts), items, records, lists.members, lists.files
    )
    derived = _derive(document, derivations, codes.systems)
    waiting += [(file, node) for node in top.items("waits")]
    waits = tuple(filter(None, (_wait(where, node, items) for where, node in waiting)))
    settled = _settled(file, top.pairs("settled"), items)
    asked = _asked(top, codes.headings, items)
    stale = read_stale(library, top)
    takes, under = _takes(top, items)
    return replace(
        document,
        stale=stale,
        derived=derived,
        lasting=frozenset(lasting),
        waits=waits,
        settled=settled,
        headings=asked,
        # Nothing is made of what is made of a letter itself.
        extracts=() if takes or under else tuple(dict.fromkeys(extracts)),
        takes=takes,
        takes_under=under,
    )


def _takes(top: Declaration, items: Mapping[str, Item]) -> tuple[frozenset[str], frozenset[str]]:
    """`takes:` the items that a document takes of a letter; `takes_under:` headings of which it takes everything."""
    for text in top.texts("takes"):
        _declared(top.file, text.value, text.span, items)
    headings = {one.heading for one in items.values() if one.heading}
    for text in top.texts("takes_under"):
        if text.value not in headings:
            what, near = f"no item stands under the heading {text.value!r}", did_you_mean(text.value, headings)
            top.file.report("E503", what, text.span, near)
    return frozenset(one.value for one in top.texts("takes")), frozenset(one.value for one in top.texts("takes_under"))


def _is_extract(library: Library, file: YamlFile, name: Text) -> bool:
    """Whether there is a document type of the name that is made of letters."""
    known = library.folders("documents")
    tree = library.tree(f"documents/{name.value}/items.yaml") if name.value in known else None
    if tree is None:
        what, near = f"there is no document type {name.value!r}", did_you_mean(name.value, known)
        file.report("E045", what, name.span, near)
    elif not isinstance(tree.root, Pairs) or not {"takes", "takes_under"} & tree.root.entries.keys():
        what = f"nothing is made of letters as {name.value!r}: it does not say what it takes of them"
        file.report("E544", what, name.span, "say it there, under `takes:`")
    else:
        return True
    return False


def _asked(top: Declaration, headings: Mapping[str, Heading], items: Mapping[str, Item]) -> tuple[Asked, ...]:
    """The headings of a document, and how strongly the record standard that it follows asks for each."""
    name = top.text("standard")
    known = sorted({column for heading in headings.values() for column in heading.needs})
    if name and name not in known:
        what = f"codes/headings.csv has no column {name!r}"
        top.file.report("E043", what, top.entries["standard"].span, did_you_mean(name, known))
    under: dict[str, list[Item]] = {}
    for item in items.values():
        # What is computed is asked of nobody.
        if item.heading and not item.derived:
            under.setdefault(item.heading, []).append(item)
    found = []
    for heading, elements in under.items():
        standard = headings.get(heading, Heading(heading, heading))
        need = standard.needs.get(name) or min((one.need for one in elements), key=NEEDS.index)
        found.append(Asked(heading, standard.title, need, tuple([one.name for one in elements])))
    return tuple(found)


def _wait(file: YamlFile, node: Node, items: Mapping[str, Item]) -> Wait | None:
    """Which messages wait for which, and how long."""
    what = Declaration(file, node, "a wait", ("item", "is", "for", "minutes"))
    if not what.require("item", "is", "for", "minutes"):
        return None
    _declared(file, what.text("item"), what.entries["item"].span, items)
    if what.text("for") != EARLIER_VERSION:
        _declared(file, what.text("for"), what.entries["for"].span, items, EARLIER_VERSION)
    return Wait(what.text("item"), what.text("is"), what.text("for"), _minutes(file, what.entries["minutes"]))


def _settled(file: YamlFile, node: Pairs | None, items: Mapping[str, Item]) -> dict[str, int]:
    """Which instants are said once, and by how much they may differ when they are said again."""
    if node is None:
        return {}
    for name, span in node.keys.items():
        _declared(file, name, span, items)
    return {name: _minutes(file, value) for name, value in node.entries.items()}


def _declared(file: YamlFile, name: str, span: Span, items: Mapping[str, Item], *others: str) -> None:
    if name not in items:
        hint = did_you_mean(name, (*items, *others))
        file.report("E503", f"this names an item that is not declared: {name!r}", span, hint)


def _minutes(file: YamlFile, node: Node) -> int:
    text = node.value if isinstance(node, Text) else ""
    if text.isascii() and text.isdecimal() and 0 < int(text) <= _LONGEST_WAIT:
        return int(text)
    file.report("E042", f"this is a number of minutes, from 1 to {_LONGEST_WAIT}", node.span)
    return 1


def read_lists(
    library: Library,
    file: YamlFile,
    top: Declaration,
    systems: CodeSystems,
    folders: Iterable[str] = (),
    only: Collection[str] | None = None,
) -> Lists:
    """
    `lists:` name → `[system#code, …]`, or `{file: x.csv}`, which lies in `codes/lists/`.

    Args:
        folders: where a file is looked for first.
        only: the names to read; left out, all.
    """
    members: dict[str, frozenset[tuple[str, str]]] = {}
    files: dict[str, CodeList] = {}
    pairs = top.pairs("lists")
    for name, node in (pairs.entries if pairs else {}).items():
        assert pairs is not None
        if only is not None and name not in only:
            continue
        check_name(file, name, pairs.keys[name], "a list")
        if isinstance(node, Pairs):
            found = _list_file(library, file, name, node, systems, (*folders, "codes/lists"))
            if found is not None:
                files[name] = found
                if not found.dated:
                    members[name] = found.codes
            continue
        codes = set()
        for entry in node.entries if isinstance(node, Items) else (node,):
            system, hash_, code = entry.value.partition("#") if isinstance(entry, Text) else ("", "", "")
            if not hash_ or not code:
                file.report("E042", "a list has entries like system#code", entry.span)
            elif not systems.known(system):
                file.report(
                    "E401", f"unknown code system {system!r}", entry.span, did_you_mean(system, systems.names())
                )
            else:
                codes.add((system, code))
        members[name] = frozenset(codes)
    return Lists(members, files)


def _list_file(
    library: Library, file: YamlFile, name: str, node: Pairs, systems: CodeSystems, folders: tuple[str, ...]
) -> CodeList | None:
    declared = Declaration(file, node, "a list", ("file",))
    if not declared.require("file"):
        return None
    wanted = declared.text("file")
    for folder in folders:
        if (text := library.table(f"{folder}/{wanted}")) is not None:
            if text[1] is None:
                return None
            found, diagnostics = load_list(text[0], text[1], systems, name=name)
            library.reported.extend(diagnostics)
            return found
    known = [f"{one}.csv" for folder in folders for one in library.names(folder, ".csv")]
    hint = did_you_mean(wanted, known, f"it is looked for in {' and '.join(folders)}")
    file.report("E205", f"there is no list file {wanted!r}", declared.entries["file"].span, hint)
    return None


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
        check_name(file, name, key, "an item")
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
        if item.before and isinstance(node, Pairs):
            check_before(file, item, node.entries["before"].span, items)
        if item.derived and isinstance(node, Pairs):
            derivation = node.entries.get("is")
            if isinstance(derivation, Text):
                derivations[name] = (file, derivation)
            elif derivation is not None:
                file.report("E042", "'is' takes one expression", derivation.span)
    declared = top.pairs("records")
    for name, node in (declared.entries if declared else {}).items():
        key = declared.keys[name] if declared else node.span
        check_name(file, name, key, "a record")
        if name in records or name in BUILT_IN_RECORDS:
            file.report("E307", f"a record named {name!r} is declared already", key)
            continue
        record = _record(file, name, node, key, codes)
        if record is not None:
            records[name] = record


def check_before(file: YamlFile, item: Item, span: Span, items: Mapping[str, Item]) -> None:
    """That what stands `before` another stands under its heading, and the other above it in the file."""
    other = items.get(item.before)
    if other is None or other.heading != item.heading or other.before or other is item:
        under = [one.name for one in items.values() if one.heading == item.heading and not one.before]
        what = f"no item {item.before!r} is declared above under the same heading"
        file.report("E308", what, span, did_you_mean(item.before, under))


def _set_needs(top: Declaration, items: dict[str, Item], shared: frozenset[str]) -> None:
    """`needs:` how strongly this document's standard asks for items of its parts, where that differs."""
    pairs = top.pairs("needs")
    needs = Declaration(top.file, pairs, "'needs'", shared)
    for name in pairs.entries if pairs else ():
        if name in shared:
            items[name] = replace(items[name], need=needs.choice(name, NEEDS, items[name].need))


def in_order(items: Mapping[str, Item]) -> dict[str, Item]:
    """The items in the order of their narrative: as declared, but one that says `before` stands there."""
    order = [name for name, item in items.items() if not item.before]
    for name, item in items.items():
        if item.before:
            order.insert(order.index(item.before) if item.before in order else len(order), name)
    return {name: items[name] for name in order}


def _record(file: YamlFile, name: str, node: object, key: Span, codes: Codes) -> RecordType | None:
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


def _check_circles(records: Mapping[str, RecordType], file: YamlFile) -> None:
    """That no record contains itself."""

    def inside(name: str, above: tuple[str, ...]) -> bool:
        if name in above:
            return name == above[0]
        fields = records[name].fields.values() if name in records else ()
        return any(inside(part, (*above, name)) for one in fields for part in one.type.names)

    for name, record in records.items():
        if inside(name, ()):
            file.report("E216", f"the record {name!r} contains itself", next(iter(record.fields.values())).span)


def _derive(
    document: DocumentType, derivations: Mapping[str, tuple[YamlFile, Text]], systems: CodeSystems
) -> tuple[Derived, ...]:
    """Derived items, each after those it reads; a circle is E213."""
    found: dict[str, Derived] = {}
    needs: dict[str, set[str]] = {}
    for name, (file, text) in derivations.items():
        env = Environment(
            file, systems, document=document, lists=document.lists, code_lists=document.code_lists, item=name,
        )  # fmt: skip
        want = document.items[name].type
        tree = parse(file, text, None, condition=True)
        value = None if tree is None else Resolver(env).expression(tree, want)
        if value is None:
            continue
        if value.type.many and not want.many:
            file.report("E214", f"this gives a {value.type}, and {name!r} is one {want}", text.span, "use first(…)")
            continue
        if not all(any(assignable(have, name_) for name_ in want.names) for have in value.type.names):
            file.report("E204", f"this gives a {value.type}, {name!r} is a {want}", text.span)
            continue
        found[name] = Derived(name, want, value)
        needs[name] = {read.name for read in reads(value) if isinstance(read, ItemOf)} & derivations.keys()
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
