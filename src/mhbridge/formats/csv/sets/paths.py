"""
What a path of a set of tables finds: `[Table.Column]`, from the row of the innermost loop.

Of the rows around it a table's own is meant; of a table below them the row that belongs to them, or of several the last
by its `latest`; in the place of a list all of them. `$each: Table` runs over the rows below. This module must never go
on to another row because a cell is empty (what is missing in the row that is meant is missing), nor choose among
several because one of them stands first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mhbridge.formats import Path, PathError, Scope
from mhbridge.formats.csv.declaration import near
from mhbridge.formats.csv.paths import ColumnPath
from mhbridge.formats.csv.sets.declaration import Table, Tables, tables_of
from mhbridge.formats.csv.sets.record import CellText, Node, newest, nodes_below
from mhbridge.model import ABSENT
from mhbridge.model.frozen import frozen

__all__ = ["Found", "Rows", "check", "every_reader", "first_reader", "make_loop"]


@dataclass(frozen=True, slots=True)
class Rows:
    """`$each` over a table: its rows below the cursor, at any depth, in the order of the file."""

    table: Table
    steps: tuple[Table, ...]

    def cursors(self, cursor: Node) -> Iterator[Node]:
        """The rows below."""
        return nodes_below(cursor, self.steps)


@frozen(frozen=True, slots=True)
class Found:
    """
    Where a path leads.

    Args:
        ups: how many rows up from the cursor.
        steps: the tables down from there; none: it is a row around the cursor.
        dates: how the dates of `latest` are written.
    """

    table: Table
    column: str
    ups: int
    steps: tuple[Table, ...]
    dates: str

    def start(self, cursor: Node) -> Node:
        """The row from which it goes down."""
        for _ in range(self.ups):
            assert cursor.above is not None
            cursor = cursor.above
        return cursor

    def one(self, cursor: Node) -> Node | None:
        """The row that is meant where a single value is wanted."""
        node = self.start(cursor)
        for table in self.steps:
            below = node.below(table)
            if not below:
                return None
            node = newest(below, self.dates) if table.latest and len(below) > 1 else below[0]
        return node

    def all(self, cursor: Node) -> Iterator[Node]:
        """All rows of the table that there are."""
        return nodes_below(self.start(cursor), self.steps)


def check(path: Path, scope: Scope) -> Found:
    """
    Several ask of each path, so what is found is kept with the scope.

    Raises:
        PathError: E205, there is no such table or column; E206, a `.` has nothing to stand for.
    """
    assert isinstance(path, ColumnPath)
    found: Found | None = scope.known.get(path.column)
    if found is None:
        found = scope.known[path.column] = _found(path, scope)
    return found


def _found(path: ColumnPath, scope: Scope) -> Found:
    tables = _tables(scope)
    if path.relative:
        raise PathError("E206", "a row has no value of its own", hint="name the column: [Table.Column]")
    name, dot, column = path.column.partition(".")
    width = len(path.text)
    table = tables.by_name.get(name)
    if table is None or not dot:
        if dot:
            hint = near(name, tuple(tables.by_name)).replace("columns", "tables")
        else:
            having = [f"[{one.name}.{name}]" for one in tables.by_name.values() if name in one.columns]
            hint = f"write {' or '.join(having)}" if having else "a cell is [Table.Column]"
        raise PathError(
            "E205", f"there is no table {name!r}" if dot else "the table is missing", width=width, hint=hint
        )
    if column not in table.columns:
        raise PathError("E205", f"{name} has no column {column!r}", width=width, hint=near(column, table.columns))
    way = scope.known.get((name, "way"))
    if way is None:
        way = scope.known[name, "way"] = _way(tables, tables.above[_current(scope, tables)], name)
    ups, steps = way
    return Found(table, column, ups, steps, str(scope.source.options.get("dates", "")))


def _tables(scope: Scope) -> Tables:
    tables = tables_of(scope.source)
    assert tables is not None
    return tables


def _current(scope: Scope, tables: Tables) -> str:
    loop = scope.loops[-1] if scope.loops else None
    return loop.table.name if isinstance(loop, Rows) else tables.root


def _way(tables: Tables, around: tuple[str, ...], name: str) -> tuple[int, tuple[Table, ...]]:
    """How many rows up, and through which tables down, from the innermost of some rows to a table."""
    up = tables.above[name]
    place = next(i for i, one in enumerate(up) if one in around)
    steps = tuple(tables.by_name[one] for one in reversed(up[:place]))
    return around.index(up[place]), steps


def _cell(node: Node, column: str) -> Any:
    text = node.row.cells[column]
    if not text or text.isspace():
        return ABSENT
    cell = CellText(text)
    cell.row = node.number
    return cell


def first_reader(path: Path, scope: Scope) -> Callable[[Any], Any]:
    """
    Cursor → the cell of the row that is meant, or `ABSENT`.

    Raises:
        PathError: E212, nothing says which of several rows is meant.
    """
    found = check(path, scope)
    for table in found.steps:
        if not table.one and not table.latest:
            said = f"several rows of {table.name} may belong to one of {table.parent}, and one value is needed"
            every = f"take them all, with `$each: {table.name}` or first(…)"
            raise PathError(
                "E212",
                said,
                width=len(path.text),
                hint=f"say under `source:` which is meant, `latest: COLUMN`; or {every}",
            )
    column = found.column

    def read(cursor: Node) -> Any:
        node = found.one(cursor)
        return ABSENT if node is None else _cell(node, column)

    return read


def every_reader(path: Path, scope: Scope) -> Callable[[Any], list[Any]]:
    """Cursor → the cells of all rows, but those in which there is nothing."""
    found = check(path, scope)
    column = found.column

    def read(cursor: Node) -> list[Any]:
        cells = (_cell(node, column) for node in found.all(cursor))
        return [cell for cell in cells if cell is not ABSENT]

    return read


def make_loop(path: Path, scope: Scope) -> tuple[Rows, Scope]:
    """
    Raises:
        PathError: E205, there is no such table; E207, its rows are not below the loop around it.
    """
    assert isinstance(path, ColumnPath)
    tables = _tables(scope)
    width = len(path.text)
    name = path.column
    table = tables.by_name.get(name)
    if table is None:
        if "." in name and name.partition(".")[0] in tables.by_name:
            raise PathError("E207", "nothing is below a cell", width=width, hint=f"$each: {name.partition('.')[0]}")
        hint = near(name, tuple(tables.by_name)).replace("columns", "tables")
        raise PathError("E205", f"there is no table {name!r}", width=width, hint=hint)
    current = _current(scope, tables)
    if name == current or current not in tables.above[name]:
        raise PathError("E207", f"rows of {name} are not below those of {current}", width=width)
    _, steps = _way(tables, (current,), name)
    loop = Rows(table, steps)
    return loop, Scope(scope.source, (*scope.loops, loop))
