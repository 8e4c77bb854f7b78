"""
What a `source:` block says of documents: how the files are named, what their names say, and how the index is read.

    letter: LET_{letter_no}_{hospital_no}.*      index: LET_{letter_no}.xml

What stands in braces is a field of the message; what both names have is what pairs them. The rest of the block is that
of the index's own format. This module must never let a name be read in two ways.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from mhbridge.formats import DeclarationError, Format, Source, format_named
from mhbridge.formats.csv.sets.declaration import seconds_of
from mhbridge.formats.declaring import check_charset, check_zone

__all__ = ["INDEXES", "KEYS", "Declared", "Name", "declared", "of_source"]

#: The formats that an index may have.
INDEXES: Final = ("csv", "xml", "json")
KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "letter": "the name of the document's file, with fields in braces: LET_{letter_no}_{hospital_no}.*",
        "index": "the name of the file that says what the document is, if there is one: LET_{letter_no}.csv",
        "index_format": "csv, xml or json; csv if left out. Its own keys stand beside it",
        "wait": "how long one of the two waits in a folder for the other before a person looks: 4h, 90m",
        "control_id": "the field of the name that identifies a letter; with an index it may be one of the index",
    }
)
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED: Final = frozenset({"content", "name"})
_USUAL_WAIT: Final = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Name:
    """How a file is named: a pattern, and its fields in order."""

    pattern: re.Pattern[str]
    fields: tuple[str, ...]

    def read(self, name: str) -> dict[str, str] | None:
        """What a name says; `None`: it is another file's."""
        found = self.pattern.fullmatch(name)
        return None if found is None else found.groupdict()


@dataclass(frozen=True, slots=True)
class Declared:
    """
    What is declared.

    Args:
        key: the fields that the two names share; without an index those of the letter.
        control_id: the field that identifies a letter; empty: the index says it.
        inner: how the index is read, with the format that reads it; `None`: there is none.
    """

    letter: Name
    index: Name | None
    key: tuple[str, ...]
    wait: float
    control_id: str
    inner: tuple[str, Source] | None

    @property
    def format(self) -> Format | None:
        """The format of the index."""
        return None if self.inner is None else format_named(self.inner[0])


def of_source(source: Source) -> Declared:
    """What a source declares."""
    found: Declared = source.options["document"]
    return found


def declared(name: str, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
    """
    Check a `source:` block.

    Raises:
        DeclarationError: what it says is not possible.
    """
    check_zone(timezone)
    check_charset(charset)
    letter = _name("letter", options.get("letter"))
    index = _name("index", options["index"]) if "index" in options else None
    key = tuple(field for field in letter.fields if index is None or field in index.fields)
    if index is not None and not key:
        raise DeclarationError("index", "the two names have no field in common, by which they would be paired")
    if index is not None and set(index.fields) - set(letter.fields):
        strange = min(set(index.fields) - set(letter.fields))
        raise DeclarationError("index", f"{{{strange}}} is no field of the letter's name; write * for what is not read")
    inner = None if index is None else _inner(timezone, charset, options)
    if index is None and (own := [one for one in options if one not in KEYS]):
        raise DeclarationError(own[0], f"{own[0]!r} is of an index, and there is none", "index: LET_{letter_no}.csv")
    control = options.get("control_id", "")
    if control not in letter.fields:
        if index is None:
            hint = f"one of {', '.join(letter.fields)}" if letter.fields else "letter: LET_{letter_no}.pdf"
            raise DeclarationError("control_id", "control_id names the field that identifies a letter", hint)
        control = ""  # the index has it, which was checked with its own block
    wait = seconds_of(options["wait"]) if "wait" in options else _USUAL_WAIT
    made: dict[str, Any] = {"document": Declared(letter, index, key, wait, control, inner)}
    if inner is not None and "dates" in inner[1].options:
        made["dates"] = inner[1].options["dates"]
    return Source(name, timezone, charset, MappingProxyType(made))


def _inner(timezone: str, charset: str, options: Mapping[str, Any]) -> tuple[str, Source]:
    name = options.get("index_format", "csv")
    if name not in INDEXES:
        raise DeclarationError("index_format", f"an index is {', '.join(INDEXES)}")
    format_ = format_named(name)
    assert format_ is not None
    letter = _name("letter", options.get("letter"))
    own = {key: value for key, value in options.items() if key not in KEYS}
    if "control_id" in options and options["control_id"] not in letter.fields:
        own["control_id"] = options["control_id"]
    for key in own:
        if key not in format_.keys:
            raise DeclarationError(key, f"{key!r} is not a key of a document source, nor of an index in {name}")
    if "tables" in own:
        raise DeclarationError("tables", "an index is one file")
    return name, format_.declare(timezone, charset, own)


def _name(key: str, given: object) -> Name:
    if not isinstance(given, str) or not given or "/" in given or "\\" in given:
        raise DeclarationError(key, f"{key!r} says how a file is named", "LET_{letter_no}_{hospital_no}.*")
    pieces: list[str] = []
    fields: list[str] = []
    at = 0
    for found in _FIELD.finditer(given):
        field = found[1]
        if not _FIELD_NAME.fullmatch(field) or field in _RESERVED or field in fields:
            raise DeclarationError(key, f"{{{field}}} is no field: small letters and digits, each once", "{letter_no}")
        behind = given[found.end() : found.end() + 1]
        if behind in ("{", "*"):
            raise DeclarationError(key, f"nobody can say where {{{field}}} ends", "a sign stands between two fields")
        # A field ends at the sign behind it, so that a name can be read in one way only.
        one = f"[^{re.escape(behind)}]" if behind else "."
        pieces += [_plain(given[at : found.start()]), f"(?P<{field}>{one}{{1,200}})"]
        fields.append(field)
        at = found.end()
    pieces.append(_plain(given[at:]))
    if "{" in _FIELD.sub("", given) or "}" in _FIELD.sub("", given):
        raise DeclarationError(key, "a brace is not closed", "LET_{letter_no}.pdf")
    return Name(re.compile("".join(pieces), re.IGNORECASE), tuple(fields))


def _plain(text: str) -> str:
    """Text of a name as a pattern; `*` is anything but the dot of an ending."""
    return "[^.]*".join(map(re.escape, text.split("*")))
