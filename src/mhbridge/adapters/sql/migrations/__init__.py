"""
How a store of an older schema comes forward: one file of statements for each number, and no way back.

`NNNN.sql` brings schema NNNN - 1 to NNNN. Its statements under `-- now` change what the code of this version could not
do without; they are worked in one transaction before anything else. Those under `-- later` are worked by the writer
between what arrives, so each must be short: an index is one statement, and what changes many rows has `:most` for how
many of them at once and is worked until it changes none. A statement that is worked again must do no harm, and those
`now` of a later number must not need what is `later`. This package must never open a connection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

__all__ = ["SCHEMA", "Migration", "migrations"]

#: The version of `schema.sql`, kept in `meta`.
SCHEMA: Final = 2

_COMMENT: Final = re.compile(r"^\s*--.*$\n?", re.MULTILINE)
_WHEN: Final = re.compile(r"^-- (now|later)$", re.MULTILINE)


class Migration(NamedTuple):
    """
    From one schema to the next.

    Args:
        schema: the number that it leads to.
        now: what is worked before the store opens.
        later: what is worked while it is open.
    """

    schema: int
    now: Sequence[str]
    later: Sequence[str]


@cache
def migrations() -> Sequence[Migration]:
    """Every migration, in order. Read on the first call only."""
    return tuple(_read(number) for number in range(2, SCHEMA + 1))


def _read(number: int) -> Migration:
    text = files(__name__).joinpath(f"{number:04}.sql").read_text("utf-8")
    _, *parts = _WHEN.split(text)
    by_time: dict[str, list[str]] = {"now": [], "later": []}
    for when, body in zip(parts[::2], parts[1::2], strict=True):
        by_time[when] += [one.strip() for one in _COMMENT.sub("", body).split(";") if one.strip()]
    return Migration(number, by_time["now"], by_time["later"])
