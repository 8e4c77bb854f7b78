"""
One bad value costs one value (design §4.3): every field of every fixture, replaced by something that it must not be.

Whatever is sent, the message is translated by the rules of its items, or waits for a person, or is refused, with a code
that is explained; nothing raises, no document that is not valid leaves, and no mandatory heading is missing from one
that is made. Here a few changes of each fixture, other ones in each; all of them with

    TEST_FAULTS=all python -m pytest tests/test_fault_isolation.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from itertools import islice
from zlib import crc32

import pytest

from mhbridge.errors import MessageError, explanations
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.validate import default_validator
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, built_in
from mhbridge.model import MessageState, Outcome, Severity
from mhbridge.pipeline import Feed
from mhbridge.testing.replaying import RECEIVED_AT, Case, cases, feed_of, outcomes_of

CASES = list(cases(built_in("fixtures")))
#: Changes of a fixture that are tried, unless all are.
FEW = 0 if os.environ.get("TEST_FAULTS") == "all" else 12

FAULTS = {
    "no such day": "20250230",
    "no date": "the day after",
    "a date in another order": "14/03/2025",
    "no such code": "ZZ9",
    "a code with blanks": "two words",
    "very long": "x" * 70_000,
    "a very large number": "9" * 400,
    "a negative number": "-1",
    "empty": "",
    "deleted": '""',
    "one quote": '"',
    "blanks": "   ",
    "a bell": "a\x07b",
    "a NUL": "a\x00b",
    "more components": "a^b^c^d^e^f^g^h^i^j^k^l^m^n^o",
    "subcomponents": "a&b&c&d^e&f",
    "repetitions": "a~b~c~~d",
    "separators alone": "^^^&&~~^",
    "half an escape": "a\\b\\",
    "an escape of bytes": "\\XFF00\\",
    "letters beyond the first plane": "\U0001f600\u202e\u0300",
    "markup": "<script>alert(1)</script><b>",
    "a formula": "=1+1",
}


@cache
def feed(supplier: str) -> tuple[Catalogue, Feed]:
    catalogue = Catalogue(Library([built_in("mappings")]))
    return catalogue, feed_of(catalogue, supplier)


def changed(case: Case) -> Iterator[tuple[str, bytes]]:
    """Each field (or cell) replaced by each fault: what was done, for people, and the bytes."""
    body = case.path.read_bytes()
    if case.path.suffix in (".csv", ".mime"):
        yield from _rows(case, body)
        return
    # Latin-1 keeps every byte of a message in whatever character set it is.
    lines = body.decode("latin-1").split("\r")
    separator = lines[0][3:4]
    for at, line in enumerate(lines):
        fields = line.split(separator)
        for number in range(2 if at == 0 else 1, len(fields)):
            for name, fault in FAULTS.items():
                other = [*fields[:number], fault.encode().decode("latin-1"), *fields[number + 1 :]]
                text = "\r".join([*lines[:at], separator.join(other), *lines[at + 1 :]])
                yield f"{fields[0]} in line {at + 1}, field {number}: {name}", text.encode("latin-1")


def _rows(case: Case, body: bytes) -> Iterator[tuple[str, bytes]]:
    mapping = feed(case.supplier)[0].mapping(f"{case.supplier}/{case.feed}")
    try:
        rows = [row for row, _ in mapping.format.messages(body, [mapping.source])]
    except MessageError:
        return
    for row in rows:
        for cell, mask in [] if isinstance(row, MessageError) else mapping.format.populated(row):
            first = (mask & -mask).bit_length() - 1
            for name, fault in FAULTS.items():
                yield f"a cell: {name}", mapping.format.altered(row, cell, first, fault, mapping.source)


def few(case: Case) -> list[tuple[str, bytes]]:
    """Some of the changes, spread over all of them; others in every fixture."""
    every = sum(1 for _ in changed(case)) // FEW + 1 if FEW else 1
    return list(islice(changed(case), crc32(case.name.encode()) % every, None, every))


def demanded(outcome: Outcome, supplier: str) -> Iterator[tuple[set[str], set[str]]]:
    """For each document: the titles of its mandatory headings, and those that it has."""
    catalogue = feed(supplier)[0]
    for document, reading in zip(outcome.documents, outcome.readings, strict=False):
        if document.bundle == "document":
            build = catalogue.mapping(reading.mapping).builds[document.target]
            sections = [heading.section for heading in build.sections]
            bundle = loads(document.body)
            written = bundle["entry"][0]["resource"].get("section", ())
            yield {one.title for one in sections if one.empty is not None}, {one["title"] for one in written}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_bad_value_costs_one_value(case: Case) -> None:
    validator = default_validator()
    known = explanations()
    own = feed(case.supplier)[1]
    for what, body in few(case):
        outcomes, answered = outcomes_of(body, own, RECEIVED_AT)
        assert outcomes or answered.code in known, what
        for outcome in outcomes:
            codes = {outcome.code, *(issue.code for issue in outcome.issues)} - {""}
            assert codes <= known.keys(), what
            assert outcome.state in (MessageState.DONE, MessageState.PARKED, MessageState.FILTERED), what
            assert bool(outcome.code) == (outcome.state is not MessageState.DONE), what
            leaving = {planned.document for planned in outcome.deliveries}
            for at, document in enumerate(outcome.documents):
                errors = [i for i in validator(loads(document.body)) if i.severity is Severity.ERROR]
                assert not errors or at not in leaving, what
            for mandatory, written in demanded(outcome, case.supplier):
                assert mandatory <= written, what


def test_a_document_that_is_not_valid_would_be_noticed() -> None:
    """The control: the validator that the test relies on does find what is wrong."""
    wrong = {"resourceType": "Bundle", "type": "document", "entry": [{"resource": {"resourceType": "Encounter"}}]}
    assert any(issue.severity is Severity.ERROR for issue in default_validator()(wrong))
