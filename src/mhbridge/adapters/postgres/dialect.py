"""
What PostgreSQL reads where SQLite reads `schema.sql` and `queries.sql`.

The texts are written so that both understand them, and what is left to say differently is: the names of types, how a
parameter is written, a list of keys, an empty blob. A query that differs in more than that stands in `queries.sql` of
this package under the same name. This module must never change what a query finds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, NamedTuple

from mhbridge.adapters import sql

__all__ = ["Query", "among", "queries", "query", "schema", "typed", "with_rows"]

#: `/* held N */`: N is in one of the parts that are named so.
_PARTS: Final = re.compile(r"/\* (held|these) ([\w.]+) \*/")
#: A named parameter; not the `::` of a cast.
_NAMED: Final = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_ROW: Final = re.compile(r"\((?:(?:\?|cast\(\? as \w+\))(?:, )?)+\)")

#: SQLite's words, and PostgreSQL's for the same. Text is compared byte by byte, whatever the database's own order is.
_TYPES: Final = (
    (re.compile(r"\binteger\b"), "bigint"),
    (re.compile(r"\bblob\b"), "bytea"),
    (re.compile(r"\breal\b"), "double precision"),
    (re.compile(r"\btext\b(?=\s+(?:not null|primary key|unique))"), 'text collate "C"'),
    (re.compile(r"\)\s*strict(?:, without rowid)?$"), ")"),
    (re.compile(r"x''"), "''::bytea"),
)


class Query(NamedTuple):
    """A query, and the names of its parameters in the order of their numbers."""

    text: str
    names: tuple[str, ...]


@cache
def schema() -> tuple[str, ...]:
    """The statements that make the tables, in order."""
    return tuple(typed(statement) for statement in sql.schema())


@cache
def queries() -> Mapping[str, str]:
    """Every query by its name, in PostgreSQL's words but for its parameters."""
    own = sql.named(files(__name__.rpartition(".")[0]).joinpath("queries.sql").read_text("utf-8"))
    return MappingProxyType({name: typed(text) for name, text in {**sql.queries(), **own}.items()})


def typed(text: str) -> str:
    """A statement in PostgreSQL's words, but for its parameters."""
    text = _PARTS.sub(r"and (\2 & 255) = any(cast(:\1 as bigint[]))", text)
    for pattern, word in _TYPES:
        text = pattern.sub(word, text)
    return text


def query(text: str) -> Query:
    """A text with named parameters, with these numbered instead."""
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${numbers.setdefault(match[1], len(numbers) + 1)}"

    return Query(_NAMED.sub(number, text), tuple(numbers))


def among(text: str) -> str:
    """A query with `in (:each)`, for all keys of one list."""
    return text.replace("in (:each)", "= any($1)")


def with_rows(text: str, count: int) -> str:
    """A query with a row of `?`, for so many rows."""
    numbers = iter(range(1, 1 << 16))

    def row(match: re.Match[str]) -> str:
        return ", ".join(re.sub(r"\?", lambda _: f"${next(numbers)}", match[0]) for _ in range(count))

    return _ROW.sub(row, text, count=1)
