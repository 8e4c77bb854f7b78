"""
What an invariant asks of a node: whether an element is there, what is coded in it, when it was.

Nothing here raises, whatever stands in the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

__all__ = ["TERMINOLOGY", "UCUM", "Node", "chosen", "coded", "has", "nodes", "number", "span"]

Node = Mapping[str, Any]

UCUM: Final = "http://unitsofmeasure.org"
TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"


def has(node: Node, *names: str) -> bool:
    """Whether any of the elements exists."""
    for name in names:  # noqa: SIM110  (a generator takes three times as long, and this is asked a hundred times)
        if name in node or f"_{name}" in node:
            return True
    return False


def chosen(node: Node, name: str) -> bool:
    """Whether a choice exists, of whatever type: `value` for valueString, valueQuantity, …"""
    size = len(name)
    return any(key.lstrip("_").startswith(name) and key.lstrip("_")[size : size + 1].isupper() for key in node)


def nodes(node: Any, name: str) -> list[Node]:
    """The objects of an element, whether or not it repeats."""
    found = node.get(name)
    return [item for item in (found if isinstance(found, list) else [found]) if isinstance(item, dict)]


def coded(node: Node, name: str, system: str, *codes: str) -> bool:
    """Whether a CodeableConcept (or any of several) has one of the codes of a system."""
    return any(
        coding.get("system") == system and coding.get("code") in codes
        for concept in nodes(node, name)
        for coding in nodes(concept, "coding")
    )


def number(node: Node, name: str) -> Decimal | None:
    """The value of a number, or None when there is none."""
    found = node.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float | Decimal):
        return None
    value = Decimal(str(found)) if isinstance(found, float) else Decimal(found)
    return value if value.is_finite() else None


def span(text: Any) -> tuple[datetime, datetime] | None:
    """The earliest and the latest instant that a date or dateTime may mean, without a time zone where it has none."""
    if not isinstance(text, str):
        return None
    try:
        match len(text):
            case 4:
                first, last = date(int(text), 1, 1), date(int(text), 12, 31)
            case 7:
                first = date.fromisoformat(f"{text}-01")
                last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
            case 10:
                first = last = date.fromisoformat(text)
            case _:
                exact = datetime.fromisoformat(text)
                return exact, exact
        # A day anywhere on Earth: it begins in UTC+14 and ends in UTC-12.
        return (
            datetime.combine(first, time.min, timezone(timedelta(hours=14))),
            datetime.combine(last, time.max, timezone(timedelta(hours=-12))),
        )
    except (ValueError, OverflowError):
        return None
