"""
Where things are in a document, for the field ledger: each leaf is a cell of its own, numbered in document order.

A document is one group. This module must never look at what a leaf says, but for the test of a predicate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from mhbridge.formats import PLACE_BITS, STATE_BITS, Asked, Cell, Path
from mhbridge.formats.json.paths import JsonPath, Step, below, entries_of, every_reader, passes, told, walk
from mhbridge.formats.json.tree import Node, each
from mhbridge.model import DELETED

__all__ = ["LoopPlaces", "Places", "asked_below", "ignored", "inside", "leaves_of", "name_of", "path_of"]


def leaves_of(node: Node) -> Iterator[Cell]:
    """All leaves below a node."""
    for place in range(node.first, node.end):
        yield place, 1


def inside(node: Node, parts: frozenset[str]) -> Iterator[Cell]:
    """The leaves below a node that `parts` names: `*`, or names with dots between them."""
    if "*" in parts:
        yield from leaves_of(node)
        return
    for part in parts:
        yield from _below(node, part.split("."))


def _below(node: Node, names: Sequence[str]) -> Iterator[Cell]:
    for one in each(node):
        if not names:
            yield from leaves_of(one)
        elif type(one.children) is dict and (child := one.children.get(names[0])) is not None:
            yield from _below(child, names[1:])


def asked_below(node: Node, steps: Sequence[Step], into: list[Asked], *, many: bool) -> bool:
    """
    The leaves that the predicates of steps look at, each with whether it said yes.

    Returns:
        Whether something was found, so that for a single value nothing behind it is asked.
    """
    if not steps:
        return any(one.end > one.first for one in each(node))
    step, rest = steps[0], steps[1:]
    taken = False
    for one in _told(node, step, into):
        taken = asked_below(one, rest, into, many=many) or taken
        if taken and not many:
            return True
    return taken


def _told(node: Node, step: Step, into: list[Asked]) -> Iterator[Node]:
    into += [(leaf.first, 1, True) for leaf in step.looked(node)]
    tests = step.which.tests if step.which is not None else ()
    if not tests:
        yield from below(node, step)
        return
    if type(step) is Step and len(tests) == 1:
        children = node.children
        child = children.get(step.name) if type(children) is dict else None
        for one, leaves, texts in entries_of(child, tests[0].names)[1] if child is not None else ():
            yes = (tests[0].text in texts) is tests[0].equal
            into += [(leaf, 1, yes) for leaf in leaves]
            if yes:
                yield one
        return
    for one in step.led(node):
        yes = True
        for test in tests:
            yes = passes(one, test)
            into += [(leaf.first, 1, yes) for leaf in told(one, test.names) if leaf.end > leaf.first]
            if not yes:
                break  # the tests behind it are not asked
        if yes:
            yield one


class LoopPlaces:
    """What the predicates of a path that is checked look at; see `mhbridge.formats.LoopSpot`."""

    subject = question = within = everywhere = None

    def __init__(self, path: JsonPath) -> None:
        self._steps, self._relative = path.steps, path.relative
        self.asks = any(step.asks for step in path.steps)

    def _start(self, cursor: Node) -> Node:
        return cursor if self._relative else cursor.top

    def questioned(self, cursor: Any) -> tuple[Cell, ...]:  # noqa: ARG002  # the protocol's
        """None: paths are asked one by one."""
        return ()

    def asked(self, cursor: Any) -> list[Asked]:
        """The leaves that predicates look at."""
        found: list[Asked] = []
        asked_below(self._start(cursor), self._steps, found, many=True)
        return found


class Places(LoopPlaces):
    """
    What one path of a mapping reads; see `mhbridge.formats.Spot`.

    Args:
        ends: the names of what the path finds: several for a choice, none for a whole resource.
    """

    def __init__(self, path: JsonPath, ends: Iterable[str], *, many: bool) -> None:
        super().__init__(path)
        self._many = many
        self._ends = frozenset(ends)
        self._every = every_reader(path)

    def touches(self, parts: frozenset[str]) -> frozenset[Any]:
        """The names of the leaves that it may read."""
        found = {part.rpartition(".")[2] for part in parts if part != "*"}
        return frozenset(found) | self._ends if "*" in parts else frozenset(found)

    def cells(self, raw: Node, parts: frozenset[str]) -> list[Cell]:
        """The leaves of a value that `parts` names."""
        return list(inside(raw, parts))

    def take(self, raw: Node, parts: frozenset[str], into: Sequence[list[int]], state: int) -> None:
        """The same, put together as numbers."""
        taken = into[0]
        if "*" in parts and raw.end - raw.first == 1:
            taken.append((1 << PLACE_BITS | raw.first) << STATE_BITS | state)
            return
        taken += [(mask << PLACE_BITS | place) << STATE_BITS | state for place, mask in inside(raw, parts)]

    def present(self, raw: Node) -> tuple[Cell, ...]:
        """The one leaf that makes a value be there; none where there are several."""
        return ((raw.first, 1),) if raw.end - raw.first == 1 else ()

    def every(self, cursor: Any, parts: frozenset[str]) -> list[Cell]:
        """The leaves that `parts` names of all that stands at the path; of an object as a whole none."""
        found = [node for node in self._every(cursor) if node is not DELETED]
        if "*" in parts:
            return [(node.first, 1) for node in found if node.children is None]
        return [cell for node in found for cell in inside(node, parts)]

    def deleted(self, cursor: Any) -> list[Cell]:
        """Each `null` at the path that deletes."""
        return [
            (node.first, 1)
            for node in walk(self._start(cursor), self._steps)
            if node.children is None and node.value is None and node.end > node.first
        ]

    def asked(self, cursor: Any) -> list[Asked]:
        """The leaves that predicates look at, up to the value that is taken."""
        found: list[Asked] = []
        asked_below(self._start(cursor), self._steps, found, many=self._many)
        return found


def ignored(path: Path) -> Callable[[Any], Iterable[Cell]]:
    """Message → the leaves that an entry of `ignore:` names."""
    assert isinstance(path, JsonPath)
    steps = path.steps
    return lambda message: [cell for node in walk(message.tree.top, steps) for cell in leaves_of(node)]


def name_of(node: Node) -> str:
    """The name of a leaf, or of the list that it is in."""
    at: Node | None = node
    while at is not None and isinstance(at.key, int):
        at = at.parent
    return str(at.key) if at is not None else ""


def path_of(node: Node, *, exact: bool) -> str:
    """`$.a.b[2].c`, or of all leaves like it `$.a.b.c`."""
    said: list[str] = []
    while node.parent is not None:
        key = node.key
        if isinstance(key, int):
            if exact:
                said.append(f"[{key + 1}]")
        else:
            said.append(f".{key}" if _plain_name(key) else f'["{_quoted(key)}"]')
        node = node.parent
    return "$" + "".join(reversed(said))


def _plain_name(key: str) -> bool:
    from mhbridge.formats.json.paths import NAME

    return NAME.fullmatch(key) is not None


def _quoted(key: str) -> str:
    return key.replace("\\", "\\\\").replace('"', '\\"')
