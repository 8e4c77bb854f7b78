"""What every store must do with identifiers that are merged, written against the port alone."""

import asyncio
from dataclasses import replace

import pytest
from clock_contract import a_clock
from series_contract import keep_version
from store_cases import EVENT, MINUTE, T0, a_patient, a_reading, an_answer, an_envelope, an_outcome, keep, key_of, take

from mhbridge.errors import PastChanged
from mhbridge.model import Act, DeliveryState, Joining, MessageState, Past
from mhbridge.ports import Move

ONE, TWO, THREE = a_patient(1), a_patient(2), a_patient(3)


async def merge(store, number, retired, survivor, *to, undone=False, past=None):
    """Commit a message that merges two identifiers, or parts them, as the store says that they stand."""
    past = past or await store.joining(retired, survivor, undone=undone)
    assert past.joining is not None
    outcome = replace(
        an_outcome(number, *to, patient=int(survivor.value[1:])), past=(past,), merges=(past.joining,)
    )  # fmt: skip
    return await store.commit(an_envelope(number), key_of(number), [outcome], an_answer(), {})


async def leaves(store):
    """Whose messages leave, in order, as long as there are any."""
    found = []
    while due := await store.due(T0, 1):
        await store.start([due[0].id], T0, T0 + MINUTE)
        await store.finish([Move(due[0].id, DeliveryState.DONE, level=2)], T0)
        found.append(due[0].message)
    return found


class MergeContract:
    async def test_strangers_are_apart(self, store):
        assert await store.joining(ONE, TWO) == Past(TWO, "", joining=Joining(ONE, TWO))
        assert await store.root(ONE) != await store.root(TWO)

    async def test_what_waits_under_both_leaves_before_the_merge_in_order(self, store):
        first = [(await keep(store, n, "gp", patient=1)).messages[0] for n in (1, 2)]
        second = [(await keep(store, n, "gp", patient=2)).messages[0] for n in (3, 4)]
        (merged,) = (await merge(store, 5, ONE, TWO, "gp")).messages
        after = [(await keep(store, n, "gp", patient=who)).messages[0] for n, who in ((6, 1), (7, 2))]
        assert await leaves(store) == [*second, *first, merged, *after]
        status = await store.status(T0)
        assert (status.differences, status.deliveries) == ((), {"done": 7})

    async def test_a_merge_may_be_undone_first_of_all_after_a_start(self, store, reopened):
        for number in (1, 2):
            await keep(store, number, patient=number)
        await merge(store, 3, ONE, TWO)
        await store.close()
        store = await reopened()
        assert await store.root(ONE) == await store.root(TWO)
        await asyncio.wait_for(merge(store, 4, ONE, TWO, undone=True), 20)
        assert await store.root(ONE) != await store.root(TWO)

    async def test_each_destination_is_a_lane_of_its_own(self, store):
        await keep(store, 1, "gp", patient=1)
        await keep(store, 2, "team", patient=2)
        await merge(store, 3, ONE, TWO, "gp", "team")
        assert len(await store.due(T0, 10)) == 2
        assert (await store.status(T0)).differences == ()

    async def test_a_parked_delivery_of_the_retired_holds_the_merge(self, store):
        (held,) = (await keep(store, 1, "gp", patient=1)).messages
        (delivery,) = await take(store, T0)
        await store.finish([Move(delivery.id, DeliveryState.PARKED, "D950")], T0)
        (merged,) = (await merge(store, 2, ONE, TWO, "gp")).messages
        assert await store.due(T0, 10) == []
        assert await store.release(delivery.id, "somebody", T0)
        assert await leaves(store) == [held, merged]

    @pytest.mark.parametrize("state", [DeliveryState.SENDING, DeliveryState.UNKNOWN])
    async def test_what_is_being_sent_is_in_the_way(self, store, state):
        await keep(store, 1, "gp", patient=1)
        (delivery,) = await take(store, T0)
        if state is DeliveryState.UNKNOWN:
            await store.finish([Move(delivery.id, state, due_at=T0)], T0)
        assert (await store.joining(ONE, TWO)).joining == Joining(ONE, TWO, busy=True)
        assert (await store.joining(TWO, ONE)).joining == Joining(TWO, ONE)

    async def test_what_begins_to_leave_meanwhile_refuses_the_merge(self, store):
        await keep(store, 1, "gp", patient=1)
        past = await store.joining(ONE, TWO)
        await take(store, T0)
        with pytest.raises(PastChanged):
            await merge(store, 2, ONE, TWO, past=past)
        assert await store.root(ONE) != await store.root(TWO)

    async def test_what_comes_together_with_the_merge_is_not_left_behind(self, store):
        past = await store.joining(ONE, TWO)
        done = await asyncio.gather(
            keep(store, 1, "gp", patient=1), merge(store, 2, ONE, TWO, "gp", past=past), return_exceptions=True
        )
        if isinstance(done[1], PastChanged):
            done[1] = await merge(store, 2, ONE, TWO, "gp")
        assert await leaves(store) == [done[0].messages[0], done[1].messages[0]]
        assert (await store.status(T0)).differences == ()

    async def test_what_is_known_of_one_is_known_of_both(self, store):
        await keep(store, 1, patient=1, readings=[a_reading({"ward": "Elm", "patient_key": "one"}, patient=ONE)])
        await keep(store, 2, patient=2, readings=[a_reading({"bed": "4", "patient_key": "two"}, patient=TWO)])
        assert (await store.known(TWO, "V1", EVENT)).items == {"bed": "4", "patient_key": "two"}
        await merge(store, 3, ONE, TWO)
        for patient in (ONE, TWO):
            assert (await store.known(patient, "V1", EVENT)).items == {"ward": "Elm", "bed": "4", "patient_key": "two"}
        await keep(store, 4, patient=1, readings=[a_reading({"ward": "Oak", "patient_key": "one"}, patient=ONE)])
        known = await store.known(TWO, "V1", EVENT)
        assert known.items == {"ward": "Oak", "bed": "4", "patient_key": "one"}
        # What says who somebody is, is taken from those of the identifier that stays.
        assert known.own == {"bed": "4", "patient_key": "two"}
        early = await store.known(TWO, "V1", EVENT, (0, 0))
        assert [one.own for one in early.later] == [False, True, False]

    async def test_a_merge_that_waits_has_its_turn_in_both(self, store):
        async def waits():
            return {one.id for one in await store.waiting(T0, 10)}

        async def works(about):
            pending = [one for one in await store.waiting(T0, 10) if one.id == about]
            (taken,) = await store.begin(pending, T0, T0 + MINUTE)
            await store.settle([(taken, an_outcome(about, patient=None))], T0, {})

        async def comes(number, patient, **more):
            reading = replace(a_reading({}, patient=patient), **more)
            done = await keep(
                store, number, state=MessageState.STORED, patient=int(patient.value[1:]), readings=[reading]
            )
            return done.messages[0]

        before = [await comes(1, ONE), await comes(2, TWO)]
        joined = await comes(3, TWO, act=Act.MERGE, merged_from=ONE)
        crossing = await comes(4, ONE, act=Act.MERGE, merged_from=TWO)
        after = [await comes(5, ONE), await comes(6, TWO)]
        stranger = await comes(7, THREE)
        assert await waits() == {*before, stranger}
        await works(before[1])
        assert await waits() == {before[0], stranger}
        await works(before[0])
        assert await waits() == {joined, stranger}
        for patient in (ONE, TWO, THREE):
            assert await store.busy([patient])
        await works(joined)
        assert await waits() == {crossing, stranger}
        await works(crossing)
        assert await waits() == {*after, stranger}

    async def test_of_a_chain_the_last_stays(self, store):
        await keep(store, 1, patient=1, readings=[a_reading({"ward": "Elm"}, patient=ONE)])
        await merge(store, 2, ONE, TWO)
        await merge(store, 3, TWO, THREE)
        assert await store.root(ONE) == await store.root(TWO) == await store.root(THREE)
        assert (await store.known(THREE, "V1", EVENT)).items == {"ward": "Elm"}
        assert (await store.joining(ONE, THREE)).joining == Joining(ONE, THREE, joined=True)

    async def test_a_circle_and_a_fork_are_contrary(self, store):
        await merge(store, 1, ONE, TWO)
        for retired, survivor in ((TWO, ONE), (ONE, THREE)):
            assert (await store.joining(retired, survivor)).joining == Joining(retired, survivor, contrary=True)
        await merge(store, 2, TWO, THREE)
        assert (await store.joining(THREE, ONE)).joining == Joining(THREE, ONE, contrary=True)

    async def test_an_undoing_parts_what_is_known_again(self, store):
        await keep(store, 1, patient=1, readings=[a_reading({"ward": "Elm"}, patient=ONE)])
        await merge(store, 2, ONE, TWO)
        await keep(store, 3, patient=2, readings=[a_reading({"bed": "4"}, patient=TWO)])
        assert (await store.joining(ONE, TWO, undone=True)).joining == Joining(ONE, TWO, undone=True, joined=True)
        await merge(store, 4, ONE, TWO, undone=True)
        assert (await store.known(ONE, "V1", EVENT)).items == {"ward": "Elm"}
        assert (await store.known(TWO, "V1", EVENT)).items == {"bed": "4"}
        assert await store.root(ONE) != await store.root(TWO)

    async def test_an_undoing_waits_for_all_that_waits(self, store):
        await merge(store, 1, ONE, TWO)
        await keep(store, 2, "gp", patient=1)
        parting = await store.joining(ONE, TWO, undone=True)
        assert parting.joining is not None
        assert parting.joining.busy

    async def test_documents_go_along_and_back(self, store):
        await keep_version(store, 1, "gp", patient=1)
        await keep_version(store, 2, "gp", patient=2, stay="V2")
        await merge(store, 3, ONE, TWO)
        for patient in (ONE, TWO):
            (series,) = (await store.past(patient, "V1")).series
            assert len(series.versions) == 1
        await keep_version(store, 4, "gp", patient=2)
        (series,) = (await store.past(ONE, "V1")).series
        assert len(series.versions) == 2
        assert len(await leaves(store)) == 3
        await merge(store, 5, ONE, TWO, undone=True)
        assert [len(one.versions) for one in (await store.past(ONE, "V1")).series] == [1]
        assert [len(one.versions) for one in (await store.past(TWO, "V1")).series] == [1]
        assert [len(one.versions) for one in (await store.past(TWO, "V2")).series] == [1]

    async def test_clocks_go_along_and_one_is_enough(self, store):
        await keep(store, 1, patient=1, deadlines=(a_clock("gp"),))
        await keep(store, 2, patient=1, deadlines=(a_clock("gp", episode="V2"),))
        await keep(store, 3, patient=2, deadlines=(a_clock("gp", patient=2),))
        (merged,) = (await merge(store, 4, ONE, TWO)).messages
        trace = await store.trace(merged)
        assert [clock.state for clock in trace.clocks] == ["running", "running"]
        await keep(store, 5, patient=1, deadlines=(a_clock("gp", episode="V2"),))
        status = await store.status(T0)
        assert (status.clocks, status.differences) == ({"summary-24h": {"running": 2, "cancelled": 1}}, ())

    async def test_a_merge_outlives_the_process(self, reopened):
        store = await reopened()
        await keep(store, 1, "gp", patient=1, readings=[a_reading({"ward": "Elm"}, patient=ONE)])
        await merge(store, 2, ONE, TWO, "gp")
        await store.close()
        again = await reopened()
        assert await again.root(ONE) == await again.root(TWO)
        assert (await again.known(TWO, "V1", EVENT)).items == {"ward": "Elm"}
        (later,) = (await keep(again, 3, "gp", patient=1)).messages
        assert (await leaves(again))[-1] == later
