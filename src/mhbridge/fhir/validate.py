"""
Whether a resource is good FHIR: one call, a tuple of issues with codes `V1xx`, FHIRPath locations and never a value.

What is looked at: the definitions of R4 (elements, cardinality, types, required bindings, the form of every
primitive, extensions that the tables know, the invariants that apply), the profiles of UK Core that a resource claims,
narrative, references and whole Bundles. Not looked at: codes of value sets that cannot be listed (SNOMED CT, LOINC,
languages, media types), bindings that are not required, displays, profiles of others, resource types outside the
tables, and whether it is good care. "No issues" therefore means "good R4 and UK Core, as far as this goes".

Two validators give the same issues: `DefinitionsValidator` walks and reports, `CompiledValidator` first asks the
compiled form (`compiled`) whether there is anything to report. `fhir.resources` gives a second opinion in an audit.

Callers depend on `Validator`. This module must never change a resource, and never raise for a bad one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final, Protocol

from mhbridge.fhir.bundle_rules import bundle_issues
from mhbridge.fhir.compiled import compiled
from mhbridge.fhir.definitions import Definitions, r4
from mhbridge.fhir.models import second_opinion
from mhbridge.fhir.structure import Visit, Walk
from mhbridge.model import Issue, Severity

__all__ = [
    "DIAGNOSTICS",
    "CompiledValidator",
    "DefinitionsValidator",
    "Validator",
    "default_validator",
    "operation_outcome",
    "validate",
]

#: System of our codes in an OperationOutcome.
DIAGNOSTICS: Final = "urn:mhbridge:diagnostics"


class Validator(Protocol):
    """Judges a resource. It is pure, never raises for a bad resource, and never puts a value into an issue."""

    def __call__(self, resource: Mapping[str, Any], /) -> tuple[Issue, ...]:
        """Everything that is wrong, in the order of the resource; empty when nothing is."""


class DefinitionsValidator:
    """
    The slow and obvious validator: one walk, then the rules of Bundles. It gives every issue with its place.

    Args:
        definitions: what resources are compared with.
        ask_models: have `fhir.resources` judge each resource, too. It costs ten times what the rest does.
        good_practice: warn of resources without a narrative (dom-6), which events never have.
    """

    def __init__(self, definitions: Definitions, *, ask_models: bool = False, good_practice: bool = False) -> None:
        self._definitions = definitions
        self._ask_models = ask_models
        self._good_practice = good_practice

    def __call__(self, resource: Mapping[str, Any], /) -> tuple[Issue, ...]:
        """Everything that is wrong with a resource and with those that it holds."""
        walk = Walk(self._definitions)
        walk.resource(resource)
        issues = [*walk.issues, *bundle_issues(walk)]
        if self._good_practice:
            issues += [i for visit in walk.visits for i in self._unnarrated(visit)]
        if self._ask_models:
            known = _Known(issues)
            for visit in walk.visits:
                opinions = second_opinion(_alone(visit), visit.path)
                issues += [i for i in opinions if not known.covers(i)]
        return tuple(dict.fromkeys(issues))

    def _unnarrated(self, visit: Visit) -> Iterator[Issue]:
        """A resource that says nothing to a person (dom-6); one that is contained must not (R4, DomainResource)."""
        narrative = visit.resource.get("text")
        says = isinstance(narrative, dict) and "div" in narrative
        if not says and visit.container < 0 and "DomainResource" in self._definitions.bases(visit.kind):
            text = "A resource should have narrative for robust management (dom-6)"
            yield Issue("V127", Severity.WARNING, text, visit.path)


class CompiledValidator:
    """
    The validator for every message: fast for what is right, and as exact as the walk about what is not.

    Args:
        definitions: what resources are compared with.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._is_clean = compiled(definitions)
        self._walked = DefinitionsValidator(definitions)
        self._is_first = True

    def __call__(self, resource: Mapping[str, Any], /) -> tuple[Issue, ...]:
        """Everything that is wrong with a resource and with those that it holds."""
        if self._is_first:
            # One resource is walked sooner than its types are compiled: `mhbridge translate FILE` has but one.
            self._is_first = False
            return self._walked(resource)
        return () if self._is_clean(resource) else self._walked(resource)


class _Known:
    """What has been found already, so that a second opinion adds only what is new."""

    def __init__(self, issues: Iterable[Issue]) -> None:
        self._said = {(issue.code, issue.path) for issue in issues}
        self._places = {issue.path for issue in issues if issue.code in _OF_THE_PLACE}
        self._holders = {_holder(issue.path) for issue in issues if issue.code in ("V103", "V107")}

    def covers(self, opinion: Issue) -> bool:
        if (opinion.code, opinion.path) in self._said:
            return True
        # `fhir.resources` reports a broken choice, and some missing elements, at the object that lacks them.
        if opinion.code == "V123" and opinion.path in self._holders:
            return True
        # It reports a fault of an element of a list at the list, too.
        if opinion.code == "V104" and any(place.startswith(f"{opinion.path}[") for place in self._places):
            return True
        path = opinion.path
        while path and path not in self._places:
            path = _holder(path)
        return bool(path)


#: Codes that say what stands at a place is wrong as such, so that nothing more need be said of it or of what is in it.
_OF_THE_PLACE: Final = frozenset(
    ("V101", "V103", "V104", "V105", "V107", "V108", "V109", "V110", "V111", "V118", "V119", "V120")
)


def _holder(path: str) -> str:
    """What holds the element of a path: `Patient.name[0].family` → `Patient.name[0]` → `Patient.name` → `Patient`."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def _alone(visit: Visit) -> dict[str, Any]:
    """A resource without those that it holds: each is asked about by itself, so that one cannot hide another."""
    resource = {key: value for key, value in visit.resource.items() if key != "contained"}
    inner = {"Bundle": "entry", "Parameters": "parameter"}.get(visit.kind)
    if inner and isinstance(resource.get(inner), list):
        resource[inner] = [_emptied(node) for node in resource[inner]]
    return resource


def _emptied(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if key != "resource"}
    if isinstance(kept.get("part"), list):
        kept["part"] = [_emptied(part) for part in kept["part"]]
    return kept


@cache
def default_validator() -> Validator:
    """The validator that mhbridge uses: FHIR R4 with the profiles of UK Core."""
    return CompiledValidator(r4())


def validate(resource: Mapping[str, Any]) -> tuple[Issue, ...]:
    """Everything that is wrong with a resource, by the default validator."""
    return default_validator()(resource)


# --- telling others ---------------------------------------------------------------------------------------

#: Our code → FHIR's issue-type; otherwise by the first letter.
_TYPES: Final = {
    "V100": "informational",
    "V103": "required",
    "V105": "value",
    "V129": "code-invalid",
    "V106": "code-invalid",
    "V109": "value",
    "V110": "value",
    "V111": "value",
    "V112": "security",
    "V116": "not-found",
    "V119": "value",
    "V120": "too-long",
    "V121": "duplicate",
    "V122": "not-supported",
    "V134": "duplicate",
    "V136": "not-found",
    "V138": "duplicate",
}
_FAMILIES: Final = {
    "V": "structure",
    "I": "processing",
    "M": "processing",
    "D": "transient",
    "S": "no-store",
    "C": "exception",
}


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """
    Issues as an OperationOutcome; when there are none, it says so with one issue of severity information.

    A path goes into `expression` when it is FHIRPath (codes `V…`), and otherwise, with the item and the place in the
    mapping, into `diagnostics`.
    """
    found = list(issues) or [Issue("V100", Severity.INFORMATION, "nothing to report")]
    return {"resourceType": "OperationOutcome", "issue": [_outcome(issue) for issue in found]}


def _outcome(issue: Issue) -> dict[str, Any]:
    is_fhir = issue.code.startswith("V")
    places = [issue.path if not is_fhir else "", issue.item, issue.rule]
    outcome: dict[str, Any] = {
        "severity": str(issue.severity),
        "code": _TYPES.get(issue.code) or _FAMILIES.get(issue.code[:1], "processing"),
        "details": {"coding": [{"system": DIAGNOSTICS, "code": issue.code}], "text": issue.text},
    }
    if any(places):
        outcome["diagnostics"] = "; ".join(filter(None, places))
    if is_fhir and issue.path:
        outcome["expression"] = [issue.path]
    return outcome
