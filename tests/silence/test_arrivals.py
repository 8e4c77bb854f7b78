"""What a feed usually sends, and when chance no longer explains that nothing comes: hour by hour, in virtual time."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from mhbridge.gateway.silence.arrivals import Arrivals, Change, hour_of_week
from mhbridge.ports import Profile

MINUTE, HOUR, DAY, WEEK = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
#: A Monday in winter, when London has UTC.
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
FEED = "s/mllp"


class Feed:
    """A feed that sends every so often by day (08:00 to 20:00), and nothing by night."""

    def __init__(self, every=timedelta(minutes=5), *, begin=MONDAY, profile=None, **others):
        self.now, self.every = begin, every
        self.arrivals = Arrivals(FEED, begin, profile, **others)
        self.changes = []

    def run(self, *, until, silent=False, count=1):
        while self.now < until:
            self.now += MINUTE
            if not silent and 8 <= self.now.hour < 20 and not (self.now - MONDAY) % self.every:
                self.arrivals.heard(self.now, count)
            change = self.arrivals.look(self.now)
            if change is not None:
                self.changes.append((self.now, change))
        return self


#: The fifth Monday: there are four counts of each hour.
LATER = MONDAY + 4 * WEEK


@pytest.fixture(scope="module")
def learned():
    """What is known of a feed after four weeks."""
    feed = Feed().run(until=LATER)
    assert feed.changes == []
    return replace(feed.arrivals.profile(), expected=0.0)


@pytest.mark.parametrize(
    ("at", "hour"),
    [
        (MONDAY, 0),
        (MONDAY - MINUTE, 167),
        (datetime(2026, 7, 6, 22, 59, tzinfo=UTC), 23),
        (datetime(2026, 7, 6, 23, 0, tzinfo=UTC), 24),
        (datetime(2026, 12, 25, 9, 0, tzinfo=UTC), 6 * 24 + 9),
    ],
    ids=["the first", "the last", "summer", "midnight in summer", "a holiday is a Sunday"],
)
def test_hours_are_those_of_the_wards(at, hour):
    assert hour_of_week(at, {date(2026, 12, 25)}) == hour


def test_a_silence_by_day_is_noticed_when_nine_are_missed(learned):
    feed = Feed(begin=LATER, profile=learned).run(until=LATER + 10 * HOUR)
    feed.run(until=LATER + 12 * HOUR, silent=True)
    (at, change), *more = feed.changes
    # 0.8 times twelve an hour: nine are expected within 57 minutes.
    assert (change, more) == (Change.BEGAN, [])
    assert at - (LATER + 10 * HOUR) == 57 * MINUTE
    assert feed.arrivals.silent_since == LATER + 10 * HOUR


def test_a_night_is_no_silence(learned):
    feed = Feed(begin=LATER, profile=learned).run(until=LATER + 20 * HOUR)
    feed.run(until=LATER + 32 * HOUR, silent=True)
    assert feed.changes == []


def test_a_silence_that_lasts_is_one_and_three_messages_end_it(learned):
    feed = Feed(begin=LATER, profile=learned).run(until=LATER + DAY, silent=True)
    feed.run(until=LATER + DAY + 8 * HOUR + 9 * MINUTE)
    assert [change for _, change in feed.changes] == [Change.BEGAN]
    feed.run(until=LATER + DAY + 9 * HOUR)
    assert [change for _, change in feed.changes] == [Change.BEGAN, Change.ENDED]
    assert feed.arrivals.silent_since is None


def test_a_few_messages_in_a_silence_begin_no_new_one(learned):
    feed = Feed(begin=LATER, profile=learned).run(until=LATER + 10 * HOUR, silent=True)
    feed.arrivals.heard(feed.now)
    feed.run(until=LATER + 20 * HOUR, silent=True)
    assert [change for _, change in feed.changes] == [Change.BEGAN]


def test_no_silence_is_shorter_than_ten_minutes(learned):
    crowd = Profile(FEED, dict.fromkeys(range(168), (6000,) * 8), learned.day, 0)
    feed = Feed(begin=LATER, profile=crowd, every=MINUTE).run(until=LATER + 9 * HOUR)
    feed.changes.clear()
    feed.run(until=LATER + 10 * HOUR, silent=True)
    assert [at - (LATER + 9 * HOUR) for at, _ in feed.changes] == [10 * MINUTE]


def test_for_three_weeks_nothing_is_expected():
    feed = Feed().run(until=MONDAY + 2 * WEEK)
    feed.run(until=MONDAY + 3 * WEEK, silent=True)
    assert feed.changes == []


def test_nothing_is_learned_from_a_silence_or_the_rush_after_it(learned):
    feed = Feed(begin=LATER, profile=learned).run(until=LATER + 9 * HOUR)
    feed.arrivals.kept(feed.arrivals.profile())
    feed.run(until=LATER + 12 * HOUR, silent=True)
    # The hour in which it began to be silent was like any other until its end; what came of it is one of eight.
    assert 11 not in feed.arrivals.profile().hours
    feed.run(until=LATER + 14 * HOUR - MINUTE, count=40)
    assert feed.changes[-1][1] is Change.ENDED
    assert not {12, 13} & feed.arrivals.profile().hours.keys()
    feed.run(until=LATER + 16 * HOUR)
    assert {14, 15} & feed.arrivals.profile().hours.keys() == {15}


def test_eight_like_hours_are_remembered_and_the_usual_is_in_the_middle_of_them():
    feed = Feed().run(until=MONDAY + 10 * WEEK)
    assert feed.arrivals.profile().hours[9] == (12,) * 8
    assert feed.arrivals.a_day == pytest.approx(12 * 12)


def test_a_start_forgets_nothing(learned):
    feed = Feed(begin=LATER + 10 * HOUR, profile=learned).run(until=LATER + 10 * HOUR + 30 * MINUTE, silent=True)
    kept = feed.arrivals.profile()
    assert kept.expected == pytest.approx(0.8 * 12 / 2)
    again = Feed(begin=feed.now, profile=Profile(FEED, learned.hours, kept.day, kept.count, kept.expected))
    again.run(until=LATER + 12 * HOUR, silent=True)
    assert [at - feed.now for at, _ in again.changes] == [27 * MINUTE]


def test_a_silence_goes_on_over_a_start(learned):
    silent = Profile(FEED, learned.hours, learned.day, 0, 20.0, LATER)
    feed = Feed(begin=LATER + 8 * HOUR, profile=silent).run(until=LATER + 9 * HOUR, silent=True)
    assert feed.changes == []
    feed.run(until=LATER + 10 * HOUR)
    assert [change for _, change in feed.changes] == [Change.ENDED]


def test_what_nobody_could_hear_was_not_expected(learned):
    feed = Feed(begin=LATER, profile=learned).run(until=LATER + 10 * HOUR)
    feed.now += 5 * HOUR  # the machine was asleep
    feed.run(until=feed.now + 30 * MINUTE, silent=True)
    assert feed.changes == []


def test_today_is_counted_from_midnight_in_london():
    feed = Feed(begin=datetime(2026, 7, 6, 8, tzinfo=UTC)).run(until=datetime(2026, 7, 6, 12, tzinfo=UTC))
    assert feed.arrivals.today == 48
    feed.run(until=datetime(2026, 7, 6, 23, 0, tzinfo=UTC))
    assert feed.arrivals.today == 0


@pytest.mark.parametrize(("k", "found"), [(float("inf"), 0), (1e-6, 1)])
def test_it_is_k_that_decides(learned, k, found):
    feed = Feed(begin=LATER + 9 * HOUR, profile=learned, k=k).run(until=LATER + 10 * HOUR, silent=True)
    assert len(feed.changes) == found
