"""
The invariants of FHIR R4's data types, each named by its key.
"""

from __future__ import annotations

from typing import Final

from mhbridge.fhir.invariants.asking import UCUM, Node, has, number, span
from mhbridge.fhir.invariants.declared import Declared

__all__ = ["DECLARED", "per_1"]

DECLARED: Final = Declared()
on = DECLARED.on


@on("Period", "per-1", "end")
def per_1(node: Node) -> bool:
    """If present, start SHALL have a lower value than end."""
    start, end = node.get("start"), node.get("end")
    first, last = span(start), span(end)
    if start == end or first is None or last is None:
        return True
    if len(str(start)) <= 10 and len(str(end)) <= 10:
        return first[0].date() <= last[1].date()  # both without a time: whatever the time zone, it is the same one
    try:
        return first[0] <= last[1]
    except TypeError:  # one of them lacks its time zone, which is reported as its form
        return True


@on("Range", "rng-2", "high")
def rng_2(node: Node) -> bool:
    """If present, low SHALL have a lower value than high."""
    low, high = node.get("low"), node.get("high")
    if not isinstance(low, dict) or not isinstance(high, dict):
        return True
    if (low.get("system"), low.get("code"), low.get("unit")) != (
        high.get("system"),
        high.get("code"),
        high.get("unit"),
    ):
        return True  # quantities of different units cannot be compared here
    first, last = number(low, "value"), number(high, "value")
    return first is None or last is None or first <= last


@on("Ratio", "rat-1")
def rat_1(node: Node) -> bool:
    """Numerator and denominator SHALL both be present, or both absent with some extension present."""
    numerator, denominator = has(node, "numerator"), has(node, "denominator")
    return numerator == denominator and (numerator or has(node, "extension"))


@on("Quantity", "qty-3", "code", "_code")
def qty_3(node: Node) -> bool:
    """If a code for the unit is present, the system SHALL also be present."""
    return not has(node, "code") or has(node, "system")


def _ucum(node: Node) -> bool:
    return (has(node, "code") or not has(node, "value")) and (not has(node, "system") or node.get("system") == UCUM)


@on("Age", "age-1")
def age_1(node: Node) -> bool:
    """There SHALL be a code if there is a value; the system is UCUM; the value is positive."""
    value = number(node, "value")
    return _ucum(node) and (value is None or value > 0)


@on("Count", "cnt-3")
def cnt_3(node: Node) -> bool:
    """The code is "1" if there is a value; the system is UCUM; the value is whole."""
    value = number(node, "value")
    whole = value is None or value == value.to_integral_value()
    return _ucum(node) and (not has(node, "code") or node.get("code") == "1") and whole


@on("Distance", "dis-1")
def dis_1(node: Node) -> bool:
    """There SHALL be a code if there is a value; the system is UCUM."""
    return _ucum(node)


@on("Duration", "drt-1", "code", "_code")
def drt_1(node: Node) -> bool:
    """A code implies a value, and that the system is UCUM."""
    return not has(node, "code") or (node.get("system") == UCUM and has(node, "value"))


@on("ContactPoint", "cpt-2", "value", "_value")
def cpt_2(node: Node) -> bool:
    """A system is required if a value is provided."""
    return not has(node, "value") or has(node, "system")


@on("Attachment", "att-1", "data", "_data")
def att_1(node: Node) -> bool:
    """If the Attachment has data, it SHALL have a contentType."""
    return not has(node, "data") or has(node, "contentType")


@on("Timing.repeat", "tim-1", "duration", "_duration")
def tim_1(node: Node) -> bool:
    """If there's a duration, there needs to be duration units."""
    return not has(node, "duration") or has(node, "durationUnit")


@on("Timing.repeat", "tim-2", "period", "_period")
def tim_2(node: Node) -> bool:
    """If there's a period, there needs to be period units."""
    return not has(node, "period") or has(node, "periodUnit")


@on("Timing.repeat", "tim-4", "duration")
def tim_4(node: Node) -> bool:
    """Duration SHALL be a non-negative value."""
    value = number(node, "duration")
    return value is None or value >= 0


@on("Timing.repeat", "tim-5", "period")
def tim_5(node: Node) -> bool:
    """Period SHALL be a non-negative value."""
    value = number(node, "period")
    return value is None or value >= 0


@on("Timing.repeat", "tim-6", "periodMax", "_periodMax")
def tim_6(node: Node) -> bool:
    """If there's a periodMax, there must be a period."""
    return not has(node, "periodMax") or has(node, "period")


@on("Timing.repeat", "tim-7", "durationMax", "_durationMax")
def tim_7(node: Node) -> bool:
    """If there's a durationMax, there must be a duration."""
    return not has(node, "durationMax") or has(node, "duration")


@on("Timing.repeat", "tim-8", "countMax", "_countMax")
def tim_8(node: Node) -> bool:
    """If there's a countMax, there must be a count."""
    return not has(node, "countMax") or has(node, "count")


@on("Timing.repeat", "tim-9", "offset", "_offset")
def tim_9(node: Node) -> bool:
    """If there's an offset, there must be a when (and not C, CM, CD, CV)."""
    when = node.get("when")
    if not has(node, "offset"):
        return True
    return isinstance(when, list) and not any(code in ("C", "CM", "CD", "CV") for code in when)


@on("Timing.repeat", "tim-10", "timeOfDay", "_timeOfDay")
def tim_10(node: Node) -> bool:
    """If there's a timeOfDay, there cannot be a when, or vice versa."""
    return not has(node, "timeOfDay") or not has(node, "when")
