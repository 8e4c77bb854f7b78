"""
What a catalogue is asked: a mapping's own tests, the conditions of routes, and what is known of a restricted patient.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import shipped
from mhbridge.errors import MappingError
from mhbridge.fhir.bundle import loads
from mhbridge.mapping.catalogue import load
from mhbridge.mapping.library import built_in
from mhbridge.model import MASKED, Envelope, Known, MessageState
from mhbridge.pipeline import intake, step
from mhbridge.testing.replaying import feed_of

HERE = Path(__file__).parent
NOW = datetime(2025, 3, 14, 12, tzinfo=UTC)
MESSAGE = (
    "MSH|^~\\&|PAS|ACME|GW|GW|20250314||ADT^A08|C1|P|2.4\rEVN|A08|20250101\rPID|||1^^^ACME||ASH|||2\r"
    "PV1|||||||||||||||||||V1^^^ACME\rNTE|||words"
)


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ("{gender: female, written_at: 2025-01-01, spell_id: V1, gp: absent, is_serious: 'false'}", []),
        ("{gender: male, spell_id: V1}", ["E511: gender is not what the test expects"]),
    ],
)
def test_check_runs_the_tests_of_a_mapping(tmp_path, expect, told) -> None:
    shutil.copytree(HERE / "small", tmp_path / "small")
    (tmp_path / "plain.hl7").write_text(MESSAGE)
    path = tmp_path / "small/suppliers/acme/note.yaml"
    path.write_text(f"{path.read_text()}tests: [{{message: plain.hl7, expect: {expect}}}]\n")
    found = load([tmp_path / "small"], only=True).check()
    assert [f"{d.code}: {d.message}" for d in found] == told


def test_a_route_may_use_functions_and_never_the_message() -> None:
    catalogue = load([HERE / "small"], only=True)
    earlier = catalogue.condition('before(written_at, written_at) or gender = "female"', "note")
    assert earlier({"written_at": "2025-01-01", "gender": "female"})
    assert not earlier({"written_at": "2025-01-01"})
    with pytest.raises(MappingError) as caught:
        catalogue.condition('message.sender = "PAS|ACME"', "note")
    assert caught.value.code == "E201"


def test_what_is_known_of_a_restricted_patient_is_withheld_and_not_routed() -> None:
    """A later event that says nothing of the sensitivity is as restricted as the one before (mapping language §8)."""
    feed = feed_of(shipped.catalogue(), "example-mental-health")
    body = (built_in("fixtures") / "example-mental-health/adt/a02-transfer.hl7").read_bytes()
    (taken,) = intake(Envelope(body, feed.supplier, feed.name, NOW, "file"), feed).messages
    open_outcome = step(taken, {}, NOW, feed)
    assert open_outcome.state is MessageState.DONE
    assert "address" in patient(open_outcome)
    known = {"encounter-event": Known({"sensitivity": "restricted", "address": MASKED})}
    outcome = step(taken, known, NOW, feed)
    assert (outcome.state, outcome.code, outcome.deliveries) == (MessageState.PARKED, "M740", ())
    assert "address" not in patient(outcome)
    assert step(taken, {"other": replace(known["encounter-event"], items={})}, NOW, feed).state is MessageState.DONE


def patient(outcome) -> dict[str, object]:
    entries = loads(outcome.documents[0].body)["entry"]
    return next(entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "Patient")
