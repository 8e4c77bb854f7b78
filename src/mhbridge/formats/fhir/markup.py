"""
Messages of FHIR in XML as the same values that JSON gives (FHIR R4 §2.1.0.4: the two say the same).

The hardened reader of XML is `formats.xml`'s. Nothing that stands in a document is lost on the way: an attribute that
FHIR does not have becomes a member, and text where FHIR has none is refused. This module must never validate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from mhbridge.errors import MalformedMessage
from mhbridge.formats.fhir.structure import PRIMITIVES, Structure, structure
from mhbridge.formats.json.reading import Number
from mhbridge.formats.json.scanning import MOST_DIGITS, immeasurable
from mhbridge.formats.xml.encoding import decoded
from mhbridge.formats.xml.parsing import parsed
from mhbridge.formats.xml.tree import TEXT, Tree

__all__ = ["read"]

_FHIR: Final = "http://hl7.org/fhir"
_XHTML: Final = "http://www.w3.org/1999/xhtml"
_SPACE: Final = f"{{{_XHTML}}}"
_DIV: Final = f"{_SPACE}div"
_NUMBERS: Final = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
#: Elements of XHTML without an end tag.
_EMPTY: Final = frozenset({"br", "hr", "img", "col"})
#: The attributes of nearly every primitive.
_VALUE: Final = ("value",)
#: What stands beside a primitive that was not asked for it.
_NOTHING: Final = object()


def read(body: bytes, known: Structure) -> Any:
    """
    The resource that a document is.

    Raises:
        MalformedMessage: M700, M704, M705, M800 to M804 as any XML; M832, it is no resource of FHIR, or something
            stands where FHIR has no place for it.
    """
    return _Reader(parsed(decoded(body).text, sound=True), known).resource(0)


def _wrong() -> MalformedMessage:
    return MalformedMessage("M832", "something in the document has no place in FHIR")


def _split(name: str) -> tuple[str, str]:
    space, brace, local = name.rpartition("}")
    return space.removeprefix("{") if brace else "", local


def _attribute(name: str) -> str:
    """`id`, `url`, and of an extension of a primitive its `value`; what FHIR does not have keeps its own name."""
    return name if "}" not in name else f"@{name.rpartition('}')[2]}"


#: Of an element, by its tag and by what it stands in: its name, its type, whether there may be several, and how its
#: value is told from its text; `None` where it is no primitive.
_Tag = tuple[str, str, bool, Callable[[str], Any] | None]


@cache
def _tags(version: str, type_: str) -> Mapping[str, _Tag]:
    """The elements of a type by their tags."""
    elements = structure(version).elements(type_)
    return {f"{{{_FHIR}}}{name}": (name, one.type, one.many, _told(one.type)) for name, one in elements.items()}


def _told(type_: str) -> Callable[[str], Any] | None:
    """How the value of a type is told from its text."""
    if type_ == "boolean":
        return _truth
    if type_ in _NUMBERS:
        return _number
    return str if type_ in PRIMITIVES else None


def _truth(text: str) -> Any:
    return text == "true" if text in ("true", "false") else text


def _number(text: str) -> Any:
    return Number(text) if len(text) <= MOST_DIGITS and _NUMBER.fullmatch(text) and not immeasurable(text) else text


def _with(made: dict[str, Any], besides: dict[str, dict[int, Any]]) -> dict[str, Any]:
    """Members with what stands beside primitives, and without a value that none has."""
    out: dict[str, Any] = {}
    for name, value in made.items():
        several = type(value) is list
        if (value.count(None) < len(value)) if several else value is not None:
            out[name] = value
        found = besides.get(name, {})
        if any(one is not None for one in found.values()):
            out[f"_{name}"] = [found.get(at) for at in range(len(value))] if several else found[0]
    return out


class _Reader:
    """
    What the elements of a document say; each is known by its number.

    It asks the arrays of the tree, for most elements of a resource are one value and are asked for once.
    """

    def __init__(self, tree: Tree, known: Structure) -> None:
        self.tree = tree
        self.known = known

    def resource(self, index: int) -> dict[str, Any]:
        """A resource, of whatever type it says it is."""
        space, name = _split(self.tree.names[index])
        if space != _FHIR:
            raise _wrong()
        return {"resourceType": name, **self._members(index, name if name in self.known.types else "")}

    def _members(self, index: int, type_: str) -> dict[str, Any]:
        tree = self.tree
        names, keys, ends, masks = tree.names, tree.keys, tree.ends, tree.masks
        if masks[index] & TEXT:
            raise _wrong()
        tags = _tags(self.known.version, type_)
        made: dict[str, Any] = {}
        #: Name → what stands beside its values, by their places, where anything does.
        besides: dict[str, dict[int, Any]] = {}
        child, end = index + 1, ends[index]
        while child < end:
            after = ends[child]
            name, kind, many, told = tags.get(names[child]) or self._unknown(child)
            beside = _NOTHING
            if told is None:
                value = self._value(child, kind)
            elif keys[child] == _VALUE and after == child + 1 and not masks[child] & TEXT:
                # Nearly every element: one value, and nothing beside it.
                value = told(tree.values[tree.offsets[child]])
            else:
                value, beside = self._primitive(child, told)
            if name not in made:
                made[name] = [value] if many else value
            elif type(made[name]) is list:
                made[name].append(value)
            else:
                made[name] = [made[name], value]
            if beside is not _NOTHING:
                place = len(made[name]) - 1 if type(made[name]) is list else 0
                besides.setdefault(name, {})[place] = beside
            child = after
        if besides:
            made = _with(made, besides)
        if keys[index]:
            made = {**{_attribute(name): value for name, value in self._attributes(index)}, **made}
        return made

    def _attributes(self, index: int) -> list[tuple[str, str]]:
        keys = self.tree.keys[index]
        if not keys:
            return []
        begin = self.tree.offsets[index]
        return list(zip(keys, self.tree.values[begin : begin + len(keys)], strict=True))

    def _unknown(self, index: int) -> _Tag:
        """An element that its type does not have: narrative, or a name of FHIR that is read as it stands."""
        name = self.tree.names[index]
        if name == _DIV:
            return "div", "xhtml", False, None
        space, local = _split(name)
        if space != _FHIR:
            raise _wrong()
        return local, "", False, str if "value" in self.tree.keys[index] else None

    def _value(self, index: int, type_: str) -> Any:
        """An element that is no primitive."""
        if type_ == "Resource":
            tree = self.tree
            inner, end = index + 1, tree.ends[index]
            if inner == end or tree.ends[inner] != end or tree.keys[index] or tree.masks[index] & TEXT:
                raise _wrong()
            return self.resource(inner)
        if type_ == "xhtml":
            return self._narrative(index)
        return self._members(index, type_)

    def _primitive(self, index: int, told: Callable[[str], Any]) -> tuple[Any, Any]:
        """A primitive as (its value, what stands beside it)."""
        beside = self._members(index, "Element")
        value = beside.pop("value", None)
        return (None if value is None else told(value)), beside or None

    def _narrative(self, index: int) -> str:
        """XHTML as text, as it stands in JSON."""
        said: list[str] = []
        self._write(index, said, f' xmlns="{_XHTML}"')
        return "".join(said)

    def _write(self, index: int, said: list[str], declared: str = "") -> None:
        tree = self.tree
        name = tree.names[index].removeprefix(_SPACE)
        if name == tree.names[index]:
            raise _wrong()
        if tree.keys[index]:
            declared += "".join(f" {_split(key)[1]}={quoteattr(value)}" for key, value in self._attributes(index))
        text, child, end = tree.texts[index], index + 1, tree.ends[index]
        if name in _EMPTY and child == end and not text:
            said.append(f"<{name}{declared}/>")
            return
        said.append(f"<{name}{declared}>{_escaped(text)}")
        while child < end:
            self._write(child, said)
            if tail := tree.tails[child]:
                said.append(_escaped(tail))
            child = tree.ends[child]
        said.append(f"</{name}>")


def _escaped(text: str) -> str:
    return escape(text) if "&" in text or "<" in text or ">" in text else text
