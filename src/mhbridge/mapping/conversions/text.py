"""
Text of a spreadsheet or an extract as item values: the source says nothing of its type, so the item's type decides.

Dates have the pattern that the source declares. A name, an address or a person of which there is only a line of text
stays a line of text: this module must never take one apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from mhbridge.mapping.conversions import WHOLE, Context, Conversion, Unconvertible
from mhbridge.mapping.conversions import times as t
from mhbridge.mapping.conversions.primitives import CHECKED, concept, decimal, identifier
from mhbridge.mapping.conversions.spreadsheet import (
    note_garbled,
    note_lost_zero,
    refuse_debris,
    refuse_reworked,
    why_no_date,
    why_no_number,
)
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT

__all__ = ["conversions"]

_QUANTITY: Final = re.compile(r"(<=|>=|<|>)?\s*([+-]?[\d.]+)(?:\s*([^\s\d,].*))?", re.ASCII)
#: Characters of a telephone number with its extension; a longer text would be looked through many times.
_LONGEST: Final = 100
#: What people write as a telephone number; anything else would have to be guessed.
_NUMBER: Final = re.compile(r"\+?[\d\s()./-]{5,}(?:\s*(?:x|ext\.?)\s*\d+)?", re.ASCII | re.IGNORECASE)


def _quantity(text: str) -> dict[str, Any]:
    """A number with its unit behind it: `72.50 kg`, `<5`."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None:
        raise Unconvertible("not a number, or a number and its unit")
    quantity: dict[str, Any] = {"value": decimal(found[2])}
    if found[1]:
        quantity["comparator"] = found[1]
    if found[3]:
        quantity["unit"] = found[3]
    return quantity


def _contact_point(text: str, context: Context) -> dict[str, Any]:
    """FHIR R4 ContactPoint, cpt-2: a value needs a system, so only what is plainly one of the two is taken."""
    text = text.strip()
    if "@" in text:
        return {"system": "email", "value": text}
    if len(text) <= _LONGEST and _NUMBER.fullmatch(text):
        note_lost_zero(text, context)
        return {"system": "phone", "value": text}
    raise Unconvertible("neither a telephone number nor an e-mail address")


def _words(raw: str, context: Context) -> Any:
    """Words stay as they are. They are most of what is read, so what concerns few of them is asked for here."""
    # A raw value may know where it stands; an item must not.
    text = str(raw)
    plain = text.strip()
    if not plain:
        return ABSENT
    if plain[0] == "#":
        refuse_debris(plain)
    if not plain.isascii():
        note_garbled(plain, context)
    return text


_WORDS: Final = ("string", "text", "markdown")
_PLAIN: Final[dict[str, Callable[[str], Any]]] = {
    **CHECKED,
    "CodeableConcept": concept,
    "Identifier": identifier,
    "Quantity": _quantity,
    "HumanName": lambda text: {"text": text.strip()},
    "Address": lambda text: {"text": text.strip()},
    "person": lambda text: {"name": [{"text": text.strip()}]},
    "organisation": lambda text: {"name": text.strip()},
    "place": lambda text: {"name": text.strip()},
}
_NOTING: Final[dict[str, Callable[[str, Context], Any]]] = {"ContactPoint": _contact_point}
_TIMES: Final[dict[str, Callable[[str, Context], Any]]] = {
    "dateTime": t.text_date_time,
    "date": t.text_date,
    "instant": t.text_instant,
    "time": t.text_time,
}


#: Types of digits that are no number: what a spreadsheet takes for one loses some of them.
_NUMBERS: Final = frozenset(("decimal", "integer", "positiveInt", "unsignedInt", "Quantity"))
_DIGITS: Final = frozenset(("Identifier", "nhs_number", "code", "ContactPoint"))


def _made(target: str, convert: Callable[[str, Context], Any]) -> Conversion:
    digits, timed, numeric = target in _DIGITS, target in _TIMES, target in _NUMBERS
    worded = not (digits or timed or numeric)

    def run(raw: str, context: Context) -> Any:
        # A raw value may know where it stands; an item must not.
        text = str(raw)
        plain = text.strip()
        if not plain:
            return ABSENT
        refuse_debris(plain)
        if digits:
            refuse_reworked(plain)
        elif worded:
            note_garbled(plain, context)
        if numeric:
            try:
                return convert(text, context)
            except Unconvertible as error:
                raise why_no_number(plain, error) from None
        if not timed:
            return convert(text, context)
        try:
            return convert(text, context)
        except Unconvertible as error:
            raise why_no_date(plain, context.dates, error) from None

    return Conversion("text", Type(target), run, frozenset({WHOLE}))


def _ignoring_context(convert: Callable[[str], Any]) -> Callable[[str, Context], Any]:
    return lambda text, _context: convert(text)


def conversions() -> Iterator[Conversion]:
    """All conversions of text."""
    for target in _WORDS:
        yield Conversion("text", Type(target), _words, frozenset({WHOLE}))
    for target, plain in _PLAIN.items():
        yield _made(target, _ignoring_context(plain))
    for target, timed in (_NOTING | _TIMES).items():
        yield _made(target, timed)
