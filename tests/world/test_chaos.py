"""
Receivers that lose three replies in ten, answer after they have committed, are slow, restart; senders that repeat;
a gateway that is killed. Nothing answered is lost, nothing takes effect twice or out of order, and what the receiver
has in the end is what all messages together say. And each of these would be seen if it were not so.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from interrupt import Interrupt, Raise
from receivers import at_random
from senders import Stays
from story import Story, hospitals

from mhbridge import pipeline
from mhbridge.adapters.fhir_server import FhirSender
from mhbridge.adapters.sql import queries
from mhbridge.errors import StoreError
from mhbridge.gateway import outbox
from mhbridge.testing.faults import DROP_AFTER, first_time
from world import simulate

#: The long form is the same with a larger number.
MESSAGES = int(os.environ.get("MHBRIDGE_TEST_MESSAGES", "1000"))
SEED = int(os.environ.get("MHBRIDGE_TEST_SEED", "1"))


def chaos(world, messages=MESSAGES, **options):
    """A thousand patients, where there are messages enough for so many."""
    systems = hospitals(world, patients=min(1_000, messages // 8), messages=messages, systems=20)
    draw = world.random

    def again(sent):
        return draw.randrange(sent) if draw.random() < 0.1 else None

    settings = {
        "plan": at_random(draw, lost=0.3, late=0.1, refused=0.1),
        "pause": lambda: draw.expovariate(1 / 30),
        "again": again,
        "restart": 1_800.0,
        "concurrency": 32,
    }
    return Story(world, systems, **settings | options)


async def told(world):
    story = chaos(world)
    return await story.run()


def test_of_a_thousand_messages_to_receivers_that_fail_none_is_lost_doubled_or_overtaken(tmp_path):
    report = simulate(SEED, tmp_path, told)
    assert report.faults == {}
    assert report.answered == report.sent >= MESSAGES * 0.99
    assert report.repeats > MESSAGES / 20


def test_killed_again_and_again_in_the_same_chaos_it_loses_nothing(tmp_path):
    killed = 0

    async def told_with_kills(world):
        def started(one):
            nonlocal killed
            killed += 1
            world.loop.call_later(world.random.expovariate(1 / 400), one.kill)

        return await chaos(world, MESSAGES // 2, started=started).run()

    report = simulate(SEED, tmp_path, told_with_kills)
    assert report.faults == {}
    assert killed > 5


def test_what_comes_out_of_order_adds_up_to_the_same(tmp_path):
    """
    One in five slips behind its successor. A late one has no effect of its own, or that of the newest again; what the
    receiver has in the end is what all of them say in the order in which it happened.
    """

    async def main(world):
        systems = hospitals(world, patients=30, messages=240, systems=5, slip=0.2)
        story = chaos(world, 8)
        story.systems = systems
        report = await story.run()
        late = {(m.patient, m.number) for c, m in story.attempts.attempted.items() if c in story.attempts.late}
        assert len(late) > 20
        return {mark for mark in report.lost if mark not in late}, report

    lost, report = simulate(SEED, tmp_path, main)
    assert lost == set()
    assert report.wrong == report.unexpected == report.kept_twice == []
    assert report.differences == ()


def test_records_that_are_merged_in_the_middle_of_it_lose_nothing_and_keep_their_order(tmp_path):
    """Twenty patients turn out to be ten, half-way through what is sent of the one that stays."""

    async def main(world):
        stays = Stays(world.random, world.now() - timedelta(days=4_000))
        systems = []
        for retired in range(10):
            after = stays.of(retired + 10, 12)
            merge = stays.merge(retired, retired + 10, after[5].at + timedelta(minutes=1))
            # Some of them happened after the merge: what is known newest of the patient is of the retired record.
            before = stays.of(retired, 6)
            systems.append([*sorted([*before, *after[:6]], key=lambda message: message.at), merge, *after[6:]])
        story = chaos(world, 8)
        story.systems = systems
        return await story.run()

    report = simulate(SEED, tmp_path, main)
    # What the retired record is in the end is the receiver's business; the checker knows no merges.
    assert {kind: found for kind, found in report.faults.items() if kind != "wrong"} == {}
    assert report.answered == report.sent


# --- controls: each protection off, and it is seen -----------------------------------------------------------

#: What is wrong without a protection shows soon.
FEW = 240


def faults(tmp_path, **options):
    async def main(world):
        return (await chaos(world, FEW, **options).run()).faults

    return simulate(SEED, tmp_path, main)


def changed_queries(monkeypatch, **changes):
    """The store asks something else: name of a query → what is replaced in it, and by what."""
    changed = dict(queries())
    for name, (old, new) in changes.items():
        changed[name] = changed[name].replace(old, new)
        assert changed[name] != queries()[name]
    monkeypatch.setattr("mhbridge.adapters.sqlite.session.queries", lambda: changed)


def test_without_the_dedupe_key_repeats_are_taken_for_new(tmp_path, monkeypatch):
    numbers = iter(range(10**9))
    monkeypatch.setattr(pipeline, "dedupe_key", lambda *_: next(numbers).to_bytes(32, "big"))
    assert "kept_twice" in faults(tmp_path)


def test_without_the_order_of_lanes_messages_overtake_each_other(tmp_path, monkeypatch):
    heads = queries()["due_heads"]
    only = heads[heads.index("    and d.seq = (select min") : heads.index("  where l.destination")]
    changed_queries(monkeypatch, due_heads=(only, ""), delivery_now=("not exists", "1 or not exists"))
    # A receiver that knows versions refuses what stands on an old one; most know none.
    assert "disordered" in faults(tmp_path, server={"versions": False})


#: Every answer to what comes for the first time is lost, after it was carried out.
NO_ANSWER = {"plan": first_time(DROP_AFTER), "restart": 0.0, "server": {"updates": False, "conditional": False}}


def test_where_nothing_can_be_put_by_id_the_look_up_keeps_letters_from_arriving_twice(tmp_path):
    assert faults(tmp_path, **NO_ANSWER) == {}


def test_without_the_look_up_after_no_answer_letters_arrive_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(FhirSender, "look", FhirSender.deliver)
    assert "duplicated" in faults(tmp_path, **NO_ANSWER)


def forgotten():
    """The store cannot record the result of one delivery for longer than anybody tries."""
    return {"interrupts": [Interrupt(3, Raise(StoreError("S210", "full")), only=frozenset({"store.finish"}))]}


def test_what_nobody_has_in_hand_any_more_is_swept_up(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox, "_FINISHES", 1)
    assert faults(tmp_path, **forgotten()) == {}


def test_without_the_sweep_it_stays_for_ever_and_its_lane_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox, "_FINISHES", 1)
    changed_queries(monkeypatch, due_heads=("where l.destination", "where d.state <> 'sending' and l.destination"))
    with pytest.raises(TimeoutError):
        faults(tmp_path, patience=900.0, **forgotten())
