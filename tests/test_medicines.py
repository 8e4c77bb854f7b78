"""
Medicines at a transition of care: what changed is said first and whole, and reaches who does not get the letter.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from mhbridge.fhir.bundle import loads
from mhbridge.mapping.library import built_in

BRIEF = "Changes to medicines, in brief"
#: Statuses of a medicine in the order in which a reader meets them.
ORDER = ["Stopped", "Added", "Amended", "On-hold", "Continued", "Not said"]


@cache
def letters() -> dict[str, dict[str, Any]]:
    """Every letter of every fixture that names a medicine."""
    found = {}
    for path in sorted(built_in("fixtures").glob("*/*/*.r4.json")):
        made = loads(path.read_bytes())
        for number, bundle in enumerate(made if isinstance(made, list) else [made]):
            resources = [entry["resource"] for entry in bundle["entry"]]
            if resources[0]["resourceType"] == "Composition" and statements(resources):
                found[f"{path.parent.parent.name}/{path.parent.name}/{path.stem}-{number}"] = bundle
    return found


def statements(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in resources if one["resourceType"] == "MedicationStatement"]


def section(bundle: dict[str, Any]) -> str:
    composition = bundle["entry"][0]["resource"]
    sections = (one for one in composition["section"] if one["title"] == "Medications and medical devices")
    return str(next(sections)["text"]["div"])


def brief(div: str) -> list[str]:
    """What the digest says of each medicine: how it changed, and which it is."""
    if f"<b>{BRIEF}:</b>" not in div:
        return []
    told = div.partition(f"<b>{BRIEF}:</b></p>")[2].partition("<p><b>")[0]
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td>", told)
    alone = re.findall(r"<li><b>Change:</b> (.*?)</li><li><b>Medicine:</b> (.*?)</li>", told)
    return [f"{change}: {name}" for change, name in rows or alone]


def test_what_changed_stands_before_the_medicines_one_by_one_and_leaves_none_out() -> None:
    """Over all fixtures: the digest has each medicine that the letter has, stopped ones first."""
    seen = 0
    for case, bundle in letters().items():
        resources = [entry["resource"] for entry in bundle["entry"]]
        told = brief(section(bundle))
        stopped = [one for one in statements(resources) if one["status"] == "stopped"]
        if not told:
            assert not stopped, case
            continue
        seen += 1
        # An entry whose medicine has no name is no resource; it is in the digest all the same.
        assert len(told) >= len(statements(resources)), case
        assert sum(one.startswith("Stopped: ") for one in told) >= len(stopped), case
        places = [next((n for n, word in enumerate(ORDER) if one.startswith(word)), len(ORDER)) for one in told]
        assert places == sorted(places), case
        # It is what stands first under the heading.
        assert section(bundle).partition("<b>")[2].startswith(BRIEF), case
    assert seen > 40


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (
            "example-acute/discharge-letter/plain",
            [
                "Stopped: Ibuprofen 400mg tablets",
                "Added: Ramipril 2.5mg tablets (A A H Pharmaceuticals Ltd)",
                "Added: Aspirin 75mg dispersible tablets",
                "Amended: Insulin glargine 100units/ml cartridges",
                "On-hold: Metformin 500mg tablets",
                "Continued: Atorvastatin 20mg tablets",
            ],
        ),
        # An entry without a name is there.
        (
            "example-mental-health/discharge-letter/medicine-without-name",
            ["Stopped: ", "Not said: Mirtazapine 30mg tablets", "Not said: "],
        ),
        # Nothing is said of any change: it would only say everything twice.
        ("example-community/referrals", []),
    ],
)
def test_what_changed_is_in_the_order_in_which_it_can_harm(case: str, expected: list[str]) -> None:
    found = [brief(section(bundle)) for name, bundle in letters().items() if name.startswith(case)]
    assert found
    assert found[0] == expected
