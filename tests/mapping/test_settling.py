"""
What a record, a list and alternatives come to, for every state that their parts can be in: the compiler and its slow
twin say the same.
"""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from mhbridge.errors import Span
from mhbridge.mapping import nodes
from mhbridge.mapping.compiler import Compiler
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT, DELETED, MASKED, UNKNOWN_ERROR, Unknown

SPAN = Span("a.yaml", 1, 1, 1, 2)
STATES = (ABSENT, DELETED, UNKNOWN_ERROR, Unknown("asked-unknown"), MASKED, "x", ["x", "y"])


def said() -> nodes.BindValue:
    return nodes.BindValue(SPAN, nodes.Literal(SPAN, Type("string"), "said"))


def read(value: Any, *, fails: bool = False) -> nodes.Read:
    """A path that gives this value, whatever the message is."""
    mark: Any = SimpleNamespace(
        spot=SimpleNamespace(asks=False), always=False, decides=False, conversion=None, many=False
    )

    def take(_raw: object, _cursor: object, run: Any) -> Any:
        run.failures += fails
        return value

    type_ = Type("string", many=isinstance(value, list))
    return nodes.Read(SPAN, type_, "P-1", lambda _: "raw", take, None, lambda _: [], mark)


def both(body: nodes.Binding) -> tuple[Any, Any]:
    """What the compiler and its twin bind."""
    items = (nodes.BoundItem("item", Type("string"), body),)
    runs = [SimpleNamespace(failures=0, trace=[]) for _ in range(2)]
    compiled = Compiler(lambda _file, _line: "x").bind(items, SPAN)(None, runs[0])
    walked = Interpreter().bind(items, SPAN)(None, runs[1])
    assert runs[0] == runs[1]
    return compiled, walked


@pytest.mark.parametrize("solid", [False, True])
@pytest.mark.parametrize("whole", ["", "text"])
@pytest.mark.parametrize("literals", [0, 1])
def test_a_record(*, solid: bool, whole: str, literals: int) -> None:
    for first, second, fails in product(STATES, STATES, (False, True)):
        parts: list[tuple[str, nodes.Binding]] = [("a", nodes.BindValue(SPAN, read(first, fails=fails)))]
        parts += [("b", said())] * literals + [("c", nodes.BindValue(SPAN, read(second)))]
        compiled, walked = both(nodes.BindRecord(SPAN, tuple(parts), None, whole, solid))
        assert compiled == walked
        assert list(compiled.get("item") or ()) == list(walked.get("item") or ())


def test_a_list() -> None:
    for entries in product(STATES, repeat=2):
        for together in (entries[:1], entries):
            bound = tuple(nodes.BindValue(SPAN, read(entry)) for entry in together)
            compiled, walked = both(nodes.BindList(SPAN, (nodes.BindList(SPAN, bound),)))
            assert compiled == walked


def test_no_item_is_the_list_that_a_function_remembers() -> None:
    remembered = ["x"]
    always = nodes.Apply(SPAN, Type("string", many=True), "f", lambda _run: remembered, (), ())
    compiled, walked = both(nodes.BindList(SPAN, (nodes.BindValue(SPAN, always),)))
    assert compiled["item"] == walked["item"] == remembered
    assert compiled["item"] is not remembered


def test_alternatives() -> None:
    for terms in product(STATES, repeat=3):
        tree = nodes.Alternatives(SPAN, Type("string"), tuple(map(read, terms)))
        compiled, walked = both(nodes.BindValue(SPAN, tree))
        assert compiled == walked
