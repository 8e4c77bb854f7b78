"""
JSON Schema for editors, of the files that packs are made of: items, builds, clocks, checks (mapping language §14).

Elements, extensions and profiles are those of the FHIR definitions. What these schemas say of a file, `check` says too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mhbridge.fhir.definitions import r4
from mhbridge.mapping.packs import CARRY
from mhbridge.mapping.schema import DRAFT, FLAG, condition, described, expression

__all__ = ["build_schema", "checks_schema", "clocks_schema", "items_schema", "watches_schema"]

_TEXT: Final[Mapping[str, Any]] = {"type": "string"}
_LENGTH: Final[Mapping[str, Any]] = {"type": "string", "pattern": r"^P(\d+D|T\d+H)$"}
_NAME: Final = "^[a-z][a-z0-9-]{0,63}$"


# --- items -------------------------------------------------------------------------------------------------


def items_schema() -> dict[str, Any]:
    """The schema of `items.yaml`, of a document type or a part."""
    item = {
        "type": "object",
        "required": ["type"],
        "properties": described(
            (
                (
                    "type",
                    _TEXT,
                    "A FHIR type, nhs_number, text, person, organisation, place, a record, list of …, any of […]",
                ),
                ("label", _TEXT, "Its words in the narrative"),
                ("heading", _TEXT, "The section that it stands in, by its name in codes/headings.csv"),
                ("need", {"enum": ["mandatory", "required", "optional"]}, "How strongly it must be said"),
                ("carried", {"type": "string", "pattern": "^no: "}, "'no: …': where it goes, when it has no heading"),
                ("help", _TEXT, "What is meant, for who writes a mapping"),
                ("source", _TEXT, "The standard that asks for it"),
                ("on_bad", {"enum": ["omit", "text", "park"]}, "What a value that will not convert costs"),
                ("systems", {"type": "array", "items": _TEXT}, "Code systems that may occur, by name"),
                ("binding", _TEXT, "The value set of its codes"),
                ("is", condition(), "What it is derived from: it is never bound"),
                ("if_restricted", {"enum": ["withhold"]}, "It does not leave when the record is restricted"),
                ("before", _TEXT, "The item that it stands in front of"),
                ("identifies", FLAG, "It says who the patient is"),
                ("for_letters", FLAG, "Of an event: it is kept for letters that may carry it, and not written"),
                ("carry", {"enum": [*CARRY]}, "How far an earlier event may fill it, where a letter does not say it"),
                ("unless_said", {"type": "array", "items": _TEXT}, "Items beside which it is not carried"),
                ("absence", FLAG, "It says that there is none, or that nobody knows: never carried"),
                ("safety", FLAG, "When what is carried of it changes, the letter is sent anew at once"),
            )
        ),
        "additionalProperties": False,
    }
    stale = {
        "type": "object",
        "required": ["document", "then"],
        "properties": described(
            (
                ("document", _TEXT, "The type of document that says it"),
                ("item", _TEXT, "The item by which such a message is known; left out, every one is"),
                ("is", _TEXT, "Its value"),
                ("then", {"enum": ["replace", "tell", "hold"]}, "It is made again, a person is told, or it is held"),
            )
        ),
        "additionalProperties": False,
    }
    record = {
        "type": "object",
        "properties": {
            "atomic": {**FLAG, "description": "Kept whole as text when a part of it fails"},
            "key": {"type": "array", "items": _TEXT},
        },
        "additionalProperties": item,
    }
    return {
        "$schema": DRAFT,
        "title": "What there is to say",
        "type": "object",
        "properties": described(
            (
                ("document", _TEXT, "The name of the document type: its folder"),
                ("part", _TEXT, "The name of the part: its folder"),
                ("title", _TEXT, "For people"),
                ("carry", {"enum": ["never"]}, "Nothing of it, nor under a part's headings, is ever carried"),
                ("standard", {}, "The record standard that asks for its headings"),
                ("parts", {"type": "array", "items": _TEXT}, "The shared parts, in order"),
                ("identity", {"type": "array", "items": _TEXT}, "The items that name the same document again"),
                ("lasting", {"type": "array", "items": _TEXT}, "Parts that hold for the patient and not for one stay"),
                (
                    "settled",
                    {"type": "object", "additionalProperties": {"type": ["integer", "string"]}},
                    "Said once for a stay, and by how many minutes it may differ",
                ),
                (
                    "needs",
                    {"type": "object", "additionalProperties": {"enum": ["mandatory", "required", "optional"]}},
                    "How strongly this document asks for items of its parts",
                ),
                (
                    "waits",
                    {"type": "array", "items": {"type": "object", "required": ["item", "is", "for", "minutes"]}},
                    "Messages that may overtake those they speak of",
                ),
                (
                    "extracts",
                    {"type": "array", "items": _TEXT},
                    "Document types that may be made beside each letter that has this part",
                ),
                (
                    "takes",
                    {"type": "array", "items": _TEXT},
                    "What a document made beside a letter takes of it",
                ),
                (
                    "takes_under",
                    {"type": "array", "items": _TEXT},
                    "Headings of which it takes all there is",
                ),
                ("stale", {"type": "array", "items": stale}, "What makes a letter out of date, and what is done then"),
                ("items", {"type": "object", "additionalProperties": item}, "The items"),
                ("records", {"type": "object", "additionalProperties": record}, "Records: items of several fields"),
                ("lists", {"type": "object"}, "Lists of codes, for `in`"),
            )
        ),
    }


# --- clocks and checks -------------------------------------------------------------------------------------


def clocks_schema() -> dict[str, Any]:
    """The schema of `clocks.yaml`."""
    step = {
        "type": "object",
        "required": ["at", "tell"],
        "properties": described(
            (
                ("at", {"anyOf": [{"enum": ["due"]}, _LENGTH]}, "How long after the start; the last step is at `due`"),
                ("tell", _TEXT, "A queue of the configuration"),
                ("severity", {"enum": ["normal", "high", "critical"]}, "How loud"),
            )
        ),
        "additionalProperties": False,
    }
    said = (
        ("document", _TEXT, "Another document of the patient"),
        ("by", _TEXT, "The item that both have"),
        ("when", condition(), "Which of them"),
        ("at", _TEXT, "The item that says when it happened"),
    )
    levels = {"enum": ["sent", "accepted", "infrastructure", "business"]}
    delivered = ("delivered", levels, "The newest version, to that recipient")
    met = {"type": "object", "properties": described((delivered, *said)), "additionalProperties": False}
    word = {"type": "object", "properties": described(said), "additionalProperties": False}
    words = {"type": "array", "minItems": 1, "items": word}
    clock = {
        "type": "object",
        "required": ["starts", "within", "met_by", "ladder"],
        "properties": described(
            (
                ("starts", condition(), "When it starts: an expression that is a date"),
                ("noticed_when", condition(), "It has begun, although the start is missing: it counts from the event"),
                ("from", {"type": "array", "items": _TEXT}, "Document types whose messages start it, too"),
                ("within", _LENGTH, "PTnH: hours that go by; PnD: to the end of the nth day after, local time"),
                ("per", {"enum": ["recipient"]}, "One for each destination that the routes give"),
                ("met_by", {"anyOf": [met, words]}, "What ends it; of several documents, one is enough"),
                ("excluded_by", {"anyOf": [word, words]}, "Another document that says that it ought not to run"),
                (
                    "excluded_when",
                    {"anyOf": [condition(), {"type": "array", "minItems": 1, "items": condition()}]},
                    "The one condition there is, or several of which one is enough: missing values never stop a clock",
                ),
                ("ladder", {"type": "array", "minItems": 1, "items": step}, "Whom to tell, in order"),
                ("source", _TEXT, "The rule that asks for it"),
            )
        ),
        "additionalProperties": False,
    }
    of_each = {
        "type": "object",
        "required": ["each", "called", "due", "done_when", "ladder"],
        "properties": described(
            (
                ("each", _TEXT, "Each entry of a list has a clock: list as alias"),
                ("called", _TEXT, "A text by which an entry is known from version to version"),
                ("due", _TEXT, "By when it is to be done"),
                ("done_when", condition(), "That it is done"),
                ("done_at", _TEXT, "Since when"),
                ("excluded_by", {"anyOf": [word, words]}, "Another document that says that it ought not to run"),
                (
                    "excluded_when",
                    {"anyOf": [condition(), {"type": "array", "minItems": 1, "items": condition()}]},
                    "That an entry, or all of them, need not be watched",
                ),
                (
                    "ladder",
                    {"type": "array", "minItems": 1, "items": step},
                    "Whom to tell: at `due`, and so long after",
                ),
                ("source", _TEXT, "The rule that asks for it"),
            )
        ),
        "additionalProperties": False,
    }
    return _named("clocks", {"anyOf": [clock, of_each]}, "By when it must have arrived, and whom to tell before that")


def watches_schema() -> dict[str, Any]:
    """The schema of `watches.yaml`."""
    document = ("document", _TEXT, "Messages of this type")
    tells = ("tells", {"type": "array", "minItems": 1, "items": _TEXT}, "The items that the record takes from it")
    when = ("when", condition(), "What must be so, where not everything counts")
    conditions = {"anyOf": [condition(), {"type": "array", "minItems": 1, "items": condition()}]}
    untrue = ("untrue_when", conditions, "What says that there is none")
    at = ("at", condition(), "When that was: an expression that is a date")

    def looks(what: str, required: Sequence[str], *properties: Any) -> tuple[str, Any, str]:
        one = {
            "type": "object",
            "required": list(required),
            "properties": described(properties),
            "additionalProperties": False,
        }
        return what, {"type": "array", "minItems": 1, "items": one}, "The first that says anything is believed"

    watch = {
        "type": "object",
        "required": ["stays", "signals", "within"],
        "properties": described(
            (
                looks(
                    "stays",
                    ("document", "begins", "tells"),
                    document,
                    ("begins", condition(), "When it began: an expression that is a date"),
                    ("ends", condition(), "When it ended"),
                    when,
                    untrue,
                    ("open", FLAG, "One that has not ended counts, too"),
                    tells,
                ),
                looks(
                    "signals",
                    ("document", "at", "when", "tells"),
                    document,
                    at,
                    when,
                    untrue,
                    (
                        "of",
                        {"enum": ["patient", "stay"]},
                        "All messages of the patient together, or those of each stay",
                    ),
                    ("from", {"enum": ["anyone", "others"]}, "Of anybody, or of other senders only"),
                    tells,
                ),
                looks("contacts", ("document", "at", "tells"), document, at, when, tells),
                ("within", _LENGTH, "How long after the end of a stay a signal counts"),
                ("forgotten_after", _LENGTH, "What is heard of so much later is told nobody"),
                ("verified_when", condition(), "That an NHS number is the patient's: it joins records of two senders"),
                ("source", _TEXT, "The rule that asks for it"),
            )
        ),
        "additionalProperties": False,
    }
    return _named("watches", watch, "What is to be noticed of a patient, and told by this type of document")


def checks_schema() -> dict[str, Any]:
    """The schema of `checks.yaml`."""
    check = {
        "type": "object",
        "required": ["fails_when", "says", "source"],
        "properties": described(
            (
                (
                    "fails_when",
                    condition(),
                    "What is wrong; where that cannot be told it does not fail, and is undecided",
                ),
                ("each", _TEXT, "For each of a list: medicines as m"),
                ("severity", {"enum": ["error", "warning", "information"]}, "How bad"),
                ("action", {"enum": ["flag", "hold", "refuse"]}, "What becomes of the message"),
                ("says", _TEXT, "What a person is told"),
                ("source", _TEXT, "The rule that asks for it"),
                ("hazard", _TEXT, "Its number in the hazard log"),
            )
        ),
        "additionalProperties": False,
    }
    return _named("checks", check, "What must not be left unsaid")


def _named(key: str, one: Mapping[str, Any], title: str) -> dict[str, Any]:
    return {
        "$schema": DRAFT,
        "title": title,
        "type": "object",
        "required": [key],
        "properties": {
            key: {"type": "object", "propertyNames": {"pattern": _NAME}, "additionalProperties": one},
            "lists": {"type": "object", "description": "Lists of codes, for `in`"},
        },
        "additionalProperties": False,
    }


# --- builds ------------------------------------------------------------------------------------------------

_STRUCTURE: Final[Mapping[str, Mapping[str, Any]]] = {
    "$each": {"type": "string", "description": "One for each: diagnoses as dx"},
    "$when": {"description": "Left out otherwise"},
    "$case": {"type": "array", "description": "The first that holds"},
    "$from": {"description": "Start from this; the keys beside it fill what it lacks"},
    "$value": {"description": "This place's whole value"},
}


def build_schema() -> dict[str, Any]:
    """The schema of `r4.yaml`, of a document type or a part: elements by type, extensions and profiles by name."""
    definitions = r4()
    resources = [name for name in definitions.names("resource") if name != "Bundle"]
    made = _Types()
    own = {
        "resourceType": {"enum": resources},
        "profile": {**_TEXT, "description": "A UK Core profile: UKCore-Encounter"},
        "$for": {
            "type": "string",
            "description": "A template, one per distinct record that a reference asks for: person as p",
        },
        "$upsert": {"description": "In a transaction, update by this identifier"},
        "$replace": {"description": "It replaces the part's resource of the same name, whole"},
    }
    branches = [
        {
            "if": {"required": ["resourceType"], "properties": {"resourceType": {"const": name}}},
            "then": {
                "properties": {**own, **made.properties(name)},
                "additionalProperties": False,
            },
        }
        for name in resources
    ]
    resource = {"type": "object", "properties": own, "allOf": branches}
    section = {
        "type": "object",
        "required": ["heading"],
        "properties": {
            "heading": {**_TEXT, "description": "By its name in codes/headings.csv"},
            "entries": {"type": "array", "items": _TEXT, "description": "Names of resources"},
            "when_empty": {
                "type": "object",
                "required": ["reason", "text"],
                "properties": {"reason": _TEXT, "text": _TEXT},
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
    }
    return {
        "$schema": DRAFT,
        "title": "How it is said in FHIR R4",
        "type": "object",
        "required": ["build"],
        "properties": {
            "build": {"const": "r4"},
            "bundle": {
                "type": "object",
                "required": ["type"],
                "properties": {
                    "type": {"enum": ["document", "message", "transaction", "collection"]},
                    "identifier": {},
                    "timestamp": {},
                },
                "additionalProperties": False,
            },
            "resources": {"type": "object", "additionalProperties": resource},
            "adds": {"type": "object", "additionalProperties": {"type": "object"}},
            "sections": {"type": "array", "items": section},
            "lists": {"type": "object"},
        },
        "additionalProperties": False,
        "definitions": {"expression": expression(), **made.found},
    }


class _Types:
    """The data types that elements are of, each once."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def properties(self, path: str) -> dict[str, Any]:
        """The elements of a type, and the words that structure a map."""
        definitions = r4()
        names: dict[str, Any] = {}
        for name, element in {**definitions.elements(path), **definitions.keys(path)}.items():
            inner = element.children or (element.types[0] if len(element.types) == 1 else "")
            words = [f"{element.path}: {' or '.join(element.types) or 'parts'}"]
            if element.min:
                words.append("required")
            if element.binding is not None:
                words.append(f"{element.binding.strength} {element.binding.valueset}")
            names[name] = {"description": ", ".join(words), **self._value(inner)}
        return {**names, **_STRUCTURE, "$extensions": _extensions()}

    def _value(self, inner: str) -> dict[str, Any]:
        definitions = r4()
        if not inner or inner in ("Reference", "Extension", "Narrative", "Resource") or definitions.is_primitive(inner):
            return {"anyOf": [{"$ref": "#/definitions/expression"}, {"type": ["array", "object"]}]}
        if inner not in self.found:
            self.found[inner] = {}  # a type may hold itself
            self.found[inner] = {"type": "object", "properties": self.properties(inner), "additionalProperties": False}
        own = [{"$ref": "#/definitions/expression"}, {"$ref": f"#/definitions/{inner}"}]
        return {"anyOf": [*own, {"type": "array", "items": {"anyOf": own}}]}


def _extensions() -> dict[str, Any]:
    return {
        "type": "object",
        "propertyNames": {"enum": list(r4().names("extension"))},
        "description": "By name: UKCore-LegalStatus",
    }
