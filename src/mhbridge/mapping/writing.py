"""
Writes item values as the target's FHIR: system names become URIs, records of the language become FHIR types.

Items name their code systems (`snomed`); a target has URIs for them (mapping language §4.2). A coding whose system has
no URI in the target is not written as a coding: its words stay as text and an issue says so. Nothing here may change
the value it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mhbridge.mapping.run import Run
from mhbridge.model import Issue, Severity

__all__ = ["choice_key", "chooser", "writer"]

Writer = Callable[[Any, Run], Any]


def choice_key(stem: str, type_name: str) -> str:
    """`value` and `Quantity` give `valueQuantity`."""
    return f"{stem}{type_name[0].upper()}{type_name[1:]}"


def system_uri(name: str, run: Run) -> str | None:
    """The target's URI of a system name; a name that is a URI already stays as it is."""
    uri = run.uris.get(name)
    if uri is None and ":" in name:
        return name
    return uri


def concept(value: Mapping[str, Any], run: Run) -> Any:
    """
    A CodeableConcept.

    A coding whose system has no URI in the target is left out when another says the same (a code table's target stands
    before what was received). When it is all there is, it is kept in words: without its system it would be somebody
    else's code.
    """
    codings = value.get("coding")
    if codings is None:
        return value
    written: list[Any] = []
    lost: list[str] = []
    for coding in codings:
        name = coding.get("system")
        uri = None if name is None else system_uri(name, run)
        if name is None:
            written.append(coding)
        elif uri is not None:
            written.append({**coding, "system": uri})
        else:
            words = " ".join(filter(None, (name, coding.get("code"))))
            lost.append(f"{coding['display']} ({words})" if "display" in coding else words)
    result: dict[str, Any] = {}
    text = value.get("text", "")
    if written:
        result["coding"] = written
    elif lost:
        text = "; ".join(filter(None, (text, *lost)))
        without_uri(run)
    if text:
        result["text"] = text
    return result


def without_uri(run: Run) -> None:
    """Say that a system has no URI in the target. Once a message is enough: the mapping has to be looked at."""
    if not any(issue.code == "I610" for issue in run.issues):
        run.issues.append(Issue("I610", Severity.INFORMATION, "a code system has no URI in this target; its codes are sent as text"))


def coding_of(value: Mapping[str, Any], run: Run) -> Any:
    """The first Coding of a CodeableConcept."""
    written = concept(value, run).get("coding")
    return written[0] if written else {"display": value.get("text", "")}


def coding(value: Mapping[str, Any], run: Run) -> Any:
    """A Coding, and anything else with one `system`."""
    name = value.get("system")
    if name is None:
        return value
    uri = system_uri(name, run)
    if uri is None:
        without_uri(run)
        return {key: part for key, part in value.items() if key != "system"}
    return {**value, "system": uri}


def contact_point(value: Any, _run: Run) -> Any:
    """A ContactPoint: its `system` is `phone` or `email`, not a code system."""
    return value


_SINGLE: Mapping[tuple[str, str], Writer] = {
    ("CodeableConcept", "CodeableConcept"): concept,
    ("CodeableConcept", "Coding"): coding_of,
    ("Coding", "Coding"): coding,
    ("Identifier", "Identifier"): coding,
    ("Quantity", "Quantity"): coding,
}


def writer(have: str, target: str, *, many: bool = False) -> Writer | None:
    """What writes an item of type `have` as a `target`; `None` when it stays as it is."""
    single = _SINGLE.get((have, target))
    if single is None or not many:
        return single

    def each(values: Any, run: Run) -> Any:
        return [single(value, run) for value in values]

    return each


_TIME = re.compile(r"\d{2}:\d{2}(:\d{2})?")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2}(T.*)?)?)?")


def kind_of(value: Any, options: tuple[str, ...]) -> str:
    """
    Which of an item's possible types a value has, told by its shape.

    A text in the form of a date is a dateTime only where the item may be one.
    """
    if value is True or value is False:
        return "boolean"
    if isinstance(value, str):
        if "dateTime" in options and _DATE.fullmatch(value):
            return "dateTime"
        if "time" in options and _TIME.fullmatch(value):
            return "time"
        return next((name for name in ("string", "text", "markdown", "code") if name in options), "string")
    if isinstance(value, Mapping):
        for key, name in (
            ("coding", "CodeableConcept"),
            ("low", "Range"),
            ("high", "Range"),
            ("numerator", "Ratio"),
            ("start", "Period"),
            ("end", "Period"),
            ("contentType", "Attachment"),
            ("data", "Attachment"),
        ):
            if key in value and name in options:
                return name
        if "value" in value and "Quantity" in options:
            return "Quantity"
        return "CodeableConcept"
    return "decimal" if "decimal" in options else "integer"


def chooser(stem: str, targets: Mapping[str, str]) -> tuple[Callable[[Any], str], Writer]:
    """For an item of several types: value → JSON key, and what writes it. `targets`: item type → element type."""
    options = tuple(targets)

    def choose(value: Any) -> str:
        kind = kind_of(value, options)
        return choice_key(stem, targets.get(kind, kind))

    def write(value: Any, run: Run) -> Any:
        kind = kind_of(value, options)
        single = _SINGLE.get((kind, targets.get(kind, kind)))
        return value if single is None else single(value, run)

    return choose, write
