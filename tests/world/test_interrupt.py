"""
A short story, broken at every single call that the gateway makes of its store and its senders, before it and after it.

Each case has the name of its call. The story is told again for each, so the list of cases is whatever the gateway
does: a new call in new code is a new case.
"""

from __future__ import annotations

import os

import pytest
from interrupt import KILL, REPEAT, Interrupt, Pause, Raise
from story import Story, hospitals

from mhbridge.errors import DestinationSilent, StoreError
from mhbridge.testing.faults import DROP_AFTER, DROP_BEFORE, OK
from world import simulate

#: Of each kind of break every so many calls; between them the kinds meet every call. The long form takes each.
STRIDE = 1 if os.environ.get("MHBRIDGE_TEST_LONG") else 8
SEED = 7


def plan(asked):
    """The second request is lost before its effect, the fifth after it: so that there are looks to be broken, too."""
    return {2: DROP_BEFORE, 5: DROP_AFTER}.get(asked.number, OK)


def short(world, *interrupts, **options):
    """Two patients with three messages each, and two letters."""
    systems = hospitals(world, patients=2, messages=8)
    settings = {"plan": plan, "interrupts": interrupts, "pause": lambda: 15.0, "patience": 7_200.0}
    return Story(world, systems, **settings | options)


def tell(tmp_path, *interrupts, **options):
    async def main(world):
        return await short(world, *interrupts, **options).run()

    return simulate(SEED, tmp_path, main)


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    counted = Interrupt()
    assert tell(tmp_path_factory.mktemp("counted"), counted).faults == {}
    return counted.calls


def test_the_story_makes_every_call_that_a_gateway_makes(calls):
    made = {"known", "commit", "due", "next_due", "start", "finish", "recover", "status"}
    assert {f"store.{name}" for name in made} | {"sender.deliver", "sender.look"} <= set(calls)


ACTS = {
    "killed": KILL,
    "made twice": REPEAT,
    "refused by the store": Raise(StoreError("S210", "full")),
    "held up": Pause(30.0),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", ACTS)
def test_at_every_call_in_turn_and_nothing_is_lost_doubled_or_overtaken(tmp_path, calls, what, after):
    broken = {}
    begin = list(ACTS).index(what) + len(ACTS) * after
    for number in range(begin % STRIDE, len(calls), STRIDE):
        act = ACTS[what]
        if isinstance(act, Raise) and calls[number].startswith("sender"):
            act = Raise(DestinationSilent("D942", "no answer"))
        interrupt = Interrupt(number, act, after)
        try:
            report = tell(tmp_path / str(number), interrupt)
            faults = report.faults | ({} if report.answered == report.sent else {"unanswered": report.unknown})
        except TimeoutError:
            faults = {"stuck": "for two hours"}
        if faults:
            broken[interrupt.acted] = faults
    assert broken == {}
