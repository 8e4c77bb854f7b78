"""
JSON Schema for editors: completion and hover help for binding files (mapping language §14).

Scalars are typed as an editor sees YAML (`01` is a number to it), so every value may be a string, number or boolean.
"""

from __future__ import annotations

from typing import Any, Final

from mhbridge.mapping.functions import functions
from mhbridge.mapping.packs import DocumentType, Item
from mhbridge.mapping.types import BUILT_IN_RECORDS, Type

__all__ = ["binding_schema"]

_SCALAR: Final = {"type": ["string", "number", "boolean"]}


def binding_schema(document: DocumentType) -> dict[str, Any]:
    """The schema of a supplier's binding file for one document type."""
    names = ", ".join(functions())
    items = {item.name: _item(item, document) for item in document.items.values() if not item.derived}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"{document.title}: bindings",
        "description": f"Functions: {names}",
        "type": "object",
        "required": ["mapping", "document", "source", "items"],
        "properties": {
            "mapping": {"type": "string", "description": "supplier/feed: where this file stands"},
            "document": {"const": document.name},
            "source": {"type": "object", "required": ["format"], "description": "the messages this mapping takes"},
            "authors": {
                "type": ["boolean", "string"],
                "description": "somebody wrote this message: it makes a document",
            },
            "partial": {
                "type": ["boolean", "string"],
                "description": "only adds to what is known: need not bind every mandatory item",
            },
            "items": {"type": "object", "properties": items, "additionalProperties": False},
            "extra_items": {"type": "object", "propertyNames": {"pattern": "^x_"}},
            "tables": {"type": "object"},
            "lists": {"type": "object"},
            "ignore": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "path: the reason why it has no place",
            },
            "tests": {"type": "array"},
            "adds": {"type": "object"},
        },
        "additionalProperties": False,
    }


def _item(item: Item, document: DocumentType) -> dict[str, Any]:
    words = [item.label or item.name, f"({item.type}, {item.need})", item.help, item.source]
    body = _type(item.type, document, ())
    return {"description": " ".join(filter(None, words)), **body}


def _type(type_: Type, document: DocumentType, above: tuple[str, ...]) -> dict[str, Any]:
    fields = _fields(type_.name, document) if type_.name not in above else None
    if fields is None:
        return {"anyOf": [_SCALAR, {"type": "object"}, {"type": "array"}]}
    inner = {
        name: {"description": f"{name} ({kind})", **_type(kind, document, (*above, type_.name))}
        for name, kind in fields.items()
    }
    structure = {"$each": _SCALAR, "$when": _SCALAR, "$case": {"type": "array"}, "$value": _SCALAR}
    record = {"type": "object", "properties": {**inner, **structure}, "additionalProperties": False}
    return {"anyOf": [_SCALAR, record, {"type": "array", "items": {"anyOf": [_SCALAR, record]}}]}


def _fields(name: str, document: DocumentType) -> dict[str, Type] | None:
    declared = document.fields_of(name)
    if declared is not None:
        return dict(declared)
    return dict(BUILT_IN_RECORDS[name]) if name in BUILT_IN_RECORDS else None
