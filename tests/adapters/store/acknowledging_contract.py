"""What every store must do with what receivers say later, written against the port alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from store_cases import T0, an_answer, an_envelope, an_outcome, key_of, take

from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import Move

DAY = timedelta(days=1)
BUSINESS, INFRASTRUCTURE = 5, 4


async def sent(store, number=1, *, needs=BUSINESS, state=DeliveryState.AWAITING, remote_id="m-1"):
    """A delivery that was taken, and of which more is wanted. Its id and its message."""
    outcome = an_outcome(number, "gp")
    outcome = replace(outcome, deliveries=tuple(replace(one, needs=needs) for one in outcome.deliveries))
    done = await store.commit(an_envelope(number), key_of(number), [outcome], an_answer(), {"gp": 3600.0})
    (due,) = await take(store, T0)
    assert due.needs == needs
    if state is not DeliveryState.SENDING:
        due_at = None if state is DeliveryState.DONE else T0 + DAY
        await store.finish([Move(due.id, state, level=2, due_at=due_at, remote_id=remote_id)], T0)
    return due.id, done.messages[0]


class AcknowledgingContract:
    async def found(self, store, message):
        (delivery,) = (await store.trace(message)).deliveries
        assert (await store.status(T0)).differences == ()
        return delivery["state"], delivery["code"], delivery["level"]

    async def test_what_waits_for_it_is_done_with_it(self, store):
        _, message = await sent(store)
        assert await self.found(store, message) == ("awaiting", "", 2)
        assert await store.acknowledge("gp", "m-1", BUSINESS, T0)
        assert await self.found(store, message) == ("done", "", 5)

    async def test_a_level_only_rises(self, store):
        _, message = await sent(store)
        assert await store.acknowledge("gp", "m-1", INFRASTRUCTURE, T0)
        assert await self.found(store, message) == ("awaiting", "", 4)
        assert await store.acknowledge("gp", "m-1", 3, T0)
        assert await self.found(store, message) == ("awaiting", "", 4)
        assert await store.acknowledge("gp", "m-1", BUSINESS, T0)
        assert await store.acknowledge("gp", "m-1", INFRASTRUCTURE, T0)
        assert await self.found(store, message) == ("done", "", 5)

    async def test_the_next_of_the_patient_does_not_wait_for_it(self, store):
        await sent(store)
        _, second = await sent(store, 2, remote_id="m-2")
        assert await self.found(store, second) == ("awaiting", "", 2)

    async def test_what_waits_for_a_level_is_found_in_order_until_it_has_it(self, store):
        first, _ = await sent(store, needs=3)
        second, _ = await sent(store, 2, needs=3, remote_id="m-2")
        await sent(store, 3, needs=2, state=DeliveryState.DONE, remote_id="m-3")
        assert list(await store.awaited("gp", 3, 0, 10)) == [(first, "m-1"), (second, "m-2")]
        assert list(await store.awaited("gp", 3, 0, 1)) == [(first, "m-1")]
        assert list(await store.awaited("gp", 3, first, 1)) == [(second, "m-2")]
        assert list(await store.awaited("acute", 3, 0, 10)) == list(await store.awaited("gp", 4, 0, 10)) == []
        assert await store.acknowledge("gp", "m-1", 3, T0)
        assert list(await store.awaited("gp", 3, 0, 10)) == [(second, "m-2")]

    async def test_of_what_is_not_known_nothing_is_said(self, store):
        _, message = await sent(store)
        for destination, remote_id in (("gp", "m-2"), ("acute", "m-1"), ("gp", "")):
            assert not await store.acknowledge(destination, remote_id, BUSINESS, T0)
        assert await self.found(store, message) == ("awaiting", "", 2)

    async def test_a_refusal_is_for_a_person(self, store):
        delivery, message = await sent(store)
        assert await store.acknowledge("gp", "m-1", BUSINESS, T0, refused="D961")
        assert await self.found(store, message) == ("parked", "D961", 2)
        (task,) = await store.tasks()
        assert (task.what, task.about, task.cause) == ("delivery", delivery, "D961")

    async def test_a_refusal_of_what_was_done_with_is_for_a_person_too(self, store):
        delivery, message = await sent(store, needs=2, state=DeliveryState.DONE)
        assert await store.acknowledge("gp", "m-1", BUSINESS, T0, refused="D961")
        assert (await self.found(store, message))[0] == "done"
        (task,) = await store.tasks()
        assert (task.what, task.about, task.cause) == ("acknowledgement", delivery, "D961")

    async def test_it_proves_that_what_nobody_knew_of_arrived(self, store):
        delivery, message = await sent(store, state=DeliveryState.UNKNOWN)
        assert await store.acknowledge("gp", "m-1", BUSINESS, T0)
        assert await self.found(store, message) == ("done", "", 5)
        # A look that was in hand comes too late to say anything.
        with pytest.raises(StoreError, match="S212"):
            await store.finish([Move(delivery, DeliveryState.UNKNOWN, due_at=T0 + DAY)], T0)

    async def test_what_is_missing_is_somebodys_task_and_goes_on_waiting(self, store):
        delivery, message = await sent(store)
        assert await store.lapse(T0 + DAY - timedelta(seconds=1)) == []
        assert await store.lapse(T0 + DAY) == [delivery]
        assert await store.lapse(T0 + DAY) == []
        assert (await self.found(store, message))[:2] == ("awaiting", "D960")
        assert [(t.what, t.about, t.cause) for t in await store.tasks()] == [("acknowledgement", delivery, "D960")]
        assert await store.lapse(T0 + 2 * DAY) == [delivery]
        assert len(await store.tasks()) == 1
        # Late is better than never.
        assert await store.acknowledge("gp", "m-1", BUSINESS, T0 + 3 * DAY)
        assert (await self.found(store, message))[0] == "done"
        assert await store.tasks() == []
