"""
How the versions of one document follow each other: which one replaces which, whether two say the same, and the version
that takes a document back.

FHIR R4 Composition.relatesTo (code `replaces`) names the version that is replaced; Composition.status
`entered-in-error` says that there is none that holds. This module must never let anything clinical into a withdrawal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import orjson

from mhbridge.fhir import narrative
from mhbridge.fhir.bundle import Entry, document_bundle, dumps, full_url
from mhbridge.fhir.dates import date_words

__all__ = ["replacing", "withdrawn", "written"]

Resource = Mapping[str, Any]

#: Of a Composition, what names the version or says which it replaces.
_OF_THE_VERSION: Final = ("identifier", "relatesTo")
_URI: Final = "urn:ietf:rfc:3986"
_WITHDRAWN: Final = "Withdrawn: "
#: What stays of a resource in a withdrawal: enough to know whose and which document it is, and who takes it back.
_KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    "Composition": ("meta", "type", "subject", "author", "custodian", "confidentiality", "language"),
    "Patient": ("meta", "identifier", "name", "gender", "birthDate"),
    "Practitioner": ("meta", "identifier", "name"),
    "PractitionerRole": ("meta", "practitioner", "organization", "code"),
    "Organization": ("meta", "identifier", "name"),
    "Device": ("meta", "identifier", "deviceName"),
}


def written(bundle: Resource) -> tuple[bytes, bytes]:
    """
    A document as JSON, and a hash of what it says, whichever version it is.

    Not of it: the names of the version, when it was made, and what it replaces. What both are of is written once.
    """
    first, *others = bundle["entry"]
    composition = first["resource"]
    if "section" in composition:
        composition = {**composition, "section": orjson.Fragment(dumps(composition["section"]))}
    said = {key: value for key, value in composition.items() if key not in _OF_THE_VERSION}
    rest = dumps(others)
    # SHA-256, because processors have it: of a letter, BLAKE2 would cost more than all that is hashed took to write.
    digest = sha256(dumps(said))
    digest.update(rest)
    head = dumps({**first, "resource": composition})
    entries = b"[%b,%b" % (head, rest[1:]) if others else b"[%b]" % head
    return dumps({**bundle, "entry": orjson.Fragment(entries)}), digest.digest()


def replacing(bundle: Resource, identifiers: Sequence[str]) -> Resource:
    """The same document, saying which versions it replaces. What its author says of that stays."""
    if not identifiers:
        return bundle
    first, *others = bundle["entry"]
    said = list(first["resource"].get("relatesTo", ()))
    ours = [one for one in map(_replaces, identifiers) if one not in said]
    composition = {**first["resource"], "relatesTo": [*ours, *said]}
    return {**bundle, "entry": [{**first, "resource": composition}, *others]}


def _replaces(identifier: str) -> dict[str, Any]:
    return {"code": "replaces", "targetIdentifier": {"system": _URI, "value": identifier}}


def withdrawn(bundle: Resource, *, identifier: str, date: str, timestamp: str) -> Resource:
    """
    The version that takes a document back.

    Args:
        bundle: the document, or any earlier version of it.
        identifier: `urn:uuid:…` of this version.
        date: when it was taken back.
        timestamp: when this version was made.
    """
    by_url = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"] if "fullUrl" in entry}
    first = bundle["entry"][0]
    original = first["resource"]
    name = {"system": _URI, "value": identifier}
    title = original.get("title", "Document").removeprefix(_WITHDRAWN)
    composition = {
        "resourceType": "Composition",
        "id": original["id"],
        "identifier": name,
        "status": "entered-in-error",
        "date": date,
        "title": _WITHDRAWN + title,
        **_kept(original),
        "section": [_section(title, date_words(date))],
    }
    entries = [Entry(first["fullUrl"], composition)]
    # What the Composition names, and what that names: a document may hold nothing else (FHIR R4 §3.3.1).
    wanted = list(_references(composition))
    seen = {first["fullUrl"]}
    while wanted:
        url = wanted.pop(0)
        resource = by_url.get(url)
        if url in seen or resource is None or resource["resourceType"] not in _KEPT:
            continue
        seen.add(url)
        left = {"resourceType": resource["resourceType"], "id": resource["id"], **_kept(resource)}
        entries.append(Entry(url, left))
        wanted += _references(left)
    identity = identifier.removeprefix(full_url(""))
    return document_bundle(entries, identifier=name, timestamp=timestamp, identity=identity)


def _section(title: str, words: str) -> dict[str, Any]:
    inner = narrative.paragraph(
        f"This document is withdrawn: its sender took it back on {words}. Do not act on any version of it that you "
        f"hold ({title}), and mark each as entered in error."
    )
    return {"title": "Document withdrawn", "text": {"status": "generated", "div": narrative.div(inner)}}


def _kept(resource: Resource) -> dict[str, Any]:
    return {key: resource[key] for key in _KEPT[resource["resourceType"]] if key in resource}


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        found = value.get("reference")
        if isinstance(found, str):
            yield found
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)
