"""
What events say, and what a letter that does not say it takes of that: messages → what stands in the letter, since when.

The real mappings, gateway and store. Each protection has its control: the rule taken away, and the fault seen.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

import pytest

import shipped
from mhbridge.cli import main
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.letter import letter_text
from mhbridge.fhir.validate import default_validator
from mhbridge.mapping.catalogue import load
from mhbridge.mapping.completeness import Said, completeness
from mhbridge.mapping.library import built_in
from mhbridge.mapping.packs import Stale
from mhbridge.model import Envelope, Later, Recorded, Severity
from mhbridge.pipeline import Feed, Route, carried_of, carries_by_document, intake, stale_by_document
from ward import EVENT, LETTER, SUPPLIER, a_ward
from ward import feed as plain_feed

FIXTURES = built_in("fixtures") / "example-mental-health"
FILES = {
    "A01": "a01-admission",
    "A01 allergies": "a01-allergies",
    "A03": "a03-discharge",
    "A08": "a08-update",
    "A13": "a13-cancel-discharge",
    "A02": "a02-transfer",
}
#: What a letter of a system that leaves the administrative part to others says of it.
NOTHING = {"PV1-4": "", "PV1-8": "", "PV1-14": "", "PV1-36": "", "PV1-37": "", "PV1-44": "", "NK1": None, "PD1": None}
BARE = {**NOTHING, "LEGALADM": None, "LEGALDIS": None}


@cache
def feed():
    mappings = plain_feed().mappings
    return replace(plain_feed(), carries=carries_by_document(mappings), stale=stale_by_document(mappings))


def message(kind, number, at, fields, folder=FIXTURES):
    """A fixture with fields set (`PV1-4`), or all segments of a name, or an OBX of a code, taken out."""
    name = f"discharge-letter/{fields.pop('of', 'plain')}" if kind == "letter" else f"adt/{FILES[kind]}"
    when = f"{at:%Y%m%d%H%M}"
    values = {"MSH-7": f"{when}00+0000", "MSH-10": f"N-{number}"}
    values |= {"TXA-6": when} if kind == "letter" else {"EVN-2": f"{when}00+0000", "EVN-6": when}
    values |= fields
    found = []
    for line in (folder / f"{name}.hl7").read_bytes().decode().split("\r"):
        parts = line.split("|")
        code = parts[3].partition("^")[0] if parts[0] == "OBX" else parts[0]
        if code in values and values[code] is None:
            continue
        for where, value in values.items():
            segment, _, place = where.partition("-")
            if segment == parts[0] and place:
                index = int(place) - (segment == "MSH")
                parts += [""] * (index + 1 - len(parts))
                parts[index] = value
        found.append("|".join(parts))
    return "\r".join(found).encode()


class Stay:
    """A stay of which messages come one after the other."""

    def __init__(self, ward, using):
        self.ward, self.using, self.sent = ward, using, 0

    async def send(self, kind, at, fields=(), received=None):
        self.sent += 1
        self.ward.now = received or max(self.ward.now, at)
        body = message(kind, self.sent, at, dict(fields), built_in("fixtures") / self.using.supplier)
        committed = await self.ward.gateway.take(
            Envelope(body, self.using.supplier, self.using.name, self.ward.now, "mllp")
        )
        (self.last,) = committed.messages
        state = await self.ward.worked(self.last)
        for made in await self.ward.store.documents(self.last):
            if made.bundle == "document":
                self.ward.numbers.setdefault(made.identifier, len(self.ward.numbers) + 1)
        return state

    async def letters(self, about=None):
        """The letters that a message made, the last one last."""
        made = await self.ward.store.documents(about or self.last)
        return [loads(one.body) for one in made if one.type == LETTER]


def recorded(bundle):
    """What the letter says that somebody else has said: label, value, and when and where."""
    text = "".join(section["text"]["div"] for section in bundle["entry"][0]["resource"]["section"])
    found = re.findall(r"<p><b>([^<]*):</b>((?:(?!<p><b>).)*?)\((as recorded [^)]*)\)", text)
    return [f"{label}: {re.sub('<[^>]*>', ' ', value).strip()} | {note}" for label, value, note in found]


def day(text):
    return datetime.fromisoformat(f"2025-{text}+00:00")


A01, A08 = ("A01", "02-10T18:40"), ("A08", "03-03T09:00")
WRITTEN = "03-14T16:20"
AS_A01 = "as recorded on 10 February 2025 at 18:40 in a message of kind ADT^A01"

EARLIER = "recorded before this letter"
AT_ADMISSION = "10 February 2025 at 18:40 in a message of kind ADT^A01"
ALLERGIES = ("A01 allergies", "02-10T18:40")

#: What came before, what the letter does not say, and which labels of it stand in the letter with which date.
STAYS = {
    "a letter that says everything": ([A01], {}, {}),
    "a letter that leaves out what the admission said": (
        [A01],
        BARE,
        {
            "Admission method": "10 February 2025 at 18:40 in a message of kind ADT^A01",
            "Source of admission": "10 February 2025 at 18:40 in a message of kind ADT^A01",
            "Date and time of admission": "10 February 2025 at 18:40 in a message of kind ADT^A01",
            "Legal status on admission": "10 February 2025 at 18:40 in a message of kind ADT^A01",
            "Referrer": "10 February 2025 at 18:40 in a message of kind ADT^A01",
            "Relevant contacts": "10 February 2025 at 18:40 in a message of kind ADT^A01",
            "GP practice": "10 February 2025 at 18:40 in a message of kind ADT^A01",
            "GP name": "10 February 2025 at 18:40 in a message of kind ADT^A01",
        },
    ),
    "what was said again just so is dated by the first": (
        [A01, A08],
        {"PV1-4": ""},
        {"Admission method": "10 February 2025 at 18:40 in a message of kind ADT^A01"},
    ),
    "what was corrected is dated by the correction": (
        [A01, (*A08, {"PV1-4": "21"})],
        {"PV1-4": ""},
        {"Admission method": "3 March 2025 at 09:00 in a message of kind ADT^A08"},
    ),
    "an event that comes out of order has its own place": (
        [(*A08, {"PV1-4": "21"}), A01],
        {"PV1-4": ""},
        {"Admission method": "3 March 2025 at 09:00 in a message of kind ADT^A08"},
    ),
    "what was deleted since is not carried": ([A01, (*A08, {"PV1-4": '""'})], {"PV1-4": ""}, {}),
    "nor what a cancelled discharge took back": (
        [A01, ("A03", "03-10T10:00"), ("A13", "03-11T10:00")],
        {"PV1-36": "", "PV1-37": "", "LEGALDIS": None},
        {},
    ),
    "a letter that deletes it, or mangles it, has spoken": ([A01], {"PV1-4": '""'}, {}),
    "of another stay nothing but what holds for the patient": (
        [("A01", "02-10T18:40", {"PV1-19": "SP-1^^^EXMH-SPELL"})],
        BARE,
        {
            "Relevant contacts": "10 February 2025 at 18:40 in a message of kind ADT^A01",
            "GP practice": "10 February 2025 at 18:40 in a message of kind ADT^A01",
            "GP name": "10 February 2025 at 18:40 in a message of kind ADT^A01",
        },
    ),
    "a GP is not joined to another practice": (
        [A01],
        {"PD1-4": "9990077^OTHER^Rue^^^Dr^^^GMC", "PD1-3": ""},
        {},
    ),
    "allergies that the letter does not say": (
        [ALLERGIES],
        {"ALLERGY": None},
        {"Not said by whoever wrote this letter, but recorded before it": AT_ADMISSION},
    ),
    "those of another stay, too": (
        [("A01 allergies", "02-10T18:40", {"PV1-19": "SP-1^^^EXMH-SPELL"})],
        {"ALLERGY": None},
        {"Not said by whoever wrote this letter, but recorded before it": AT_ADMISSION},
    ),
    "not beside those of the letter": ([ALLERGIES], {}, {}),
    "that none were known at admission is carried to no letter": (
        [("A01 allergies", "02-10T18:40", {"AL1-3": "NKA^No known allergies^EXMH-ALG"})],
        {"ALLERGY": None},
        {},
    ),
    "of another patient nothing": (
        [("A01", "02-10T18:40", {"PID-3": "M-9^^^EXMH", "PV1-19": "SP-9^^^EXMH-SPELL"})],
        BARE,
        {},
    ),
}


@pytest.mark.parametrize("case", STAYS)
async def test_what_a_letter_takes_of_what_events_said(tmp_path, case) -> None:
    events, left_out, expected = STAYS[case]
    async with a_ward(tmp_path, feed()) as ward:
        stay = Stay(ward, feed())
        for kind, at, *fields in events:
            assert await stay.send(kind, day(at), *fields) == "done"
        assert await stay.send("letter", day(WRITTEN), left_out) == "done"
        (letter,) = await stay.letters()
        found = {one.partition(":")[0]: one.partition("| as recorded on ")[2] for one in recorded(letter)}
        assert found == expected
        told = [one["text"] for one in (await ward.store.trace(stay.last)).issues if one["code"] == "I660"]
        assert len(told) == len(expected)
        # Which message it was, a person finds by its number.
        numbers = [int(re.search(r"message (\d+)", one)[1]) for one in told]
        kinds = [(await ward.store.trace(number)).message.kind for number in numbers]
        assert sorted(kinds) == sorted(one.rpartition(" ")[2] for one in expected.values())


@pytest.mark.parametrize(
    ("case", "says", "is_carried"),
    [
        ("no-medicines-allergies-unknown", "Allergy information is not available because:", True),
        ("with-pdf", "No known allergies:", True),
        ("plain", "Causative agent:", False),
        ("minimal", "This does not mean that there are no allergies.", True),
    ],
)
async def test_allergies_recorded_earlier_stand_apart_from_what_the_letter_says(
    tmp_path, case, says, is_carried
) -> None:
    """The letter's own section says what its author said, be it nothing, and the page still says that it was not."""
    async with a_ward(tmp_path, feed()) as ward:
        stay = Stay(ward, feed())
        await stay.send("A01 allergies", day("02-10T18:40"))
        assert await stay.send("letter", day(WRITTEN), {"of": case, "PID-3": "M-104482^^^EXMH"}) == "done"
        (letter,) = await stay.letters()
        told = [one["text"] for one in (await ward.store.trace(stay.last)).issues if one["code"] == "I650"]
    # Of an author who says that none are known, and an event that knew one, somebody is wrong: the sender hears of it.
    assert any("the events of the patient before it recorded some" in one for one in told) is (case == "with-pdf")
    composition = letter["entry"][0]["resource"]
    sections = {one["title"]: one for one in composition["section"]}
    own, earlier = (sections.get(f"Allergies {name}") for name in ("and adverse reactions", EARLIER))
    assert says in own["text"]["div"]
    assert "Swollen lips" not in own["text"]["div"]
    # What the author's list holds is the author's.
    resources = {entry["fullUrl"]: entry["resource"] for entry in letter["entry"]}
    listed = [one["item"]["reference"] for r in resources.values() if r["resourceType"] == "List"
              for one in r.get("entry", ()) if r["title"] == "Allergies and adverse reactions"]  # fmt: skip
    entries = [] if earlier is None else [one["reference"] for one in earlier["entry"]]
    assert not set(listed) & set(entries)
    assert (earlier is not None) is is_carried
    if earlier is not None:
        div = earlier["text"]["div"]
        assert all(word in div for word in ("Amoxicillin", "Swollen lips", "Peanuts", AS_A01))
        assert "No known allergies" not in div
        assert all(resources[one]["note"][0]["text"].startswith("Recorded before this") for one in entries)
    if case == "minimal":
        assert own["emptyReason"]["coding"][0]["code"] == "unavailable"
        assert "Not recorded by the sender, which does not mean that there is nothing: " in letter_text(letter)


RESTRICTED = {
    "by the event that said it": ([("A01", "02-10T18:40", {"PV1-16": "Y"})], {}),
    "by another event": ([A01, (*A08, {"PV1-16": "Y"})], {}),
    "by the letter": ([A01], {"PV1-16": "Y"}),
}


@pytest.mark.parametrize("case", RESTRICTED)
async def test_of_a_restricted_patient_nothing_is_carried_that_is_withheld(tmp_path, case) -> None:
    events, fields = RESTRICTED[case]
    async with a_ward(tmp_path, feed()) as ward:
        stay = Stay(ward, feed())
        for kind, at, *more in events:
            await stay.send(kind, day(at), *more)
        assert await stay.send("letter", day(WRITTEN), {**BARE, **fields}) == "parked"
        (letter,) = await stay.letters()
        withheld = {"Relevant contacts", "GP practice", "GP name", "Referrer"}
        assert not withheld & {one.partition(":")[0] for one in recorded(letter)}
        assert not [one for one in ("Petunia", "MARIGOLD LANE") if one in str(letter)]


async def test_the_same_readings_give_the_same_letter_and_name_of_what_was_known(tmp_path) -> None:
    made = []
    for number, order in enumerate(([A01, A08], [A08, A01])):
        async with a_ward(tmp_path / str(number), feed()) as ward:
            stay = Stay(ward, feed())
            for kind, at in order:
                await stay.send(kind, day(at), received=day("03-03T12:00"))
            await stay.send("letter", day(WRITTEN), BARE)
            made += await stay.letters()
    assert recorded(made[0]) == recorded(made[1]) != []


def said(number, at, **items):
    return Later((at, at), items, True, number, Recorded("event", f"ADT^A{number:02}", at, number))


def test_known_is_named_by_the_readings_that_it_is_of_in_order() -> None:
    one, two, other = said(1, 10, a="x"), said(2, 20, a="y", b="z"), said(3, 20, a="y", b="z")
    assert carried_of([one, two]) == carried_of([two, one])
    assert carried_of([one, two]).digest != carried_of([one, other]).digest != carried_of([other]).digest
    assert carried_of([]).digest == b""


# --- controls: what may not be carried ---------------------------------------------------------------------

#: What is added to a copy of the shipped pack, and what `check` then says of it.
FORBIDDEN = {
    "medicines": ("parts/medicines", "  medicines:\n", "    carry: episode\n", "E541"),
    "a list of medicines by another name": (
        "documents/mental-health-inpatient-discharge", "items:\n",
        "  drugs: {type: list of medicine, label: Drugs, heading: clinical-summary, carry: episode}\n", "E541",
    ),
    "words under their heading": (
        "documents/mental-health-inpatient-discharge", "items:\n",
        "  drugs: {type: text, label: Drugs, heading: medications-and-medical-devices, carry: patient}\n", "E541",
    ),
    "no known allergies": ("parts/allergies", "  no_known_allergies:\n", "    carry: patient\n", "E542"),
    "why they are not known": ("parts/allergies", "  allergies_unavailable:\n", "    carry: episode\n", "E542"),
    "who the patient is": ("parts/patient", "  nhs_number:\n", "    carry: patient\n", "E543"),
}  # fmt: skip


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carry") / "mappings"
    shutil.copytree(built_in("mappings"), folder)
    return folder


@pytest.mark.parametrize("case", FORBIDDEN)
def test_medicines_and_absences_are_not_carried_whatever_a_pack_says(copied, case) -> None:
    where, after, added, code = FORBIDDEN[case]
    path = copied / where / "items.yaml"
    kept = path.read_text("utf-8")
    assert after in kept
    path.write_text(kept.replace(after, after + added, 1), "utf-8")
    try:
        catalogue = load([copied], only=True)
        catalogue.document(LETTER)
        found = {one.code for one in catalogue.diagnostics()}
    finally:
        path.write_text(kept, "utf-8")
    assert code in found


@pytest.mark.parametrize("name", ["social-care-notice", "crisis-plan-pointer"])
def test_what_goes_beyond_the_care_team_takes_nothing_of_what_events_said(copied, name) -> None:
    def carried():
        catalogue = load([copied], only=True)
        return {item.name for item in catalogue.document(name).items.values() if item.carry != "never"}

    assert carried() == set()
    # The control: the parts would have it carried.
    file = copied / "documents" / name / "items.yaml"
    file.write_text(file.read_text("utf-8").replace("\ncarry: never", "\n# ", 1), "utf-8")
    assert {"contacts", "gp", "gp_practice"} <= carried()


async def test_the_control_without_that_an_absence_stands_beside_what_contradicts_it(tmp_path) -> None:
    """With the GP of the event and the practice of the letter, each as the other's: what `unless_said` keeps apart."""
    found = {}
    for name, unless in (("as it is", True), ("without", False)):
        mappings = []
        for mapping in plain_feed().mappings:
            pack = mapping.document
            items = {n: one if unless else replace(one, unless_said=()) for n, one in pack.items.items()}
            mappings.append(replace(mapping, document=replace(pack, items=items)))
        using = replace(plain_feed(), mappings=tuple(mappings), carries=carries_by_document(mappings))
        async with a_ward(tmp_path / name, using) as ward:
            stay = Stay(ward, using)
            await stay.send("A01", day("02-10T18:40"))
            await stay.send("letter", day(WRITTEN), {"PD1-3": "", "PD1-4": "9990077^OTHER^Rue^^^Dr^^^GMC"})
            (letter,) = await stay.letters()
            found[name] = [one.partition(":")[0] for one in recorded(letter)]
    assert found == {"as it is": [], "without": ["GP practice"]}


async def test_the_letter_of_an_acute_ward_takes_the_same(tmp_path) -> None:
    catalogue = shipped.catalogue()
    mappings = tuple(catalogue.mapping(f"example-acute/{name}") for name in ("adt", "discharge-letter"))
    routes = (Route(frozenset({"acute-inpatient-discharge"}), ("gp",)), Route(frozenset({EVENT}), ()))
    carries = carries_by_document(mappings)
    using = Feed("example-acute", "example-acute/mllp", mappings, routes, live=False, carries=carries)
    async with a_ward(tmp_path, using) as ward:
        stay = Stay(ward, using)
        await stay.send("A01", datetime.fromisoformat("2025-06-12T18:05+00:00"))
        assert await stay.send("letter", datetime.fromisoformat("2025-06-20T14:30+00:00"), NOTHING) == "done"
        (letter,) = [loads(one.body) for one in await ward.store.documents(stay.last)]
    when = "as recorded on 12 June 2025 at 18:05 in a message of kind ADT^A01"
    assert sorted(one.partition(":")[0] for one in recorded(letter)) == [
        "Admission method", "Date and time of admission", "GP name", "GP practice", "Referrer", "Relevant contacts",
        "Source of admission",
    ]  # fmt: skip
    assert {one.partition("| ")[2] for one in recorded(letter)} == {when}


async def test_where_a_feed_asks_for_it_provenance_says_it_too(tmp_path) -> None:
    mappings = [replace(one, file=replace(one.file, provenance=True)) for one in feed().mappings]
    using = replace(feed(), mappings=tuple(mappings))
    async with a_ward(tmp_path, using) as ward:
        stay = Stay(ward, using)
        await stay.send("A01", day("02-10T18:40"))
        assert await stay.send("letter", day(WRITTEN), {"PV1-4": "", "PD1": None}) == "done"
        (letter,) = await stay.letters()
    found = {}
    urls = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in letter["entry"]}
    for resource in (entry["resource"] for entry in letter["entry"]):
        if resource["resourceType"] == "Provenance":
            said = [one["what"]["display"] for one in resource["entity"][1:]]
            found.setdefault(urls[resource["target"][0]["reference"]], []).extend(said)
    who = "from Example Mental Health NHS Trust (fictitious)"
    assert found["Encounter"] == [f"Admission method, {AS_A01}, {who}"]
    assert found["Patient"] == [f"GP practice, {AS_A01}, {who}", f"GP name, {AS_A01}, {who}"]
    assert found["Condition"] == []
    assert [one for one in default_validator()(letter) if one.severity is Severity.ERROR] == []


def test_translate_takes_along_what_came_before_and_its_trace_names_it(tmp_path, capsys) -> None:
    files = {}
    for kind, at, fields in (("A01", "02-10T18:40", {}), ("letter", WRITTEN, {"PV1-4": "", "NK1": None})):
        files[kind] = tmp_path / f"{kind}.hl7"
        files[kind].write_bytes(message(kind, 1, day(at), dict(fields)))
    with pytest.raises(SystemExit):
        main(["translate", str(files["letter"]), "--after", str(files["A01"]), "--trace"])
    shown = capsys.readouterr()
    assert [one.partition(":")[0] for one in recorded(loads(shown.out.encode()))] == [
        "Relevant contacts",
        "Admission method",
    ]
    assert f"<- admission_method <- {AS_A01}  (an earlier message)" in shown.err
    assert f"<- contacts[1].name <- {AS_A01}  (an earlier message)" in shown.err
    with pytest.raises(SystemExit):
        main(["translate", str(files["letter"]), "--trace"])
    assert "as recorded" not in "".join(capsys.readouterr())


def test_completeness_says_of_what_is_carried_that_it_is() -> None:
    pack = next(one.document for one in feed().mappings if one.document.name == LETTER)
    items = {"admission_method": {"coding": [{"code": "25"}]}, "admitted_at": "2025-02-10"}
    elements = {one.item: one.said for one in completeness(pack, items, {"admission_method"}).elements}
    assert (elements["admission_method"], elements["admitted_at"]) == (Said.CARRIED, Said.PRESENT)


async def test_of_a_letter_no_more_is_kept_for_later_messages_than_they_ask_for(tmp_path) -> None:
    async with a_ward(tmp_path, feed()) as ward:
        stay = Stay(ward, feed())
        await stay.send("A01", day("02-10T18:40"))
        await stay.send("letter", day(WRITTEN))
        envelope = Envelope(message("letter", 2, day(WRITTEN), {}), SUPPLIER, feed().name, day(WRITTEN), "mllp")
        _, reading = intake(envelope, feed()).messages[0].readings[0]
        event, letter = [await ward.store.known(reading.patient, reading.episode, one) for one in (EVENT, LETTER)]
        assert len(reading.items) > 50
        assert set(letter.items) == {"discharged_at", "patient_key", "sensitivity"}
        assert {"contacts", "admission_method"} <= event.items.keys()


# --- what comes after the letter ---------------------------------------------------------------------------

SENT = day("03-14T16:30")
MINUTE = timedelta(minutes=1)
DAY = 24 * 60

#: Minutes after the letter, and what comes; then the minutes at which a version replaces the letter's, and tasks.
LATE = {
    "soon after, it waits for an hour to be over": ([(10, "A08", {"PV1-4": "21"})], [60], []),
    "later, it goes at once": ([(120, "A08", {"PV1-4": "21"})], [120], []),
    "at most one an hour": (
        [(120, "A08", {"PV1-4": "21"}), (130, "A08", {"PV1-4": "22"}), (140, "A08", {"PV1-4": "24"})],
        [120, 180],
        [],
    ),
    "what was changed, and changed back, is as of then": (
        [(10, "A08", {"PV1-4": "21"}), (20, "A08", {"PV1-4": "25"})],
        [60],
        [],
    ),
    "what bears on safety goes at once": ([(10, "A03", {"ZMH-3": "S3"})], [10], []),
    "so does an allergy that nobody had said": ([(10, "A01 allergies", {})], [10], []),
    "also within the hour of another": (
        [(120, "A08", {"PV1-4": "21"}), (125, "A03", {"ZMH-3": "S3", "PV1-4": "21"})],
        [120, 125],
        [],
    ),
    "what the letter says itself does not change": ([(120, "A08", {"PV1-14": "79"})], [], []),
    "nor what is said again": ([(120, "A08", {})], [], []),
    "of another stay only what holds for the patient": (
        [(120, "A08", {"PV1-19": "SP-9^^^EXMH-SPELL", "PV1-4": "21"})],
        [],
        [],
    ),
    "a new GP, whatever the stay": (
        [(120, "A08", {"PV1-19": "SP-9^^^EXMH-SPELL", "PD1-4": "9990077^OTHER^Rue^^^Dr^^^GMC"})],
        [120],
        [],
    ),
    "what an A08 says that belongs before the admission changes nothing": (
        [(120, "A08", {"EVN-6": "202502010900", "EVN-2": "202502010900+0000", "PV1-4": "21"})],
        [],
        [],
    ),
    "after five weeks a person is told": ([(36 * DAY, "A08", {"PV1-4": "21"})], [], ["M755"]),
    "a new GP then is for the letters that follow": (
        [(36 * DAY, "A08", {"PV1-19": "SP-9^^^EXMH-SPELL", "PD1-4": "9990077^OTHER^Rue^^^Dr^^^GMC"})],
        [],
        [],
    ),
    "a letter that was taken back stays so": ([(30, "A13", {}), (120, "A08", {"PV1-4": "21"})], [], []),
}
LEAVES_OUT = {"PV1-4": "", "PD1": None, "LEGALDIS": None, "ALLERGY": None}


async def what_follows(path, coming, using=None):
    """Minutes at which versions were made after the letter's, and the causes of the tasks that are open then."""
    using = using or feed()
    async with a_ward(path, using) as ward:
        stay = Stay(ward, using)
        await stay.send("A01", day("02-10T18:40"))
        assert await stay.send("letter", day(WRITTEN), LEAVES_OUT, received=SENT) == "done"
        letter, sent, made = stay.last, [stay.last], []
        for minutes in sorted({*range(0, 60 * 4, 5), *(minutes for minutes, _, _ in coming)}):
            ward.now = SENT + minutes * MINUTE
            for at, kind, fields in coming:
                if at == minutes:
                    await stay.send(kind, ward.now, fields)
                    sent.append(stay.last)
            while [one for one in await ward.store.fire(ward.now) if one.kind == "again"]:
                ward.gateway.backlog.wake()
                await ward.worked(letter)
            versions = sum([len(await stay.letters(message)) for message in sent])
            made += [minutes] * (versions - 1 - len(made))
        tasks = [one for one in await ward.store.tasks() if one.what == "letter"]
        for one in tasks:
            await ward.store.finish_task(one.id, "somebody", "it holds", ward.now)
        return made, [one.cause for one in tasks]


@pytest.mark.parametrize("case", LATE)
async def test_a_letter_follows_what_it_carries(tmp_path, case) -> None:
    coming, versions, tasks = LATE[case]
    assert await what_follows(tmp_path, coming) == (versions, tasks)


async def test_a_letter_on_its_way_does_not_leave_any_more_when_the_patient_is_restricted(tmp_path) -> None:
    async with a_ward(tmp_path, feed()) as ward:
        stay = Stay(ward, feed())
        await stay.send("A01", day("02-10T18:40"))
        assert await stay.send("letter", day(WRITTEN), LEAVES_OUT, received=SENT) == "done"
        letter = stay.last
        assert await ward.deliver("gp", "takes") == "1"
        ward.now += MINUTE
        assert await stay.send("A08", ward.now, {"PV1-16": "Y"}) == "parked"
        await ward.store.fire(ward.now)
        ward.gateway.backlog.wake()
        assert await ward.worked(letter) == "parked"
        trace = await ward.store.trace(letter)
        assert trace.message.code == "M740"
        assert sorted((one["destination"], one["state"]) for one in trace.deliveries) == [
            ("gp", "done"),
            ("team", "cancelled"),
        ]
        for message in (letter, stay.last):
            assert await ward.store.close_message(message, "somebody", "decided by hand", ward.now)


async def test_what_happened_after_the_letter_was_written_is_told_to_a_person(tmp_path) -> None:
    """Which messages these are, the pack of the letter says; what was before it is none of them."""
    rule = Stale(EVENT, "event", "transfer", "tell")
    coming = {
        "after": (120, "A02", {}),
        "before": (120, "A02", {"EVN-6": "202503141500", "EVN-2": "202503141500+0000"}),
    }
    using = replace(feed(), stale={LETTER: (rule,)})
    told = {name: (await what_follows(tmp_path / name, [one], using))[1] for name, one in coming.items()}
    assert told == {"after": ["M756"], "before": []}
    assert feed().stale[LETTER][0] == Stale("observation-report", "", "", "hold")


async def test_the_control_without_the_hour_each_change_is_a_letter(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("mhbridge.adapters.sql.letters._HOUR", 0)
    coming, _, _ = LATE["at most one an hour"]
    assert await what_follows(tmp_path, coming) == ([120, 130, 140], [])
