"""
The figures of a month as CSV and as plain data: a line for each count, what is nought left out.

This module must never write a number that `suppressing` has left out, nor one from which it follows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final

from mhbridge.insights.groups import Group
from mhbridge.insights.months import Month

__all__ = ["COLUMNS", "LEFT_OUT", "as_csv", "plain"]

COLUMNS: Final = (
    "month", "measure", "sender", "recipient", "document", "name", "value", "count", "of", "percent",
)  # fmt: skip
#: Stands where a number is left out.
LEFT_OUT: Final = "*"
#: What spreadsheets would work out.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_csv(month: Month, groups: Sequence[Group]) -> str:
    """All of them as CSV (RFC 4180), in UTF-8 to be."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for line in _lines(month, groups):
        writer.writerow([_cell(one) for one in line])
    return text.getvalue()


def _cell(value: Any) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _lines(month: Month, groups: Sequence[Group]) -> Iterator[tuple[Any, ...]]:
    for group in groups:
        whose = str(month), group.measure, group.sender, group.recipient, group.document, group.name
        total = LEFT_OUT if group.shown.total is None else group.shown.total
        if not group.shown.parts:
            yield *whose, "all", total, total, ""
        for value, count in group.shown.parts.items():
            if count is None:
                at_least = group.shown.at_least.get(value)
                yield *whose, value, LEFT_OUT, total, f"over {at_least}" if at_least else ""
            elif count:
                yield *whose, value, count, total, group.shown.percent(value)


def plain(month: Month, groups: Sequence[Group], small: int) -> dict[str, Any]:
    """All of them as JSON has it; `null` where a number is left out."""
    return {
        "month": str(month),
        "left_out_below": small,
        "groups": [
            {
                "measure": group.measure, "sender": group.sender, "recipient": group.recipient,
                "document": group.document, "name": group.name, "total": group.shown.total,
                "parts": dict(group.shown.parts),
            }
            for group in groups
        ],
    }  # fmt: skip
