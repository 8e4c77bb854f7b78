"""
What the standard says a field is: segment → field → data type → component types, by version.

The facts are HL7's (v2.3 to v2.8.2, chapters 2 to 17), taken from the tables of the PyPI package hl7apy 1.3.5 by
`generate`. They lie in `structure.json` as histories: the types of a segment's fields, or of a data type's components,
under the first version that has them so. `varies` is the standard's own word (OBX-5), `CM` is v2.3's for a type made
for one field. This module never says how a value is converted.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

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
#: What the NHS specifications are based on: whose types hold where a mapping takes every version.
_DEFAULT: Final = "2.4"
#: The first and the last version whose types are known; an earlier or a later one has those of the nearest.
_FIRST: Final = VERSIONS.index("2.3")
_LAST: Final = VERSIONS.index("2.8.2")


@dataclass(frozen=True, slots=True)
class Structure:
    """
    The data types of one version: each value lists the types of fields or components in order, from 1.

    Args:
        version: as a mapping declares it; empty: every version, with the types of v2.4 and whatever others have beside.
    """

    version: str
    segments: Mapping[str, tuple[str, ...]]
    types: Mapping[str, tuple[str, ...]]

    def type_of(self, segment: str, field: int, component: int = 0, subcomponent: int = 0) -> str:
        """The data type of a field, a component or a subcomponent."""
        fields = self.segments.get(segment, ())
        found = fields[field - 1] if field <= len(fields) else UNDECLARED
        for number in (component, subcomponent):
            if number:
                found = self.part(found, number)
        return found

    def check(self, segment: str, field: int, component: int, at: tuple[int, int] = (0, 0)) -> None:
        """
        That a field and a component exist. Later versions add to the ends of segments and types, so what is older than
        the tables may have less than they say, and what is newer more; and a simple type may be sent with components
        that the sender has agreed with somebody.

        Args:
            at: where in the path the numbers of the field and of the component stand.

        Raises:
            PathError: E205.
        """
        if self.version and VERSIONS.index(self.version) > _LAST:
            return
        where = f"HL7 v{self.version}" if self.version else "any version of HL7 v2"
        fields = self.segments.get(segment)
        if not fields:
            return
        if field > len(fields):
            hint = f"its last field is {segment}-{len(fields)}"
            if self.version and (since := _since(segment, field)):
                hint = f"{hint}; {since}"
            said = f"{segment} has no field {field} in {where}"
            raise PathError("E205", said, offset=at[0], width=len(str(field)), hint=hint)
        name = fields[field - 1]
        parts = self.types.get(name)
        if parts is not None and component > len(parts):
            hint = f"a {name} has {len(parts)} components"
            if self.version and (later := _later(name, component)):
                hint = f"{hint}; {later}"
            said = f"{segment}-{field} is a {name} in {where}, which has no component {component}"
            raise PathError("E205", said, offset=at[1], width=len(str(component)), hint=hint)

    def part(self, name: str, number: int) -> str:
        """The data type of a component of a data type. A type without components is its own first component."""
        if name in self.types:
            parts = self.types[name]
            return parts[number - 1] if number <= len(parts) else UNDECLARED
        return name if number == 1 and name not in ("varies", "CM") else UNDECLARED

    def others(self, segment: str, field: int) -> Iterator[tuple[str, str]]:
        """What else a path could name: the components of a field, then the other fields of its segment, with types."""
        fields = self.segments.get(segment, ())
        if field <= len(fields):
            for number, name in enumerate(self.types.get(fields[field - 1], ()), 1):
                yield f"{segment}-{field}.{number}", name
        for number, name in enumerate(fields, 1):
            if number != field:
                yield f"{segment}-{number}", name


_Histories = Mapping[str, Mapping[str, str]]


@cache
def _table() -> Mapping[str, Any]:
    table: dict[str, Any] = json.loads(files(__package__).joinpath("structure.json").read_text("utf-8"))
    table["names"] = frozenset(table["names"].split())
    return table


def _in(history: Mapping[str, str], version: int) -> str:
    """
    What a history says of a version. A segment that it does not have is what the nearest says that has it: systems send
    segments of later versions long before they say so in MSH-12, and of earlier ones long after.
    """
    found = ""
    for since, types in history.items():
        if found and VERSIONS.index(since) > version:
            break
        found = types or found
    return found


@cache
def structure(version: str) -> Structure:
    """The table for a version, or of the version nearest to it; for no version in particular that of v2.4 and more."""
    table = _table()
    chosen = min(max(VERSIONS.index(version or _DEFAULT), _FIRST), _LAST)
    segments, types = (
        {name: tuple(_in(history, chosen).split()) for name, history in table[kind].items()}
        for kind in ("segments", "types")
    )
    if not version:
        _extend(segments, table["segments"])
        _extend(types, table["types"])
    return Structure(version, segments, types)


def _extend(known: dict[str, tuple[str, ...]], histories: _Histories) -> None:
    """Add what the other versions have beyond the end, those that have it first."""
    for name, history in histories.items():
        for found in history.values():
            own, parts = known.get(name, ()), found.split()
            if len(parts) > len(own):
                known[name] = (*own, *parts[len(own) :])


def _first_with(history: Mapping[str, str], number: int) -> str:
    """The first version in which a segment or type has so many parts."""
    return next((version for version, types in history.items() if len(types.split()) >= number), "")


def _since(segment: str, field: int) -> str:
    """The hint at a field of a later version."""
    version = _first_with(_table()["segments"].get(segment, {}), field)
    return f"it came with v{version}, and a mapping without `version` takes every version" if version else ""


def _later(name: str, component: int) -> str:
    """The hint at a component of a later version."""
    version = _first_with(_table()["types"].get(name, {}), component)
    return f"component {component} came with v{version}" if version else ""


def check_segment(name: str, offset: int = 0) -> None:
    """
    Raises:
        PathError: E205, when no version has such a segment and it is no Z segment either.
    """
    known = _table()["names"]
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
