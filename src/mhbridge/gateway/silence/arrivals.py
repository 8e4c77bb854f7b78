"""
How much a feed usually sends, and whether it is silent for longer than chance explains. Pure: it is told the time.

Each hour of the week has a rate, 0.8 times the median of its last eight counts. What would have been expected since the
last message is added up; when that is `k`, chance no longer explains that nothing came, by day or by night, without a
rule for either (gateway design §9). This module must never learn from a silence, or from the rush that comes after one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

from mhbridge.ports import Profile

__all__ = ["LOCAL", "Arrivals", "Change", "hour_of_week", "usually"]

#: The hours of a feed are those of the wards.
LOCAL: Final = ZoneInfo("Europe/London")

#: So many counts of like hours are remembered, and so many there must be before anything is expected: three weeks.
_REMEMBERED: Final = 8
_ENOUGH: Final = 3
_SHARE: Final = 0.8
#: Messages a day, and what must have been expected in vain by a feed that sends so many: measured, so that none cries
#: wolf more than once a week and each is noticed as early as that allows (tests/benchmarks/silence.py). A busy feed has
#: more chances in a week to be quiet by chance, and loses no time by a larger number.
_K: Final = ((3_000, 24.0), (1_000, 18.0), (150, 15.0), (0, 9.0))
#: No silence is shorter.
_SHORTEST: Final = timedelta(minutes=10)
#: So many messages end a silence: one alone may be somebody who tries whether it works.
_ENDS: Final = 3
#: A count of more than so many times the usual is what had waited.
_RUSH: Final = 2.0
#: When nobody looked for so long, the process did not run, and what was not heard was not therefore not said.
_ABSENT: Final = timedelta(minutes=10)

_HOUR: Final = timedelta(hours=1)
_SUNDAY: Final = 6


class Change(Enum):
    """What a look at a feed found."""

    BEGAN = "began"
    ENDED = "ended"


def hour_of_week(at: datetime, holidays: Collection[date] = ()) -> int:
    """0 for Monday from midnight, 167 for Sunday from 23:00, where a bank holiday is a Sunday."""
    local = at.astimezone(LOCAL)
    day = _SUNDAY if local.date() in holidays else local.weekday()
    return day * 24 + local.hour


def usually(hours: Mapping[int, Sequence[int]]) -> float:
    """How many come in a day, by the counts of each hour of the week; 0 while that is not known."""
    return sum(_rate(counts) for counts in hours.values()) / _SHARE / 7


class Arrivals:
    """
    The arrivals of one feed.

    Args:
        feed: its name, for the profile.
        since: the present instant. Nothing was heard or missed before.
        profile: what was learned before, if anything.
        holidays: days that are like Sundays.
        k: what must have been expected in vain; left out, by the volume of the feed. A test sets it.
    """

    def __init__(
        self,
        feed: str,
        since: datetime,
        profile: Profile | None = None,
        *,
        holidays: Collection[date] = (),
        k: float | None = None,
    ) -> None:
        self._feed = feed
        self._holidays = holidays
        self._fixed = k
        self._hours = {hour: list(counts) for hour, counts in profile.hours.items()} if profile else {}
        self._rates = {hour: _rate(counts) for hour, counts in self._hours.items()}
        self._k = self._required()
        self._changed: set[int] = set()
        self._day = since.astimezone(LOCAL).date()
        self._today = profile.count if profile and profile.day == self._day else 0
        self._expected = profile.expected if profile else 0.0
        self._silent_since = profile.silent_since if profile else None
        self._after = 0
        self._rush = self._silent_since is not None
        self._looked = self._heard_at = since
        self._begin(since)
        # The hour in which it was started is not heard whole.
        self._whole = False

    # --- told and asked ---

    def heard(self, at: datetime, count: int = 1) -> None:
        """Messages have come. For each message, so it does as little as it can."""
        if at >= self._ends_at:
            self._turn(at)
        self._in_hour += count
        self._today += count
        self._heard_at = at
        self._expected = 0.0
        if self._silent_since is not None:
            self._after += count

    def look(self, now: datetime) -> Change | None:
        """What has changed by now. To be asked every minute."""
        self._wait(now)
        if now >= self._ends_at:
            self._turn(now)
        if self._silent_since is None:
            if self._expected >= self._k and now - self._heard_at >= _SHORTEST:
                self._silent_since, self._after = self._heard_at, 0
                self._rush = self._quiet = True
                return Change.BEGAN
        elif self._after >= _ENDS:
            self._silent_since = None
            return Change.ENDED
        return None

    @property
    def silent_since(self) -> datetime | None:
        """From when it has been silent; `None` when it is not."""
        return self._silent_since

    @property
    def heard_at(self) -> datetime:
        """When it was last heard, or began to be listened to."""
        return self._heard_at

    @property
    def expected(self) -> float:
        """What would have been expected since the last message."""
        return self._expected

    @property
    def today(self) -> int:
        """How many came since midnight in London."""
        return self._today

    @property
    def a_day(self) -> float:
        """How many it usually sends in a day; 0 while that is not known."""
        return sum(self._rates.values()) / _SHARE / 7

    def profile(self) -> Profile:
        """What must not be forgotten; of the hours only those that were learned since this was last kept."""
        hours = {hour: tuple(self._hours[hour]) for hour in sorted(self._changed)}
        return Profile(self._feed, hours, self._day, self._today, round(self._expected, 3), self._silent_since)

    def kept(self, profile: Profile) -> None:
        """What was asked for is safe now."""
        self._changed -= profile.hours.keys()

    # --- underneath ---

    def _wait(self, now: datetime) -> None:
        """Add up what would have been expected since it was last looked or heard."""
        begin = max(self._looked, self._heard_at)
        if now - self._looked > _ABSENT:
            self._whole = False
            begin = now
        if begin < self._ends_at < now:
            hours = (self._ends_at - begin) / _HOUR
            self._expected += self._rates.get(self._hour, 0.0) * hours
            self._turn(now)
            begin = self._begins_at
        self._expected += self._rates.get(self._hour, 0.0) * (max(now - begin, timedelta()) / _HOUR)
        self._looked = now

    def _turn(self, now: datetime) -> None:
        """An hour is over: learn from it, if it was an hour like any other."""
        if self._whole and now < self._ends_at + _HOUR and not self._quiet and self._silent_since is None:
            usual = self._rates.get(self._hour, 0.0) / _SHARE
            if self._rush:
                self._rush = self._in_hour > max(_RUSH * usual, 1.0)
            else:
                self._learn()
        self._begin(now)
        today = now.astimezone(LOCAL).date()
        if today != self._day:
            self._day, self._today = today, 0

    def _learn(self) -> None:
        counts = self._hours.setdefault(self._hour, [])
        counts.append(self._in_hour)
        del counts[:-_REMEMBERED]
        self._rates[self._hour] = _rate(counts)
        self._changed.add(self._hour)
        self._k = self._required()

    def _begin(self, now: datetime) -> None:
        # London is whole hours from UTC, so its hours begin when those of UTC do.
        self._begins_at = now.replace(minute=0, second=0, microsecond=0)
        self._ends_at = self._begins_at + _HOUR
        self._hour = hour_of_week(now, self._holidays)
        self._in_hour, self._whole, self._quiet = 0, True, self._silent_since is not None

    def _required(self) -> float:
        if self._fixed is not None:
            return self._fixed
        a_day = self.a_day
        return next(k for least, k in _K if a_day >= least)


def _rate(counts: Sequence[int]) -> float:
    return _SHARE * median(counts) if len(counts) >= _ENOUGH else 0.0
