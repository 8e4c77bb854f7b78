"""
The entries that a document type's parts and the document type itself declare in files of one name: clocks, checks.

They share one name space. This module must never read what an entry says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mhbridge.errors import Span
from mhbridge.mapping.checker.declarations import Declaration
from mhbridge.mapping.checker.items import Codes
from mhbridge.mapping.checker.lists import Lists, read_lists
from mhbridge.mapping.library import Library
from mhbridge.mapping.packs import DocumentType
from mhbridge.mapping.reader import Node, YamlFile

__all__ = ["Entry", "entries"]


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One entry.

    Args:
        key: where its name stands.
        lists: the code lists that the file declares.
    """

    name: str
    node: Node
    key: Span
    file: YamlFile
    lists: Lists


def entries(library: Library, document: DocumentType, codes: Codes, word: str) -> Iterator[Entry]:
    """
    What `<word>.yaml` of each part, and then of the document type, has under the key `<word>`.

    A name that is there already is reported, and left out.
    """
    found: dict[str, Span] = {}
    for folder in (*(f"parts/{part}" for part in document.parts), f"documents/{document.name}"):
        tree = library.tree(f"{folder}/{word}.yaml")
        if tree is None or tree.root is None:
            continue
        top = Declaration(tree, tree.root, f"a file of {word}", (word, "lists"))
        top.require(word)
        lists = read_lists(library, tree, top, codes.systems)
        pairs = top.pairs(word)
        for name, node in pairs.entries.items() if pairs is not None else ():
            assert pairs is not None
            key = pairs.keys[name]
            if name in found:
                where = f"{name!r} is declared already, in {found[name]}"
                tree.report("E307", where, key, f"{word} of a document and its parts share one name space")
                continue
            found[name] = key
            yield Entry(name, node, key, tree, lists)
