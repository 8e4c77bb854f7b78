"""
A month in figures: which month, what may be shown of small numbers, the CSV file and the page.

What is left out must not be found again: every group of counts that would be shown just so is tried, and each small
count among them could be another. The controls are groups of which only the small counts are left out.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.cli.insights import insights
from mhbridge.insights.extract import LEFT_OUT, as_csv
from mhbridge.insights.groups import Names, groups
from mhbridge.insights.months import Month
from mhbridge.insights.page import page
from mhbridge.insights.suppressing import Shown, shown
from mhbridge.model import Answer, Envelope, Ledger, Letter, MessageFacts, MessageState, Outcome, Reading, Verdict
from mhbridge.ports import Figure, Measure

NOW = datetime(2026, 12, 5, 9, 30, tzinfo=UTC)
NOVEMBER = Month(2026, 11)
LETTER, REFERRAL = "mental-health-inpatient-discharge", "community-referral"


# --- months --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-03", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, 23, tzinfo=UTC)),
        ("2026-10", datetime(2026, 9, 30, 23, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-12", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_month_is_from_midnight_to_midnight_in_london(text, since, until):
    month = Month.of(text)
    assert (str(month), month.since, month.until) == (text, since, until)


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "2026", "11-2026", "2026-1", "last", ""])
def test_what_is_no_month_is_refused(text):
    with pytest.raises(ValueError, match="write a month"):
        Month.of(text)


def test_the_last_month_is_the_one_that_is_over():
    assert str(Month.before(datetime(2026, 1, 3, tzinfo=UTC))) == "2025-12"
    # In London it is May already.
    assert str(Month.before(datetime(2026, 4, 30, 23, 30, tzinfo=UTC))) == "2026-04"


# --- small numbers -------------------------------------------------------------------------------------------


def said(found):
    """All that is published of a group."""
    return (found.total, tuple(found.parts.items()), tuple(sorted(found.at_least.items())))


def adding_up(total, wide):
    """All groups of so many counts with this total."""
    if wide == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for others in adding_up(total - first, wide - 1):
            yield (first, *others)


def given_away(rule, totals, wide, small):
    """Groups of which what is shown tells a small count: of all that look the same, not every small one is there."""
    found = []
    for total in range(1, totals + 1):
        same = defaultdict(list)
        for counts in adding_up(total, wide):
            same[said(rule(dict(zip("abcde", counts, strict=False)), small))].append(counts)
        for looks, alike in same.items():
            parts = dict(looks[1])
            for place, name in enumerate("abcde"[:wide]):
                could_be = {counts[place] for counts in alike}
                small_ones = set(range(1, small))
                if parts.get(name, 0) is None and could_be & small_ones and not could_be >= small_ones:
                    found.append(alike[0])
    return found


def only_the_small(parts, small):
    """The control: nothing is left out with them."""
    shows = {name: None if 0 < count < small else count for name, count in parts.items()}
    return Shown(sum(parts.values()), shows)


@pytest.mark.parametrize(("totals", "wide", "small"), [(150, 2, 5), (40, 3, 5), (20, 4, 3), (14, 5, 3)])
def test_no_small_count_can_be_found_again(totals, wide, small):
    assert given_away(shown, totals, wide, small) == []


@pytest.mark.parametrize(("totals", "wide", "small"), [(24, 2, 5), (12, 3, 5)])
def test_control_without_others_left_out_small_counts_are_found_again(totals, wide, small):
    assert len(given_away(only_the_small, totals, wide, small)) > 10


@pytest.mark.parametrize(
    ("parts", "total", "shows"),
    [
        ({"a": 3}, None, {}),
        ({"a": 3, "b": 4}, 7, {}),
        ({"a": 0, "b": 0}, 0, {"a": 0, "b": 0}),
        ({"a": 20, "b": 30, "c": 0}, 50, {"a": 20, "b": 30, "c": 0}),
        ({"a": 30, "b": 18, "c": 2}, 50, {"a": 30, "b": None, "c": None}),
        ({"a": 18, "b": 4, "c": 2}, 24, {"a": None, "b": None, "c": None}),
        ({"a": 9, "b": 4, "c": 0}, 13, {"a": None, "b": None, "c": 0}),
        # Their sum would say that the small one is one.
        ({"a": 5, "b": 20, "c": 1, "d": 5}, 31, {}),
        ({"a": 4, "b": 4, "c": 4}, 12, {}),
    ],
)
def test_what_is_shown_of_a_group(parts, total, shows):
    found = shown(parts, 5)
    assert (found.total, dict(found.parts)) == (total, shows)


def test_a_great_share_that_is_left_out_because_of_a_small_one_is_said_in_tens():
    found = shown({"met": 260, "missed": 3}, 5)
    assert dict(found.parts) == {"met": None, "missed": None}
    # No more than everybody can work out: the small one is four at most.
    assert dict(found.at_least) == {"met": 90}
    assert dict(shown({"met": 10, "missed": 1}, 5).at_least) == {"met": 60}


# --- a month -------------------------------------------------------------------------------------------------


def of(measure, sender, recipient="", document=LETTER, name="", **counts):
    return [Figure(measure, sender, recipient, document, name, said.replace("_", " "), n) for said, n in counts.items()]


def a_month():
    """Three suppliers and two recipients; some of it small."""
    clock, level = Measure.CLOCK, Measure.DELIVERY
    found = [
        *of(clock, "north/mllp", "gp-hub", name="summary-24h", met=412, within_72_h=31, later=9, missed=7),
        *of(clock, "north/mllp", "team", name="summary-24h", met=440, within_72_h=14, missed=5),
        *of(clock, "south/folder", "gp-hub", name="summary-24h", met=188, within_72_h=2, missed=1),
        *of(clock, "harbour/http", "gp-hub", name="summary-24h", met=2),
        *of(clock, "north/mllp", "", name="follow-up-72h", met=301, missed=22, running=11, excluded=9),
        *of(clock, "south/folder", "", name="follow-up-72h", met=150, later=20),
        *of(level, "north/mllp", "gp-hub", accepted=430, under_way=12, waits_for_a_person=8, withdrawn=21),
        *of(level, "north/mllp", "team", business=402, accepted=60),
        *of(level, "south/folder", "gp-hub", accepted=190, waits_for_a_person=1),
        *of(level, "south/folder", "team", REFERRAL, accepted=77),
        *of(Measure.REFUSED, "north/mllp", "gp-hub", x=14),
        *of(Measure.LETTER, "north/letters", x=471),
        *of(Measure.LETTER, "south/letters", x=191),
        *of(Measure.LETTER, "harbour/letters", x=3),
        *of(Measure.MESSAGE, "north/letters", x=9000),
        *of(Measure.CODE, "north/letters", document="", name="discharge_destination PV1-37.1", x=63),
        *of(Measure.CODE, "north/letters", document="", name="gender PID-8", x=2),
        *of(Measure.FIELD, "south/letters", document="", name="[Ward <Phone>]", x=191),
        *of(Measure.FIELD, "south/letters", document="", name="[Jane Madeup]", x=1),
    ]
    for heading, (north, south) in {
        "allergies": ((460, 11), (120, 71)), "medications": ((471, 0), (190, 1)), "safety": ((300, 171), (20, 171)),
        "legal": ((450, 21), (191, 0)),
    }.items():  # fmt: skip
        found += of(Measure.HEADING, "north/letters", name=heading, present=north[0], absent=north[1])
        found += of(
            Measure.HEADING, "south/letters", name=heading, present=south[0] - 20, text_only=20, absent=south[1]
        )
        found += of(Measure.HEADING, "harbour/letters", name=heading, present=2, absent=1)
    return [one for one in found if one.n]


NAMES = Names(
    {"north": "Example North & Fells NHS Trust (fictitious)", "south": "Example South (fictitious)"},
    {LETTER: "Mental health inpatient discharge summary", REFERRAL: "Referral to a community service"},
    {
        "allergies": ("Allergies and adverse reactions", "mandatory"),
        "medications": ("Medications and medical devices", "mandatory"),
        "safety": ("Safety plan", "required"),
        "legal": ("Legal information", "optional"),
    },
)


def a_page(figures, names=NAMES):
    return page(NOVEMBER, groups(figures), names, gateway="example-ics <test>", small=5, made_at=NOW)


def shown_numbers(figures):
    """Every number that may be shown: totals, counts and shares."""
    found = set()
    for group in groups(figures):
        found |= {group.shown.total, *group.shown.parts.values(), *group.shown.at_least.values()}
        found |= {group.shown.percent(name) for name in group.shown.parts}
    return found - {None}


def rows_of(figures):
    return list(csv.DictReader(io.StringIO(as_csv(NOVEMBER, groups(figures)))))


def test_the_csv_file_has_a_line_for_each_count():
    rows = rows_of(a_month())
    met = next(r for r in rows if (r["recipient"], r["name"], r["value"]) == ("team", "summary-24h", "met"))
    assert (met["month"], met["sender"], met["count"], met["of"], met["percent"]) == (
        "2026-11", "north", "440", "459", "96",
    )  # fmt: skip
    # Nine were excluded, and of eleven it was not over.
    assert {r["of"] for r in rows if (r["sender"], r["name"]) == ("north", "follow-up-72h")} == {"323"}


def test_the_csv_file_leaves_out_what_is_small_and_what_would_tell_it():
    south = [r for r in rows_of(a_month()) if (r["sender"], r["name"]) == ("south", "summary-24h")]
    assert {r["value"]: (r["count"], r["percent"]) for r in south} == {
        "met": (LEFT_OUT, "over 90"), "within 72 h": (LEFT_OUT, ""), "missed": (LEFT_OUT, ""),
    }  # fmt: skip
    harbour = [r for r in rows_of(a_month()) if r["sender"] == "harbour"]
    assert {(r["count"], r["of"]) for r in harbour} == {(LEFT_OUT, LEFT_OUT)}


def test_what_is_rare_is_not_even_named():
    text = as_csv(NOVEMBER, groups(a_month())) + a_page(a_month())
    assert "Madeup" not in text
    assert "gender PID-8" not in text
    assert "discharge_destination PV1-37.1" in text


@pytest.mark.parametrize("start", "=+-@")
def test_a_name_is_no_formula_of_a_spreadsheet(start):
    figures = of(Measure.FIELD, "north/letters", document="", name=f"{start}1+1", x=9)
    assert rows_of(figures)[0]["name"] == f"'{start}1+1"


class _Read(HTMLParser):
    """What is in a page, and whether each element that begins ends."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "rect", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def test_the_page_stands_alone_and_whole():
    text = a_page(a_month())
    read = _Read(text)
    assert read.open == []
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in read.tags}
    assert not re.search(r"(?i)https?:|@import|src=|url\((?!#)", text.replace("http://www.w3.org", ""))
    assert "{{" not in text
    assert "Ward &lt;Phone&gt;" in text
    assert "example-ics &lt;test&gt;" in text


def test_the_page_can_be_read_without_seeing_it():
    read = _Read(a_page(a_month()))
    assert dict(read.tags)["html"]["lang"] == "en-GB"
    plots = [about for tag, about in read.tags if tag == "svg"]
    assert len(plots) > 10
    assert all(about.get("aria-hidden") or (about["role"] == "img" and about["aria-label"]) for about in plots)
    tags = [tag for tag, _ in read.tags]
    assert tags.count("table") == tags.count("caption") > 4
    assert all("scope" in about for tag, about in read.tags if tag == "th")
    assert [tag for tag in tags if tag in ("h1", "h2")].count("h1") == 1


def test_the_page_shows_no_number_that_may_not_be_shown():
    figures = a_month()
    read = _Read(a_page(figures))
    cells = {word.strip() for word in read.words if re.fullmatch(r"\s*(over )?[\d,]+%?\s*", word)}
    assert len(cells) > 40
    found = {int(re.sub(r"\D", "", cell)) for cell in cells}
    ticks = {0, 25, 50, 75, 100}
    together = set()
    for group in groups(figures):
        for parts in (("present", "text only", "withheld"), *((name,) for name in group.shown.parts)):
            together |= {group.shown.percent(*parts), group.shown.over(*parts)}
    # All but the mean of the headings that must be said: 98 and 100; 63 and over 80.
    assert found - shown_numbers(figures) - ticks - together <= {99, 71}


def test_a_month_without_anything_says_so():
    assert "Nothing was counted" in a_page([])


def test_the_page_goes_by_what_things_are_called_where_they_have_no_title():
    assert "<code>" not in a_page(of(Measure.CLOCK, "north/mllp", "gp", name="summary-24h", met=30), Names())
    assert "north → gp" in a_page(of(Measure.CLOCK, "north/mllp", "gp", name="summary-24h", met=30), Names())


# --- the command ---------------------------------------------------------------------------------------------


async def kept(path, count):
    store = SqliteStore(path)
    await store.open()
    facts = MessageFacts("hl7v2", "MDM^T02")
    at = datetime(2026, 11, 30, 23, tzinfo=UTC)
    reading = Reading(facts, "north", "north/letters", "", LETTER, {})
    letter = Letter("north/letters", LETTER, (("allergies", "present"),))
    outcome = Outcome(
        facts, MessageState.DONE, readings=(reading,), letters=(letter,), ledger=Ledger(unmapped=("PID-9",))
    )
    for number in range(count):
        envelope = Envelope(b"%d" % number, "north", "north/mllp", at, "mllp")
        answer = Answer(Verdict.ACCEPTED, "", at)
        await store.commit(envelope, b"%032d" % number, [replace(outcome)], answer, {})
    await store.close()


@pytest.fixture
def ask(tmp_path):
    (tmp_path / "mhbridge.toml").write_text('[gateway]\nname = "example-ics"\nstore = "sqlite:mhbridge.db"\n')
    asyncio.run(kept(tmp_path / "mhbridge.db", 12))

    def run(*arguments, code=0):
        made = CliRunner().invoke(insights, ["--config", str(tmp_path / "mhbridge.toml"), *arguments])
        assert made.exit_code == code, made.output
        return made.output

    return run


def test_the_command_writes_the_file_and_the_page(ask, tmp_path):
    ask("--month", "2026-11", "--out", str(tmp_path / "out"))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "insights-2026-11.csv").read_text("utf-8"))))
    assert {(r["measure"], r["name"], r["count"]) for r in rows} == {
        ("letters", "", "12"), ("heading", "allergies", "12"), ("field", "PID-9", "12"),
    }  # fmt: skip
    text = (tmp_path / "out" / "insights-2026-11.html").read_text("utf-8")
    assert "Transfers of care, November 2026" in text
    assert "Mental health inpatient discharge" in text


def test_without_a_folder_it_says_them_and_programs_get_the_same(ask):
    assert ask("--month", "2026-11").startswith("month,measure")
    found = json.loads(ask("--month", "2026-11", "--json", "--small", "20"))
    assert found["left_out_below"] == 20
    assert all(one["total"] is None for one in found["groups"])
    assert json.loads(ask("--month", "2026-10", "--json"))["groups"] == []


def test_what_is_no_month_is_said(ask):
    assert "write a month as 2026-11" in ask("--month", "soon", code=2)
