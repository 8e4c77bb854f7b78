"""
Days of a mental health trust, or a year of it: each discharge is delivered, or somebody by name has it, before 24 hours
are over, and each death within thirty days is found. The long form is `python tests/long.py year`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest
from following import Contact
from living import Year
from trust import Trust

from mhbridge.gateway.pressure import Limits, Pressure
from mhbridge.gateway.watch import Watch
from mhbridge.pipeline import stepping
from world import simulate

SEED = int(os.environ.get("MHBRIDGE_TEST_SEED", "1"))
#: The long form is a year of 365 days with 500 messages each.
LONG = os.environ.get("MHBRIDGE_TEST_YEAR")
YEAR = Year() if LONG else Year(days=4, a_day=40, discharges=8, outages=4, deaths=80)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """What looks every few seconds whether there is something to do is told of it here, or time enough is left."""
    for place in (
        "outbox._LONGEST_SLEEP",
        "backlog._LONGEST_SLEEP",
        "awaited._EVERY",
        "clocks._LONGEST",
        "noticing._LONGEST",
    ):
        monkeypatch.setattr(f"mhbridge.gateway.{place}", 600.0)
    monkeypatch.setitem(Watch.__init__.__kwdefaults__, "every", 3_600.0)
    monkeypatch.setitem(Pressure.__init__.__kwdefaults__, "limits", Limits(every=600.0))


def lived(tmp_path, year=YEAR, **options):
    async def main(world):
        return await Trust(world, year, **options).run()

    return simulate(SEED, tmp_path, main)


def test_every_discharge_is_delivered_or_with_a_named_person_before_a_day_is_over(tmp_path):
    judged = lived(tmp_path)
    sys.stdout.write(f"\n{judged}\n")
    assert judged.neither == []
    assert judged.differences == ()
    assert judged.delivered > judged.escalated > 0
    assert judged.not_found == judged.not_so == []
    assert judged.deaths > 0
    followed = judged.followed
    assert followed.neither == followed.otherwise == []
    assert followed.in_time > 0


#: Days enough for three to be over of some who have left.
WEEK = Year(days=8, a_day=20, discharges=5, outages=2, deaths=20)


def test_every_follow_up_is_met_or_with_a_named_person_before_three_days_are_over(tmp_path):
    followed = lived(tmp_path, WEEK).followed
    sys.stdout.write(f"\n{followed}\n")
    assert followed.neither == followed.otherwise == []
    assert followed.in_time > followed.escalated > 0


# --- controls: each protection off, and it is seen -----------------------------------------------------------

#: Some days in which letters are late.
DAYS = Year(days=4, a_day=30, discharges=6, outages=0)


def test_without_clocks_what_is_late_is_nobodys(tmp_path, monkeypatch):
    monkeypatch.setattr(stepping, "deadlines", lambda *_: ())
    judged = lived(tmp_path, DAYS)
    assert judged.escalated == 0
    assert len(judged.neither) > 3


def test_where_nobody_looks_after_the_queues_no_person_has_it(tmp_path):
    judged = lived(tmp_path, DAYS, people=())
    assert judged.escalated == 0
    assert len(judged.neither) > 3


def test_where_nobody_looks_after_the_queues_who_is_not_followed_up_is_nobodys(tmp_path, monkeypatch):
    """And a gateway that has it otherwise than it was is seen: here every contact is taken for one that counts."""
    monkeypatch.setattr(Contact, "counts", property(lambda _contact: True))
    followed = lived(tmp_path, WEEK, people=()).followed
    assert followed.escalated == 0
    assert followed.neither
    assert followed.otherwise


def test_where_summaries_go_to_nobody_every_one_of_them_is_somebodys_task(tmp_path):
    judged = lived(tmp_path, DAYS, to=())
    assert judged.delivered == 0
    assert judged.neither == []


def test_where_nobody_is_told_of_deaths_none_is_found(tmp_path):
    judged = lived(tmp_path, replace(DAYS, days=6, deaths=200), deaths_to=())
    assert len(judged.not_found) == judged.deaths > 2
