"""
What every format of nodes with numbered leaves says of them: of JSON, and of FHIR, which is read into the same nodes.

This module must never know what a path is: whoever has paths says which leaves they mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from mhbridge.errors import MalformedMessage
from mhbridge.formats import Became, BrokenMessage, Cell, Ignoring, Path, Source, States, nowhere
from mhbridge.formats.json.places import Ignored, name_of
from mhbridge.formats.json.tree import Node, said
from mhbridge.formats.json.writing import altered
from mhbridge.model import MessageFacts

__all__ = ["OfNodes", "marked"]


def marked(name: str, body: bytes) -> BrokenMessage:
    """
    A body with a byte order mark, of the format `name`.

    Whoever sent it can be told; what it says is kept, for a byte order mark is no part of it.
    """
    error = MalformedMessage("M824", "line 1:1: a byte order mark, which JSON does not have", path="line 1:1", offset=0)
    return BrokenMessage(error, MessageFacts(name, "unreadable"), body)


class OfNodes(ABC):
    """The part of a format (`mhbridge.formats.Format`) that asks for leaves by their number. Stateless."""

    #: What is ignored, of all paths at once.
    _all_ignored: ClassVar[type[Ignored]] = Ignored

    def cursor(self, message: Any) -> Any:
        """The whole message."""
        return message.tree.top

    def text(self, raw: Any) -> str:
        """A leaf as text; of what has several the texts in it."""
        return "; ".join(map(said, _leaves(raw)))

    def populated(self, message: Any) -> Iterable[Cell]:
        """Every leaf."""
        return [(place, 1) for place in range(len(message.tree.leaves))]

    def shapes(self, message: Any) -> tuple[Sequence[str], Sequence[Hashable]]:
        """A message is one group, and its shape is how many leaves it has."""
        return ("",), (range(len(message.tree.leaves)),)

    def layout(self, kind: str, shape: Any) -> Sequence[Cell]:  # noqa: ARG002  # the protocol's
        """Every leaf."""
        return [(place, 1) for place in shape]

    def like(self, place: int) -> int:
        """The leaf; nothing asks about several."""
        return place

    @abstractmethod
    def ignored(self, path: Path) -> Callable[[Any], Iterable[Cell]]:
        """All leaves below a path."""

    def ignoring(self, paths: Sequence[Path]) -> tuple[Callable[[str, int], int], Ignoring]:
        """The same for all of them at once. Which leaf has which number depends on the message."""
        return nowhere, self._all_ignored(paths)

    def became(self, message: Any, states: States, ignoring: Sequence[Ignoring]) -> Became:
        """What became of all leaves: each has a place of its own, so a state is a set of places."""
        failed = {*states[2]}
        bound = {*states[0]} - failed
        selectors = {*states[1]} - failed - bound
        left = {*range(len(message.tree.leaves))} - failed - bound - selectors
        away = {place for find in ignoring if isinstance(find, Ignored) for place in left & find.places(message)}
        return Became(
            len(bound), len(selectors), len(away),
            [(place, 1) for place in sorted(failed)], [(place, 1) for place in sorted(left - away)],
        )  # fmt: skip

    def touched(self, message: Any, cell: int) -> Any:
        """The name of the leaf."""
        return name_of(message.tree.leaves[cell])

    def leaf(self, message: Any, cell: int, bit: int) -> str:  # noqa: ARG002
        """What a leaf says."""
        return said(message.tree.leaves[cell])

    def altered(self, message: Any, cell: int, bit: int, encoded: str, source: Source) -> bytes:  # noqa: ARG002
        """The message in JSON with one leaf replaced."""
        return altered(message.tree.top, message.tree.leaves[cell], encoded)


def _leaves(node: Node) -> Iterator[Node]:
    if node.children is None:
        if node.end > node.first:
            yield node
        return
    for child in node.children.values() if isinstance(node.children, dict) else node.children:
        yield from _leaves(child)
