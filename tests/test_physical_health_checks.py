"""Which result is one of the six physical health checks of people with severe mental illness, by its code."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from mhbridge.mapping.codes import CodeList, Member
from mhbridge.mapping.conversions import Context
from mhbridge.mapping.functions import functions
from mhbridge.mapping.library import built_in
from mhbridge.model import ABSENT, UNKNOWN_ERROR

SIX = ("Alcohol", "Glucose or HbA1c", "Blood pressure", "Body mass index", "Lipids", "Smoking")
CODES = built_in("mappings") / "codes"


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((CODES / name).read_text("utf-8").splitlines()))


CHECKS = {(one["system"], one["code"]): one["display"] for one in rows("lists/physical_health_checks.csv")}
NAMES = {one["target_code"]: one["target_display"] for one in rows("tables/observation_snomed.csv")}


@pytest.mark.parametrize(
    ("system", "code", "check"),
    [
        ("snomed", "999791000000106", "Glucose or HbA1c"),
        ("snomed", "1019431000000105", "Glucose or HbA1c"),
        ("snomed", "1010671000000102", "Glucose or HbA1c"),
        ("snomed", "1003141000000105", "Glucose or HbA1c"),
        ("snomed", "1005671000000105", "Lipids"),
        ("snomed", "1005681000000107", "Lipids"),
        ("snomed", "1022191000000100", "Lipids"),
        ("snomed", "1006191000000106", "Lipids"),
        ("snomed", "1015681000000109", "Lipids"),
        ("snomed", "266919005", "Smoking"),
        ("snomed", "8517006", "Smoking"),
        ("snomed", "77176002", "Smoking"),
        ("snomed", "105542008", "Alcohol"),
        ("loinc", "85354-9", "Blood pressure"),
        ("loinc", "39156-5", "Body mass index"),
        # What is no check: triglycerides without cholesterol, a status that nobody knows, a weight
        ("snomed", "1005691000000109", None),
        ("snomed", "266927001", None),
        ("loinc", "72166-2", None),
        ("snomed", "27113001", None),
    ],
)
def test_which_check_a_code_is_for(system: str, code: str, check: str | None) -> None:
    assert CHECKS.get((system, code)) == check


def test_each_of_the_six_has_codes_and_each_code_of_snomed_a_name() -> None:
    assert tuple(dict.fromkeys(CHECKS.values())) == SIX
    assert {code for system, code in CHECKS if system == "snomed"} <= set(NAMES)


def test_the_two_scales_of_hba1c_are_two_codes_and_no_table_turns_one_into_the_other() -> None:
    """mmol/mol (IFCC) is about eleven times the figure of % (DCCT) less 23.5: 48 and 6.5 are the same blood."""
    scales = {code: name for code, name in NAMES.items() if "aemoglobin A1c" in name}
    assert len(scales) == 5
    percent = {"1019431000000105", "3531000237106"}
    for file in sorted(built_in("mappings").rglob("*.csv")):
        for row in csv.DictReader(file.read_text("utf-8").splitlines()):
            source, target = row.get("source_code"), row.get("target_code")
            if source in scales and target in scales:
                assert (source in percent) == (target in percent), file.name


def code_list(name: str) -> CodeList:
    members = {
        (one["system"], one["code"]): (Member(one["system"], one["code"], one["display"]),) for one in rows(name)
    }
    return CodeList(name, members)


SYSTOLIC, DIASTOLIC = code_list("lists/systolic_pressures.csv"), code_list("lists/diastolic_pressures.csv")


def pressure(code: str, value: int, at: Any = "2025-03-12T09:10:00Z", **rest: Any) -> dict[str, Any]:
    system = "loinc" if "-" in code else "snomed"
    quantity = {"value": value, "unit": "mmHg", "system": "ucum", "code": rest.pop("unit", "mm[Hg]")}
    coded = {"coding": [{"system": system, "code": code}]}
    return {"code": coded, "value": quantity, "at": at, "status": "final"} | rest


UPPER, LOWER = pressure("72313002", 128), pressure("1091811000000102", 78)


@pytest.mark.parametrize(
    ("what", "measured", "together"),
    [
        ("two of one measurement", [UPPER, LOWER], [(128, 78)]),
        ("in the other order, with something between", [LOWER, pressure("60621009", 21), UPPER], [(128, 78)]),
        ("by LOINC", [pressure("8480-6", 120), pressure("8462-4", 80)], [(120, 80)]),
        (
            "sitting and standing",
            [pressure("407554009", 120), pressure("407555005", 80), UPPER, LOWER],
            [(120, 80), (128, 78)],
        ),
        ("one alone", [UPPER], []),
        ("sitting, and lying", [pressure("407554009", 120), pressure("407557002", 80)], []),
        ("of different times", [UPPER, LOWER | {"at": "2025-03-12T09:20:00Z"}], []),
        ("of which nobody knows when", [UPPER | {"at": ABSENT}, LOWER | {"at": ABSENT}], []),
        ("one of which is not final", [UPPER, LOWER | {"status": "preliminary"}], []),
        ("by different people", [UPPER | {"performer": {"name": [{"text": "A"}]}}, LOWER], []),
        ("measured twice, so that nobody knows which is whose", [UPPER, LOWER, pressure("72313002", 140)], []),
        ("in kilopascal", [pressure("72313002", 17, unit="kPa"), pressure("1091811000000102", 10, unit="kPa")], []),
        ("one that could not be read", [UPPER | {"value": UNKNOWN_ERROR}, LOWER], []),
        ("one that is words", [UPPER | {"value": "high"}, LOWER], []),
    ],
)
def test_which_pressures_are_one_measurement(what: str, measured: list[Any], together: list[tuple[int, int]]) -> None:
    given = (Context(), measured, SYSTOLIC, DIASTOLIC, "mm[Hg]", "final")
    made, left = (functions()[name].call(*given, want="") for name in ("pairs", "unpaired"))  # type: ignore[misc]
    pairs = [] if made is ABSENT else made
    assert [(one["first"]["value"]["value"], one["second"]["value"]["value"]) for one in pairs] == together, what
    # Nothing is lost and nothing is there twice.
    kept = [half for one in pairs for half in one.values()] + ([] if left is ABSENT else left)
    assert sorted(map(repr, kept)) == sorted(map(repr, measured))


def test_the_lists_of_pressures_are_two_halves_of_the_same() -> None:
    assert {one["display"] for one in rows("lists/systolic_pressures.csv")} == {
        one["display"] for one in rows("lists/diastolic_pressures.csv")
    }
    for half in (SYSTOLIC, DIASTOLIC):
        assert all(CHECKS[member] == "Blood pressure" for member in half.members)
