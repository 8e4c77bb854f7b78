"""
Where things are in a document, for the field ledger: an element is a place, its text and its attributes are its leaves.

A path that ends at an element reads of it what its conversion says: leaves, each as one number (`LEAF_BITS`); `WORDS`
is all text in it. This module must never look at what a leaf says.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import compress, count
from operator import mul
from typing import Any, Final

from mhbridge.formats import PLACE_BITS, STATE_BITS, Asked, Became, Cell, Ignoring, Scope, Source, States
from mhbridge.formats.xml.path import XmlPath
from mhbridge.formats.xml.reach import Route, ready, route
from mhbridge.formats.xml.stages import Filter, ended
from mhbridge.formats.xml.tree import TEXT, Element, Leaf, Tree, written_name
from mhbridge.formats.xml.writing import written

__all__ = [
    "LEAF_BITS",
    "WHOLE",
    "WORDS",
    "Ignored",
    "XmlSpot",
    "altered",
    "became",
    "canonical",
    "ignored",
    "layout",
    "leaf_text",
]

#: In `Conversion.reads`: everything in an element (`mhbridge.mapping.conversions.WHOLE`), and all its text.
WHOLE: Final = "*"
WORDS: Final = "text()"
_WHOLE: Final = frozenset({WHOLE})
#: A leaf that a conversion names is the number of its element and, in so many low bits, that of its bit.
LEAF_BITS: Final = 7
_LEAF: Final = (1 << LEAF_BITS) - 1


def layout(masks: Sequence[int]) -> list[Cell]:
    """The places of a document in which something is."""
    return [(place, mask) for place, mask in enumerate(masks) if mask]


class XmlSpot:
    """What one path of a mapping reads; see `mhbridge.formats.Spot`."""

    __slots__ = ("_route", "asks", "everywhere", "inside", "question", "subject", "within")
    kind = ""

    def __init__(self, path: XmlPath, scope: Scope) -> None:
        self._route: Route = ready(path, scope)
        self.asks = bool(self._route.asking)
        self.inside = self._route.inside
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
        """The same, as the ledger puts cells of any group together."""
        into[0] += [(mask << PLACE_BITS | place) << STATE_BITS | state for place, mask in self.cells(raw, parts)]

    def hold(self, raw: Any, parts: frozenset[str], states: Sequence[dict[int, int]], state: int) -> None:
        """The same of a document by itself."""
        held = states[state]
        if isinstance(raw, Element) and WHOLE not in parts and WORDS not in parts:
            for part in _leaves(parts):
                place = part >> LEAF_BITS
                held[place] = held.get(place, 0) | TEXT << (part & _LEAF)
        else:
            for place, mask in self.cells(raw, parts):
                held[place] = held.get(place, 0) | mask

    def present(self, raw: Any) -> list[Cell]:
        """The leaf without which the raw value would not be there; none when there are several."""
        found = self.cells(raw, _WHOLE)
        return found if len(found) == 1 and found[0][1].bit_count() == 1 else []

    def every(self, cursor: Any, parts: frozenset[str]) -> list[Cell]:
        """All that stands at the path, whether or not it was read."""
        return [cell for raw in self._route.values(cursor) for cell in self.cells(raw, parts or _WHOLE)]

    def holds(self, raw: Any, places: Sequence[int]) -> bool:
        """Whether any of some places, in order, is in a raw value."""
        begin = raw.index
        at = bisect_left(places, begin)
        return at < len(places) and places[at] < (raw.end if isinstance(raw, Element) else begin + 1)

    def standing(self, cursor: Element, parts: frozenset[str], places: Sequence[int]) -> list[Cell]:
        """Of `every` what stands at some places, which are in order."""
        found, tree = self._route, cursor.tree
        if found.ending[2]:
            return self.every(cursor, parts)
        out: list[Cell] = []
        whole = found.ending[0] == "element"
        for one in found.found(tree, cursor.index):
            at = bisect_left(places, one)
            if at < len(places) and places[at] < (tree.ends[one] if whole else one + 1):
                if whole:
                    out += self.cells(tree.element(one), parts or _WHOLE)
                else:
                    out += [(index, TEXT << bit) for index, bit, _ in ended(tree, (one,), found.ending)]
        return out

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


class Ignored:
    """What some entries of `ignore:` name, all of them at once."""

    def __init__(self, paths: Sequence[XmlPath]) -> None:
        routes = [route(path, path.namespaces) for path in paths]
        self._whole = [one for one in routes if one.ending[0] == "element"]
        self._anywhere = frozenset(one.anywhere for one in routes) - {""}
        self._leaves = [one for one in routes if one.ending[0] != "element" and not one.anywhere]
        #: Names of attributes → the bits of those that are ignored wherever they stand.
        self._shapes: dict[tuple[str, ...], int] = {}

    def __call__(self, message: Any, asked: Sequence[Cell]) -> list[Cell]:
        """At least those of some cells that they name."""
        flags = bytearray(len(message.tree.names))
        self.flag(message.tree, flags)
        return [*[cell for cell in asked if flags[cell[0]]], *self.leaves(message.tree, asked)]

    def flag(self, tree: Tree, flags: bytearray) -> None:
        """Set a flag for each element that is ignored with all that is in it."""
        ends = tree.ends
        for one in self._whole:
            for element in one.found(tree, tree.top):
                end = ends[element]
                if end == element + 1:
                    flags[element] = 1
                else:
                    flags[element:end] = b"\x01" * (end - element)

    def leaves(self, tree: Tree, asked: Sequence[Cell]) -> Iterator[Cell]:
        """The single leaves that are ignored, at least at the places that are asked about."""
        if self._anywhere:
            top, end, keys, shapes = tree.top, tree.ends[tree.top], tree.keys, self._shapes
            for place, mask in asked:
                if mask > TEXT and top <= place < end:
                    names = keys[place]
                    ignored = shapes.get(names)
                    if mask & (ignored if ignored is not None else self._away(names)):
                        yield place, mask & shapes[names]
        for one in self._leaves:
            for index, bit, _ in ended(tree, one.found(tree, tree.top), one.ending):
                yield index, TEXT << bit

    def _away(self, names: tuple[str, ...]) -> int:
        shapes = self._shapes
        if len(shapes) >= _MOST_SHAPES:
            shapes.clear()
        mask = sum(TEXT << at for at, name in enumerate(names, 1) if name in self._anywhere)
        return shapes.setdefault(names, mask)


#: Combinations of attributes that are remembered; a document of one kind has some dozens.
_MOST_SHAPES: Final = 1024


#: A flag that is set → 0, one that is not → 1.
_TURNED: Final = b"\x01" + bytes(255)


def became(
    message: Any,
    states: States,
    ignoring: Sequence[Ignoring],
) -> Became:
    """What became of all leaves of a document; see `mhbridge.formats.Nested`."""
    tree: Tree = message.tree
    masks = tree.masks
    all_bound, all_selected, all_failed = states
    finders = [one for one in ignoring if isinstance(one, Ignored)]
    flags = bytearray(len(masks))
    for finder in finders:
        finder.flag(tree, flags)
    rest = [*masks]
    failed = [(place, found) for place, mask in sorted(all_failed.items()) if (found := rest[place] & mask)]
    _claimed(rest, all_failed)
    bound, selectors = _claimed(rest, all_bound), _claimed(rest, all_selected)
    # Most of a document is ignored in one piece, and counted as such.
    ignored = sum(map(int.bit_count, compress(rest, flags)))
    rest = [*map(mul, rest, flags.translate(_TURNED))]
    left = [*zip(compress(count(), rest), filter(None, rest), strict=True)]
    away: dict[int, int] = {}
    for finder in finders:
        for place, mask in finder.leaves(tree, left):
            away[place] = away.get(place, 0) | mask
    open_: list[Cell] = []
    for place, mask in left:
        found = mask & away.get(place, 0)
        if found:
            ignored += found.bit_count()
        if mask != found:
            open_.append((place, mask & ~found))
    return Became(bound, selectors, ignored, failed, open_)


def _claimed(rest: list[int], held: Mapping[int, int]) -> int:
    """Take leaves out of those that are left, and count them."""
    count = 0
    for place, mask in held.items():
        if found := rest[place] & mask:
            rest[place] ^= found
            count += found.bit_count()
    return count


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
    prefixes, known = _said_of(tree, source, exact=exact)
    path = known.get(place) or _path(tree, place, known, prefixes, exact=exact)
    if not bit:
        return f"{path}/text()"
    return f"{path}/@{_said(tree.keys[place][bit - 1], prefixes, attribute=True)}"


def _said_of(tree: Tree, source: Source, *, exact: bool) -> tuple[dict[str, str], dict[int, str]]:
    """The prefixes that a source declares, by what they stand for, and the paths of elements that are known already."""
    namespaces: Mapping[str, str] = source.options["namespaces"]
    found = tree.memo.get(("paths", exact, id(namespaces)))
    if found is None:
        prefixes = {uri: prefix for prefix, uri in reversed(list(namespaces.items()))}
        # Held with it, so that its number means no other.
        found = tree.memo["paths", exact, id(namespaces)] = namespaces, prefixes, {}
    return found[1], found[2]


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
        here = tree.called(parent)[tree.names[place]]
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
