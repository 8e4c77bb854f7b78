"""
What a mental health discharge has to say, noun by noun, from each of the formats that it comes in: HL7 v2, the tables
of the Mental Health Services Data Set, and CDA. It is read where a receiver reads it: in the narrative of its heading.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import cache
from html import unescape
from typing import Any

import pytest

import shipped
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.letter import letter_text
from mhbridge.fhir.narrative import plain
from mhbridge.mapping.library import built_in
from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of

#: Format → supplier and fixture.
LETTERS = {
    "hl7v2": ("example-mental-health", "discharge-letter/plain.hl7"),
    "mhsds": ("example-inpatient", "discharges/plain.mime"),
    "cda": ("example-itk", "discharge-cda/plain.xml"),
}


@cache
def document(form: str) -> Mapping[str, Any]:
    """The document that the one letter of a fixture becomes."""
    supplier, fixture = LETTERS[form]
    body = (built_in("fixtures") / supplier / fixture).read_bytes()
    catalogue = shipped.catalogue()
    outcomes, _ = outcomes_of(body, feed_of(catalogue, supplier), RECEIVED_AT)
    bundle: Mapping[str, Any] = loads(outcomes[0].documents[0].body)
    return bundle


def resources(form: str, type_: str) -> list[Mapping[str, Any]]:
    return [e["resource"] for e in document(form)["entry"] if e["resource"]["resourceType"] == type_]


def said(form: str, heading: str) -> str:
    """The words under a heading."""
    sections = resources(form, "Composition")[0]["section"]
    found = next(s for s in sections if any(c["code"] == heading for c in s["code"].get("coding", ())))
    return " ".join(unescape(re.sub("<[^>]+>", " ", found["text"]["div"])).split())


PLAN, LEGAL, SUMMARY, SOCIAL = "plan-and-requested-actions", "legal-information", "clinical-summary", "social-context"
WISHES, NEEDS, SCALES = (
    "patient-and-carer-concerns-expectations-and-wishes",
    "individual-requirements",
    "assessment-scales",
)
WHO, LEFT, MEDICINES = "patient-demographics", "discharge-details", "medications-and-medical-devices"
RESULTS, COPIES = "investigation-results", "distribution-list"

#: Noun, heading, and what is read of it in each format: HL7 v2, the tables of the data set, CDA. The header of an NHS
#: CDA has no place for what stands empty here.
NOUNS: list[tuple[str, str, str, str, str]] = [
    # What the law says, and who speaks for the patient
    (
        "period of detention",
        LEGAL,
        "Act Section 2 (Section 2) 10 Feb",
        "Section 2 3 March 2025, 23:10",
        "Section 3 from",
    ),
    ("its end", LEGAL, "3 March 2025, 12:00", "20 March 2025, 12:00", "to 10 March 2025"),
    ("treatment order", LEGAL, "order: From: 1 June 2023", "order: From: 1 June 2023", "treatment order until"),
    ("why the order ended", LEGAL, "patient discharged", "patient discharged", "until 1 March 2024"),
    ("recall", LEGAL, "14 September 2023, 10:00", "14 September 2023, 10:00", "Community treatment order"),
    ("advocate", LEGAL, "(IMHA) Yes Yes Clement", "(IMHA) Yes Yes Clement", "(IMHA) assigned"),
    ("capacity", LEGAL, "decide about treatment", "decide about lithium", "capacity to decide"),
    ("advance decision", LEGAL, "electroconvulsive", "Refuses haloperidol", "refuses haloperidol"),
    ("advance statement", WISHES, "Hawthorn told on the first", "Tell my sister first", "tell my sister first"),
    ("consent to share", LEGAL, "Agrees that this letter", "GP and sister may be", "her sister and her GP are told"),
    # Who answers, and for what
    ("care coordinator", PLAN, "MADEUP, Jonquil", "Ms Tess Invented", "Care coordinator from 15 March"),
    ("when they begin", PLAN, "24 March 2025", "2 April 2025", "15 March 2025"),
    ("responsible clinician", PLAN, "Until: 14 March 2025", "Until: 20 March 2025", "clinician until 14 March"),
    ("kind of care plan", PLAN, "Mental Health Crisis Plan", "Mental Health Crisis Plan", "crisis plan of 10 March"),
    ("who agreed to it", PLAN, "Marigold and Hawthorn", "patient or Patient Proxy", "agreed with her"),
    ("follow-up", PLAN, "17 March 2025, 10:30", "4 April 2025, 10:30", "within 72 hours"),
    # What was found and done
    ("score and instrument", SCALES, "Questionnaire-9 9 0-27", "NEWS2 (National", "NEWS2 (National"),
    ("rating in words", SCALES, "(Working Age Adults)) 11", "HoNOS 31 March: 12 of 48", "HoNOS 9 of 48"),
    ("restrictive intervention", SUMMARY, "Held standing by two", "Physical restraint - Seated", "Held standing once"),
    ("formulation", SUMMARY, "brought back what", "Overwork", "Grief, isolation"),
    ("kind of bed", LEFT, "Acute Adult Mental Health", "Acute Adult Mental Health", "acute adult bed"),
    ("kind of ward", LEFT, "Adult Mental Health ward", "Adult Mental Health ward", "adult mental health ward"),
    ("alcohol", RESULTS, "0.5 units a day", "30 units a week", "4 units a week"),
    ("glucose", RESULTS, "36 mmol/mol", "5.4 mmol/L", "5.1 mmol/L"),
    ("blood pressure", RESULTS, "128 mmHg", "128 mmHg", "118 mmHg"),
    ("body mass index", RESULTS, "21.40 kg/m2", "27.40 kg/m2", "24.60 kg/m2"),
    ("smoking", RESULTS, "Never smoked", "Ex-smoker", "smoking consumption 0"),
    # Medicines, each with what was done and why
    ("added", MEDICINES, "Added Depression", "Added Mood", "Added for sleep"),
    ("amended", MEDICINES, "Amended Blood pressure", "Amended Drowsy", "[deleted: 15 mg] 30 mg at night Changed"),
    ("on hold", MEDICINES, "On-hold Stomach", "On-hold Not with", "On hold: low"),
    ("stopped", MEDICINES, "No effect after twelve", "Reason for the change: Mania", "Stopped on 10 March"),
    # How the patient lives, and with whom
    ("employment", SOCIAL, "Unemployed and actively", "Long-term sick", "Long-term sick"),
    ("accommodation", SOCIAL, "Tenant - private", "Tenant - private", "Rents privately"),
    ("settled", SOCIAL, "settled accommodation", "settled accommodation", "settled"),
    ("adjustments", NEEDS, "a quiet room", "in large print", "in large print"),
    ("who is close", WHO, "SAMPLE, Hawthorn", "Testsister", "FABRICA, Sissy"),
    ("next of kin", WHO, "Next-of-Kin", "Next of kin", "FABRICA, Noel Next-of-Kin"),
    ("carer", WHO, "Carer of patient", "Carer", "FABRICA, Carey Carer of patient"),
    ("nominated person", WHO, "Nominated person: Yes", "Nominated person: Yes", ""),
    ("nominated person, in words", LEGAL, "", "", "Nominated person: her sister"),
    ("why no copy", WHO, "She asked for no letters", "He asked for none", ""),
    ("what they may be told", WHO, "Everything in this letter", "Everything in this letter", ""),
    ("order of contact", WHO, "900202 (mobile) 1", "496 0202 1", ""),
    ("carers' concerns", WISHES, "Hawthorn works nights", "wants to be rung", "asks to be rung"),
    ("a copy to family", COPIES, "SAMPLE, Hawthorn significant other", "Testsister", "FABRICA, Sissy"),
]
CASES = [
    (noun, heading, form, words)
    for noun, heading, *said_in in NOUNS
    for form, words in zip(LETTERS, said_in, strict=True)
    if words
]


@pytest.mark.parametrize(("noun", "heading", "form", "words"), CASES, ids=[f"{one[0]}-{one[2]}" for one in CASES])
def test_it_is_read_in_the_letter_whatever_the_format(noun: str, heading: str, form: str, words: str) -> None:
    assert words in said(form, heading), noun


@pytest.mark.parametrize("form", LETTERS)
def test_the_letter_begins_with_the_safety_plan_and_whom_to_call(form: str) -> None:
    """NHS England, Staying safe from suicide, 4 April 2025."""
    first = resources(form, "Composition")[0]["section"][0]
    lines = [line for line in plain(first["text"]["div"]).splitlines() if line.strip()]
    assert lines[0].startswith("Safety plan:")
    assert any(line.startswith("Whom to call in a crisis, at any hour:") for line in lines)
    page = letter_text(document(form))
    assert page.index("Safety plan:") < page.index("Patient demographics")


#: What the panel says of each letter: what is missing, what is old, and of the others nothing.
PANELS = {
    "hl7v2": "Lipids: older than 12 months, last on 12 December 2023",
    "mhsds": "Lipids: no coded result in this letter",
    "cda": "Lipids: no coded result in this letter Smoking: older than 12 months, last on 5 November 2023",
}


@pytest.mark.parametrize("form", LETTERS)
def test_the_panel_says_which_checks_are_missing_or_old(form: str) -> None:
    panel = resources(form, "Composition")[0]["section"][1]
    assert panel["title"] == "Physical health checks missing or old"
    said_there = " ".join(re.sub("<[^>]+>", " ", panel["text"]["div"]).split())
    assert said_there.partition("smoking): ")[2] == PANELS[form]


#: (value, unit) of a result, by its SNOMED CT code: as they came, to the last digit.
EXACT = {
    "hl7v2": {"60621009": ("21.40", "kg/m2"), "72313002": ("128", "mm[Hg]"), "1082631000000102": ("0.5", "{units}/d")},
    "mhsds": {"60621009": ("27.40", "kg/m2"), "997671000000106": ("5.4", "mmol/L"), "230056004": ("10", "/d")},
    "cda": {"60621009": ("24.60", "kg/m2"), "72313002": ("118", "mm[Hg]"), "1082641000000106": ("4", "{units}/wk")},
}


@pytest.mark.parametrize("form", LETTERS)
def test_results_have_their_codes_and_exact_units(form: str) -> None:
    found = {}
    for one in resources(form, "Observation"):
        for part in (one, *one.get("component", ())):
            quantity = part.get("valueQuantity", {})
            for coding in part["code"].get("coding", ()):
                found[coding["code"]] = (str(quantity.get("value")), quantity.get("code"))
                assert quantity.get("system") in (None, "http://unitsofmeasure.org")
    assert {code: found.get(code) for code in EXACT[form]} == EXACT[form]


@pytest.mark.parametrize(("form", "pressures"), [("hl7v2", (128, 78)), ("mhsds", (128, 82)), ("cda", (118, 76))])
def test_a_blood_pressure_is_one_panel_of_two(form: str, pressures: tuple[int, int]) -> None:
    """UK Core Observation Vital Signs Blood Pressure 1.0.0."""
    (panel,) = [one for one in resources(form, "Observation") if "75367002" in str(one["code"])]
    assert panel["meta"]["profile"][0].endswith("/UKCore-Observation-VitalSigns")
    assert [
        (one["code"]["text"], {coding["code"] for coding in one["code"]["coding"]}, one["valueQuantity"]["value"])
        for one in panel["component"]
    ] == [
        ("Systolic blood pressure", {"8480-6", "72313002"}, pressures[0]),
        ("Diastolic blood pressure", {"8462-4", "1091811000000102"}, pressures[1]),
    ]
    alone = [one for one in resources(form, "Observation") if one is not panel]
    assert not any(code in str(one["code"]) for one in alone for code in ("72313002", "1091811000000102"))


@pytest.mark.parametrize("form", ["hl7v2", "mhsds"])
def test_periods_of_the_act_are_observations_and_an_order_is_no_code_of_them(form: str) -> None:
    periods = [
        one for one in resources(form, "Observation") if one["code"].get("text") == "Mental Health Act legal status"
    ]
    codes = [one["valueCodeableConcept"]["coding"][0]["code"] for one in periods]
    assert set(codes) <= {"01", "02", "03"}
    assert all("start" in one["effectivePeriod"] for one in periods)
    orders = [one for one in resources(form, "Observation") if one["code"].get("text") == "Community treatment order"]
    assert [one["effectivePeriod"] for one in orders] == [{"start": "2023-06-01", "end": "2024-03-01"}]
    assert not any("valueCodeableConcept" in one for one in orders)


@pytest.mark.parametrize("form", ["hl7v2", "mhsds"])
def test_restrictive_interventions_are_words_only(form: str) -> None:
    coded = [e["resource"] for e in document(form)["entry"] if e["resource"]["resourceType"] != "Composition"]
    assert not re.search("[Rr]estraint|Held standing|Seclusion", str(coded))


def test_each_version_of_the_data_set_has_its_own_list_of_beds() -> None:
    """Two digits in MHSDS 4.1, three in 6: neither is ever translated into the other."""
    folder = built_in("mappings") / "codes" / "tables"
    found = {}
    for name in ("hospital_bed_type_mhsds41", "admitted_patient_class_mhsds6"):
        rows = list(csv.DictReader((folder / f"{name}.csv").read_text("utf-8").splitlines()))
        assert all(
            (one["source_system"], one["source_code"]) == (one["target_system"], one["target_code"]) for one in rows
        )
        found[name] = {(one["target_system"], one["target_code"]) for one in rows}
    older, newer = found.values()
    assert not older & newer
    assert {len(code) for _, code in older} == {2}
    assert {len(code) for _, code in newer} == {3}
    for form in ("hl7v2", "mhsds"):
        assert "Kind of bed: Acute Adult Mental Health Care" in said(form, LEFT)


@pytest.mark.parametrize("code", ["33", "34", "CTO", "2"])
def test_what_is_no_legal_status_is_kept_in_its_period_as_it_came(code: str) -> None:
    """Retired codes, one without its nought, and an order that is no code of the list."""
    supplier, fixture = LETTERS["mhsds"]
    sent = (built_in("fixtures") / supplier / fixture).read_bytes()
    changed = sent.replace(b"2025-03-20,12:00:00,02", b"2025-03-20,12:00:00," + code.encode())
    assert changed != sent
    outcomes, _ = outcomes_of(changed, feed_of(shipped.catalogue(), supplier), RECEIVED_AT)
    entries = [e["resource"] for e in loads(outcomes[0].documents[0].body)["entry"]]
    found = [one for one in entries if one["resourceType"] == "Observation"]
    periods = [one for one in found if one["code"].get("text") == "Mental Health Act legal status"]
    strange = [one for one in periods if "UKCore-LegalStatus" not in str(one["valueCodeableConcept"])]
    assert [code in one["valueCodeableConcept"]["text"] for one in strange] == [True]
    assert len(periods) == 3
