"""
One bad value costs one value (design §4.3): every field of every fixture, replaced by something that it must not be.

Whatever is sent, the message is translated by the rules of its items, or waits for a person, or is refused, with a code
that is explained; nothing raises, no document that is not valid leaves, and no mandatory heading is missing from one
that is made. Here a few changes of each fixture, other ones in each; all of them with

    TEST_FAULTS=all python -m pytest tests/test_fault_isolation.py
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache, partial
from zlib import crc32

import pytest

from mhbridge.errors import MessageError, explanations
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.validate import default_validator
from mhbridge.mapping.library import built_in
from mhbridge.model import MessageState, Outcome, Severity
from mhbridge.pipeline import Feed
from mhbridge.testing.replaying import RECEIVED_AT, Case, cases, feed_of, outcomes_of
from shipped import catalogue

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
def feed(supplier: str) -> Feed:
    return feed_of(catalogue(), supplier)


def changed(case: Case) -> list[tuple[str, Callable[[], bytes]]]:
    """Each field (or cell, or leaf) replaced by each fault: what was done, for people, and what makes the bytes."""
    body = case.path.read_bytes()
    return list(_fields(body) if case.path.suffix == ".hl7" else _leaves(case, body))


def _fields(body: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    # Latin-1 keeps every byte of a message in whatever character set it is.
    lines = body.decode("latin-1").split("\r")
    separator = lines[0][3:4]

    def replaced(at: int, number: int, fault: str) -> bytes:
        fields = lines[at].split(separator)
        fields[number] = fault.encode().decode("latin-1")
        return "\r".join([*lines[:at], separator.join(fields), *lines[at + 1 :]]).encode("latin-1")

    for at, line in enumerate(lines):
        for number in range(2 if at == 0 else 1, line.count(separator) + 1):
            for name, fault in FAULTS.items():
                yield f"{line[:3]} in line {at + 1}, field {number}: {name}", partial(replaced, at, number, fault)


def _leaves(case: Case, body: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    mapping = catalogue().mapping(f"{case.supplier}/{case.feed}")
    try:
        messages = [message for message, _ in mapping.format.messages(body, [mapping.source])]
    except MessageError:
        return
    for message in messages:
        for cell, mask in [] if isinstance(message, MessageError) else mapping.format.populated(message):
            first = (mask & -mask).bit_length() - 1
            for name, fault in FAULTS.items():
                yield f"a leaf: {name}", partial(mapping.format.altered, message, cell, first, fault, mapping.source)


def few(case: Case) -> list[tuple[str, Callable[[], bytes]]]:
    """Some of the changes, spread over all of them; others in every fixture."""
    every_one = changed(case)
    every = len(every_one) // FEW + 1 if FEW else 1
    return every_one[crc32(case.name.encode()) % every :: every]


def demanded(outcome: Outcome) -> Iterator[tuple[set[str], set[str]]]:
    """For each document: the titles of its mandatory headings, and those that it has."""
    for document, reading in zip(outcome.documents, outcome.readings, strict=False):
        if document.bundle == "document":
            build = catalogue().mapping(reading.mapping).builds[document.target]
            sections = [heading.section for heading in build.sections]
            bundle = loads(document.body)
            written = bundle["entry"][0]["resource"].get("section", ())
            yield {one.title for one in sections if one.empty is not None}, {one["title"] for one in written}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_bad_value_costs_one_value(case: Case) -> None:
    validator = default_validator()
    known = explanations()
    own = feed(case.supplier)
    for what, made in few(case):
        outcomes, answered = outcomes_of(made(), own, RECEIVED_AT)
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
            for mandatory, written in demanded(outcome):
                assert mandatory <= written, what


def test_a_document_that_is_not_valid_would_be_noticed() -> None:
    """The control: the validator that the test relies on does find what is wrong."""
    wrong = {"resourceType": "Bundle", "type": "document", "entry": [{"resource": {"resourceType": "Encounter"}}]}
    assert any(issue.severity is Severity.ERROR for issue in default_validator()(wrong))
