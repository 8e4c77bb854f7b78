"""How much may go to a destination now: breaker, pauses that it asks for, and the pace of catching up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mhbridge.gateway import Outlet

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Nobody:
    name = "d"


def at(seconds):
    return START + timedelta(seconds=seconds)


def outlet(**options):
    return Outlet(Nobody(), **options)


def down(found, seconds=0.0):
    for _ in range(5):
        found.failed(at(seconds))


def test_four_failures_are_none_and_five_running_are_down():
    found = outlet(concurrency=3)
    for _ in range(4):
        found.failed(at(0))
    assert (found.down, found.room(at(0))) == (False, 3)
    found.went_well(at(0))
    for _ in range(4):
        found.failed(at(0))
    assert not found.down
    found.failed(at(0))
    assert found.down


def test_what_is_down_is_tried_with_one_every_half_minute():
    found = outlet(concurrency=3)
    down(found)
    assert (found.room(at(29)), found.opens_at(at(29))) == (0, at(30))
    assert found.room(at(30)) == 1
    found.started(1)
    assert found.room(at(30)) == 0
    found.busy = 0
    found.failed(at(31))
    assert (found.room(at(60)), found.room(at(61))) == (0, 1)


def test_what_is_held_is_tried_with_one_every_quarter_of_an_hour():
    found = outlet(concurrency=3)
    found.hold(at(0))
    assert (found.down, found.room(at(899)), found.room(at(900))) == (True, 0, 1)


def test_a_person_opens_it_at_once():
    for found in (outlet(), outlet()):
        found.hold(at(0))
        down(found)
        found.let_go(at(1))
        assert (found.down, found.opens_at(at(1))) == (False, None)
        assert found.room(at(1)) == 4


def test_a_pause_that_is_asked_for_is_kept_and_a_shorter_one_does_not_end_it():
    found = outlet(concurrency=2)
    found.rest(at(60))
    found.rest(at(10))
    assert (found.down, found.room(at(59)), found.room(at(60))) == (False, 0, 2)


def test_after_an_outage_what_has_gathered_goes_at_a_pace_and_then_as_fast_as_it_comes():
    found = outlet(concurrency=4, catch_up=2.0)
    assert found.room(at(0)) == 4
    down(found)
    found.went_well(at(100))
    started, seconds = 0, 100.0
    while seconds < 110.0:
        room = found.room(at(seconds))
        found.started(room)
        found.busy -= room
        started += room
        following = found.opens_at(at(seconds))
        seconds = (following - START).total_seconds() if following is not None else seconds + 0.5
    # Two a second and one at once, and by then a sixth more.
    assert 20 <= started <= 24
    # Where more comes all the while, it is not for ever too slow for it.
    found.busy = 0
    assert found.room(at(700)) == 4
    found.caught_up()
    assert found.room(at(110)) == 4


def test_without_a_pace_it_catches_up_as_fast_as_it_goes():
    found = outlet(concurrency=4)
    down(found)
    found.went_well(at(100))
    assert (found.room(at(100)), found.opens_at(at(100))) == (4, None)
