"""
People, organisations and places of CDA as records. This module must never look outside its element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.at import At
from mhbridge.mapping.conversions.cda.codes import concept
from mhbridge.mapping.conversions.cda.contacts import as_address, as_contact, as_name
from mhbridge.mapping.conversions.cda.identifiers import as_identifier
from mhbridge.mapping.conversions.cda.reasons import null
from mhbridge.model import State

__all__ = ["as_organisation", "as_person", "as_place"]

_PEOPLE: Final = (
    "assignedPerson", "associatedPerson", "informationRecipient", "relatedPerson", "guardianPerson", "playingEntity",
    "subject",
)  # fmt: skip
_ORGANISATIONS: Final = (
    "representedOrganization", "receivedOrganization", "scopingOrganization", "scopingEntity", "guardianOrganization",
    "representedCustodianOrganization", "providerOrganization",
)  # fmt: skip
_INNER: Final = (
    "assignedAuthor", "assignedEntity", "assignedCustodian", "intendedRecipient", "associatedEntity", "relatedEntity",
    "participantRole",
)  # fmt: skip


def _present(value: Any) -> bool:
    return not isinstance(value, State)


def _listed(at: At, name: str, convert: Callable[[At, Context], Any], context: Context) -> list[Any]:
    found = []
    for one in at.all(name):
        try:
            value = convert(one, context)
        except Unconvertible:
            context.note("I652", f"a part of this ({name}) did not convert and was left out")
            continue
        if _present(value):
            found.append(value)
    return found


def _shared(at: At, context: Context) -> dict[str, Any]:
    """What people and organisations have alike."""
    found: dict[str, Any] = {}
    if identifiers := _listed(at, "id", as_identifier, context):
        found["identifiers"] = identifiers
    if telecom := _listed(at, "telecom", as_contact, context):
        found["telecom"] = telecom
    if addresses := _listed(at, "addr", as_address, context):
        found["address"] = addresses[0]
    return found


def _role(at: At) -> At:
    """Of a participation the role in it: of `author` the `assignedAuthor`."""
    return at.one(*_INNER) or at


def as_person(at: At, context: Context) -> Any:
    """A role with its person and organisation, or a person alone."""
    role = _role(at)
    found = _shared(role, context)
    person = role.one(*_PEOPLE) or role
    if names := _listed(person, "name", as_name, context):
        found["name"] = names
    code = role.one("code")
    if code is not None and _present(said := concept(code, context)):
        found["role"] = said
    organisation = role.one(*_ORGANISATIONS)
    if organisation is not None and _present(inner := as_organisation(organisation, context)):
        found["organisation"] = inner
    device = role.one("assignedAuthoringDevice")
    if device is not None and "name" not in found:
        words = [text for name in ("manufacturerModelName", "softwareName")
                 if (one := device.one(name)) is not None and (text := one.words())]  # fmt: skip
        if words:
            found["name"] = [{"text": ", ".join(words)}]
    return found or null(role)


def as_organisation(at: At, context: Context) -> Any:
    """An organisation, or the one of a role."""
    role = _role(at)
    own = role.one(*_ORGANISATIONS) or role
    found = _shared(own, context)
    name = own.one("name")
    if name is not None and (text := name.words()):
        found["name"] = text
    if not found.keys() & {"name", "identifiers"} and own is not role:
        found = {**_shared(role, context), **found}
    return found or null(own)


def as_place(at: At, context: Context) -> Any:
    """A healthCareFacility with its location and the organisation that runs it, or a place alone."""
    facility = at.one("healthCareFacility", "serviceDeliveryLocation") or at
    found: dict[str, Any] = {}
    if identifiers := _listed(facility, "id", as_identifier, context):
        found["identifiers"] = identifiers
    location = facility.one("location", "place") or facility
    name = location.one("name")
    if name is not None and (text := name.words()):
        found["name"] = text
    organisation = facility.one("serviceProviderOrganization")
    if organisation is not None and _present(site := as_organisation(organisation, context)):
        found["site"] = site
    return found or null(facility)
