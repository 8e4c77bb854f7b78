"""
Reads the CSV files of code systems, tables, lists and headings (mapping language §4.2): text in, frozen look-ups out.

Every fault is a diagnostic with its place, and all of a file's faults are found at once; the row concerned is left
out. This module must never open a file, and must never mend what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Final, TypeVar

from mhbridge.errors import Diagnostic
from mhbridge.fhir.definitions import r4
from mhbridge.mapping.codes import (
    EQUIVALENCES,
    NO_SYSTEMS,
    NO_TARGET,
    TABLE_COLUMNS,
    CodeList,
    CodeSystem,
    CodeSystems,
    Heading,
    Member,
    Row,
    Table,
)
from mhbridge.mapping.rows import Line, Rows
from mhbridge.model import Severity

__all__ = ["TARGETS", "load_headings", "load_list", "load_systems", "load_table"]

#: Targets that have a column of URIs in `codes/systems.csv`.
TARGETS: Final = ("r4", "stu3")

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_NEEDS: Final = frozenset({"", "mandatory", "required", "optional"})
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
_OID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")


# --- systems -----------------------------------------------------------------------------------------------


def load_systems(
    files: Iterable[tuple[str, str]], before: CodeSystems = NO_SYSTEMS
) -> tuple[CodeSystems, tuple[Diagnostic, ...]]:
    """
    The code systems of several `systems.csv`, the most general first: a supplier's file follows the built-in one.

    A later file may name a system again to add OIDs, HL7 v2 names and URIs that were missing; it cannot change a URI.
    An HL7 v2 name that a later file claims is the later file's: a sender's own `L` is that sender's.

    Args:
        files: (name as people are shown it, text).
        before: what more general files say, which has been read already.
    """
    found = _Systems(before)
    diagnostics: list[Diagnostic] = []
    for file, text in files:
        rows = Rows(file, text, ("system", "title", *TARGETS, "oid", "v2"))
        here: dict[str, Line] = {}
        claimed: dict[tuple[str, str], str] = {}
        for row in rows:
            name = row["system"]
            if not _NAME.fullmatch(name):
                hint = "small letters, digits and '-', a letter first"
                rows.report("E409", "a system has a name in the first column", row.cells["system"].span, hint)
            elif name in here:
                what = f"the system {name!r} stands in line {here[name].number} already"
                rows.report("E411", what, row.cells["system"].span)
            else:
                here[name] = row
                found.add(rows, row, claimed)
        diagnostics += rows.diagnostics
    return found.frozen(), tuple(diagnostics)


class _Systems:
    """Code systems while files are laid over one another."""

    def __init__(self, before: CodeSystems) -> None:
        self.by_name = dict(before.by_name)
        self.by_v2 = dict(before.by_v2)
        self.by_oid = dict(before.by_oid)
        self.by_uri = dict(before.by_uri)

    def add(self, rows: Rows, row: Line, claimed: dict[tuple[str, str], str]) -> None:
        """One row. `claimed`: (kind, word) → system, for all that this file claims."""
        name = row["system"]
        before = self.by_name.get(name, CodeSystem(name))
        uris = dict(before.uris)
        for target in TARGETS:
            uri = row[target]
            if uri and uris.setdefault(target, uri) != uri:
                what = f"the {target} URI of {name!r} differs from the one in an earlier file"
                rows.report(
                    "E412", what, row.cells[target].span, "leave the cell empty, or give your system a name of its own"
                )
        oids = self._words(rows, row, "oid", claimed, _OID, self.by_oid, earlier_holds=True)
        v2 = self._words(rows, row, "v2", claimed, None, self.by_v2, earlier_holds=False)
        for target in TARGETS:
            if row[target] and uris[target] == row[target]:
                self._uri(rows, row, target)
        self.by_name[name] = CodeSystem(
            name,
            row["title"] or before.title,
            uris,
            tuple(dict.fromkeys((*before.oids, *oids))),
            tuple(dict.fromkeys((*before.v2, *v2))),
        )

    def _words(
        self,
        rows: Rows,
        row: Line,
        column: str,
        claimed: dict[tuple[str, str], str],
        form: re.Pattern[str] | None,
        known: dict[str, str],
        *,
        earlier_holds: bool,
    ) -> list[str]:
        """The words of a cell that names a system in another way; each word is one system's."""
        name, good = row["system"], []
        for word in row[column].split():
            key = word.upper()
            owner = claimed.setdefault((column, key), name)
            if owner == name and earlier_holds:
                owner = known.get(key, name)
            if form is not None and not form.fullmatch(word):
                rows.report("E409", "this is not an OID", row.cells[column].span, "digits and dots, without urn:oid:")
            elif owner != name:
                rows.report("E411", f"{word!r} names the system {owner!r} already", row.cells[column].span)
            else:
                known[key] = name
                good.append(word)
        return good

    def _uri(self, rows: Rows, row: Line, target: str) -> None:
        name, uri = row["system"], row[target]
        if ":" not in uri or uri.split() != [uri]:
            rows.report("E409", "this is not an absolute URI", row.cells[target].span)
        elif self.by_uri.setdefault(uri, name) != name:
            rows.report("E411", f"this URI is that of the system {self.by_uri[uri]!r} already", row.cells[target].span)

    def frozen(self) -> CodeSystems:
        return CodeSystems(self.by_name, self.by_v2, self.by_oid, self.by_uri)


def _known(rows: Rows, row: Line, column: str, systems: CodeSystems) -> bool:
    """Whether a cell names a code system; if not, it is reported (E401)."""
    name = row[column]
    if name in systems.by_name:
        return True
    what = f"unknown code system {name!r}" if name else f"{column} is empty"
    near = get_close_matches(name, list(systems.names()), 1, 0.75)
    hint = "code systems are named in codes/systems.csv, or in the supplier's own"
    hint = f"did you mean {near[0]!r}? {hint.capitalize()}" if near else hint
    rows.report("E401", what, row.cells[column].span, hint)
    return False


#: The first and the last day of what says neither.
_EVER: Final = ("", "")


# --- validity ----------------------------------------------------------------------------------------------


def _dates(rows: Rows, row: Line) -> tuple[str, str] | None:
    """`from` and `until`, when each is a day or empty and they are in order."""
    since, until = row["from"], row["until"]
    for column in ("from", "until"):
        if row[column] and not _is_day(row[column]):
            rows.report("E413", f"{column!r} is a day: yyyy-mm-dd", row.cells[column].span)
            return None
    if until and until < since:
        rows.report("E413", "the row ends before it begins", row.cells["until"].span)
        return None
    return since, until


def _is_day(text: str) -> bool:
    try:
        return len(text) == 10 and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _overlap(a: tuple[str, str], b: tuple[str, str]) -> bool:
    """Whether two stretches of days share one; empty ends are open, and both ends belong to the stretch."""
    return (a[0] or "0000") <= (b[1] or "9999") and (b[0] or "0000") <= (a[1] or "9999")


class _Stretches:
    """When each key holds, so that it never holds twice on one day."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], list[tuple[tuple[str, str], int]]] = {}

    def add(self, rows: Rows, row: Line, key: tuple[str, str], days: tuple[str, str], column: str) -> bool:
        """Whether the key is free on these days; if not, it is reported (E411 for ever, E403 for some days)."""
        earlier = self._seen.get(key)
        if earlier is None:
            self._seen[key] = [(days, row.number)]
            return True
        for other, line in earlier:
            if _overlap(days, other):
                if any(days) or any(other):
                    what = f"this code holds in line {line} on some of the same days"
                    rows.report("E403", what, row.span, "'until' is the last day; the next row begins the day after")
                else:
                    what, hint = f"this code stands in line {line} already", "take one of the two rows out"
                    rows.report("E411", what, row.cells[column].span, hint)
                return False
        earlier.append((days, row.number))
        return True


# --- tables, lists, headings ---------------------------------------------------------------------------------


def load_table(
    file: str, text: str, systems: CodeSystems, *, name: str = "", unmapped: str = "keep"
) -> tuple[Table, tuple[Diagnostic, ...]]:
    """
    One code table. What is wrong is left out of it, with a diagnostic.

    Args:
        name: what the mapping calls it; missing, the file's name.
        unmapped: what becomes of a code that it does not have, as the mapping declares.
    """
    rows, plain = Rows(file, text, TABLE_COLUMNS, ("from", "until")), len(TABLE_COLUMNS)
    found: dict[str, list[Row]] = {}
    sources: dict[str, None] = {}
    stretches = _Stretches()
    dated = False
    #: Target's system → HL7's or HL7 UK's own list of its codes, where that is known.
    national: dict[str, Collection[str] | None] = {}
    for row in rows:
        system, version, code, target, target_version, target_code, display, equivalence = row.said[:plain]
        # Nearly all rows are well, and hold for ever: what each cell is asked is asked only of the others.
        says = "" if equivalence in NO_TARGET else target_code
        well = code and (says or equivalence in NO_TARGET) and equivalence in EQUIVALENCES
        lasting = well and len(row.said) == plain and system in systems.by_name and target in systems.by_name
        days = _EVER if lasting else _days_of(rows, row, systems)
        if days is None:
            continue
        if target not in national:
            uri = systems.uri(target, "r4")
            national[target] = r4().codesystem(uri) if uri else None
        if (listed := national[target]) is not None and not _has(rows, row, listed):
            continue
        if row.padded:
            _blanks(rows, row, ("source_code", "target_code"))
        if stretches.add(rows, row, (system, code), days, "source_code"):
            sources[system] = None
            dated = dated or any(days)
            found.setdefault(code, []).append(
                Row(system, code, target, says, display, equivalence, version, target_version, *days)
            )
    table = Table(name or file, _tuples(found), tuple(sources), dated, unmapped, file)
    return table, tuple(rows.diagnostics)


def _days_of(rows: Rows, row: Line, systems: CodeSystems) -> tuple[str, str] | None:
    """When a row of a table holds; `None` when something is wrong with it, which is reported."""
    if not row["target_code"] and not row["equivalence"]:
        hint = "the target's code, and 'equivalent' or what else is so; or 'unmatched' where there is no counterpart"
        hint = hint if row["target_system"] else f"target_system, a name of codes/systems.csv; {hint}"
        rows.report("E409", "this row is still to be filled in", row.cells["target_code"].span, hint)
        return None
    known = [_known(rows, row, column, systems) for column in ("source_system", "target_system")]
    days = _dates(rows, row)
    return days if all(known) and days is not None and _complete(rows, row) else None


def _has(rows: Rows, row: Line, listed: Collection[str]) -> bool:
    """Whether the target's system has the code, where there is a list of the system's."""
    code = row["target_code"]
    if not code or row["equivalence"] in NO_TARGET or code in listed:
        return True
    # A spreadsheet takes the nought from a code that begins with one, so that is looked for first.
    same = [known for known in sorted(listed) if known.lstrip("0").upper() == code.lstrip("0").upper()]
    near = next(iter(same or get_close_matches(code, sorted(listed), 1, 0.75)), "")
    hint = f"did you mean {near!r}?" if near else f"one of {_some(listed)}"
    what = f"{row['target_system']} has no code {code!r}"
    rows.report("E402", what, row.cells["target_code"].span, hint)
    return False


def _some(listed: Iterable[str]) -> str:
    known = sorted(listed)
    return ", ".join(known[:12]) + (", …" if len(known) > 12 else "")


def _blanks(rows: Rows, row: Line, columns: Iterable[str]) -> None:
    for cell in [row.cells[column] for column in columns] if row.padded else ():
        if cell.padded:
            what = "there are blanks around this code; it is read without them"
            rows.report("E414", what, cell.span, "take them out", Severity.WARNING)


def _complete(rows: Rows, row: Line) -> bool:
    if row["equivalence"] not in EQUIVALENCES:
        hint = f"one of {', '.join(sorted(EQUIVALENCES))}"
        rows.report("E409", "this is no equivalence of FHIR's concept maps", row.cells["equivalence"].span, hint)
        return False
    if not row["source_code"]:
        rows.report("E409", "the row has no source code", row.cells["source_code"].span)
        return False
    if not row["target_code"] and row["equivalence"] not in NO_TARGET:
        hint = "a code that has no counterpart has the equivalence 'unmatched'"
        rows.report("E409", "the row has no target code", row.cells["target_code"].span, hint)
        return False
    return True


def load_list(file: str, text: str, systems: CodeSystems, *, name: str = "") -> tuple[CodeList, tuple[Diagnostic, ...]]:
    """One list of codes. What is wrong is left out of it, with a diagnostic."""
    rows = Rows(file, text, ("system", "code", "display"), ("from", "until"))
    found: dict[tuple[str, str], list[Member]] = {}
    stretches = _Stretches()
    for row in rows:
        key = (row["system"], row["code"])
        known, days = _known(rows, row, "system", systems), _dates(rows, row)
        if not row["code"]:
            rows.report("E409", "the row has no code", row.cells["code"].span)
        elif known and days is not None and stretches.add(rows, row, key, days, "code"):
            _blanks(rows, row, ("code",))
            found.setdefault(key, []).append(Member(*key, row["display"], *days))
    dated = any(member.since or member.until for same in found.values() for member in same)
    return CodeList(name or file, _tuples(found), dated), tuple(rows.diagnostics)


def load_headings(file: str, text: str) -> tuple[Mapping[str, Heading], tuple[Diagnostic, ...]]:
    """
    The headings of the record standard, by name, in the order of the file.

    A further column is a use case, and says of each heading how strongly it is demanded there.
    """
    header = ("heading", "title", "r4", "r4_display", "snomed", "snomed_display")
    rows = Rows(file, text, header, further=True)
    found: dict[str, Heading] = {}
    for row in rows:
        name, needs = row["heading"], {column: row[column] for column in row.columns if column not in header}
        wrong = next((column for column, need in needs.items() if need not in _NEEDS), None)
        if not _NAME.fullmatch(name) or not row["title"]:
            hint = "small letters, digits and '-' for the name"
            rows.report("E409", "a heading has a name and a title", row.span, hint)
        elif name in found:
            rows.report("E411", f"the heading {name!r} stands in the file already", row.cells["heading"].span)
        elif wrong is not None:
            rows.report("E409", "mandatory, required, optional, or nothing", row.cells[wrong].span)
        else:
            said = {column: need for column, need in needs.items() if need}
            found[name] = Heading(
                name, row["title"], row["r4"], row["r4_display"], row["snomed"], row["snomed_display"], said
            )
    return found, tuple(rows.diagnostics)


def _tuples(found: Mapping[_Key, list[_Value]]) -> dict[_Key, tuple[_Value, ...]]:
    return {key: tuple(values) for key, values in found.items()}
