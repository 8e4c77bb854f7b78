"""
Which formats there are: the built-in ones, and those of the entry point `mhbridge.formats`.

This module must never import a format that is not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from mhbridge.formats.format import Format

__all__ = ["BUILT_IN", "format_named", "formats", "sniff"]


BUILT_IN: Mapping[str, str] = {
    "hl7v2": "mhbridge.formats.hl7v2:FORMAT",
    "csv": "mhbridge.formats.csv:FORMAT",
    "fhir": "mhbridge.formats.fhir:FORMAT",  # before the formats that its documents are written in
    "json": "mhbridge.formats.json:FORMAT",
    "xml": "mhbridge.formats.xml:FORMAT",
    "document": "mhbridge.formats.document:FORMAT",
}


def _load(target: str) -> Format:
    module, _, attribute = target.partition(":")
    loaded: Format = getattr(import_module(module), attribute)
    return loaded


@cache
def formats() -> Mapping[str, Format]:
    """All registered formats by name: the built-in ones and those of the entry point `mhbridge.formats`."""
    found = {name: _load(target) for name, target in BUILT_IN.items()}
    for point in entry_points(group="mhbridge.formats"):
        found.setdefault(point.name, point.load())
    return found


def format_named(name: str) -> Format | None:
    """The format of this name; loads only the one module when it is built in."""
    return _load(BUILT_IN[name]) if name in BUILT_IN else formats().get(name)


def sniff(body: bytes) -> Format | None:
    """
    The format that recognises the beginning of `body`; `None` when none does, or when it is empty.

    Formats are asked in their order, and one that is not asked is not imported.
    """
    head = body[:4096]
    for target in BUILT_IN.values():
        if (found := _load(target)).recognise(head):
            return found
    return next((found for found in formats().values() if found.recognise(head)), None)
