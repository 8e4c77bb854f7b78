"""
The format registry is the door: a CSV extract goes through the same document type and flow as HL7 v2, by a mapping
alone.
"""

from __future__ import annotations

import io
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mhbridge.errors import MalformedMessage
from mhbridge.fhir.bundle import loads
from mhbridge.mapping.catalogue import load
from mhbridge.model import Envelope, MessageState
from mhbridge.pipeline import Feed, intake, outcome_now, outcomes_of_file

NOW = datetime(2025, 3, 14, 12, tzinfo=UTC)
MAPPING = """\
mapping: acme/extract
document: note
authors: true
source:
  format: csv
  columns: [Spell, Written, Hospital No, Surname, Sex, Doctor, Summary, Diagnosis]
  dates: dd/mm/yyyy
tables: {sex: {file: sex.csv, unmapped: omit}}
items:
  spell_id:     '= identifier([Spell], "https://acme.example/Id/spell")'
  written_at:   = [Written]
  local_id:     '= identifier([Hospital No], "https://acme.example/Id/patient")'
  patient_name: = [Surname]
  gender:       = [Sex] | code(sex)
  gp:           = [Doctor]
  summary:      = [Summary]
  diagnoses:
    - $when: '[Diagnosis]'
      code: = [Diagnosis]
"""
HEADER = "Spell,Written,Hospital No,Surname,Sex,Doctor,Summary,Diagnosis\r\n"


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    shutil.copytree(Path(__file__).parent / "small", tmp_path / "small")
    (tmp_path / "small" / "suppliers" / "acme" / "extract.yaml").write_text(MAPPING)
    catalogue = load([tmp_path / "small"], only=True)
    assert catalogue.check() == []
    return Feed("acme", "acme/extract", (catalogue.mapping("acme/extract"),))


def test_a_row_is_a_message_and_becomes_a_document(feed: Feed) -> None:
    body = (
        HEADER
        + 'S1,14/03/2025,123,Invented,2,Dr Unreal,"Well, and\nhome",F32.2\r\nS2,15/03/2025,124,Madeup,9,Dr Unreal,,\r\n'
    )
    first, second = outcome_now(body.encode(), feed, NOW)
    assert (first.state, first.facts.place, second.facts.place) == (MessageState.DONE, "row 1", "row 2")
    assert dict(first.readings[0].items)["written_at"] == "2025-03-14"
    patient = next(
        e["resource"] for e in loads(first.documents[0].body)["entry"] if e["resource"]["resourceType"] == "Patient"
    )
    assert patient["gender"] == "female"
    assert "Well, and<br/>home" in first.documents[0].body.decode()
    assert {issue.code for issue in second.issues} == {"I602", "I611"}


def test_a_ragged_row_costs_itself(feed: Feed) -> None:
    body = HEADER + "S1,14/03/2025,123,A,2,Dr Unreal,x,\r\nS2,too,short\r\nS3,16/03/2025,125,C,1,Dr Unreal,z,\r\n"
    states = [outcome.state for outcome in outcome_now(body.encode(), feed, NOW)]
    assert states == [MessageState.DONE, MessageState.PARKED, MessageState.DONE]


def test_another_header_makes_the_whole_file_wait(feed: Feed) -> None:
    (outcome,) = outcome_now(b"Spell,Other\r\n1,2\r\n3,4\r\n", feed, NOW)
    assert (outcome.state, outcome.code) == (MessageState.PARKED, "M770")


def test_what_is_no_table_is_refused(feed: Feed) -> None:
    with pytest.raises(MalformedMessage):
        intake(Envelope(b"PK\x03\x04", "acme", "acme/extract", NOW, "file"), feed)


def test_a_file_without_rows_says_that_nothing_happened(feed: Feed) -> None:
    assert outcome_now(HEADER.encode(), feed, NOW) == []


def test_so_many_rows_at_once_are_refused_and_a_file_of_them_is_worked(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (HEADER + "".join(f"S{n},14/03/2025,{n},A,2,Dr Unreal,x,\r\n" for n in range(60))).encode()
    whole = outcome_now(body, feed, NOW)
    monkeypatch.setattr("mhbridge.pipeline.arriving._MOST", 50)
    with pytest.raises(MalformedMessage) as caught:
        outcome_now(body, feed, NOW)
    assert caught.value.code == "M778"
    assert list(outcomes_of_file(io.BytesIO(body), feed, NOW)) == whole
    assert list(outcomes_of_file(io.BytesIO(HEADER.encode()), feed, NOW)) == []
