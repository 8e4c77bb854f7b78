"""
What a `source:` block says of documents: how a file of them is taken to pieces, which are meant, and what names one.

It must never correct a declaration: what is not plainly right is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from mhbridge.formats import DeclarationError, PathError, Scope, Source
from mhbridge.formats.declaring import check_keys, check_utf8, check_zone
from mhbridge.formats.json.path import JsonPath, check, scan_path

__all__ = ["KEYS", "chosen", "dates", "declared", "where"]

KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "message_per": "the path of a list of which each entry is a message: $.discharges",
        "lines": "yes: each line of a file is a document (NDJSON)",
        "where": "which documents are meant: {$.type: discharge, $.version: [1, 2]}",
        "control_id": "the path of what identifies a document; left out, its own bytes do",
        "sender": "the path of who sends",
        "sent_at": "the path of when it was sent",
        "dates": "how dates are written: dd/mm/yyyy; ISO 8601 if left out",
        "nulls": "delete: null takes an earlier value away; absent, if left out: it says nothing",
        "fields": "the members that documents may have: [patient.name.family, …]; then a path to another is an error",
    }
)
#: Members that a declaration may list.
_MOST_FIELDS: Final = 2000
_NAME: Final = re.compile(r"[^\s.\"\[\]]+")
_DATES: Final = re.compile(r"(?:dd|mm|mmm|yyyy)(?:[-/. ]?(?:dd|mm|mmm|yyyy)){2}(?:[T ]hh:mm(?::ss)?)?")


def declared(name: str, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
    """
    Check a `source:` block.

    Raises:
        DeclarationError: what it says is not possible.
    """
    check_zone(timezone)
    check_utf8(charset, "JSON", "leave it out (RFC 8259 §8.1)")
    check_keys(options, KEYS, "a json source")
    made: dict[str, Any] = {"fields": _fields(options["fields"]) if "fields" in options else frozenset()}
    scope = Scope(Source(name, timezone, charset, MappingProxyType(made)))

    def path(text: object, key: str) -> JsonPath:
        return _path(text, key, scope)

    for key in ("control_id", "sender", "sent_at"):
        if key in options:
            made[key] = path(options[key], key)
    if "message_per" in options:
        found = path(options["message_per"], "message_per")
        if not found.steps or any(step.which is not None for step in found.steps):
            raise DeclarationError("message_per", "a list is named by its members alone", "for example $.discharges")
        made["message_per"] = found
    made["lines"] = _choice(options, "lines", {"yes": True, "true": True, "no": False, "false": False}, default=False)
    made["nulls"] = _choice(options, "nulls", {"delete": True, "absent": False}, default=False)
    if made["lines"] and "message_per" in made:
        raise DeclarationError("lines", "a line is a message: there is nothing to take apart", "leave message_per out")
    if "where" in options:
        made["where"] = where(options["where"], path)
    if "dates" in options:
        made["dates"] = dates(options["dates"])
    return Source(name, timezone, charset, MappingProxyType(made))


def _choice(options: Mapping[str, Any], key: str, words: Mapping[str, bool], *, default: bool) -> bool:
    given = options.get(key)
    if given is None:
        return default
    if not isinstance(given, str) or given not in words:
        raise DeclarationError(key, f"{key} is one of {', '.join(words)}")
    return words[given]


def _path(text: object, key: str, scope: Scope) -> JsonPath:
    try:
        scanned = scan_path(text, 0, len(text)) if isinstance(text, str) else None
        if scanned is None or scanned[1] != len(str(text)) or scanned[0].relative:
            raise DeclarationError(key, f"{key} takes a path from the top", "for example $.header.messageId")
        return check(scanned[0], scope)
    except PathError as error:
        raise DeclarationError(key, error.message, error.hint) from None


def where(given: object, path: Callable[[object, str], Any]) -> tuple[tuple[Any, frozenset[str]], ...]:
    """
    `where:` as (path, what may stand there).

    Raises:
        DeclarationError: it is no map of paths.
    """
    if not isinstance(given, Mapping) or not given:
        raise DeclarationError("where", "where is a map from path to text, or to several", "{$.type: discharge}")
    found = []
    for text, wanted in given.items():
        several = wanted if isinstance(wanted, list | tuple) else [wanted]
        if not several or not all(isinstance(one, str) and one for one in several):
            raise DeclarationError("where", f"what may stand at {text} is a text, or a list of texts")
        found.append((path(text, "where"), frozenset(several)))
    return tuple(found)


def dates(given: object) -> str:
    """
    The pattern of dates.

    Raises:
        DeclarationError: it is none.
    """
    patterns = given.split(",") if isinstance(given, str) else [""]
    for pattern in patterns:
        parts = sorted(re.findall(r"dd|mmm|mm|yyyy", pattern.strip().partition(":")[0].replace("hh", "")))
        if not _DATES.fullmatch(pattern.strip()) or [part[0] for part in parts] != ["d", "m", "y"]:
            said = f"{pattern.strip()!r} does not say how a date is written"
            raise DeclarationError("dates", said, "for example dd/mm/yyyy or yyyymmdd")
    return str(given)


def _fields(given: object) -> frozenset[tuple[str, ...]]:
    """All members that are declared, and those around them."""
    if not isinstance(given, list | tuple) or not given or len(given) > _MOST_FIELDS:
        raise DeclarationError(
            "fields", f"fields is a list of members, {_MOST_FIELDS} at most", "[patient.name.family]"
        )
    found: set[tuple[str, ...]] = set()
    for one in given:
        names = tuple(one.split(".")) if isinstance(one, str) else ()
        if not names or not all(map(_NAME.fullmatch, names)):
            raise DeclarationError(
                "fields", f"{one!r} is no member", "names with dots between them: patient.name.family"
            )
        found.update(names[: place + 1] for place in range(len(names)))
    return frozenset(found)


def chosen(source: Source) -> tuple[Any, ...]:
    """What two mappings of one file must agree on, to take it to pieces alike."""
    per = source.options.get("message_per")
    return source.options["lines"], per.text if per is not None else ""
