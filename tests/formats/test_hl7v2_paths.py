"""HL7 v2 paths: what is one, where it ends, what it finds, and what is said about one that is wrong."""

from __future__ import annotations

import pytest

from mhbridge.formats import Path, PathError, Scope
from mhbridge.formats.hl7v2 import FORMAT, Message, Value
from mhbridge.formats.hl7v2.structure import VERSIONS, structure
from mhbridge.model import ABSENT, DELETED

SOURCE = FORMAT.declare("Europe/London", "", {"messages": ["ADT^A03"], "version": "2.4"})
SCOPE = Scope(SOURCE)

SEGMENTS = (
    r"MSH|^~\&|PAS|RXX|HUB|RYY|20260101120000||ADT^A03^ADT_A03|C1|P|2.4",
    'PID|1||9990000018^^^NHS&2.16&ISO^NH~L1^^^RXX^PI~""~~L3||TESTPATIENT&VON^ANNA^""^^MS||""|F|~second|^^|   ',
    "NK1|1|KIN^ONE|1^Spouse",
    "NK1|2|KIN^TWO|20^Carer||07000000001~07000000002",
    "NK1|3",
    "DG1|1||F322^Severe^ICD10|||A",
    "DG1|2||Z915^Self-harm^ICD10|||W",
    "DG1|3||F10^Other^ICD10|||A",
    r"OBX|1|TX|FORM^Formulation^L||first ^ line~second & line|||||H~A",
    r"OBX|2|ED|PLAN^Plan^L||^AP^PDF^Base64^JVBERi0=",
    r"OBX|3|TX|PLAN||A\F\B says \"go\"",
    "ZU1|1|A^B&C",
)
BODY = "\r".join(SEGMENTS)


def message() -> Message:
    ((found, _),) = FORMAT.messages(BODY.encode(), [])
    assert isinstance(found, Message)
    return found


MESSAGE = message()


def scan(text: str, *, loop: bool = False) -> Path:
    found = (FORMAT.scan_loop if loop else FORMAT.scan)(text, 0, len(text))
    assert found is not None
    assert found[1] == len(text)
    return found[0]


def show(raw: object) -> object:
    return FORMAT.text(raw) if isinstance(raw, Value) else raw


# --- what a path finds -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "first", "every"),
    [
        ("PID-8", "F", ["F"]),
        ("PID-5.2", "ANNA", ["ANNA"]),
        ("PID-5.1", "TESTPATIENT&VON", ["TESTPATIENT&VON"]),
        ("PID-5.1.1", "TESTPATIENT", ["TESTPATIENT"]),
        ("PID-5.1.2", "VON", ["VON"]),
        ("PID-5.1.3", ABSENT, []),
        ("PID-5.2.1", "ANNA", ["ANNA"]),
        ("PID-5.2.2", ABSENT, []),
        ("PID-5.3", DELETED, [DELETED]),
        ("PID-5.3.1", DELETED, [DELETED]),
        ("PID-5.4", ABSENT, []),
        ("PID-5.9", ABSENT, []),
        ("PID-3.1", "9990000018", ["9990000018", "L1", DELETED, "L3"]),
        ("PID-3.4", "NHS&2.16&ISO", ["NHS&2.16&ISO", "RXX", DELETED]),
        ("PID-3.4.1", "NHS", ["NHS", "RXX", DELETED]),
        ("PID-3[2].1", "L1", ["L1"]),
        ("PID-3[3].1", DELETED, [DELETED]),
        ("PID-3[4].1", ABSENT, []),
        ("PID-3[9].1", ABSENT, []),
        ('PID-3[4="NHS"].1', "9990000018", ["9990000018"]),
        ('PID-3[4.1="NHS"].1', "9990000018", ["9990000018"]),
        ('PID-3[4.2="2.16"].1', "9990000018", ["9990000018"]),
        ('PID-3[4="RXX" and 5="PI"].1', "L1", ["L1"]),
        ('PID-3[4="RXX"and 5="NH"].1', ABSENT, []),
        ('PID-3[ 4 = "RXX" ].1', "L1", ["L1"]),
        ('PID-3[4!="NHS"].1', "L1", ["L1", DELETED, "L3"]),
        ('PID-3[4!="NHS" and 4!="RXX" and 1!="L3"].1', DELETED, [DELETED]),
        ("PID-7", DELETED, [DELETED]),
        ("PID-7.1", DELETED, [DELETED]),
        ("PID-7.2.3", DELETED, [DELETED]),
        ("PID-9", ABSENT, ["second"]),
        ("PID-10", ABSENT, []),
        ("PID-11", ABSENT, []),
        ("PID-40", ABSENT, []),
        ("PV1-3", ABSENT, []),
        ("NK1-2.2", "ONE", ["ONE", "TWO"]),
        ("NK1[2]-2.2", "TWO", ["TWO"]),
        ("NK1[4]-2.2", ABSENT, []),
        ('NK1[3="20"]-2.2', "TWO", ["TWO"]),
        ("NK1-5", ABSENT, ["07000000001", "07000000002"]),
        ('DG1[6="A"]-3.1', "F322", ["F322", "F10"]),
        ('DG1[6!="A"]-3.1', "Z915", ["Z915"]),
        ('DG1[16="X"]-3.1', ABSENT, []),
        ('OBX[3.1="PLAN" and 2="TX"]-5', 'A|B says \\"go\\"', ['A|B says \\"go\\"']),
        ('OBX[3="PLAN"]-1', "2", ["2", "3"]),
        ('OBX[3.2="Plan"]-1', "2", ["2"]),
        ('OBX[3="FORM"]-5', "first ^ line", ["first ^ line", "second & line"]),
        ('OBX[10="H"]-1', "1", ["1"]),
        ('OBX[10="A"]-1', ABSENT, []),
        ("OBX[2]-5.5", "JVBERi0=", ["JVBERi0="]),
        ("MSH-1", "|", ["|"]),
        ("MSH-2", "^~\\&", ["^~\\&"]),
        ("MSH-9.2", "A03", ["A03"]),
        ('MSH[2="^~\\\\&"]-3', "PAS", ["PAS"]),
        ('MSH[1="|"]-3', "PAS", ["PAS"]),
        ("ZU1-2.2.2", "C", ["C"]),
    ],
)
def test_a_path_finds(path: str, first: object, every: list[object]) -> None:
    parsed = scan(path)
    assert show(FORMAT.first(parsed, SCOPE)(MESSAGE)) == first
    assert [show(raw) for raw in FORMAT.every(parsed, SCOPE)(MESSAGE)] == every


def test_first_is_of_the_first_segment_alone() -> None:
    # The second PID is another patient: its NHS number must never stand in for one that the first has not.
    body = "MSH|^~\\&|||||||ADT^A40\rPID|1||L1^^^RXX\rPID|2||9990000026^^^NHS"
    ((two, _),) = FORMAT.messages(body.encode(), [])
    assert FORMAT.first(scan('PID-3[4="NHS"].1'), SCOPE)(two) is ABSENT


def test_a_value_reads_its_parts() -> None:
    value = FORMAT.first(scan("PID-5"), SCOPE)(MESSAGE)
    assert value.text == 'TESTPATIENT&VON^ANNA^""^^MS'
    assert value.components == 5
    assert [value.component(n) for n in range(1, 8)] == ["TESTPATIENT", "ANNA", "", "", "MS", "", ""]
    assert (value.component(1, 2), value.component(1, 3), value.component(2, 2)) == ("VON", "", "")
    assert value.subcomponents(1) == ["TESTPATIENT", "VON"]
    assert (value.subcomponents(3), value.subcomponents(4), value.subcomponents(9)) == ([""], [], [])
    assert (value.whole(1), value.whole(3), value.whole(9)) == ("TESTPATIENT&VON", "", "")
    assert (value.empty, value.deleted) == (False, False)


def test_a_component_is_taken_apart_one_level_deeper() -> None:
    authority = FORMAT.first(scan("PID-3.4"), SCOPE)(MESSAGE)
    assert authority.components == 3
    assert [authority.component(n) for n in (1, 2, 3, 4)] == ["NHS", "2.16", "ISO", ""]
    assert authority.component(1, 2) == ""
    assert authority.says("NHS")
    leaf = FORMAT.first(scan("PID-3.4.2"), SCOPE)(MESSAGE)
    assert (leaf.components, leaf.component(1), leaf.component(2)) == (1, "2.16", "")


def test_a_value_finds_its_companions() -> None:
    value = FORMAT.first(scan("OBX[2]-5"), SCOPE)(MESSAGE)
    kind = value.field(2)
    assert kind is not None
    assert kind.text == "ED"
    assert value.field(6) is None
    assert value.field(99) is None
    deleted = FORMAT.first(scan("PID-8"), SCOPE)(MESSAGE).field(7)
    assert deleted is not None
    assert (deleted.deleted, deleted.text, deleted.component(1)) == (True, "", "")
    separators = FORMAT.first(scan("MSH-9"), SCOPE)(MESSAGE).field(2)
    assert separators is not None
    assert separators.text == "^~\\&"


# --- what is a path ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "start", "taken"),
    [
        ("PID-3", 0, "PID-3"),
        ("PID-3.1 or PID-2", 0, "PID-3.1"),
        ('(PID-3[4="NHS"].1)', 1, 'PID-3[4="NHS"].1'),
        ("PV1-45 or EVN-6", 10, "EVN-6"),
        ("code(PV1-37, destination)", 5, "PV1-37"),
        ('OBX[3.1="a \\"b\\" ]"]-5|lines', 0, 'OBX[3.1="a \\"b\\" ]"]-5'),
        (".", 0, "."),
        (". | lines", 0, "."),
        (".1", 0, ".1"),
        (".4.2 = x", 0, ".4.2"),
        ("a.b", 1, None),
        (".code", 0, None),
        ("pid-3", 0, None),
        ('"PID-3"', 0, None),
        ("3", 0, None),
        ("", 0, None),
    ],
)
def test_the_longest_path_is_taken(text: str, start: int, taken: str | None) -> None:
    found = FORMAT.scan(text, start, len(text))
    if taken is None:
        assert found is None
    else:
        assert found is not None
        assert found[0].text == taken
        assert found[1] == start + len(taken)
        assert found[0] == scan(taken)


def test_a_path_ends_where_its_text_ends() -> None:
    found = FORMAT.scan("PID-34", 0, 5)
    assert found is not None
    assert found[0].text == "PID-3"


@pytest.mark.parametrize(
    ("text", "code", "offset"),
    [
        ("PID", "E107", 0),
        ("PID or x", "E107", 0),
        ("PID-", "E107", 4),
        ("PID-x", "E107", 4),
        ("PID-0", "E107", 4),
        ("PID-1001", "E107", 4),
        ("PID-3.", "E107", 6),
        ("PID-3.0", "E107", 6),
        ("PID-3.x", "E107", 6),
        ("PID-3-1", "E107", 5),
        ("PID-3.1.2.3", "E107", 9),
        (".1.2.3", "E107", 4),
        ("PID-3[", "E107", 6),
        ("PID-3[]", "E107", 6),
        ("PID-3[0]", "E107", 6),
        ("PID-3[4]x]", None, 0),
        ("PID-3[x]", "E107", 6),
        ("PID-3[4", "E107", 7),
        ('PID-3[4="NHS"', "E107", 5),
        ('PID-3[4="NHS" or 5="x"]', "E107", 14),
        ("PID-3[4='NHS']", "E107", 8),
        ('PID-3[4!"NHS"]', "E107", 8),
        ('PID-3[4~"NHS"]', "E107", 7),
        ('PID-3[4=""]', "E107", 8),
        ('PID-3[4.1.1="x"]', "E107", 9),
        ('OBX[3.1.1.1="x"]-5', "E107", 9),
        ("Pid-3", "E205", 0),
        ("PIDX-3", "E205", 0),
        ("PI-3", "E205", 0),
        ("P_D-3", "E205", 0),
    ],
)
def test_what_goes_wrong_is_said_with_its_place(text: str, code: str | None, offset: int) -> None:
    if code is None:
        found = FORMAT.scan(text, 0, len(text))
        assert found is not None
        assert found[0].text == "PID-3[4]"
        return
    with pytest.raises(PathError) as caught:
        FORMAT.scan(f"= {text}", 2, 2 + len(text))
    assert (caught.value.code, caught.value.offset) == (code, offset)
    assert caught.value.width >= 1


@pytest.mark.parametrize(("name", "hint"), [("PDI", "PID"), ("PVI", "PV"), ("OBY", "OB"), ("XQW", "begins with Z")])
def test_an_unknown_segment_is_said_with_a_guess(name: str, hint: str) -> None:
    for ask in (FORMAT.source_type, FORMAT.first, FORMAT.every):
        with pytest.raises(PathError) as caught:
            ask(scan(f"{name}-1"), SCOPE)
        assert caught.value.code == "E205"
        assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("NK1", 3),
        ('OBX[3.1="FORM"]', 15),
        ('DG1[6="A"] x', 10),
        ("PV1-7", 5),
        ('PID-3[4!="NHS"]', 15),
        ("OBR/NTE", 7),
        ('ORC/OBR[4="x"]/OBX-5', 20),
        (".", 1),
    ],
)
def test_loops_have_paths_of_their_own(text: str, end: int) -> None:
    found = FORMAT.scan_loop(text, 0, len(text))
    assert found is not None
    assert found[1] == end


@pytest.mark.parametrize(("text", "offset"), [("PV1-7.1", 5), ("OBR/", 4), ("OBR/obx", 4), ("OBR-4/OBX", None)])
def test_what_goes_wrong_in_a_loop(text: str, offset: int | None) -> None:
    if offset is None:
        assert FORMAT.scan_loop(text, 0, len(text)) == FORMAT.scan_loop(text[:5], 0, 5)
        return
    with pytest.raises(PathError) as caught:
        FORMAT.scan_loop(text, 0, len(text))
    assert caught.value.offset == offset


# --- types -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("PID-3", "CX"),
        ("PID-3.1", "ST"),
        ("PID-3.4", "HD"),
        ("PID-3.4.1", "IS"),
        ("PID-5", "XPN"),
        ("PID-5.1", "FN"),
        ("PID-5.1.1", "ST"),
        ("PID-7", "TS"),
        ("PID-7.1", "DTM"),
        ("PID-8", "IS"),
        ("PID-8.1", "IS"),
        ("PID-8.2", "undeclared"),
        ("PV1-3", "PL"),
        ("PV1-7", "XCN"),
        ("PV1-45", "TS"),
        ("PD1-3", "XON"),
        ("PID-11", "XAD"),
        ("PID-13", "XTN"),
        ("DG1-3", "CE"),
        ("OBX-5", "varies"),
        ("OBX-5.1", "undeclared"),
        ("TXA-12", "EI"),
        ("NTE-3", "FT"),
        ("EVN-6", "TS"),
        ("MSH-1", "ST"),
        ("MSH-9.2", "ID"),
        ("ZU1-20", "undeclared"),
        ("SPM-4", "CWE"),  # of v2.5, and sent before it was
    ],
)
def test_types_are_the_standards(path: str, expected: str) -> None:
    assert FORMAT.source_type(scan(path), SCOPE) == expected


# Read off the chapters of each version, not off the table.
@pytest.mark.parametrize(
    ("path", "by_version"),
    [
        ("PID-7", {"2.3": "TS", "2.4": "TS", "2.5.1": "TS", "2.6": "DTM", "2.8": "DTM"}),
        ("PID-10", {"2.3": "IS", "2.3.1": "CE", "2.5.1": "CE", "2.7": "CWE"}),
        ("PID-8", {"2.3": "IS", "2.6": "IS", "2.7": "CWE"}),
        ("PID-5.1", {"2.3": "ST", "2.4": "FN", "2.8.2": "FN"}),
        ("PID-19", {"2.3": "ST", "2.8": "ST"}),  # withdrawn with v2.7, and sent all the same
        ("PV1-37", {"2.3": "DLD", "2.4": "DLD", "2.5": "DLD"}),
        ("OBX-3", {"2.3": "CE", "2.5.1": "CE", "2.6": "CWE"}),
        ("OBX-19", {"2.4": "TS", "2.6": "DTM"}),
        ("OBX-23", {"2.5.1": "XON", "2.8": "XON"}),
        ("OBR-15", {"2.3": "SPS", "2.5": "SPS"}),
        ("TXA-5", {"2.3": "XCN", "2.8": "XCN"}),
    ],
)
def test_types_change_with_the_version(path: str, by_version: dict[str, str]) -> None:
    found = {}
    for version in by_version:
        source = FORMAT.declare("Europe/London", "", {"messages": ["ADT"], "version": version})
        found[version] = FORMAT.source_type(scan(path), Scope(source))
    assert found == by_version


@pytest.mark.parametrize(
    ("path", "version", "said", "hint", "at"),
    [
        ("PID-70", "2.4", "PID has no field 70 in HL7 v2.4", "its last field is PID-38", (4, 2)),
        ("PID-70", "", "PID has no field 70 in any version of HL7 v2", "its last field is PID-40", (4, 2)),
        (
            "PID-39",
            "2.4",
            "PID has no field 39 in HL7 v2.4",
            "its last field is PID-38; it came with v2.5, and a mapping without `version` takes every version",
            (4, 2),
        ),
        (
            'OBX[3.1="A" and 11="F"]-23',
            "2.3",
            "OBX has no field 23 in HL7 v2.3",
            "its last field is OBX-17; it came with v2.5.1, and a mapping without `version` takes every version",
            (24, 2),
        ),
        (
            "PID-7.9",
            "2.3",
            "PID-7 is a TS in HL7 v2.3, which has no component 9",
            "a TS has 2 components",
            (6, 1),
        ),
        (
            "PID-3.7",
            "2.3",
            "PID-3 is a CX in HL7 v2.3, which has no component 7",
            "a CX has 6 components; component 7 came with v2.4",
            (6, 1),
        ),
        (
            'PID-3[20="NHS"].1',
            "2.4",
            "PID-3 is a CX in HL7 v2.4, which has no component 20",
            "a CX has 8 components",
            (0, 2),
        ),
        ('OBX[44="F"]-5', "2.4", "OBX has no field 44 in HL7 v2.4", "its last field is OBX-19", (0, 2)),
    ],
)
def test_what_a_version_has_not_is_an_error(path: str, version: str, said: str, hint: str, at: tuple[int, int]) -> None:
    source = FORMAT.declare("Europe/London", "", {"messages": ["ADT"], **({"version": version} if version else {})})
    with pytest.raises(PathError) as caught:
        FORMAT.source_type(scan(path), Scope(source))
    found = caught.value
    assert (found.code, found.message, found.hint, (found.offset, found.width)) == ("E205", said, hint, at)


@pytest.mark.parametrize("path", ["PID-39", "OBX-23", "PID-3.7", 'PID-3[10.1="W"].1', "PID-7"])
def test_the_control_another_version_has_it(path: str) -> None:
    for options in ({"version": "2.8.2"}, {}):
        source = FORMAT.declare("Europe/London", "", {"messages": ["ADT"], **options})
        assert FORMAT.source_type(scan(path), Scope(source)) != "undeclared"


def test_a_version_later_than_the_tables_may_have_more() -> None:
    source = FORMAT.declare("Europe/London", "", {"messages": ["ADT"], "version": "2.9"})
    assert FORMAT.source_type(scan("PID-70"), Scope(source)) == "undeclared"


@pytest.mark.parametrize("path", ["PV1-99", 'DG1[60="A"]'])
def test_a_loop_runs_over_what_there_is(path: str) -> None:
    with pytest.raises(PathError) as caught:
        FORMAT.loop(scan(path, loop=True), SCOPE)
    assert caught.value.code == "E205"


def test_relative_paths_have_the_type_of_the_field() -> None:
    _, inside = FORMAT.loop(scan("PV1-7", loop=True), SCOPE)
    assert [FORMAT.source_type(scan(path), inside) for path in (".", ".1", ".2", ".2.1")] == ["XCN", "ST", "FN", "ST"]
    _, local = FORMAT.loop(scan("ZU1-2", loop=True), SCOPE)
    assert FORMAT.source_type(scan("."), local) == "undeclared"


@pytest.mark.parametrize("version", ["", *VERSIONS])
def test_every_version_has_a_table(version: str) -> None:
    table = structure(version)
    assert table.type_of("PID", 3) == "CX"
    assert len(table.segments) > 100


@pytest.mark.parametrize("version", ["", *VERSIONS])
def test_every_type_in_the_table_is_a_type(version: str) -> None:
    table = structure(version)
    primitive = {"DT", "DTM", "FT", "ID", "IS", "NM", "SI", "ST", "TM", "TN", "TX", "varies", "CM", "GTS", "SNM"}
    used = {name for fields in (*table.segments.values(), *table.types.values()) for name in fields}
    assert used <= primitive | table.types.keys()
