"""
What the field ledger says of each leaf: one case for each state and for each way into it.

Whether it says the truth is proved elsewhere, by changing every leaf of every fixture (tests/test_proving.py).
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mhbridge.mapping.catalogue import Catalogue, SupplierMapping
from mhbridge.mapping.ledger import detailed, drawn_up
from mhbridge.mapping.library import Library
from mhbridge.model import LeafState

HERE = Path(__file__).parent
NOW = datetime(2025, 3, 14, 12, tzinfo=UTC)
HEADER = "MSH|^~\\&|PAS|ACME|GW|GW|20250314103000||ADT^A08|C1|P|2.4|||||||UNICODE UTF-8"
LEAST = [HEADER, "PV1|||||||||||||||||||V1^^^ACME"]

BOUND, SELECTOR, IGNORED = LeafState.BOUND, LeafState.SELECTOR, LeafState.IGNORED
PASSED, FAILED, OPEN = LeafState.PASSED_OVER, LeafState.FAILED, LeafState.UNMAPPED


def mapping(folder: Path, items: str = "", ignore: str = "{PV1-2: always an inpatient}") -> SupplierMapping:
    """The small mapping with other items put in, each on a line, and another list of what is ignored."""
    shutil.copytree(HERE / "small", folder / "small")
    path = folder / "small" / "suppliers" / "acme" / "note.yaml"
    text = path.read_text("utf-8").replace("{PV1-2: always an inpatient}", ignore)
    for item in items.splitlines():
        name = item.partition(":")[0]
        kept = [line for line in text.splitlines() if not line.strip().startswith(f"{name}:") or line[2:3] == " "]
        text = "\n".join(kept).replace("\nitems:", f"\nitems:\n  {item}", 1) + "\n"
    path.write_text(text, "utf-8")
    return Catalogue(Library([folder / "small"])).mapping("acme/note")


def leaves(made: SupplierMapping, *segments: str) -> dict[str, LeafState]:
    """Path → state of all leaves of a message but for its header."""
    body = "\r".join([*LEAST, *segments]) if not segments or not segments[0].startswith("MSH") else "\r".join(segments)
    ((message, takers),) = made.format.messages(body.encode(), [made.source])
    assert takers
    reading, taken = made.read_traced(message, NOW)
    detail = detailed(message, [taken])
    ledger = drawn_up(message, [taken])
    assert reading.ledger == ledger
    assert ledger.leaves == len(detail)
    assert ledger.counts == {state: sum(leaf.state is state for leaf in detail) for state in LeafState}
    for state, paths in ((FAILED, ledger.failed), (PASSED, ledger.passed_over), (OPEN, ledger.unmapped)):
        assert paths == tuple(leaf.path for leaf in detail if leaf.state is state)
    return {leaf.path: leaf.state for leaf in detail if not leaf.path.startswith("MSH")}


PID = "PID|||{}||{}|||{}"

CASES = {
    "a name as far as its conversion goes": (
        "PID|||||ASH^ROWAN^^^DR^^L^X",
        {"PID-5.1": BOUND, "PID-5.2": BOUND, "PID-5.5": BOUND, "PID-5.7": BOUND, "PID-5.8": OPEN},
    ),
    "a use that FHIR has no word for": ("PID|||||ASH^^^^^^U", {"PID-5.1": BOUND, "PID-5.7": OPEN}),
    "one of two repetitions, chosen by its issuer": (
        "PID|||7^^^NHS~1^^^ACME^MR",
        {
            "PID-3[1].1": OPEN, "PID-3[1].4": SELECTOR, "PID-3[2].1": BOUND, "PID-3[2].4": BOUND, "PID-3[2].5": BOUND,
        },
    ),
    "the second of two that fit": (
        "PID|||1^^^ACME~2^^^ACME",
        {"PID-3[1].1": BOUND, "PID-3[1].4": BOUND, "PID-3[2].1": PASSED, "PID-3[2].4": PASSED},
    ),
    "the other alternative": ("EVN||20250101||||20250102", {"EVN-2.1": PASSED, "EVN-6.1": BOUND}),
    "the only alternative": ("EVN||20250101", {"EVN-2.1": BOUND}),
    "a date that is none": ("EVN||20250199", {"EVN-2.1": FAILED}),
    "a code that is not in its table and left out": ("PID||||||||7", {"PID-8": FAILED}),
    "what nobody mentions": ("PV2|||X^Y", {"PV2-3.1": OPEN, "PV2-3.2": OPEN}),
    "a repetition of a field that is one value": ("PID||||||||1~2", {"PID-8[1]": BOUND, "PID-8[2]": PASSED}),
    "what a loop does not take": (
        "DG1|||I10^Hypertension^I10|||W",
        {"DG1-3.1": OPEN, "DG1-3.2": OPEN, "DG1-3.3": OPEN, "DG1-6": SELECTOR},
    ),
    "what a loop takes": (
        "DG1|||I10^^I10|||A",
        {"DG1-3.1": BOUND, "DG1-3.3": BOUND, "DG1-6": SELECTOR},
    ),
    "a predicate looks at the first repetition": (
        "DG1|||I10^^I10|||A~B\rDG1|||I11^^I10|||~A",
        {
            "DG1[1]-3.1": BOUND, "DG1[1]-3.3": BOUND, "DG1[1]-6[1]": SELECTOR, "DG1[1]-6[2]": OPEN,
            "DG1[2]-3.1": OPEN, "DG1[2]-3.3": OPEN, "DG1[2]-6[2]": OPEN,
        },
    ),
    "an explicit delete": ('PID|||||""', {"PID-5.1": BOUND}),
    "several lines": (
        "NTE|1||one\rNTE|2||two",
        {"NTE[1]-1": OPEN, "NTE[1]-3": BOUND, "NTE[2]-1": OPEN, "NTE[2]-3": BOUND},
    ),
    "text with separators in it": ("NTE|||one^two&three", {"NTE-3.1": BOUND, "NTE-3.2.1": BOUND, "NTE-3.2.2": BOUND}),
    "blanks are nothing": ("PID|||||ASH^ ", {"PID-5.1": BOUND}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("segments", "expected"), [c for c in CASES.values() if c[1]], ids=[k for k, c in CASES.items() if c[1]]
)
def test_states(tmp_path, segments, expected) -> None:
    found = leaves(mapping(tmp_path), *segments.split("\r"))
    assert {path: state for path, state in found.items() if not path.startswith("PV1")} == expected


def test_what_is_remembered_of_shapes_holds_of_no_other_message(tmp_path) -> None:
    """One mapping for all messages, each of them twice, and each again with other words in the same places."""
    made = mapping(tmp_path)
    found = {}
    for name, (segments, _) in 2 * list(CASES.items()):
        for other in (segments, segments.replace("ACME", "PLUS"), segments.replace("|A", "|B"), f"{segments}\rZZZ|1"):
            again = leaves(made, *other.split("\r"))  # compares with what is found leaf by leaf
            assert found.setdefault((name, other), again) == again
    assert made.ledger.whole


def test_a_condition_selects(tmp_path) -> None:
    found = leaves(mapping(tmp_path), HEADER, "PV1||||||||||||||||N|||V1^^^ACME")
    assert found == {"PV1-16": SELECTOR, "PV1-19.1": BOUND, "PV1-19.4": BOUND}


@pytest.mark.parametrize(
    ("ignore", "state"),
    [
        ("{PV1-2: always}", {"PV1-2": IGNORED, "PV1-3.1": OPEN, "PV1-3.4": OPEN}),
        ("{PV1-3.4: one site}", {"PV1-2": OPEN, "PV1-3.1": OPEN, "PV1-3.4": IGNORED}),
        ("{PV1: of the stay}", {"PV1-2": IGNORED, "PV1-3.1": IGNORED, "PV1-3.4": IGNORED}),
        ("{'PV1-3[1=\"W\"].4': that ward}", {"PV1-2": OPEN, "PV1-3.1": OPEN, "PV1-3.4": IGNORED}),
        ("{'PV1[2=\"E\"]': emergencies}", {"PV1-2": OPEN, "PV1-3.1": OPEN, "PV1-3.4": OPEN}),
    ],
)
def test_what_is_ignored(tmp_path, ignore, state) -> None:
    """A segment, a field, a component; what is bound as well stays bound."""
    found = leaves(mapping(tmp_path, ignore=ignore), HEADER, "PV1||I|W^^^S||||||||||||||||V1^^^ACME")
    assert found == {**state, "PV1-19.1": BOUND, "PV1-19.4": BOUND}


@pytest.mark.parametrize(
    ("item", "segments", "expected"),
    [
        (
            "patient_name: '= if PV1-2 = \"I\" then PID-5'",
            ["PV1||O|||||||||||||||||V1", "PID|||||ASH"],
            {"PV1-2": SELECTOR, "PID-5.1": PASSED},
        ),
        (
            "patient_name: {$case: [{$when: PV1-2, $value: = PID-5}, {$value: = PID-9}]}",
            ["PV1||O|||||||||||||||||V1", "PID|||||ASH||||ELM"],
            {"PV1-2": SELECTOR, "PID-5.1": BOUND, "PID-9.1": PASSED},
        ),
        (
            "local_id: '= identifier(PID-18.1, PID-18.4)'",
            ["PV1|||||||||||||||||||V1", "PID||||||||||||||||||77"],
            {"PID-18.1": PASSED},
        ),
        (
            "local_id: '= identifier(PID-18.1, PID-18.4)'",
            ["PV1|||||||||||||||||||V1", "PID||||||||||||||||||77^^^X"],
            {"PID-18.1": BOUND, "PID-18.4": BOUND},
        ),
        (
            "summary: '= words(PV1-7)'",
            ["PV1|||||||G1^ELM^A^^^^^^GMC||||||||||||V1"],
            {"PV1-7.1": OPEN, "PV1-7.2": BOUND, "PV1-7.3": BOUND, "PV1-7.9": OPEN},
        ),
        (
            "summary: '= if exists(PID-2) then \"there\"'",
            ["PV1|||||||||||||||||||V1", "PID||77"],
            {"PID-2.1": SELECTOR},
        ),
        (
            "summary: '= if exists(PID-2) then \"there\"'",
            ["PV1|||||||||||||||||||V1", "PID||77^1"],
            {"PID-2.1": OPEN, "PID-2.2": OPEN},
        ),
    ],
    ids=["if", "case", "argument without its other", "both arguments", "words", "presence", "presence of several"],
)  # fmt: skip
def test_ways_not_taken(tmp_path, item, segments, expected) -> None:
    found = leaves(mapping(tmp_path, item, "{PV1-51: constant}"), HEADER, *segments)
    assert {path: state for path, state in found.items() if not path.startswith("PV1-19")} == expected


def test_the_header_as_far_as_it_is_acted_upon(tmp_path) -> None:
    made = mapping(tmp_path)
    header = (
        "MSH|^~\\&|PAS|ACME|GW|GWF|20250314103000|SEC|ADT^A08^ADT_A01|C1|P^A|2.4^GBR|1|2|AL|NE|GBR|UNICODE UTF-8~X|EN"
    )
    ((message, _),) = made.format.messages("\r".join([header, LEAST[1]]).encode(), [made.source])
    _, taken = made.read_traced(message, NOW)
    read = {leaf.path for leaf in detailed(message, [taken]) if leaf.state is SELECTOR}
    assert read == {
        "MSH-1", "MSH-2", "MSH-3.1", "MSH-4.1", "MSH-5.1", "MSH-6.1", "MSH-7.1", "MSH-9.1", "MSH-9.2", "MSH-10",
        "MSH-11.1", "MSH-12.1", "MSH-15", "MSH-18[1]",
    }  # fmt: skip


def test_two_mappings_together(tmp_path) -> None:
    """What one of them leaves open may be bound by the other; what fails in one has failed."""
    one = mapping(tmp_path / "a")
    other = mapping(tmp_path / "b", "patient_name: = PID-9")
    body = "\r".join([*LEAST, "PID|||||ASH|||7|ELM"]).encode()
    ((message, _),) = one.format.messages(body, [one.source])
    both = [made.read_traced(message, NOW)[1] for made in (one, other)]
    found = {leaf.path: leaf.state for leaf in detailed(message, both)}
    assert (found["PID-5.1"], found["PID-9.1"], found["PID-8"]) == (BOUND, BOUND, FAILED)
    assert drawn_up(message, both).counts == {state: list(found.values()).count(state) for state in LeafState}


def test_who_took_it(tmp_path) -> None:
    """The detailed ledger names the path that bound a leaf, the predicate that it satisfied, why it is ignored."""
    made = mapping(tmp_path)
    body = f"{HEADER}\rPV1||I|||||||||||||||||V1^^^ACME\rDG1|||I10|||A".encode()
    ((message, _),) = made.format.messages(body, [made.source])
    found = {leaf.path: leaf for leaf in detailed(message, [made.read_traced(message, NOW)[1]])}
    assert found["DG1-3.1"].by == ("DG1-3",)
    assert found["DG1-6"].by == ('DG1[6="A"]',)
    assert found["PV1-2"].reason == "always an inpatient"


def test_a_ledger_holds_paths_and_no_contents(tmp_path) -> None:
    found = mapping(tmp_path)
    canary = "ZQXJ7canary"
    body = "\r".join(
        [*LEAST, f"PID||{canary}^{canary}|{canary}~{canary}||{canary}&{canary}|{canary}|{canary}|{canary}"]
    )
    ((message, _),) = found.format.messages(body.encode(), [found.source])
    reading, taken = found.read_traced(message, NOW)
    assert canary not in repr(reading.ledger)
    assert canary not in repr(detailed(message, [taken]))


def test_an_entry_of_which_nothing_is_there_leaves_the_entry_before_it_alone(tmp_path) -> None:
    mapping(tmp_path)
    path = tmp_path / "small" / "suppliers" / "acme" / "note.yaml"
    text = path.read_text("utf-8")
    whole = text[text.index("    code:     = DG1-3") : text.index("ignore:")]
    path.write_text(text.replace(whole, "    code: = DG1-3 | code(sex)\n"), "utf-8")
    made = Catalogue(Library([tmp_path / "small"])).mapping("acme/note")
    found = leaves(made, "DG1|||2|||A", "DG1||||||A")
    assert found["DG1[1]-3.1"] is BOUND


def test_what_is_remembered_of_a_code_is_what_was_used_of_it_too(tmp_path) -> None:
    made = mapping(tmp_path, "gender: = DG1-3 | code(sex)")
    first, second = (leaves(made, "DG1|||2^Female^L") for _ in range(2))
    assert first == second
    assert (first["DG1-3.1"], first["DG1-3.2"]) == (BOUND, OPEN)
