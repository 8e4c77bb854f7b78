"""
No message breaks the flow: whatever is done to a real one, it is malformed, parked, or gives a valid Bundle in which
every reference leads somewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import shipped
from mhbridge.errors import MalformedMessage
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.validate import default_validator
from mhbridge.mapping.library import built_in
from mhbridge.model import Envelope, MessageState, Outcome, Severity
from mhbridge.pipeline import Feed, intake, step
from mhbridge.testing.replaying import RECEIVED_AT, cases, feed_of

FIXTURES = [case for case in cases(built_in("fixtures")) if case.path.suffix == ".hl7"]


@cache
def feed(supplier: str) -> Feed:
    return feed_of(shipped.catalogue(), supplier)


def worked(supplier: str, body: bytes) -> list[Outcome]:
    own = feed(supplier)
    try:
        taken = intake(Envelope(body, supplier, own.name, RECEIVED_AT, "file"), own)
    except MalformedMessage:
        return []
    return [step(message, {}, RECEIVED_AT, own) for message in taken.messages]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def dangling(bundle: dict[str, Any]) -> set[str]:
    return set(references(bundle)) - {entry["fullUrl"] for entry in bundle["entry"]}


def inspect(outcomes: list[Outcome]) -> int:
    for outcome in outcomes:
        for document in outcome.documents:
            bundle = loads(document.body)
            assert dangling(bundle) == set()
            assert len({entry["fullUrl"] for entry in bundle["entry"]}) == len(bundle["entry"])
            if outcome.state is not MessageState.PARKED:
                assert not [i for i in default_validator()(bundle) if i.severity is Severity.ERROR]
        assert outcome.state in (MessageState.DONE, MessageState.PARKED, MessageState.FILTERED)
    return len(outcomes)


@pytest.mark.parametrize("case", FIXTURES, ids=lambda case: case.name)
def test_every_reference_of_a_fixture_leads_somewhere(case) -> None:
    assert inspect(worked(case.supplier, case.path.read_bytes())) > 0


def test_a_dangling_reference_would_be_found() -> None:
    """The control."""
    assert dangling({"entry": [{"fullUrl": "urn:uuid:1", "resource": {"subject": {"reference": "urn:uuid:2"}}}]})


cells = st.sampled_from(
    [
        "",
        '""',
        "~",
        "^^^",
        "&",
        "\\",
        "\\X41\\",
        "\\X",
        "1",
        "-1",
        "0",
        "A",
        "20250230",
        "2025",
        "999",
        "\x00",
        "é",
        "|",
    ]
) | st.text(st.characters(codec="utf-8"), max_size=20)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    case = draw(st.sampled_from(FIXTURES))
    body = case.path.read_bytes()
    lines = body.split(b"\r")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["field", "drop", "twice", "move", "bytes", "cut"])):
            case "field":
                parts = lines[at].split(b"|")
                parts[draw(st.integers(0, len(parts) - 1))] = draw(cells).encode("utf-8", "replace")
                lines[at] = b"|".join(parts)
            case "drop":
                del lines[at]
            case "twice":
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            case "bytes":
                line = bytearray(lines[at])
                for _ in range(min(3, len(line))):
                    line[draw(st.integers(0, len(line) - 1))] = draw(st.integers(0, 255))
                lines[at] = bytes(line)
            case _:
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
        lines = lines or [b""]
    return case.supplier, b"\r".join(lines)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(damaged())
def test_no_damage_raises_or_sends_what_is_not_valid(given_: tuple[str, bytes]) -> None:
    inspect(worked(*given_))
