"""
Writes item values as the target's FHIR: system names become URIs, records of the language become FHIR types.

Items name their code systems (`snomed`); a target has URIs for them (mapping language §4.2). A coding whose system has
no URI in the target is not written as a coding: its words stay as text and an issue says so. What nothing is left of
becomes absent. Nothing here may change the value it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mhbridge.fhir.recurring import RECURRING, Again
from mhbridge.fhir.stated import STATED, stated
from mhbridge.mapping.run import Run
from mhbridge.model import ABSENT, Issue, Severity, State

__all__ = ["choice_key", "chooser", "undecided", "writer"]

Writer = Callable[[Any, Run], Any]

#: The id of a target's URIs → the id of codings that last, or of one of them → the concept, or the coding, as it is
#: written there.
_WRITTEN: Final[dict[int, Again]] = {}


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
    before what was received); what the sender called it stays as the text. When it is all there is, it is kept in
    words: without its system it would be somebody else's code.
    """
    codings = value.get("coding")
    if codings is None:
        return value or ABSENT
    uris = run.uris
    again = _WRITTEN.get(id(uris))
    if again is None and id(uris) in STATED:
        again = _WRITTEN.setdefault(id(uris), Again())
    # Whose id may come to mean others, of those nothing is kept.
    shared = {} if again is None else again.known
    known = shared.get(id(codings))
    if known is not None:
        return {**known, "text": text} if (text := value.get("text")) else known
    written: list[Any] = []
    lost: list[Mapping[str, Any]] = []
    for coding in codings:
        before = shared.get(id(coding))
        if before is not None:
            written.append(before)
            continue
        name = coding.get("system")
        uri = uris.get(name)
        if uri is not None:
            said = {**coding, "system": uri}
            if id(coding) in STATED:
                said = shared[id(coding)] = stated(said)
            written.append(said)
        elif name is None or ":" in name:  # it names none, or its URI
            written.append(coding)
        else:
            lost.append(coding)
    text = value.get("text", "")
    if written:
        words = next((called for coding in lost if (called := coding.get("display"))), "") if lost else ""
        known = {"coding": written, "text": words} if words else {"coding": written}
        if id(codings) in STATED:
            known = shared[id(codings)] = stated(known)
        elif again is not None and id(codings) in RECURRING:
            again.keep(codings, known)
        return {**known, "text": text} if text else known
    if lost:
        text = "; ".join(filter(None, (text, *map(_in_words, lost))))
        without_uri(run)
    return {"text": text} if text else ABSENT


def _in_words(coding: Mapping[str, Any]) -> str:
    """A coding whose system has no URI."""
    words = " ".join(filter(None, (coding["system"], coding.get("code"))))
    return f"{coding['display']} ({words})" if "display" in coding else words


def without_uri(run: Run) -> None:
    """Say that a system has no URI in the target. Once a message is enough: the mapping has to be looked at."""
    if not any(issue.code == "I610" for issue in run.issues):
        text = "a code system has no URI in this target; its codes are sent as text"
        run.issues.append(Issue("I610", Severity.INFORMATION, text))


def coding_of(value: Mapping[str, Any], run: Run) -> Any:
    """The first Coding of a CodeableConcept; its words when it has none."""
    written = concept(value, run)
    if isinstance(written, State):
        return written
    return written["coding"][0] if "coding" in written else {"display": written["text"]}


def identified(value: Mapping[str, Any], run: Run) -> Any:
    """A Coding or an Identifier: what has one `system`. An Identifier's type is coded itself."""
    if "type" in value:
        kind = concept(value["type"], run)
        value = {**value, "type": kind}
        if isinstance(kind, State):
            del value["type"]
    name = value.get("system")
    if name is None:
        return value or ABSENT
    uri = system_uri(name, run)
    if uri is None:
        without_uri(run)
        return {key: part for key, part in value.items() if key != "system"} or ABSENT
    return {**value, "system": uri}


def quantity(value: Mapping[str, Any], run: Run) -> Any:
    """A Quantity. The code of its unit means nothing without the system (FHIR R4 qty-3); the unit in words stays."""
    name = value.get("system")
    if name is None:
        return value or ABSENT
    uri = system_uri(name, run)
    if uri is not None:
        return {**value, "system": uri}
    without_uri(run)
    kept = {key: part for key, part in value.items() if key not in ("system", "code")}
    return {"unit": value["code"], **kept} if "code" in value else kept or ABSENT


def quantities(value: Mapping[str, Any], run: Run) -> Any:
    """A Range or a Ratio: each of its parts is a Quantity."""
    return {key: quantity(part, run) if isinstance(part, Mapping) else part for key, part in value.items()} or ABSENT


_SINGLE: Mapping[tuple[str, str], Writer] = {
    ("CodeableConcept", "CodeableConcept"): concept,
    ("CodeableConcept", "Coding"): coding_of,
    ("Coding", "Coding"): identified,
    ("Identifier", "Identifier"): identified,
    ("Quantity", "Quantity"): quantity,
    ("Range", "Range"): quantities,
    ("Ratio", "Ratio"): quantities,
}


def writer(have: str, target: str, *, many: bool = False) -> Writer | None:
    """What writes an item of type `have` as a `target`; `None` when it stays as it is."""
    single = _SINGLE.get((have, target))
    if single is None or not many:
        return single

    def each(values: Any, run: Run) -> Any:
        written = (single(value, run) for value in values)
        return [value for value in written if not isinstance(value, State)] or ABSENT

    return each


_TIME = re.compile(r"\d{2}:\d{2}(:\d{2})?")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2}(T.*)?)?)?")


#: Kinds of value that have a shape of their own.
_TOLD: Final = frozenset(
    {
        "Attachment", "CodeableConcept", "Period", "Quantity", "Range", "Ratio",
        "boolean", "code", "dateTime", "decimal", "integer", "markdown", "string", "text", "time",
    }
)  # fmt: skip


#: Keys of values that only values of one type have, the most telling first.
_TELLING: Final[Mapping[str, str]] = {
    "coding": "CodeableConcept",
    "low": "Range",
    "high": "Range",
    "numerator": "Ratio",
    "start": "Period",
    "end": "Period",
    "contentType": "Attachment",
    "data": "Attachment",
}


def undecided(options: tuple[str, ...]) -> str:
    """Why nobody could tell which of its options a value of an `any of` has; empty when its shape tells."""
    if strange := [name for name in options if name not in _TOLD]:
        return f"nothing tells a {strange[0]} from another type"
    texts = [name for name in ("code", "markdown", "string", "text") if name in options]
    times = [name for name in ("dateTime", "time") if name in options]
    numbers = [name for name in ("decimal", "integer") if name in options]
    for alike in (texts, [*texts[:1], *times] if texts else [], numbers):
        if len(alike) > 1:
            return f"nothing tells a {alike[0]} from a {alike[1]}"
    return ""


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
    if type(value) is dict or isinstance(value, Mapping):
        if not _TELLING.keys().isdisjoint(value):
            for key, name in _TELLING.items():
                if key in value and name in options:
                    return name
        if "value" in value and "Quantity" in options:
            return "Quantity"
        return "CodeableConcept"
    return "decimal" if "decimal" in options else "integer"


def chooser(stem: str, targets: Mapping[str, str]) -> tuple[Callable[[Any], str], Writer]:
    """
    For an item of several types: value → JSON key, and what writes it.

    Args:
        targets: item type → element type.
    """
    options = tuple(targets)

    def choose(value: Any) -> str:
        kind = kind_of(value, options)
        return choice_key(stem, targets.get(kind, kind))

    def write(value: Any, run: Run) -> Any:
        kind = kind_of(value, options)
        single = _SINGLE.get((kind, targets.get(kind, kind)))
        return value if single is None else single(value, run)

    return choose, write
