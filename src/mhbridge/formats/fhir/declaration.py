"""
What a `source:` block says of messages of FHIR: the version, which kinds of message, and what must stand in them.

It must never correct a declaration: what is not plainly right is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from mhbridge.formats import DeclarationError, PathError, Scope, Source
from mhbridge.formats.declaring import check_keys, check_utf8, check_zone
from mhbridge.formats.fhir.paths import FhirPath, check, scan_path
from mhbridge.formats.fhir.structure import structure
from mhbridge.formats.json.declaration import where

__all__ = ["KEYS", "declared"]

KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "version": "STU3 or R4",
        "messages": "kinds of message: document, message, message/ITK004D, transaction, collection, or a resource type",
        "where": "what must stand in them: {Composition.type.coding.code: 373942005}",
        "lines": "yes: each line of a file is a message (NDJSON)",
    }
)
_VERSIONS: Final = {
    "STU3": "STU3", "3.0": "STU3", "3.0.1": "STU3", "3.0.2": "STU3", "R4": "R4", "4.0": "R4", "4.0.1": "R4",
}  # fmt: skip
#: What a Bundle may be (FHIR R4, bundle-type).
BUNDLES: Final = frozenset(
    {"document", "message", "transaction", "transaction-response", "batch", "batch-response"}
    | {"history", "searchset", "collection"}
)
_KIND: Final = re.compile(r"[A-Za-z-]+(?:/\S+)?")


def declared(name: str, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
    """
    Check a `source:` block.

    Raises:
        DeclarationError: what it says is not possible.
    """
    check_zone(timezone)
    check_utf8(charset, "FHIR", "leave it out")
    check_keys(options, KEYS, "a fhir source")
    given = options.get("version")
    version = _VERSIONS.get(given) if isinstance(given, str) else None
    if version is None:
        raise DeclarationError("version", "a fhir source says its version", f"one of {', '.join(_VERSIONS)}")
    made: dict[str, Any] = {"version": version, "lines": options.get("lines", "no") in ("yes", "true")}
    if options.get("lines", "no") not in ("yes", "no", "true", "false"):
        raise DeclarationError("lines", "lines is yes or no")
    made["messages"] = _kinds(options.get("messages"), version)
    scope = Scope(Source(name, timezone, charset, MappingProxyType(made)))
    if "where" in options:
        made["where"] = where(options["where"], lambda text, key: _path(text, key, scope))
    return Source(name, timezone, charset, MappingProxyType(made))


def _kinds(given: object, version: str) -> frozenset[str]:
    if not isinstance(given, list | tuple) or not given:
        raise DeclarationError("messages", "a fhir source lists the kinds of message it takes", "messages: [document]")
    for one in given:
        kind = one.partition("/")[0] if isinstance(one, str) and _KIND.fullmatch(one) else ""
        if kind not in BUNDLES and kind not in structure(version).resources:
            known = ", ".join(sorted(BUNDLES))
            raise DeclarationError("messages", f"{one!r} is no kind of message", f"{known}, or a resource type")
    return frozenset(given)


def _path(text: object, key: str, scope: Scope) -> FhirPath:
    try:
        scanned = scan_path(text, 0, len(text)) if isinstance(text, str) else None
        if scanned is None or scanned[1] != len(str(text)) or scanned[0].relative:
            raise DeclarationError(key, f"{key} takes a path from a resource", "Composition.type.coding.code")
        return check(scanned[0], scope)
    except PathError as error:
        raise DeclarationError(key, error.message, error.hint) from None
