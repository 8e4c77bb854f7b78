"""
What people search by: which tokens a message is found under, and the tokens of what somebody looks for.

Exact only. A text, a beginning or a sound would need the identifiers in clear, and those are in the bodies alone. So
what is written and what is typed are brought to one form here, and nowhere else. The messages of a patient bring the
same values again and again, so a few thousand of them are remembered until `forget`. This module must never write one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from mhbridge.adapters.sql.sealing import Keys
from mhbridge.model import Key, Outcome, Reading
from mhbridge.ports import Sought

__all__ = ["NUMBERS", "OF_PATIENTS", "forget", "identities", "properties", "tokens"]

#: What `property.kind` and `identity.kind` have for it. What a receiver calls a delivery is with the delivery.
NUMBERS: Final[Mapping[Sought, int]] = {
    Sought.CONTROL: 1,
    Sought.PATIENT: 2,
    Sought.VISIT: 3,
    Sought.NHS: 4,
    Sought.PERSON: 5,
    Sought.DOCUMENT: 6,
}

#: These belong to a patient, and find all the messages of the patient.
OF_PATIENTS: Final = frozenset({Sought.PATIENT, Sought.NHS, Sought.PERSON})

#: Items of the document types, by the names that `mappings/parts` gives them.
_VISITS: Final = ("spell_id", "referral_id")
_DOCUMENTS: Final = ("sender_document", "document_id")

_NHS_NUMBER: Final = 10
_ISO: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_BRITISH: Final = re.compile(r"(\d\d?)[/.](\d\d?)[/.](\d{4})")
_BLANKS: Final = re.compile(r"\s+")


def properties(keys: Keys, outcome: Outcome) -> list[tuple[bytes, int]]:
    """Token and kind of everything that one message alone is found under."""
    facts, readings = outcome.facts, outcome.readings
    found = {(Sought.CONTROL, facts.control_id)}
    visits = set(_values(readings, _VISITS))
    found |= {(Sought.VISIT, visit) for visit in visits or {outcome.episode, *(one.episode for one in readings)}}
    found |= {(Sought.DOCUMENT, value) for value in _values(readings, _DOCUMENTS)}
    # A receiver says which document it has; of a transaction it keeps the resources, and no identifier of the whole.
    found |= {(Sought.DOCUMENT, one.identifier) for one in outcome.documents if one.bundle != "transaction"}
    # The patient of a message finds it by itself; one that is merged away is another's.
    found |= {(Sought.PATIENT, one.merged_from.value) for one in readings if one.merged_from is not None}
    return sorted({(token, NUMBERS[kind]) for kind, value in found for token in _token(keys, kind, value)})


def identities(keys: Keys, outcome: Outcome, patient: Key | None) -> list[tuple[bytes, int]]:
    """Token and kind of everything that the patient of a message, and so each of their messages, is found under."""
    found: set[tuple[Sought, Any]] = set() if patient is None else {(Sought.PATIENT, patient.value)}
    for items in [reading.items for reading in outcome.readings]:
        found |= {(Sought.PATIENT, one.get("value")) for one in _list(items.get("local_identifiers"))}
        found.add((Sought.NHS, items.get("nhs_number")))
        born = items.get("birth_date")
        if isinstance(born, str):
            found |= {(Sought.PERSON, f"{one.get('family', '')} {born}") for one in _list(items.get("patient_name"))}
    return sorted({(token, NUMBERS[kind]) for kind, value in found for token in _token(keys, kind, value)})


def tokens(keys: Keys, kind: str, text: str) -> dict[Sought, bytes]:
    """
    The tokens of what somebody looks for, by kind; of no kind, of all that it could be.

    Raises:
        ValueError: it is not of the shape of its kind.
    """
    kinds = [Sought(kind)] if kind else [one for one in NUMBERS if one is not Sought.PERSON]
    forms = {one: _form(one, text) for one in kinds if one in NUMBERS}
    if kind == Sought.PERSON and not forms[Sought.PERSON]:
        raise ValueError("a person is a surname and then a date of birth, as in: Surname 1987-06-21")
    return {one: keys.token(one.value, form) for one, form in forms.items() if form}


def _token(keys: Keys, kind: Sought, value: Any) -> Iterator[bytes]:
    form = _form(kind, value) if isinstance(value, str) else ""
    if form:
        yield keys.token(kind.value, form)


@lru_cache(maxsize=4096)
def _form(kind: Sought, text: str) -> str:
    """The one form of what is written and what is typed; empty when there is none."""
    match kind:
        case Sought.NHS:
            digits = "".join(character for character in text if character.isdecimal())
            return digits if len(digits) == _NHS_NUMBER else ""
        case Sought.PERSON:
            name, _, born = text.rpartition(" ")
            day = _day(born)
            # Letters alone: an apostrophe, a hyphen or an accent is typed in many ways, and left out in as many.
            plain = unicodedata.normalize("NFKD", name).casefold()
            letters = "".join(character for character in plain if character.isalnum())
            return f"{letters} {day}" if letters and day else ""
        case Sought.DOCUMENT:
            return _BLANKS.sub("", text).casefold().removeprefix("urn:uuid:")
        case _:
            return _BLANKS.sub("", text).casefold()


def forget() -> None:
    """Remember no value any more: a patient was erased."""
    _form.cache_clear()


def _day(text: str) -> str:
    """A whole date, as FHIR writes it or as people here do."""
    if found := _ISO.fullmatch(text):
        year, month, day = found.groups()
    elif found := _BRITISH.fullmatch(text):
        day, month, year = found.groups()
    else:
        return ""
    return f"{year}-{int(month):02}-{int(day):02}"


def _values(readings: Iterable[Reading], names: Iterable[str]) -> Iterator[Any]:
    for reading in readings:
        for name in names:
            item = reading.items.get(name)
            if isinstance(item, Mapping):
                yield item.get("value")


def _list(item: Any) -> list[Mapping[str, Any]]:
    return [one for one in item if isinstance(one, Mapping)] if isinstance(item, list | tuple) else []
