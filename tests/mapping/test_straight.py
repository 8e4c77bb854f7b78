"""
Items that one loop reads, alternatives and functions that are put together: what goes wrong in one of them is pointed
at in the mapping's file, as if there were code for it; and what they come to is what the slow twin says.
"""

from __future__ import annotations

import traceback
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from mhbridge.errors import Span
from mhbridge.formats import Plan
from mhbridge.mapping import nodes
from mhbridge.mapping.compiler import Compiler
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.marks import Mark
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT, DELETED, MASKED, UNKNOWN_ERROR, Unknown

FILE = "supplier.yaml"
WHOLE = Span(FILE, 1, 1, 1, 2)
TEXT = Type("string")


class Broken(Exception):
    """A fault of what reads a value."""


def at(line: int) -> Span:
    return Span(FILE, line, line + 1, line, line + 3)


def read(line: int, gives: Any, kind: str) -> nodes.Read:
    """A path that gives a value, or raises; in a row, found and then taken, or taken at once."""
    spot: Any = SimpleNamespace(asks=False)
    mark = Mark(f"P-{line}", spot)

    def value(*_: object) -> Any:
        if gives is Broken:
            raise Broken
        return gives

    plan = Plan("row", lambda _cursor, width: ("the row", ["x"] * width), line, lambda held, _row: held)
    kind = ALL_KINDS[line % 4] if kind == "of all kinds" else kind
    planned = plan if kind == "in a row" else None
    quick = value if kind != "found" else None
    return nodes.Read(at(line), TEXT, f"P-{line}", lambda _: "raw", value, planned, lambda _: [], mark, quick)


def call(*args: nodes.Read) -> nodes.Apply:
    def joined(_run: object, *values: Any) -> str:
        return "+".join(values)

    return nodes.Apply(at(9), TEXT, "join", joined, args, (True,) * len(args))


ALL_KINDS = ("in a row", "at once", "in a row", "found")
KINDS = ("in a row", "found", "at once", "of all kinds")
SHAPES = ("items", "alternatives", "a function", "a function beside items")


def items(shape: str, reads: list[nodes.Read]) -> tuple[nodes.BoundItem, ...]:
    """The values as items of their own, as alternatives of one, or as what a function is called with, or as both."""
    values: list[nodes.Expression] = list(reads)
    if shape == "alternatives":
        values = [nodes.Alternatives(at(9), TEXT, tuple(reads))]
    elif shape == "a function":
        values = [call(*reads)]
    elif shape == "a function beside items":
        values = [*reads[:3], call(*reads[3:])]
    bodies = [nodes.BindValue(value.span, value) for value in values]
    return tuple(nodes.BoundItem(f"item{place}", TEXT, body) for place, body in enumerate(bodies))


def run() -> Any:
    return SimpleNamespace(failures=0, trace=[])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_fault_is_pointed_at(shape: str, kind: str) -> None:
    """Whichever of five it is, the traceback ends in its line and column; and there is code for none of the five."""
    for broken in range(1, 6):
        good: Any = ABSENT if shape == "alternatives" else "x"
        reads = [read(line, Broken if line == broken else good, kind) for line in range(1, 6)]
        bind = Compiler(lambda _file, _line: " " * 40).bind(items(shape, reads), WHOLE)
        with pytest.raises(Broken) as caught:
            bind(None, run())
        frames = [frame for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename == FILE]
        last = frames[-1]
        assert (last.lineno, last.colno, last.end_colno, last.name) == (broken, broken, broken + 2, "bind")
        assert sum(name.startswith(("put", "read")) for name in bind.__code__.co_names) == 1
        assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "value"


STATES = (ABSENT, DELETED, UNKNOWN_ERROR, Unknown("asked-unknown"), MASKED, "x")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_twins_agree(shape: str, kind: str) -> None:
    for states in product(STATES, repeat=3):
        reads = [read(line, state, kind) for line, state in enumerate((*states, "y"), start=1)]
        bound = items(shape, reads)
        compiled = Compiler(lambda _file, _line: "").bind(bound, WHOLE)(None, run())
        assert compiled == Interpreter().bind(bound, WHOLE)(None, run())
