"""
Functions that say a value in words, for the `display` of references that are not followed.
"""

from __future__ import annotations

from typing import Any, Final

from mhbridge.fhir.wording import Wording, name_words
from mhbridge.mapping.conversions import Context
from mhbridge.mapping.functions import Example, Parameter, function
from mhbridge.model import ABSENT

__all__ = ["FUNCTIONS"]


def _unsaid(result: Any, value: Any) -> frozenset[str]:  # noqa: ARG001
    """Who is named is not numbered; of a place the name is said, or else the ward."""
    named = "name" in value or "family" in value
    return frozenset({"identifiers", "issuer", "within", "site", *(("ward",) if named else ())})


@function(
    Parameter("value", "value", ("person", "organisation", "place", "HumanName", "CodeableConcept")),
    results=("string",),
    unused=_unsaid,
    examples=(
        Example(
            "words(discharging_consultant)",
            ({"name": [{"family": "Larch", "given": ["Rowan"], "prefix": ["Dr"]}], "identifiers": [{"value": "C1"}]},),
            "LARCH, Rowan (Dr)",
        ),
        Example(
            "words(gp_practice)", ({"name": "Willow Surgery", "identifiers": [{"value": "Y00001"}]},), "Willow Surgery"
        ),
        Example(
            "words(diagnosis)", ({"coding": [{"system": "icd10", "code": "F32.2", "display": "Severe"}]},), "Severe"
        ),
    ),
)
def words(context: Context, value: Any, *, want: str) -> Any:  # noqa: ARG001
    """A person, organisation, place or concept by its name or first display. Nothing when it has none."""
    name = value.get("name")
    if isinstance(name, list):
        return name_words(name[0]) if name else ABSENT
    if isinstance(name, str):
        return name
    if isinstance(name, dict) or "family" in value or "given" in value:
        return name_words(name or value)
    if "ward" in value:
        return value["ward"]
    text = value.get("text") or next((c["display"] for c in value.get("coding", ()) if "display" in c), "")
    return text or Wording(lambda system: system).say("CodeableConcept", value) or ABSENT


FUNCTIONS: Final = (words,)
