"""
Why a CDA element has no value: what a `nullFlavor` says. This module must never make a value of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mhbridge.mapping.conversions import Unconvertible
from mhbridge.mapping.conversions.at import At
from mhbridge.model import ABSENT, State, Unknown

__all__ = ["null"]

#: HL7's ConceptMap CF-NullFlavorDataAbsentReason (C-CDA on FHIR 1.2.0); those that it leaves out are `unknown`.
_REASONS: Final[Mapping[str, str]] = {
    "NI": "unknown",
    "UNK": "unknown",
    "ASKU": "asked-unknown",
    "NAV": "temp-unknown",
    "NASK": "not-asked",
    "NAVU": "unknown",
    "MSK": "masked",
    "NA": "not-applicable",
    "NP": "unknown",
    "OTH": "unsupported",
    "TRC": "unsupported",
    "QS": "unsupported",
    "DER": "unknown",
    "INV": "unsupported",
    "UNC": "unsupported",
    "NINF": "negative-infinity",
    "PINF": "positive-infinity",
}


def null(at: At) -> State:
    """
    Why there is no value: the reason of the element's nullFlavor, or absent.

    Raises:
        Unconvertible: the word is no nullFlavor.
    """
    flavour = at.take("nullFlavor")
    if not flavour:
        return ABSENT
    reason = _REASONS.get(flavour)
    if reason is None:
        raise Unconvertible("this is no nullFlavor of HL7 v3")
    return Unknown(reason)
