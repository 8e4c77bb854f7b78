"""
The actions of a discharge plan: which are watched, what ends them, who is told that one is overdue, and when.

The real mapping of a crisis house whose letters say who does what by when, the real gateway and store, on an event loop
whose time jumps.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import shipped
from jumping import Jumping
from mhbridge import pipeline
from mhbridge.mapping.clocks import end_of
from mhbridge.model import Act, Envelope
from mhbridge.pipeline.clocking import deadlines
from test_clock_scenarios import HOUR, LETTER, World, adt, patient  # noqa: F401, a fixture of every test, here too
from test_clock_scenarios import letter as a_letter_of_a_ward

ROOT = Path(__file__).parents[1]
SUPPLIER = "example-crisis-house"
#: A Saturday; on the Monday after, at the end of the day, it is 62 hours later, and a week after that 230.
START = datetime(2025, 3, 15, 10, tzinfo=UTC)
MONDAY = "2025-03-17"
OVERDUE, STILL = (62.0, "plan-actions"), (230.0, "safety")


@pytest.fixture(scope="module")
def mappings():
    catalogue = shipped.catalogue()
    return tuple(catalogue.mapping(name) for name in catalogue.feeds(SUPPLIER))


def action(text="Check lithium level", by=MONDAY, who="Fictiontown Surgery", **others):
    return {"for": "gp", "text": text, "who": who, "by": by, **others}


def letter(*actions, number, who=1, died=None, stay="A"):
    """A version of somebody's letter, with these actions."""
    body = json.loads((ROOT / "fixtures" / SUPPLIER / "discharges" / "minimal.json").read_bytes())
    body["event"]["id"] = f"7c2f-{number:06}"
    body["person"]["number"] = f"CH-5{who:04}"
    body["person"]["died"] = died
    body["stay"] = {"number": f"ST-{who}-{stay}", "to": "2025-03-15"}
    body["letter"]["actions"] = list(actions)
    return json.dumps(body).encode()


def played(path, mappings, letters, *, then=300.0, closes=None):
    """
    Play the letters of several people at once.

    Returns:
        of each: what was told (hour, queue, whether it was missed just then), (entry, state) of each clock, the queues
        with a task, and the codes of the last letter.
    """
    events = [(hour, who, actions) for who, versions in enumerate(letters) for hour, *actions in versions]

    async def play():
        world = World(path, mappings, ("gp",), supplier=SUPPLIER, start=START, nowhere=())
        await world.open()
        last = {}
        for number, (hour, who, actions) in enumerate(sorted(events, key=lambda one: one[0]), 1):
            await world.until(hour)
            options = actions[-1] if actions and "text" not in actions[-1] else {}
            asked = [one for one in actions if "text" in one]
            last[who] = await world.take(letter(*asked, number=number, who=who, **options))
            world.clocks.wake()
        if closes is not None:
            await world.until(closes)
            for task in await world.store.tasks():
                await world.store.finish_task(task.id, "hazel", "the surgery did it, and rang", world.clock())
        await world.until(then)
        found = [await stands(world, last[who]) for who in range(len(letters))]
        status = await world.store.status(world.clock())
        await world.close()
        assert status.differences == ()
        return found

    with asyncio.Runner(loop_factory=Jumping) as runner:
        return runner.run(play())


async def stands(world, message):
    trace = await world.store.trace(message)
    clocks = [one for one in trace.clocks if one.name == "planned-action"]
    ids = {one.id for one in clocks}
    tasks = [one.queue for one in trace.tasks if one.cause == "planned-action" and not one.closed_at]
    steps = [
        (round((line.at - START) / HOUR, 1), line.moves.rsplit(" ", 1)[-1])
        for line in trace.lines
        if line.about in ids and " step " in line.moves
    ]
    codes = [issue["code"] for issue in trace.issues]
    return sorted(steps), sorted((one.entry, one.state) for one in clocks), tasks, codes


DONE = {"state": "done"}
#: Title → versions of the letter (hour, actions …); who is told; how each entry's clock stands after 300 hours.
SCENARIOS = {
    "nobody does it": ([(0, action())], [OVERDUE, STILL], [(1, "missed")]),
    "it is done": ([(0, action()), (40, action(**DONE))], [], [(1, "met")]),
    "done when it was overdue": ([(0, action()), (90, action(**DONE))], [OVERDUE], [(1, "late")]),
    "done in time, and only said late": (
        [(0, action()), (90, action(**DONE, doneOn="2025-03-16T12:00:00Z"))],
        [OVERDUE],
        [(1, "met")],
    ),
    "done before it was first heard of": ([(0, action(**DONE))], [], []),
    "done, and then not": (
        [(0, action()), (10, action(**DONE)), (20, action())],
        [OVERDUE, STILL],
        [(1, "missed")],
    ),
    "not done after all, when it was due already": (
        [(0, action()), (10, action(**DONE)), (100, action())],
        [(100.0, "plan-actions"), STILL],
        [(1, "missed")],
    ),
    "no longer asked for": ([(0, action()), (40, action(state="dropped"))], [], [(1, "excluded")]),
    "not in the new version": (
        [(0, action()), (40, action("Review sertraline"))],
        [OVERDUE, STILL],
        [(1, "cancelled"), (1, "missed")],
    ),
    "a new version without any": ([(0, action()), (40,)], [], [(1, "cancelled")]),
    "in another place of the new version": (
        [(0, action(), action("Review sertraline", None)), (40, action("Weigh him", None), action(**DONE))],
        [],
        [(2, "met")],
    ),
    "another time": (
        [(0, action()), (40, action(by="2025-03-18"))],
        [(86.0, "plan-actions"), (254.0, "safety")],
        [(1, "missed")],
    ),
    "another time when it was overdue": (
        [(0, action()), (70, action(by="2025-03-19"))],
        [OVERDUE, (110.0, "plan-actions"), (278.0, "safety")],
        [(1, "missed")],
    ),
    "by an hour": (
        [(0, action(by="2025-03-16T15:30:00Z")), (29, action(by="2025-03-16T15:30:00Z", **DONE))],
        [],
        [(1, "met")],
    ),
    "each of three": (
        [
            (0, action(), action("Review sertraline"), action("Weigh him", "2025-03-16")),
            (50, action(**DONE), action("Review sertraline"), action("Weigh him", "2025-03-16")),
        ],
        [(38.0, "plan-actions"), OVERDUE, (206.0, "safety"), STILL],
        [(1, "met"), (2, "missed"), (3, "missed")],
    ),
    "two in the same words are two": (
        [(0, action(), action()), (40, action(**DONE), action())],
        [OVERDUE, STILL],
        [(1, "met"), (2, "missed")],
    ),
    "due when it is first heard of": (
        [(0, action(by="2025-03-10"))],
        [(0.0, "plan-actions"), (62.0, "safety")],
        [(1, "missed")],
    ),
    "long ago when it is first heard of": ([(0, action(by="2024-12-01"))], [], []),
    "in a hundred years": ([(0, action(by="2125-03-17"))], [], []),
    "at the end of the calendar": ([(0, action(by="9999-12-31"))], [], []),
    "somebody has died": ([(0, action()), (40, action(), {"died": "2025-03-16"})], [], [(1, "excluded")]),
    "another stay is none of its": (
        [(0, action()), (40, action("Review sertraline", None), {"stay": "B"})],
        [OVERDUE, STILL],
        [(1, "missed")],
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, mappings):
    """All of them at once, of as many people."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("outbox._LONGEST_SLEEP", "backlog._LONGEST_SLEEP", "awaited._EVERY", "clocks._LONGEST"):
            patch.setattr(f"mhbridge.gateway.{place}", 600.0)
        path = tmp_path_factory.mktemp("whole")
        return dict(zip(SCENARIOS, played(path, mappings, [one[0] for one in SCENARIOS.values()]), strict=True))


@pytest.mark.parametrize("title", SCENARIOS)
def test_who_is_told_that_an_action_is_overdue(whole, title):
    _, expected, states = SCENARIOS[title]
    found, clocks, tasks, _ = whole[title]
    assert (found, clocks) == (expected, states)
    # What is overdue is somebody's task, and nothing else is.
    assert len(tasks) == sum(state == "missed" for _, state in clocks)


def test_an_action_that_is_not_watched_is_said_to_its_sender(tmp_path, mappings):
    said = {None: "I670", "soon": "I670", "2024-12-01": "I671", "2125-03-17": "I671", MONDAY: ""}
    people = [[(0, action(by=by))] for by in said]
    # Of what is done, or no longer asked for, nothing has to be said.
    people.append([(0, action(by=None, **DONE), action("Weigh him", None, state="dropped"))])
    for (_, clocks, _, codes), code in zip(
        played(tmp_path, mappings, people, then=5.0), [*said.values(), ""], strict=True
    ):
        assert [one for one in codes if one in ("I670", "I671")] == ([code] if code else [])
        assert not (clocks and code)


def test_a_person_ends_what_was_overdue_and_says_why(tmp_path, mappings):
    ((found, clocks, tasks, _),) = played(tmp_path, mappings, [[(0, action())]], closes=100.0)
    assert (found, clocks, tasks) == ([OVERDUE], [(1, "closed")], [])


def test_the_table_would_notice_an_action_that_nobody_watches(tmp_path, mappings):
    """The control: where entries have no clock, what nobody does is told to nobody."""
    bare = tuple(replace(one, clocks=tuple(c for c in one.clocks if c.each is None)) for one in mappings)
    ((*found, _),) = played(tmp_path, bare, [SCENARIOS["nobody does it"][0]])
    assert found == [[], [], []]


def test_what_cancels_a_discharge_ends_what_its_letter_asks_for():
    """The event names the stay as the letter does, and of that stay no entry is left."""
    catalogue = shipped.catalogue()
    ward = tuple(catalogue.mapping(name) for name in catalogue.feeds("example-mental-health"))
    clocks = pipeline.clocks_by_document(ward)
    routes = (pipeline.Route(frozenset({LETTER}), ("gp",)),)
    feed = pipeline.Feed("example-mental-health", "f", ward, routes, live=False, clocks=clocks)

    def said(body):
        now = datetime(2025, 3, 14, 12, tzinfo=UTC)
        (taken,) = pipeline.intake(Envelope(body, feed.supplier, "f", now, "file"), feed).messages
        found = [one for one in deadlines(taken, {}, now, feed) if one.name == "planned-action" and not one.says]
        return taken.readings[0][1].act, [(one.patient, one.episode, one.document, one.entries) for one in found]

    act, of_letter = said(a_letter_of_a_ward(at=1, number=1, left=0))
    assert (act, len(of_letter)) == (Act.NEW, 1)
    assert said(adt("A13", at=2, number=2, left=0)) == (Act.CANCEL, of_letter)
    assert said(adt("A08", at=2, number=3, left=0)) == (Act.UPDATE, [])


LONDON = ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("due", "at"),
    [
        ("2025-03-17", "2025-03-18T00:00:00+00:00"),
        ("2025-06-17", "2025-06-17T23:00:00+00:00"),
        ("2025-03-30", "2025-03-30T23:00:00+00:00"),
        ("2025-02", "2025-03-01T00:00:00+00:00"),
        ("2025-12", "2026-01-01T00:00:00+00:00"),
        ("2025", "2026-01-01T00:00:00+00:00"),
        ("2025-03-17T09:00:00Z", "2025-03-17T09:00:00+00:00"),
        ("2025-06-17T09:00:00", "2025-06-17T08:00:00+00:00"),
        ("9999-12-31", None),
        ("2025-02-30", None),
        ("soon", None),
        (None, None),
    ],
)
def test_by_when_something_is_to_be_done(due, at):
    assert end_of(due, LONDON) == (None if at is None else datetime.fromisoformat(at))


def test_a_week_after_it_was_due_is_counted_from_its_day(mappings):
    (clock,) = (one for mapping in mappings for one in mapping.clocks if one.each is not None)
    due = end_of(MONDAY, LONDON)
    run = mappings[0].run(
        pipeline.intake(
            Envelope(letter(action(), number=1), SUPPLIER, "f", START, "file"),
            pipeline.Feed(SUPPLIER, "f", mappings, (), live=False),
        )
        .messages[0]
        .facts,
        START,
    )
    (entry,) = clock.entries({"planned_actions": [{"what": "x", "due_at": MONDAY}]}, run, LONDON, START)
    assert [at for at, *_ in entry.ladder] == [due, due + timedelta(days=7)]
