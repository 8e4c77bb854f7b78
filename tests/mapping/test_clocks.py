"""The clock language: lengths of time over the changes of the wall clock, what starts a clock, and the two engines."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import shipped
from mhbridge import pipeline
from mhbridge.errors import ConfigurationError, MalformedMessage
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.clocks import Length, instant_of, length_of
from mhbridge.mapping.compiler import Compiler
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.library import Library, built_in
from mhbridge.model import Envelope
from mhbridge.pipeline.clocking import deadlines
from mhbridge.testing.replaying import cases

LONDON = ZoneInfo("Europe/London")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("PT24H", Length(hours=24)),
        ("P3D", Length(days=3)),
        ("24h", None),
        ("PT0H", None),
        ("P0D", None),
        ("P1DT2H", None),
        ("PT24", None),
        ("", None),
        ("pt24h", None),
    ],
)
def test_a_length_is_written_in_one_way(text, length):
    assert length_of(text) == length


@pytest.mark.parametrize(
    ("start", "length", "due"),
    [
        # Hours go by, whatever the wall clock does: it is put forward on 30 March 2025 and back on 26 October.
        ("2025-03-29T15:00:00+00:00", "PT24H", "2025-03-30T15:00:00+00:00"),
        ("2025-10-25T15:00:00+01:00", "PT24H", "2025-10-26T14:00:00+00:00"),
        ("2025-03-14T15:20:00+00:00", "PT72H", "2025-03-17T15:20:00+00:00"),
        # Days end when they end there: the third after a Friday is Monday's last moment.
        ("2025-03-14T15:20:00+00:00", "P3D", "2025-03-18T00:00:00+00:00"),
        ("2025-03-28T15:20:00+00:00", "P3D", "2025-03-31T23:00:00+00:00"),
        ("2025-10-24T23:30:00+00:00", "P1D", "2025-10-27T00:00:00+00:00"),
        ("2025-06-01T23:30:00+01:00", "P1D", "2025-06-02T23:00:00+00:00"),
    ],
)
def test_when_it_is_due(start, length, due):
    found = length_of(length)
    assert found is not None
    assert found.after(datetime.fromisoformat(start), LONDON) == datetime.fromisoformat(due)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2025-06-20T14:10:00+01:00", "2025-06-20T13:10:00+00:00"),
        ("2025-06-20T13:10:00Z", "2025-06-20T13:10:00+00:00"),
        ("2025-06-20", "2025-06-19T23:00:00+00:00"),
        ("2025-06", "2025-05-31T23:00:00+00:00"),
        ("2025", "2025-01-01T00:00:00+00:00"),
        ("yesterday", None),
        (None, None),
        (7, None),
    ],
)
def test_the_instant_of_a_value(value, at):
    assert instant_of(value, LONDON) == (None if at is None else datetime.fromisoformat(at))


def feeds():
    """Supplier → its feed, once by the compiler and once by the slow twin."""
    found = []
    for engine in (Compiler, Interpreter):
        catalogue = shipped.catalogue(engine)
        found.append({})
        for supplier in catalogue.suppliers():
            mappings = tuple(catalogue.mapping(name) for name in catalogue.feeds(supplier))
            documents = frozenset(mapping.document.name for mapping in mappings)
            routes = (pipeline.Route(documents, ("gp",)),)
            clocks = pipeline.clocks_by_document(mappings)
            found[-1][supplier] = pipeline.Feed(supplier, "f", mappings, routes, live=False, clocks=clocks)
    return found


def test_the_engines_agree_on_the_clocks_of_every_fixture():
    compiled, walked = feeds()
    said = 0
    for case in cases(built_in("fixtures")):
        feed, twin = compiled[case.supplier], walked[case.supplier]
        # Each is heard of within a day of when it was sent, or long after.
        for now in (datetime(2025, 3, 14, 18, tzinfo=UTC), datetime(2025, 6, 21, tzinfo=UTC)):
            envelope = Envelope(case.path.read_bytes(), case.supplier, "f", now, "file")
            try:
                messages = pipeline.intake(envelope, feed).messages
            except MalformedMessage:
                continue
            others = pipeline.intake(envelope, twin).messages
            for one, other in zip(messages, others, strict=True):
                first = deadlines(one, {}, now, feed)
                assert first == deadlines(other, {}, now, twin)
                said += len(first)
    assert said > 30


def test_every_clock_tells_a_queue_that_comes_with_mhbridge():
    from mhbridge.config import duties_of, parse

    queues = duties_of(parse("", environ={})).queues
    (compiled, _) = feeds()
    clocks = [clock for feed in compiled.values() for found in feed.clocks.values() for clock in found]
    assert {clock.name for clock in clocks} == {"summary-24h", "follow-up-72h", "planned-action"}
    assert {rung.queue for clock in clocks for rung in clock.rule.ladder} <= queues.keys()
    whole = [clock for clock in clocks if clock.each is None]
    due = {clock.name: clock.due(datetime(2025, 1, 1, 12, tzinfo=UTC), LONDON) for clock in whole}
    assert due == {
        "summary-24h": datetime(2025, 1, 2, 12, tzinfo=UTC),
        "follow-up-72h": datetime(2025, 1, 5, tzinfo=UTC),
    }


def test_a_queue_that_is_not_there_keeps_the_gateway_from_starting(tmp_path):
    from mhbridge.app.feeds import feeds_from
    from mhbridge.config import parse

    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    path = tmp_path / "mappings" / "parts" / "stay" / "clocks.yaml"
    path.write_text(path.read_text("utf-8").replace("tell: bed-manager", "tell: bed-maneger"), "utf-8")
    catalogue = Catalogue(Library([tmp_path / "mappings"]))
    text = (
        '[gateway]\nmode = "test"\n'
        '[[receiver]]\nsupplier = "example-mental-health"\nkind = "mllp"\nlisten = "127.0.0.1:0"\n'
    )
    with pytest.raises(ConfigurationError) as raised:
        feeds_from(parse(text, environ={}), catalogue)
    ((code, message),) = raised.value.problems
    assert code == "C829"
    assert message.endswith("the clock summary-24h tells the queue 'bed-maneger'; did you mean bed-manager?")
    added = text + '[[queue]]\nname = "bed-maneger"\n'
    feed = feeds_from(parse(added, environ={}), catalogue)["example-mental-health/mllp"]
    assert timedelta(hours=24) == feed.clocks["encounter-event"][0].due(
        datetime(2025, 1, 1, tzinfo=UTC), LONDON
    ) - datetime(2025, 1, 1, tzinfo=UTC)
