"""
What there is to try in a draft, as patterns say it, which are written as mappings are.

They are `drafts/<format>/<document type>.yaml` and `any.yaml` of every folder of mappings. This module must never see a
sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mhbridge.mapping.drafting.outline import Branch, Entry, Leaf, leaves, outline
from mhbridge.mapping.library import Snapshot
from mhbridge.mapping.reader import Node, Pairs, Text, YamlFile, read

__all__ = ["Pattern", "first_of_each", "pattern_of"]


@dataclass(slots=True)
class Pattern:
    """The patterns of a format for a document type, the special one laid over the general one."""

    flags: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    items: Branch = field(default_factory=Branch)
    ignore: dict[str, str] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    told_apart: list[dict[str, str]] = field(default_factory=list)
    keep: set[str] = field(default_factory=set)
    control_id: str = ""


def pattern_of(snapshot: Snapshot, formats: Sequence[str], document: str, words: Mapping[str, str]) -> Pattern:
    """
    What there is to try for a document type in messages of some formats.

    Args:
        formats: the first is that of the messages, the others are read in the same way.
        words: name → what stands for `{name}` in a pattern.
    """
    made = Pattern()
    for place in [f"drafts/{format_}/{which}.yaml" for format_ in formats for which in (document, "any")]:
        found = snapshot.read(place)
        if found is None:
            continue
        path, body = found
        for name, word in words.items():
            body = body.replace(b"{%s}" % name.encode(), word.encode())
        file = read(path, body)
        if isinstance(file.root, Pairs):
            _lay_over(made, file, file.root)
    return made


def _lay_over(made: Pattern, file: YamlFile, root: Pairs) -> None:
    """What a more general pattern has besides."""
    for key, node in root.entries.items():
        if key in ("authors", "partial") and isinstance(node, Text):
            if not made.flags:
                found = outline(file, node)
                assert isinstance(found, Leaf)
                made.flags[key] = f"{found.raw}{'  ' + found.comment if found.comment else ''}"
        elif key == "items" and isinstance(node, Pairs):
            branch = outline(file, node)
            assert isinstance(branch, Branch)
            have = {entry.key for entry in made.items.entries}
            made.items.entries += [entry for entry in branch.entries if entry.key not in have]
        elif key in ("tables", "ignore") and isinstance(node, Pairs):
            branch = outline(file, node)
            assert isinstance(branch, Branch)
            into = made.tables if key == "tables" else made.ignore
            for entry in branch.entries:
                if isinstance(entry.node, Leaf):
                    into.setdefault(entry.key, entry.node.raw)
        elif key == "control_id" and isinstance(node, Text):
            made.control_id = made.control_id or node.value
        else:
            _lay_over_rest(made, key, _plain(node))


def _lay_over_rest(made: Pattern, key: str, value: Any) -> None:
    if key == "columns" and isinstance(value, Mapping):
        for word, names in value.items():
            made.columns.setdefault(word, []).extend(names)
    elif key == "told_apart" and isinstance(value, list):
        made.told_apart += value
    elif key == "keep" and isinstance(value, list):
        made.keep |= set(value)


def _plain(node: Node) -> Any:
    from mhbridge.mapping.checker.declarations import plain

    return plain(node)


def first_of_each(items: Branch) -> None:
    """`admitted_at~2` is used where `admitted_at` has no columns."""
    kept: dict[str, Entry] = {}
    for entry in items.entries:
        name = entry.key.partition("~")[0]
        if name in kept and not all(leaf.refused for leaf in leaves(kept[name].node)):
            continue
        above = entry.above or (kept[name].above if name in kept else "")
        kept[name] = Entry(name, entry.node, above)
    items.entries = list(kept.values())
