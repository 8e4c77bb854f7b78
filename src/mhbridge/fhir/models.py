"""
Typed models of FHIR resources, by `fhir.resources`: for users of the library, and as a second opinion in validation.

`fhir.resources` has no R4, so its R4B is used: for the resource types that mhbridge writes the two have the same
elements. Models are for reading. This module must never serialise one (times and decimals would be re-formatted), and
never pass on a message of pydantic's, because those may quote values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mhbridge.errors import MalformedMessage
from mhbridge.fhir.definitions import r4
from mhbridge.model import Issue, Severity

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["as_model", "second_opinion"]

#: What pydantic and fhir-core call an error → our code and wording. Only types are looked at, never messages.
WORDING: Final[Mapping[str, tuple[str, str]]] = {
    "missing": ("V103", "a required element is missing"),
    "model_field_validation.missing": ("V103", "a required element is missing"),
    "extra_forbidden": ("V102", "an element is not defined here"),
    "list_type": ("V104", "this element repeats: a list is needed"),
    "dict_type": ("V104", "an object is needed here"),
    "model_type": ("V104", "an object is needed here"),
    "model_attributes_type": ("V104", "an object is needed here"),
    "json_invalid": ("V104", "an object is needed here"),
    "string_type": ("V104", "text is needed here"),
    "bool_type": ("V104", "true or false is needed here"),
    "bool_parsing": ("V104", "true or false is needed here"),
    "int_type": ("V104", "a whole number is needed here"),
    "int_parsing": ("V104", "a whole number is needed here"),
    "int_from_float": ("V104", "a whole number is needed here"),
    "decimal_type": ("V104", "a number is needed here"),
    "decimal_parsing": ("V104", "a number is needed here"),
    "string_pattern_mismatch": ("V105", "this does not have the form of its type"),
    "string_too_short": ("V105", "this does not have the form of its type"),
    "string_too_long": ("V105", "this does not have the form of its type"),
    "greater_than_equal": ("V105", "the number is out of range"),
    "less_than_equal": ("V105", "the number is out of range"),
    "date_type": ("V105", "a date is needed here"),
    "date_parsing": ("V105", "this is not a date"),
    "date_from_datetime_parsing": ("V105", "this is not a date"),
    "date_from_datetime_inexact": ("V105", "this is not a date"),
    "datetime_type": ("V105", "a date and time is needed here"),
    "datetime_parsing": ("V105", "this is not a date and time"),
    "datetime_from_date_parsing": ("V105", "this is not a date and time"),
    "time_type": ("V105", "a time is needed here"),
    "time_parsing": ("V105", "this is not a time"),
}
#: `fhir.resources` calls its own rules value errors: the form of a primitive, or a choice or requirement of an object.
OTHERWISE: Final = ("V123", "the FHIR model library refuses this")


def as_model(resource: Mapping[str, Any]) -> Any:
    """
    A resource as a typed model, for reading: `as_model(patient).name[0].family`.

    Returns:
        an instance of the class of `fhir.resources.R4B` that the resource's type names.

    Raises:
        MalformedMessage: it does not fit the model. The places are in the message, values are not.
    """
    model, refusals = _model(resource, str(resource.get("resourceType", "")))
    if model is None:
        first = refusals[0]
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        raise MalformedMessage(first.code, f"{first.path}: {first.text}{more}", path=first.path)
    return model


def second_opinion(resource: Mapping[str, Any], path: str) -> tuple[Issue, ...]:
    """
    What `fhir.resources` refuses in one resource, in our own words.

    Args:
        resource: without the resources that it holds; each of them is asked about by itself.
        path: FHIRPath of the resource.
    """
    return _model(resource, path)[1]


def _model(resource: Mapping[str, Any], path: str) -> tuple[Any, tuple[Issue, ...]]:
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    try:
        return get_fhir_model_class(str(resource.get("resourceType"))).model_validate(resource), ()
    except ValidationError as error:
        issues = tuple(_issues(error, resource, path))
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        # What the library raises for, among others, a resource type that it does not have.
        issues = (Issue("V123", Severity.ERROR, "the FHIR model library cannot read this resource", path),)
    return None, issues


def _issues(error: ValidationError, resource: Mapping[str, Any], path: str) -> Iterable[Issue]:
    for found in error.errors(include_input=False, include_url=False, include_context=False):
        place = list(found["loc"])
        if found["type"] == "extra_forbidden" and place:
            place.pop()  # the name is the sender's own text
        code, text = WORDING.get(found["type"], OTHERWISE)
        if found["type"] == "value_error" and not isinstance(_at(resource, place), dict):
            code, text = "V105", "this does not have the form of its type"
        yield Issue(code, Severity.ERROR, text, _fhirpath(path, str(resource.get("resourceType")), place))


def _at(resource: Any, place: list[int | str]) -> Any:
    """What stands at a location, or None."""
    for step in place:
        try:
            resource = resource[step]
        except (KeyError, IndexError, TypeError):
            return None
    return resource


def _fhirpath(path: str, type_path: str, place: list[int | str]) -> str:
    """A location of pydantic's, `("name", 0, "_given")`, as FHIRPath, `Patient.name[0].given`."""
    definitions = r4()
    for step in place:
        if isinstance(step, int):
            path += f"[{step}]"
            continue
        element = definitions.element(type_path, step.removeprefix("_"))
        if element is None:  # a type outside the tables; still a name of the models, never one of the sender's
            path, type_path = f"{path}.{step.removeprefix('_')}", ""
            continue
        path += f".{element.path.rpartition('.')[2].removesuffix('[x]')}"
        primitive = element.types and definitions.is_primitive(element.types[0])
        type_path = "Element" if primitive else element.children or element.types[0]
    return path
