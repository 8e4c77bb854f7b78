"""
False alarms and the time to notice an outage, in simulated years of feeds, with the code that the gateway runs.

    python tests/benchmarks/silence.py [--years 4] [--weeks 52] [--k 6 9 12]

Arrivals vary by hour and day of the week, double or halve by chance from hour to hour (gamma, dispersion 0.25), are as
on a Sunday on eight holidays, and stop in 20 outages a year of 30, 60, 120 or 480 minutes that begin in working hours.
What waited meanwhile comes afterwards. `gateway`: k as the gateway chooses it by volume.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from mhbridge.gateway.silence.arrivals import LOCAL, Arrivals, Change

#: Of the design reference of the gateway, §9: (messages a day, k) → false alarms a week, noticed of 80, median minutes.
DESIGN = {
    (50, 6): (0.92, 38, 83), (50, 9): (0.11, 29, 148), (50, 12): (0.02, 21, 206),
    (500, 6): (4.9, 82, 14), (500, 9): (0.95, 78, 21), (500, 12): (0.27, 71, 27),
    (5_000, 6): (4.0, 80, 9), (5_000, 9): (0.81, 80, 11), (5_000, 12): (0.26, 80, 14),
    (30_000, 6): (0.45, 80, 9), (30_000, 9): (0.13, 80, 11), (30_000, 12): (0.03, 80, 14),
}  # fmt: skip

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
#: How many come in each hour of a weekday, and how each day compares.
_HOURS = [0.15] * 7 + [0.5, 1.2, 2.0, 2.2, 2.2, 1.8, 2.0, 2.2, 2.2, 2.0, 1.4, 0.9, 0.7, 0.5, 0.4, 0.3, 0.2]
_DAYS = [1, 1, 1, 1, 1.05, 0.45, 0.4]
_HOLIDAYS = (88, 91, 119, 140, 238, 354, 357, 358)
_LENGTHS = (30, 60, 120, 480)


@dataclass
class Year:
    """
    What became of one simulated time.

    Args:
        minutes: from the beginning of each outage that was noticed to its alarm.
    """

    weeks: float
    outages: int
    false: int = 0
    minutes: list[float] = field(default_factory=list)


def year(
    a_day: float,
    seed: int,
    *,
    k: float | None = None,
    weeks: int = 52,
    outages: int = 20,
    dispersion: float = 0.25,
    first_outage: int = 60,
) -> Year:
    """One feed for so many weeks, a minute at a time."""
    chance = random.Random(seed)
    days = weeks * 7
    holidays = frozenset(BEGIN.date() + timedelta(day) for day in _HOLIDAYS if day < days)
    gone = sorted(_outages(chance, days, outages, first_outage))
    ears = Arrivals("supplier/mllp", BEGIN, holidays=holidays, k=k)
    found = Year(weeks, len(gone))
    noticed: set[datetime] = set()
    now, waiting, at = BEGIN, 0, 0
    for hour in range(days * 24):
        mean = _mean(a_day, BEGIN + timedelta(hours=hour), holidays) * chance.gammavariate(1 / dispersion, dispersion)
        for _ in range(60):
            now += MINUTE
            while at < len(gone) and gone[at][1] <= now:
                at += 1
            count = _poisson(chance, mean / 60)
            if at < len(gone) and gone[at][0] <= now:
                waiting += count
                count = 0
            elif waiting:
                # What had waited comes within a few minutes.
                rush = min(waiting, max(1, waiting // 3))
                waiting, count = waiting - rush, count + rush
            if count:
                ears.heard(now, count)
            if ears.look(now) is Change.BEGAN:
                outage = next((begin for begin, end in gone if begin <= now < end), None)
                if outage is None:
                    found.false += 1
                elif outage not in noticed:
                    noticed.add(outage)
                    found.minutes.append((now - outage) / MINUTE)
    return found


def _outages(chance: random.Random, days: int, count: int, first: int) -> Iterator[tuple[datetime, datetime]]:
    for _ in range(count):
        begin = BEGIN + timedelta(days=chance.randrange(first, days), minutes=chance.randrange(9 * 60, 17 * 60))
        yield begin, begin + timedelta(minutes=chance.choice(_LENGTHS))


def _mean(a_day: float, at: datetime, holidays: frozenset[date]) -> float:
    local = at.astimezone(LOCAL)
    day = 6 if local.date() in holidays else local.weekday()
    return a_day * _HOURS[local.hour] * _DAYS[day] / (sum(_HOURS) * sum(_DAYS) / 7)


def _poisson(chance: random.Random, mean: float) -> int:
    if mean > 30:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        count += 1
        product *= chance.random()
    return count


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--years", type=int, default=4, help="how many for each line")
    options.add_argument("--weeks", type=int, default=52, help="of each")
    options.add_argument("--k", type=float, nargs="*", default=[6, 9, 12])
    options.add_argument("--a-day", type=float, nargs="*", default=[50, 500, 5_000, 30_000])
    given = options.parse_args()
    print("a day  k        false/week  noticed  minutes: median  p90    design: false/week  noticed  median")
    for a_day in given.a_day:
        for k in (None, *given.k):
            runs = [year(a_day, seed, k=k, weeks=given.weeks) for seed in range(given.years)]
            weeks, outages = sum(run.weeks for run in runs), sum(run.outages for run in runs)
            minutes = [minute for run in runs for minute in run.minutes]
            design = DESIGN.get((int(a_day), int(k or (12 if a_day >= 5_000 else 9))))
            beside = f"{design[0]:18}  {design[1]:4}/80  {design[2]:6}" if design else ""
            median, most = quantile(minutes, 0.5) or 0, quantile(minutes, 0.9) or 0
            print(
                f"{a_day:6.0f} {k or 'gateway':<8} {sum(run.false for run in runs) / weeks:10.3f} "
                f"{len(minutes):5}/{outages:<4} {median:12.0f} {most:6.0f}  {beside}",
                flush=True,
            )


if __name__ == "__main__":
    main()
