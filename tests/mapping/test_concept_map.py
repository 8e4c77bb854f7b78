"""FHIR ConceptMaps as code tables: what a table can say is said, and everything else is an error with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mhbridge.cli import commands
from mhbridge.errors import explanations
from mhbridge.mapping.catalogue import load
from mhbridge.mapping.code_files import load_table
from mhbridge.mapping.concept_map import read_concept_map, table_text
from mhbridge.model import Severity

TABLE = Path(__file__).parent / "broken" / "concept_maps.txt"
SYSTEMS = load([]).systems()
GENDER = "http://hl7.org/fhir/administrative-gender"
SOURCE = "http://terminology.hl7.org/CodeSystem/v2-0004"


def concept_map(*elements: dict[str, Any], **group: Any) -> dict[str, Any]:
    return {
        "resourceType": "ConceptMap",
        "status": "active",
        "group": [{"source": SOURCE, "sourceVersion": "2.9", "target": GENDER, "element": list(elements), **group}],
    }


def read(value: Any) -> tuple[tuple[tuple[str, ...], ...], list[str]]:
    rows, diagnostics = read_concept_map("map.json", json.dumps(value, indent=1), SYSTEMS)
    return rows, [diagnostic.code for diagnostic in diagnostics]


def to(code: str, equivalence: str = "equal", **more: Any) -> dict[str, Any]:
    return {"code": code, "equivalence": equivalence, **more}


def test_a_concept_map_is_a_table() -> None:
    rows, codes = read(
        concept_map(
            {"code": "01", "target": [to("male", display='Male, "m"')]},
            {"code": "1", "target": [to("female", "wider"), {"equivalence": "unmatched"}]},
            {"code": "X", "target": [{"equivalence": "disjoint", "code": "other"}]},
            {"code": "Y"},
            {"code": "01", "target": [to("male", display='Male, "m"')]},
        )
    )
    assert codes == []
    assert [row[2:3] + row[5:] for row in rows] == [
        ("01", "male", 'Male, "m"', "equal"),
        ("1", "female", "", "wider"),
        ("X", "", "", "disjoint"),
        ("Y", "", "", "unmatched"),
    ]
    assert {row[:2] + row[3:5] for row in rows} == {("hl7v2-0004", "2.9", "administrative-gender", "")}
    table, diagnostics = load_table("map.csv", table_text(rows), SYSTEMS)
    assert diagnostics == ()
    assert {code: found[0].target_code for code, found in table.rows.items()} == {
        "01": "male", "1": "female", "X": "", "Y": "",
    }  # fmt: skip


def cases() -> list[tuple[str, str, str]]:
    found = []
    for case in TABLE.read_text("utf-8").split("\n=== ")[1:]:
        name, rest = case.split("\n", 1)
        source, expected = rest.split("\n>>>\n")
        found.append((name, source, expected.strip("\n")))
    return found


@pytest.mark.parametrize(("name", "text", "expected"), cases(), ids=[name for name, _, _ in cases()])
def test_what_would_have_to_be_guessed_is_an_error_with_its_place(name: str, text: str, expected: str) -> None:
    rows, diagnostics = read_concept_map("map.json", text, SYSTEMS)
    assert "\n".join(diagnostic.render() for diagnostic in diagnostics) == expected
    assert all(diagnostic.code in explanations() for diagnostic in diagnostics)
    assert bool(rows) is all(diagnostic.severity is Severity.WARNING for diagnostic in diagnostics), name


def test_nothing_of_a_concept_map_is_left_out_in_silence() -> None:
    """Each target and each mapping that is taken away, or doubled, changes the table or is said."""
    whole = concept_map(*({"code": str(n), "target": [to("male")]} for n in range(4)))
    before = read(whole)
    for n in range(4):
        for change in ("gone", "doubled", "twice"):
            changed = json.loads(json.dumps(whole))
            elements = changed["group"][0]["element"]
            if change == "gone":
                del elements[n]
            elif change == "doubled":
                elements[n]["target"].append(to("female"))
            else:
                elements.append({"code": str(n), "target": [to("other")]})
            assert read(changed) != before


def test_the_command_writes_a_table_or_nothing(tmp_path: Path) -> None:
    file, out = tmp_path / "map.json", tmp_path / "table.csv"
    file.write_text(json.dumps(concept_map({"code": "I", "target": [to("male")]})))
    done = CliRunner().invoke(commands, ["codes", "import", str(file)], standalone_mode=False)
    assert (done.return_value, done.stdout.splitlines()[1]) == (
        0,
        "hl7v2-0004,2.9,I,administrative-gender,,male,,equal",
    )
    done = CliRunner().invoke(commands, ["codes", "import", str(file), "--out", str(out)], standalone_mode=False)
    assert (done.return_value, len(out.read_text().splitlines())) == (0, 2)
    out.unlink()
    file.write_text(json.dumps(concept_map({"code": "I", "target": [to("male"), to("female")]})))
    done = CliRunner().invoke(commands, ["codes", "import", str(file), "--out", str(out)], standalone_mode=False)
    assert done.return_value == 1
    assert "E581" in done.stderr
    assert not out.exists()
