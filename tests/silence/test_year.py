"""
Simulated weeks of a feed of each volume, against the bars; the long form is `python tests/benchmarks/silence.py`.

The controls: with no alarm ever, nothing is found; with one at every pause, it cries wolf all day. A test of a detector
that could not tell these apart would prove nothing.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[1] / "benchmarks" / "silence.py"
_SPEC = importlib.util.spec_from_file_location("silence_benchmark", _PATH)
simulated = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = simulated
_SPEC.loader.exec_module(simulated)

WEEKS = 9


def weeks(a_day, **others):
    return simulated.year(a_day, 1, weeks=WEEKS, outages=12, first_outage=28, **others)


#: Messages a day → the least share of outages to be noticed, and the most minutes for half of those that are.
BARS = {50: (0.1, 300), 500: (0.6, 45), 5_000: (0.9, 15), 30_000: (0.9, 15)}


@pytest.mark.parametrize("a_day", BARS)
def test_outages_are_noticed_and_no_feed_cries_wolf_more_than_once_a_week(a_day):
    found = weeks(a_day)
    share, minutes = BARS[a_day]
    assert found.false <= WEEKS
    assert len(found.minutes) >= share * found.outages
    assert simulated.quantile(found.minutes, 0.5) <= minutes


@pytest.mark.parametrize("a_day", [500, 5_000])
def test_control_without_an_alarm_nothing_is_noticed(a_day):
    found = weeks(a_day, k=float("inf"))
    assert (found.false, found.minutes) == (0, [])


@pytest.mark.parametrize("a_day", [50, 500])
def test_control_an_alarm_at_every_pause_cries_wolf(a_day):
    assert weeks(a_day, k=0.5).false > 10 * WEEKS
