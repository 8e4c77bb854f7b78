"""
Reads a FHIR ConceptMap (R4 or STU3, JSON) as a code table: text in, rows of a table or diagnostics out.

A table translates a code to one code. Whatever a ConceptMap says beyond that (two targets of one code, targets that
depend on something else, a code for all that it does not list) is an error with its place and never a choice: somebody
who knows the codes has to make it. This module must never open a file, and must never leave out a mapping in silence.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mhbridge.errors import Diagnostic, Span
from mhbridge.formats.json import scanning
from mhbridge.formats.json.reading import read
from mhbridge.mapping.codes import EQUIVALENCES, NO_TARGET, TABLE_COLUMNS, CodeSystems
from mhbridge.model import Severity

__all__ = ["read_concept_map", "table_text"]

_Place = tuple[str | int, ...]
Row = tuple[str, ...]


@dataclass(slots=True)
class _Said:
    """What was found so far, and what is wrong."""

    file: str
    text: str
    places: Mapping[_Place, tuple[int, int]]
    systems: CodeSystems
    rows: list[Row] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    #: (system, code) → where it stood first, and its row.
    seen: dict[tuple[str, str], tuple[Span, Row]] = field(default_factory=dict)

    def span(self, place: _Place) -> Span:
        start, end = self.places.get(place, (0, 1))
        return _span(self.file, self.text, start, end)

    def report(
        self, code: str, message: str, place: _Place, hint: str = "", severity: Severity = Severity.ERROR
    ) -> None:
        span = self.span(place)
        line = self.text.split("\n")[span.line - 1]
        self.diagnostics.append(Diagnostic(code, message, span, line.rstrip("\r"), hint, severity))


def read_concept_map(file: str, text: str, systems: CodeSystems) -> tuple[tuple[Row, ...], tuple[Diagnostic, ...]]:
    """
    The rows of the table that a ConceptMap is, in its order; none when it cannot be said whole.

    Args:
        file: its name as people are shown it.
        systems: to name the code systems of its URIs.
    """
    try:
        value = read(text)
    except scanning.Wrong as wrong:
        span = _span(file, text, wrong.at, wrong.at + 1)
        line = text.split("\n")[span.line - 1]
        return (), (Diagnostic("E580", f"this is not JSON: {wrong.message}", span, line.rstrip("\r")),)
    said = _Said(file, text, _places(text), systems)
    if not isinstance(value, dict) or value.get("resourceType") != "ConceptMap":
        said.report("E580", "this is no ConceptMap", ("resourceType",), "a FHIR resource in JSON")
        return (), tuple(said.diagnostics)
    groups = _list(said, value, "group", ())
    for number, group in enumerate(groups):
        _group(said, group, ("group", number))
    if not groups:
        said.report("E580", "it has no group, so it translates nothing", ("resourceType",))
    refused = any(diagnostic.severity is Severity.ERROR for diagnostic in said.diagnostics)
    return () if refused else tuple(said.rows), tuple(said.diagnostics)


def _group(said: _Said, group: Any, place: _Place) -> None:
    if not isinstance(group, dict):
        said.report("E580", "a group is an object", place)
        return
    source, target = (_system(said, group, key, place) for key in ("source", "target"))
    versions = str(group.get("sourceVersion", "")), str(group.get("targetVersion", ""))
    unmapped = group.get("unmapped")
    if isinstance(unmapped, dict):
        _unmapped(said, unmapped, (*place, "unmapped"))
    if source is None or target is None:
        return
    for number, element in enumerate(_list(said, group, "element", place)):
        at = (*place, "element", number)
        if not isinstance(element, dict) or not isinstance(element.get("code"), str) or not element["code"]:
            said.report("E580", "an element has a code", at)
            continue
        row = _element(said, element, at, (source, versions[0]), (target, versions[1]))
        if row is not None:
            _add(said, row, (*at, "code"))


def _element(
    said: _Said, element: Mapping[str, Any], place: _Place, source: tuple[str, str], target: tuple[str, str]
) -> Row | None:
    own = (*source, element["code"])
    targets = _list(said, element, "target", place)
    found: list[tuple[_Place, Mapping[str, Any], str]] = []
    nothing = ""
    for number, one in enumerate(targets):
        at = (*place, "target", number)
        # What R5 says instead must not pass for the default of STU3.
        readable = isinstance(one, dict) and "relationship" not in one
        equivalence = one.get("equivalence", "equivalent") if readable else ""
        if equivalence not in EQUIVALENCES:
            hint = f"one of {', '.join(sorted(EQUIVALENCES))}"
            if isinstance(one, dict) and "relationship" in one:
                hint = "this is a ConceptMap of FHIR R5; R4 and STU3 are read"
            said.report("E580", "a target says how it relates to the source", at, hint)
            return None
        if one.get("dependsOn") or one.get("product"):
            said.report("E582", "the target depends on, or produces, something besides the code", at)
            return None
        if equivalence in NO_TARGET:
            nothing = nothing or equivalence
        elif not isinstance(one.get("code"), str) or not one["code"]:
            said.report("E580", "a target has a code, or is unmatched", at)
            return None
        else:
            found.append((at, one, equivalence))
    if len(found) > 1:
        what = f"{len(found)} targets of one code, and a table has one"
        said.report("E581", what, found[1][0], "somebody who knows both code systems decides; the rest is not guessed")
        return None
    if not found:
        return (*own, *target, "", "", nothing or "unmatched")
    _, one, equivalence = found[0]
    return (*own, *target, one["code"], str(one.get("display", "")), equivalence)


def _add(said: _Said, row: Row, place: _Place) -> None:
    """Add a row; the same code again is the same row, or somebody has to decide."""
    key = row[0], row[2]
    before = said.seen.get(key)
    if before is None:
        said.seen[key] = said.span(place), row
        said.rows.append(row)
    elif before[1][3:6] != row[3:6]:
        what = f"the code has another target in line {before[0].line}"
        said.report("E581", what, place, "somebody who knows both code systems decides; the rest is not guessed")


def _unmapped(said: _Said, unmapped: Mapping[str, Any], place: _Place) -> None:
    mode = unmapped.get("mode")
    if mode == "provided":
        said.report(
            "E583",
            "codes that it does not list are to be kept, which the mapping says and not the table",
            place,
            "tables: {name: {file: …, unmapped: keep}}",
            Severity.WARNING,
        )
        return
    what = {
        "fixed": "one code for everything that is not listed would be a guess",
        "other-map": "codes that are not listed are in another ConceptMap, which is to be imported as well",
    }.get(str(mode), "what becomes of codes that are not listed is not understood")
    said.report("E582", what, place, "leave it out, and say in the mapping: unmapped: keep, omit or refuse")


def _system(said: _Said, group: Mapping[str, Any], key: str, place: _Place) -> str | None:
    uri = group.get(key)
    if not isinstance(uri, str) or not uri:
        said.report("E580", f"a group names the code system of its {key}", place)
        return None
    name = said.systems.named(uri)
    if name is None:
        hint = "give it a row in codes/systems.csv of the mappings, with this URI"
        said.report("E584", f"no code system has the URI of the {key}", (*place, key), hint)
    return name


def _list(said: _Said, holder: Mapping[str, Any], key: str, place: _Place) -> Sequence[Any]:
    found = holder.get(key, [])
    if isinstance(found, list):
        return found
    said.report("E580", f"{key!r} is a list", (*place, key))
    return []


def table_text(rows: Sequence[Row]) -> str:
    """Rows as the text of a table."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(TABLE_COLUMNS)
    writer.writerows(rows)
    return written.getvalue()


# --- places ------------------------------------------------------------------------------------------------


def _span(file: str, text: str, start: int, end: int) -> Span:
    def at(offset: int) -> tuple[int, int]:
        return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)

    return Span(file, *at(start), *at(end))


def _places(text: str) -> dict[_Place, tuple[int, int]]:
    """Where each value stands: of an object its brace, of anything else all of it."""
    found: dict[_Place, tuple[int, int]] = {}
    way: list[str | int] = []
    for kind, start, end in _named(text):
        if kind == "key":
            way[-1] = str(read(text[start:end]))
            continue
        if kind in "}]":
            way.pop()
        else:
            found.setdefault(tuple(way), (start, end))
            if kind in "{[":
                way.append("" if kind == "{" else 0)
                continue
        # A value has ended; in a list the next one follows.
        if way and isinstance(way[-1], int):
            way[-1] += 1
    return found


def _named(text: str) -> Iterator[tuple[str, int, int]]:
    for token in scanning.tokens(text):
        yield token.kind, token.start, token.end
