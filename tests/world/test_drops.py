"""
Silent drops: something is left out, in memory or in a row, and nobody raises anything. Each is found by the accounts
(C1 to C6) or said to be overdue within a minute, or is made good by itself.

The minute counts from when somebody could have known: a delivery that may be under way for forty seconds is not missing
before that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest
from interrupt import Interrupt, Swallow
from receivers import Receiver
from scene import FEED, MLLP, configuration
from senders import Attempts, Stays, over_mllp, send

from mhbridge.model import Answer, Verdict
from mhbridge.ports import Committed
from mhbridge.testing.faults import OK, UNAUTHORISED, UNPROCESSABLE, slow, unavailable
from world import START, simulate

MINUTE = 60.0
#: What is said when something is not as it should be.
ALARMS = ("balance_differs", "overdue", "parked", "delivery_parked")
KEPT = Committed(Answer(Verdict.ACCEPTED, "Safely stored.", START, reference="1"), 1, (2,))


@dataclass(frozen=True)
class Drop:
    """
    Args:
        port: the call that is swallowed from some time on.
        told: what who made it is told.
        sql: what is done to a row instead.
        memory: or to the gateway itself.
        fault: what the receiver does meanwhile: nothing is dropped of what has been delivered.
        late: seconds after which somebody could have known.
    """

    port: str = ""
    told: object = None
    once: bool = True
    sql: str = ""
    memory: object = None
    fault: object = OK
    late: float = 0.0
    #: Nothing is worked before it is answered.
    stored: bool = False


def cancel_attempts(gateway):
    for task in gateway.app.outbox._in_hand.values():
        task.cancel()


def end_loop(gateway):
    gateway.app.outbox._loop.cancel()


def lose_wakes(gateway):
    for loop in (gateway.app.outbox, gateway.app.gateway.backlog):
        loop.wake = lambda: None


def end_backlog(gateway):
    gateway.app.gateway.backlog._loop.cancel()


DOWN = unavailable()
#: Nobody answers before the sender has given up.
SILENT = slow(60.0)
DROPS = {
    "an envelope that was answered": Drop("store.commit", KEPT),
    "an envelope that was taken for a repeat": Drop("store.repeat", KEPT),
    "a refusal": Drop("store.refuse"),
    "that bytes may have left": Drop("store.start", lambda values: list(values[0])),
    "what became of an attempt": Drop("store.finish", late=40.0),
    "what is due": Drop("store.due", (), once=False),
    "when something is due": Drop("store.next_due", None, once=False, fault=DOWN, late=30.0),
    "what waits to be worked": Drop("store.waiting", (), once=False, stored=True),
    "that work was begun": Drop("store.begin", (), once=False, stored=True),
    "what became of work": Drop("store.settle", stored=True, late=60.0),
    "the loop that works what waits": Drop(memory=end_backlog, stored=True),
    "that something waits to be worked": Drop(memory=lose_wakes, stored=True),
    "an attempt, in memory": Drop(memory=cancel_attempts, late=40.0),
    "the loop that delivers": Drop(memory=end_loop),
    "that something is there to be delivered": Drop(memory=lose_wakes),
    "a delivery": Drop(sql="delete from delivery where id = (select max(id) from delivery)"),
    "a message": Drop(sql="delete from message where id = (select max(id) from message)"),
    "an envelope": Drop(sql="delete from envelope where id = (select max(id) from envelope)"),
    "a document": Drop(sql="delete from document where id = (select max(id) from document)", fault=DOWN, late=30.0),
    "the body of a document": Drop(
        sql="delete from body where id = (select max(id) from document)", fault=DOWN, late=30.0
    ),
    "the time of a lane": Drop(sql="update lane set next_at = null", fault=DOWN),
    "a lane": Drop(sql="delete from lane", fault=DOWN),
    "the time of a delivery": Drop(sql="update delivery set due_at = null", fault=DOWN),
    "a delivery, which is called done": Drop(sql="update delivery set state = 'done'", fault=DOWN),
    "a message, which is called closed": Drop(
        sql="update message set state = 'closed' where id = (select max(id) from message)"
    ),
    "a count": Drop(sql="update tally set n = n - 1 where what = 'receipt' and state = 'received'"),
    "the task of what is parked": Drop(sql="delete from task", fault=UNPROCESSABLE),
}
#: So long the receiver fails where it has to, so that something is there to be dropped.
FAILS = 20.0


async def dropped(world, drop):
    """
    One message, and an hour in which all is well; then the fault, and another. Whether the second has arrived a minute
    after somebody could have known, and what was said by then.
    """
    interrupt, attempts = Interrupt(), Attempts()
    stays = Stays(world.random, world.now() - timedelta(days=9), letters=False)
    fails = float("inf")

    def plan(_asked):
        return drop.fault if fails <= world.loop.time() < fails + FAILS else OK

    async with Receiver(clock=world.now, plan=plan) as receiver:
        gateway = await world.gateway(configuration(receiver.url), interrupt=interrupt)
        await send(stays.of(0, 1), over_mllp(*MLLP), attempts)
        await asyncio.sleep(3_600)
        assert world.events(*ALARMS) == []
        begun = len(world.said)
        fails = world.loop.time()
        if drop.port:
            told = drop.told if callable(drop.told) else lambda _: drop.told
            interrupt.only, interrupt.at, interrupt.always = frozenset({drop.port}), 0, not drop.once
            interrupt.act = Swallow(told)
            interrupt.calls.clear()
        gateway.app.gateway._fast = not drop.stored
        if drop.memory in (lose_wakes, end_loop, end_backlog):
            drop.memory(gateway)
        if drop.port == "store.refuse":
            await gateway.app.gateway.refuse(FEED, "D912")
        else:
            await send(stays.of(1, 1), over_mllp(*MLLP), attempts)
        if drop.memory is cancel_attempts:
            drop.memory(gateway)
        await asyncio.sleep(3)
        if drop.sql:
            connection = gateway.files._books.session.connection
            connection.execute(drop.sql)
            assert connection.changes() > 0
        await asyncio.sleep(MINUTE + drop.late)
        said = {line["event"] for _, line in world.said[begun:]} & set(ALARMS)
        if (await gateway.status()).waiting:
            said.add("a task")
        return 1 in receiver.effects, said


@pytest.mark.parametrize("what", DROPS)
def test_what_is_dropped_in_silence_is_found_or_made_good_within_a_minute(tmp_path, what):
    async def main(world):
        return await dropped(world, DROPS[what])

    arrived, said = simulate(1, tmp_path, main)
    assert said or arrived
    # What is gone without a trace is not made good by the message having arrived.
    assert said or not DROPS[what].sql


def test_a_clock_that_nobody_looks_at_is_found(tmp_path):
    """A delivery is parked, and the loop that hands its task on to the next queue has ended."""

    async def main(world):
        stays = Stays(world.random, world.now() - timedelta(days=9), letters=False)
        async with Receiver(clock=world.now, plan=lambda _: UNPROCESSABLE) as receiver:
            gateway = await world.gateway(configuration(receiver.url))
            gateway.app.clocks._task.cancel()
            await send(stays.of(0, 1), over_mllp(*MLLP), Attempts())
            await asyncio.sleep(1)
            (due,) = gateway.files._books.session.connection.execute("select min(next_at) from task").fetchone()
            due = due / 1e6 - START.timestamp()
            await asyncio.sleep(due - world.loop.time())
            assert world.events("balance_differs") == []
            await asyncio.sleep(MINUTE)
            assert world.events("balance_differs")

    simulate(1, tmp_path, main)


@pytest.mark.parametrize("fault", [unavailable(), SILENT, UNAUTHORISED], ids=["down", "silent", "refusing"])
def test_while_a_destination_takes_nothing_nothing_is_called_forgotten(tmp_path, fault):
    """An hour of it, with fifty patients waiting: it is said that it is down or held, and no account is wrong."""

    async def main(world):
        stays = Stays(world.random, world.now() - timedelta(days=9), letters=False)
        down = [True]
        async with Receiver(clock=world.now, plan=lambda _: fault if down[0] else OK) as receiver:
            gateway = await world.gateway(configuration(receiver.url))
            await send([stays.of(patient, 1)[0] for patient in range(50)], over_mllp(*MLLP), Attempts())
            await asyncio.sleep(3_600)
            assert (await gateway.status()).behind == {"d0": pytest.approx(49, abs=1)}
            down.clear()
            down.append(False)
            gateway.app.outbox.let_go("d0")
            await asyncio.sleep(3_600)
            assert len(receiver.effects) == 50
        return world.events(*ALARMS), world.events("destination_down", "destination_held")

    alarms, said = simulate(1, tmp_path, main)
    assert alarms == []
    assert said
