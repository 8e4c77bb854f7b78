"""
Values of JSON documents as item values: the document says whether it is text, a number or a truth value, and the
item's type decides the rest.

A text is what a cell of an extract is. A number keeps its digits; it is a number, a quantity or the digits of an
identifier, and never a truth value. This module must never take an object for a value: what is inside has paths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from mhbridge.mapping.conversions import WHOLE, Context, Conversion, Unconvertible
from mhbridge.mapping.conversions import text as t
from mhbridge.model import ABSENT

if TYPE_CHECKING:
    from mhbridge.formats.json.tree import Node

__all__ = ["conversions", "exact"]

#: Item types that hold words, which may be those of a truth value.
_WORDS: Final = frozenset({"string", "text", "markdown", "code", "CodeableConcept"})

#: A power of ten: a number that was meant as one, and no identifier, code or date.
_POWER: Final = re.compile(r"[eE.]")


def exact(digits: str) -> Decimal:
    """A number with the digits it was written with."""
    return Decimal(digits)


def _number(digits: str, target: str, of_text: Callable[[str, Context], Any], context: Context) -> Any:
    if target == "boolean":
        raise Unconvertible("a number, not true or false")
    if target == "decimal":
        return exact(digits)
    if target == "Quantity":
        return {"value": exact(digits)}
    if target not in _WORDS and _POWER.search(digits):
        raise Unconvertible("a number with a fraction or an exponent, where digits were expected")
    return of_text(digits, context)


def _made(plain: Conversion) -> Conversion:
    of_text, target = plain.convert, plain.target.name

    def run(node: Node, context: Context) -> Any:
        if node.children is not None:
            raise Unconvertible("an object or a list, where a value was expected")
        value = node.value
        if value is True or value is False:
            if target == "boolean":
                return value
            if target not in _WORDS:
                raise Unconvertible("true or false, where another value was expected")
            return of_text("true" if value else "false", context)
        if value is None:
            return ABSENT
        return of_text(value, context) if type(value) is str else _number(str(value), target, of_text, context)

    return replace(plain, source="json", convert=run, reads=frozenset({WHOLE}))


def conversions() -> Iterator[Conversion]:
    """All conversions of JSON values."""
    for plain in t.conversions():
        yield _made(plain)
