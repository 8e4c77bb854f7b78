"""
The store, on whichever engine: schema and queries, verbs, group commit, accounts, keys, and the door to all of it.

A verb speaks to a `Session` (`session.py`) and gives it the name of a query. This package must never open a connection:
it does not know which engine it serves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

__all__ = ["named", "queries", "schema"]

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*$\n?", re.MULTILINE)


@cache
def queries() -> Mapping[str, str]:
    """Every query of `queries.sql` by its name, without comments. Read on the first call only."""
    return MappingProxyType(named(files(__name__).joinpath("queries.sql").read_text("utf-8")))


def named(text: str) -> dict[str, str]:
    """The queries of a text by their names, without comments."""
    _, *parts = _NAME.split(text)
    found: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in found:
            raise ValueError(f"queries.sql: {name} is used twice")
        found[name] = _COMMENT.sub("", body).strip().removesuffix(";")
    return found


@cache
def schema() -> tuple[str, ...]:
    """The statements of `schema.sql`, in order. Read on the first call only."""
    text = _COMMENT.sub("", files(__name__).joinpath("schema.sql").read_text("utf-8"))
    return tuple(statement.strip() for statement in text.split(";") if statement.strip())
