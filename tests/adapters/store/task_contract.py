"""What every store must do with tasks, written against the port alone. Inherited as the store's own contract is."""

import asyncio
from datetime import timedelta

import pytest
from store_cases import MINUTE, T0, keep, take

from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState, MessageState
from mhbridge.ports import Duties, Duty, Fired, Move, Queue

HOUR = timedelta(hours=1)

#: What the stores of these tests are made with.
DUTIES = Duties(
    queues={
        "operations": Queue("operations", "the gateway's people", "safety", 4 * HOUR),
        "records": Queue("records", "health records", "operations", 2 * HOUR),
        "safety": Queue("safety", "safety officer", "", HOUR),
    },
    causes={"M740": Duty("records", "high", 2 * HOUR), "D946": Duty("operations", "normal", 6 * HOUR)},
    otherwise=Duty("operations", "normal", 8 * HOUR),
)


async def park_delivery(store, number=1, code="D946", at=T0):
    """One delivery, due within the hour, that its receiver refused."""
    done = await keep(store, number, "gp", at=at)
    (due,) = await take(store, at)
    await store.finish([Move(due.id, DeliveryState.PARKED, code=code)], at)
    return done.messages[0], due.id


class TaskContract:
    # --- parked ⇔ exactly one open task -------------------------------------------------------------------

    async def test_what_arrives_parked_is_somebodys_task(self, store):
        done = await keep(store, 1, state=MessageState.PARKED, code="M740")
        (task,) = await store.tasks()
        assert (task.what, task.about, task.cause) == ("message", done.messages[0], "M740")
        assert (task.queue, task.severity, task.holder) == ("records", "high", "")
        assert (task.opened_at, task.deadline, task.next_at) == (T0, T0 + 2 * HOUR, T0 + 2 * HOUR)
        status = await store.status(T0)
        assert status.differences == ()
        ((queue, severity, count, unclaimed, overdue, oldest),) = [
            (t.queue, t.severity, t.count, t.unclaimed, t.overdue, t.oldest) for t in status.tasks
        ]
        assert (queue, severity, count, unclaimed, overdue, oldest) == ("records", "high", 1, 1, 0, T0)

    async def test_a_cause_that_nobody_thought_of_has_an_owner_too(self, store):
        await keep(store, 1, state=MessageState.PARKED, code="M799")
        (task,) = await store.tasks()
        assert (task.queue, task.deadline) == ("operations", T0 + 8 * HOUR)

    async def test_a_parked_delivery_keeps_its_own_deadline_where_that_is_earlier(self, store):
        _, delivery = await park_delivery(store)
        (task,) = await store.tasks()
        assert (task.what, task.about, task.deadline) == ("delivery", delivery, T0 + HOUR)
        (late,) = (await store.status(T0 + 2 * HOUR)).tasks
        assert late.overdue == 1

    async def test_a_released_delivery_is_nobodys_task_and_parked_again_is_a_new_one(self, store):
        message, delivery = await park_delivery(store)
        (first,) = await store.tasks()
        await store.release(delivery, "op", T0 + MINUTE)
        assert await store.tasks() == []
        (due,) = await take(store, T0 + MINUTE)
        await store.finish([Move(due.id, DeliveryState.PARKED, code="D946")], T0 + 2 * MINUTE)
        (second,) = await store.tasks()
        assert second.id != first.id
        ended, opened = reversed(await store.tasks(ended=True))
        assert (ended.id, ended.closed_at, ended.closed_as) == (first.id, T0 + MINUTE, "queued by op")
        assert (opened.id, opened.closed_at) == (second.id, None)
        assert [task.id for task in (await store.trace(message)).tasks] == [first.id, second.id]
        assert (await store.status(T0)).differences == ()

    async def test_a_closed_message_ends_its_task_and_those_of_its_deliveries(self, store):
        done = await keep(store, 1, state=MessageState.PARKED)
        await store.close_message(done.messages[0], "op", "by post", T0 + MINUTE)
        message, _ = await park_delivery(store, 2)
        await store.close_message(message, "op", "by post", T0 + MINUTE)
        assert await store.tasks() == []
        assert [task.closed_as for task in await store.tasks(ended=True)] == ["closed by op"] * 2
        status = await store.status(T0)
        assert (status.differences, status.tasks) == ((), ())

    async def test_it_is_open_after_a_restart(self, store, reopened):
        await keep(store, 1, state=MessageState.PARKED)
        before = await store.tasks()
        await store.close()
        again = await reopened()
        assert await again.tasks() == before
        # Ids go on behind those of tasks.
        assert (await keep(again, 2)).envelope > before[0].id

    async def test_a_batch_that_parks_much_makes_a_task_for_each(self, store):
        await asyncio.gather(*[keep(store, n, state=MessageState.PARKED, patient=n) for n in range(60)])
        tasks = await store.tasks(most=100)
        assert len({task.about for task in tasks}) == 60
        assert (await store.status(T0)).differences == ()

    @pytest.mark.parametrize("what", ["message", "delivery"])
    async def test_nobody_else_opens_or_ends_a_task_about_what_is_parked(self, store, what):
        with pytest.raises(StoreError):
            await store.raise_task(what, "M740", T0, about=7)
        with pytest.raises(StoreError):
            await store.close_task(what, "gone", T0, about=7)

    async def test_a_task_about_what_is_parked_is_not_done_before_that_is(self, store):
        await keep(store, 1, state=MessageState.PARKED)
        (task,) = await store.tasks()
        with pytest.raises(StoreError) as raised:
            await store.finish_task(task.id, "op", "done", T0)
        assert raised.value.code == "S230"
        assert await store.tasks() == [task]

    # --- raised by their subject --------------------------------------------------------------------------

    async def test_a_task_is_raised_once_while_it_is_open(self, store):
        first = await store.raise_task("feed", "D970", T0, name="a/mllp")
        assert await store.raise_task("feed", "D970", T0 + HOUR, name="a/mllp") == first
        assert await store.raise_task("feed", "D970", T0 + HOUR, name="b/mllp") != first
        assert await store.raise_task("gap", "D971", T0, name="a/mllp") != first
        assert len(await store.tasks()) == 3
        assert await store.close_task("feed", "heard again", T0 + HOUR, name="a/mllp")
        assert not await store.close_task("feed", "heard again", T0 + HOUR, name="a/mllp")
        assert await store.raise_task("feed", "D970", T0 + 2 * HOUR, name="a/mllp") != first
        assert (await store.status(T0)).differences == ()

    async def test_what_gets_worse_is_the_same_task_and_worse(self, store):
        first = await store.raise_task("feed", "D970", T0, name="a/mllp", deadline=T0 + 3 * HOUR)
        for severity, deadline in (("high", None), ("critical", T0 + HOUR), ("normal", T0 + 2 * HOUR)):
            assert (
                await store.raise_task("feed", "D970", T0, name="a/mllp", severity=severity, deadline=deadline) == first
            )
        (task,) = await store.tasks()
        assert (task.severity, task.deadline) == ("critical", T0 + HOUR)

    async def test_who_raises_it_may_say_whose_it_is(self, store):
        await store.raise_task("clock", "summary-24h", T0, about=7, queue="ward-seven", severity="high")
        (task,) = await store.tasks(queue="ward-seven")
        assert (task.queue, task.severity, task.about) == ("ward-seven", "high", 7)
        assert await store.tasks(queue="operations") == []

    async def test_the_most_urgent_stand_first(self, store):
        for n, (severity, hours) in enumerate((("normal", 1), ("critical", 9), ("high", 2), ("critical", 3))):
            await store.raise_task(
                "feed", "D970", T0, name=f"f{n}", severity=severity, deadline=T0 + timedelta(hours=hours)
            )
        assert [task.name for task in await store.tasks()] == ["f3", "f1", "f2", "f0"]
        assert [task.name for task in await store.tasks(most=1)] == ["f3"]

    # --- people -------------------------------------------------------------------------------------------

    async def test_of_two_who_take_it_one_has_it(self, store):
        task = await store.raise_task("feed", "D970", T0, name="a/mllp")
        taken = await asyncio.gather(store.take_task(task, "ann", T0), store.take_task(task, "bob", T0))
        assert sorted(taken) == [False, True]
        (open_,) = await store.tasks()
        assert open_.holder == ("ann" if taken[0] else "bob")
        assert await store.take_task(task, open_.holder, T0)

    async def test_a_task_is_done_once(self, store):
        task = await store.raise_task("feed", "D970", T0, name="a/mllp")
        assert await store.finish_task(task, "ann", "supplier rung", T0 + MINUTE)
        assert not await store.finish_task(task, "ann", "supplier rung", T0 + MINUTE)
        assert not await store.take_task(task, "bob", T0)
        assert not await store.take_task(999, "bob", T0)
        (ended,) = await store.tasks(ended=True)
        assert (ended.closed_at, ended.closed_as, ended.next_at) == (T0 + MINUTE, "supplier rung", None)

    # --- time ---------------------------------------------------------------------------------------------

    async def test_what_nobody_takes_goes_on_from_queue_to_queue(self, store):
        done = await keep(store, 1, state=MessageState.PARKED, code="M740")
        (task,) = await store.tasks()
        said = []
        while (at := await store.next_fire()) is not None and at <= T0 + 8 * HOUR:
            assert await store.fire(at - timedelta(microseconds=1)) == []
            said += [(at - T0, *_plain(fired)) for fired in await store.fire(at)]
        assert said == [
            (2 * HOUR, "handed_on", task.id, "operations"),
            (6 * HOUR, "handed_on", task.id, "safety"),
            (7 * HOUR, "unclaimed", task.id, "safety"),
            (8 * HOUR, "unclaimed", task.id, "safety"),
        ]
        moves = [line.moves for line in (await store.trace(done.messages[0])).lines if line.what == "task"]
        assert moves == ["records>operations unclaimed", "operations>safety unclaimed"]
        assert (await store.status(T0 + 8 * HOUR)).differences == ()

    async def test_what_somebody_has_stays_and_is_said_once_to_be_overdue(self, store):
        await keep(store, 1, state=MessageState.PARKED, code="M799")
        (task,) = await store.tasks()
        await store.take_task(task.id, "ann", T0 + HOUR)
        assert await store.next_fire() == task.deadline
        assert await store.fire(T0 + 5 * HOUR) == []
        assert [_plain(fired) for fired in await store.fire(T0 + 9 * HOUR)] == [("overdue", task.id, "operations")]
        assert await store.next_fire() is None
        assert (await store.status(T0 + 9 * HOUR)).differences == ()

    async def test_what_is_done_in_time_is_never_heard_of_again(self, store):
        done = await keep(store, 1, state=MessageState.PARKED)
        await store.close_message(done.messages[0], "op", "by post", T0 + HOUR)
        assert await store.next_fire() is None
        assert await store.fire(T0 + 100 * HOUR) == []

    async def test_a_year_down_hands_on_by_one_queue_and_not_by_many(self, store):
        await keep(store, 1, state=MessageState.PARKED, code="M740")
        assert [fired.queue for fired in await store.fire(T0 + timedelta(days=365))] == ["operations"]
        assert await store.next_fire() == T0 + timedelta(days=365) + 4 * HOUR

    async def test_much_that_is_due_comes_in_portions_the_longest_waiting_first(self, store):
        for n in range(5):
            await store.raise_task("feed", "D970", T0 + n * MINUTE, name=f"f{n}")
        due = T0 + timedelta(days=1)
        first, second = await store.fire(due, 3), await store.fire(due, 3)
        assert [len(first), len(second)] == [3, 2]
        assert [fired.task for fired in (*first, *second)] == sorted(fired.task for fired in (*first, *second))


def _plain(fired: Fired):
    return fired.kind, fired.task, fired.queue
