"""
Reads `documents/<type>/items.yaml` and the parts it names into a `DocumentType`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mhbridge.errors import Span
from mhbridge.mapping.checker.carrying import check_carried, read_stale
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.environment import Environment, assignable
from mhbridge.mapping.checker.expressions import Resolver
from mhbridge.mapping.checker.items import (
    Codes,
    check_before,
    check_circles,
    check_types,
    in_order,
    read_item,
    read_record,
)
from mhbridge.mapping.checker.lists import read_lists
from mhbridge.mapping.checker.structure import check_name
from mhbridge.mapping.codes import CodeSystems, Heading
from mhbridge.mapping.expression import parse
from mhbridge.mapping.library import Library
from mhbridge.mapping.nodes import Derived, ItemOf, reads
from mhbridge.mapping.packs import EARLIER_VERSION, NEEDS, Asked, DocumentType, Item, RecordType, Wait
from mhbridge.mapping.reader import Node, Pairs, Text, YamlFile
from mhbridge.mapping.types import BUILT_IN_RECORDS

__all__ = ["read_pack"]

_PART_KEYS: Final = ("part", "title", "carry", "extracts", "items", "records", "lists", "waits")
#: A day, in minutes.
_LONGEST_WAIT: Final = 1440


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
    check_circles(records, file)
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
        record = read_record(file, name, node, key, codes)
        if record is not None:
            records[name] = record


def _set_needs(top: Declaration, items: dict[str, Item], shared: frozenset[str]) -> None:
    """`needs:` how strongly this document's standard asks for items of its parts, where that differs."""
    pairs = top.pairs("needs")
    needs = Declaration(top.file, pairs, "'needs'", shared)
    for name in pairs.entries if pairs else ():
        if name in shared:
            items[name] = replace(items[name], need=needs.choice(name, NEEDS, items[name].need))


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
