"""
What the standard says a field is: segment → field → data type → component types, by version.

The facts are HL7's (v2.4, chapters 2 to 15; segment names of v2.1 to v2.8.2). They were taken from the tables of the
PyPI package hl7apy 1.3.5 by `generate` and lie in `structure.json`: per segment the types of its fields in order, per
data type the types of its components. `varies` is the standard's own word (OBX-5). A version without a table of its own
uses the nearest one. This module never says how a value is converted.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from mhbridge.formats import PathError

__all__ = ["UNDECLARED", "VERSIONS", "Structure", "check_segment", "structure"]

#: The type of what no table declares: the item decides.
UNDECLARED: Final = "undeclared"

#: The versions of HL7 v2 that a mapping may declare.
VERSIONS: Final = (
    "2.1",
    "2.2",
    "2.3",
    "2.3.1",
    "2.4",
    "2.5",
    "2.5.1",
    "2.6",
    "2.7",
    "2.7.1",
    "2.8",
    "2.8.1",
    "2.8.2",
    "2.9",
)
_DEFAULT: Final = "2.4"  # what the NHS specifications are based on


@dataclass(frozen=True, slots=True)
class Structure:
    """The data types of one version: each value lists the types of fields or components in order, from 1."""

    version: str
    segments: dict[str, tuple[str, ...]]
    types: dict[str, tuple[str, ...]]

    def type_of(self, segment: str, field: int, component: int = 0, subcomponent: int = 0) -> str:
        """The data type of a field, a component or a subcomponent."""
        fields = self.segments.get(segment, ())
        found = fields[field - 1] if field <= len(fields) else UNDECLARED
        for number in (component, subcomponent):
            if number:
                found = self.part(found, number)
        return found

    def check(self, version: str, segment: str, field: int, component: int) -> None:
        """
        That a field and a component exist, where this table is sure: later versions add to the ends of segments and
        types, and a simple type may be sent with components that the sender has agreed with somebody.

        Args:
            version: as a mapping declares it; empty where it takes every version.

        Raises:
            PathError: E205.
        """
        fields = self.segments.get(segment)
        if not version or not fields or VERSIONS.index(version) > VERSIONS.index(self.version):
            return
        if field > len(fields):
            hint = f"its last field is {segment}-{len(fields)}"
            raise PathError("E205", f"{segment} has no field {field} in HL7 v2.{self.version[2:]}", width=3, hint=hint)
        parts = self.types.get(fields[field - 1])
        if parts is not None and component > len(parts):
            name = fields[field - 1]
            hint = f"a {name} has {len(parts)} components"
            raise PathError("E205", f"{segment}-{field} is a {name}, which has no component {component}", hint=hint)

    def part(self, name: str, number: int) -> str:
        """The data type of a component of a data type. A type without components is its own first component."""
        if name in self.types:
            parts = self.types[name]
            return parts[number - 1] if number <= len(parts) else UNDECLARED
        return name if number == 1 and name != "varies" else UNDECLARED


@dataclass(frozen=True, slots=True)
class _Table:
    versions: dict[str, Structure]
    names: frozenset[str]


@cache
def _table() -> _Table:
    raw = json.loads(files(__package__).joinpath("structure.json").read_text("utf-8"))
    versions = {
        version: Structure(
            version,
            {name: tuple(types.split()) for name, types in table["segments"].items()},
            {name: tuple(types.split()) for name, types in table["types"].items()},
        )
        for version, table in raw["versions"].items()
    }
    return _Table(versions, frozenset(raw["names"].split()))


@cache
def structure(version: str) -> Structure:
    """The table for a version, or of the version nearest to it; the older of two equally near."""
    known = _table().versions
    wanted = VERSIONS.index(version or _DEFAULT)
    return known[min(known, key=lambda name: (abs(VERSIONS.index(name) - wanted), VERSIONS.index(name)))]


def check_segment(name: str, offset: int = 0) -> None:
    """
    Raises:
        PathError: E205, when no version has such a segment and it is no Z segment either.
    """
    known = _table().names
    if name in known or name.startswith("Z"):
        return
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
    raise PathError(
        "E205",
        f"HL7 v2 has no segment {name}",
        offset=offset,
        width=3,
        hint=f"did you mean {' or '.join(near)}?" if near else "a local segment begins with Z",
    )
