"""
What was measured: in which unit, and which of some entries together, so that a build can write them as one.

What the two are, and in which unit, are the pack's lists. Where more than two could belong together none do: nothing
is guessed. This module must never know what the entries are about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mhbridge.mapping.codes import CodeList, Member
from mhbridge.mapping.conversions import Context
from mhbridge.mapping.functions import Example, Parameter, function
from mhbridge.model import ABSENT, State

__all__ = ["FUNCTIONS"]


def _listed(code: str, name: str) -> CodeList:
    return CodeList(name, {("loinc", code): (Member("loinc", code, "any"),)})


def _entry(code: str, at: Any) -> dict[str, Any]:
    value = {"value": 120, "unit": "mmHg", "system": "ucum", "code": "mm[Hg]"}
    return {"code": {"coding": [{"system": "loinc", "code": code}]}, "value": value, "at": at, "status": "final"}


_UPPER, _LOWER, _LATER = (_entry(*one) for one in (("8480-6", "2025"), ("8462-4", "2025"), ("8462-4", "2026")))
_LISTS: Final = (_listed("8480-6", "upper"), _listed("8462-4", "lower"), "mm[Hg]")


def _measured(entry: Mapping[str, Any], unit: str) -> bool:
    value = entry.get("value", ABSENT)
    if not isinstance(value, dict) or isinstance(value.get("value", ABSENT), State):
        return False
    return (value.get("system"), value.get("code")) == ("ucum", unit)


def _key(entry: Mapping[str, Any], codes: CodeList) -> tuple[Any, ...] | None:
    """What two entries share that were measured together; nothing of an entry that is none of the list's."""
    at, by = entry.get("at", ABSENT), entry.get("performer", ABSENT)
    kinds = codes.words(entry.get("code"))
    if len(kinds) != 1 or isinstance(at, State) or not at:
        return None
    return (*kinds, at, "" if isinstance(by, State) else repr(by))


def _pairs(entries: Any, these: CodeList, those: CodeList, unit: str, status: str) -> dict[int, int]:
    """The places of the first and the second of each pair."""
    places: dict[tuple[Any, ...], tuple[list[int], list[int]]] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.get("status") != status or not _measured(entry, unit):
            continue
        for half, codes in enumerate((these, those)):
            if (key := _key(entry, codes)) is not None:
                places.setdefault(key, ([], []))[half].append(place)
    return {first[0]: second[0] for first, second in places.values() if len(first) == len(second) == 1}


_PARAMETERS: Final = (
    Parameter("entries", "all"),
    Parameter("these", "list"),
    Parameter("those", "list"),
    Parameter("unit", "literal"),
    Parameter("status", "literal"),
)


@function(
    *_PARAMETERS,
    results=("wanted",),
    examples=(
        Example(
            'pairs(measured, upper, lower, "mm[Hg]", "final")',
            ([_UPPER, _LOWER, _LATER], *_LISTS, "final"),
            [{"first": _UPPER, "second": _LOWER}],
        ),
        Example(
            'pairs(measured, upper, lower, "mm[Hg]", "final")', ([_UPPER, _LOWER, _LOWER], *_LISTS, "final"), ABSENT
        ),
    ),
)
def pairs(
    context: Context,  # noqa: ARG001
    entries: Any,
    these: CodeList,
    those: CodeList,
    unit: str,
    status: str,
    *,
    want: str,  # noqa: ARG001
) -> Any:
    """
    Records, of a `first` and a `second`, of two entries that were measured together: the codes of the one are in the
    first list and those of the other in the second, with the same words; both are in that unit of UCUM, of that status,
    at the same time and by the same person; and no third is like either.
    """
    found = _pairs(entries, these, those, unit, status)
    return [{"first": entries[one], "second": entries[other]} for one, other in found.items()] or ABSENT


@function(
    *_PARAMETERS,
    results=("some",),
    examples=(
        Example(
            'unpaired(measured, upper, lower, "mm[Hg]", "final")',
            ([_UPPER, _LOWER, _LATER], *_LISTS, "final"),
            [_LATER],
        ),
    ),
)
def unpaired(
    context: Context,  # noqa: ARG001
    entries: Any,
    these: CodeList,
    those: CodeList,
    unit: str,
    status: str,
    *,
    want: str,  # noqa: ARG001
) -> Any:
    """The entries of which `pairs` makes no pair."""
    found = _pairs(entries, these, those, unit, status)
    taken = {*found, *found.values()}
    return [one for place, one in enumerate(entries) if place not in taken] or ABSENT


@function(
    Parameter("value"),
    Parameter("unit", "literal"),
    Parameter("words", "literal"),
    results=("Quantity",),
    examples=(
        Example(
            'measured(sy.value, "mm[Hg]", "millimeter of mercury")',
            (_UPPER["value"], "mm[Hg]", "millimeter of mercury"),
            _UPPER["value"] | {"unit": "millimeter of mercury"},
        ),
        Example('measured(sy.value, "kPa", "kilopascal")', (_UPPER["value"], "kPa", "kilopascal"), ABSENT),
    ),
)
def measured(context: Context, value: Any, unit: str, words: str, *, want: str) -> Any:  # noqa: ARG001
    """A quantity in that unit of UCUM, with the words that a profile has for the unit; absent in any other unit."""
    return value | {"unit": words} if _measured({"value": value}, unit) else ABSENT


@function(
    Parameter("value"),
    Parameter("unit", "literal"),
    results=("boolean",),
    examples=(
        Example('in_unit(sy.value, "mm[Hg]")', (_UPPER["value"], "mm[Hg]"), result=True),
        Example('in_unit(sy.value, "mmHg")', (_UPPER["value"], "mmHg"), result=True),
        Example('in_unit(sy.value, "kPa")', (_UPPER["value"], "kPa"), result=False),
        Example('in_unit(sy.value, "kPa")', ("high", "kPa"), result=False),
    ),
)
def in_unit(context: Context, value: Any, unit: str, *, want: str) -> bool:  # noqa: ARG001
    """Whether a value is a quantity in that unit, by the unit's code or by its words."""
    return isinstance(value, Mapping) and unit in (value.get("code"), value.get("unit"))


FUNCTIONS: Final = (in_unit, measured, pairs, unpaired)
