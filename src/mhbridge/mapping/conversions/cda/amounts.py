"""
Numbers, quantities and simple values of CDA as item values. This module must never convert a unit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.at import XSI, At
from mhbridge.mapping.conversions.cda.codes import declared_type, original
from mhbridge.mapping.conversions.cda.reasons import null
from mhbridge.mapping.conversions.primitives import CHECKED, decimal

__all__ = ["as_primitive", "as_quantity"]

#: No blank and none of the marks that UCUM does not have; a unit with one is words in the place of a code.
_UCUM: Final = re.compile(r"[!#-'*-:;<>?@A-Z\[\]^_`a-z{|}~.()=+\"]{1,60}")


def _amount(at: At) -> dict[str, Any]:
    found: dict[str, Any] = {"value": decimal(at.take("value"))}
    unit = at.take("unit")
    if unit and unit != "1":
        # PQ.unit is a UCUM code by definition (HL7 v3 data types R1 §2.37.2); what is none is words.
        found["unit"] = unit
        if _UCUM.fullmatch(unit):
            found |= {"system": "ucum", "code": unit}
    return found


def as_quantity(at: At, _context: Context) -> Any:
    """PQ, INT, REAL; of an interval that is open on one side its end, with a comparator."""
    kind = declared_type(at)
    if kind not in ("", "PQ", "INT", "REAL", "MO", "IVL_PQ", "IVL_INT", "IVL_REAL"):
        raise Unconvertible("not a quantity")
    if kind:
        at.take(f"{XSI}type")
    if at.peek("value"):
        return _amount(at)
    ends = {name: end for name in ("low", "high") if (end := at.one(name)) is not None and end.peek("value")}
    if len(ends) == 2:
        raise Unconvertible("an interval between two numbers is no quantity")
    for name, end in ends.items():
        open_ = end.take("inclusive").lower() == "false"
        comparator = {"low": ">", "high": "<"}[name] + ("" if open_ else "=")
        return {"comparator": comparator, **_amount(end)}
    translation = at.one("translation")
    text = original(translation) if translation is not None else ""
    if text:
        raise Unconvertible("a quantity in words")
    return null(at)


def as_primitive(name: str) -> Callable[[At, Context], Any]:
    """A simple value, checked as a FHIR primitive of the name is."""
    check = CHECKED[name]

    def run(at: At, _context: Context) -> Any:
        value = at.take("value") or (at.own() if at.bare else "")
        return check(value) if value else null(at)

    return run
