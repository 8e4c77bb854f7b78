"""
JSON Schema for editors: completion and help for the files that a supplier's analyst writes (mapping language §14).

Scalars are typed as an editor sees YAML (`01` is a number to it), so every value may be a string, number or boolean.
Schemas help and never decide: what they let through, `check` may refuse, and what they refuse, `check` refuses too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mhbridge.fhir.definitions import r4
from mhbridge.formats import formats
from mhbridge.mapping.functions import functions
from mhbridge.mapping.packs import DocumentType, Item
from mhbridge.mapping.types import BUILT_IN_RECORDS, Type
from mhbridge.model import Act

__all__ = [
    "DRAFT",
    "FLAG",
    "SCALAR",
    "Files",
    "binding_schema",
    "condition",
    "expression",
    "shared_schema",
    "supplier_schema",
]

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
SCALAR: Final[Mapping[str, Any]] = {"type": ["string", "number", "boolean"]}
FLAG: Final[Mapping[str, Any]] = {"enum": [True, False, "true", "false", "yes", "no"]}
#: More codes than these are a list to be looked up, not chosen from.
_MOST: Final = 60
#: FHIR data types whose parts may be written out.
_WRITTEN_OUT: Final = frozenset(
    {
        "HumanName",
        "Address",
        "ContactPoint",
        "Identifier",
        "CodeableConcept",
        "Coding",
        "Period",
        "Quantity",
        "Attachment",
    }
)


def expression() -> dict[str, Any]:
    """A scalar that, where it is an expression, calls only functions that there are."""
    return {
        "anyOf": [
            {"type": ["number", "boolean"]},
            {"type": "string", "not": {"pattern": r"^\s*="}},
            _call(),
        ],
        "description": "A literal, or an expression beginning with =",
        "defaultSnippets": [
            {
                "label": f"= … | {one.name}",
                "description": f"{one.signature}: {one.summary}",
                "body": _snippet(one.signature),
            }
            for one in functions().values()
        ],
    }


def _call() -> dict[str, Any]:
    names = "|".join(map(re.escape, functions()))
    return {"type": "string", "pattern": rf'^\s*=(?:[^"|]|"(?:[^"\\]|\\.)*"|\|\s*(?:{names})\b)*$'}


def _snippet(signature: str) -> str:
    name, _, rest = signature.partition("(")
    first, *more = [one.strip() for one in re.sub(r"\[.*", "", rest.rstrip(")")).split(",")]
    given = ", ".join(f"${{{place}:{word}}}" for place, word in enumerate(more, 2))
    return f"= ${{1:{first or 'path'}}} | {name}{f'({given})' if given else ''}"


def condition() -> dict[str, Any]:
    """A condition: an expression that is written without =."""
    return {"type": ["string", "boolean"], "description": 'A condition: `PV1-16 in ("S", "Y") and not TXA-18`'}


@dataclass(frozen=True, slots=True)
class Files:
    """The code tables and code lists that there are, by the names of their files: what may be named is offered."""

    tables: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()


def binding_schema(document: DocumentType, files: Files = Files()) -> dict[str, Any]:
    """The schema of a supplier's mapping file for one document type."""
    items = {item.name: _item(item, document) for item in document.items.values() if not item.derived}
    mandatory = [item.name for item in document.items.values() if item.need == "mandatory" and not item.derived]
    return {
        "$schema": DRAFT,
        "title": f"{document.title}: a supplier's mapping",
        "type": "object",
        "required": ["mapping", "document", "source"],
        "anyOf": [{"required": ["items"]}, {"required": ["shares"]}],
        "properties": {
            "mapping": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9-]*/[a-z][a-z0-9-]*$",
                "description": "supplier/feed: where this file stands",
            },
            "document": {"const": document.name, "description": document.title},
            "title": {"type": "string", "description": "What the feed is, for people"},
            "source": {
                "oneOf": [_source(name) for name in formats()],
                "description": "Which messages this mapping takes",
            },
            "shares": {
                "type": ["array", "string"],
                "items": {"type": "string"},
                "description": "Files of shared/ beside this one: what they say, this mapping says",
            },
            "authors": {**FLAG, "description": "Somebody wrote it: it makes a document, and says what is mandatory"},
            "partial": {**FLAG, "description": "It only adds to what is known: mandatory items may be left out"},
            "draft": {
                **FLAG,
                "description": "Still being written: what is missing is warned of, no live gateway takes it",
            },
            "provenance": {**FLAG, "description": "A Provenance of every resource goes with it"},
            **_what(items, f"Where each thing is. Mandatory: {', '.join(mandatory)}", files),
            "tests": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["message", "expect"],
                    "properties": {
                        "message": {
                            "type": "string",
                            "description": "fixtures/…: a message beside the folder of mappings",
                        },
                        "expect": {
                            "type": "object",
                            "propertyNames": {"anyOf": [{"enum": list(document.items)}, {"pattern": "^x_"}]},
                        },
                    },
                    "additionalProperties": False,
                },
            },
            "adds": {"type": "object", "description": "Further keys of resources of the build"},
        },
        "additionalProperties": False,
        "definitions": _definitions(),
    }


def shared_schema(documents: Iterable[DocumentType], files: Files = Files()) -> dict[str, Any]:
    """The schema of a file that several mappings of a supplier share: the items of every document type."""
    found: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        for item in document.items.values():
            if not item.derived:
                made = _item(item, document)
                of = found.setdefault(item.name, [])
                if made not in of:
                    of.append(made)
    items = {
        name: of[0] if len(of) == 1 else {"description": of[0]["description"], "anyOf": of}
        for name, of in found.items()
    }
    return {
        "$schema": DRAFT,
        "title": "What several mappings of a supplier share",
        "type": "object",
        "required": ["shared"],
        "properties": {
            "shared": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9-]*/[a-z][a-z0-9-]*$",
                "description": "supplier/name: where this file stands, below shared/",
            },
            "title": {"type": "string", "description": "What it is, for people"},
            **_what(items, "Where each thing is, for every mapping that shares this file", files),
        },
        "additionalProperties": False,
        "definitions": _definitions(),
    }


def _definitions() -> dict[str, Any]:
    return {"expression": expression(), "call": _call(), "condition": condition()}


def _file(names: tuple[str, ...], where: str) -> dict[str, Any]:
    """A file by its name: those that there are are offered, and the supplier's own are taken, too."""
    own = {"type": "string", "pattern": r"\.csv$"}
    return {
        "anyOf": [{"enum": list(names)}, own] if names else [own],
        "description": f"In {where}, the supplier's own first",
    }


def _what(items: Mapping[str, Any], text: str, files: Files) -> dict[str, Any]:
    """The keys that a mapping and a shared file have alike."""
    return {
        "items": {
            "type": "object",
            "properties": items,
            "patternProperties": {"^x_": {}},
            "additionalProperties": False,
            "description": text,
        },
        "extra_items": {
            "type": "object",
            "propertyNames": {"pattern": "^x_[a-z0-9_]*$"},
            "additionalProperties": {"type": "object", "required": ["type", "heading"]},
            "description": "Items of this supplier alone; a heading takes them into the narrative",
        },
        "tables": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": _file(files.tables, "codes/tables/"),
                    "unmapped": {
                        "enum": ["keep", "omit", "refuse"],
                        "description": "What becomes of a code without a row",
                    },
                },
                "additionalProperties": False,
            },
        },
        "lists": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    {"type": "array", "items": {"type": "string"}, "description": "For `in`: system#code, …"},
                    {
                        "type": "object",
                        "required": ["file"],
                        "properties": {"file": _file(files.lists, "codes/lists/")},
                        "additionalProperties": False,
                        "description": "For the function member",
                    },
                ]
            },
            "description": "Lists of codes, for `in`: {died: [nhs-dd-discharge-method#4]}",
        },
        "ignore": {
            "type": "object",
            "additionalProperties": {"type": "string", "minLength": 1},
            "description": "A path, and the reason why it has no place",
        },
    }


def _source(name: str) -> dict[str, Any]:
    keys = {key: {"description": text} for key, text in formats()[name].keys.items()}
    common = {
        "timezone": {"type": "string", "description": "Of times without an offset: Europe/London if left out"},
        "charset": {"type": "string", "description": "Where the message does not say it"},
    }
    return {
        "type": "object",
        "required": ["format"],
        "properties": {"format": {"const": name}, **common, **keys},
        "additionalProperties": False,
    }


def _item(item: Item, document: DocumentType) -> dict[str, Any]:
    return {"description": said(item), **_type(item, item.type, document, ())}


def said(item: Item) -> str:
    """An item in a few words: what it is called, its type and need, what it is, and whose it is."""
    words = [f"{item.label or item.name} ({item.type}, {item.need}).", item.help, item.source and f"[{item.source}]"]
    return " ".join(filter(None, words))


def _type(item: Item | None, type_: Type, document: DocumentType, above: tuple[str, ...]) -> dict[str, Any]:
    value: dict[str, Any] = {"$ref": "#/definitions/expression"}
    codes = _codes(item) if item is not None and type_.name == "code" else []
    if codes:
        value = {"anyOf": [{"enum": codes}, {"$ref": "#/definitions/call"}], "description": ", ".join(codes)}
    record = _record(type_, document, above)
    case = {
        "type": "object",
        "required": ["$case"],
        "properties": {
            "$case": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "object"},
                "description": "The first that holds",
            }
        },
        "additionalProperties": False,
    }
    one = {"anyOf": [value, *([record] if record else [{"type": "object"}]), case]}
    if not type_.many:
        return one
    return {"anyOf": [*one["anyOf"], {"type": "array", "items": one}]}


def _codes(item: Item) -> list[str]:
    if item.name == "act":
        return [act.value for act in Act]
    values = r4().valueset(item.binding) if item.binding else None
    found = [] if values is None or values.codes is None else sorted({code for _, code in values.codes})
    return found if len(found) <= _MOST else []


def _record(type_: Type, document: DocumentType, above: tuple[str, ...]) -> dict[str, Any] | None:
    if type_.name in above:
        return None
    within = (*above, type_.name)
    declared = document.records.get(type_.name)
    if declared is not None:
        fields = {
            name: {"description": said(one), **_type(one, one.type, document, within)}
            for name, one in declared.fields.items()
        }
    elif type_.name in BUILT_IN_RECORDS:
        inner = BUILT_IN_RECORDS[type_.name].items()
        fields = {name: {"description": f"{name} ({one})", **_type(None, one, document, within)} for name, one in inner}
    elif type_.name in _WRITTEN_OUT:
        fields = {name: {"description": f"{element.path}"} for name, element in r4().keys(type_.name).items()}
    else:
        return None
    structure = {
        "$each": {"type": "string", "description": "One for each: a segment, a repetition, a table or a path"},
        "$when": {"$ref": "#/definitions/condition"},
        "$value": {},
    }
    return {"type": "object", "properties": {**fields, **structure}, "additionalProperties": False}


def supplier_schema() -> dict[str, Any]:
    """The schema of `supplier.yaml`."""
    text = {"type": "string"}
    return {
        "$schema": DRAFT,
        "title": "A supplier: what all its feeds share",
        "type": "object",
        "required": ["supplier", "title"],
        "properties": {
            "supplier": {**text, "pattern": "^[a-z][a-z0-9-]*$", "description": "The name of its folder"},
            "title": {**text, "description": "Its name for people"},
            "timezone": {**text, "description": "Of times without an offset: Europe/London if left out"},
            "charset": {**text, "description": "Where the message does not say it"},
            "ods": {**text, "description": "Its ODS code, for people to read"},
            "identifiers": {
                "type": "object",
                "additionalProperties": text,
                "description": "What messages call the issuer of an identifier: a name of systems.csv, or a URI",
            },
            "senders": {
                "type": "array",
                "items": text,
                "description": "MSH-3|MSH-4 of its systems: it takes messages of these and no others",
            },
            "anybody": {**FLAG, "description": "Whoever has no supplier: takes only what no other takes"},
        },
        "additionalProperties": False,
    }


def described(keys: Iterable[tuple[str, Mapping[str, Any], str]]) -> dict[str, Any]:
    """Properties with their descriptions."""
    return {key: {**schema, "description": text} for key, schema, text in keys}
