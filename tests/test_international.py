"""
HL7 v2 from anywhere: the mappings `international/…`, by the events of the standard and by a corpus of public messages.

The corpus has no licence that would let it stand here: it lies where TEST_CORPUS says, and `data` beside it. What
becomes of it is counted by kind of message, state and code; the counts of what is done may only rise, and no reason for
a refusal may come that is not among those that were read and found right.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

import shipped
from mhbridge.errors import MessageError
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.validate import default_validator
from mhbridge.model import Outcome, Severity
from mhbridge.pipeline import Feed
from mhbridge.pipeline.alone import outcome_now
from mhbridge.testing.replaying import RECEIVED_AT, feed_of

HEAD = "MSH|^~\\&|CLINIQ|NORD|HUB|REGION|20250314103000+0100||{kind}|C-{kind}|T|{version}"
EVENT = "EVN|{event}|20250314103000+0100"
PATIENT = "PID|1||10023^^^NORD^MR||Lindgren^Åsa||19871121|F"
OTHER = "PID|2||10024^^^NORD^MR||Holm^Ida||19900101|F"
VISIT = "PV1|1|I|W3||||||||||||||||V-90017^^^NORD"


@pytest.fixture(scope="module")
def feed() -> Feed:
    return feed_of(shipped.catalogue(), "international")


def become(feed: Feed, *segments: str, kind: str, version: str = "2.5.1") -> Outcome:
    head = HEAD.format(kind=kind, version=version) + "||||||UNICODE UTF-8"
    (outcome,) = outcome_now(("\r".join((head, *segments)) + "\r").encode(), feed, RECEIVED_AT)
    return outcome


#: What the gateway does with each event of a patient (HL7 v2.8 chapter 3), as events are received in practice.
ACTS = {
    "new": "A01 A04 A05 A14 A28",
    "update": "A02 A03 A06 A07 A08 A09 A10 A12 A15 A16 A25 A26 A31 A32 A33 A54 A55 A60 A61 A62",
    "cancel": "A11 A13 A27 A38",
    "none": "A21 A22 A52 A53",
    "merge": "A18 A30 A34 A36 A39 A40 A46 A47",
    "unlink": "A37",
    # A person must look: records or visits are deleted (A23, A29), moved (A35, A41 to A45), renamed (A48 to A51),
    # swapped (A17) or linked without a word which of them stays (A24).
    "waits": "A17 A23 A24 A29 A35 A41 A42 A43 A44 A45 A48 A49 A50 A51",
}
TWO = ("A17", "A24", "A37")


@pytest.mark.parametrize("version", ["2.3", "2.4", "2.5.1", "2.8"])
@pytest.mark.parametrize(("act", "event"), [(act, event) for act, events in ACTS.items() for event in events.split()])
def test_what_is_done_with_each_event(feed: Feed, act: str, event: str, version: str) -> None:
    merges = event in ACTS["merge"].split() or "A41" <= event <= "A51" or event == "A35"
    beside = [OTHER] if event in TWO else ["MRG|99871^^^NORD^MR"] if merges else [VISIT]
    outcome = become(feed, EVENT.format(event=event), PATIENT, *beside, kind=f"ADT^{event}", version=version)
    (reading,) = outcome.readings
    if act == "waits":
        assert outcome.state == "parked"
        assert outcome.code in ("I601", "I602")
        return
    assert reading.act == act
    assert (outcome.state, outcome.code) == (("filtered", "M730") if act == "none" else ("done", ""))


def test_events_that_name_no_patient_or_ask_are_not_taken(feed: Feed) -> None:
    for event in ("A19", "A20"):
        outcome = become(feed, EVENT.format(event=event), kind=f"ADT^{event}")
        assert (outcome.state, outcome.code) == ("parked", "M710")


@pytest.mark.parametrize(
    ("event", "act", "relates"),
    [
        ("T01", "new", {}),
        ("T02", "new", {}),
        ("T03", "update", {}),
        ("T04", "update", {}),
        ("T05", "update", {"appends"}),
        ("T06", "update", {"appends"}),
        ("T07", "update", {}),
        ("T08", "update", {}),
        ("T09", "new", {"replaces"}),
        ("T10", "new", {"replaces"}),
        ("T11", "cancel", {}),
    ],
)
def test_what_is_done_with_each_event_of_a_document(feed: Feed, event: str, act: str, relates: set[str]) -> None:
    document = "TXA|1|CN|TX|20250313160000+0100|00417^Aalto|||||||D-2^NORD|D-1^NORD|||letter|AU||AV"
    outcome = become(feed, EVENT.format(event=event), PATIENT, VISIT, document, kind=f"MDM^{event}")
    (reading,) = outcome.readings
    assert (outcome.state, reading.act) == ("done", act)
    if act != "cancel":
        (made,) = outcome.documents
        composition = loads(made.body)["entry"][0]["resource"]
        assert {one["code"] for one in composition.get("relatesTo", ())} == set(relates)


@pytest.mark.parametrize(
    ("segments", "wanted"),
    [
        # An OBX belongs to its OBR and an NTE to what it stands behind, whatever stands between.
        (
            ("OBR|1||F1^L|A", "NTE|1||on A", "OBX|1|ST|a1||x", "NTE|1||on a1", "ZZZ|1", "NTE|2||more", "OBR|2||F2^L|B"),
            [("A", "on A", [("a1", "on a1\nmore")]), ("B", None, [])],
        ),
        # Out of order: an order's result before its visit, a specimen before the result.
        (
            ("OBR|1||F1^L|A", "SPM|1", "OBX|1|ST|a1||x", VISIT, "OBX|2|ST|a2||y"),
            [("A", None, [("a1", None), ("a2", None)])],
        ),
        # Several groups of ORC and OBR.
        (
            ("ORC|RE", "OBR|1||F1^L|A", "OBX|1|ST|a1||x", "ORC|RE", "OBR|2||F2^L|B", "OBX|1|ST|b1||y", "NTE|1||on b1"),
            [("A", None, [("a1", None)]), ("B", None, [("b1", "on b1")])],
        ),
    ],
)
def test_groups(feed: Feed, segments: tuple[str, ...], wanted: list[object]) -> None:
    outcome = become(feed, PATIENT, *segments, kind="ORU^R01")
    assert outcome.state == "done"
    (document,) = outcome.documents
    entries = {entry["fullUrl"]: entry["resource"] for entry in loads(document.body)["entry"]}
    found = []
    for report in entries.values():
        if report["resourceType"] == "DiagnosticReport":
            results = [entries[one["reference"]] for one in report.get("result", ())]
            said = [(_code(one), one.get("note", [{}])[0].get("text")) for one in results]
            found.append((_code(report), report.get("conclusion"), said))
    assert found == wanted


def _code(resource: dict) -> str:  # type: ignore[type-arg]
    code = resource["code"]
    return str(code.get("text") or code["coding"][0]["code"])


def test_a_patient_is_no_number_without_its_issuer(feed: Feed) -> None:
    """The same digits of two hospitals are two patients, of one hospital in any kind of message one."""
    event = (EVENT.format(event="A08"), VISIT)
    here = become(feed, *event, PATIENT, kind="ADT^A08").patient
    there = become(feed, *event, PATIENT.replace("NORD", "SYD"), kind="ADT^A08").patient
    result = become(feed, PATIENT, "OBR|1||F1^L|A", kind="ORU^R01").patient
    assert here is not None
    assert here != there
    assert here == result
    nobody = become(feed, *event, PATIENT.replace("10023^^^NORD^MR", ""), kind="ADT^A08")
    assert (nobody.state, nobody.code) == ("parked", "M722")


@pytest.mark.parametrize(
    ("event", "beside"), [("A40", "MRG|99871^^^NORD^MR"), ("A37", "PID|2||99871^^^NORD^MR||Lindgren^Aasa")]
)
def test_records_are_joined_and_parted_by_the_keys_of_all_other_messages(feed: Feed, event: str, beside: str) -> None:
    def key(number: str) -> object:
        return become(feed, PATIENT.replace("10023", number), "OBR|1||F1^L|A", kind="ORU^R01").patient

    outcome = become(feed, EVENT.format(event=event), PATIENT, beside, kind=f"ADT^{event}")
    (reading,) = outcome.readings
    assert (reading.patient, reading.merged_from) == (key("10023"), key("99871"))


def test_a_correction_updates_what_it_corrects(feed: Feed) -> None:
    def observation(value: str, status: str, place: int) -> dict[str, object]:
        segments = [PATIENT, "OBR|1||F1^L|A", "OBX|9|NM|z1||1|||||" + "|F"] if place > 1 else [PATIENT, "OBR|1||F1^L|A"]
        outcome = become(feed, *segments, f"OBX|{place}|NM|a1||{value}||||||{status}", kind="ORU^R01")
        (document,) = outcome.documents
        entries = [entry["resource"] for entry in loads(document.body)["entry"]]
        return next(one for one in entries if one["resourceType"] == "Observation" and _code(one) == "a1")

    first, second, third = observation("1", "F", 1), observation("2", "C", 2), observation("2", "W", 2)
    assert first["id"] == second["id"] == third["id"]
    assert [one["status"] for one in (first, second, third)] == ["final", "corrected", "entered-in-error"]


# --- the corpus --------------------------------------------------------------------------------------------

corpus = os.environ.get("TEST_CORPUS", "")
FOLDERS = [Path(corpus) / "hl7v2", *(Path(corpus).parent / "data" / one for one in ("hl7v2-nhs", "itk-hl7v2", "tie"))]

#: How many messages of the corpus become FHIR at least, by kind.
DONE = {
    "ADT^A01": 16,
    "ADT^A03": 6,
    "ADT^A04": 2,
    "ADT^A05": 1,
    "ADT^A08": 2,
    "ORU^R01": 39,
    "SIU^S12": 4,
    "SIU^S14": 3,
    "SIU^S15": 3,
}
#: Refusals that were read one by one and are right, and how many of each there are at most.
REFUSED = {
    ("ADT^A01", "I601"): 2,  # neither a visit number nor when the visit began
    ("ADT^A01", "M722"): 1,  # no PID
    ("ADT^A01", "M750"): 1,  # a visit that ends before it begins
    ("ADT^A08", "I601"): 2,  # a ward and a doctor, and no visit that they belong to: its number stands in PV1-18
    ("ADT^A24", "I601"): 1,  # a link of two records
    ("ADT^A28", "I601"): 1,  # born in the 13th month
    ("ADT^A31", "I601"): 1,  # the same
    ("ADT^A40", "I601"): 2,  # EVN-2 is no date
    ("ORU^R01", "I601"): 1,  # a birth date and a visit's beginning that are words
    ("ORU^R01", "I611"): 4,  # no number of a patient, or no OBR
    ("ORU^R01", "M706"): 3,  # a line that is no segment
    ("BAR^P01", "M706"): 24,
    ("QRY^Q01", "M706"): 3,
    ("unreadable", "M706"): 3,
    ("unreadable", "M702"): 46,  # the header of a guide's prose, or broken over two lines
    ("unreadable", "M760"): 2,  # acknowledgements
    ("unreadable", "M762"): 9,  # prose around messages
}
#: Kinds that have no content of a transition of care: accounts, orders, queries, vaccinations, a laboratory's own.
NOT_TAKEN = {"BAR^P01", "OMD^O03", "OML^O21", "ORM^O01", "OUL^R22", "QRY^Q01", "RDE^O01", "VXU^V04"}


@pytest.mark.skipif(not corpus or not FOLDERS[0].is_dir(), reason="TEST_CORPUS names no corpus of HL7 v2")
def test_the_corpus_is_translated_or_refused_rightly(feed: Feed) -> None:
    done: Counter[str] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    validator = default_validator()
    for path in sorted(path for folder in FOLDERS for path in folder.rglob("*") if path.is_file()):
        body = path.read_bytes()
        if b"MSH" not in body[:3000]:
            continue
        try:
            outcomes = outcome_now(body, feed, RECEIVED_AT)
        except MessageError as error:
            refused["unreadable", error.code] += 1
            continue
        for outcome in outcomes:
            if outcome.state in ("done", "filtered"):
                done[outcome.facts.kind] += 1
                for document in outcome.documents:
                    issues = validator(loads(document.body))
                    assert not [issue for issue in issues if issue.severity is Severity.ERROR], path.name
            else:
                refused[outcome.facts.kind, outcome.code] += 1
    for (kind, code), number in sorted(refused.items()):
        sys.stdout.write(f"{number:4} {kind:12} {code}\n")
    for kind, number in sorted(done.items()):
        sys.stdout.write(f"{number:4} {kind:12} becomes FHIR\n")
    assert {kind: min(done[kind], least) for kind, least in DONE.items()} == DONE
    not_taken = {kind for (kind, code) in refused if code == "M710"}
    assert not_taken <= NOT_TAKEN
    others = {which: number for which, number in refused.items() if which[1] != "M710"}
    assert {which: number for which, number in others.items() if number > REFUSED.get(which, 0)} == {}
