"""What a letter says of what its record standard asks for, and what of it is missing."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from click.testing import CliRunner

import shipped
from mhbridge.cli.completing import completeness as command
from mhbridge.mapping.completeness import Said, Tally, completeness
from mhbridge.mapping.library import built_in
from mhbridge.mapping.packs import DocumentType
from mhbridge.model import ABSENT, DELETED, MASKED, UNKNOWN_ERROR

LETTER = "mental-health-inpatient-discharge"
FEED = "example-mental-health/discharge-letter"
CODED = {"coding": [{"system": "snomed", "code": "1"}], "text": "x"}
WORDS = {"text": "x"}


@cache
def pack() -> DocumentType:
    found = shipped.catalogue().document(LETTER)
    assert found is not None
    return found


SAID = [
    ("a text", "clinical_summary", "x", Said.PRESENT),
    ("nothing", "clinical_summary", ABSENT, Said.ABSENT),
    ("nothing at all", "clinical_summary", None, Said.ABSENT),
    ("what was deleted", "clinical_summary", DELETED, Said.ABSENT),
    ("what is withheld", "clinical_summary", MASKED, Said.WITHHELD),
    ("what would not convert", "clinical_summary", UNKNOWN_ERROR, Said.UNREADABLE),
    ("a code", "reason_for_admission", CODED, Said.PRESENT),
    ("words where there could be a code", "reason_for_admission", WORDS, Said.TEXT),
    ("a code system without a code", "reason_for_admission", {"coding": [{"system": "snomed"}]}, Said.TEXT),
    ("a list of nothing", "allergies", [], Said.ABSENT),
    ("a list of what was not there", "allergies", [ABSENT], Said.ABSENT),
    ("a list, in words", "allergies", [{"code": WORDS}], Said.TEXT),
    ("a list of which one is coded", "allergies", [{"code": WORDS}, {"code": CODED}], Said.PRESENT),
]


@pytest.mark.parametrize(("what", "item", "value", "said"), SAID, ids=[one[0] for one in SAID])
def test_an_element_is_said_in_one_way(what: str, item: str, value: Any, said: Said) -> None:
    found = {one.item: one for one in completeness(pack(), {item: value}).elements}
    assert found[item].said is said, what
    assert {one.said for name, one in found.items() if name != item} == {Said.ABSENT}


def test_a_heading_is_as_strong_as_its_strongest_and_as_well_said_as_its_best_element() -> None:
    found = completeness(pack(), {"reason_for_admission": WORDS, "admission_method": MASKED})
    headings = {one.heading: (one.need, one.said) for one in found.headings}
    assert headings["admission-details"] == ("required", Said.TEXT)
    assert headings["patient-demographics"] == ("mandatory", Said.ABSENT)
    assert headings["procedures"] == ("optional", Said.ABSENT)
    # Each of its elements is only required, since one of them is enough; the heading is mandatory.
    assert headings["allergies-and-adverse-reaction"] == ("mandatory", Said.ABSENT)


def test_what_is_carried_elsewhere_than_under_a_heading_is_not_asked_for() -> None:
    assert "act" not in {one.item for one in completeness(pack(), {}).elements}


def test_nothing_said_is_nothing_complete_and_all_said_is_all() -> None:
    nothing, everything = Tally(), Tally()
    nothing.add(completeness(pack(), {}))
    everything.add(completeness(pack(), dict.fromkeys(pack().items, "x")))
    assert nothing.percent("mandatory") == nothing.percent("required") == 0.0
    assert everything.percent("mandatory") == everything.percent("required") == 100.0


def run(*arguments: str) -> Any:
    made = CliRunner().invoke(command, arguments, standalone_mode=False)
    if made.exception is not None:
        raise made.exception
    return made


def test_the_figures_of_a_feed() -> None:
    minimal = str(built_in("fixtures") / FEED / "minimal.hl7")
    found = json.loads(run(FEED, minimal, "--json").stdout)
    said = {one["heading"]: one["said"] for one in found["headings"]}
    assert said["allergies-and-adverse-reaction"] == {"absent": 1}
    assert said["patient-demographics"] == {"present": 1}
    assert found["documents"] == 1
    assert 0 < found["mandatory_percent"] < 100
    made = run(FEED, minimal, "--elements")
    assert "Allergies and adverse reactions" in made.stdout
    assert "  Date of birth" in made.stdout
    # Whose letter it is is nobody's business here.
    assert "BAREBONES" not in (made.stdout + made.stderr).upper()


@pytest.mark.parametrize(("percent", "code"), [("10", 0), ("99", 1)])
def test_a_share_may_be_asked_for(percent: str, code: int) -> None:
    assert run(FEED, str(built_in("fixtures") / FEED / "minimal.hl7"), "--fail-under", percent).return_value == code
