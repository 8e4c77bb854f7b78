"""
The CSV files of codes: what they become, and every fault with its place.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from mhbridge.errors import explanations
from mhbridge.mapping.code_files import load_headings, load_list, load_systems, load_table
from mhbridge.mapping.codes import NO_SYSTEMS
from mhbridge.mapping.rows import Rows

SNOMED_OIDS = "2.16.840.1.113883.6.96 2.16.840.1.113883.2.1.3.2.4.15"
SYSTEMS_CSV = f"""system,title,r4,stu3,oid,v2
snomed,SNOMED CT,http://snomed.info/sct,http://snomed.info/sct,{SNOMED_OIDS},SCT SNOMED-CT
destination,"Discharge destination, CDS 6.2",https://r4.example/dest,https://stu3.example/dest,,0113
local,Local list,,,,L
"""
SYSTEMS, NONE = load_systems([("systems.csv", SYSTEMS_CSV)])
TABLE = "source_system,source_version,source_code,target_system,target_version,target_code,target_display,equivalence"


def rendered(diagnostics) -> str:
    return "\n".join(diagnostic.render() for diagnostic in diagnostics)


# --- systems -----------------------------------------------------------------------------------------------


def test_a_system_is_found_by_each_of_its_names() -> None:
    assert NONE == ()
    assert list(SYSTEMS.names()) == ["snomed", "destination", "local"]
    assert SYSTEMS.uri("destination", "r4") == "https://r4.example/dest"
    assert SYSTEMS.uri("destination", "stu3") == "https://stu3.example/dest"
    assert SYSTEMS.uri("local", "r4") is None
    assert SYSTEMS.uri("nothing", "r4") is None
    for said in (
        "SCT",
        "snomed-ct",
        "2.16.840.1.113883.6.96",
        "urn:oid:2.16.840.1.113883.2.1.3.2.4.15",
        "http://snomed.info/sct",
    ):
        assert SYSTEMS.named(said) == "snomed"
    assert SYSTEMS.named("snomed") is None, "our own name is not a name that messages use"
    assert SYSTEMS.of_uri("https://stu3.example/dest") == "destination"
    assert SYSTEMS.of_uri("https://other.example") == "https://other.example"
    assert not NO_SYSTEMS.known("snomed")


def test_a_supplier_adds_to_what_is_known() -> None:
    own = "system,title,r4,stu3,oid,v2\nsnomed,,,,1.2.3,MYSCT\nlocal,,https://r4.example/local,,,\nmine,Mine,,,,L\n"
    systems, problems = load_systems([("systems.csv", SYSTEMS_CSV), ("own.csv", own)])
    assert problems == ()
    assert (systems.named("MYSCT"), systems.named("SCT"), systems.named("1.2.3")) == ("snomed",) * 3
    assert systems.by_name["snomed"].title == "SNOMED CT"
    assert systems.uri("local", "r4") == "https://r4.example/local"
    assert systems.named("L") == "mine", "a sender's own name for its own list"
    assert SYSTEMS.named("L") == "local", "the shared systems are as they were"


def test_codes_are_values() -> None:
    with pytest.raises(FrozenInstanceError):
        SYSTEMS.by_name["snomed"].title = ""


# --- faults ------------------------------------------------------------------------------------------------


def faults() -> list[tuple[str, str, str, str]]:
    """(title, kind, text, what is reported) of every case in `codes/faults.txt`; `@TABLE` is the header of a table."""
    found = []
    for block in (Path(__file__).parent / "codes" / "faults.txt").read_text("utf-8").split("\n=== ")[1:]:
        title, rest = block.split("\n--- ", 1)
        kind, rest = rest.split("\n", 1)
        text, expected = rest.split("--- reports\n")
        found.append((title, kind, text.replace("@TABLE", TABLE), expected.strip("\n")))
    return found


FAULTS = faults()


def load(kind, text):
    match kind:
        case "systems":
            return load_systems([("x.csv", text)])
        case "table":
            return load_table("x.csv", text, SYSTEMS)
        case "list":
            return load_list("x.csv", text, SYSTEMS)
        case _:
            return load_headings("x.csv", text)


@pytest.mark.parametrize(("kind", "text", "expected"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_faults(kind, text, expected) -> None:
    _, problems = load(kind, text)
    assert rendered(problems) == expected


def test_a_code_that_lost_its_nought_in_a_spreadsheet_is_found_out() -> None:
    uri = "https://fhir.hl7.org.uk/CodeSystem/UKCore-LegalStatusClassificationEngland"
    systems, _ = load_systems([("systems.csv", f"system,title,r4,stu3,oid,v2\nlocal,,,,,\nmha,,{uri},,,\n")])
    rows = "local,1,A,mha,1,1,Informal,equal\nlocal,1,B,mha,1,02,,equal\nlocal,1,C,mha,1,,,unmatched\n"
    table, (problem,) = load_table("x.csv", f"{TABLE}\n{rows}", systems)
    assert (problem.code, str(problem.span), problem.hint) == ("E402", "x.csv:2:17", "did you mean '01'?")
    assert list(table.rows) == ["B", "C"]


def test_a_later_file_cannot_change_a_uri() -> None:
    oid = "2.16.840.1.113883.6.96"
    own = f"""system,title,r4,stu3,oid,v2
snomed,,http://snomed.info/sct,https://mine.example,{oid},
mine,,,,{oid},
"""
    systems, problems = load_systems([("systems.csv", SYSTEMS_CSV), ("own.csv", own)])
    assert [(p.code, str(p.span)) for p in problems] == [("E412", "own.csv:2:32"), ("E411", "own.csv:3:9")]
    assert systems.uri("snomed", "stu3") == "http://snomed.info/sct"
    assert systems.named(oid) == "snomed"


def test_every_code_is_explained() -> None:
    lines = [line for *_, expected in FAULTS for line in expected.splitlines()]
    codes = {line.split(": ")[1] for line in lines if line.startswith("x.csv")}
    assert codes == {"E401", "E403", "E408", "E409", "E410", "E411", "E413"}
    assert codes | {"E412"} <= explanations().keys()
    assert {"E402", "E404", "E405", "E406", "E407"} <= explanations().keys()


def test_what_is_wrong_is_left_out_and_the_rest_is_there() -> None:
    text = f"{TABLE}\nlocal,1,A,nowhere,1,111,,equal\nlocal,1,B,snomed,1,222,Two,wider\n"
    table, problems = load_table("x.csv", text, SYSTEMS, name="x", unmapped="omit")
    assert len(problems) == 1
    assert list(table.rows) == ["B"]
    assert (table.find("B").target_code, table.find("A"), table.unmapped, table.name) == ("222", None, "omit", "x")


# --- tables and lists --------------------------------------------------------------------------------------


def test_a_code_of_two_systems_is_found_only_when_the_system_is_said() -> None:
    table, problems = load_table(
        "x.csv", f"{TABLE}\nlocal,1,A,snomed,1,1,,equal\ndestination,1,A,snomed,1,2,,equal\n", SYSTEMS
    )
    assert problems == ()
    assert table.source_systems == ("local", "destination")
    assert table.source_system == ""
    assert table.find("A") is None
    assert table.find("A", "local").target_code == "1"
    assert table.find("A", "destination").target_code == "2"
    assert table.find("A", "snomed") is None


def test_codes_are_text() -> None:
    table, _ = load_table("x.csv", f"{TABLE}\nlocal,1,01,snomed,1,1,,equal\n", SYSTEMS)
    assert table.find("01").target_code == "1"
    assert table.find("1") is None


@pytest.mark.parametrize(
    ("date", "code"),
    [
        ("2021-09-30", "1"),
        ("2021-10-01", "2"),
        ("2021-09", "1"),
        ("2021", None),
        ("2025", "2"),
        ("", None),
        ("2021-09-30T10:00:00Z", "1"),
    ],
)
def test_a_row_holds_from_its_first_to_its_last_day(date, code) -> None:
    text = f"{TABLE},from,until\nlocal,1,A,snomed,1,1,,equal,,2021-09-30\nlocal,1,A,snomed,1,2,,equal,2021-10-01,\n"
    table, problems = load_table("x.csv", text, SYSTEMS)
    assert problems == ()
    assert table.dated
    row = table.find("A", date=date)
    assert (row.target_code if row else None) == code


def test_a_list_may_have_one_end_only() -> None:
    members, problems = load_list("x.csv", "system,code,display,until\nlocal,1,One,2021-09-30\nlocal,2,Two,\n", SYSTEMS)
    assert problems == ()
    assert members.codes == {("local", "1"), ("local", "2")}
    assert members.dated
    assert members.holds("local", "1", "2021-10-01") is False
    assert members.holds("local", "1", "2021") is None
    assert members.holds("local", "2") is True
    assert members.holds("snomed", "1", "2021-01-01") is False


# --- headings ----------------------------------------------------------------------------------------------


def test_r4_writes_both_codings_and_stu3_the_snomed_one() -> None:
    text = (
        "heading,title,r4,r4_display,snomed,snomed_display,discharge\n"
        "family-history,Family history,family-history,Family history,887111000000104,,required\n"
        "local-heading,Ours,,,,,\n"
    )
    headings, problems = load_headings("headings.csv", text)
    assert problems == ()
    found = headings["family-history"]
    assert found.codings("r4") == (
        {
            "system": "https://fhir.hl7.org.uk/CodeSystem/UKCore-RecordStandardHeadings",
            "code": "family-history",
            "display": "Family history",
        },
        {"system": "http://snomed.info/sct", "code": "887111000000104"},
    )
    assert found.codings("stu3") == ({"system": "http://snomed.info/sct", "code": "887111000000104"},)
    assert (found.title, found.needs) == ("Family history", {"discharge": "required"})
    assert headings["local-heading"].codings("r4") == ()


# --- cells -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", [("1", "2")]),
        ("\ufeffa,b\r\n1,2\r\n\r\n3,4", [("1", "2"), ("3", "4")]),
        ("a,b\r1,\r", [("1", "")]),
        ("a,b\n1,", [("1", "")]),
        ('a,b\n"x, ""y""",\n', [('x, "y"', "")]),
        ('a,b\n"two\nlines",2\n3,4', [("two\nlines", "2"), ("3", "4")]),
        ("a,b\n 1 , 2 \n", [("1", "2")]),
        ("a,b\n", []),
    ],
)
def test_cells(text, expected) -> None:
    rows = Rows("x.csv", text, ("a", "b"))
    assert [(line["a"], line["b"]) for line in rows] == expected
    assert rows.diagnostics == []


def test_places_are_right_after_a_cell_of_several_lines() -> None:
    rows = Rows("x.csv", 'a,b\n"two\nlines",2\n3,4', ("a", "b"))
    first, second = rows
    assert str(first.cells["a"].span) == "x.csv:2:1"
    assert (first.cells["a"].span.end_line, first.cells["a"].span.end_column) == (3, 7)
    assert str(first.cells["b"].span) == "x.csv:3:8"
    assert str(second.cells["b"].span) == "x.csv:4:3"
