"""
Instance identifiers of CDA as item values. This module must never guess whose a number is: only its root says.
"""

from __future__ import annotations

import re
from typing import Any, Final

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.at import At
from mhbridge.mapping.conversions.cda.reasons import null
from mhbridge.mapping.conversions.primitives import nhs

__all__ = ["as_identifier", "as_nhs_number", "system_of"]

#: NHS number, verified; and the OID of one that nobody has traced (NHS CDA, identifiers of a patient).
_NHS: Final = ("2.16.840.1.113883.2.1.4.1", "2.16.840.1.113883.2.1.3.2.4.18.23")
#: NHS CDA: a local identifier. All of England shares the OID; who gave the number is said beside it.
_LOCAL: Final = "2.16.840.1.113883.2.1.3.2.4.18.24"
#: ITU-T X.660: what a URI of an OID may say (RFC 3061).
_OID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def as_identifier(at: At, context: Context) -> Any:
    """II: an OID and a number under it, or a UUID, or an OID by itself (RFC 3986 URIs)."""
    root, extension = at.peek("root"), at.peek("extension")
    if not root and not extension:
        return null(at)
    if not extension:
        at.take("root")
        if _UUID.fullmatch(root):
            return {"system": "urn:ietf:rfc3986", "value": f"urn:uuid:{root.lower()}"}
        if not _OID.fullmatch(root):
            raise Unconvertible("the root is neither an OID nor a UUID")
        return {"system": "urn:ietf:rfc3986", "value": f"urn:oid:{root}"}
    at.take("extension")
    authority = at.peek("assigningAuthorityName")
    declared, given = context.authorities.get(root), context.authorities.get(authority) if authority else None
    if declared is None and given and (root == _LOCAL or not context.systems.named(root)):
        # Who gave the number says more than an OID that all share, or that nobody knows.
        at.take("assigningAuthorityName")
        return {"system": context.systems.of_uri(given), "value": extension}
    found: dict[str, Any] = {"value": extension}
    at.take("root")
    if declared:
        found["system"] = context.systems.of_uri(declared)
    elif root != _LOCAL and (system := system_of(root, context)):
        found["system"] = system
    if authority:
        found["assigner"] = {"display": at.take("assigningAuthorityName")}
    elif root and root != _LOCAL and "system" not in found:
        found["assigner"] = {"display": root}
    return found


def system_of(root: str, context: Context) -> str:
    """The system of an OID or a UUID; empty where it is neither: a URI that is none would spoil the document."""
    known = context.systems.named(root)
    if known:
        return known
    if _OID.fullmatch(root):
        return f"urn:oid:{root}"
    return f"urn:uuid:{root.lower()}" if _UUID.fullmatch(root) else ""


def as_nhs_number(at: At, _context: Context) -> Any:
    """II of the NHS: whether the number was traced is another item."""
    root, extension = at.take("root"), at.take("extension")
    if not extension:
        return null(at)
    if root not in _NHS:
        raise Unconvertible("the number is not of the NHS")
    return nhs(extension)
