"""
HL7's reference validator (HAPI FHIR, Java) against ours and against the golden files.

Where the two come to different verdicts is listed with a reason in `differences.toml`: what is not listed fails, and
so does what is listed and no longer differs. A verdict is "accept" when there is no error; warnings are not compared.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import table
from table import BROKEN, changed

from mhbridge.fhir.bundle import dumps, loads
from mhbridge.fhir.validate import validate
from mhbridge.model import Severity

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOLDENS = sorted((ROOT / "fixtures").rglob("*.r4.json"))
GOOD: dict[str, Any] = json.loads(table.GOOD.read_text("utf-8"))


def errors(answer: dict[str, Any]) -> list[dict[str, str]]:
    return [issue for issue in answer["issues"] if issue["severity"] in ("error", "fatal")]


def verdicts(answer: dict[str, Any], resource: Any) -> tuple[list[str], list[str]]:
    """The ids of the errors of the reference validator, and the codes of ours."""
    ours = {issue.code for issue in validate(resource) if issue.severity is Severity.ERROR}
    return sorted({issue["id"] or "none" for issue in errors(answer)}), sorted(ours)


def differing(found: Iterable[tuple[str, tuple[list[str], list[str]]]]) -> dict[str, tuple[list[str], list[str]]]:
    return {name: (java, ours) for name, (java, ours) in found if bool(java) != bool(ours)}


def listed(table: str) -> dict[str, tuple[list[str], list[str]]]:
    rows = tomllib.loads((HERE / "differences.toml").read_text("utf-8"))[table]
    assert all(row["reason"].strip() for row in rows)
    return {name: (row.get("java", []), row.get("ours", [])) for row in rows for name in row["of"]}


# --- the golden files ---


#: Extensions of which UK Core knows nothing: those of the National Record Locator, of which there is no package here.
ELSEWHERE = "The extension https://fhir.nhs.uk/England/StructureDefinition/"


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: str(path.relative_to(ROOT / "fixtures")))
def test_golden(oracle: Any, golden: Path) -> None:
    for document, parked in table.documents_of(golden):
        answer = oracle(dumps(document).decode())
        found = [one for one in errors(answer) if not one["message"].startswith(ELSEWHERE)]
        # What is parked because it is not valid is not valid.
        assert bool(found) is parked, found


PLAIN = json.loads((ROOT / "fixtures/example-mental-health/discharge-letter/plain.r4.json").read_text("utf-8"))
UKCORE = "https://fhir.hl7.org.uk/"
ETHNIC = {"url": f"{UKCORE}StructureDefinition/Extension-UKCore-EthnicCategory", "valueCodeableConcept": {"text": "x"}}
NHS_NUMBER = {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990001014"}
PROFILE = f"{UKCORE}StructureDefinition/UKCore-Patients"
CODE = "/extension/0/valueCodeableConcept/coding/0/code"
CONTROLS = [
    ("an element of base R4 is missing", "Encounter", {}, ["/class"], "Validation_VAL_Profile_Minimum"),
    ("a slice of the profile twice", "Patient", {"/identifier/1": NHS_NUMBER}, [], "Validation_VAL_Profile_Maximum"),
    (
        "an extension of another type",
        "Patient",
        {"/extension/0": {"url": ETHNIC["url"], "valueCode": "A"}},
        [],
        "Extension_EXT_Type",
    ),
    ("an extension elsewhere", "Encounter", {"/extension/0": ETHNIC}, [], "Extension_EXTP_Context_Wrong"),
    (
        "an extension misspelt",
        "Patient",
        {"/extension/0/url": ETHNIC["url"] + "s"},
        [],
        "Extension_EXT_Unknown_NotHere",
    ),
    ("a profile misspelt", "Patient", {"/meta/profile/0": PROFILE}, [], "Validation_VAL_Profile_Unknown"),
    ("a code that UK Core has not", "Patient", {CODE: "A1"}, [], "Terminology_PassThrough_TX_Message"),
]


@pytest.mark.parametrize(("case", "kind", "put", "remove", "expected"), CONTROLS, ids=[row[0] for row in CONTROLS])
def test_broken_golden(
    oracle: Any, case: str, kind: str, put: dict[str, Any], remove: list[str], expected: str
) -> None:
    """The control: the definitions of R4 and of UK Core are really used, each in its way."""
    resource = next(e["resource"] for e in PLAIN["entry"] if e["resource"]["resourceType"] == kind)
    assert errors(oracle(json.dumps(resource))) == []
    found = errors(oracle(json.dumps(changed(resource, {"set": put, "remove": remove}))))
    assert {issue["id"] for issue in found} == {expected}, case


# --- the examples of UK Core ---


def test_examples(oracle: Any) -> None:
    """Every example that UK Core publishes, among them those that it got wrong."""
    examples = sorted(Path(os.environ["TEST_CORPUS"], "nhs-ukcore-examples").rglob("*.xml"))
    assert len(examples) > 200
    found = []
    for example in examples:
        answer = oracle(example.read_text("utf-8"))
        found.append((example.name, verdicts(answer, loads(answer["json"].encode()))))
    assert differing(found) == listed("example")


# --- the table of our own validator ---


def test_table(oracle: Any) -> None:
    """The good resources and all that is broken in them, as the tests of our validator have them."""
    rows = list(GOOD.items())
    rows += [(row["case"], changed(GOOD[row["of"]], row)) for row in BROKEN]
    found = [(name, verdicts(oracle(json.dumps(resource)), resource)) for name, resource in rows]
    assert differing(found) == listed("row")
