"""
The safety-critical traps of mapping English records, each by the number that the project's study of the standards gives
it. Each test sends messages through the whole pure flow (intake, step) and can fail: what is expected of the trapped
message is beside what an ordinary one gives.

 1 PV1-36: two lists in one field          13 leave is not discharge
 2 a destination in PV1-36                 14 no allergies recorded is not none known
 3 old discharge destinations              15 stopped medicines
 4 discharge method 2                      17 local times, and the hour that comes twice
 5 care plan types of two lists (CSV, MDM) 16 a death that is taken back (FHIR)
 6 Mental Health Act codes                 18 markup in cells (CSV)
 7 gender 9 and 0                          19 codes of practices that are none; site and trust
 8 `""` deletes, empty leaves unchanged    20 repetitions and replacements
 9 consent to share: absent, given, denied 21 headings that a guide misprints
10 hidden locations, sensitive records     22 what a spreadsheet does to codes and dates (CSV)
11 NHS numbers and their status            23 bands of risk
12 merges and cancellations                24 what must not be told onwards
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from mhbridge.fhir.bundle import loads
from mhbridge.fhir.narrative import plain
from mhbridge.mapping.known import fold
from mhbridge.mapping.library import Library, built_in
from mhbridge.mapping.loading import Loader
from mhbridge.model import Envelope, Known, MessageState, Outcome
from mhbridge.pipeline import Feed, dedupe_key, intake, outcome_now, step
from mhbridge.pipeline.persons import Heard, Person, Told
from mhbridge.pipeline.watching import Active, notices
from mhbridge.testing.replaying import RECEIVED_AT, feed_of
from shipped import catalogue

UK_CORE = "https://fhir.hl7.org.uk/CodeSystem/UKCore-"
ADT, LETTER = "example-acute/adt", "example-acute/discharge-letter"
WARD_ADT, WARD_LETTER = "example-mental-health/adt", "example-mental-health/discharge-letter"


# --- sending -----------------------------------------------------------------------------------------------


@cache
def feed(supplier: str) -> Feed:
    return feed_of(catalogue(), supplier)


def message(name: str) -> bytes:
    return (built_in("fixtures") / f"{name}.hl7").read_bytes()


def put(raw: bytes, segment: str, number: int, value: str) -> bytes:
    """The message with one field of the first such segment set to something else."""
    lines = raw.split(b"\r")
    at = next(i for i, line in enumerate(lines) if line.startswith(segment.encode()))
    fields = lines[at].split(b"|")
    fields += [b""] * (number + 1 - len(fields))
    assert fields[number] != value.encode(), "the control: the message changes"
    fields[number] = value.encode()
    return b"\r".join([*lines[:at], b"|".join(fields), *lines[at + 1 :]])


def swap(raw: bytes, old: str, new: str) -> bytes:
    assert old.encode() in raw, "the control: the message has it"
    return raw.replace(old.encode(), new.encode())


def outcomes(supplier: str, *messages: bytes) -> Iterator[Outcome]:
    """What becomes of each message, knowing those before it, as the gateway would let it know them."""
    readings: dict[str, list[Mapping[str, Any]]] = {}
    for raw in messages:
        envelope = Envelope(raw, supplier, f"{supplier}/mllp", RECEIVED_AT, "mllp")
        (taken,) = intake(envelope, feed(supplier)).messages
        known = {document: Known(fold(items)) for document, items in readings.items()}
        found = step(taken, known, RECEIVED_AT, feed(supplier))
        if found.state is not MessageState.PARKED:
            for reading in found.readings:
                readings.setdefault(reading.document, []).append(reading.items)
        yield found


def last(*messages: bytes, supplier: str = "example-acute") -> Outcome:
    return list(outcomes(supplier, *messages))[-1]


def ward(*messages: bytes) -> Outcome:
    return last(*messages, supplier="example-mental-health")


# --- looking -----------------------------------------------------------------------------------------------


def bundle(outcome: Outcome) -> dict[str, Any]:
    (document,) = outcome.documents
    found: dict[str, Any] = loads(document.body)
    return found


def every(outcome: Outcome, type_: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in bundle(outcome)["entry"] if e["resource"]["resourceType"] == type_]


def one(outcome: Outcome, type_: str) -> dict[str, Any]:
    (found,) = every(outcome, type_)
    return found


def patient(outcome: Outcome) -> dict[str, Any]:
    return next(found for found in every(outcome, "Patient") if found.get("active", True))


def coded(concept: Mapping[str, Any] | None) -> set[tuple[str, str]]:
    """(system without UK Core's prefix, code) of the codings of a concept."""
    codings = (concept or {}).get("coding", [])
    return {(coding.get("system", "").removeprefix(UK_CORE), coding["code"]) for coding in codings}


def extension(element: Mapping[str, Any], name: str) -> Any:
    found = (e for e in element.get("extension", []) if e["url"].endswith(f"-{name}"))
    return next(found, None)


def discharge_method(outcome: Outcome) -> set[tuple[str, str]]:
    found = extension(one(outcome, "Encounter"), "DischargeMethod") or {}
    return coded(found.get("valueCodeableConcept"))


def destination(outcome: Outcome) -> set[tuple[str, str]]:
    return coded(one(outcome, "Encounter").get("hospitalization", {}).get("dischargeDisposition"))


def section(outcome: Outcome, heading: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        s for s in one(outcome, "Composition")["section"] if (heading in {code for _, code in coded(s["code"])})
    )
    return found


def words(outcome: Outcome, heading: str) -> str:
    return " ".join(plain(section(outcome, heading)["text"]["div"]).split())


def issues(outcome: Outcome) -> set[tuple[str, str]]:
    return {(issue.code, issue.item) for issue in outcome.issues}


# --- 1 to 7: codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["4", "10", "1", "3"])
def test_trap_01_a_code_of_two_lists_means_nothing_until_a_supplier_names_the_list(code: str) -> None:
    """ITK table 0112: 4 is `Referred to A&E Clinic`, and `Patient died` in the discharge method beside it."""
    event = last(put(message(f"{ADT}/a03-discharge"), "PV1", 36, code))
    assert {system for system, _ in discharge_method(event)} == {"https://example-acute.example/codes/discharge-method"}
    assert ("I602", "discharge_method") in issues(event)
    assert not {"deceasedBoolean", "deceasedDateTime"} & patient(event).keys()
    # The letter system says that its list is that of CDS 6.2, and the word of the PAS is its own: both are read.
    assert discharge_method(last(message(f"{LETTER}/died"))) == {("DischargeMethodEngland", "4")}
    assert ("DischargeMethodEngland", "1") in discharge_method(last(message(f"{ADT}/a03-discharge")))


def test_trap_02_a_destination_in_the_disposition_is_not_read_as_either() -> None:
    event = last(message(f"{ADT}/a03-destination-in-disposition"))
    assert destination(event) == set()
    assert not any(system.startswith("DischargeMethod") for system, _ in discharge_method(event))
    assert ("I602", "discharge_method") in issues(event)
    assert destination(last(message(f"{ADT}/a03-discharge"))) == {("DischargeDestinationEngland", "19")}


@pytest.mark.parametrize("code", ["38", "54", "65", "85"])
def test_trap_03_an_old_destination_stays_in_the_old_list(code: str) -> None:
    """38, 54, 65 and 85 each became two codes of the newer list; which of them, only the ward knows."""
    for name in (f"{ADT}/a03-discharge", f"{LETTER}/plain"):
        assert destination(last(put(message(name), "PV1", 37, code))) == {("DischargeDestinationEngland", code)}


@pytest.mark.parametrize("code", ["40", "42", "55", "56", "89"])
def test_trap_03_a_code_of_the_newer_list_is_never_put_into_the_old_one(code: str) -> None:
    found = last(put(message(f"{ADT}/a03-discharge"), "PV1", 37, code))
    assert not any(system.startswith("Discharge") for system, _ in destination(found))
    assert ("I602", "discharge_destination") in issues(found)


def test_trap_04_discharge_method_2_is_said_in_words_and_given_no_other_code() -> None:
    letter = last(message(f"{LETTER}/self-discharge"))
    assert discharge_method(letter) == set()
    assert "Patient discharged him/herself or by a relative or advocate" in words(letter, "discharge-details")
    assert "I610" in {code for code, _ in issues(letter)}


def legal_statuses(outcome: Outcome) -> list[set[tuple[str, str]]]:
    found = [e for e in one(outcome, "Encounter").get("extension", []) if e["url"].endswith("-LegalStatus")]
    parts = [part for e in found for part in e["extension"] if part["url"] == "legalStatusClassification"]
    return [coded(part["valueCodeableConcept"]) for part in parts]


def test_trap_06_mental_health_act_codes_have_two_digits() -> None:
    codes = {code for found in legal_statuses(ward(message(f"{WARD_LETTER}/plain"))) for _, code in found}
    assert {"01", "02"} <= codes
    assert not {"1", "2"} & codes


@pytest.mark.parametrize("status", ["CTO", "33", "34", "2", "S17A"])
def test_trap_06_what_is_no_code_of_the_list_is_kept_and_reported(status: str) -> None:
    letter = ward(swap(message(f"{WARD_LETTER}/plain"), "Legal status on discharge^EXMH||INF", f"x^EXMH||{status}"))
    national = {code for found in legal_statuses(letter) for system, code in found if system.startswith("Legal")}
    assert national == {"02"}  # the status on admission alone
    assert ("I602", "legal_status_on_discharge") in issues(letter)
    assert status in words(letter, "discharge-details")


def test_trap_06_the_census_of_detained_patients_is_not_their_status_now() -> None:
    event = last(message(f"{ADT}/a08-update") + b"ZU5|R|3|3|1|20250601|2\r")
    assert event.state is MessageState.DONE
    assert legal_statuses(event) == []


@pytest.mark.parametrize(("sent", "means"), [("9", "other"), ("0", "unknown"), ("1", "male"), ("X", None), ("U", None)])
def test_trap_07_indeterminate_is_not_unknown(sent: str, means: str | None) -> None:
    for supplier, name in (
        ("example-acute", f"{ADT}/a01-not-traced"),
        ("example-mental-health", f"{WARD_LETTER}/plain"),
    ):
        found = last(put(message(name), "PID", 8, sent), supplier=supplier)
        assert patient(found).get("gender") == means
        assert (("I602", "gender") in issues(found)) is (means is None)


# --- 8 to 11: what is deleted, hidden and verified ----------------------------------------------------------


def quiet(raw: bytes) -> bytes:
    """A transfer that says nothing of telephones, ethnic category, GP, specialty and source of admission."""
    for segment, number in (("PID", 13), ("PID", 22), ("PD1", 3), ("PD1", 4), ("PV1", 14), ("PV1", 10)):
        raw = put(raw, segment, number, "")
    return raw


def test_trap_08_what_was_deleted_does_not_come_back_and_what_is_empty_stays() -> None:
    admission, transfer = message(f"{ADT}/a01-admission"), quiet(message(f"{ADT}/a02-transfer"))
    filled = last(admission, transfer)
    assert {"telecom", "extension"} <= patient(filled).keys()
    assert "admitSource" in one(filled, "Encounter")["hospitalization"]
    deleted = last(admission, message(f"{ADT}/a08-deletes"), transfer)
    assert not {"telecom", "extension", "generalPractitioner"} & patient(deleted).keys()
    assert "admitSource" not in one(deleted, "Encounter").get("hospitalization", {})
    assert "serviceType" not in one(deleted, "Encounter")
    assert patient(deleted)["address"] == patient(filled)["address"]


def test_trap_08_news_of_the_patient_alone_deletes_for_the_stays_that_follow() -> None:
    person = put(put(message(f"{ADT}/a31-person-update"), "PID", 13, '""'), "EVN", 6, "202506130900")
    transfer = quiet(message(f"{ADT}/a02-transfer"))
    assert "telecom" in patient(last(message(f"{ADT}/a01-admission"), transfer))
    assert "telecom" not in patient(last(message(f"{ADT}/a01-admission"), person, transfer))


def test_trap_09_no_word_on_sharing_is_consent_and_dissent_stops_it() -> None:
    admission = message(f"{ADT}/a01-admission")
    for consent in ("", "3"):
        assert last(put(admission, "ZU8", 2, consent)).deliveries
    assert last(admission).deliveries  # 1: express consent
    denied = last(put(admission, "ZU8", 2, "2"))
    assert (denied.state, denied.code, denied.deliveries) == (MessageState.PARKED, "M740", ())
    unread = last(put(admission, "ZU8", 2, "9"))  # nobody may guess
    assert (unread.state, unread.deliveries) == (MessageState.PARKED, ())


def test_trap_09_a_dissent_holds_for_what_comes_after() -> None:
    denied, transfer = message(f"{ADT}/a31-dissent-from-sharing"), message(f"{ADT}/a02-transfer")
    transfer = swap(swap(transfer, "9990020108", "9990020345"), "A-200101", "A-200404")
    taken = next(iter(outcomes("example-acute", denied)))
    known = {"encounter-event": Known(fold([reading.items for reading in taken.readings]))}
    envelope = Envelope(transfer, "example-acute", "example-acute/mllp", RECEIVED_AT, "mllp")
    (later,) = intake(envelope, feed("example-acute")).messages
    found = step(later, known, RECEIVED_AT, feed("example-acute"))
    assert (found.state, found.code, found.deliveries) == (MessageState.PARKED, "M740", ())
    assert step(later, {}, RECEIVED_AT, feed("example-acute")).deliveries


HIDDEN = ("Hidden Row", "Refuge Way", "900321", "PRETEND STREET SURGERY", "Y12345", "Rowan", "NOTREAL")


@pytest.mark.parametrize(
    ("name", "segment", "number", "values", "open_to_all"),
    [
        (f"{ADT}/a31-location-hidden", "ZU8", 4, ("2",), "0"),
        (f"{ADT}/a01-sensitive-patient", "PV1", 16, ("Y",), "N"),
        (f"{LETTER}/sensitive-patient", "PV1", 16, ("S",), "N"),
    ],
)
def test_trap_10_whereabouts_contacts_and_gp_of_a_hidden_patient_stay(
    name, segment, number, values, open_to_all
) -> None:
    told = put(message(name), segment, number, open_to_all)
    hidden = [message(name), *(put(message(name), segment, number, value) for value in values)]
    if segment == "PV1" and b"TXA" in told:
        hidden.append(put(told, "TXA", 18, "R"))
    for raw in hidden:
        found = last(raw)
        assert (found.code, found.deliveries) == ("M740", ())
        body = found.documents[0].body.decode()
        assert [text for text in HIDDEN if text in body] == []
    # The control: the same message of somebody who is not hidden tells all of it.
    open_ = last(told)
    assert open_.deliveries
    said = open_.documents[0].body.decode()
    sent = [text for text in HIDDEN if text in told.decode()]
    assert len(sent) > 4
    assert [text for text in sent if text not in said] == []


@pytest.mark.parametrize("number", ["1234567890", "9990020109", "3333333333", "999002010"])
def test_trap_11_an_nhs_number_that_cannot_be_one_waits(number: str) -> None:
    for supplier, name, theirs in (
        ("example-acute", f"{LETTER}/plain", "9990020108"),
        ("example-mental-health", f"{WARD_ADT}/a01-admission", "9990001014"),
    ):
        found = last(swap(message(name), theirs, number), supplier=supplier)
        assert (found.state, found.code, found.documents) == (MessageState.PARKED, "I601", ())
        assert last(message(name), supplier=supplier).deliveries


def number_status(outcome: Outcome) -> set[tuple[str, str]]:
    (nhs,) = (i for i in patient(outcome)["identifier"] if i.get("system", "").endswith("/nhs-number"))
    found = extension(nhs, "NHSNumberVerificationStatus") or {}
    return coded(found.get("valueCodeableConcept"))


@pytest.mark.parametrize("status", ["01", "02", "03", "04", "05", "06", "07", "08"])
def test_trap_11_the_receiver_is_told_whether_the_number_was_verified(status: str) -> None:
    raw = put(message(f"{ADT}/a01-not-traced"), "PID", 32, f"ED~NSTS{status}~AL")
    assert number_status(last(raw)) == {("NHSNumberVerificationStatusEngland", status)}


def test_trap_11_a_number_of_which_nothing_is_said_is_never_called_verified() -> None:
    for sent in ("", "ED", "NSTS99"):
        assert number_status(last(put(message(f"{ADT}/a01-not-traced"), "PID", 32, sent))) == set()


def test_trap_11_an_event_without_the_hospitals_own_number_waits() -> None:
    """By the NHS number alone it would be another patient's to all that went by the hospital's."""
    found = last(message(f"{ADT}/a31-no-hospital-number"))
    assert (found.state, found.code, found.documents) == (MessageState.PARKED, "M722", ())
    assert last(message(f"{ADT}/a31-person-update")).deliveries


def test_trap_11_a_default_date_of_birth_is_nobodys() -> None:
    raw = message(f"{ADT}/a01-not-traced")
    assert patient(last(raw))["birthDate"] == "1942-01-30"
    assert "birthDate" not in patient(last(put(raw, "PID", 32, "NSTS02~UD")))
    assert "address" not in patient(last(put(raw, "PID", 32, "UA~NSTS02")))


# --- 12 and 13: what is taken back, and what is no discharge -------------------------------------------------


@pytest.mark.parametrize(("supplier", "stem"), [("example-acute", ADT), ("example-mental-health", WARD_ADT)])
def test_trap_12_a_cancelled_discharge_is_no_discharge_from_then_on(supplier: str, stem: str) -> None:
    admission, discharge, cancel, update = (
        message(f"{stem}/{name}") for name in ("a01-admission", "a03-discharge", "a13-cancel-discharge", "a08-update")
    )
    assert one(last(admission, discharge, supplier=supplier), "Encounter")["status"] == "finished"
    for messages in ((admission, discharge, cancel), (admission, discharge, cancel, update)):
        encounter = one(last(*messages, supplier=supplier), "Encounter")
        assert encounter["status"] == "in-progress"
        assert "end" not in encounter["period"]
        assert extension(encounter, "DischargeMethod") is None
        assert "dischargeDisposition" not in encounter.get("hospitalization", {})
        assert encounter["location"][0]["status"] == "active"


@pytest.mark.parametrize(("supplier", "stem"), [("example-acute", ADT), ("example-mental-health", WARD_ADT)])
def test_trap_12_a_cancelled_admission_and_a_merge_take_back_what_was_sent(supplier: str, stem: str) -> None:
    admission, cancel, merge = (
        message(f"{stem}/{name}") for name in ("a01-admission", "a11-cancel-admission", "a40-merge")
    )
    update = message(f"{stem}/a08-update")
    for messages in ((admission, cancel), (admission, cancel, update)):
        encounter = one(last(*messages, supplier=supplier), "Encounter")
        assert (encounter["status"], encounter["location"][0]["status"]) == ("cancelled", "completed")
    assert one(last(admission, cancel, admission, supplier=supplier), "Encounter")["status"] == "in-progress"
    gone = next(p for p in every(last(merge, supplier=supplier), "Patient") if not p.get("active", True))
    assert [link["type"] for link in gone["link"]] == ["replaced-by"]
    assert "birthDate" not in gone


@pytest.mark.parametrize(
    ("supplier", "name", "retired", "stays"),
    [
        ("example-acute", ADT, "A-299901^^^EXAC", "A-200101^^^EXAC"),
        ("example-mental-health", WARD_ADT, "M-099911^^^EXMH", "M-104482^^^EXMH"),
    ],
)
def test_trap_12_a_merge_that_would_retire_the_patient_waits(
    supplier: str, name: str, retired: str, stays: str
) -> None:
    merge = message(f"{name}/a40-merge")
    assert last(merge, supplier=supplier).deliveries
    for named in (stays, "", "9990020108^^^NHS", "9990001014^^^NHS"):
        found = last(swap(merge, f"MRG|{retired}", f"MRG|{named}"), supplier=supplier)
        assert (found.state, found.code, found.documents) == (MessageState.PARKED, "I601", ()), named


def test_trap_12_a_cancelled_transfer_waits_because_nobody_says_which_ward_it_names() -> None:
    found = last(swap(message(f"{ADT}/a02-transfer"), "ADT^A02^ADT_A02", "ADT^A12^ADT_A09"))
    assert (found.state, found.code) == (MessageState.PARKED, "M710")


@pytest.mark.parametrize("event", ["A21", "A22", "A52", "A53"])
@pytest.mark.parametrize(("supplier", "stem"), [("example-acute", ADT), ("example-mental-health", WARD_ADT)])
def test_trap_13_leave_is_not_discharge_and_changes_nothing(supplier: str, stem: str, event: str) -> None:
    leave = swap(message(f"{stem}/a02-transfer"), "ADT^A02^ADT_A02", f"ADT^{event}^ADT_A21")
    admission, update = message(f"{stem}/a01-admission"), message(f"{stem}/a08-update")
    found = last(admission, leave, supplier=supplier)
    assert (found.state, found.code, found.documents) == (MessageState.FILTERED, "M730", ())
    assert one(last(admission, leave, update, supplier=supplier), "Encounter")["status"] == "in-progress"


# --- 14 and 15: allergies and medicines ----------------------------------------------------------------------


def without(raw: bytes, *starts: bytes) -> bytes:
    return b"\r".join(line for line in raw.split(b"\r") if not line.startswith(starts))


def test_trap_14_no_allergy_sent_is_not_none_known() -> None:
    silent = last(without(message(f"{LETTER}/plain"), b"AL1"))
    assert every(silent, "AllergyIntolerance") == []
    assert "Not recorded by the sender" in words(silent, "allergies-and-adverse-reaction")
    empty = section(silent, "allergies-and-adverse-reaction")["emptyReason"]
    assert coded(empty) == {("http://terminology.hl7.org/CodeSystem/list-empty-reason", "unavailable")}
    for name, stem in ((f"{LETTER}/allergies-not-established", LETTER), (f"{LETTER}/no-known-drug-allergies", LETTER)):
        assert "716186003" not in last(message(name)).documents[0].body.decode(), stem
    known = last(message(f"{LETTER}/no-known-allergies"))
    assert coded(one(known, "AllergyIntolerance")["code"]) == {("http://snomed.info/sct", "716186003")}


def test_trap_14_none_known_beside_an_allergy_does_not_hide_the_allergy() -> None:
    raw = message(f"{LETTER}/plain").replace(b"AL1|1|", b"AL1|9||NKA^No known allergies^EXAC-ALG\rAL1|1|", 1)
    found = every(last(raw), "AllergyIntolerance")
    assert len(found) == 2
    assert not any(("http://snomed.info/sct", "716186003") in coded(one_["code"]) for one_ in found)


def current(outcome: Outcome) -> set[str]:
    (found,) = [entry for entry in every(outcome, "List") if entry["title"] == "Medicines to continue, or on hold"]
    return {item["item"]["reference"] for item in found["entry"]}


@pytest.mark.parametrize(("supplier", "name"), [("example-acute", LETTER), ("example-mental-health", WARD_LETTER)])
def test_trap_15_a_stopped_medicine_is_never_among_the_current_ones(supplier: str, name: str) -> None:
    letter = last(message(f"{name}/plain"), supplier=supplier)
    stopped = {e["fullUrl"] for e in bundle(letter)["entry"] if e["resource"].get("status") == "stopped"}
    assert stopped
    assert not stopped & current(letter)
    assert current(letter)
    assert "Medicines stopped" in words(letter, "medications-and-medical-devices")


@pytest.mark.parametrize("status", ["s", "D", "X", ""])
def test_trap_15_a_medicine_of_which_nobody_says_whether_it_goes_on_waits(status: str) -> None:
    raw = swap(message(f"{LETTER}/plain"), "ZRX|6|S|", f"ZRX|6|{status}|")
    assert last(raw).state is MessageState.PARKED
    assert last(message(f"{LETTER}/plain")).deliveries


# --- 17, 19 and 20: times, organisations, versions -----------------------------------------------------------

TIME = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^"]*)"')


def test_trap_16_a_removed_notice_takes_a_death_back_and_formal_is_not_informal() -> None:
    def heard(supplier: str, patient: int, body: bytes, number: int) -> Heard:
        envelope = Envelope(body, supplier, f"{supplier}/mllp", RECEIVED_AT, "mllp")
        ((_, reading),) = intake(envelope, feed(supplier)).messages[0].readings
        place = (number, 0, number)
        return Heard(patient, supplier, reading.document, reading.episode.encode(), place, reading.items)

    def notice(name: str) -> bytes:
        return (built_in("fixtures") / "example-nems" / "death-notices" / f"{name}.xml").read_bytes()

    mapping = catalogue().mapping("example-mental-health/deaths")
    watches = [Active("f", mapping, one) for one in catalogue().watches("death-after-discharge")]
    left = heard("example-mental-health", 1, message("example-mental-health/adt/a03-discharge"), 1)
    told: list[Told] = []
    found = []
    for number, name in enumerate(("informal", "formal", "removed", "formal"), 2):
        person = Person([left, heard("example-nems", 2, notice(name), number)], (), told)
        (one,) = notices(watches, person, RECEIVED_AT)
        told = [one.told]
        body = loads(one.body)
        found.append((body["act"], body["signal"]["death_status"]["coding"][0]["code"], body["signal"].get("deceased")))
    died = "2025-03-20T23:40:00+00:00"
    assert found == [("new", "1", died), ("new", "2", died), ("cancel", "U", False), ("new", "2", died)]


def test_trap_17_every_time_has_an_offset_and_summer_has_its_own() -> None:
    letter = last(message(f"{LETTER}/plain"))
    times = TIME.findall(letter.documents[0].body.decode())
    assert times
    assert all(re.search(r"(Z|[+-]\d\d:\d\d)$", time) for time in times)
    assert one(letter, "Encounter")["period"]["end"] == "2025-06-20T14:10:00+01:00"
    winter = last(put(message(f"{LETTER}/plain"), "PV1", 45, "202512201410"))
    assert one(winter, "Encounter")["period"]["end"] == "2025-12-20T14:10:00+00:00"


def test_trap_17_the_hour_that_comes_twice_is_resolved_and_said_and_one_that_never_comes_waits() -> None:
    twice = last(put(message(f"{LETTER}/plain"), "PV1", 45, "202510260130"))
    assert one(twice, "Encounter")["period"]["end"].startswith("2025-10-26T01:30:00+")
    assert "discharged_at" in {item for _, item in issues(twice)}
    stated = last(put(message(f"{LETTER}/plain"), "PV1", 45, "202510260130+0000"))
    assert one(stated, "Encounter")["period"]["end"] == "2025-10-26T01:30:00+00:00"
    assert "discharged_at" not in {item for _, item in issues(stated)}
    never = last(put(message(f"{LETTER}/plain"), "PV1", 45, "202603290130"))
    assert (never.state, never.code) == (MessageState.PARKED, "I601")


@pytest.mark.parametrize("code", ["V81997", "V81998", "V81999"])
def test_trap_19_a_code_for_no_practice_is_no_practice(code: str) -> None:
    for name in (f"{ADT}/a01-admission", f"{LETTER}/plain"):
        found = last(swap(message(name), "PRETEND STREET SURGERY (FICTITIOUS)^^Y12345", f"NONE^^{code}"))
        assert code not in found.documents[0].body.decode()
        assert found.deliveries
        assert "Y12345" in last(message(name)).documents[0].body.decode()


def test_trap_19_a_site_is_not_the_trust() -> None:
    letter = last(message(f"{LETTER}/plain"))
    systems = {
        identifier["system"].rsplit("/", 1)[1]: identifier["value"]
        for organisation in every(letter, "Organization")
        for identifier in organisation["identifier"]
    }
    assert systems == {"organisation": "EXAC", "site": "EXAC-INFIRMARY", "ods-organization-code": "Y12345"}
    custodian = one(letter, "Composition")["custodian"]["reference"]
    trust = next(e["resource"] for e in bundle(letter)["entry"] if e["fullUrl"] == custodian)
    assert trust["identifier"][0]["value"] == "EXAC"


def test_trap_20_a_repetition_is_the_same_and_another_letter_is_another_version() -> None:
    first, again = message(f"{LETTER}/plain"), swap(message(f"{LETTER}/plain"), "EXAC-E-000901", "EXAC-E-000999")

    def key(raw: bytes) -> bytes:
        envelope = Envelope(raw, "example-acute", "example-acute/mllp", RECEIVED_AT, "mllp")
        return dedupe_key(envelope, intake(envelope, feed("example-acute")))

    assert key(first) == key(first) != key(again)
    assert last(first).documents[0].body == last(first).documents[0].body
    identifiers = [one(last(raw), "Composition")["identifier"]["value"] for raw in (first, again)]
    assert len(set(identifiers)) == 2
    assert last(first).documents[0].series == last(again).documents[0].series


def test_trap_20_what_a_version_replaces_is_named_by_the_identifier_of_the_composition() -> None:
    raw = message(f"{LETTER}/plain")
    replaced = one(last(raw), "Composition")["identifier"]
    envelope = Envelope(raw, "example-acute", "example-acute/mllp", RECEIVED_AT, "mllp")
    ((mapping, reading),) = intake(envelope, feed("example-acute")).messages[0].readings
    built = mapping.build(reading, {**reading.items, "replaces": dict(replaced)}, RECEIVED_AT, "r4")
    composition = loads(built.json())["entry"][0]["resource"]
    assert composition["relatesTo"] == [{"code": "replaces", "targetIdentifier": replaced}]
    assert composition["identifier"] == replaced  # the same message, so the same version: a gateway says otherwise


# --- 23 and 24: bands, and what is not to be told --------------------------------------------------------------


def test_trap_21_headings_have_the_codes_of_the_profiles_and_not_those_that_a_guide_misprints() -> None:
    """The guides give Safeguarding the code of Safety alerts, and Review of systems that of Clinical narrative."""
    headings = Loader(Library([built_in("mappings")])).codes("").headings.values()
    codes = {heading.name: heading.snomed for heading in headings if heading.snomed}
    assert codes["safeguarding"] == "1077911000000105"
    assert codes["review-of-systems"] == "887121000000105"
    assert len(set(codes.values())) == len(codes), "a code says one heading"
    letter = last(message("example-emergency/attendance-letter/plain"), supplier="example-emergency")
    found = {heading: coded(section(letter, heading)["code"]) for heading in ("safeguarding", "safety-alerts")}
    assert ("http://snomed.info/sct", "1077911000000105") in found["safeguarding"]
    assert ("http://snomed.info/sct", "886931000000107") in found["safety-alerts"]
    assert not found["safeguarding"] & found["safety-alerts"]


def test_trap_23_a_band_of_risk_is_carried_as_the_senders_and_never_made() -> None:
    banded = ward(message(f"{WARD_LETTER}/no-medicines-allergies-unknown"))
    assert "Level of risk as recorded by the sender" in words(banded, "safety-alerts")
    whole = ward(message(f"{WARD_LETTER}/plain"))
    assert "Level of risk" not in words(whole, "safety-alerts")
    sent = swap(
        message(f"{WARD_LETTER}/plain"), "RISKOTHERS^Risks to others^EXMH||None known.", "RISKBAND^x^EXMH||Amber-7"
    )
    both = ward(sent)
    assert "letters from the job centre" in words(both, "safety-alerts")  # the words stay beside the band
    assert "Amber-7" in words(both, "safety-alerts")
    for letter in (banded, whole, both):
        assert every(letter, "RiskAssessment") == []
        others = [e["resource"] for e in bundle(letter)["entry"] if e["resource"]["resourceType"] != "Composition"]
        assert "Amber-7" not in str(others)


def test_trap_24_what_was_told_to_the_hospital_alone_goes_no_further() -> None:
    """Sexual orientation (ZU8-1), religion (PID-17): whatever is sent, what leaves is the same."""
    plain_ = message(f"{ADT}/a01-admission")
    for segment, number, value in (("ZU8", 1, "2"), ("PID", 17, "C22"), ("NK1", 16, "19630101")):
        assert last(put(plain_, segment, number, value)).documents[0].body == last(plain_).documents[0].body
    assert last(put(plain_, "PID", 13, "07700 900399")).documents[0].body != last(plain_).documents[0].body


# --- extracts (CSV) ----------------------------------------------------------------------------------------

DISCHARGES, REFERRALS = "example-community/discharges", "example-community/referrals"


def row(extract: str = DISCHARGES, **cells: str) -> Outcome:
    """What becomes of the plain row of an extract with some cells set to something else; `_` in a name is a blank."""
    (found,) = rows(table(extract, **cells))
    return found


def table(extract: str = DISCHARGES, **cells: str) -> str:
    text = (built_in("fixtures") / f"{extract}/plain.csv").read_bytes().decode()
    header, (values, *_) = next(reader := csv.reader(io.StringIO(text, newline=""))), list(reader)
    named = dict(zip(header, values, strict=True))
    for name, value in cells.items():
        column = name.replace("_", " ")
        assert named[column] != value, "the control: the cell changes"
        named[column] = value
    written = io.StringIO(newline="")
    csv.writer(written).writerows([header, list(named.values())])
    return written.getvalue()


def rows(text: str) -> list[Outcome]:
    return outcome_now(text.encode(), feed("example-community"), RECEIVED_AT)


def test_trap_03_a_care_home_is_a_word_until_the_supplier_says_which_kind() -> None:
    assert {system for system, _ in destination(row())} >= {"DischargeDestinationEngland"}
    home = row(Discharged_To="Nursing home")
    assert not any(system == "DischargeDestinationEngland" for system, _ in destination(home))
    assert "Care Home With Nursing" in words(home, "discharge-details")
    assert ("I602", "discharge_destination") in issues(row(Discharged_To="Care home"))


def test_trap_04_the_digit_of_a_list_that_was_not_named_is_no_code_of_it() -> None:
    assert discharge_method(row()) >= {("DischargeMethodEngland", "1")}
    found = row(Discharge_Method="2")
    assert not any(system == "DischargeMethodEngland" for system, _ in discharge_method(found))
    assert ("I602", "discharge_method") in issues(found)


@pytest.mark.parametrize(
    ("extract", "column", "code", "becomes"),
    [
        ("example-inpatient/care-plans", "CarePlanTypeMH", "12", MessageState.DONE),
        ("example-inpatient/care-plans", "CarePlanTypeMH", "11", MessageState.FILTERED),
        ("example-inpatient/care-plans", "CarePlanTypeMH", "03", MessageState.PARKED),
        ("example-community/care-plans", "Plan Type", "03", MessageState.DONE),
        ("example-community/care-plans", "Plan Type", "12", MessageState.FILTERED),
        ("example-community/care-plans", "Plan Type", "3", MessageState.PARKED),
    ],
)
def test_trap_05_a_crisis_plan_is_12_in_one_list_and_03_in_the_other(
    extract: str, column: str, code: str, becomes: MessageState
) -> None:
    plain = next(csv.DictReader(io.StringIO((built_in("fixtures") / f"{extract}/plain.csv").read_text())))
    text = table(extract, **({} if plain[column] == code else {column.replace(" ", "_"): code}))
    (found,) = outcome_now(text.encode(), feed(extract.partition("/")[0]), RECEIVED_AT)
    assert found.state is becomes
    # Whatever its digits are here, it is one concept there.
    pointers = [coded(one(found, "DocumentReference")["type"])] if found.documents else []
    assert pointers == ([{("http://snomed.info/sct", "736253002")}] if becomes is MessageState.DONE else [])


def test_trap_07_a_sex_that_is_in_no_list_is_not_unknown() -> None:
    assert patient(row(Sex="I"))["gender"] == "other"
    assert patient(row(Sex="U"))["gender"] == "unknown"
    assert "gender" not in patient(row(Sex="X"))


def test_trap_10_a_restricted_row_keeps_whereabouts_contacts_and_practice_and_waits() -> None:
    for extract, hidden in (
        (DISCHARGES, ("Invented Lane", "960417", "900418", "Y12345", "Quentin Madeup", "son visits daily", "Imogen")),
        (REFERRALS, ("Nowhere Road", "960201", "960202", "Y12345", "Quentin Madeup", "Maple")),
    ):
        found = row(extract, Restricted="Y")
        assert (found.state, found.code, found.deliveries) == (MessageState.PARKED, "M740", ())
        text = found.documents[0].body.decode()
        assert [value for value in hidden if value in text] == []
        open_ = row(extract).documents[0].body.decode()
        assert [value for value in hidden if value not in open_] == [], "the control: they are there otherwise"
    assert row(Restricted="yes").state is MessageState.PARKED, "nobody guesses what a flag means"


@pytest.mark.parametrize("number", ["9990004189", "999000418", "9.99E+09", "#N/A"])
def test_trap_11_an_nhs_number_of_an_extract_that_cannot_be_one_waits(number: str) -> None:
    found = row(NHS_Number=number)
    assert (found.state, found.documents) == (MessageState.PARKED, ())


def test_trap_14_an_empty_cell_is_not_none_known_and_none_known_is_no_substance() -> None:
    silent = row(Allergies="", Allergy_Status="")
    assert every(silent, "AllergyIntolerance") == []
    assert "This does not mean that there are no allergies" in words(silent, "allergies-and-adverse-reaction")
    known = row(Allergies="", Allergy_Status="None known")
    assert coded(one(known, "AllergyIntolerance")["code"]) == {("http://snomed.info/sct", "716186003")}
    drugs = row(Allergies="NKDA", Allergy_Status="")
    assert coded(one(drugs, "AllergyIntolerance")["code"]) == {("http://snomed.info/sct", "409137002")}
    both = row(Allergies="Latex", Allergy_Status="None known")
    assert [found["code"] for found in every(both, "AllergyIntolerance")] == [{"text": "Latex"}]


def test_trap_18_markup_in_a_cell_is_text_without_its_markup_and_the_original_is_kept() -> None:
    pasted = '<p onclick="x()">Take <s>5 mg</s> 3 mg</p><script>alert(1)</script><img src="http://tracker.example/p">'
    found = row(Clinical_Summary=pasted)
    said = words(found, "clinical-summary")
    assert "Take [crossed out: 5 mg] 3 mg" in said
    body = found.documents[0].body.decode()
    assert [mark for mark in ("alert(1)", "onclick", "tracker.example", "&lt;p") if mark in body] == []
    rtf = row(Clinical_Summary=r"{\rtf1\ansi\ansicpg1252 caf\'e9\par{\strike 5 mg} 3 mg}")
    assert "café [crossed out: 5 mg] 3 mg" in words(rtf, "clinical-summary")
    # Text is not taken for markup, and nothing in angle brackets is lost from it.
    assert "BP <90, pain >5 & rising" in words(row(Clinical_Summary="BP <90, pain >5 & rising"), "clinical-summary")
    (taken,) = intake(
        Envelope(table(Clinical_Summary=pasted).encode(), "example-community", "f", RECEIVED_AT, "folder"),
        feed("example-community"),
    ).messages
    assert b"alert(1)" in taken.body, "what came is in the original, for whoever must see it"


def test_trap_18_a_formula_in_a_cell_is_text() -> None:
    found = row(Needs='=HYPERLINK("http://x.example")', Patient_Wishes="@SUM(1)", Information_Given="-1+1")
    assert '=HYPERLINK("http://x.example")' in words(found, "individual-requirements")
    assert "@SUM(1)" in words(found, "patient-and-carer-concerns-expectations-and-wishes")
    assert "-1+1" in words(found, "information-and-advice-given")


@pytest.mark.parametrize("code", ["V81997", "V81998", "V81999"])
def test_trap_19_a_code_for_no_practice_in_an_extract_is_no_practice(code: str) -> None:
    found = row(GP_Practice_Code=code)
    assert code not in found.documents[0].body.decode()
    assert found.deliveries


def test_trap_22_leading_zeros_that_a_spreadsheet_took_away_are_not_put_back() -> None:
    number = patient(row())["identifier"][0]
    assert coded(extension(number, "NHSNumberVerificationStatus")["valueCodeableConcept"]) == {
        ("NHSNumberVerificationStatusEngland", "01")
    }
    found = row(NHS_No_Status="1")
    assert extension(patient(found)["identifier"][0], "NHSNumberVerificationStatus") is None
    assert {("I602", "nhs_number_status"), ("I643", "nhs_number_status")} <= issues(found)


@pytest.mark.parametrize(
    ("cells", "code", "parked"),
    [
        ({"DOB": "04/23/1941"}, "I644", True),
        ({"DOB": "15089"}, "I642", True),
        ({"Discharged_Date": "03/14/2025"}, "I644", True),
        ({"Admitted_Date": "02/24/2025"}, "I644", False),
        ({"Ward": "#REF!"}, "I640", False),
        ({"Home_Tel": "1.6329E+09"}, "I641", False),
    ],
)
def test_trap_22_what_a_spreadsheet_did_is_named_with_line_and_column_and_never_mended(
    cells: Mapping[str, str], code: str, parked: bool
) -> None:
    found = row(**cells)
    (column, value), *_ = cells.items()
    issue = next(issue for issue in found.issues if issue.code == code)
    assert issue.path.startswith("line 2, column ")
    assert issue.path.endswith(f"[{column.replace('_', ' ')}]")
    assert value not in issue.text + issue.path, "places, never values"
    assert (found.state is MessageState.PARKED) is parked
    for document in found.documents:
        assert value not in document.body.decode()


def test_trap_22_dates_of_another_order_stop_the_file_because_some_fit_both() -> None:
    (found,) = rows(re.sub(r"(\d\d)/(\d\d)/(\d{4})", r"\2/\1/\3", table()))
    assert (found.state, found.code, found.documents) == (MessageState.PARKED, "M773", ())
    # The control: a single such date costs its own value.
    assert row(Service_1_Referred="03/25/2025").state is MessageState.DONE
