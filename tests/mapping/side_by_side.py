"""The compiler and its slow twin side by side: what one says of a message, the other has to say."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import shipped
from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.formats import Message
from mhbridge.mapping.catalogue import Catalogue, SupplierMapping
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.ledger import detailed
from mhbridge.mapping.library import Library, built_in

__all__ = ["NOW", "compare", "one", "twins"]

NOW = datetime(2025, 3, 14, 12, tzinfo=UTC)


@cache
def catalogues(root: Path) -> tuple[Catalogue, Catalogue]:
    if root == built_in("mappings"):
        return shipped.catalogue(), shipped.catalogue(Interpreter)
    return Catalogue(Library([root])), Catalogue(Library([root]), engine=Interpreter)


def twins(root: Path, name: str) -> tuple[SupplierMapping, SupplierMapping]:
    compiled, walked = catalogues(root)
    return compiled.mapping(name), walked.mapping(name)


def compare(root: Path, name: str, body: bytes) -> int:
    """Run a message through both; how many documents were compared."""
    compiled, walked = twins(root, name)
    compared = 0
    try:
        messages = list(compiled.format.messages(body, [compiled.source]))
    except MalformedMessage:
        return 0
    for message, takers in messages:
        if isinstance(message, MessageError) or not takers:
            continue
        compared += one(compiled, walked, message)
    return compared


def one(compiled: SupplierMapping, walked: SupplierMapping, message: Message) -> int:
    (a, first_taken), (b, second_taken) = compiled.read_traced(message, NOW), walked.read_traced(message, NOW)
    assert dict(a.items) == dict(b.items)
    assert a == b
    assert detailed(message, [first_taken]) == detailed(message, [second_taken])
    first, second = compiled.build(a, a.items, NOW), walked.build(b, b.items, NOW)
    assert first.json() == second.json()
    assert first.issues == second.issues
    return 1
