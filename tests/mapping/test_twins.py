"""
The compiler and its slow twin say the same of every message: same items, issues and field ledger, same document, byte
for byte.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from side_by_side import NOW, compare, twins

import shipped
from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.mapping.library import built_in
from mhbridge.testing.replaying import cases

SMALL = Path(__file__).parent / "small"


# Texts that are likely to be taken for something: deletes, separators, dates, codes, markup.
pieces = st.sampled_from(
    ["", '""', "1", "2", "9", "A", "X", "20250314", "20250230", "202510260130", "2025", "ACME", "NHS", "I10", "S", "Y"]
) | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="|^~\\&"), max_size=12)
components = st.lists(pieces, min_size=1, max_size=6).map("^".join)
fields = st.lists(components, min_size=1, max_size=3).map("~".join)


def segment(name: str, numbers: list[int], most: int) -> st.SearchStrategy[str]:
    """A segment of `most` fields of which those in `numbers` hold something."""

    def join(values: list[str]) -> str:
        cells = [""] * (most + 1)
        for number, value in zip(numbers, values, strict=True):
            cells[number] = value
        return "|".join([name, *cells[1:]])

    return st.lists(fields, min_size=len(numbers), max_size=len(numbers)).map(join)


messages = st.tuples(
    st.just("MSH|^~\\&|PAS|ACME|GW|GW|20250314103000||ADT^A08|C1|P|2.4|||||||UNICODE UTF-8"),
    segment("EVN", [2, 6], 6),
    segment("PID", [3, 5, 8], 8),
    segment("PD1", [4], 4),
    segment("PV1", [16, 19], 19),
    *[segment("DG1", [3, 4, 5, 6, 16], 16)] * 3,
    *[segment("NTE", [3], 3)] * 2,
).map("\r".join)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages)
def test_the_twins_agree_on_generated_messages(message: str) -> None:
    assert compare(SMALL, "acme/note", message.encode()) == 1


FIXTURES = [case for case in cases(built_in("fixtures")) if case.path.suffix == ".hl7"]


@pytest.mark.parametrize("case", FIXTURES, ids=lambda case: case.name)
def test_the_twins_agree_on_every_fixture(case) -> None:
    names = shipped.catalogue().feeds(case.supplier)
    assert sum(compare(built_in("mappings"), name, case.path.read_bytes()) for name in names) >= 0
    assert names


OTHERS = [case for case in cases(built_in("fixtures")) if case.path.suffix in (".csv", ".mime")]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.name)
def test_the_twins_agree_on_tables_and_documents(case) -> None:
    with suppress(MalformedMessage):
        assert compare(built_in("mappings"), f"{case.supplier}/{case.feed}", case.path.read_bytes()) >= 0


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_twins_agree_on_damaged_fixtures(data) -> None:
    """A field of a real message replaced by something else: every rule about bad values is met somewhere."""
    case = data.draw(st.sampled_from(FIXTURES))
    lines = case.path.read_bytes().decode("utf-8", "replace").replace("\ufffd", "?").split("\r")
    line = data.draw(st.integers(1, max(1, len(lines) - 2)))
    cells = lines[line].split("|")
    if len(cells) < 2:
        return
    cells[data.draw(st.integers(1, len(cells) - 1))] = data.draw(fields)
    lines[line] = "|".join(cells)
    for name in shipped.catalogue().feeds(case.supplier):
        compare(built_in("mappings"), name, "\r".join(lines).encode())


def test_a_difference_would_be_found() -> None:
    """The control: a twin that forgets the rule of `or` does not pass."""
    compiled, walked = twins(SMALL, "acme/note")
    body = b"MSH|^~\\&|P|ACME|||20250314||ADT^A08|1|P|2.4\rEVN|A08|20250101\rPV1" + b"|" * 19 + b"V1^^^ACME"
    message, _ = next(iter(compiled.format.messages(body, [compiled.source])))
    assert not isinstance(message, MessageError)
    reading = walked.read(message, NOW)
    broken = {**reading.items, "summary": "something else"}  # what a forgotten branch would leave
    assert compiled.build(reading, reading.items, NOW).json() != walked.build(reading, broken, NOW).json()
