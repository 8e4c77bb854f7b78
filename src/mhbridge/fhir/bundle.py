"""
Bundles, identities and JSON: how resources, which are plain dicts, are put together, named, written and read.

Written and read exactly: a decimal keeps its digits (`1.10`), because in FHIR they say how precise it is. This module
must never judge a resource (that is `validate`) and never take one through a model class.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import orjson

from mhbridge.errors import MalformedMessage

__all__ = [
    "Entry",
    "Identities",
    "document_bundle",
    "dumps",
    "full_url",
    "loads",
    "plain_bundle",
    "reference",
    "resource_id",
    "transaction_bundle",
]

Resource = Mapping[str, Any]

#: How deep received JSON may nest: deeper than any FHIR resource, shallow enough for every reader.
DEPTH: Final = 64


# --- identity ----------------------------------------------------------------------------------------------


def resource_id(*parts: str) -> str:
    """
    The id of what `parts` name, in the form of a UUID: the same parts always give the same id.

    One BLAKE2b hash over the parts, each preceded by its length, so that ("ab", "c") and ("a", "bc") differ. It is a
    UUID of version 8 (RFC 9562 §5.8: 122 bits of the maker's own choosing), not the name-based version 5 of RFC 4122,
    which would take SHA-1 and a second hash for its name space.

    Raises:
        ValueError: there are no parts.
    """
    if not parts:
        raise ValueError("an id needs at least one part")
    return Identities().of(*parts)


class Identities:
    """
    Gives the ids of parts that all begin alike: `Identities("a").of("b")` is `resource_id("a", "b")`.

    What they begin with is hashed once.
    """

    __slots__ = ("_begun",)

    def __init__(self, *parts: str) -> None:
        self._begun = blake2b(_measured(parts), digest_size=16)

    def of(self, *parts: str) -> str:
        """The id of what is named by the first parts and these."""
        digest = self._begun.copy()
        for part in parts:
            digest.update(_measure(part))
        text = digest.hexdigest()
        # Version 8, and the variant of RFC 9562 in the two bits that begin the fourth group.
        return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{_VARIANTS[text[16]]}{text[17:20]}-{text[20:]}"


_VARIANTS: Final = {f"{digit:x}": f"{digit & 3 | 8:x}" for digit in range(16)}


def _measured(parts: Iterable[str]) -> bytes:
    return b"".join([_measure(part) for part in parts])


def _measure(part: str) -> bytes:
    # A lone surrogate (from broken text) has no UTF-8 form, and an id is wanted for it none the less.
    encoded = part.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(8, "big") + encoded


def full_url(identity: str) -> str:
    """The `fullUrl` of a resource with an id of `resource_id`."""
    return f"urn:uuid:{identity}"


def reference(url: str) -> dict[str, Any]:
    """A Reference to the entry with this `fullUrl`."""
    return {"reference": url}


# --- bundles -----------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """
    A resource on its way into a Bundle.

    Args:
        upsert: (system URI, value) of the identifier by which a server finds the resource that this one replaces; only
            in a transaction.
    """

    full_url: str
    resource: Resource
    upsert: tuple[str, str] | None = None


def document_bundle(
    entries: Iterable[Entry],
    *,
    identifier: Mapping[str, Any],
    timestamp: str,
    identity: str = "",
    meta: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    A document. The first entry must be its Composition, which `validate` checks.

    Args:
        identifier: of this version of the document, with system and value (bdl-9).
        timestamp: instant at which it was assembled (bdl-10).
        identity: `Bundle.id`.
    """
    head = {"identifier": dict(identifier), "type": "document", "timestamp": timestamp}
    return _bundle(head, entries, identity, meta)


def transaction_bundle(
    entries: Iterable[Entry],
    *,
    identifier: Mapping[str, Any] | None = None,
    timestamp: str = "",
    identity: str = "",
    meta: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    A transaction that puts every entry: by id, or by its `upsert` identifier.

    A resource that is put by identifier carries no id: the server gives it the id of what it finds, and refuses a
    different one (R4, RESTful API, conditional update). References to it by `fullUrl` are rewritten by the server.
    """
    head: dict[str, Any] = {"identifier": dict(identifier)} if identifier else {}
    head["type"] = "transaction"
    if timestamp:
        head["timestamp"] = timestamp
    bundle = _bundle(head, (), identity, meta)
    bundle["entry"] = [_put(entry) for entry in entries]
    return bundle


def plain_bundle(
    kind: str,
    entries: Iterable[Entry],
    *,
    identifier: Mapping[str, Any] | None = None,
    timestamp: str = "",
    identity: str = "",
    meta: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A Bundle of `kind` `message` or `collection`, whose entries are resources and nothing else."""
    head: dict[str, Any] = {"identifier": dict(identifier)} if identifier else {}
    head["type"] = kind
    if timestamp:
        head["timestamp"] = timestamp
    return _bundle(head, entries, identity, meta)


def _bundle(
    head: Mapping[str, Any], entries: Iterable[Entry], identity: str, meta: Mapping[str, Any] | None
) -> dict[str, Any]:
    bundle: dict[str, Any] = {"resourceType": "Bundle"}
    if identity:
        bundle["id"] = identity
    if meta:
        bundle["meta"] = dict(meta)
    bundle.update(head)
    listed = [{"fullUrl": entry.full_url, "resource": entry.resource} for entry in entries]
    if listed:
        bundle["entry"] = listed
    return bundle


def _put(entry: Entry) -> dict[str, Any]:
    resource = entry.resource
    kind = resource["resourceType"]
    if entry.upsert is None:
        url = f"{kind}/{resource['id']}"
    else:
        system, value = entry.upsert
        url = f"{kind}?identifier={_system_in_url(system)}%7C{_in_url(value)}"
        resource = dict(resource)
        resource.pop("id", None)
    return {"fullUrl": entry.full_url, "resource": resource, "request": {"method": "PUT", "url": url}}


def _in_url(part: str) -> str:
    """Part of a token of a search, as it stands in a URL."""
    if _UNRESERVED.fullmatch(part):
        return part
    # R4, Search, "Escaping Search Parameters": what separates values is escaped, before the URL's own escapes.
    return quote(_SEPARATES.sub(r"\\\1", part), safe="")


#: RFC 3986 §2.3.
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]*")
_SEPARATES: Final = re.compile(r"([\\|,$])")
#: Systems are those of mappings, so there are few, and none is a patient's.
_system_in_url = lru_cache(maxsize=256)(_in_url)


# --- writing JSON ------------------------------------------------------------------------------------------

#: Up to so many places after the point a decimal is written without an exponent.
PLACES: Final = 30

_STRICT: Final = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def dumps(resource: Any, *, pretty: bool = False) -> bytes:
    """
    A resource as JSON in UTF-8, in the order of its keys. `pretty` indents by two and ends with a line end.

    Only what JSON knows is written: dict, list, str, bool, None, int, float and Decimal. A date is text already.

    Raises:
        ValueError: a number is not finite.
        TypeError: something else stands there, or text cannot be encoded. The message has no value.
    """
    option = _STRICT | (orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE if pretty else 0)
    try:
        body = orjson.dumps(resource, _decimal, option)
    except TypeError as error:
        # orjson turns whatever `_decimal` raises into one of its own.
        raise error.__cause__ if isinstance(error.__cause__, ValueError | TypeError) else error from None
    # orjson writes a float that is not finite as null. FHIR has next to no nulls, so looking is almost free.
    if b"null" in body:
        _refuse_infinite(resource)
    return body


def _decimal(value: Any) -> orjson.Fragment:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")
    if not value.is_finite():
        raise ValueError("a number that is not finite cannot be written as JSON")
    exponent = int(value.as_tuple().exponent)
    # Python writes 0.0000001 as 1E-7. The digits are the same, but a person compares with what the source has.
    return orjson.Fragment(f"{value:f}" if -PLACES <= exponent <= 0 else str(value))


def _refuse_infinite(value: Any) -> None:
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError("a number that is not finite cannot be written as JSON")
    elif isinstance(value, Mapping):
        for inner in value.values():
            _refuse_infinite(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            _refuse_infinite(inner)


# --- reading JSON ------------------------------------------------------------------------------------------

# Text is skipped from its opening quotation mark; the possessive repetition keeps the scan linear, and the end of the
# body stands for a closing mark that is missing, which the parser then reports.
_TEXT: Final = re.compile(rb'"(?:[^"\\]+|\\.?)*+(?:"|\Z)', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(body: bytes) -> Any:
    """
    Received JSON, read strictly: decimals keep their digits as `Decimal`, and nothing is guessed or dropped.

    Raises:
        MalformedMessage: not UTF-8 (V150), not JSON (V151), a name twice in one object (V152), `NaN` or `Infinity`
            (V153), nested more than 64 levels deep (V154), half a surrogate pair (V155), a number too long to be kept
            (V156).
    """
    if _depth(body) > DEPTH:
        raise MalformedMessage("V154", f"JSON nested more than {DEPTH} levels deep")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedMessage("V150", "the body is not UTF-8", offset=error.start) from None
    try:
        found = json.loads(
            text,
            parse_float=_number,
            parse_int=_whole,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode("utf-8", "surrogatepass"))
        raise MalformedMessage("V151", "the body is not JSON", offset=offset) from None
    # An escape can spell half of a pair, which no UTF-8 can hold: what was read could never be written.
    if _ESCAPED_SURROGATE.search(body) and _holds_surrogate(found):
        raise MalformedMessage("V155", "text has half a surrogate pair")
    return found


def _depth(body: bytes) -> int:
    deepest = depth = 0
    for bracket in _TEXT.sub(b"", body).translate(None, _NOT_BRACKETS):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("Infinity")
    if not number.is_finite():
        raise MalformedMessage("V156", "a number is too long to be kept exactly")
    return number


def _whole(text: str) -> int | Decimal:
    # int("-0") would lose the sign; and up to 19 characters a number fits into the 64 bits that `dumps` can write.
    return Decimal(text) if text == "-0" or len(text) > 19 else int(text)


def _constant(_: str) -> Any:
    raise MalformedMessage("V153", "NaN and Infinity are not numbers in JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedMessage("V152", "an object has a name twice")
    return found


def _holds_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return _SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(_holds_surrogate(inner) for pair in value.items() for inner in pair)
    return isinstance(value, list) and any(map(_holds_surrogate, value))
