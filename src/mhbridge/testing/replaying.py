"""
Golden comparison: every fixture through the pure flow, and what came out beside what was expected.

A fixture is `fixtures/<supplier>/<feed>/<case>.<ext>`; beside it lie `<case>.r4.json` (the documents),
`<case>.report.json` (state, code and issues) and, for formats that answer in kind, `<case>.ack.hl7`. Where there is a
`<case>.beside.json`, what is made beside its letters is compared, too. The clock stands still, so the same fixture
gives the same bytes on every machine.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mhbridge.errors import MessageError
from mhbridge.fhir.bundle import dumps, loads
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.model import Answer, Issue, LeafState, Ledger, Outcome, Severity, Verdict
from mhbridge.pipeline import Feed, Route, answer, outcome_now
from mhbridge.testing.differing import NOTHING, Difference, json_differences, text_differences

__all__ = [
    "RECEIVED_AT",
    "Case",
    "cases",
    "compare",
    "feed_of",
    "golden_files",
    "ledger_summary",
    "outcomes_of",
    "replay",
    "with_extracts",
]

#: When every fixture is received.
RECEIVED_AT: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
#: The name this gateway has in golden answers.
NAME: Final = "mhbridge"
_SOURCES: Final = (".hl7", ".csv", ".json", ".ndjson", ".xml", ".mime", ".zip")
#: What lies beside a message: the documents, the report, the answer in kind.
_GOLDEN: Final = ("r4.json", "report.json", "ack.hl7")
#: What is made beside letters. It is asked for by a file of that name, be it empty.
_BESIDE: Final = "beside.json"
#: Which of several segments or repetitions, in the path of a leaf.
_PLACE: Final = re.compile(r"(?<!^)\[\d+\]")


@dataclass(frozen=True, slots=True)
class Case:
    """One fixture: whose it is and where it lies."""

    supplier: str
    feed: str
    path: Path

    @property
    def name(self) -> str:
        """`supplier/feed/file`."""
        return f"{self.supplier}/{self.feed}/{self.path.name}"


def cases(root: Path) -> Iterator[Case]:
    """All fixtures below a folder, in order of their names."""
    for path in sorted(root.glob("*/*/*")):
        if path.suffix.lower() in _SOURCES and not path.name.endswith(
            tuple(f".{kind}" for kind in (*_GOLDEN, _BESIDE))
        ):
            yield Case(path.parent.parent.name, path.parent.name, path)


def feed_of(catalogue: Catalogue, supplier: str, name: str = "replay") -> Feed:
    """A feed of all of a supplier's mappings that sends every document to one place."""
    mappings = tuple(catalogue.mapping(mapping) for mapping in catalogue.feeds(supplier))
    documents = frozenset(mapping.document.name for mapping in mappings)
    return Feed(supplier, f"{supplier}/{name}", mappings, (Route(documents, ("anywhere",)),), live=False)


def with_extracts(feed: Feed, catalogue: Catalogue, documents: Collection[str] | None = None) -> Feed:
    """
    A feed that makes what may be made beside letters, too, and sends it to the same place.

    Args:
        documents: of these types alone; `None`: of all.
    """
    extracts = catalogue.extracts(feed.mappings, documents)
    made = frozenset(one.document.name for several in extracts.values() for one in several)
    return replace(feed, extracts=extracts, routes=(*feed.routes, Route(made, ("beside",))))


def outcomes_of(body: bytes, feed: Feed, now: datetime) -> tuple[list[Outcome], Answer]:
    """What becomes of an envelope for which nothing came before."""
    try:
        outcomes = outcome_now(body, feed, now)
    except MessageError as error:
        issue = Issue(error.code, severity=Severity.ERROR, text=error.message, path=error.path)
        return [], Answer(Verdict.REJECTED, error.message, now, error.code, (issue,))
    return outcomes, answer(outcomes, feed, now)


def replay(case: Case, catalogue: Catalogue, feed: Feed | None = None) -> Mapping[str, bytes]:
    """What a fixture gives: file name → bytes of the golden files that should lie beside it."""
    body = case.path.read_bytes()
    feed = feed or feed_of(catalogue, case.supplier)
    outcomes, answered = outcomes_of(body, feed, RECEIVED_AT)
    stem = case.path.stem
    documents = [loads(document.body) for outcome in outcomes for document in outcome.documents]
    made: dict[str, bytes] = {}
    if documents:
        made[f"{stem}.r4.json"] = dumps(documents[0] if len(documents) == 1 else documents, pretty=True)
    if (case.path.parent / f"{stem}.{_BESIDE}").is_file():
        beside = outcomes_of(body, with_extracts(feed, catalogue), RECEIVED_AT)[0]
        types = {mapping.document.name for mapping in feed.mappings}
        made[f"{stem}.{_BESIDE}"] = dumps(
            [loads(one.body) for outcome in beside for one in outcome.documents if one.type not in types], pretty=True
        )
    report = {
        "answer": {"verdict": answered.verdict.value, "code": answered.code},
        "messages": [_report(o) for o in outcomes],
    }
    made[f"{stem}.report.json"] = dumps(report, pretty=True)
    # A supplier may send several formats; each is answered in its own kind.
    own = [mapping for mapping in feed.mappings if mapping.name == f"{case.supplier}/{case.feed}"]
    formats = [mapping.format for mapping in (*own, *feed.mappings)]
    acknowledgement = formats[0].acknowledge(body, answered, name=NAME) if formats else b""
    if acknowledgement and case.path.suffix.lower() == ".hl7":
        made[f"{stem}.ack.hl7"] = acknowledgement
    return made


def _report(outcome: Outcome) -> dict[str, Any]:
    return {
        "kind": outcome.facts.kind,
        "state": outcome.state.value,
        "code": outcome.code,
        "act": [reading.act.value for reading in outcome.readings],
        "restricted": any(reading.restricted for reading in outcome.readings),
        "documents": [document.type for document in outcome.documents],
        "issues": [_issue(issue) for issue in outcome.issues],
        "ledger": ledger_summary(outcome.ledger),
    }


def ledger_summary(ledger: Ledger) -> dict[str, Any]:
    """
    The field ledger in few lines: how many leaves are in each state, and of those to be looked at the paths, each with
    how many leaves are like it.
    """
    found: dict[str, Any] = {state.value: count for state, count in ledger.counts.items() if count}
    lists = {
        LeafState.FAILED: ledger.failed,
        LeafState.PASSED_OVER: ledger.passed_over,
        LeafState.UNMAPPED: ledger.unmapped,
    }
    for state, paths in lists.items():
        if paths:
            found[state.value] = dict(sorted(Counter(_PLACE.sub("", path) for path in paths).items()))
    if ledger.not_written:
        found["not written"] = list(ledger.not_written)
    return found


def _issue(issue: Issue) -> dict[str, str]:
    """An issue without the place in the mapping, which moves with every edit."""
    found = {
        "code": issue.code,
        "severity": issue.severity.value,
        "text": issue.text,
        "path": issue.path,
        "item": issue.item,
    }
    return {key: value for key, value in found.items() if value}


def golden_files(path: Path, made: Mapping[str, bytes]) -> list[Path]:
    """Write the golden files beside a message, and take away those that it does not give any more."""
    written: list[Path] = []
    for kind in (*_GOLDEN, _BESIDE):
        golden = path.parent / f"{path.stem}.{kind}"
        if golden.name in made:
            golden.write_bytes(made[golden.name])
            written.append(golden)
        elif golden.is_file():
            golden.unlink()
    return written


def compare(case: Case, made: Mapping[str, bytes]) -> list[Difference]:
    """What differs from the golden files; empty when all is as expected."""
    found: list[Difference] = []
    folder = case.path.parent
    for name, body in made.items():
        golden = folder / name
        if not golden.is_file() or not golden.stat().st_size:
            found.append(Difference(name, "the file", NOTHING, "a golden file; --update writes it"))
        elif golden.read_bytes() != body:
            old = golden.read_bytes()
            of_json = name.endswith(".json")
            try:
                before = loads(old) if of_json else None
            except MessageError as error:
                found.append(Difference(name, "the file", "JSON", error.message))
                continue
            own = list(json_differences(name, before, loads(body)) if of_json else text_differences(name, old, body))
            found += own or [Difference(name, "the file", "the same content", "it is written differently")]
    for kind in (*_GOLDEN, _BESIDE):
        name = f"{case.path.stem}.{kind}"
        if name not in made and (folder / name).is_file():
            found.append(Difference(name, "the file", "a golden file", NOTHING))
    return found
