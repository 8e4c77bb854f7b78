"""
Routes by recipient: which organisations a message is for, as its items name them by ODS code.

One destination can so serve many practices, and another all others. This module must never guess whom a name means: an
organisation without an ODS code is nobody's recipient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from mhbridge import config as settings

if TYPE_CHECKING:
    from mhbridge.mapping.packs import DocumentType

__all__ = ["is_for", "unfit"]

#: What ODS codes are called (codes/systems.csv), and their URIs.
_ODS: Final = frozenset(
    {
        "ods",
        "ods-site",
        "https://fhir.nhs.uk/Id/ods-organization-code",
        "https://fhir.nhs.uk/Id/ods-site-code",
    }
)
#: Built-in records that name an organisation, or are one.
_NAMES_ONE: Final = frozenset({"organisation", "person", "place"})


def is_for(recipients: settings.Recipients) -> Callable[[Mapping[str, Any]], bool]:
    """Whether the items name one of these organisations as a recipient."""
    wanted = frozenset(recipients.organisations)

    def named(items: Mapping[str, Any]) -> bool:
        return any(code in wanted for item in recipients.items for code in _codes(items.get(item)))

    return named


def unfit(recipients: settings.Recipients, document: DocumentType) -> Iterator[str]:
    """The items that the document type does not have, or that name no organisation there."""
    for name in recipients.items:
        item = document.items.get(name)
        types = () if item is None else item.type.names
        records = [document.records[one] for one in types if one in document.records]
        fields = {one for record in records for field in record.fields.values() for one in field.type.names}
        if not _NAMES_ONE & {*types, *fields}:
            yield name


def _codes(value: Any) -> Iterator[str]:
    """All ODS codes in a record, in a list of them, and in the records inside."""
    if isinstance(value, Mapping):
        if value.get("system") in _ODS and isinstance(value.get("value"), str):
            yield value["value"].strip().upper()
        for inner in value.values():
            yield from _codes(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _codes(inner)
