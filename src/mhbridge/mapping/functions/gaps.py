"""
What is not among some entries, or is old: for a panel that says what is missing where it can still be asked for.

Which things are looked for, how old is old and the words for it are the pack's. What is not sure to be old is not
called so. This module must never know what the entries are about.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from mhbridge.fhir.dates import date_words
from mhbridge.mapping.codes import CodeList, Member
from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.functions import Example, Parameter, function
from mhbridge.model import ABSENT, State, Unknown

__all__ = ["FUNCTIONS"]

_CHECKS: Final = CodeList(
    "checks",
    {
        (system, code): (Member(system, code, display),)
        for system, code, display in (
            ("snomed", "27113001", "Weight"),
            ("snomed", "60621009", "Body mass index"),
            ("snomed", "75367002", "Blood pressure"),
        )
    },
)
_WORDS: Final = ("not recorded", "not since", "no date")


def _entry(code: str, at: Any) -> dict[str, Any]:
    return {"code": {"coding": [{"system": "snomed", "code": code}]}, "value": {"value": 1}, "at": at}


def _limit(day: str, months: int) -> str:
    """The day so many months before another; a day that its month does not have is the last that it has."""
    known = date.fromisoformat(day[:10])
    years, month = divmod(known.year * 12 + known.month - 1 - months, 12)
    for last in (known.day, 30, 29, 28):
        try:
            return date(years, month + 1, last).isoformat()
        except ValueError:
            continue
    raise AssertionError


def _about(entry: Mapping[str, Any], codes: CodeList) -> set[str]:
    """What an entry is about: what any code of it stands for in the list."""
    return set[str]().union(*[codes.words(concept) for concept in entry.values()])


@function(
    Parameter("entries", "all"),
    Parameter("list", "list"),
    Parameter("day", "value", ("dateTime", "date")),
    Parameter("months", "literal"),
    Parameter("missing", "literal"),
    Parameter("old", "literal"),
    Parameter("undated", "literal"),
    results=("text", "string"),
    states=True,
    examples=(
        Example(
            'gaps(measured, checks, written_at, 12, "not recorded", "not since", "no date")',
            (
                [_entry("27113001", "2023-11-05"), _entry("60621009", "2025-03-02")],
                _CHECKS,
                "2025-03-14",
                "12",
                *_WORDS,
            ),
            "Weight: not since 5 November 2023\nBlood pressure: not recorded",
        ),
        Example(
            'gaps(measured, checks, written_at, 12, "not recorded", "not since", "no date")',
            ([_entry(code, "2024-03") for code in ("27113001", "60621009")], _CHECKS, "2025-03-31", "12", *_WORDS),
            "Blood pressure: not recorded",
        ),
        Example(
            'gaps(measured, checks, written_at, 12, "not recorded", "not since", "no date")',
            ([_entry("60621009", ABSENT), _entry("75367002", ABSENT)], _CHECKS, "2025-03-14", "12", *_WORDS),
            "Weight: not recorded\nBody mass index: no date\nBlood pressure: no date",
        ),
    ),
)
def gaps(
    context: Context,  # noqa: ARG001
    entries: Any,
    codes: CodeList,
    day: Any,
    months: Any,
    missing: str,
    old: str,
    undated: str,
    *,
    want: str,  # noqa: ARG001
) -> Any:
    """
    What of a list no entry is about, or only entries that are surely older than so many months on a day: a line for
    each, in the list's words and order; nothing when there is none. An entry is a record with `value` and `at`, and is
    about what any of its codes stands for in the list.
    """
    if isinstance(entries, Unknown):
        return entries
    try:
        limit = "" if isinstance(day, State) or len(day) < 10 else _limit(day, int(months))
    except ValueError:
        raise Unconvertible("not a day and a number of months") from None
    seen: dict[str, list[str]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and not isinstance(entry.get("value", ABSENT), State):
            at = entry.get("at", ABSENT)
            for name in _about(entry, codes):
                seen.setdefault(name, []).append("" if isinstance(at, State) else at)
    lines = []
    for name in dict.fromkeys([one.display for same in codes.members.values() for one in same]):
        dates = seen.get(name)
        if dates is None:
            lines.append(f"{name}: {missing}")
        elif not any(dates):
            lines.append(f"{name}: {undated}")
        elif limit and all(at[:10] < limit[: len(at[:10])] for at in dates if at):
            lines.append(f"{name}: {old} {date_words(max(dates)[:10])}")
    return "\n".join(lines) or ABSENT


FUNCTIONS: Final = (gaps,)
