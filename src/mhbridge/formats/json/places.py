"""
Where things are in a document, for the field ledger: each leaf is a cell of its own, numbered in document order.

A document is one group. This module must never look at what a leaf says, but for the test of a predicate.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from mhbridge.formats import PLACE_BITS, STATE_BITS, Asked, Cell, Path
from mhbridge.formats.json.path import JsonPath, Step
from mhbridge.formats.json.reach import alone, entries_of, every_reader, hop, passes, says_below, told, walk
from mhbridge.formats.json.tree import Node, each
from mhbridge.model import DELETED

__all__ = ["Ignored", "LoopPlaces", "Places", "asked_below", "ignored", "inside", "leaves_of", "name_of", "path_of"]


def leaves_of(node: Node) -> Iterator[Cell]:
    """All leaves below a node."""
    for place in range(node.first, node.end):
        yield place, 1


def inside(node: Node, parts: frozenset[str], into: dict[int, int]) -> None:
    """Add the leaves below a node that `parts` names: `*`, or names with dots between them."""
    named = _by_name(parts)
    if named is None:
        into.update(dict.fromkeys(range(node.first, node.end), 1))
    else:
        _gather(node, named, into)


#: Name → what is named below it; `None`, all that is there.
_Named = dict[str, "_Named | None"]


@lru_cache(maxsize=1024)
def _by_name(parts: frozenset[str]) -> _Named | None:
    """The names of parts, those below others below them."""
    if "*" in parts:
        return None
    top: _Named = {}
    for part in parts:
        here = top
        *names, last = part.split(".")
        for name in names:
            below = here.setdefault(name, {})
            if below is None:
                break
            here = below
        else:
            here[last] = None
    return top


def _gather(node: Node, named: _Named, into: dict[int, int]) -> None:
    children = node.children
    if type(children) is dict:
        for name, child in children.items():
            if name in named:
                below = named[name]
                if below is not None:
                    _gather(child, below, into)
                elif child.end - child.first == 1:
                    into[child.first] = 1
                else:
                    into.update(dict.fromkeys(range(child.first, child.end), 1))
    elif type(children) is list:
        for one in children:
            _gather(one, named, into)


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
    if step.looks:
        into += [(leaf.first, 1, True) for leaf in step.looked(node)]
    tests = step.which.tests if step.which is not None else ()
    if not tests:
        yield from hop(step)(node)
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


def _until_asked(steps: Sequence[Step]) -> int:
    """How many steps there are up to the last that asks."""
    return max([at for at, step in enumerate(steps, 1) if step.asks], default=0)


class LoopPlaces:
    """What the predicates of a path that is checked look at; see `mhbridge.formats.LoopSpot`."""

    kind = ""
    subject = within = everywhere = None

    def __init__(self, path: JsonPath, *, many: bool = True) -> None:
        self._steps, self._relative, self._many = path.steps, path.relative, many
        #: Up to the last that asks: each step, and the one test of its entries, where it has no more than that.
        self._asking = [(step, alone(step)) for step in path.steps[: _until_asked(path.steps)]]
        self._behind = [hop(step) for step in path.steps[len(self._asking) :]]
        self.asks = bool(self._asking)
        #: Nothing is found but in the cursor.
        self.inside = path.relative and not any(step.looks for step in path.steps)
        #: Paths that ask the same, of the same place, ask it once.
        self.question = f"{path.relative} {path.steps if not many else self._asking}" if self.asks else None

    def _start(self, cursor: Node) -> Node:
        return cursor if self._relative else cursor.top

    @staticmethod
    def holds(raw: Any, places: Sequence[int]) -> bool:
        """Whether any of some places, in order, is in a raw value."""
        at = bisect_left(places, raw.first)
        return at < len(places) and places[at] < raw.end

    def questioned(self, cursor: Any) -> list[Cell]:
        """The leaves that predicates look at, up to the value that is taken."""
        found: list[Cell] = []
        self._look(self._start(cursor), 0, found)
        return found

    def _look(self, node: Node, at: int, into: list[Cell]) -> bool:
        """Of one step after the other; whether something was found, where no more than one value is looked for."""
        if at == len(self._asking):
            return not self._many and says_below(node, self._behind)
        step, test = self._asking[at]
        if test is not None:
            children = node.children
            child = children.get(step.name) if type(children) is dict else None
            if child is None:
                return False
            asked = entries_of(child, test.names)
            for one in asked.by_text.get(test.text, ()):
                if self._look(one, at + 1, into):
                    into += asked.leaves[: asked.until[id(one)]]
                    return True
            into += asked.leaves
            return False
        if step.which is not None:
            told: list[Asked] = []
            taken = any(self._look(one, at + 1, into) for one in _told(node, step, told))
            into += [(place, mask) for place, mask, _ in told]
            return taken
        if step.looks:
            into += [(leaf.first, 1) for leaf in step.looked(node)]
        return any(self._look(one, at + 1, into) for one in step.led(node))

    def asked(self, cursor: Any) -> list[Asked]:
        """The same, each with whether it said yes."""
        found: list[Asked] = []
        asked_below(self._start(cursor), self._steps, found, many=self._many)
        return found


class Places(LoopPlaces):
    """
    What one path of a mapping reads; see `mhbridge.formats.Spot`.

    Args:
        ends: the names of what the path finds: several for a choice, none for a whole resource.
    """

    def __init__(self, path: JsonPath, ends: Iterable[str], *, many: bool) -> None:
        super().__init__(path, many=many)
        self._ends = frozenset(ends)
        self._every = every_reader(path)

    def touches(self, parts: frozenset[str]) -> frozenset[Any]:
        """The names of the leaves that it may read."""
        found = {part.rpartition(".")[2] for part in parts if part != "*"}
        return frozenset(found) | self._ends if "*" in parts else frozenset(found)

    def cells(self, raw: Node, parts: frozenset[str]) -> list[Cell]:
        """The leaves of a value that `parts` names."""
        found: dict[int, int] = {}
        inside(raw, parts, found)
        return [*found.items()]

    def take(self, raw: Node, parts: frozenset[str], into: Sequence[list[int]], state: int) -> None:
        """The same, as the ledger puts cells of any group together."""
        into[0] += [(1 << PLACE_BITS | place) << STATE_BITS | state for place, _ in self.cells(raw, parts)]

    def hold(self, raw: Node, parts: frozenset[str], states: Sequence[dict[int, int]], state: int) -> None:
        """The same of a document by itself."""
        inside(raw, parts, states[state])

    def present(self, raw: Node) -> tuple[Cell, ...]:
        """The one leaf that makes a value be there; none where there are several."""
        return ((raw.first, 1),) if raw.end - raw.first == 1 else ()

    def every(self, cursor: Any, parts: frozenset[str]) -> list[Cell]:
        """The leaves that `parts` names of all that stands at the path; of an object as a whole none."""
        return self._of([node for node in self._every(cursor) if node is not DELETED], parts)

    def _of(self, found: Iterable[Node], parts: frozenset[str]) -> list[Cell]:
        if "*" in parts:
            return [(node.first, 1) for node in found if node.children is None]
        return [cell for node in found for cell in self.cells(node, parts)]

    def standing(self, cursor: Any, parts: frozenset[str], places: Sequence[int]) -> list[Cell]:
        """Of `every` what stands at some places, which are in order."""
        found = [node for node in self._every(cursor) if node is not DELETED and self.holds(node, places)]
        return self._of(found, parts)

    def deleted(self, cursor: Any) -> list[Cell]:
        """Each `null` at the path that deletes."""
        return [
            (node.first, 1)
            for node in walk(self._start(cursor), self._steps)
            if node.children is None and node.value is None and node.end > node.first
        ]


def ignored(path: Path) -> Callable[[Any], Iterable[Cell]]:
    """Message → the leaves that an entry of `ignore:` names."""
    assert isinstance(path, JsonPath)
    steps = path.steps
    return lambda message: [cell for node in walk(message.tree.top, steps) for cell in leaves_of(node)]


class Ignored:
    """What some entries of `ignore:` name, all of them at once."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._steps = [path.steps for path in paths if isinstance(path, JsonPath)]

    def __call__(self, message: Any, asked: Sequence[Cell]) -> list[Cell]:
        """Those of some cells that they name."""
        found = self.places(message)
        return [cell for cell in asked if cell[0] in found]

    def places(self, message: Any) -> set[int]:
        """All leaves that they name."""
        nodes = [node for steps in self._steps for node in walk(message.tree.top, steps)]
        return set[int]().union(*[range(node.first, node.end) for node in nodes])


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
    from mhbridge.formats.json.path import NAME

    return NAME.fullmatch(key) is not None


def _quoted(key: str) -> str:
    return key.replace("\\", "\\\\").replace('"', '\\"')
