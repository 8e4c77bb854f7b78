"""Which result is one of the six physical health checks of people with severe mental illness, by its code."""

from __future__ import annotations

import csv

import pytest

from mhbridge.mapping.library import built_in

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
