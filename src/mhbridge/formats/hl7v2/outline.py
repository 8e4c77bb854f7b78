"""
The outline: which segments belong to which (mapping language §5.1), and what follows before any message is read.

It is no message grammar. A segment belongs to the nearest earlier segment that lists it, otherwise to the message,
whatever else a sender does to the order. This module must never look at a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from mhbridge.formats.hl7v2.message import Groups

__all__ = ["DEFAULTS", "Outline", "circle", "outline"]

#: Outlines that well-known messages bring, from the abstract message syntax of HL7 v2.4 and v2.5.1 (chapters 3, 4, 7,
#: 9, 10, 11). Only what a segment surely follows is listed: an SPM, for instance, does not take the OBX behind it,
#: because senders write specimens before and after results alike.
_RESULTS: Final = {
    "ORC": ("OBR",),
    "OBR": ("NTE", "TQ1", "CTD", "OBX", "FT1", "CTI", "SPM"),
    "OBX": ("NTE",),
    "TQ1": ("TQ2",),
}
_ADT: Final = {
    "PID": ("ROL", "PRT"),
    "PV1": ("ROL", "PRT"),
    "OBX": ("NTE", "PRT"),
    "PR1": ("ROL", "PRT"),
    "IN1": ("IN2", "IN3", "ROL", "PRT"),
}
_TWO_PATIENTS: Final = {"PID": ("PD1", "PV1", "PV2", "DB1", "OBX")}
_MERGE: Final = {"PID": ("PD1", "MRG", "PV1")}
_DOCUMENT: Final = {"ORC": ("OBR", "TQ1"), "OBR": ("NTE",), "OBX": ("NTE",), "TQ1": ("TQ2",)}
_ORDER: Final = {
    "ORC": ("OBR", "TQ1", "RXO"),
    "OBR": ("NTE", "CTD", "DG1", "OBX", "SPM"),
    "OBX": ("NTE",),
    "RXO": ("NTE", "RXR", "RXC"),
    "TQ1": ("TQ2",),
}
_REFERRAL: Final = {
    "AUT": ("CTD",),
    "PRD": ("CTD",),
    "IN1": ("IN2", "IN3"),
    "PR1": ("AUT",),
    "OBR": ("NTE", "OBX"),
    "OBX": ("NTE",),
    "PV1": ("PV2", "NTE"),  # behind the visit: words on the referral, and no longer on a result
}
_SCHEDULE: Final = {
    "RGS": ("AIS", "AIG", "AIL", "AIP"),
    "AIS": ("NTE",),
    "AIG": ("NTE",),
    "AIL": ("NTE",),
    "AIP": ("NTE",),
    "TQ1": ("TQ2",),
}
_VACCINATION: Final = {"ORC": ("RXA",), "RXA": ("RXR", "OBX"), "OBX": ("NTE",)}

#: By message; an entry of the type alone is for all its other events.
DEFAULTS: Final[Mapping[str, Groups]] = {
    "ADT": _ADT,
    **dict.fromkeys(("ADT^A17", "ADT^A24", "ADT^A37"), _TWO_PATIENTS),
    **dict.fromkeys((f"ADT^A{n}" for n in (18, 30, *range(34, 37), *range(39, 52))), _MERGE),
    "MDM": _DOCUMENT,
    "OMG": _ORDER,
    "OML": _ORDER,
    "ORM": _ORDER,
    "ORU": _RESULTS,
    "REF": _REFERRAL,
    "RRI": _REFERRAL,
    "SIU": _SCHEDULE,
    "VXU": _VACCINATION,
}


class Outline:
    """
    Args:
        groups: owner → the names that it owns directly. It must be free of circles (see `circle`).
    """

    __slots__ = ("_above", "_places", "groups", "parents")

    def __init__(self, groups: Groups) -> None:
        self.groups: Groups = MappingProxyType({owner: tuple(owned) for owner, owned in groups.items()})
        self.parents: dict[str, tuple[str, ...]] = {}
        for owner, owned in self.groups.items():
            for name in owned:
                self.parents[name] = (*self.parents.get(name, ()), owner)
        self._above: dict[str, frozenset[str]] = {}
        self._places: dict[str, int] = {}

    def above(self, name: str) -> frozenset[str]:
        """All that may own a segment, directly or through others."""
        if name not in self._above:
            parents = self.parents.get(name, ())
            self._above[name] = frozenset(parents).union(*(self.above(parent) for parent in parents))
        return self._above[name]

    def places(self, name: str) -> int:
        """In how many places of the tree a segment may stand: under the message alone is one."""
        if name not in self._places:
            self._places[name] = max(1, sum(self.places(parent) for parent in self.parents.get(name, ())))
        return self._places[name]

    def way(self, name: str, below: str = "") -> str:
        """One way down to a segment by name, from the message or from below another segment: `OBR/NTE`."""
        steps = [name]
        while parents := [
            p for p in self.parents.get(steps[0], ()) if not below or p == below or below in self.above(p)
        ]:
            if parents[0] == below:
                break
            steps.insert(0, parents[0])
        return "/".join(steps)


def circle(groups: Groups) -> str:
    """A segment that would own itself, directly or through others; empty when there is none."""
    left = {owner: set(owned) for owner, owned in groups.items()}
    while free := [owner for owner, owned in left.items() if not owned & left.keys()]:
        for owner in free:
            del left[owner]
    return min(left, default="")


@lru_cache(maxsize=256)
def outline(messages: tuple[str, ...], groups: tuple[tuple[str, tuple[str, ...]], ...] | None) -> Outline:
    """
    The outline of a source: the declared groups, or else what its messages bring, together.

    One object per declaration, so that a message links its segments once however many paths ask.
    """
    return Outline(dict(groups) if groups is not None else _union(messages))


def _union(messages: Iterable[str]) -> dict[str, tuple[str, ...]]:
    joined: dict[str, tuple[str, ...]] = {}
    for kind in messages:
        brought = [DEFAULTS.get(kind) or DEFAULTS.get(kind.partition("^")[0], {})]
        if "^" not in kind:
            brought = [groups for name, groups in DEFAULTS.items() if name.partition("^")[0] == kind]
        for groups in brought:
            for owner, owned in groups.items():
                joined[owner] = tuple(dict.fromkeys((*joined.get(owner, ()), *owned)))
    return joined
