"""
The follow-up after discharge from a mental health ward: which contacts meet it, whom it is for, and who is told when.

The real mappings of a trust that sends its discharges as tables and its contacts as a daily list, the real gateway and
store, on an event loop whose time jumps.
"""

from __future__ import annotations

import csv
import os
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import shipped
from mhbridge.pipeline import clocks_by_document
from test_clock_scenarios import patient, played, told  # noqa: F401, a fixture of every test, here too

ROOT = Path(__file__).parents[1]
SUPPLIER = "example-inpatient"
FIXTURES = ROOT / "fixtures" / SUPPLIER
#: An hour and more after the patient has left, at five past two (UTC) on a Wednesday.
START = datetime(2025, 4, 2, 16, tzinfo=UTC)
STAY = ",2025-04-02,15:05:00,1,19"


@pytest.fixture(scope="module")
def mappings():
    catalogue = shipped.catalogue()
    return tuple(catalogue.mapping(name) for name in catalogue.feeds(SUPPLIER))


def discharge(*, number, method="1", destination="19", again=""):
    """The extract with the letter, where the patient left in this way and for there; `again`: of another stay since."""
    text = (FIXTURES / "discharges" / "plain.mime").read_text("utf-8")
    assert STAY in text
    text = text.replace(STAY, f",2025-04-02,15:05:00,{method},{destination}")
    if again:
        # A second stay, from then to the tenth of the month.
        text = re.sub(r"\bS1\b", "S9", text).replace("2025-03-03,22:40:00", again).replace("2025-04-02", "2025-04-10")
        return text.replace("\nL1,", f"\nL{number},").encode()
    return text.replace("\nL1,S1,", f"\nL{number},S1,").replace("\nL1,", f"\nL{number},").encode()


def contact(*, number, day, at="10:30:00", how="01", reached="5", row="New", whose="P1", called=""):
    """The daily list with one contact."""
    header, _ = (FIXTURES / "contacts" / "followed-up.csv").read_text("utf-8").splitlines()
    fields = [
        called or f"C{number}", row, whose, "9990041016" if whose == "P1" else "9990041873", "N", day, at, how, reached,
        "T7", "Example North Home Treatment Team", day, "23:00:00",
    ]  # fmt: skip
    return f"{header}\r\n{','.join(fields)}\r\n".encode()


LEFT = (0, discharge, {})
#: To the end of the first, the second and the third day after the discharge, in London.
FIRST, SECOND, DUE = (31.0, "step", "follow-up", 1), (55.0, "step", "follow-up", 1), (79.0, "missed", "safety", 1)
#: Title → (hour, what happens), …; who is told, and at which hour; how the clock stands in the end, where there is one.
SCENARIOS = {
    "nobody": ([LEFT], [FIRST, SECOND, DUE], "missed"),
    "the day after": ([LEFT, (20, contact, {"day": "2025-04-03"})], [], "met"),
    "on the second day": ([LEFT, (43, contact, {"day": "2025-04-04"})], [FIRST], "met"),
    "at the last moment": ([LEFT, (78.9, contact, {"day": "2025-04-05", "at": "23:40:00"})], [FIRST, SECOND], "met"),
    "by telephone": ([LEFT, (20, contact, {"day": "2025-04-03", "how": "02"})], [], "met"),
    "by video": ([LEFT, (20, contact, {"day": "2025-04-03", "how": "11"})], [], "met"),
    "who came late was seen": ([LEFT, (20, contact, {"day": "2025-04-03", "reached": "6"})], [], "met"),
    "the day after the third": (
        [LEFT, (90, contact, {"day": "2025-04-06"})],
        [FIRST, SECOND, DUE],
        "late",
    ),
    "in time, and only reported late": ([LEFT, (90, contact, {"day": "2025-04-04"})], [FIRST, SECOND, DUE], "met"),
    "a text message does not count": (
        [LEFT, (20, contact, {"day": "2025-04-03", "how": "06"})],
        [FIRST, SECOND, DUE],
        "missed",
    ),
    "an e-mail does not count": (
        [LEFT, (20, contact, {"day": "2025-04-03", "how": "05"})],
        [FIRST, SECOND, DUE],
        "missed",
    ),
    "who did not come was not reached": (
        [LEFT, (20, contact, {"day": "2025-04-03", "reached": "3"})],
        [FIRST, SECOND, DUE],
        "missed",
    ),
    "an appointment is no contact until it was held": (
        [
            LEFT,
            (20, contact, {"day": "2025-04-04", "reached": "0", "called": "K1"}),
            (45, contact, {"day": "2025-04-04", "row": "Changed", "called": "K1"}),
        ],
        [FIRST],
        "met",
    ),
    "a row that is struck out is no contact": (
        [LEFT, (20, contact, {"day": "2025-04-03", "row": "Struck out"})],
        [FIRST, SECOND, DUE],
        "missed",
    ),
    "a contact that is struck out afterwards was none": (
        [
            LEFT,
            (20, contact, {"day": "2025-04-03", "called": "K1"}),
            (45, contact, {"day": "2025-04-03", "row": "Struck out", "called": "K1"}),
        ],
        [(45.0, "step", "follow-up", 1), SECOND, DUE],
        "missed",
    ),
    "struck out when it was due already": (
        [
            LEFT,
            (20, contact, {"day": "2025-04-03", "called": "K1"}),
            (90, contact, {"day": "2025-04-03", "row": "Struck out", "called": "K1"}),
        ],
        [(90.0, "missed", "safety", 1)],
        "missed",
    ),
    "one of two contacts is struck out": (
        [
            LEFT,
            (20, contact, {"day": "2025-04-03", "called": "K1"}),
            (22, contact, {"day": "2025-04-04", "called": "K2"}),
            (45, contact, {"day": "2025-04-03", "row": "Struck out", "called": "K1"}),
        ],
        [],
        "met",
    ),
    "a contact that is heard of before the discharge": (
        [(1, contact, {"day": "2025-04-03"}), (2, discharge, {})],
        [],
        "met",
    ),
    "a readmission counts": (
        [LEFT, (60, discharge, {"destination": "37", "again": "2025-04-04,08:00:00"})],
        [FIRST, SECOND],
        "met",
    ),
    "after the third day it is late": (
        [LEFT, (100, discharge, {"destination": "37", "again": "2025-04-06,08:00:00"})],
        [FIRST, SECOND, DUE],
        "late",
    ),
    "before the discharge does not count": (
        [LEFT, (1, contact, {"day": "2025-04-02", "at": "09:00:00"})],
        [FIRST, SECOND, DUE],
        "missed",
    ),
    "somebody else's contact": (
        [(0, contact, {"day": "2025-04-03", "whose": "P80"}), (1, discharge, {})],
        [FIRST, SECOND, DUE],
        "missed",
    ),
    "who went to court is not counted": ([(0, discharge, {"destination": "37"})], [], None),
    "nor who went to another hospital": ([(0, discharge, {"destination": "87"})], [], None),
    "of prison, the measure has changed its mind": (
        [(0, discharge, {"destination": "38"})],
        [FIRST, SECOND, DUE],
        "missed",
    ),
    "nor who died": ([(0, discharge, {"method": "4"})], [], None),
    "who left against advice is": ([(0, discharge, {"method": "2"})], [FIRST, SECOND, DUE], "missed"),
}


def play(path, mappings, events):
    options = {"supplier": SUPPLIER, "start": START, "nowhere": ["care-contact"]}
    return played(path, mappings, events, to=("gp",), then=100.0, **options)


@pytest.mark.parametrize("title", SCENARIOS)
def test_who_is_told_that_nobody_followed_up(tmp_path, mappings, title):
    events, expected, state = SCENARIOS[title]
    world, states, tasks = play(tmp_path, mappings, events)
    assert told(world) == expected
    assert states.get("") == state
    assert [task.cause for task in tasks] == ["follow-up-72h"] * (state == "missed")


def test_what_only_ends_a_clock_is_done_and_sent_to_nobody(tmp_path, mappings):
    world, _, _ = play(tmp_path, mappings, SCENARIOS["the day after"][0])
    assert {name: place.got for name, place in world.places.items()} == {"gp": 1, "team": 0, "spine": 0}


def test_without_contacts_there_is_no_clock_that_they_would_meet(mappings):
    names = {clock.name for clocks in clocks_by_document(mappings).values() for clock in clocks}
    assert names == {"summary-24h", "follow-up-72h", "planned-action"}
    others = [one for one in mappings if one.document.name != "care-contact"]
    assert {clock.name for clocks in clocks_by_document(others).values() for clock in clocks} == {
        "summary-24h", "planned-action",
    }  # fmt: skip


#: The measure counts its months from April 1900: 1459 is October 2021.
def _month(number):
    return (1900 + (number + 2) // 12, (number + 2) % 12 + 1)


def test_the_months_of_the_measure():
    assert (_month(1459), _month(1489)) == ((2021, 10), (2024, 4))


def listed(name, system, day):
    """The codes of one of our lists that hold on a day."""
    with (ROOT / "mappings" / "codes" / "lists" / name).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["system"] == system]
    return {row["code"] for row in rows if (row["from"] or "0") <= day.isoformat() <= (row["until"] or "9")}


@pytest.mark.parametrize("day", [date(2021, 9, 30), date(2021, 10, 1), date(2025, 4, 2)])
def test_the_lists_are_those_of_the_published_measure(day):
    found = Path(os.environ.get("TEST_CORPUS", "")).parent / "data" / "mhsds_measure_valid_codes.csv"
    if not os.environ.get("TEST_CORPUS") or not found.is_file():
        pytest.skip("TEST_CORPUS names no corpus beside which the codes of the measure lie")
    with found.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def published(measure, kind):
        return {
            row["code"]
            for row in rows
            if (row["measure"], row["type"]) == (measure, kind)
            and _month(int(row["first_month"])) <= (day.year, day.month)
            and (row["last_month"] == "null" or (day.year, day.month) <= _month(int(row["last_month"])))
        }

    counted = published("72HOURS_FOLLOWUP", "include")
    system = "nhs-dd-consultation-mechanism" if day >= date(2021, 10, 1) else "nhs-dd-consultation-medium"
    assert listed("follow_up_contacts.csv", system, day) == counted
    left_out = published("72HOURS", "exclude") & {row["code"] for row in rows if "DestOf" in row["field"]}
    ours = {
        code
        for name in ("nhs-dd-discharge-destination", "nhs-dd-destination-of-discharge")
        for code in listed("not_followed_up_destinations.csv", name, day)
    }
    mechanisms = {row["code"] for row in rows if row["field"] == "ConsMechanismMH" and row["type"] == "exclude"}
    assert ours == left_out - mechanisms
