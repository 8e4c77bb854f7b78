"""What each kind of value says to a reader."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mhbridge.fhir.dates import date_words
from mhbridge.fhir.wording import Wording, reason_words
from mhbridge.model import ABSENT, DELETED, MASKED, UNKNOWN_ERROR, Unknown

TITLES = {
    "snomed": "SNOMED CT",
    "icd10": "ICD-10",
    "nhs-dd-discharge-destination": "Discharge destination (CDS 6.2)",
    "example-mrn": "Example Trust hospital number",
}


def titles(system: str) -> str:
    return TITLES.get(system, system)


def coding(code: str, display: str = "", system: str = "snomed") -> dict[str, str]:
    return {"system": system, "code": code} | ({"display": display} if display else {})


PSYCHIATRIST = {
    "name": [{"family": "Quince", "given": ["Imogen", "R"], "prefix": ["Dr"]}],
    "role": {"text": "Consultant psychiatrist"},
    "organisation": {"name": "Example Mental Health Trust", "identifiers": [{"system": "ods", "value": "RX99"}]},
    "telecom": [{"system": "phone", "value": "01632 960001", "use": "work"}],
}

VALUES: list[tuple[str, Any, str]] = [
    # text and codes
    ("string", "Feels safer <now>", "Feels safer <now>"),
    ("code", "entered-in-error", "Entered in error"),
    ("code", "female", "Female"),
    ("code", "H2", "H2"),
    ("code", "ED", "ED"),
    ("boolean", True, "Yes"),
    ("boolean", False, "No"),
    ("integer", 12, "12"),
    ("decimal", Decimal("1.10"), "1.10"),
    ("decimal", Decimal("1E+2"), "100"),
    ("decimal", Decimal("1E-80"), "1E-80"),
    ("nhs_number", "9990000018", "999 000 0018"),
    ("nhs_number", "999 000 0018", "999 000 0018"),
    ("nhs_number", "not a number", "not a number"),
    ("base64Binary", "QUJD" * 1000, "Attached content, 3 kB"),
    ("time", "10:30:00", "10:30"),
    ("time", "10:30:15", "10:30:15"),
    # states
    ("text", ABSENT, ""),
    ("text", DELETED, ""),
    ("text", None, ""),
    ("text", UNKNOWN_ERROR, "Recorded by the sender, but it could not be read; see the original message"),
    ("Address", MASKED, "Withheld"),
    ("text", Unknown("asked-declined"), "Asked, but declined to say"),
    ("text", Unknown("of-our-own"), "Not given (of-our-own)"),
    # codes with systems
    ("CodeableConcept", {"coding": [coding("1", "Depression")]}, "Depression"),
    ("CodeableConcept", {"coding": [coding("1", "Depression")], "text": "depression "}, "depression"),
    ("CodeableConcept", {"coding": [coding("1", "Depression")], "text": "Low mood"}, "Low mood (Depression)"),
    (
        "CodeableConcept",
        {"coding": [coding("1", "Depression"), coding("F32.2", "Severe episode", "icd10")], "text": "Low mood"},
        "Low mood (Depression; Severe episode)",
    ),
    ("CodeableConcept", {"coding": [coding("35489007")]}, "code 35489007 in SNOMED CT"),
    (
        "CodeableConcept",
        {"coding": [coding("19", "", "nhs-dd-discharge-destination") | {"version": "6.2"}]},
        "code 19 in Discharge destination (CDS 6.2), version 6.2",
    ),
    ("CodeableConcept", {"coding": [{"code": "7"}]}, "code 7 in a code system that was not named"),
    ("CodeableConcept", {"coding": [coding("1")], "text": "Low mood"}, "Low mood"),
    # A code that was repeated as its own text has no words.
    ("CodeableConcept", {"coding": [coding("2Z", "2Z")], "text": "2z"}, "code 2Z in SNOMED CT"),
    ("CodeableConcept", {"coding": [coding("on-hold", "On-hold"), coding("H", "", "exac-status")]}, "On-hold"),
    ("CodeableConcept", {"coding": [coding("SMOKING", "Smoking", "check")]}, "Smoking (code SMOKING in check)"),
    ("CodeableConcept", {"coding": [coding("1", "Depression"), coding("DEP", "")], "text": "DEP"}, "Depression"),
    # A sender's code that is the word of another code is a word.
    ("CodeableConcept", {"coding": [coding("SONC", "son"), coding("Son", "", "example-kin")]}, "son"),
    ("CodeableConcept", {"text": "2Z"}, "2Z"),
    (
        "CodeableConcept",
        {"coding": [coding("H2", "Home", "example-places")], "text": "Home"},
        "Home (code H2 in example-places)",
    ),
    (
        "CodeableConcept",
        {"coding": [coding("19", "Usual residence"), coding("H2", "Home", "example-places")]},
        "Usual residence (Home)",
    ),
    ("CodeableConcept", {"text": "Olanzapine 5 mg at night"}, "Olanzapine 5 mg at night"),
    ("CodeableConcept", "as it was received", "as it was received"),
    ("Coding", coding("1", "Depression"), "Depression"),
    # quantities and stretches
    ("Quantity", {"value": Decimal("140.0"), "unit": "mmol/L"}, "140.0 mmol/L"),
    ("Quantity", {"value": Decimal("0.50"), "comparator": "<", "code": "mg"}, "less than 0.50 mg"),
    ("Quantity", {"value": "1.10", "unit": "kg"}, "1.10 kg"),
    ("Quantity", {"value": 98, "unit": "%"}, "98%"),
    ("Quantity", {"value": 3, "code": "1"}, "3"),
    ("Range", {"low": {"value": 3}, "high": {"value": 5, "unit": "mg"}}, "3 to 5 mg"),
    ("Range", {"high": {"value": 5}}, "at most 5"),
    ("Ratio", {"numerator": {"value": 1}, "denominator": {"value": 128}}, "1 : 128"),
    (
        "Ratio",
        {"numerator": {"value": 5, "unit": "mg"}, "denominator": {"value": 10, "unit": "mL"}},
        "5 mg per 10 mL",
    ),
    ("Period", {"start": "2025-03-01", "end": "2025-03-14"}, "1 March 2025 to 14 March 2025"),
    ("Period", {"start": "2025-03-01"}, "from 1 March 2025"),
    ("Period", {"end": "2025-03"}, "until March 2025"),
    ("Money", {"value": Decimal("12.50"), "currency": "GBP"}, "12.50 GBP"),
    # people
    ("HumanName", {"family": "Quince", "given": ["Imogen", "R"], "prefix": ["Dr"]}, "QUINCE, Imogen R (Dr)"),
    ("HumanName", {"family": "Quince", "suffix": ["OBE"]}, "QUINCE, OBE"),
    ("HumanName", {"given": ["Imogen"]}, "Imogen"),
    ("HumanName", {"text": "Dr Imogen Quince"}, "Dr Imogen Quince"),
    ("HumanName", {"family": "Elm", "use": "old", "period": {"end": "2019"}}, "ELM (former name, until 2019)"),
    ("HumanName", {"family": "Quince", "use": "official"}, "QUINCE"),
    (
        "Address",
        {"line": ["Flat 2", "1 Example Road"], "city": "Exampleton", "postalCode": "ZZ99 3VZ", "use": "home"},
        "Flat 2, 1 Example Road, Exampleton, ZZ99 3VZ",
    ),
    ("Address", {"line": ["1 Elm Row"], "use": "temp"}, "1 Elm Row (temporary)"),
    ("Address", {"text": "1 Elm Row\nExampleton"}, "1 Elm Row, Exampleton"),
    ("ContactPoint", {"system": "phone", "value": "07700 900123", "use": "mobile"}, "07700 900123 (mobile)"),
    ("ContactPoint", {"system": "email", "value": "a@example.org"}, "a@example.org"),
    ("ContactPoint", {"system": "fax", "value": "01632 960009", "use": "old"}, "01632 960009 (fax, no longer in use)"),
    ("Identifier", {"system": "example-mrn", "value": "X1"}, "X1 (Example Trust hospital number)"),
    ("Identifier", {"system": "urn:x", "value": "X1", "assigner": {"display": "Example Trust"}}, "X1 (Example Trust)"),
    ("Identifier", {"system": "nhs-number", "value": "9990000018"}, "999 000 0018 (NHS number)"),
    (
        "person",
        PSYCHIATRIST,
        (
            "QUINCE, Imogen R (Dr), Consultant psychiatrist, Example Mental Health Trust (ODS code RX99), "
            "01632 960001 (work)"
        ),
    ),
    ("person", {"identifiers": [{"system": "example-mrn", "value": "C9"}]}, "C9 (Example Trust hospital number)"),
    ("organisation", {"identifiers": [{"system": "ods", "value": "Y99999"}]}, "ODS code Y99999"),
    (
        "organisation",
        {"name": "Example Trust", "identifiers": [{"system": "example-mrn", "value": "EX"}, {"value": "1"}]},
        "Example Trust (Example Trust hospital number EX; 1)",
    ),
    (
        "organisation",
        {"name": "Example Surgery", "telecom": [{"system": "phone", "value": "01632 960002"}]},
        "Example Surgery, 01632 960002",
    ),
    (
        "place",
        {"ward": "Maple Ward", "room": "2", "bed": "4", "site": {"name": "Example Hospital"}},
        "Maple Ward, room 2, bed 4, Example Hospital",
    ),
    # documents
    (
        "Attachment",
        {"contentType": "application/pdf", "title": "Crisis plan", "data": "QUJD" * 1000},
        "Attached document: Crisis plan (application/pdf, 3 kB)",
    ),
    ("Attachment", {"contentType": "application/pdf", "size": 2_340_000}, "Attached document: application/pdf, 2.3 MB"),
    ("Attachment", {"contentType": "text/plain", "data": "QUI="}, "Attached document: text/plain, 2 bytes"),
    (
        "Annotation",
        {"text": "Seen with her sister", "authorString": "Ward clerk", "time": "2025-03-14"},
        "Seen with her sister (Ward clerk, 14 March 2025)",
    ),
    ("Dosage", {"text": "one at night"}, "one at night"),
    ("Reference", {"reference": "urn:uuid:1", "display": "Community team"}, "Community team"),
    # one of several types, told by its shape
    ("any", {"value": Decimal("3.1"), "unit": "mmol/L"}, "3.1 mmol/L"),
    ("any", {"coding": [coding("1", "Positive")]}, "Positive"),
    ("any", {"start": "2025"}, "from 2025"),
    ("any", {"system": "phone", "value": "01632 960001"}, "01632 960001"),
    ("any", {"system": "example-mrn", "value": "X1"}, "X1 (Example Trust hospital number)"),
    ("any", "2025-03-14", "14 March 2025"),
    ("any", "trace", "trace"),
    ("any", True, "Yes"),
    # what has a shape of its own loses nothing
    ("Quantity", {"of_kind": "odd", "parts": ["a", "b"]}, "of kind: odd; parts: a; b"),
    ("any", {"rate": {"value": 2, "unit": "L/min"}, "id": "x"}, "rate: 2 L/min"),
]


@pytest.mark.parametrize(("type_", "value", "words"), VALUES)
def test_a_value_in_words(type_: str, value: Any, words: str) -> None:
    assert Wording(titles).say(type_, value) == words


DATES = [
    ("2025", "2025"),
    ("2025-03", "March 2025"),
    ("1985-03-04", "4 March 1985"),
    ("2025-03-14T10:30:00+00:00", "14 March 2025, 10:30"),
    ("2025-07-14T10:30:00+01:00", "14 July 2025, 10:30"),
    ("2025-03-14T10:30:15+00:00", "14 March 2025, 10:30:15"),
    ("2025-03-14T10:30:00.000Z", "14 March 2025, 10:30"),
    ("2025-03-14T10:30:00.250Z", "14 March 2025, 10:30:00.250"),
    ("2025-03-14T10:30", "14 March 2025, 10:30"),
    # An hour off is said: these are not what the clocks of London showed.
    ("2025-07-14T09:30:00Z", "14 July 2025, 09:30 (UTC)"),
    ("2025-07-14T09:30:00+00:00", "14 July 2025, 09:30 (UTC)"),
    ("2025-03-14T10:30:00+01:00", "14 March 2025, 10:30 (UTC+01:00)"),
    ("2025-03-14T10:30:00+24:30", "14 March 2025, 10:30 (UTC+24:30)"),
    ("2025-03-14T10:30:00-05:00", "14 March 2025, 10:30 (UTC-05:00)"),
    # The days on which the clocks change, and the hour that comes twice (29 March and 25 October 2026).
    ("2026-03-29T00:59:00+00:00", "29 March 2026, 00:59"),
    ("2026-03-29T02:00:00+01:00", "29 March 2026, 02:00"),
    ("2026-03-29T01:30:00+00:00", "29 March 2026, 01:30 (UTC)"),
    ("2026-10-25T00:30:00+01:00", "25 October 2026, 00:30"),
    ("2026-10-25T01:30:00+01:00", "25 October 2026, 01:30 (BST)"),
    ("2026-10-25T01:30:00+00:00", "25 October 2026, 01:30 (GMT)"),
    ("2026-10-25T02:00:00+00:00", "25 October 2026, 02:00"),
    # Britain kept an hour ahead all winter, 1968 to 1971.
    ("1970-01-14T10:30:00+01:00", "14 January 1970, 10:30"),
    ("1970-01-14T10:30:00Z", "14 January 1970, 10:30 (UTC)"),
    # What is no date stays as it was received.
    ("2025-02-30", "2025-02-30"),
    ("2025-13", "2025-13"),
    ("14/03/2025", "14/03/2025"),
    ("2025-03-14T25:00:00Z", "2025-03-14T25:00:00Z"),
    ("0001-01-01T00:00:00+14:00", "1 January 0001, 00:00 (UTC+14:00)"),
    ("", ""),
]


@pytest.mark.parametrize(("value", "words"), DATES)
def test_a_date_in_words(value: str, words: str) -> None:
    assert date_words(value) == words


def test_a_system_is_local_if_the_caller_says_so() -> None:
    concept = {"coding": [coding("M4", "Marsh House", "example-mrn")]}
    assert Wording(titles).say("CodeableConcept", concept) == "Marsh House"
    told = Wording(titles, local=lambda system: system == "example-mrn")
    assert told.say("CodeableConcept", concept) == "Marsh House (code M4 in Example Trust hospital number)"


def test_every_reason_of_fhir_has_words_of_its_own() -> None:
    # The codes of the code system data-absent-reason, FHIR R4.
    codes = """
        unknown asked-unknown temp-unknown not-asked asked-declined masked not-applicable unsupported as-text error
        not-a-number negative-infinity positive-infinity not-performed not-permitted
    """
    codes = codes.split()
    words = {reason_words(code) for code in codes}
    assert len(words) == len(codes)
    assert not any(word.startswith("Not given (") for word in words)
