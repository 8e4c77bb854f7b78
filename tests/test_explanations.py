"""
Every code that mhbridge can say is explained, and every explanation is of a code that it can say.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import mhbridge
from mhbridge.errors import explanations

SOURCE = Path(mhbridge.__file__).parent
CODE = re.compile(r"[EIMCDVS]\d{3}")


@cache
def said() -> set[str]:
    """The codes among the texts of the source that are nothing but a code."""
    trees = (ast.parse(path.read_text("utf-8")) for path in SOURCE.rglob("*.py"))
    texts = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}


def test_every_code_is_explained() -> None:
    assert said() - explanations().keys() == set()


def test_every_explanation_is_of_a_code() -> None:
    assert explanations().keys() - said() == set()


def test_explanations_say_everything() -> None:
    assert all(one.title and one.cause and one.mend for one in explanations().values())
    assert len(explanations()) > 100
