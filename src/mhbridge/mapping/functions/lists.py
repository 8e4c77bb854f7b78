"""
Lists of records put together and in order, so that a reader meets first what matters first.

Which records, which order and the words for it are the pack's. What is put in order stays whole, and none is left out.
This module must never know what the records are about.
"""

from __future__ import annotations

from typing import Any, Final

from mhbridge.mapping.codes import CodeList, Member, codes_of
from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.functions import Example, Parameter, function
from mhbridge.model import ABSENT, State, Unknown

__all__ = ["FUNCTIONS"]

_STATES: Final = CodeList(
    "states",
    {
        (system, code): (Member(system, code, display),)
        for system, code, display in (("a", "gone", "Gone"), ("b", "new", "New"), ("b", "old", "As before"))
    },
)


def _entry(name: str, code: str = "") -> dict[str, Any]:
    return {"name": name} | ({"state": {"coding": [{"system": "b", "code": code}]}} if code else {})


def _records(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


@function(
    Parameter("first", "all"),
    Parameter("others", "all"),
    Parameter("field", "literal"),
    Parameter("list", "list"),
    Parameter("unsaid", "literal"),
    results=("want",),
    states=True,
    examples=(
        Example(
            'arranged(gone, here, "state", states, "Not said")',
            ([{"name": "x"}], [_entry("y", "old"), _entry("z"), _entry("w", "new")], "state", _STATES, "Not said"),
            [
                {"name": "x", "state": {"coding": [{"system": "a", "code": "gone", "display": "Gone"}]}},
                _entry("w", "new"),
                _entry("y", "old"),
                {"name": "z", "state": {"text": "Not said"}},
            ],
        ),
        Example(
            'arranged(gone, here, "state", states, "Not said")',
            (ABSENT, [_entry("y"), _entry("z")], "state", _STATES, "Not said"),
            ABSENT,
        ),
    ),
)
def arranged(
    context: Context,  # noqa: ARG001
    first: Any,
    others: Any,
    field: str,
    order: CodeList,
    unsaid: str,
    *,
    want: str,  # noqa: ARG001
) -> Any:
    """
    Two lists of records as one, in the order of a list of codes. Of the first list the field is what the list of codes
    begins with; the others stand where it has the code of their field, and behind it, with the words for that, where
    they say none. Nothing where the first is empty and none of the others says any.
    """
    withheld = next((one for one in (first, others) if isinstance(one, Unknown)), None)
    if withheld is not None:
        return withheld
    if not order.members:
        raise Unconvertible("the list of codes is empty")
    places = {code: place for place, code in enumerate(order.members)}
    (system, code), (member, *_) = next(iter(order.members.items()))
    begins = {"coding": [{"system": system, "code": code, "display": member.display}]}
    found = [(0, {**one, field: begins} if isinstance(one, dict) else one) for one in _records(first)]
    is_said = bool(found)
    for one in _records(others):
        known = [places[said] for said in codes_of(one.get(field) if isinstance(one, dict) else None) if said in places]
        has = isinstance(one, dict) and bool(one.get(field)) and not isinstance(one[field], State)
        is_said = is_said or has
        whole = one if has or not isinstance(one, dict) else {**one, field: {"text": unsaid}}
        found.append((min(known, default=len(places)), whole))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])] if is_said else ABSENT


FUNCTIONS: Final = (arranged,)
