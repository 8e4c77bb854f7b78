"""
Messages of FHIR in XML as the same values that JSON gives (FHIR R4 §2.1.0.4: the two say the same).

The hardened reader of XML is `formats.xml`'s. Nothing that stands in a document is lost on the way: an attribute that
FHIR does not have becomes a member, and text where FHIR has none is refused. This module must never validate.
"""

from __future__ import annotations

import re
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from mhbridge.errors import MalformedMessage
from mhbridge.formats.fhir.structure import PRIMITIVES, Structure
from mhbridge.formats.json.reading import Number
from mhbridge.formats.json.scanning import MOST_DIGITS, immeasurable
from mhbridge.formats.xml.encoding import decoded
from mhbridge.formats.xml.parsing import parsed
from mhbridge.formats.xml.tree import BLANKS, Element

__all__ = ["read"]

_FHIR: Final = "http://hl7.org/fhir"
_XHTML: Final = "http://www.w3.org/1999/xhtml"
_NUMBERS: Final = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
#: Elements of XHTML without an end tag.
_EMPTY: Final = frozenset({"br", "hr", "img", "col"})


def read(body: bytes, known: Structure) -> Any:
    """
    The resource that a document is.

    Raises:
        MalformedMessage: M700, M704, M705, M800 to M804 as any XML; M832, it is no resource of FHIR, or something
            stands where FHIR has no place for it.
    """
    return _resource(parsed(decoded(body).text, sound=True).outer, known)


def _wrong() -> MalformedMessage:
    return MalformedMessage("M832", "something in the document has no place in FHIR")


def _resource(element: Element, known: Structure) -> dict[str, Any]:
    space, name = _split(element.name)
    if space != _FHIR:
        raise _wrong()
    return {"resourceType": name, **_members(element, name, known)}


def _split(name: str) -> tuple[str, str]:
    space, brace, local = name.rpartition("}")
    return space.removeprefix("{") if brace else "", local


def _members(element: Element, type_: str, known: Structure) -> dict[str, Any]:
    made: dict[str, Any] = {_attribute(name): value for name, value in element.attributes.items()}
    if element.own.strip(BLANKS):
        raise _wrong()
    elements = known.elements(type_)
    several: dict[str, list[tuple[Any, Any]]] = {}
    for child in element.children:
        space, name = _split(child.name)
        if space == _XHTML and name == "div":
            several.setdefault("div", []).append((_narrative(child), None))
            continue
        if space != _FHIR:
            raise _wrong()
        found = elements.get(name)
        several.setdefault(name, []).append(_value(child, found.type if found is not None else "", known))
    for name, values in several.items():
        _put(made, name, values, many=name in elements and elements[name].many)
    return made


def _attribute(name: str) -> str:
    """`id`, `url`, and of an extension of a primitive its `value`; what FHIR does not have keeps its own name."""
    return name if "}" not in name else f"@{name.rpartition('}')[2]}"


def _value(child: Element, type_: str, known: Structure) -> tuple[Any, Any]:
    """An element as (its value, what a primitive has beside it)."""
    if type_ == "Resource":
        if len(child.children) != 1 or child.attributes:
            raise _wrong()
        return _resource(child.children[0], known), None
    if type_ not in PRIMITIVES and not (not type_ and "value" in child.attributes):
        return _members(child, type_, known), None
    beside = _members(child, "Element", known)
    value = beside.pop("value", None)
    return (None if value is None else _typed(value, type_)), beside or None


def _typed(text: str, type_: str) -> Any:
    if type_ == "boolean" and text in ("true", "false"):
        return text == "true"
    if type_ in _NUMBERS and len(text) <= MOST_DIGITS and _NUMBER.fullmatch(text) and not immeasurable(text):
        return Number(text)
    return text


def _put(made: dict[str, Any], name: str, values: list[tuple[Any, Any]], *, many: bool) -> None:
    listed = many or len(values) > 1
    if any(value is not None for value, _ in values):
        made[name] = [value for value, _ in values] if listed else values[0][0]
    if any(beside is not None for _, beside in values):
        made[f"_{name}"] = [beside for _, beside in values] if listed else values[0][1]


def _narrative(element: Element) -> str:
    """XHTML as text, as it stands in JSON."""
    said: list[str] = []
    _write(element, said, top=True)
    return "".join(said)


def _write(element: Element, said: list[str], *, top: bool = False) -> None:
    space, name = _split(element.name)
    if space != _XHTML:
        raise _wrong()
    written = "".join(f" {_split(key)[1]}={quoteattr(value)}" for key, value in element.attributes.items())
    said.append(f'<{name} xmlns="{_XHTML}"{written}' if top else f"<{name}{written}")
    if name in _EMPTY and not element.children and not element.text:
        said.append("/>")
        return
    said.append(f">{escape(element.text)}")
    for child in element.children:
        _write(child, said)
        said.append(escape(child.tail))
    said.append(f"</{name}>")
