"""
Samples of CSV with different headers: how they would be written as tables of one set.

What belongs to what is told by columns of the same name alone, and which is the root by who came first: a person has to
look at it, so it is a proposal in a comment. This module must never put anything of a row into it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mhbridge.mapping.drafting.sketches import column, read_as

__all__ = ["as_set"]

#: The table's name in that of a file: `letters` in `letters_20260312.csv`.
_TABLE: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9]|[_-](?=[A-Za-z]))*")


@dataclass(frozen=True, slots=True)
class _Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def said(self, name: str) -> list[str]:
        """What stands in a column."""
        at = self.columns.index(name)
        return [found for row in self.rows if at < len(row) and (found := row[at].strip())]

    def once(self, name: str) -> bool:
        """Whether nothing stands twice in a column."""
        said = self.said(name)
        return bool(said) and len(said) == len(set(said))


def as_set(samples: Sequence[tuple[str, bytes]]) -> list[str]:
    """
    The lines of a `source:` for files of several headers; none where all have the same.

    Args:
        samples: (name, content), the file of which each row is a message first.
    """
    tables: dict[str, _Table] = {}
    for name, body in samples:
        made = _table(body)
        if all(made.columns != known.columns for known in tables.values()):
            found = _TABLE.match(name)
            called = found[0] if found is not None else "table"
            tables[called if called not in tables else f"{called}-{len(tables) + 1}"] = made
    if len(tables) < 2:
        return []
    root = next(iter(tables))
    lines = ["source:", "  format: csv", f"  message_per: {root}", "  tables:"]
    for name, table in tables.items():
        how = _key(table) if name == root else _belongs(name, tables)
        columns = ", ".join(map(column, table.columns))
        lines.append(f"    {name}: {{{how}, columns: [{columns}]}}")
    return lines


def _table(body: bytes) -> _Table:
    text, _, delimiter = read_as(body)
    rows = [tuple(row) for row in csv.reader(text.splitlines(), delimiter=delimiter)]
    return _Table(tuple(name.strip() for name in rows[0]) if rows else (), tuple(rows[1:]))


def _key(table: _Table) -> str:
    return f"key: {column(next(filter(table.once, table.columns), table.columns[0]))}"


def _belongs(name: str, tables: Mapping[str, _Table]) -> str:
    """To which table it belongs: the first that it shares a column with, one for one where nothing stands twice."""
    table = tables[name]
    for other, above in tables.items():
        if other == name:
            break
        for shared in table.columns:
            if shared in above.columns and set(table.said(shared)) & set(above.said(shared)):
                how = "one_for" if table.once(shared) else "many_for"
                return f"{how}: {other}, by: {column(shared)}"
    return f"many_for: {next(iter(tables))}, by: say which column"
