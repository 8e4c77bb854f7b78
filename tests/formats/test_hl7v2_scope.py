"""
The outline of HL7 v2 (mapping language §5.1): what a segment's name means inside a loop, and what a loop runs over.

Results and orders are told apart by the text of their fields: `r1a` belongs to the first order, `r2a` to the second.
"""

from __future__ import annotations

from typing import Any

import pytest

from mhbridge.formats import PathError, Scope, Source
from mhbridge.formats.hl7v2 import FORMAT, Value
from mhbridge.formats.hl7v2.outline import DEFAULTS, Outline, circle
from mhbridge.model import ABSENT, DELETED

ORU = FORMAT.declare("Europe/London", "", {"messages": ["ORU^R01"]})
HEADER = r"MSH|^~\&|LAB|RXX|||2026||ORU^R01^ORU_R01|C1|P|2.4"


def lines(*segments: str) -> str:
    return "\r".join(segments)


REPORT = lines(
    HEADER,
    "PID|1||9990000018^^^NHS",
    "NTE|1||message note",
    "PV1|1|I|WARD1",
    "ORC|RE|order1",
    "OBR|1|o1||FBC|||20260101",
    "NTE|1||o1 note",
    "OBX|1|NM|Hb||r1a",
    "NTE|1||r1a note one",
    "NTE|2||r1a note two",
    "OBX|2|NM|WCC||r1b",
    "SPM|1|specimen1",
    "OBR|2|o2||U+E",
    "OBX|1|NM|Na||r2a",
    "NTE|1||r2a note",
    "ORC|RE|order3",
    "OBR|3|o3||LFT",
)


def scan(text: str, *, loop: bool = False) -> Any:
    found = (FORMAT.scan_loop if loop else FORMAT.scan)(text, 0, len(text))
    assert found is not None
    assert found[1] == len(text)
    return found[0]


def parse(body: str) -> Any:
    ((message, _),) = FORMAT.messages(body.encode(), [])
    return message


def run(body: str, source: Source, loops: list[str], path: str, *, every: bool = False) -> list[Any]:
    """What `path` finds inside nested `$each` loops, one entry for each record."""
    scope = Scope(source)
    cursors = [FORMAT.cursor(parse(body))]
    for text in loops:
        loop, scope = FORMAT.loop(scan(text, loop=True), scope)
        cursors = [inner for cursor in cursors for inner in loop.cursors(cursor)]
    if every:
        read = FORMAT.every(scan(path), scope)
        return [[FORMAT.text(raw) for raw in read(cursor)] for cursor in cursors]
    first = FORMAT.first(scan(path), scope)
    return [FORMAT.text(raw) if isinstance(raw := first(cursor), Value) else raw for cursor in cursors]


@pytest.mark.parametrize(
    ("loops", "path", "found"),
    [
        pytest.param(["OBR"], "OBR-2", ["o1", "o2", "o3"], id="the segment itself"),
        pytest.param(["OBR"], "OBX-5", ["r1a", "r2a", ABSENT], id="what it owns"),
        pytest.param(["OBR"], "NTE-3", ["o1 note", ABSENT, ABSENT], id="never a result's note"),
        pytest.param(["OBR"], "ORC-2", ["order1", "order1", "order3"], id="what owns it"),
        pytest.param(["OBR"], "PID-3.1", ["9990000018"] * 3, id="the message's"),
        pytest.param(["OBR", "OBX"], "OBX-5", ["r1a", "r1b", "r2a"], id="nested"),
        pytest.param(["OBR", "OBX"], "NTE-3", ["r1a note one", ABSENT, "r2a note"], id="its own notes"),
        pytest.param(["OBR", "OBX"], "OBR-4", ["FBC", "FBC", "U+E"], id="its order"),
        pytest.param(["OBR", "OBX"], "ORC-2", ["order1"] * 3, id="its order's order"),
        pytest.param(["OBR", "OBX", "NTE"], "OBX-5", ["r1a", "r1a", "r2a"], id="three deep"),
        pytest.param(["OBR", "OBX", "NTE"], "OBR-2", ["o1", "o1", "o2"], id="up two"),
        pytest.param(["OBX"], "OBR-2", ["o1", "o1", "o2"], id="one place: every one below the message"),
        pytest.param(["ORC"], "ORC-2", ["order1", "order3"], id="orders"),
        pytest.param(["ORC", "OBR"], "OBR-2", ["o1", "o2", "o3"], id="orders, then requests"),
        pytest.param(["ORC", "OBX"], "OBX-5", ["r1a", "r1b", "r2a"], id="one place: at any depth"),
        pytest.param(["NTE"], "NTE-3", ["message note"], id="several places: those of the message"),
        pytest.param(["OBR/NTE"], "NTE-3", ["o1 note"], id="down by name"),
        pytest.param(["OBR/NTE"], "OBR-2", ["o1"], id="down by name, and up"),
        pytest.param(["OBR/OBX/NTE"], "NTE-3", ["r1a note one", "r1a note two", "r2a note"], id="down two by name"),
        pytest.param(["ORC/OBR/OBX"], "OBX-5", ["r1a", "r1b", "r2a"], id="from the top by name"),
        pytest.param(["ORC", "OBR/OBX"], "OBX-5", ["r1a", "r1b", "r2a"], id="by name from inside a loop"),
        pytest.param(['OBR[4="FBC"]', 'OBX[3="WCC"]'], "OBX-5", ["r1b"], id="with predicates"),
        pytest.param(["OBR[2]"], "OBX-5", ["r2a"], id="by position"),
        pytest.param(["OBR/OBX[1]"], "OBX-5", ["r1a", "r2a"], id="a position counts below each owner"),
        pytest.param(["OBR"], 'OBX[3="WCC"]-5', ["r1b", ABSENT, ABSENT], id="a predicate on what it owns"),
        pytest.param(["OBR"], 'OBR[4="FBC"]-2', ["o1", ABSENT, ABSENT], id="a predicate on itself"),
        pytest.param([], "OBX-5", ["r1a"], id="no loop, one place: the first anywhere"),
        pytest.param([], "NTE-3", ["message note"], id="no loop, several places: the message's own"),
        pytest.param(["OBX-5"], ".", ["r1a", "r1b", "r2a"], id="over a field"),
        pytest.param(["OBX", "OBX-5"], ".", ["r1a", "r1b", "r2a"], id="over a field of the loop's segment"),
        pytest.param(["OBR", "OBX-5"], ".", ["r1a", "r1b", "r2a"], id="over a field of what it owns"),
        pytest.param(["OBX-5"], "OBX-3", ["Hb", "WCC", "Na"], id="beside the field"),
        pytest.param(["OBX-5"], "NTE-3", ["r1a note one", ABSENT, "r2a note"], id="owned, from a field"),
        pytest.param(["OBX-5"], "OBR-2", ["o1", "o1", "o2"], id="owner, from a field"),
        pytest.param(["OBX-5"], "PID-3.1", ["9990000018"] * 3, id="the message's, from a field"),
    ],
)
def test_a_name_means_what_the_outline_says(loops: list[str], path: str, found: list[object]) -> None:
    assert run(REPORT, ORU, loops, path) == found


def test_every_is_bounded_like_first() -> None:
    assert run(REPORT, ORU, ["OBR"], "OBX-5", every=True) == [["r1a", "r1b"], ["r2a"], []]
    assert run(REPORT, ORU, ["OBR", "OBX"], "NTE-3", every=True) == [["r1a note one", "r1a note two"], [], ["r2a note"]]
    assert run(REPORT, ORU, [], "OBX-5", every=True) == [["r1a", "r1b", "r2a"]]


@pytest.mark.parametrize(
    ("loops", "path", "code"),
    [
        (["OBR", "PID"], "", "E207"),
        (["OBR", "DG1"], "", "E207"),
        (["OBR", "OBR"], "", "E207"),
        (["OBX", "OBR"], "", "E207"),
        (["OBX", "OBR-16"], "", "E207"),
        (["OBR/PID"], "", "E207"),
        (["NTE/OBX"], "", "E207"),
        (["OBX-5", "OBX-3"], "", "E207"),
        (["ORC", "NTE"], "", "E207"),
        (["ORC"], "OBX-5", "E207"),
        (["OBX"], "SPM-2", "E207"),
        (["OBX-5"], "SPM-2", "E207"),
        ([], ".", "E206"),
        ([], ".1", "E206"),
        (["OBX"], ".1", "E206"),
        (["."], "", "E206"),
        (["PDI"], "", "E205"),
        (["OBR/OBY"], "", "E205"),
        (["OBR"], "PDI-1", "E205"),
    ],
)
def test_what_cannot_be_meant_is_an_error(loops: list[str], path: str, code: str) -> None:
    with pytest.raises(PathError) as caught:
        run(REPORT, ORU, loops, path or "PID-1")
    assert caught.value.code == code


def test_the_place_of_an_error_is_that_of_its_step() -> None:
    for text, offset in (('OBR[4="FBC"]/OBY', 13), ('OBR[4="FBC"]/PID', 13), ("OBY", 0)):
        with pytest.raises(PathError) as caught:
            FORMAT.loop(scan(text, loop=True), Scope(ORU))
        assert (caught.value.offset, caught.value.width) == (offset, 3)


def test_the_hint_says_the_way_down() -> None:
    scope = Scope(ORU)
    _, inside = FORMAT.loop(scan("ORC", loop=True), scope)
    with pytest.raises(PathError) as caught:
        FORMAT.loop(scan("NTE", loop=True), inside)
    assert caught.value.hint == "go down by name: OBR/NTE"


GROUPS = {"OBR": ["NTE", "OBX", "SPM"], "SPM": ["OBX"], "OBX": ["NTE"]}
SPECIMENS = lines(HEADER, "OBR|1|o1", "OBX|1|||| result", "SPM|1|s1", "OBX|2||||of specimen", "NTE|1||its note")


def test_declared_groups_replace_the_outline() -> None:
    source = FORMAT.declare("Europe/London", "", {"messages": ["ORU^R01"], "groups": GROUPS})
    assert run(SPECIMENS, source, ["OBR/OBX"], "OBX-1") == ["1"]
    assert run(SPECIMENS, source, ["OBR/SPM/OBX"], "OBX-1") == ["2"]
    assert run(SPECIMENS, source, ["OBR", "SPM", "OBX"], "SPM-2") == ["s1"]
    assert run(SPECIMENS, source, ["OBR", "OBX"], "OBX-1") == ["1"]
    assert run(SPECIMENS, source, [], "OBX-1") == [ABSENT]
    assert run(SPECIMENS, ORU, [], "OBX-1") == ["1"]
    # An ORC owns nothing here, so it is the message's first.
    assert run(REPORT, source, ["OBR"], "ORC-2") == ["order1"] * 3


def test_an_order_without_its_group_is_the_messages_own() -> None:
    body = lines(HEADER, "OBX|1||||early", "OBR|1|o1", "OBX|1||||owned")
    assert run(body, ORU, ["OBR"], "OBX-5") == ["owned"]
    assert run(body, ORU, ["OBX"], "OBR-2") == [ABSENT, "o1"]
    assert run(body, ORU, [], "OBX-5") == ["early"]


ADT = FORMAT.declare("Europe/London", "", {"messages": ["ADT^A01", "ADT^A40"]})


def test_repetitions_are_looped_over() -> None:
    body = lines(
        "MSH|^~\\&|||||||ADT^A01",
        'PID|1||1^^^A~~""~2^^^NHS~3^^^A',
        "PV1|1|I||||||C1^ONE~C2^TWO",
        "PV1|2|I||||||C3^THREE",
    )
    assert run(body, ADT, ["PV1-8"], ".1") == ["C1", "C2", "C3"]
    assert run(body, ADT, ["PV1-8"], ".2") == ["ONE", "TWO", "THREE"]
    assert run(body, ADT, ["PV1-8"], "PV1-1") == ["1", "1", "2"]
    assert run(body, ADT, ["PV1[2]-8"], ".1") == ["C3"]
    assert run(body, ADT, ["PV1-8[2]"], ".1") == ["C2"]
    assert run(body, ADT, ['PID-3[4!="NHS"]'], ".1") == ["1", DELETED, "3"]
    assert run(body, ADT, ["PID-3"], ".") == ["1^^^A", DELETED, "2^^^NHS", "3^^^A"]
    assert run(body, ADT, ['PID-3[4="A"]'], ".4", every=True) == [["A"], ["A"]]


def test_a_merge_keeps_each_pair_together() -> None:
    body = lines("MSH|^~\\&|||||||ADT^A40", "PID|1||1", "MRG|10", "PID|2||2", "MRG|20")
    assert run(body, ADT, ["PID"], "MRG-1") == ["10", "20"]
    assert run(body, ADT, [], "MRG-1", every=True) == [["10", "20"]]


def test_outlines_are_joined_for_several_messages() -> None:
    procedures = lines("MSH|^~\\&|||||||ADT^A01", "ROL|1", "PR1|1", "ROL|2", "ROL|3", "PR1|2")
    assert run(procedures, ADT, ["PR1"], "ROL-1", every=True) == [["2", "3"], []]
    assert run(procedures, ADT, [], "ROL-1", every=True) == [["1"]]


def test_links_are_made_once_for_one_outline() -> None:
    message = parse(REPORT)
    scope = Scope(ORU)
    loop, inside = FORMAT.loop(scan("OBR", loop=True), scope)
    read = FORMAT.first(scan("OBX-5"), inside)
    other, same = FORMAT.loop(
        scan("OBX", loop=True), Scope(FORMAT.declare("Europe/London", "", {"messages": ["ORU^R01"]}))
    )
    above = FORMAT.first(scan("OBR-2"), same)
    assert [bool(read(cursor)) for cursor in loop.cursors(message)] == [True, True, False]
    assert all(above(cursor) for cursor in other.cursors(message))
    assert len(message._links) == 1


# --- the outline itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DEFAULTS)
def test_the_outlines_that_messages_bring_have_no_circle(kind: str) -> None:
    assert circle(DEFAULTS[kind]) == ""


def test_all_outlines_together_have_no_circle() -> None:
    source = FORMAT.declare("Europe/London", "", {"messages": sorted({kind.partition("^")[0] for kind in DEFAULTS})})
    assert FORMAT.loop(scan("OBX", loop=True), Scope(source))


def test_places_are_counted_without_walking_every_way() -> None:
    # A chain of diamonds has 2^n ways down; they are counted, never listed.
    groups: dict[str, tuple[str, ...]] = {}
    for n in range(10, 99):
        groups[f"Z{n}"] = (f"Y{n}", f"X{n}")
        groups[f"Y{n}"] = groups[f"X{n}"] = (f"Z{n + 1}",)
    tree = Outline(groups)
    assert tree.places("Z99") == 2**89
    assert "Z10" in tree.above("Z99")
    assert circle(groups) == ""
    assert circle({**groups, "Z99": ("Z10",)}) != ""
