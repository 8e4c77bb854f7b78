"""
What a `source:` block says of a set of tables: which there are, their columns, and how their rows belong together.

The tables are one tree. Its root is `message_per`: each row of it is a message, and every other table stands below one
other, by the equality of named columns. This module must never correct a declaration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final

from mhbridge.formats import DeclarationError, Source
from mhbridge.formats.csv.declaration import declared as declared_alone
from mhbridge.formats.csv.declaration import near
from mhbridge.formats.csv.lines import codec_of, one_byte_codec

__all__ = ["KEYS", "Table", "Tables", "declared", "seconds_of", "tables_of"]

KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tables": "tables of a set, each with its columns and how its rows belong to those of another",
        "message_per": "the table of which each row is a message",
        "wait": "how long an incomplete set of files waits in a folder before a person looks: 4h, 90m",
    }
)
#: The data set that has the most, MHSDS v6.0, has 62.
_MOST: Final = 80
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_TABLE_KEYS: Final = ("columns", "file", "key", "one_for", "many_for", "by", "latest", "optional", "unjoined")
_WAIT: Final = re.compile(r"([1-9]\d{0,4})(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
#: Of files of one set; what was not put there within this time was forgotten, or failed.
_USUAL_WAIT: Final = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Table:
    """
    One table.

    Args:
        parent: the table that it stands below; empty: it is the root.
        one: at most one row of it belongs to a row of its parent.
        of: the columns of the parent that are compared with `by`; both have the same length.
        by: its own columns; of the root, those that name a record.
        latest: the columns that say which of several rows a single value is taken from; the last one by them.
        pattern: names of its file, in small letters.
        optional: a set without it is whole.
        unjoined: why rows of it may belong to no record; empty: a person looks at such rows.
        alone: how the file itself is read.
    """

    name: str
    columns: tuple[str, ...]
    parent: str
    one: bool
    of: tuple[str, ...]
    by: tuple[str, ...]
    latest: tuple[str, ...]
    pattern: str
    optional: bool
    unjoined: str
    alone: Source = field(repr=False)

    def takes(self, name: str) -> bool:
        """Whether a file of this name holds its rows."""
        plain = name.lower()
        if self.pattern:
            return fnmatchcase(plain, self.pattern)
        stem = plain.rpartition(".")[0] or plain
        own = self.name.lower()
        return stem == own or (stem.startswith(own) and not stem[len(own)].isalnum())


@dataclass(frozen=True, slots=True)
class Tables:
    """
    The tables of a set.

    Args:
        by_name: in the order in which they are declared.
        below: table → those right below it.
        above: table → itself and those above it, up to the root.
        wait: seconds that an incomplete set waits in a folder.
    """

    root: str
    by_name: Mapping[str, Table]
    below: Mapping[str, tuple[Table, ...]]
    above: Mapping[str, tuple[str, ...]]
    wait: float

    def holding(self, name: str) -> Table | None:
        """The table whose rows are in a file of this name."""
        return next((table for table in self.by_name.values() if table.takes(name)), None)

    @property
    def needed(self) -> tuple[Table, ...]:
        """Those without which a set is not whole."""
        return tuple(table for table in self.by_name.values() if not table.optional)


def tables_of(source: Source) -> Tables | None:
    """The tables that a source declares; `None`: it declares one file with one row for each message."""
    found: Tables | None = source.options.get("set")
    return found


def declared(name: str, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
    """
    Check a `source:` block with `tables:`.

    Raises:
        DeclarationError: what it says is not possible.
    """
    for key in ("columns", "control_id", "separators"):
        if key in options:
            raise DeclarationError(key, f"a set of tables has no {key!r} of its own", "each of its tables has columns")
    given = options["tables"]
    if not isinstance(given, Mapping) or not given:
        raise DeclarationError("tables", "tables are a map from name to what is said of each")
    if len(given) > _MOST:
        raise DeclarationError("tables", f"more than {_MOST} tables")
    if not one_byte_codec(codec_of(Source(name, timezone, charset))):
        raise DeclarationError("charset", "a set of tables is in a character set of single bytes, or in UTF-8")
    root = options.get("message_per")
    if root not in given:
        hint = near(root, tuple(given)).replace("columns", "tables")
        raise DeclarationError("message_per", "message_per names the table of which each row is a message", hint)
    shared = {key: options[key] for key in ("delimiter", "dates") if key in options}
    tables: dict[str, Table] = {}
    for one, said in given.items():
        if not isinstance(one, str) or not _NAME.fullmatch(one):
            raise DeclarationError("tables", f"{one!r} is not the name of a table")
        tables[one] = _table(one, said, name, timezone, charset, shared, root=one == root)
    above = {one: _above(one, tables) for one in tables}
    for table in tables.values():
        if table.parent:
            _check_columns(table.name, "by", table.of, tables[table.parent].columns)
    below = {one: tuple(table for table in tables.values() if table.parent == one) for one in tables}
    wait = seconds_of(options["wait"]) if "wait" in options else _USUAL_WAIT
    made = Tables(str(root), MappingProxyType(tables), MappingProxyType(below), MappingProxyType(above), wait)
    told: dict[str, Any] = {"set": made, "delimiter": options.get("delimiter", ",")}
    if "dates" in options:
        told["dates"] = options["dates"]
    return Source(name, timezone, charset, MappingProxyType(told))


def _table(
    name: str, said: object, format_: str, timezone: str, charset: str, shared: Mapping[str, Any], *, root: bool
) -> Table:
    if not isinstance(said, Mapping):
        raise DeclarationError("tables", f"of {name!r} nothing is said", "at least its columns and what it belongs to")
    for key in said:
        if key not in _TABLE_KEYS:
            raise _wrong(name, key, f"{key!r} is not said of a table", f"{', '.join(_TABLE_KEYS)} are")
    try:
        alone = declared_alone(format_, timezone, charset, {**shared, "columns": said.get("columns")})
    except DeclarationError as error:
        raise _wrong(name, error.key, error.message, error.hint) from None
    columns: tuple[str, ...] = alone.options["columns"]
    parents = [key for key in ("one_for", "many_for") if key in said]
    if root:
        if parents or "by" in said or "latest" in said or "unjoined" in said or "optional" in said:
            raise _wrong(name, "", "it is the root: it has a 'key' and belongs to nothing")
        by = of = _names(name, "key", said.get("key"))
        _check_columns(name, "key", by, columns)
        return Table(name, columns, "", True, of, by, (), _pattern(name, said), False, "", alone)
    if len(parents) != 1 or "key" in said:
        raise _wrong(name, "", "say one_for or many_for with the table that it belongs to")
    of, by = _by(name, said.get("by"))
    _check_columns(name, "by", by, columns)
    latest = _names(name, "latest", said["latest"]) if "latest" in said else ()
    _check_columns(name, "latest", latest, columns)
    unjoined = said.get("unjoined", "")
    if not isinstance(unjoined, str) or ("unjoined" in said and not unjoined.strip()):
        raise _wrong(name, "unjoined", "'unjoined' says why rows of it may belong to no record")
    optional = said.get("optional", "false")
    if optional not in ("true", "false"):
        raise _wrong(name, "optional", "'optional' is true or false")
    parent = said[parents[0]]
    if not isinstance(parent, str):
        raise _wrong(name, parents[0], f"{parents[0]} names a table")
    one = parents[0] == "one_for"
    pattern = _pattern(name, said)
    return Table(name, columns, parent, one, of, by, latest, pattern, optional == "true", unjoined, alone)


def _wrong(table: str, key: str, message: str, hint: str = "") -> DeclarationError:
    """What is wrong with a table, at the key of it that is concerned."""
    return DeclarationError("/".join(filter(None, ("tables", table, key))), f"{table}: {message}", hint)


def _by(name: str, said: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of the parent and its own: the same names, or a map from those of the parent to its own."""
    if isinstance(said, Mapping):
        if said and all(isinstance(one, str) and isinstance(other, str) for one, other in said.items()):
            return tuple(said.keys()), tuple(said.values())
        raise _wrong(name, "by", "'by' is a map from columns of the other table to its own")
    names = _names(name, "by", said)
    return names, names


def _names(name: str, key: str, said: object) -> tuple[str, ...]:
    found = (said,) if isinstance(said, str) else tuple(said) if isinstance(said, (list, tuple)) else ()
    if not found or not all(isinstance(one, str) for one in found):
        raise _wrong(name, key, f"{key!r} names one column or several")
    return found


def _check_columns(name: str, key: str, named: Sequence[str], columns: Sequence[str]) -> None:
    for column in named:
        if column not in columns:
            raise _wrong(name, key, f"{key!r}: there is no column {column!r}", near(column, columns))


def _pattern(name: str, said: Mapping[str, Any]) -> str:
    pattern = said.get("file", "")
    if not isinstance(pattern, str) or "/" in pattern or "\\" in pattern:
        raise _wrong(name, "file", f"'file' is a pattern of names, such as {name.lower()}_*.csv")
    return pattern.lower()


def _above(name: str, tables: Mapping[str, Table]) -> tuple[str, ...]:
    """A table and those above it, up to the root."""
    found = [name]
    while parent := tables[found[-1]].parent:
        if parent not in tables:
            hint = near(parent, tuple(tables)).replace("columns", "tables")
            key = "one_for" if tables[found[-1]].one else "many_for"
            raise _wrong(found[-1], key, f"there is no table {parent!r}", hint)
        if parent in found:
            raise _wrong(name, "", "the tables belong to each other in a circle")
        found.append(parent)
    return tuple(found)


def seconds_of(text: object) -> float:
    """
    How long to wait, in seconds.

    Raises:
        DeclarationError: it is no number with its unit.
    """
    found = _WAIT.fullmatch(str(text))
    if found is None:
        raise DeclarationError("wait", "how long to wait is a number and s, m, h or d", "wait: 4h")
    return float(int(found[1]) * _SECONDS[found[2]])
