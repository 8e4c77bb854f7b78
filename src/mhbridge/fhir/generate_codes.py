"""
What a value set lists, worked out from the definitions alone. Part of the maintainer's generator (`fhir.generate`).

A value set is listed when its every part can be: a whole code system of HL7's or HL7 UK's, codes named one by one, or a
branch of such a code system. Codes of other terminologies (SNOMED CT, LOINC, …) are listed only where a definition
names them one by one and binds them more strongly than as an example: hierarchies and reference sets belong to the
terminology's own release, which is not ours to pass on. This module must never be imported by anything that runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Literal

__all__ = ["Terminology"]

Json = dict[str, Any]
#: `{code: display}`, "all" for every code of the system, or None where they cannot be listed.
Codes = dict[str, str] | Literal["all"] | None

#: More codes than this are no list that a person chooses from.
LARGEST: Final = 3000
#: The value of a `system` whose codes are HL7's or HL7 UK's to give away.
OURS: Final = re.compile(r"https?://(hl7\.org/fhir|terminology\.hl7\.org|fhir\.hl7\.org\.uk)/")
#: A constraint in SNOMED's expression language that is nothing but a list: codes, their terms, brackets and OR.
LISTED: Final = re.compile(r"(?:[()\s]|OR\b|\d{6,18}(?!\d)(?:\s*\|[^|]*\|)?)+", re.IGNORECASE)


class Terminology:
    """The value sets and code systems of all sources, and what each value set lists."""

    def __init__(self) -> None:
        self.systems: dict[str, Json] = {}
        self.sets: dict[str, Json] = {}

    def add(self, resource: Json) -> None:
        """Take a value set or code system; anything else is passed over."""
        if resource["resourceType"] in ("CodeSystem", "ValueSet"):
            kind = self.systems if resource["resourceType"] == "CodeSystem" else self.sets
            kind.setdefault(resource["url"], resource)

    def all_codes(self, system: str) -> dict[str, str] | None:
        """Every selectable code of a complete code system, or None."""
        found = self.systems.get(system)
        if found is None or found.get("content") != "complete" or not OURS.match(system):
            return None
        return {c["code"]: c.get("display", "") for c, _ in _concepts(found) if not _abstract(c)}

    def below(self, system: str, code: str, *, itself: bool) -> dict[str, str] | None:
        """The selectable codes under `code`."""
        if self.all_codes(system) is None:
            return None
        concepts = list(_concepts(self.systems[system]))
        # `child` names the further parents' children: a concept stands only once in the file.
        also = [(c["code"], p["valueCode"]) for c, _ in concepts for p in c.get("property", ()) if p["code"] == "child"]
        wanted = {code}
        size = 0
        while size != len(wanted):
            size = len(wanted)
            wanted |= {c["code"] for c, above in concepts if wanted & above} | {b for a, b in also if a in wanted}
        if not itself:
            wanted.discard(code)
        return {c["code"]: c.get("display", "") for c, _ in concepts if c["code"] in wanted and not _abstract(c)}

    def parts(self, url: str, *, third_party: bool) -> list[tuple[str, Codes]] | None:
        """
        The systems of a value set with what it takes of each, or None when the set is unknown.

        Args:
            third_party: list the named codes of terminologies that are neither HL7's nor HL7 UK's, too.
        """
        found = self.sets.get(url)
        if found is None or "compose" not in found:
            return None
        listed: list[tuple[str, Codes]] = []
        for include in found["compose"].get("include", ()):
            if include.get("system"):
                codes = self._included(include, found)
                if not third_party and not OURS.match(include["system"]):
                    codes = None
                listed.append((include["system"].partition("|")[0], codes))
            others = include.get("valueSet", ())
            # Several sets in one include are an intersection; none that we need has one.
            for other in others if len(others) == 1 else ():
                listed += self.parts(other.partition("|")[0], third_party=third_party) or [("", None)]
        for exclude in found["compose"].get("exclude", ()):
            gone = self._included(exclude, found) if exclude.get("system") else None
            concerned = exclude.get("system")
            listed = [
                (system, self._without(system, codes, gone) if concerned in (None, system) else codes)
                for system, codes in listed
            ]
        size = sum(len(codes if isinstance(codes, dict) else self.all_codes(s) or ()) for s, codes in listed if codes)
        # A set of which a part is unknown is unknown: a code outside the known parts may be in the unknown one.
        complete = size <= LARGEST and all(codes is not None for _, codes in listed)
        return [(system, codes if complete else None) for system, codes in listed]

    def _included(self, include: Json, owner: Json) -> Codes:
        system = include["system"]
        if "concept" in include:
            known = {c["code"]: c.get("display", "") for c, _ in _concepts(self.systems.get(system, {}))}
            return {c["code"]: c.get("display") or known.get(c["code"], "") for c in include["concept"]}
        if "filter" not in include:
            codes = self.all_codes(system)
            # "…/v2-0360|2.7" is one version of a table; Codings name the system without it, so it is listed here.
            return codes if "|" in system or codes is None else "all"
        if len(include["filter"]) > 1:
            return None
        ((name, operator, value),) = [(f["property"], f["op"], f["value"]) for f in include["filter"]]
        if name == "concept" and operator in ("is-a", "descendent-of"):
            return self.below(system, value, itself=operator == "is-a")
        if name == "concept" and operator == "is-not-a":
            return self._without(system, "all", self.below(system, value, itself=True))
        if name == "constraint" and LISTED.fullmatch(value):
            named = {c["code"]: c.get("display", "") for c in owner.get("expansion", {}).get("contains", ())}
            inline = {code: term.strip() for code, term in re.findall(r"(\d{6,18})\s*\|([^|]*)\|", value)}
            listed = re.findall(r"\d{6,18}", re.sub(r"\|[^|]*\|", "", value))
            return {code: named.get(code) or inline.get(code, "") for code in listed}
        return None

    def _without(self, system: str, codes: Codes, gone: Codes) -> Codes:
        if codes == "all":
            codes = self.all_codes(system)
        if not isinstance(codes, dict) or not isinstance(gone, dict):
            return None
        return {code: display for code, display in codes.items() if code not in gone}


def _concepts(holder: Json, above: frozenset[str] = frozenset()) -> Iterator[tuple[Json, frozenset[str]]]:
    for concept in holder.get("concept", ()):
        yield concept, above
        yield from _concepts(concept, above | {concept["code"]})


def _abstract(concept: Json) -> bool:
    return any(
        p["code"] in ("notSelectable", "abstract") and p.get("valueBoolean") for p in concept.get("property", ())
    )
