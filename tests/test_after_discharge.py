"""
What is told of patients after they have left: of a death, and of an admission elsewhere.

The real mappings of a trust and of the national events, the real gateway and store, on an event loop whose time
jumps. Each scenario is a table: what happens at which hour, and what the trust is told in the end.
"""

from __future__ import annotations

import asyncio
import io
import random
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import shipped
from jumping import Jumping
from mhbridge import config, pipeline
from mhbridge import log as logs
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.app.feeds import feeds_from
from mhbridge.config import duties_of
from mhbridge.errors import StoreError
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.narrative import plain
from mhbridge.gateway import Clocks, Gateway, Noticing, Outbox, Outlet
from mhbridge.mapping.catalogue import load
from mhbridge.model import Envelope, MessageFacts
from mhbridge.pipeline.persons import Heard, Person, joined
from mhbridge.ports import Delivered

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "fixtures"
#: The patient left the ward on 14 March 2025 at 15:20.
T0 = datetime(2025, 3, 14, 15, 30, tzinfo=UTC)
CONFIG = f"""
[gateway]
name = "test"
mode = "test"
store = "sqlite:store.db"
mappings = ["{ROOT / "mappings"}"]

[[receiver]]
supplier = "example-mental-health"
kind = "mllp"
listen = "127.0.0.1:0"

[[receiver]]
supplier = "example-nems"
kind = "folder"
path = "in"

[[receiver]]
supplier = "example-trace"
kind = "folder"
path = "traced"
pattern = "*.csv"

[[receiver]]
supplier = "example-acute"
kind = "mllp"
listen = "127.0.0.1:0"

[[destination]]
name = "team"
kind = "folder"
path = "team"

[[destination]]
name = "gp"
kind = "folder"
path = "gp"

[[destination]]
name = "deaths"
kind = "folder"
path = "deaths"

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["gp"]

[[route]]
documents = ["death-after-discharge"]
to = ["deaths"]

[[route]]
documents = ["care-team-notice"]
to = ["team"]

[[route]]
documents = ["encounter-event", "death-notice", "acute-inpatient-discharge"]
to = "nobody"
"""


@pytest.fixture(scope="module")
def feeds():
    return feeds_from(config.parse(CONFIG, base=ROOT, environ={}), shipped.catalogue())


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """What looks every few seconds whether there is something to do is told of it in these tests, too."""
    for place in ("outbox._LONGEST_SLEEP", "backlog._LONGEST_SLEEP", "awaited._EVERY", "noticing._LONGEST"):
        monkeypatch.setattr(f"mhbridge.gateway.{place}", 36_000.0)


class Place:
    """A destination that keeps what it gets."""

    def __init__(self, name):
        self.name, self.got = name, []

    async def deliver(self, delivery):
        self.got.append(loads(delivery.document.body))
        return Delivered(2)


class World:
    """A gateway of several senders."""

    def __init__(self, path, feeds):
        log = logs.make(io.BytesIO())
        duties = duties_of(config.parse("", environ={}))
        self.store = SqliteStore(path / "store.db", turns=lambda _: InlineTurns(), duties=duties)
        self.places = {name: Place(name) for name in ("gp", "deaths", "team")}
        self.feeds = feeds
        outlets = [Outlet(place) for place in self.places.values()]
        jitter = random.Random(1).random
        self.outbox = Outbox(store=self.store, outlets=outlets, clock=self.clock, log=log, jitter=jitter)
        self.clocks = Clocks(store=self.store, clock=self.clock, log=log)
        self.gateway = Gateway(
            store=self.store,
            feeds=feeds,
            outbox=self.outbox,
            deadlines={},
            clock=self.clock,
            log=log,
            clocks=self.clocks,
        )
        self.noticing = Noticing(store=self.store, gateway=self.gateway, feeds=lambda: feeds, clock=self.clock, log=log)
        self.gateway.tell_of_watched(self.noticing.wake)

    def clock(self):
        return T0 + timedelta(seconds=asyncio.get_running_loop().time())

    async def open(self):
        await self.store.open()
        await self.gateway.open()
        await self.gateway.pressure.close()
        await self.clocks.open()
        await self.noticing.open()

    async def close(self):
        await self.noticing.close()
        await self.clocks.close()
        await self.gateway.close()
        await self.store.close()

    async def until(self, hour):
        await asyncio.sleep(max((T0 + timedelta(hours=hour) - self.clock()).total_seconds(), 0))

    async def take(self, feed, body):
        supplier = feed.partition("/")[0]
        committed = await self.gateway.take(Envelope(body, supplier, feed, self.clock(), "mllp", "127.0.0.1"))
        await asyncio.sleep(5)
        return committed.messages[0]


def fixture(name):
    return (FIXTURES / name).read_bytes()


def edited(body, **changes):
    """Bytes with texts in them changed; each is there."""
    for old, new in changes.get("swap", ()):
        assert old.encode() in body, old
        body = body.replace(old.encode(), new.encode())
    return body


def ward(name, *swap):
    return "example-mental-health/mllp", edited(fixture(f"example-mental-health/{name}"), swap=swap)


def national(name, *swap):
    return "example-nems/folder", edited(fixture(f"example-nems/death-notices/{name}.xml"), swap=swap)


def traced(name, *swap):
    """The answer to a trace of the patient who left the ward."""
    body = fixture(f"example-trace/deaths/{name}.csv")
    own = [("9990650209", "9990001014"), ("19620311", "19870621"), ("20250622", "20250320")]
    return "example-trace/folder", edited(body, swap=[*own, *swap])


LEFT = ward("adt/a03-discharge.hl7")
LETTER = ward("discharge-letter/plain.hl7")
INFORMAL, FORMAL, REMOVED = national("informal"), national("formal"), national("removed")
#: PID-29 and PID-30 of an update, twelve days after the discharge and later.
DIED_PID = ("|A||||||||||NSTS01", "|A|||||||202503251000|Y||NSTS01")
SAID_BY_WARD = ward(
    "adt/a08-update.hl7", DIED_PID, ("20250303091500", "20250326091500"), ("202503030900", "202503260900")
)
SAID_AGAIN = ward(
    "adt/a08-update.hl7",
    DIED_PID,
    ("20250303091500", "20250402091500"),
    ("202503030900", "202504020900"),
    ("000204", "777"),
)
CANCELLED = ward("adt/a13-cancel-discharge.hl7")
UNVERIFIED = ward("adt/a03-discharge.hl7", ("NSTS01", "NSTS02"))
DIED_THERE = ward("adt/a03-discharge.hl7", ("|CLIN|", "|DIED|"))
RESTRICTED = ward("adt/a03-discharge.hl7", ("|19||N|", "|19||S|"))
DIED = "2025-03-20T23:40:00+00:00"
IN_HOSPITAL, AT_EMERGENCY = ("final", "Admitted", "20 March 2025, 19:05"), ("final", "Attended", "20 March 2025, 19:05")
TAKEN_BACK = ("entered-in-error", None, "")


def played(path, feeds, events, then=24.0):
    """Play a scenario: the world after it, and the open tasks."""

    async def play():
        world = World(path, feeds)
        await world.open()
        for hour, (feed, body) in events:
            await world.until(hour)
            await world.take(feed, body)
        await world.until(events[-1][0] + then)
        status = await world.store.status(world.clock())
        tasks = await world.store.tasks()
        await world.close()
        assert status.differences == ()
        return world, tasks

    with asyncio.Runner(loop_factory=Jumping) as runner:
        return runner.run(play())


def told(world, place="deaths"):
    """Of each document: its status, when the patient died, and how that is known."""
    found = []
    for bundle in world.places[place].got:
        entries = [one["resource"] for one in bundle["entry"]]
        person = next(one for one in entries if one["resourceType"] == "Patient")
        codes = [
            part["valueCodeableConcept"]["coding"][0]["code"]
            for extension in person.get("extension", [])
            if extension["url"].endswith("DeathNotificationStatus")
            for part in extension["extension"]
            if part["url"] == "deathNotificationStatus"
        ]
        died = person.get("deceasedDateTime", person.get("deceasedBoolean"))
        found.append((entries[0]["status"], died, "".join(codes)))
    return found


DIED_ELSEWHERE = (
    "example-acute/mllp",
    edited(
        fixture("example-acute/discharge-letter/died.hl7"),
        swap=[
            ("9990020108", "9990001014"),
            ("19510203", "19870621"),
            ("202506201530", "202503201530"),
            ("202506200340", "202503200340"),
            ("202506121905", "202503181905"),
        ],
    ),
)
SCENARIOS = {
    "a death six days after a discharge": ([(0, LEFT), (200, INFORMAL)], [("final", DIED, "1")]),
    "the registrar says it, too": (
        [(0, LEFT), (200, INFORMAL), (400, FORMAL)],
        [("final", DIED, "1"), ("final", DIED, "2")],
    ),
    "the same notice again": ([(0, LEFT), (200, INFORMAL), (210, INFORMAL)], [("final", DIED, "1")]),
    "a stay that is known by its letter alone": ([(1, LETTER), (200, INFORMAL)], [("final", DIED, "1")]),
    "nobody died": ([(0, LEFT), (1, LETTER)], []),
    "an informal notice is removed": (
        [(0, LEFT), (200, INFORMAL), (300, REMOVED)],
        [("final", DIED, "1"), TAKEN_BACK],
    ),
    "removed, and then the registrar says it": (
        [(0, LEFT), (200, INFORMAL), (300, REMOVED), (600, national("formal", ("2025-03-28T11", "2025-04-08T11")))],
        [("final", DIED, "1"), TAKEN_BACK, ("final", DIED, "2")],
    ),
    "a removed notice is believed before the ward's own record": (
        [(0, LEFT), (200, INFORMAL), (210, SAID_BY_WARD), (300, REMOVED), (310, SAID_AGAIN)],
        [("final", DIED, "1"), TAKEN_BACK],
    ),
    "the ward alone knows of it": ([(0, LEFT), (300, SAID_BY_WARD)], [("final", "2025-03-25T10:00:00+00:00", "")]),
    "on the thirtieth day": (
        [(0, LEFT), (800, national("informal", ("2025-03-20T23:40:00", "2025-04-13T22:40:00")))],
        [("final", "2025-04-13T22:40:00+00:00", "1")],
    ),
    "the day after that": (
        [(0, LEFT), (800, national("informal", ("2025-03-20T23:40:00", "2025-04-14T00:40:00")))],
        [],
    ),
    "the day of the discharge, without the hour": (
        [(0, LEFT), (200, national("date-alone", ("2025-03-20", "2025-03-14")))],
        [("final", "2025-03-14", "1")],
    ),
    "before the discharge": (
        [(0, LEFT), (200, national("informal", ("2025-03-20T23:40:00", "2025-03-13T23:40:00")))],
        [],
    ),
    "the discharge is heard of after the death": ([(0, INFORMAL), (10, LEFT)], [("final", DIED, "1")]),
    "the discharge is cancelled": (
        [(0, LEFT), (200, INFORMAL), (210, CANCELLED)],
        [("final", DIED, "1"), TAKEN_BACK],
    ),
    "a number that nobody verified joins nothing": ([(0, UNVERIFIED), (200, INFORMAL)], []),
    "another hospital's letter alone says it": (
        [(0, LEFT), (150, DIED_ELSEWHERE)],
        [("final", "2025-03-20T03:40:00+00:00", "")],
    ),
    "a trace finds it": ([(0, LEFT), (400, traced("died"))], [("final", "2025-03-20", "")]),
    "a notice is removed, and a later trace still has the date": (
        [(0, LEFT), (200, INFORMAL), (300, REMOVED), (400, traced("died"))],
        [("final", DIED, "1"), TAKEN_BACK],
    ),
    "a trace has it, and then a notice is removed": (
        [(0, LEFT), (100, traced("died")), (300, REMOVED)],
        [("final", "2025-03-20", ""), TAKEN_BACK],
    ),
    "a trace finds it by likeness alone": ([(0, LEFT), (400, traced("found-by-likeness"))], []),
    "another person's death": ([(0, LEFT), (200, national("informal", ("9990001014", "9990020108")))], []),
    "who died on the ward did not die after it": ([(0, DIED_THERE), (200, INFORMAL)], []),
    "a restricted record is not joined": ([(0, RESTRICTED), (200, INFORMAL)], []),
}


@pytest.mark.parametrize("title", SCENARIOS)
def test_who_is_told_of_a_death(tmp_path, feeds, title):
    events, expected = SCENARIOS[title]
    world, _ = played(tmp_path, feeds, events)
    assert told(world) == expected


def when(text):
    found = re.search(r"\d+ \w+ \d{4}, \d\d:\d\d", text)
    return found[0] if found else ""


def acute(name, *swap, at="20250320"):
    """An event of another hospital, of the same person."""
    body = fixture(f"example-acute/adt/{name}.hl7")
    return "example-acute/mllp", edited(
        body, swap=[("9990020108", "9990001014"), ("19510203", "19870621"), ("202506121905", f"{at}1905"), *swap]
    )


ADMITTED = acute("a01-admission")
CANCELLED_THERE = acute("a11-cancel-admission", ("202506121930", "202503201930"))
STILL_IN = ward("adt/a01-admission.hl7")
ATTENDED = acute("a01-admission", ("PV1|1|I|", "PV1|1|E|"))
ELSEWHERE = {
    "an admission six days after a discharge": ([(0, LEFT), (150, ADMITTED)], [IN_HOSPITAL]),
    "an attendance at an emergency department": ([(0, LEFT), (150, ATTENDED)], [AT_EMERGENCY]),
    "while they are on the ward": ([(0, STILL_IN), (150, ADMITTED)], [IN_HOSPITAL]),
    "it is said again": ([(0, LEFT), (150, ADMITTED), (151, acute("a01-admission", ("000302", "777")))], [IN_HOSPITAL]),
    "an admission that was taken back": (
        [(0, LEFT), (150, ADMITTED), (160, CANCELLED_THERE)],
        [IN_HOSPITAL, ("entered-in-error", "", "")],
    ),
    "on the thirty-first day": ([(0, LEFT), (800, acute("a01-admission", at="20250414"))], []),
    "heard of after a fortnight": ([(0, LEFT), (600, ADMITTED)], []),
    "a planned admission": ([(0, LEFT), (150, acute("a01-admission", ("INFIRMARY|21|", "INFIRMARY|11|")))], []),
    "their own admission": ([(0, LEFT), (150, STILL_IN)], []),
    "whose record is restricted there": ([(0, LEFT), (150, acute("a01-admission", ("|19||N|", "|19||S|")))], []),
    "who does not agree to sharing": ([(0, LEFT), (150, acute("a01-admission", ("ZU8||1||0", "ZU8||2||0")))], []),
    "whose number was not traced": ([(0, LEFT), (150, acute("a01-admission", ("NSTS01", "NSTS03")))], []),
    "whose record is restricted here": ([(0, RESTRICTED), (150, ADMITTED)], []),
    "whose date of birth is another": ([(0, LEFT), (150, acute("a01-admission", ("19870621", "19510203")))], []),
    "somebody else": ([(0, LEFT), (150, acute("a01-admission", ("9990001014", "9990123438")))], []),
}


@pytest.mark.parametrize("title", ELSEWHERE)
def test_which_admissions_elsewhere_the_team_is_told_of(tmp_path, feeds, title):
    events, expected = ELSEWHERE[title]
    world, _ = played(tmp_path, feeds, events)
    found = []
    for bundle in world.places["team"].got:
        composition = bundle["entry"][0]["resource"]
        sections = {one["title"]: plain(one["text"]["div"]) for one in composition.get("section", ())}
        text = sections.get("Attendance details", "")
        found.append((composition["status"], "Admitted" if "Admitted" in text else text and "Attended", when(text)))
    assert found == expected


def test_a_team_is_told_that_it_was_and_nothing_of_why(tmp_path, feeds):
    world, _ = played(tmp_path, feeds, [(0, LEFT), (150, ADMITTED)])
    (notice,) = world.places["team"].got
    words = str(notice)
    assert "TESTPATIENT" in words
    # The control: the message of the other hospital says all of these.
    for hidden in ("CEDAR", "incontinence", "Pretend", "Clementine", "INVENTED", "VIS-2025"):
        assert hidden.encode() in ADMITTED[1]
        assert hidden not in words


def test_a_stop_between_the_message_and_the_note_of_it_tells_nothing_twice(tmp_path, feeds, monkeypatch):
    async def stops(_self, _noticed):
        raise StoreError("S299", "the control: it is not noted")

    noted, calls = SqliteStore.noticed, []

    async def first_stops(self, found):
        calls.append(1)
        await (stops if len(calls) == 1 else noted)(self, found)

    monkeypatch.setattr(SqliteStore, "noticed", first_stops)
    world, _ = played(tmp_path, feeds, [(0, INFORMAL), (10, LEFT)])
    assert told(world) == [("final", DIED, "1")]


def test_without_a_route_a_person_is_told(tmp_path, feeds):
    bare = {name: replace(feed, routes=feed.routes[:1]) if feed.watches else feed for name, feed in feeds.items()}
    world, tasks = played(tmp_path, bare, [(0, LEFT), (200, INFORMAL)])
    assert told(world) == []
    assert ("message", "M741") in [(task.what, task.cause) for task in tasks]


def test_every_clock_and_every_letter_has_a_name_for_people(feeds):
    """What a timeline may name; a document of none of these keeps the name of its type."""
    catalogue = load([Path(__file__).parents[1] / "mappings"], only=True)
    rows = (Path(__file__).parents[1] / "mappings/codes/tables/trail_name.csv").read_text("utf-8")
    mappings = [one for feed in feeds.values() for one in feed.mappings]
    letters = [catalogue.mapping(name) for name in catalogue.names() if catalogue.mapping(name).file.authors]
    named = {clock.name for one in [*mappings, *letters] for clock in one.clocks}
    named |= {one.document.name for one in letters} | {made for one in letters for made in one.document.extracts}
    assert {name for name in named if f",{name}," not in rows} == set()


def test_what_stands_in_the_record(tmp_path, feeds):
    """What was sent and what was missed, by time, and who said it."""
    world, _ = played(tmp_path, feeds, [(0, LEFT), (30, LETTER), (200, INFORMAL)])
    (record,) = world.places["deaths"].got
    text = " ".join(plain(section["text"]["div"]) for section in record["entry"][0]["resource"]["section"])
    for words in (
        "Mental health inpatient discharge summary",
        "Delivered",
        "Summary within 24 hours",
        "Met too late",
        "Informal",
        "SP-2025-00481",
    ):
        assert words in text, words
    # The control: of what the ward knows, nothing but this stands in it.
    assert "Petunia" not in text
    assert "Lane" not in text


def test_nobody_sends_one_from_outside(feeds):
    own = [mapping.name for name, feed in feeds.items() if not feed.watches for mapping in feed.mappings]
    assert "example-mental-health/deaths" not in own
    assert feeds["example-mental-health/deaths"].watches


def test_a_death_that_is_told_ends_the_follow_up_until_it_is_taken_back():
    """Where a trust sends its contacts, too, its follow-up has a clock; and nobody is to do what the plan asks for."""
    catalogue = shipped.catalogue()
    names = ("deaths", "adt", "discharge-letter")
    mappings = tuple(catalogue.mapping(f"example-mental-health/{name}") for name in names)
    mappings += (catalogue.mapping("example-inpatient/contacts"),)
    feed = pipeline.Feed("example-mental-health", "f", mappings[:1], clocks=pipeline.clocks_by_document(mappings))
    said = []
    for name in ("plain", "taken-back"):
        (outcome,) = pipeline.outcome_now(fixture(f"example-mental-health/deaths/{name}.json"), feed, T0)
        said += [(one.name, one.says, one.met_at is not None) for one in outcome.deadlines if one.says]
    assert set(said) == {
        (name, "excluded", is_so) for name in ("follow-up-72h", "planned-action") for is_so in (True, False)
    }


@pytest.mark.parametrize("is_verified", [True, False])
def test_which_numbers_join_records_the_pack_says(is_verified):
    """And each pack that looks beyond one sender says it by the same list of codes."""
    heard = [
        Heard(patient, supplier, "encounter-event", b"", (0, 0, patient), {"nhs_number": "9990000018"})
        for patient, supplier in ((1, "one"), (2, "another"))
    ]
    theirs = list(joined(Person(heard), 1, heard[:1], lambda _items: is_verified))
    assert theirs == heard[1:] * is_verified
    catalogue = shipped.catalogue()
    run = catalogue.mapping("example-mental-health/adt").run(MessageFacts("", ""), T0)
    for name in ("death-after-discharge", "care-team-notice"):
        (watch,) = catalogue.watches(name)
        said = {
            code: watch.is_verified({"nhs_number_status": {"coding": [{"system": system, "code": code}]}}, run)
            for system, code in (("nhs-number-status", "01"), ("nhs-number-status", "02"), ("itk-0445", "NSTS01"))
        }
        assert said == {"01": True, "02": False, "NSTS01": False}
        assert not watch.is_verified({}, run)
