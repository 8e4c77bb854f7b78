"""How much a caller may ask in a while: a table of requests, and what each is told."""

import pytest

from mhbridge.adapters.allowance import Allowance

#: name → (seconds that one request takes, when requests come, how long each is told to wait).
CASES = {
    "as many as a minute holds, at once": (10, [0] * 7, [0] * 6 + [10]),
    "evenly": (10, [0, 10, 20, 30], [0] * 4),
    "after a rest": (30, [0, 0, 0, 15, 30], [0, 0, 30, 15, 0]),
    "no more is saved up than a minute holds": (30, [0, 10_000, 10_000, 10_000], [0, 0, 0, 30]),
    "one an hour": (3_600, [0, 1_800, 3_600], [0, 1_800, 0]),
    "whoever is told to wait uses nothing": (60, [0, 30, 45, 60], [0, 30, 15, 0]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_allowed_fills_up_evenly(name):
    each, times, waits = CASES[name]
    allowance = Allowance(each)
    assert [allowance.wait("a", at) for at in times] == pytest.approx(waits)


def test_callers_do_not_use_each_others():
    allowance = Allowance(60)
    assert [allowance.wait(caller, 0) for caller in "abab"] == [0, 0, 60, 60]


def test_callers_are_bounded_and_the_oldest_is_forgotten():
    allowance = Allowance(60, callers=100)
    for caller in range(1_000):
        allowance.wait(str(caller), 0)
    assert len(allowance._left) == 100
    assert allowance.wait("999", 0) == 60
    assert allowance.wait("0", 0) == 0
