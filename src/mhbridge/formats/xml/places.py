"""
Where things are in a document, for the field ledger: an element is a place, its text and its attributes are its leaves.

A path that ends at an element reads of it what its conversion says: leaves, each as one number (`LEAF_BITS`); `WORDS`
is all text in it. This module must never look at what a leaf says.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mhbridge.formats import PLACE_BITS, STATE_BITS, Asked, Cell, Scope, Source
from mhbridge.formats.xml.path import XmlPath
from mhbridge.formats.xml.reach import Filter, Route, ended, ready, route
from mhbridge.formats.xml.tree import TEXT, Element, Leaf, Tree, written_name
from mhbridge.formats.xml.writing import written

__all__ = [
    "LEAF_BITS",
    "WHOLE",
    "WORDS",
    "XmlSpot",
    "altered",
    "canonical",
    "ignored",
    "ignored_of",
    "layout",
    "leaf_text",
]

#: In `Conversion.reads`: everything in an element (`mhbridge.mapping.conversions.WHOLE`), and all its text.
WHOLE: Final = "*"
WORDS: Final = "text()"
#: A leaf that a conversion names is the number of its element and, in so many low bits, that of its bit.
LEAF_BITS: Final = 7
_LEAF: Final = (1 << LEAF_BITS) - 1


def layout(masks: Sequence[int]) -> list[Cell]:
    """The places of a document in which something is."""
    return [(place, mask) for place, mask in enumerate(masks) if mask]


class XmlSpot:
    """What one path of a mapping reads; see `mhbridge.formats.Spot`."""

    __slots__ = ("_route", "asks", "everywhere", "question", "subject", "within")

    def __init__(self, path: XmlPath, scope: Scope) -> None:
        self._route: Route = ready(path, scope)
        self.asks = bool(self._route.asking)
        #: Which leaves a path looks at is known by the path alone, of one from the root by its tests.
        self.question: Any = None
        if self.asks:
            self.question = self._route if self._route.relative else tuple(map(_looks, self._route.asking))
        self.subject: Any = self.question
        self.within: None = None
        self.everywhere: None = None

    def touches(self, parts: frozenset[str]) -> frozenset[str]:  # noqa: ARG002  # the protocol's
        """Whatever is inside an element may be read, so no path is told from another."""
        return frozenset({""})

    def cells(self, raw: Any, parts: frozenset[str]) -> list[Cell]:
        """The leaves of a raw value that `parts` names."""
        if not parts:
            return []
        if isinstance(raw, Leaf):
            return [(raw.index, TEXT << raw.bit)]
        assert isinstance(raw, Element)
        if WHOLE in parts:
            return raw.tree.populated(raw.index, raw.end)
        if WORDS in parts:
            return [(place, TEXT) for place, mask in raw.tree.populated(raw.index, raw.end) if mask & TEXT]
        return [(part >> LEAF_BITS, TEXT << (part & _LEAF)) for part in _leaves(parts)]

    def take(self, raw: Any, parts: frozenset[str], into: Sequence[list[int]], state: int) -> None:
        """The same, as the ledger puts cells together; a document is one group."""
        taken = into[0]
        if isinstance(raw, Element) and WHOLE not in parts and WORDS not in parts:
            taken += [
                (1 << (part & _LEAF) + PLACE_BITS | part >> LEAF_BITS) << STATE_BITS | state for part in _leaves(parts)
            ]
        else:
            taken += [(mask << PLACE_BITS | place) << STATE_BITS | state for place, mask in self.cells(raw, parts)]

    def present(self, raw: Any) -> list[Cell]:
        """The leaf without which the raw value would not be there; none when there are several."""
        found = self.cells(raw, frozenset({WHOLE}))
        return found if len(found) == 1 and found[0][1].bit_count() == 1 else []

    def every(self, cursor: Any, parts: frozenset[str]) -> list[Cell]:
        """All that stands at the path, whether or not it was read."""
        return [cell for raw in self._route.values(cursor) for cell in self.cells(raw, parts or frozenset({WHOLE}))]

    def deleted(self, cursor: Any) -> tuple[Cell, ...]:  # noqa: ARG002
        """Nothing in XML deletes."""
        return ()

    def questioned(self, cursor: Element) -> list[Cell]:
        """The leaves that the tests look at."""
        tree = cursor.tree
        key = ("looked", self.question, cursor.index if self._route.relative else -1)
        found: list[Cell] | None = tree.memo.get(key)
        if found is None:
            found = tree.memo[key] = []
            if self._route.relative:
                for stage, elements in self._route.asked(cursor):
                    found += stage.looked(tree, elements)
            else:
                for stage in self._route.asking:
                    found += stage.looked_from_root(tree)
        return found

    def asked(self, cursor: Element) -> Iterator[Asked]:
        """The leaves that the tests look at, and whether each said yes."""
        tree = cursor.tree
        for stage, elements in self._route.asked(cursor):
            for element in elements:
                leaves = stage.looked(tree, (element,))
                if leaves:
                    said = stage.asks.holds(tree, element)
                    for place, mask in leaves:
                        yield place, mask, said


def _looks(stage: Filter) -> Any:
    """What a test from the root looks at, whatever it wants to see there."""
    return stage.before, stage.asks.inner


def _leaves(parts: Iterable[Any]) -> Iterable[int]:
    """What `mhbridge.mapping.conversions.at` wrote down."""
    return parts


def ignored(path: XmlPath) -> Callable[[Any], Iterable[Cell]]:
    """What an entry of `ignore:` names: an attribute, a text, or an element with all that is in it."""
    found = route(path, path.namespaces)
    return lambda message: _named(found, message.tree.root)


def ignored_of(paths: Sequence[XmlPath]) -> Callable[[Any, Sequence[Cell]], Iterable[Cell]]:
    """The same for all of them at once: those of some cells that they name."""
    routes = [route(path, path.namespaces) for path in paths]
    whole = [one for one in routes if one.ending[0] == "element"]
    anywhere = frozenset(one.anywhere for one in routes) - {""}
    leaves = [one for one in routes if one.ending[0] != "element" and not one.anywhere]
    #: Names of attributes → the bits of those that are ignored wherever they stand.
    shapes: dict[tuple[str, ...], int] = {}

    def away(names: tuple[str, ...]) -> int:
        if len(shapes) >= _MOST_SHAPES:
            shapes.clear()
        return shapes.setdefault(names, sum(TEXT << at for at, name in enumerate(names, 1) if name in anywhere))

    def find(message: Any, asked: Sequence[Cell]) -> list[Cell]:
        tree = message.tree
        top, end, ends = tree.top, tree.ends[tree.top], tree.ends
        flags = bytearray(len(ends))
        for one in whole:
            for element in one.found(tree, top):
                flags[element : ends[element]] = b"\x01" * (ends[element] - element)
        found = [cell for cell in asked if flags[cell[0]]]
        if anywhere:
            keys = tree.keys
            for place, mask in asked:
                if mask > TEXT and not flags[place] and top <= place < end:
                    names = keys[place]
                    ignored = shapes.get(names)
                    if mask & (ignored if ignored is not None else away(names)):
                        found.append((place, mask & shapes[names]))
        for one in leaves:
            found += [(index, TEXT << bit) for index, bit, _ in ended(tree, one.found(tree, top), one.ending)]
        return found

    return find


#: Combinations of attributes that are remembered; a document of one kind has some dozens.
_MOST_SHAPES: Final = 1024


def _named(found: Route, root: Element) -> Iterator[Cell]:
    if found.ending[0] != "element":
        yield from ((raw.index, TEXT << raw.bit) for raw in found.values(root))
        return
    tree = root.tree
    for element in found.found(tree, tree.top):
        yield from tree.populated(element, tree.ends[element])


# --- names of places ---------------------------------------------------------------------------------------


def canonical(tree: Tree, place: int, bit: int, source: Source, *, exact: bool) -> str:
    """
    The path of one leaf: `/ClinicalDocument/recordTarget/patientRole/id[2]/@root`.

    Args:
        exact: elements that come several times under their parent are counted in brackets.
    """
    namespaces: Mapping[str, str] = source.options["namespaces"]
    prefixes = {uri: prefix for prefix, uri in reversed(list(namespaces.items()))}
    known: dict[int, str] = tree.memo.setdefault(("paths", exact, tuple(namespaces.items())), {})
    path = _path(tree, place, known, prefixes, exact=exact)
    if not bit:
        return f"{path}/text()"
    name = tree.keys[place][bit - 1]
    return f"{path}/@{_said(name, prefixes, attribute=True)}"


def _path(tree: Tree, place: int, known: dict[int, str], prefixes: dict[str, str], *, exact: bool) -> str:
    """The path of an element; `known` holds those of others."""
    steps: list[tuple[int, str]] = []
    at = place
    path = ""
    while at >= 0:
        if at in known:
            path = known[at]
            break
        steps.append((at, _step(tree, at, prefixes, exact=exact)))
        at = -1 if at == tree.top else tree.parents[at]
    for index, step in reversed(steps):
        path = known[index] = f"{path}/{step}"
    return path


def _step(tree: Tree, place: int, prefixes: dict[str, str], *, exact: bool) -> str:
    said = _said(tree.names[place], prefixes)
    parent = tree.parents[place]
    if exact and parent >= 0:
        alike: dict[str, list[int]] | None = tree.memo.get(("alike", parent))
        if alike is None:
            alike = tree.memo["alike", parent] = {}
            for child in tree.children(parent):
                alike.setdefault(tree.names[child], []).append(child)
        here = alike[tree.names[place]]
        if len(here) > 1:
            return f"{said}[{bisect_left(here, place) + 1}]"
    return said


def _said(name: str, prefixes: dict[str, str], *, attribute: bool = False) -> str:
    space, local = written_name(name)
    if not space:
        return local
    prefix = prefixes.get(space)
    if prefix is None or (attribute and not prefix):
        return f"{{{space}}}{local}"
    return f"{prefix}:{local}" if prefix else local


def leaf_text(tree: Tree, place: int, bit: int) -> str:
    """What one leaf says."""
    return tree.own(place) if not bit else tree.values[tree.offsets[place] + bit - 1]


def altered(tree: Tree, changes: Mapping[tuple[int, int], str]) -> bytes:
    """The document with leaves (place, number of the bit) replaced; the tree is as before."""
    before: list[tuple[Element, dict[str, str], list[str]]] = []
    for (place, bit), text in changes.items():
        element = tree.element(place)
        before.append((element, element.attributes, [element.text, *(child.tail for child in element.children)]))
        if bit:
            element.attributes = {**element.attributes, list(element.attributes)[bit - 1]: text}
        else:
            element.text = text
            for child in element.children:
                child.tail = ""
    body = written(tree.outer)
    for element, attributes, texts in reversed(before):
        element.attributes, element.text = attributes, texts[0]
        for child, tail in zip(element.children, texts[1:], strict=True):
            child.tail = tail
    return body
