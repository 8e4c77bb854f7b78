"""
What a letter may take from earlier messages, and what it must never: medicines, and that there is none of something.

What may not be carried is said by parts, as data; no document that uses a part can say otherwise. This module must
never know what a medicine is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mhbridge.errors import Span
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.library import Library
from mhbridge.mapping.packs import RESERVED, Item, Stale
from mhbridge.mapping.reader import Pairs, YamlFile

__all__ = ["check_carried", "check_carry", "read_stale"]


def check_carry(what: Declaration, name: str) -> None:
    """What an item says of being carried, by itself."""
    beside = next((one for one in ("safety", "unless_said") if one in what), "")
    if beside and what.text("carry", "never") == "never":
        hint = "say how far it is carried, `carry: episode` or `carry: patient`"
        text = f"{beside!r} is about what is carried, and {name!r} is not"
        what.file.report("E540", text, what.entries[beside].span, hint)


def check_carried(files: Iterable[YamlFile], items: Mapping[str, Item], never: Mapping[str, str]) -> None:
    """
    That nothing is carried which must not be: what a part forbids, under its headings too; and what may be an absence.

    Args:
        files: in which the items are declared.
        never: names of items and records → the part that forbids it.
    """
    headings = {items[name].heading: part for name, part in never.items() if name in items and items[name].heading}
    for file in files:
        for name, declared in _declared(file):
            item = items.get(name)
            if item is None or item.carry == "never" or item.span.file != file.path:
                continue
            _check(file, item, declared.entries["carry"].span, never, headings)
            for other in item.unless_said:
                if other not in items:
                    what, where = f"this names an item that is not declared: {other!r}", declared.entries["unless_said"]
                    file.report("E503", what, where.span, did_you_mean(other, items))


def _declared(file: YamlFile) -> Iterator[tuple[str, Pairs]]:
    items = file.root.entries.get("items") if isinstance(file.root, Pairs) else None
    for name, node in items.entries.items() if isinstance(items, Pairs) else ():
        if isinstance(node, Pairs):
            yield name, node


def _check(file: YamlFile, item: Item, where: Span, never: Mapping[str, str], headings: Mapping[str, str]) -> None:
    names = (item.name, *item.type.names)
    forbids = next((never[name] for name in names if name in never), "") or headings.get(item.heading, "")
    if forbids:
        what = f"{item.name!r} may not be carried: the part {forbids!r} says `carry: never` of its items and headings"
        file.report("E541", what, where, "only whoever writes a letter can say it")
    elif item.absence or "boolean" in item.type.names:
        what = f"{item.name!r} may not be carried: it can say that there is none"
        file.report("E542", what, where, "an absence holds only where whoever writes a letter says so")
    elif item.identifies or item.derived or item.name in RESERVED:
        what = f"{item.name!r} may not be carried: it says whose the letter is, or follows from what the letter says"
        file.report("E543", what, where)


def read_stale(library: Library, top: Declaration) -> tuple[Stale, ...]:
    """`stale:` what makes a letter out of date when it happens after the letter was written, and what is done then."""
    found = []
    for node in top.items("stale"):
        what = Declaration(top.file, node, "what makes a letter stale", ("document", "item", "is", "then"))
        if not what.require("document", "then"):
            continue
        if what.text("document") not in (known := library.folders("documents")):
            text = f"there is no document type {what.text('document')!r}"
            top.file.report("E045", text, what.entries["document"].span, did_you_mean(what.text("document"), known))
        if ("item" in what) != ("is" in what):
            what.require("item", "is")
        then = what.choice("then", ("replace", "tell", "hold"), "tell")
        found.append(Stale(what.text("document"), what.text("item"), what.text("is"), then))
    return tuple(found)
