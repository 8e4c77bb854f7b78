"""The least that an operator expects of a feed: a table of instants in London and of what came until then."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from mhbridge.gateway.silence.floors import Expected, is_absent, is_silent

HOUR = timedelta(hours=1)
BY_DAY = (time(8), time(20))
#: A Tuesday in winter; in July London is an hour before UTC.
WINTER, SUMMER = datetime(2026, 3, 3, tzinfo=UTC), datetime(2026, 7, 7, tzinfo=UTC)
SATURDAY = datetime(2026, 3, 7, tzinfo=UTC)
HOLIDAYS = {WINTER.date()}

HOURLY = Expected(HOUR)
IN_HOURS = Expected(HOUR, BY_DAY)
ON_WORKING_DAYS = Expected(HOUR, BY_DAY, working_days=True)
BY_FOUR = Expected(by=time(16), count=2, working_days=True)


#: name → (what is expected, now, when it was heard last, how many came today, holidays, whether it is silent).
CASES = {
    "within": (HOURLY, WINTER + HOUR, WINTER, 0, (), False),
    "beyond": (HOURLY, WINTER + 1.1 * HOUR, WINTER, 0, (), True),
    "at night": (IN_HOURS, WINTER + 7.9 * HOUR, WINTER, 0, (), False),
    "in the first hour": (IN_HOURS, WINTER + 8.9 * HOUR, WINTER, 0, (), False),
    "in the second hour": (IN_HOURS, WINTER + 9.1 * HOUR, WINTER, 0, (), True),
    "in the evening": (IN_HOURS, WINTER + 20 * HOUR, WINTER, 0, (), False),
    "in the first hour of summer": (IN_HOURS, SUMMER + 7.9 * HOUR, SUMMER, 0, (), False),
    "in the second hour of summer": (IN_HOURS, SUMMER + 8.1 * HOUR, SUMMER, 0, (), True),
    "on a working day": (ON_WORKING_DAYS, WINTER + 12 * HOUR, WINTER, 0, (), True),
    "on a Saturday": (ON_WORKING_DAYS, SATURDAY + 12 * HOUR, WINTER, 0, (), False),
    "on a holiday": (ON_WORKING_DAYS, WINTER + 12 * HOUR, WINTER, 0, HOLIDAYS, False),
    "before four": (BY_FOUR, WINTER + 15.9 * HOUR, WINTER, 0, (), False),
    "at four": (BY_FOUR, WINTER + 16 * HOUR, WINTER, 1, (), True),
    "at four in summer": (BY_FOUR, SUMMER + 15 * HOUR, SUMMER, 1, (), True),
    "enough by four": (BY_FOUR, WINTER + 16 * HOUR, WINTER, 2, (), False),
    "by four on a Saturday": (BY_FOUR, SATURDAY + 16 * HOUR, WINTER, 0, (), False),
    "a connection says nothing of messages": (Expected(connection=HOUR), WINTER + 9 * HOUR, WINTER, 0, (), False),
}


@pytest.mark.parametrize("name", CASES)
def test_less_than_is_expected_is_silence(name):
    expected, now, heard, today, holidays, silent = CASES[name]
    since = WINTER - timedelta(days=5)
    assert is_silent(expected, now, heard=heard, today=today, since=since, holidays=holidays) is silent


def test_what_came_before_anybody_listened_is_not_held_against_a_feed():
    now = WINTER + 16 * HOUR
    assert not is_silent(BY_FOUR, now, heard=now - HOUR, today=0, since=now - HOUR)
    assert not is_silent(HOURLY, now, heard=WINTER, today=0, since=now - HOUR)


CONNECTED = Expected(connection=timedelta(minutes=5), hours=BY_DAY)


@pytest.mark.parametrize(
    ("now", "gone", "absent"),
    [
        (WINTER + 12 * HOUR, WINTER + 11.95 * HOUR, False),
        (WINTER + 12 * HOUR, WINTER + 11.9 * HOUR, True),
        (WINTER + 7 * HOUR, WINTER, False),
        (WINTER + 8.05 * HOUR, WINTER, False),
        (WINTER + 8.1 * HOUR, WINTER, True),
    ],
)
def test_a_connection_may_be_away_for_a_while_and_at_night(now, gone, absent):
    assert is_absent(CONNECTED, now, gone) is absent
    assert not is_absent(HOURLY, now, gone)
    assert not is_absent(Expected(connection=HOUR, working_days=True), now, gone - HOUR, holidays={date(2026, 3, 3)})
