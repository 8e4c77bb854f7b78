"""
HL7 CDA R2 data types as item values: an element becomes what the item is.

After the abstract data types of HL7 v3 (CDA R2 uses release 1) and HL7's C-CDA on FHIR guide 1.2.0, with what NHS CDA
does differently. A `nullFlavor` is a reason why there is no value. This package must never guess the system of a
code from its looks, and never complete a date.
"""

from __future__ import annotations

from collections.abc import Iterator

from mhbridge.mapping.conversions import Conversion
from mhbridge.mapping.conversions import times as t
from mhbridge.mapping.conversions.at import made
from mhbridge.mapping.conversions.cda.amounts import as_primitive, as_quantity
from mhbridge.mapping.conversions.cda.codes import as_code, as_coded, original, referred
from mhbridge.mapping.conversions.cda.contacts import as_address, as_contact, as_name
from mhbridge.mapping.conversions.cda.identifiers import as_identifier, as_nhs_number
from mhbridge.mapping.conversions.cda.people import as_organisation, as_person, as_place
from mhbridge.mapping.conversions.cda.reasons import null
from mhbridge.mapping.conversions.cda.times import as_period, as_time

__all__ = ["conversions", "null", "original", "referred"]


def conversions() -> Iterator[Conversion]:
    """In the order in which an `any of` tries them: what can be told apart by its type first."""
    from mhbridge.mapping.conversions import narrative

    yield made("Quantity", as_quantity)
    yield made("Period", as_period)
    for name, convert in (("dateTime", t.v2_date_time), ("date", t.v2_date), ("instant", t.v2_instant)):
        yield made(name, as_time(convert))
    yield made("CodeableConcept", as_coded)
    yield made("code", as_code)
    yield made("Identifier", as_identifier)
    yield made("nhs_number", as_nhs_number)
    yield made("HumanName", as_name)
    yield made("Address", as_address)
    yield made("ContactPoint", as_contact)
    yield made("person", as_person)
    yield made("organisation", as_organisation)
    yield made("place", as_place)
    for name in ("boolean", "decimal", "integer", "positiveInt", "unsignedInt"):
        yield made(name, as_primitive(name))
    yield from narrative.conversions()
