"""
Thirty simulated days of stays, letters and stops of the gateway: each step told exactly once, at the right time.

What ought to be told is worked out beside it, from the instants alone.
"""

import asyncio
import io
import random
from datetime import timedelta

import pytest
from clock_contract import a_clock, a_letter, delivered, written
from store_cases import T0, keep

from jumping import Jumping
from mhbridge import log as logs
from mhbridge.adapters.sql import moves
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.config import duties_of, parse
from mhbridge.gateway import Clocks

HOUR = 3600.0
#: Those that come with mhbridge: a queue that nobody described would hand on to operations.
DUTIES = duties_of(parse("", environ={}))
DAYS = 30
STEPS = ((18, "ward"), (23, "bed-manager"), (24, "safety"))


def instants(seed):
    """Stays (discharge, arrival of the letter; seconds after the beginning), and when the gateway is down."""
    draw = random.Random(seed)
    down = []
    for day in range(1, DAYS, 4):
        begin = (day + draw.random()) * 24 * HOUR
        down.append((begin, begin + draw.choice((0.2, 2, 9, 30)) * HOUR))

    def up(at):
        return next((end + 60 for begin, end in down if begin - 60 <= at < end + 60), at)

    stays = []
    for _ in range(DAYS * 8):
        left = up(draw.uniform(0, (DAYS - 4) * 24 * HOUR))
        hours = draw.choice((None, draw.uniform(0.1, 17), draw.uniform(0.1, 17), draw.uniform(17, 26), 60))
        stays.append((left, None if hours is None else up(left + hours * HOUR)))
    return stays, down


def expected(stays, down):
    """(seconds, queue) of every step that is told: at its time or, where nothing ran, the latest of them afterwards."""
    told = []
    for left, arrived in stays:
        at = {}
        for hours, queue in STEPS:
            due = left + hours * HOUR
            when = next((end for begin, end in down if begin <= due < end), due)
            if arrived is None or arrived > when:
                at[when] = queue
        told += [(round(when), queue) for when, queue in at.items()]
    return sorted(told)


def played(path, stays, down):
    """What is told: (seconds, queue)."""
    told = []

    async def play():
        loop = asyncio.get_running_loop()

        def clock():
            return T0 + timedelta(seconds=loop.time())

        def begun():
            store = SqliteStore(
                path / "mhbridge.db", turns=lambda _name: InlineTurns(), duties=duties_of(parse("", environ={}))
            )
            fire = store.fire

            async def watched(now, most):
                found = await fire(now, most)
                told.extend((round(loop.time()), one.queue) for one in found if one.kind in ("step", "missed"))
                return found

            store.fire = watched
            return store, Clocks(store=store, clock=clock, log=logs.make(io.BytesIO()))

        events = [(begin, "stop", None) for begin, _ in down] + [(end, "go", None) for _, end in down]
        events += [(left, "left", number) for number, (left, _) in enumerate(stays)]
        events += [(at, "letter", number) for number, (_, at) in enumerate(stays) if at is not None]
        store, clocks = begun()
        await store.open()
        await clocks.open()
        for at, what, number in sorted(events):
            await asyncio.sleep(at - loop.time())
            match what:
                case "stop":
                    await clocks.close()
                    await store.close()
                case "go":
                    store, clocks = begun()
                    await store.open()
                    await clocks.open()
                case "left":
                    started = T0 + timedelta(seconds=stays[number][0])
                    ladder = tuple(
                        (started + timedelta(hours=hours), queue, "critical" if queue == "safety" else "normal")
                        for hours, queue in STEPS
                    )
                    deadline = a_clock("gp", started=started, patient=number, ladder=ladder)
                    await keep(store, number, at=clock(), patient=number, deadlines=(deadline,))
                    clocks.wake()
                case "letter":
                    outcome = a_letter(10_000 + number, "gp", patient=number, series=f"series {number}")
                    await written(store, 10_000 + number, outcome, at=clock())
                    await delivered(store, clock())
        await asyncio.sleep(4 * 24 * HOUR)
        status = await store.status(clock())
        await clocks.close()
        await store.close()
        return status

    with asyncio.Runner(loop_factory=Jumping) as runner:
        status = runner.run(play())
    return sorted(told), status


@pytest.mark.parametrize("seed", [1, 2])
def test_a_month_is_told_exactly(tmp_path, seed):
    stays, down = instants(seed)
    told, status = played(tmp_path, stays, down)
    assert told == expected(stays, down)
    assert len(told) > 100
    assert status.differences == ()
    states = status.clocks["summary-24h"]
    assert sum(states.values()) == len(stays)
    assert states["missed"] == sum(arrived is None for _, arrived in stays)


def test_the_month_would_notice_a_letter_that_meets_nothing(tmp_path, monkeypatch):
    """The control: with deliveries ignored, people are told of letters that have arrived."""
    monkeypatch.setattr(moves.clocks, "follow", lambda _books, _steps: None)
    stays, down = instants(1)
    told, _ = played(tmp_path, stays, down)
    assert len(told) > len(expected(stays, down))
