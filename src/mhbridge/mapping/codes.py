"""
Code systems, tables, lists and headings as they are used: frozen, and every look-up is a look-up by key.

Items and tables hold the *name* of a code system; a build writes its target's URI (mapping language §4.2). The CSV
files are read by `mapping.code_files`. This module must never choose between two codes: what is not in a table, or is
there for another system or another time, is simply not found.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

__all__ = ["EQUIVALENCES", "NO_SYSTEMS", "NO_TARGET", "CodeList", "CodeSystem", "CodeSystems", "Heading", "Member"]
__all__ += ["TABLE_COLUMNS", "Row", "Table", "Unmapped", "codes_of"]

#: The columns that every code table has (mapping language §4.2).
TABLE_COLUMNS: Final = (
    "source_system",
    "source_version",
    "source_code",
    "target_system",
    "target_version",
    "target_code",
    "target_display",
    "equivalence",
)

#: What becomes of a code that a table does not have (mapping language §4.2).
Unmapped: Final = ("keep", "omit", "refuse")

#: FHIR R4's concept-map-equivalence, which STU3 has as well; the target is so to the source.
EQUIVALENCES: Final = frozenset(
    ("relatedto", "equivalent", "equal", "wider", "subsumes", "narrower", "specializes", "inexact", "unmatched")
) | {"disjoint"}
#: Those that say: there is no counterpart.
NO_TARGET: Final = frozenset({"unmatched", "disjoint"})

#: UK Core (staging of 2025-06-20): ValueSet UKCore-CompositionSectionCode is all of this code system.
_HEADINGS_R4: Final = "https://fhir.hl7.org.uk/CodeSystem/UKCore-RecordStandardHeadings"
_SNOMED: Final = "http://snomed.info/sct"


# --- systems -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """
    A code system or identifier system.

    Args:
        name: what items, tables and mappings call it.
        uris: target (`r4`, `stu3`) → URI; a target that has none is missing.
        oids: its OIDs, without `urn:oid:`.
        v2: the names that HL7 v2 messages give it (table 0396, or a sender's own).
    """

    name: str
    title: str = ""
    uris: Mapping[str, str] = field(default_factory=dict)
    oids: tuple[str, ...] = ()
    v2: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CodeSystems:
    """
    All code systems that a supplier's mappings know, by name and by every other way of naming them.

    Args:
        by_name: name → system.
        by_v2: HL7 v2 mnemonic, in upper case → name.
        by_oid: OID → name.
        by_uri: URI of any target → name.
    """

    by_name: Mapping[str, CodeSystem] = field(default_factory=dict)
    by_v2: Mapping[str, str] = field(default_factory=dict)
    by_oid: Mapping[str, str] = field(default_factory=dict)
    by_uri: Mapping[str, str] = field(default_factory=dict)

    def known(self, name: str) -> bool:
        """Whether a system has this name."""
        return name in self.by_name

    def names(self) -> Iterable[str]:
        """All names, in the order of the files."""
        return self.by_name.keys()

    def uri(self, name: str, target: str) -> str | None:
        """The URI of a system in a target, or `None`: then its codes are written there as text."""
        system = self.by_name.get(name)
        return system.uris.get(target) if system is not None else None

    def named(self, said: str) -> str | None:
        """The name of the system that a message calls `said`: an HL7 v2 mnemonic, an OID or a URI."""
        name = self.by_v2.get(said.upper()) or self.by_uri.get(said)
        return name or self.by_oid.get(said.removeprefix("urn:oid:"))

    def of_uri(self, uri: str) -> str:
        """The name of the system with this URI, or the URI itself when it has none."""
        return self.by_uri.get(uri, uri)


#: For places where no system is known, such as a literal.
NO_SYSTEMS: Final = CodeSystems()


# --- validity ----------------------------------------------------------------------------------------------


def _days(date: str) -> tuple[str, str]:
    """The first and the last day that a date of any precision may mean; a dateTime's day is the local one it names."""
    if len(date) >= 10:
        return date[:10], date[:10]
    if len(date) == 7:
        return f"{date}-01", f"{date}-{monthrange(int(date[:4]), int(date[5:]))[1]:02d}"
    return f"{date}-01-01", f"{date}-12-31"


def _valid(since: str, until: str, date: str) -> bool | None:
    """Whether something was in force on a date; `None` when a partial date cannot tell. Both ends belong to it."""
    first, last = _days(date)
    begins, ends = since or "0000", until or "9999"
    if begins <= first and last <= ends:
        return True
    return False if last < begins or ends < first else None


# --- tables ------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One row of a table: what a source code is in the target. `target_code` is empty where the table says: nothing."""

    source_system: str
    source_code: str
    target_system: str
    target_code: str
    target_display: str = ""
    equivalence: str = "equal"
    source_version: str = ""
    target_version: str = ""
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """
    A code table.

    Args:
        name: as the mapping declares it.
        rows: source code → its rows, in the order of the file.
        source_systems: names of the systems that the source codes belong to.
        dated: some row has a first or last day, so that a look-up needs a date.
        unmapped: what becomes of a code that is not in it: `keep`, `omit` or `refuse`.
        file: where it stands, as people are shown it.
    """

    name: str
    rows: Mapping[str, tuple[Row, ...]]
    source_systems: tuple[str, ...]
    dated: bool = False
    unmapped: str = "keep"
    file: str = ""

    def find(self, code: str, system: str = "", date: str = "") -> Row | None:
        """
        The row for a code, or `None`.

        Args:
            system: name of the system that the message says; empty when it says none, or one that nobody here knows.
            date: of a dated table, the day that counts; a partial date finds a row only if the row holds throughout.
        """
        rows = self.rows.get(code)
        if rows is None:
            return None
        if len(rows) == 1 and not self.dated and not system:
            return rows[0]
        if system:
            rows = tuple(row for row in rows if row.source_system == system)
        if self.dated:
            rows = tuple(row for row in rows if date and _valid(row.since, row.until, date))
        # Two rows can be left only for two systems, and nothing says which was meant.
        return rows[0] if len(rows) == 1 else None

    @property
    def source_system(self) -> str:
        """The one system of the source codes; empty when there are several."""
        return self.source_systems[0] if len(self.source_systems) == 1 else ""


# --- lists -------------------------------------------------------------------------------------------------


def codes_of(concept: Any) -> Iterator[tuple[str, str]]:
    """(system name, code) of each coding of a concept; nothing of what is none. No name is no system of a list."""
    for coding in concept.get("coding", ()) if isinstance(concept, dict) else ():
        yield coding.get("system", ""), coding.get("code", "")


class Member(NamedTuple):
    """One code of a list."""

    system: str
    code: str
    display: str = ""
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class CodeList:
    """
    A list of codes, for `in` and `member`.

    Args:
        members: (system name, code) → its entries, several where it came, went and came again.
        dated: some entry has a first or last day.
    """

    name: str
    members: Mapping[tuple[str, str], tuple[Member, ...]]
    dated: bool = False

    @property
    def codes(self) -> frozenset[tuple[str, str]]:
        """All (system name, code), for `in` on a list without dates."""
        return frozenset(self.members)

    def holds(self, system: str, code: str, date: str = "") -> bool | None:
        """Whether a code is in the list, on a date if the list is dated; `None` when the date cannot decide."""
        entries = self.members.get((system, code))
        if entries is None:
            return False
        if not self.dated:
            return True
        if not date:
            return True if all(not (entry.since or entry.until) for entry in entries) else None
        found = [_valid(entry.since, entry.until, date) for entry in entries]
        return True if True in found else None if None in found else False

    def words(self, concept: Any) -> set[str]:
        """What the list calls what a concept's codes stand for."""
        return {one.display for said in codes_of(concept) for one in self.members.get(said, ())}


# --- headings ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heading:
    """
    A heading of the record standard.

    Args:
        name: what mappings call it.
        r4: its code in UKCore-RecordStandardHeadings; empty when it has none.
        snomed: its SNOMED CT code, which the STU3 Transfer of Care sections carry; empty when it has none.
        r4_display: the display that UK Core gives the code, which is not always the title.
        snomed_display: the display that SNOMED CT gives the code.
        needs: how strongly a use case demands it: name of the use case → `mandatory`, `required` or `optional`.
    """

    name: str
    title: str
    r4: str = ""
    r4_display: str = ""
    snomed: str = ""
    snomed_display: str = ""
    needs: Mapping[str, str] = field(default_factory=dict)

    def codings(self, target: str) -> tuple[Mapping[str, str], ...]:
        """The codings of a section in a target: R4 writes both, so that either kind of reader finds its own."""
        both = (
            (_HEADINGS_R4 if target == "r4" else "", self.r4, self.r4_display),
            (_SNOMED, self.snomed, self.snomed_display),
        )
        return tuple(
            {"system": system, "code": code, **({"display": display} if display else {})}
            for system, code, display in both
            if system and code
        )
