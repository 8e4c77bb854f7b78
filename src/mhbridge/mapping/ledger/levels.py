"""
The paths of a mapping by the loops that they stand in, and which of them are read in every message.

Known once a mapping is compiled; this module must never see a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mhbridge.formats import Loop
from mhbridge.mapping import nodes
from mhbridge.mapping.marks import Mark

__all__ = ["Level", "always_read", "level_of", "marks_of", "narrowed"]


@dataclass(frozen=True, slots=True)
class Level:
    """
    The paths that are read at one place, and the loops that begin there.

    Args:
        asks: what a path or a loop reaches here or below depends on what a message says, not on its shapes alone.
        holds: where nothing is reached but what is in a cursor, whether any of some places is in one.
    """

    marks: tuple[Mark, ...]
    loops: tuple[tuple[Loop, Level, bool], ...]
    touches: frozenset[Any]
    asks: bool
    holds: Callable[[Any, Sequence[int]], bool] | None


def level_of(tree: Any, *, nested: bool) -> Level:
    """
    The paths below a part of a mapping, by the loops that they stand in.

    Args:
        nested: the format is `formats.Nested`, and so are the spots.
    """
    here: list[Mark] = []
    loops: list[tuple[Loop, Level, bool]] = []
    for node in nodes.read_at(_bodies(tree)):
        here.append(node.mark)
        if isinstance(node, nodes.BindEach):
            loops.append((node.loop, level_of((node.body,), nested=nested), node.mark.spot.asks))
    touches = frozenset[Any]().union(*(mark.touches for mark in here), *(below.touches for _, below, _ in loops))
    holds = _holds(here, loops) if nested else None
    return Level(tuple(here), tuple(loops), touches, _asks(here, loops), holds)


def _asks(marks: Iterable[Mark], loops: Iterable[tuple[Loop, Level, bool]]) -> bool:
    return any(mark.spot.asks for mark in marks) or any(asks or below.asks for _, below, asks in loops)


def _holds(marks: Sequence[Mark], loops: Iterable[tuple[Loop, Level, bool]]) -> Any:
    inside = all(mark.spot.inside for mark in marks) and all(below.holds for _, below, _ in loops)
    return marks[0].spot.holds if marks and inside else None


def narrowed(level: Level, touched: frozenset[Any]) -> Level:
    """A level without the paths, and the loops, that read nothing of what is touched."""
    marks = tuple(mark for mark in level.marks if not touched.isdisjoint(mark.touches))
    loops = tuple(
        (loop, narrowed(below, touched), asks)
        for loop, below, asks in level.loops
        if not touched.isdisjoint(below.touches)
    )
    return Level(marks, loops, level.touches & touched, _asks(marks, loops), level.holds)


def _bodies(tree: Any) -> Any:
    return tuple(item.body if isinstance(item, nodes.BoundItem) else item for item in tree)


def marks_of(level: Level) -> Iterator[Mark]:
    """All paths of a level, and of those below it."""
    yield from level.marks
    for _, below, _ in level.loops:
        yield from marks_of(below)


def always_read(items: tuple[nodes.BoundItem, ...]) -> Iterator[nodes.Read | nodes.BindEach]:
    """The paths that are read in every message, whatever it holds."""
    waiting: list[Any] = [item.body for item in items]
    while waiting:
        node = waiting.pop()
        match node:
            case nodes.Read() | nodes.BindEach():
                yield node
            case nodes.BindValue() | nodes.Truth() | nodes.Present() | nodes.OneOf() | nodes.Coded():
                waiting.append(node.value)
            case nodes.BindRecord():
                waiting += [node.when] if node.when is not None else [body for _, body in node.fields]
            case nodes.BindCase():
                first, body = node.branches[0] if node.branches else (None, None)
                waiting.append(first if first is not None else body)
            case nodes.BindList():
                waiting += node.entries
            case nodes.Apply():
                for arg, passing in zip(node.args, node.passing, strict=True):
                    waiting.append(arg)
                    if passing and not isinstance(arg, nodes.Literal):
                        break  # what follows is not read when this one is not there
            case nodes.Alternatives() | nodes.AnyOf() | nodes.AllOf():
                waiting.append(node.terms[0])
            case nodes.Choose() | nodes.Decide():
                waiting.append(node.condition)
            case nodes.Negation():
                waiting.append(node.term)
            case nodes.Equal():
                waiting += (node.left, node.right)
