"""
Medicines at a transition of care: what changed is said first and whole, and reaches who does not get the letter.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mhbridge import config, pipeline
from mhbridge.app.feeds import feeds_from
from mhbridge.fhir.bundle import loads
from mhbridge.mapping.catalogue import Catalogue, load
from mhbridge.mapping.library import built_in
from mhbridge.model import Envelope
from mhbridge.pipeline import Feed, Route
from mhbridge.testing.replaying import RECEIVED_AT, Case, cases, feed_of, outcomes_of, with_extracts
from shipped import catalogue
from ward import FIXTURES, LETTER, a_ward, changed
from ward import feed as ward_feed

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


# --- what is made beside a letter, for who does not get the letter ------------------------------------------

BESIDE = "medicine-changes"
#: What it takes of a letter, whole.
TAKEN = ("Medications and medical devices", "Allergies and adverse reactions")
#: All the kinds of resources that may be in it: nothing of why somebody was in hospital, nor of who is close to them.
KINDS = {
    "Composition", "Patient", "Encounter", "List", "MedicationStatement", "AllergyIntolerance", "Practitioner",
    "PractitionerRole", "Organization",
}  # fmt: skip


#: Fixtures that every supplier has, and those in which nearly everything is wrong.
SHOWN = ("plain", "everything", "minimal", "bad-values", "unknown-codes", "medicine-without-name", "html-and-rtf")


def pairs(using: Catalogue, only: str = "") -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Letters of fixtures of every supplier, with what is made beside it."""
    feeds: dict[str, Feed] = {}
    for case in cases(built_in("fixtures")):
        if only not in case.name or case.path.stem not in SHOWN or not concerns(using, case):
            continue
        feed = feeds.setdefault(case.supplier, with_extracts(feed_of(using, case.supplier), using))
        for outcome in outcomes_of(case.path.read_bytes(), feed, RECEIVED_AT)[0]:
            made = {one.type: loads(one.body) for one in outcome.documents}
            beside = made.pop(BESIDE, None)
            if beside is not None:
                (letter,) = made.values()
                yield case.name, letter, beside


def concerns(using: Catalogue, case: Case) -> bool:
    name = f"{case.supplier}/{case.feed}"
    golden = case.path.with_suffix(".r4.json")
    return golden.is_file() and BESIDE in using.mapping(name).document.extracts


def told(bundle: dict[str, Any]) -> dict[str, str]:
    return {one["title"]: one["text"]["div"] for one in bundle["entry"][0]["resource"]["section"]}


@cache
def all_pairs() -> tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]:
    return tuple(pairs(catalogue()))


def cut(found: Iterable[tuple[str, dict[str, Any], dict[str, Any]]]) -> list[str]:
    """Letters whose medicines or allergies are otherwise in what is made beside them than in the letter."""
    return [
        name
        for name, letter, beside in found
        if any(told(letter).get(title) != told(beside).get(title) for title in TAKEN)
    ]


def test_who_does_not_get_the_letter_reads_its_medicines_and_allergies_word_for_word() -> None:
    """Of every supplier, what only one has included; and the coded entries are the same."""
    assert cut(all_pairs()) == []
    seen = 0
    for name, letter, beside in all_pairs():
        seen += 1
        of_letter, of_beside = (
            [one["resource"].get("medicationCodeableConcept") for one in bundle["entry"]] for bundle in (letter, beside)
        )
        assert [one for one in of_letter if one] == [one for one in of_beside if one], name
        title = letter["entry"][0]["resource"]["title"]
        assert title != beside["entry"][0]["resource"]["title"], name
    assert seen > 30


def test_the_control_without_what_only_a_supplier_has_it_would_be_a_part(tmp_path: Path) -> None:
    folder = tmp_path / "mappings"
    shutil.copytree(built_in("mappings"), folder)
    pack = folder / "documents" / BESIDE / "items.yaml"
    text = pack.read_text("utf-8")
    assert "takes_under:" in text
    names = "  - allergies\n  - no_known_allergies\n  - allergies_unavailable\n  - medicines\n  - medicines_stopped\n"
    before, _, under = text.partition("takes_under:")
    pack.write_text(f"{before}{names}items:{under.partition('items:')[2]}", "utf-8")
    found = cut(pairs(load([folder], only=True), "example-toc/mental-health-discharge"))
    assert "example-toc/mental-health-discharge/plain.json" in found


def test_it_says_nothing_else() -> None:
    """Neither why, nor what was found, nor risk, nor who is close to the patient, nor who else gets the letter."""
    for name, _, beside in all_pairs():
        resources = [entry["resource"] for entry in beside["entry"]]
        assert {one["resourceType"] for one in resources} <= KINDS, name
        wanted = {*TAKEN, "Patient demographics", "GP practice", "Discharge details", "Person completing record"}
        assert told(beside).keys() <= wanted, name
        assert "contact" not in next(one for one in resources if one["resourceType"] == "Patient"), name


ROUTES = """
[gateway]
mode = "test"

[[receiver]]
supplier = "example-mental-health"
kind = "mllp"
listen = "127.0.0.1:0"

[[destination]]
name = "gp"
kind = "folder"
path = "gp"

[[destination]]
name = "nursing"
kind = "folder"
path = "nursing"

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["gp"]

[[route]]
documents = ["medicine-changes"]
to = ["nursing"]
"""


@pytest.mark.parametrize(
    ("case", "beside", "state", "found"),
    [
        ("plain", "", "done", {"gp": LETTER, "nursing": BESIDE}),
        ("plain", 'recipients = {items = ["gp_practice"], organisations = ["Y12345"]}', "done",
         {"gp": LETTER, "nursing": BESIDE}),
        ("plain", 'recipients = {items = ["recipients"], organisations = ["Y99999"]}', "done", {"gp": LETTER}),
        ("plain", 'when = "= medicines_stopped"', "done", {"gp": LETTER, "nursing": BESIDE}),
        ("minimal", 'when = "= medicines_stopped"', "done", {"gp": LETTER}),
        ("restricted-patient", "", "parked", {}),
    ],
)  # fmt: skip
def test_it_goes_where_its_own_routes_say(case: str, beside: str, state: str, found: dict[str, str]) -> None:
    (feed,) = (
        one
        for name, one in feeds_from(config.parse(ROUTES + beside + "\n", environ={}), catalogue()).items()
        if name.endswith("/mllp")
    )
    (outcome,) = pipeline.outcome_now((FIXTURES / f"discharge-letter/{case}.hl7").read_bytes(), feed, RECEIVED_AT)
    types = [one.type for one in outcome.documents]
    assert {one.destination: types[one.document] for one in outcome.deliveries} == found
    assert outcome.state.value == state
    # Of a restricted patient it is not even made.
    assert (BESIDE in types) is (BESIDE in found.values())


def feed() -> Feed:
    routes = (Route(frozenset({LETTER}), ("gp",)), Route(frozenset({"encounter-event"}), ()))
    mine = tuple(catalogue().mapping(f"example-mental-health/{name}") for name in ("adt", "discharge-letter", "unlink"))
    made = with_extracts(replace(ward_feed(), mappings=mine, routes=routes), catalogue())
    return replace(made, routes=(*routes, Route(frozenset({BESIDE}), ("team",))))


#: A letter and what is made beside it have one number each, in this order.
SCENARIOS = {
    "it goes beside the letter": """
        letter one
        gp takes: 1
        team takes: 2
    """,
    "another consultant in the letter is no news of its medicines": """
        letter one
        gp takes: 1
        team takes: 2
        letter two
        gp takes: 3 replaces 1
        team takes: nothing
    """,
    "what has not left does not leave when the letter is taken back": """
        letter one
        cancel
        team takes: nothing
    """,
    "the letter is taken back": """
        admission ELM
        discharge ELM
        letter one
        gp takes: 1
        team takes: 2
        cancel
        team takes: 4 withdrawn replaces 2
        gp takes: 3 withdrawn replaces 1
    """,
}


@pytest.mark.parametrize("case", SCENARIOS)
async def test_it_is_replaced_and_taken_back_with_its_letter(tmp_path: Path, case: str) -> None:
    async with a_ward(tmp_path, feed()) as ward:
        await ward.run(SCENARIOS[case])


async def test_a_dose_that_is_corrected_reaches_who_has_the_other_one(tmp_path: Path) -> None:
    async with a_ward(tmp_path, feed()) as ward:
        await ward.run("letter one\n gp takes: 1\n team takes: 2")
        body = changed("discharge-letter/plain", {"MSH_9": "N-9", "PV1_7": "9990001^ONE^Rowena^^^Dr^^^GMC"})
        assert b"One tablet at night" in body
        body = body.replace(b"One tablet at night", b"Half a tablet at night")
        taken = await ward.gateway.take(Envelope(body, feed().supplier, feed().name, ward.now, "mllp"))
        assert await ward.worked(taken.messages[0]) == "done"
        for one in await ward.store.documents(taken.messages[0]):
            ward.numbers.setdefault(one.identifier, len(ward.numbers) + 1)
        assert await ward.deliver("team", "takes") == "4 replaces 2"
        assert "Half a tablet at night" in str(ward.bodies[-1])


async def test_what_is_on_its_way_does_not_leave_any_more_when_the_patient_is_restricted(tmp_path: Path) -> None:
    async with a_ward(tmp_path, feed()) as ward:
        await ward.run("letter one")
        body = changed("discharge-letter/plain", {"MSH_9": "N-9", "PV1_16": "Y"})
        taken = await ward.gateway.take(Envelope(body, feed().supplier, feed().name, ward.now, "mllp"))
        assert await ward.worked(taken.messages[0]) == "parked"
        assert [await ward.deliver(who, "takes") for who in ("gp", "team")] == ["nothing", "nothing"]


@pytest.mark.parametrize("file", [f"documents/{BESIDE}/r4.yaml", "parts/beside-alone/items.yaml"])
def test_who_signs_for_a_mapping_signs_for_what_is_made_beside_its_letters(tmp_path: Path, file: str) -> None:
    """And for parts of that which the letter itself has not."""
    folder = tmp_path / "mappings"
    shutil.copytree(built_in("mappings"), folder)
    (folder / "parts" / "beside-alone").mkdir()
    (folder / "parts" / "beside-alone" / "items.yaml").write_text("part: beside-alone\n", "utf-8")
    items = folder / "documents" / BESIDE / "items.yaml"
    items.write_text(items.read_text("utf-8").replace("parts:\n", "parts:\n  - beside-alone\n", 1), "utf-8")
    before = load([folder], only=True).mapping("example-mental-health/discharge-letter").hash
    (folder / file).write_text((folder / file).read_text("utf-8") + "# another order\n", "utf-8")
    assert load([folder], only=True).mapping("example-mental-health/discharge-letter").hash != before
