"""The hazard log names controls and tests: each test exists, each hazard is whole, and no trap is forgotten."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOG = (ROOT / "mappings" / "HAZARDS.md").read_text("utf-8")
HAZARDS = re.split(r"^### ", LOG, flags=re.MULTILINE)[1:]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def missing(text: str) -> list[str]:
    """The tests that a text names and that do not exist."""
    return [
        f"{path}::{name}"
        for path, name in NAMED.findall(text)
        if not (ROOT / path).is_file() or name not in functions(path)
    ]


@pytest.mark.parametrize("hazard", HAZARDS, ids=[one[:3] for one in HAZARDS])
def test_each_hazard_has_controls_with_tests_that_exist_and_says_what_is_left(hazard: str) -> None:
    _, controls, left = re.split(r"^\*\*(?:Controls|Left)\*\*", hazard, flags=re.MULTILINE)
    assert left.strip(": \n")
    for control in re.split(r"^- ", controls, flags=re.MULTILINE)[1:]:
        assert NAMED.search(control), control
    assert missing(hazard) == []


def test_hazards_are_numbered_without_a_gap() -> None:
    assert [one[:3] for one in HAZARDS] == [f"H{n:02}" for n in range(1, len(HAZARDS) + 1)]


def test_every_trap_is_a_control() -> None:
    reached = {int(n) for n in re.findall(r"::test_trap_(\d\d)_", LOG)}
    assert reached == set(range(1, 25))


def test_a_test_that_is_gone_would_be_missed() -> None:
    assert missing("`tests/test_hazards.py::test_that_was_never_written`")
    assert missing("`tests/test_nowhere.py::missing`")
    assert missing("`tests/test_hazards.py::missing`") == []
