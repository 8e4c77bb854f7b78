"""
Runs the `tests:` of a mapping file: a message, and what some of its items must be.

What an item is instead is never said: a message that somebody tests with may be a real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from mhbridge.errors import Diagnostic, MalformedMessage, MessageError
from mhbridge.mapping.checker.mapping_file import Example
from mhbridge.mapping.library import Library
from mhbridge.mapping.reader import YamlFile
from mhbridge.mapping.supplier import SupplierMapping
from mhbridge.model import ABSENT, DELETED, State

__all__ = ["as_text", "failing"]

#: The clock of every test stands still.
_RECEIVED_AT: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


#: What an item is instead is not said, so at least: how it is compared.
_COMPARED: Final = (
    "compared is the item, not the source: a date as 2025-03-14, a dateTime with its offset, a concept by its first "
    "code or else its text, an identifier by its value; or absent, deleted, unknown"
)


def failing(mapping: SupplierMapping, library: Library, tree: YamlFile) -> list[Diagnostic]:
    """What of the tests does not hold, in their order."""
    own = YamlFile(tree.path, tree.raw)
    for example in mapping.file.tests:
        _run(mapping, library, own, example)
    return own.diagnostics


def _run(mapping: SupplierMapping, library: Library, tree: YamlFile, example: Example) -> None:
    where = example.message.span
    body = library.fixture(example.message.value)
    if body is None:
        tree.report("E510", "there is no such message", where, "a path beside the folder of the mappings")
        return
    try:
        message, takers = next(iter(mapping.format.messages(body, [mapping.source])))
    except (MalformedMessage, StopIteration):
        tree.report("E510", f"this is no message of {mapping.format.name}", where)
        return
    if isinstance(message, MessageError) or not takers:
        tree.report("E510", "the mapping does not take this message", where)
        return
    reading = mapping.read(message, _RECEIVED_AT)
    items = mapping.derived(reading, reading.items, _RECEIVED_AT)
    for name, expected in example.expect.items():
        if as_text(items.get(name, ABSENT)) != expected.value:
            tree.report("E511", f"{name} is not what the test expects", expected.span, _COMPARED)


def as_text(value: Any) -> str:
    """An item as a test writes it: the value of an Identifier, the first code of a concept, else its words."""
    if isinstance(value, State):
        return "absent" if value is ABSENT else "deleted" if value is DELETED else "unknown"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        codings: Any = value.get("coding") or ({},)
        found = value.get("value") or codings[0].get("code") or value.get("text") or value.get("name")
        return as_text(found) if found else ""
    if isinstance(value, list):
        return ", ".join(as_text(one) for one in value)
    return str(value) if isinstance(value, str | int | Decimal) else ""
