"""
What a `source:` block says of an extract: its columns, delimiter, dates and the column that identifies a row.

It must never correct a declaration: what is not plainly right is refused, with the nearest that would be.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from mhbridge.formats import DeclarationError, Source
from mhbridge.formats.declaring import check_charset, check_keys, check_zone, dates

__all__ = ["KEYS", "MAX_COLUMNS", "declared", "near", "plain_name"]

#: As wide as any extract of the NHS data dictionary, several times over.
MAX_COLUMNS: Final = 200

KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "columns": "the columns of the header, each once",
        "delimiter": "one character between cells; a comma if left out",
        "dates": "how dates are written: dd/mm/yyyy, yyyy-mm-dd hh:mm; ISO 8601 if left out",
        "control_id": "the column that identifies a row; left out, its own bytes do",
        "separators": "columns whose cells hold several values, and the character between them: {Allergies: ;}",
    }
)

#: Columns that a hint lists.
_SHOWN: Final = 20


def declared(name: str, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
    """
    Check a `source:` block.

    Raises:
        DeclarationError: what it says is not possible.
    """
    check_zone(timezone)
    check_charset(charset)
    check_keys(options, KEYS, "a csv source")
    delimiter = options.get("delimiter", ",")
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter.isalnum() or delimiter in '" \r\n\0':
        raise DeclarationError(
            "delimiter", "a delimiter is one character and no letter, digit, blank or quote", 'for example ";" or "\\t"'
        )
    columns = _columns(options.get("columns"))
    made: dict[str, Any] = {"columns": columns, "delimiter": delimiter}
    if "dates" in options:
        made["dates"] = dates(options["dates"], "for example dd/mm/yyyy or dd/mm/yyyy hh:mm")
    if "control_id" in options:
        column = options["control_id"]
        if column not in columns:
            raise DeclarationError("control_id", f"{column!r} is not one of the columns", near(column, columns))
        made["control_id"] = column
    if "separators" in options:
        made["separators"] = _separators(options["separators"], columns)
    return Source(name, timezone, charset, MappingProxyType(made))


def _columns(given: object) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or not given:
        raise DeclarationError("columns", "a csv source lists its columns", "the header of the file, in its order")
    if len(given) > MAX_COLUMNS:
        raise DeclarationError("columns", f"more than {MAX_COLUMNS} columns")
    for one in given:
        if not isinstance(one, str) or not one.strip() or "]" in one or not one.isprintable():
            unseen = isinstance(one, str) and re.search("[\u00a0\u2007\u202f]", one)
            hint = "what looks like a blank in it is none: write one" if unseen else ""
            raise DeclarationError("columns", f"{one!r} is not the name of a column", hint)
        if given.count(one) > 1:
            raise DeclarationError("columns", f"{one!r} is listed twice")
    return tuple(given)


def _separators(given: object, columns: Sequence[str]) -> Mapping[str, str]:
    if not isinstance(given, Mapping) or not given:
        raise DeclarationError("separators", "separators are a map from column to character", "{Allergies: ;}")
    for column, separator in given.items():
        if column not in columns:
            raise DeclarationError("separators", f"{column!r} is not one of the columns", near(column, columns))
        if not isinstance(separator, str) or len(separator) != 1 or separator.isalnum() or separator in ' "\0':
            raise DeclarationError("separators", "a separator is one character and no letter, digit, blank or quote")
    return MappingProxyType(dict(given))


def plain_name(name: str) -> str:
    """A name without what is usually mistaken in it: capitals and blanks."""
    return " ".join(name.casefold().split())


def near(name: object, columns: Sequence[str]) -> str:
    """A hint at the column that was meant."""
    plain = {plain_name(column): column for column in columns}
    found = difflib.get_close_matches(plain_name(str(name)), plain, n=1)
    if found:
        return f"did you mean {plain[found[0]]!r}?"
    return f"the columns are {', '.join(columns[:_SHOWN])}{', …' if len(columns) > _SHOWN else ''}"
