"""
The published examples of the NHS ITK's HL7 v2, by the mapping that keeps to the ITK.

They are no fixtures, because they have no licence: `hl7v2-nhs/` lies in the folder `data` beside the corpus that
TEST_CORPUS names. They know the patient by the NHS number alone, which the ITK allows and the hospital of the fixtures
does not; so the mapping here is the hospital's with the one word changed that its comment names. All of them are about
one patient whose NHS number is one digit ten times, so all wait for a person; with a number of the 999 range each comes
to what it deserves.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import shipped
from mhbridge.fhir.bundle import loads
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, built_in
from mhbridge.model import Answer, Outcome
from mhbridge.pipeline import Feed
from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of

corpus = os.environ.get("TEST_CORPUS", "")
folder = Path(corpus).parent / "data" / "hl7v2-nhs"
pytestmark = pytest.mark.skipif(
    not corpus or not folder.is_dir(), reason="TEST_CORPUS names no corpus beside which data/hl7v2-nhs lies"
)

THEIRS, OURS = b"3333333333", b"9990020981"

#: name → (state, code, items with issues) once the NHS number is one that can be.
VERDICTS = {
    "A01_example.txt": ("done", "", {"birth_date"}),  # a time of birth, which a date cannot hold
    "A03_example.txt": ("done", "", {"birth_date", "discharge_method"}),  # PV1-36 is 3, of a list that nobody names
    "A05_Example.txt": ("done", "", {"birth_date", "specialty"}),  # 500 is in no list of UK Core
    "A28_Example.txt": ("parked", "I601", {"birth_date"}),  # the month 13
    "tie_ADT_A31.hl7": ("parked", "I601", {"birth_date"}),  # the same
    "tie_ADT_A03.hl7": ("done", "", {"birth_date", "discharge_method", "specialty"}),  # a destination in PV1-36
}
#: What nothing can be read of: the header is broken over two lines.
REFUSED = {"DHCW-Example-Pathology-Report-HL7v2ORU.txt": "M702"}


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Feed:
    mappings = tmp_path_factory.mktemp("itk") / "mappings"
    file = "suppliers/example-acute/adt.yaml"
    (mappings / file).parent.mkdir(parents=True)
    text = (built_in("mappings") / file).read_text("utf-8")
    assert '[4="EXAC"]' in text
    (mappings / file).write_text(text.replace('[4="EXAC"]', '[4="NHS"]'), "utf-8")
    return feed_of(Catalogue(Library([mappings, built_in("mappings")])), "example-acute")


def read(feed: Feed, name: str, number: bytes) -> tuple[list[Outcome], Answer]:
    return outcomes_of((folder / name).read_bytes().replace(THEIRS, number), feed, RECEIVED_AT)


@pytest.mark.parametrize(("name", "expected"), VERDICTS.items(), ids=list(VERDICTS))
def test_each_example_comes_to_what_it_deserves(feed: Feed, name: str, expected: tuple[str, str, set[str]]) -> None:
    (outcome,), _ = read(feed, name, OURS)
    state, code, items = expected
    assert (outcome.state.value, outcome.code) == (state, code)
    assert {issue.item for issue in outcome.issues if issue.item and issue.code != "I604"} == items
    assert bool(outcome.documents) is (state == "done")


@pytest.mark.parametrize("name", VERDICTS)
def test_as_published_its_nhs_number_is_nobodys(feed: Feed, name: str) -> None:
    (outcome,), _ = read(feed, name, THEIRS)
    assert (outcome.state.value, outcome.code) == ("parked", "I601")
    assert "nhs_number" in {issue.item for issue in outcome.issues}


def test_the_hospital_itself_asks_for_its_own_number() -> None:
    """The control: only the word that was changed makes these messages the hospital's."""
    hospital = feed_of(shipped.catalogue(), "example-acute")
    (outcome,), _ = read(hospital, "A01_example.txt", OURS)
    assert (outcome.state.value, outcome.code) == ("parked", "M722")


@pytest.mark.parametrize(("name", "code"), REFUSED.items(), ids=list(REFUSED))
def test_what_cannot_be_read_is_refused(feed: Feed, name: str, code: str) -> None:
    outcomes, answer = read(feed, name, OURS)
    assert (outcomes, answer.code) == ([], code)


def test_no_example_is_left_out() -> None:
    found = {path.name for path in folder.iterdir()} - {"README.txt"}
    assert found == VERDICTS.keys() | REFUSED.keys()


def test_the_ward_is_the_room_and_the_consultant_has_a_gmc_number(feed: Feed) -> None:
    (outcome,), _ = read(feed, "A03_example.txt", OURS)
    bundle = loads(outcome.documents[0].body)
    (encounter,) = (e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Encounter")
    assert [one["location"].get("display") for one in encounter["location"]] == ["OBS1", "BAY2-6", None]
    people = {one["individual"]["identifier"]["system"].rsplit("/", 1)[1] for one in encounter["participant"]}
    assert people == {"gmc-number", "gmp-number"}
