"""
The types of items: what `type:` may say, and the fields of the records that are built in.

A type is a name, perhaps one of several, perhaps a list of them. Whether a name means anything is decided where the
declared records and the FHIR definitions are known; this module must never look at a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["BUILT_IN_RECORDS", "PRIMITIVES", "Type", "parse_type"]

#: FHIR R4's primitive types (hl7.org/fhir/R4/datatypes.html#primitive), and the two of our own: an NHS number that
#: passed Modulus 11, and plain text whose line breaks are kept.
PRIMITIVES: Final = frozenset(
    {
        "base64Binary",
        "boolean",
        "canonical",
        "code",
        "date",
        "dateTime",
        "decimal",
        "id",
        "instant",
        "integer",
        "markdown",
        "oid",
        "positiveInt",
        "string",
        "time",
        "unsignedInt",
        "uri",
        "url",
        "uuid",
        "xhtml",
        "nhs_number",
        "text",
    }
)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


class Type(NamedTuple):
    """
    The type of an item, a field of a record, or a function's argument. One is compared and hashed at every path.

    Args:
        name: `dateTime`, `Identifier`, `person`, `diagnosis`; `any` where there are options.
        many: it is a list of them.
        options: the names of an `any of […]`, in the order they were written.
    """

    name: str
    many: bool = False
    options: tuple[str, ...] = ()

    def single(self) -> Type:
        """The type of one element."""
        return Type(self.name, options=self.options) if self.many else self

    def listed(self) -> Type:
        """The list of this type."""
        return self if self.many else Type(self.name, many=True, options=self.options)

    @property
    def names(self) -> tuple[str, ...]:
        """What one element may be: the options, or the one name."""
        return self.options or (self.name,)

    def __str__(self) -> str:
        one = f"any of [{', '.join(self.options)}]" if self.options else self.name
        return f"list of {one}" if self.many else one


@lru_cache(maxsize=1024)
def parse_type(text: str) -> Type:
    """
    The type that a `type:` says.

    Raises:
        ValueError: it is not written as a type; the message is for the author of the mapping.
    """
    rest = text.strip()
    many = rest == "list" or rest.startswith("list ")
    if many:
        rest = rest[4:].strip()
        if rest != "of" and not rest.startswith("of "):
            raise ValueError("a list says what it is a list of: 'list of dateTime'")
        rest = rest[2:].strip()
        if rest == "list" or rest.startswith("list "):
            raise ValueError("a list of lists is not possible: declare a record that holds the inner list")
    if not rest:
        raise ValueError("a type is missing")
    if re.match(r"any\b", rest):
        return Type("any", many, _options(rest[3:].strip()))
    return Type(_name(rest), many)


def _options(rest: str) -> tuple[str, ...]:
    if not (rest.startswith("of") and rest[2:].strip().startswith("[") and rest.endswith("]")):
        raise ValueError("alternatives are written 'any of [Quantity, string]'")
    names = tuple(_name(part.strip()) for part in rest[2:].strip()[1:-1].split(","))
    for at, name in enumerate(names):
        if name in names[:at]:
            raise ValueError(f"{name!r} stands twice in 'any of'")
    return names


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a type" if text else "a type is missing")
    if text in ("any", "list"):
        raise ValueError(f"{text!r} stands before 'of', it is not a type itself")
    return text


#: What XCN, XON and PL become (mapping language §4). Every field is optional, so an absent one has no key.
BUILT_IN_RECORDS: Final[Mapping[str, Mapping[str, Type]]] = {
    "person": {
        "identifiers": Type("Identifier", many=True),
        "name": Type("HumanName", many=True),
        "role": Type("CodeableConcept"),
        "grade": Type("CodeableConcept"),
        "specialty": Type("CodeableConcept"),
        "telecom": Type("ContactPoint", many=True),
        "address": Type("Address"),
        "organisation": Type("organisation"),
    },
    "organisation": {
        "identifiers": Type("Identifier", many=True),
        "name": Type("string"),
        "telecom": Type("ContactPoint", many=True),
        "address": Type("Address"),
    },
    "place": {
        "identifiers": Type("Identifier", many=True),
        "name": Type("string"),
        "ward": Type("string"),
        "room": Type("string"),
        "bed": Type("string"),
        "site": Type("organisation"),
    },
}
