"""
The files that several feeds of one supplier share (`suppliers/<supplier>/shared/<name>.yaml`): bindings, tables, lists,
items of the supplier's own and what is ignored, each written once.

A mapping names what it shares, one level deep, and a name stands in one of its files only: so whatever a document says
has one line of origin still. A shared file knows nothing but what stands in it and in the document type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mhbridge.errors import Span
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.library import Library
from mhbridge.mapping.reader import Items, Pairs, Text, YamlFile

__all__ = ["Layer", "Names", "layers_of", "shared_files"]

_KEYS: Final = ("shared", "title", "items", "extra_items", "tables", "lists", "ignore")


@dataclass(frozen=True, slots=True)
class Layer:
    """
    A file of a mapping: one that it shares, or its own.

    Args:
        sharer: the mapping that shares the file; empty for its own.
    """

    file: YamlFile
    top: Declaration
    sharer: str = ""


class Names:
    """What the files of one mapping name, each name in one of them."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], Span] = {}

    def of(self, layer: Layer, key: str, is_: str) -> Iterator[str]:
        """
        The names that a file has under a key; one that another file has is reported, and left out. One whose value
        cannot be read is left out, too: the reader has said what is wrong with it.
        """
        pairs = layer.top.pairs(key)
        if pairs is None:
            return
        for name, span in pairs.keys.items():
            first = self._places.setdefault((key, name), span)
            if first is span:
                if name in pairs.entries:
                    yield name
            else:
                hint = "a mapping and what it shares say each thing once: take one of the two out"
                layer.file.report("E307", f"{name!r} is {is_} already, in {first}", span, hint)


def shared_files(tree: YamlFile | None, supplier: str) -> list[str]:
    """The paths of the files that a mapping says it shares, as far as it can be read."""
    listed = tree.root.entries.get("shares") if tree is not None and isinstance(tree.root, Pairs) else None
    entries = listed.entries if isinstance(listed, Items) else (listed,)
    return [f"suppliers/{supplier}/shared/{one.value}.yaml" for one in entries if isinstance(one, Text)]


def layers_of(library: Library, file: YamlFile, top: Declaration, name: str) -> tuple[Layer, ...]:
    """The files of a mapping, its own last."""
    supplier = name.partition("/")[0]
    folder = f"suppliers/{supplier}/shared"
    found: dict[str, Layer] = {}
    for text in top.texts("shares"):
        if text.value in found:
            file.report("E307", f"{text.value!r} is shared already", text.span, "take one of the two out")
            continue
        tree = library.tree(f"{folder}/{text.value}.yaml")
        if tree is None:
            hint = did_you_mean(text.value, library.names(folder, ".yaml"), f"it is looked for in {folder}/")
            file.report("E045", f"{supplier} has no shared file {text.value!r}", text.span, hint)
        elif tree.root is not None:
            shared = Declaration(tree, tree.root, "a shared file", _KEYS)
            if shared.require("shared") and shared.text("shared") != f"{supplier}/{text.value}":
                what = f"this file is {folder}/{text.value}.yaml but declares {shared.text('shared')!r}"
                tree.report("E044", what, shared.entries["shared"].span)
            found[text.value] = Layer(tree, shared, name)
    return (*found.values(), Layer(file, top))
