"""
What a `source:` block says of documents: namespaces, root element, dialect, and what else must be in one.

It must never know a supplier: which documents a feed takes is all said here by the mapping.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from mhbridge.formats import DeclarationError, Path, PathError, Source
from mhbridge.formats.declaring import check_charset, check_keys, check_zone, dates
from mhbridge.formats.xml.path import Name, XmlPath, scan_path

__all__ = ["CDA", "KEYS", "declared", "expanded", "is_cda"]

#: HL7 CDA R2 §1.2.3.
CDA: Final = "urn:hl7-org:v3"

KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "namespaces": 'prefix → URI; names without a prefix are in that of "": {"": urn:hl7-org:v3}',
        "root": "the element that a message is, with its prefix: ClinicalDocument",
        "dialect": "cda: elements convert as HL7 CDA R2 data types; left out: as their text",
        "templates": "CDA: template ids of which the document has at least one: 1.2.3, or 1.2.3:2015-08-01",
        "where": "paths each of which finds something in the document; in a list of their own, one of them is enough",
        "control_id": "path of what identifies a message; left out: the id of a CDA, or the document's own bytes",
        "message_per": "path of the elements of which each is a message, where a document holds many",
        "dates": "how dates are written that are no CDA's: dd/mm/yyyy; ISO 8601 if left out",
    }
)

_PREFIX: Final = re.compile(r"(?:[^\W\d][\w.-]{0,63})?")
_TEMPLATE: Final = re.compile(r"[0-2](?:\.(?:0|[1-9]\d*))+(?::[\w.#-]{1,64})?", re.ASCII)
_XML: Final = {"xml": "http://www.w3.org/XML/1998/namespace"}


def is_cda(source: Source) -> bool:
    """Whether its elements are CDA's."""
    return source.options.get("dialect") == "cda"


def declared(name: str, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
    """
    Check a `source:` block.

    Raises:
        DeclarationError: what it says is not possible.
    """
    check_zone(timezone)
    check_charset(charset)
    check_keys(options, KEYS, "an xml source")
    namespaces = _namespaces(options.get("namespaces", {}))
    made: dict[str, Any] = {"namespaces": namespaces}
    if (dialect := options.get("dialect", "")) not in ("", "cda"):
        raise DeclarationError("dialect", f"{dialect!r} is no dialect", "cda, or leave it out")
    if dialect:
        made["dialect"] = dialect
    root = options.get("root", "")
    found = _path("root", f"/{root}", namespaces) if isinstance(root, str) and root else None
    if found is None or len(found.steps) != 1 or found.steps[0].axis != "child" or found.steps[0].predicates:
        raise DeclarationError("root", "an xml source names its root element", "for example ClinicalDocument")
    assert found.steps[0].name is not None
    made["root"] = expanded(found.steps[0].name, namespaces)
    if "templates" in options:
        if not dialect:
            raise DeclarationError("templates", "templates are CDA's", "add `dialect: cda`, or use `where`")
        made["templates"] = _templates(options["templates"])
    if "where" in options:
        made["where"] = _where(options["where"], namespaces)
    for key in ("control_id", "message_per"):
        if key in options:
            path = _path(key, options[key], namespaces)
            if path.relative:
                raise DeclarationError(key, "the path begins at the root", "for example /letter/@number")
            if key == "message_per" and path.steps[-1].axis != "child":
                raise DeclarationError(key, "a message is an element")
            made[key] = path
    if "dates" in options:
        made["dates"] = dates(options["dates"], "for example dd/mm/yyyy")
    return Source(name, timezone, charset, MappingProxyType(made))


def expanded(name: Name, namespaces: Mapping[str, str], *, attribute: bool = False) -> str:
    """
    `{namespace}local`; of an attribute without a prefix `local` (Namespaces in XML 1.0 §6.2).

    Raises:
        PathError: E205, the prefix is not declared.
    """
    if name.local == "*" or (attribute and not name.prefix):
        return name.local
    uri = namespaces.get(name.prefix) or _XML.get(name.prefix, "")
    if name.prefix and not uri:
        known = ", ".join(filter(None, namespaces)) or "none"
        hint = f"declare it under `source: namespaces:`; declared are: {known}"
        raise PathError(
            "E205", f"undeclared prefix {name.prefix!r}", offset=name.offset, width=len(name.prefix), hint=hint
        )
    return f"{{{uri}}}{name.local}" if uri else name.local


def _namespaces(given: object) -> Mapping[str, str]:
    if not isinstance(given, Mapping):
        raise DeclarationError("namespaces", "namespaces are a map from prefix to URI", "{hl7: urn:hl7-org:v3}")
    for prefix, uri in given.items():
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix) or prefix.startswith("xml"):
            raise DeclarationError("namespaces", f"{prefix!r} is no prefix")
        if not isinstance(uri, str) or not uri or any(character.isspace() or character in "{}" for character in uri):
            raise DeclarationError("namespaces", f"the namespace of {prefix!r} is no URI")
    return MappingProxyType(dict(given))


def _path(key: str, given: object, namespaces: Mapping[str, str]) -> XmlPath:
    if not isinstance(given, str):
        raise DeclarationError(key, "this is a path, as text", "for example /ClinicalDocument/id/@root")
    try:
        scanned = scan_path(given, 0, len(given))
        if scanned is None or scanned[1] != len(given):
            raise DeclarationError(key, f"{given!r} is no path", "for example /ClinicalDocument/id/@root")
        for name in scanned[0].names:
            expanded(name, namespaces)
    except PathError as error:
        raise DeclarationError(key, f"{given!r}: {error.message}", error.hint) from None
    return scanned[0]


def _templates(given: object) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or not given:
        raise DeclarationError("templates", "a list of template ids", "[2.16.840.1.113883.10.20.22.1.8]")
    for one in given:
        if not isinstance(one, str) or not _TEMPLATE.fullmatch(one):
            raise DeclarationError("templates", f"{one!r} is no template id", "an OID, or an OID:extension")
    return tuple(given)


def _where(given: object, namespaces: Mapping[str, str]) -> tuple[tuple[Path, ...], ...]:
    if not isinstance(given, (list, tuple)) or not given:
        raise DeclarationError("where", "a list of paths", "['/ClinicalDocument/code[@code=\"34133-9\"]']")
    found: list[tuple[Path, ...]] = []
    for entry in given:
        choices = entry if isinstance(entry, (list, tuple)) else (entry,)
        if not choices:
            raise DeclarationError("where", "a list of alternatives has at least one path")
        paths = tuple(_path("where", one, namespaces) for one in choices)
        if any(path.relative for path in paths):
            raise DeclarationError("where", "the path begins at the root", "for example /letter/@number")
        found.append(paths)
    return tuple(found)
