"""
A letter of which something newer is known than what it says, and which has not left: it waits for a person.

The real mappings, gateway and store: what happens, in order → what became of each delivery of the letters. The control
is the same with a rule that only tells of it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

import shipped
from mhbridge import pipeline
from mhbridge.config import duties_of, parse
from mhbridge.mapping.packs import Stale
from mhbridge.pipeline import stale_by_document
from test_carry import MINUTE, SENT, WRITTEN, Stay, day
from test_carry import feed as carrying_feed
from ward import EVENT, LETTER, NOW, a_ward

#: A transfer stands for a result here: what matters is when it was, and that the pack names it.
NEWER, OLDER = "03-14T17:00", "03-14T15:00"


def feed(then="hold"):
    mappings = carrying_feed().mappings
    rule = Stale(EVENT, "event", "transfer", then)
    return replace(carrying_feed(), stale={LETTER: (rule,)}, clocks=pipeline.clocks_by_document(mappings))


class Scene:
    """A stay, and what people do about its letters."""

    def __init__(self, ward, using):
        self.ward, self.stay, self.letters = ward, Stay(ward, using), []

    async def play(self, *steps):
        for what, *said in steps:
            self.ward.now += MINUTE
            match what:
                case "letter":
                    # Versions differ in a word, or they would say the same again.
                    names = {"PV1-7": f"9990001^V{len(self.letters)}^Rowena^^^Dr^^^GMC"}
                    await self.stay.send("letter", day(said[0]), names, received=self.ward.now)
                    self.letters.append(self.stay.last)
                case "takes":
                    assert await self.ward.deliver(said[0], "takes")
                case "release":
                    for one in (await self.ward.store.trace(self.letters[-1])).deliveries:
                        if one["state"] == "parked":
                            await self.ward.store.release(one["id"], "hazel", self.ward.now)
                case "close":
                    await self.ward.store.close_message(self.letters[-1], "hazel", "written anew", self.ward.now)
                case _:
                    await self.stay.send(what, day(said[0]), {}, received=self.ward.now)

    async def end(self):
        """Who was asked has answered, and what was due is over: the accounts are looked at."""
        for message in self.letters:
            await self.ward.store.close_message(message, "hazel", "written anew", self.ward.now)
        while await self.ward.store.fire(NOW):
            pass

    async def stands(self):
        """Of each letter, (destination, state, code) of what was to be delivered."""
        found = []
        for message in self.letters:
            trace = await self.ward.store.trace(message)
            found.append(sorted((one["destination"], one["state"], one["code"]) for one in trace.deliveries))
        return found


async def played(path, using, *steps):
    async with a_ward(path, using) as ward:
        scene = Scene(ward, using)
        ward.now = SENT
        await scene.play(("A01", "02-10T18:40"), *steps)
        tasks = sorted((one.what, one.cause) for one in await ward.store.tasks())
        clocks = {one.recipient: one.state for one in (await ward.store.trace(scene.stay.last)).clocks}
        stands, status = await scene.stands(), await ward.store.status(ward.now)
        await scene.end()
        assert status.differences == ()
        return stands, tasks, clocks


def both(state, code=""):
    return [("gp", state, code), ("team", state, code)]


HELD = both("parked", "M782")
#: Title → what happens, and how the deliveries of each letter then stand.
SCENES = {
    "it comes before the letter has left": ([("letter", WRITTEN), ("A02", NEWER)], [HELD]),
    "it was before the letter": ([("letter", WRITTEN), ("A02", OLDER)], [both("queued")]),
    "another event is none": ([("letter", WRITTEN), ("A08", NEWER)], [both("queued")]),
    "it was known before the letter came": ([("A02", NEWER), ("letter", WRITTEN)], [HELD]),
    "known before, and older than the letter": ([("A02", OLDER), ("letter", WRITTEN)], [both("queued")]),
    "of two the newer counts": ([("A02", NEWER), ("A02", OLDER), ("letter", WRITTEN)], [HELD]),
    "one has it already": (
        [("letter", WRITTEN), ("takes", "gp"), ("A02", NEWER)],
        [[("gp", "done", ""), ("team", "parked", "M782")]],
    ),
    "all have it": ([("letter", WRITTEN), ("takes", "gp"), ("takes", "team"), ("A02", NEWER)], [both("done")]),
    "a person lets it go": ([("letter", WRITTEN), ("A02", NEWER), ("release",)], [both("queued")]),
    "let go, and something newer still": (
        [("letter", WRITTEN), ("A02", NEWER), ("release",), ("A02", "03-14T18:00")],
        [HELD],
    ),
    "let go, it holds no later version": (
        [("letter", WRITTEN), ("A02", NEWER), ("release",), ("letter", "03-14T16:30")],
        [both("superseded"), both("queued")],
    ),
    "a person ends it": ([("letter", WRITTEN), ("A02", NEWER), ("close",)], [both("closed")]),
    "a newer version takes its place": (
        [("letter", WRITTEN), ("A02", NEWER), ("letter", "03-14T17:30")],
        [both("superseded"), both("queued")],
    ),
    "a version that does not know of it either": (
        [("letter", WRITTEN), ("A02", NEWER), ("letter", "03-14T16:40")],
        [both("superseded"), HELD],
    ),
    "the discharge is cancelled": ([("letter", WRITTEN), ("A02", NEWER), ("A13", "03-14T18:00")], [both("cancelled")]),
}


@pytest.mark.parametrize("title", SCENES)
async def test_what_is_not_up_to_date_waits_for_a_person(tmp_path, title) -> None:
    steps, expected = SCENES[title]
    stands, tasks, clocks = await played(tmp_path, feed(), *steps)
    assert stands == expected
    held = sum(one[1] == "parked" for of in stands for one in of)
    assert [one for one in tasks if one[1] == "M782"] == [("delivery", "M782")] * held
    # Of what has left a person is told, as where the rule says no more than that.
    left = any(one[1] == "done" for of in stands for one in of)
    assert [one[1] for one in tasks if one[0] == "letter"] == ["M756"] * left
    # The day within which it is due goes on.
    waits = {to for of in stands[-1:] for to, state, _ in of if state == "parked"}
    assert {clocks.get(to) for to in waits} <= {"running"}


async def test_the_control_without_the_rule_it_leaves(tmp_path) -> None:
    for name in ("it comes before the letter has left", "it was known before the letter came"):
        stands, _, _ = await played(tmp_path / name.replace(" ", "-"), feed("tell"), *SCENES[name][0])
        assert stands == [both("queued")]


def test_who_is_asked_is_the_ward_that_wrote_it():
    duty = duties_of(parse("", environ={})).of("M782")
    assert (duty.queue, duty.severity) == ("ward", "high")


@pytest.mark.parametrize("letter", [LETTER, "acute-inpatient-discharge"])
def test_results_hold_the_letters_of_wards(letter) -> None:
    catalogue = shipped.catalogue()
    mappings = tuple(catalogue.mapping(name) for name in catalogue.names())
    assert stale_by_document(mappings)[letter] == (Stale("observation-report", "", "", "hold"),)
