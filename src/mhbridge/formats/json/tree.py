"""
A document as a tree of nodes, whose leaves are numbered in the order of the document.

A leaf is a text, a number or a truth value; the leaves below a node are those from `first` to before `end`. A text of
blanks alone, `null`, an empty list and an empty object say nothing and are no leaves. This module must never change
what a leaf says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mhbridge.errors import MalformedMessage
from mhbridge.formats.json.scanning import MOST_DEPTH, MOST_VALUES

__all__ = ["Node", "Tree", "each", "grown", "said"]


class Node:
    """
    One value of a document.

    Args:
        children: by name, or in order; `None` of a leaf.
        value: of a leaf; `None` is `null`.
        key: its name, or its place in the list, from 0.
        flat: of a list: there are no lists in it.

    What predicates ask of its entries is remembered in `asked` once one does (`paths`).
    """

    __slots__ = ("asked", "children", "end", "first", "flat", "key", "parent", "value")

    asked: dict[Any, Any]
    flat: bool

    def __init__(self, parent: Node | None, key: str | int, first: int) -> None:
        self.parent = parent
        self.key = key
        self.first = self.end = first
        self.children: dict[str, Node] | list[Node] | None = None
        self.value: Any = None

    @property
    def top(self) -> Node:
        """The whole document."""
        node = self
        while node.parent is not None:
            node = node.parent
        return node

    def entries(self) -> Iterable[Node]:
        """The node, or the entries of the list that it is, those of lists in it too."""
        children = self.children
        if type(children) is not list:
            return (self,)
        return children if self.flat else _flattened(children)

    def __repr__(self) -> str:
        return f"<Node {self.first}:{self.end}>"


class Tree:
    """A document: its topmost node, and its leaves in order."""

    __slots__ = ("leaves", "top")

    def __init__(self, top: Node, leaves: list[Node]) -> None:
        self.top = top
        self.leaves = leaves


def grown(value: Any, *, nulls: bool = False) -> Tree:
    """
    The tree of an object or a list as `reading` gives it.

    Args:
        nulls: `null` says something (that there is no value any more), and is a leaf.

    Raises:
        MalformedMessage: M825, M826.
    """
    leaves: list[Node] = []
    made = 0
    new, add = object.__new__, leaves.append

    def fill(node: Node, value: Any, depth: int) -> None:
        # The inner loop of all reading: one node for each value, and no call for a leaf.
        nonlocal made
        if depth > MOST_DEPTH:
            raise MalformedMessage("M825", f"more than {MOST_DEPTH} lists and objects inside one another")
        made += len(value)
        if made > MOST_VALUES:
            raise MalformedMessage("M826", f"more than {MOST_VALUES} values in one message")
        children: dict[Any, Node] = {}
        at = len(leaves)
        for key, inner in value.items() if type(value) is dict else enumerate(value):
            kind = type(inner)
            children[key] = child = new(Node)
            child.parent = node
            child.key = key
            child.first = at
            if kind is dict or kind is list:
                child.value = None
                fill(child, inner, depth + 1)
                at = len(leaves)
                continue
            child.children = None
            child.value = inner
            if (inner and not inner.isspace()) if kind is str else inner is not None or nulls:
                add(child)
                at += 1
            child.end = at
        if type(value) is dict:
            node.children = children
        else:
            node.children = list(children.values())
            node.flat = list not in map(type, value)
        node.end = at

    top = Node(None, "", 0)
    fill(top, value, 1)
    return Tree(top, leaves)


#: A node, or the entries of the list that it is.
each = Node.entries


def _flattened(children: list[Node]) -> Iterator[Node]:
    for child in children:
        yield from each(child)


def said(node: Node) -> str:
    """A leaf as text: a number by its digits, a truth value as `true` or `false`; nothing of a list or an object."""
    value = node.value
    if value is True:
        return "true"
    if value is False:
        return "false"
    return "" if value is None else str(value)
