"""What every store must do with messages that are durable first and worked after, written against the port alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from store_cases import (
    EVENT,
    FEED,
    MINUTE,
    T0,
    a_patient,
    a_reading,
    an_answer,
    an_envelope,
    an_outcome,
    keep,
    key_of,
)

from mhbridge.errors import StoreError
from mhbridge.model import Before, MessageState

SECOND = timedelta(seconds=1)
STORED = {"state": MessageState.STORED}
DEADLINES = {"gp": 3600.0}


async def begun(store, now=T0, most=100):
    return list(await store.begin(await store.waiting(now, most), now, now + MINUTE))


async def settled(store, pending, outcome, now=T0):
    await store.settle([(pending, outcome)], now, DEADLINES)


async def state_of(store, about):
    return (await store.trace(about)).message


def balanced(status):
    assert status.differences == ()
    return status


class BacklogContract:
    async def test_what_is_stored_waits_with_all_that_is_needed_to_work_it(self, store):
        envelope = replace(an_envelope(1), before=Before(3, 4, 5))
        done = await store.commit(envelope, key_of(1), [an_outcome(1, **STORED)], an_answer(), {})
        (pending,) = await store.waiting(T0, 10)
        assert (pending.id, pending.envelope, pending.number) == (done.messages[0], done.envelope, 0)
        assert (pending.feed, pending.received_at, pending.due_at) == (FEED, T0, T0)
        assert (pending.state, pending.starts, pending.historic) == (MessageState.STORED, 0, False)
        assert await store.envelope(pending.envelope) == envelope
        assert await store.envelope(1_000_000) is None

    async def test_what_is_done_or_parked_does_not_wait(self, store):
        for number, state in enumerate((MessageState.DONE, MessageState.PARKED, MessageState.FILTERED)):
            await keep(store, number, state=state)
        assert await store.waiting(T0 + MINUTE, 10) == []
        assert await store.next_waiting(T0 - MINUTE) is None

    async def test_what_is_in_hand_is_given_to_nobody_else_until_its_time_has_passed(self, store):
        await keep(store, 1, **STORED)
        seen = await store.waiting(T0, 10)
        (taken,) = await store.begin(seen, T0, T0 + MINUTE)
        assert (taken.starts, taken.due_at) == (1, T0 + MINUTE)
        assert await store.begin(seen, T0, T0 + MINUTE) == []
        assert await store.waiting(T0 + 59 * SECOND, 10) == []
        assert await store.next_waiting(T0) == T0 + MINUTE
        (again,) = await begun(store, T0 + MINUTE)
        assert again.starts == 2

    async def test_what_is_settled_is_as_if_it_had_been_worked_at_once(self, store):
        reading = a_reading({"ward": "Elm"})
        await keep(store, 1, "gp", readings=[reading])
        other = replace(an_outcome(2, "gp", patient=2), readings=(replace(reading, patient=a_patient(2)),))
        done = await store.commit(
            an_envelope(2), key_of(2), [replace(other, state=MessageState.STORED, **NOTHING)], an_answer(), DEADLINES
        )
        assert (await store.known(a_patient(2), "V1", EVENT)).items == {}
        (pending,) = await begun(store)
        await settled(store, pending, other)
        assert (await store.known(a_patient(2), "V1", EVENT)).items == {"ward": "Elm"}
        (first,), after = await store.messages(search="C1"), await store.trace(done.messages[0])
        message = after.message
        assert message.deliveries == first.deliveries == {"queued": 1}
        assert (message.state, message.fanout, message.mapping) == (first.state, first.fanout, first.mapping)
        assert [line.moves for line in after.lines if line.what == "message"] == [">stored", "stored>done, 1 queued"]
        assert len(await store.due(T0, 10)) == 2
        balanced(await store.status(T0))

    async def test_its_deadline_counts_from_receipt(self, store):
        await keep(store, 1, **STORED)
        (pending,) = await begun(store, T0 + MINUTE)
        await settled(store, pending, an_outcome(1, "gp"), T0 + MINUTE)
        (due,) = await store.due(T0 + MINUTE, 10)
        assert due.deadline == T0 + timedelta(hours=1)

    @pytest.mark.parametrize("state", ["parked", "filtered", "superseded"])
    async def test_it_ends_as_its_outcome_says(self, store, state):
        done = await keep(store, 1, **STORED)
        (pending,) = await begun(store)
        await settled(store, pending, an_outcome(1, state=MessageState(state), code="M721"))
        row = await state_of(store, done.messages[0])
        assert (row.state, row.code) == (state, "M721")
        assert await store.waiting(T0 + 60 * MINUTE, 10) == []
        assert balanced(await store.status(T0 + 60 * MINUTE)).messages == {state: 1}

    async def test_who_comes_too_late_changes_nothing(self, store):
        done = await keep(store, 1, **STORED)
        (late,) = await begun(store)
        (taken,) = await begun(store, T0 + MINUTE)
        for pending in (late, replace(late, starts=2)):
            with pytest.raises(StoreError) as raised:
                await settled(store, pending, an_outcome(1, "gp"), T0 + MINUTE)
            assert raised.value.code == "S213"
        await settled(store, taken, an_outcome(1, "gp"), T0 + MINUTE)
        with pytest.raises(StoreError):
            await settled(store, taken, an_outcome(1, "gp"), T0 + MINUTE)
        assert (await state_of(store, done.messages[0])).fanout == 1
        balanced(await store.status(T0))

    async def test_of_several_all_are_settled_or_none(self, store):
        for number in (1, 2):
            await keep(store, number, patient=number, **STORED)
        first, second = await begun(store)
        with pytest.raises(StoreError):
            await store.settle(
                [(first, an_outcome(1, "gp")), (replace(second, starts=9), an_outcome(2, "gp"))], T0, DEADLINES
            )
        assert balanced(await store.status(T0)).messages == {"stored": 2}
        await store.settle([(first, an_outcome(1, "gp")), (second, an_outcome(2, "gp"))], T0, DEADLINES)
        assert balanced(await store.status(T0)).messages == {"done": 2}

    # --- starts -------------------------------------------------------------------------------------------

    async def test_the_third_start_parks(self, store):
        done = await keep(store, 1, **STORED)
        for start in range(2):
            (taken,) = await begun(store, T0 + start * MINUTE)
            assert taken.starts == start + 1
        assert await begun(store, T0 + 2 * MINUTE) == []
        row = await state_of(store, done.messages[0])
        assert (row.state, row.code) == ("parked", "M780")
        assert balanced(await store.status(T0)).messages == {"parked": 1}

    async def test_a_start_is_counted_even_by_a_store_that_is_opened_again(self, store, reopened):
        await keep(store, 1, **STORED)
        await begun(store)
        await store.close()
        other = await reopened()
        assert await other.waiting(T0 + SECOND, 10) == []
        await other.recover(T0 + SECOND)
        (pending,) = await other.waiting(T0 + SECOND, 10)
        assert pending.starts == 1

    async def test_a_message_may_come_with_a_start(self, store):
        await store.commit(an_envelope(1), key_of(1), [an_outcome(1, **STORED)], an_answer(), {}, starts=1)
        (taken,) = await begun(store)
        assert taken.starts == 2

    async def test_what_is_put_back_is_due_again_and_its_start_counts_or_not(self, store):
        await keep(store, 1, **STORED)
        for counted, starts in ((False, 0), (True, 1), (False, 1)):
            (taken,) = await begun(store)
            await store.put_back([taken], T0, counted=counted)
            (pending,) = await store.waiting(T0, 10)
            assert (pending.starts, pending.due_at) == (starts, T0)

    async def test_what_is_not_in_hand_is_not_put_back(self, store):
        done = await keep(store, 1, **STORED)
        (taken,) = await begun(store)
        (again,) = await begun(store, T0 + MINUTE)
        await store.put_back([taken], T0, counted=False)
        assert await store.waiting(T0 + MINUTE, 10) == []
        await settled(store, again, an_outcome(1))
        await store.put_back([again], T0, counted=True)
        assert (await state_of(store, done.messages[0])).state == "done"

    async def test_what_ends_well_has_no_starts(self, store):
        await keep(store, 1, **STORED)
        (taken,) = await begun(store)
        await settled(store, taken, an_outcome(1, state=MessageState.HELD, due_at=T0 + MINUTE))
        (held,) = await store.waiting(T0 + MINUTE, 10)
        assert (held.state, held.starts, held.due_at) == ("held", 0, T0 + MINUTE)

    # --- order --------------------------------------------------------------------------------------------

    async def test_of_each_patient_the_first_is_given(self, store):
        for number, patient in enumerate((1, 1, 2, 1, 2, None, None)):
            await keep(store, number, patient=patient, **STORED)
        worked = []
        while taken := await begun(store):
            assert len({pending.patient for pending in taken}) == len(taken)
            worked += taken
            for pending in taken:
                await settled(store, pending, an_outcome(pending.id))
        for patient in {pending.patient for pending in worked}:
            own = [pending.id for pending in worked if pending.patient == patient]
            assert own == sorted(own)
        assert len(worked) == 7

    async def test_while_one_is_in_hand_no_other_of_its_patient_is_given(self, store):
        await keep(store, 1, **STORED)
        await keep(store, 2, **STORED)
        await keep(store, 3, patient=2, **STORED)
        first, other = await begun(store)
        assert await store.waiting(T0, 10) == []
        await settled(store, other, an_outcome(3, patient=2))
        assert await store.waiting(T0, 10) == []
        await settled(store, first, an_outcome(1))
        assert len(await store.waiting(T0, 10)) == 1

    async def test_of_one_envelope_a_patients_messages_are_given_together_and_numbered(self, store):
        outcomes = [an_outcome(n, patient=patient, **STORED) for n, patient in enumerate((1, 2, 1, 3, 2, 1))]
        await store.commit(an_envelope(1), key_of(1), outcomes, an_answer(), {})
        await keep(store, 2, patient=1, **STORED)
        given = await store.waiting(T0, 100)
        assert sorted(pending.number for pending in given) == [0, 1, 2, 3, 4, 5]
        for patient in {pending.patient for pending in given}:
            own = [pending.id for pending in given if pending.patient == patient]
            assert own == sorted(own)
        assert len(await store.waiting(T0, 3)) == 3
        assert len({pending.id for pending in await begun(store)}) == 6

    async def test_where_more_waits_than_is_asked_for_what_came_last_is_among_it(self, store):
        outcomes = [an_outcome(n, patient=n, **STORED) for n in range(30)]
        await store.commit(an_envelope(1), key_of(1), outcomes, an_answer(), {})
        late = await keep(store, 2, patient=99, at=T0 + SECOND, **STORED)
        given = await store.waiting(T0 + SECOND, 8)
        assert given[0].id == late.messages[0]
        assert [pending.number for pending in given[1:]] == [29, 0, 1, 2, 3, 4, 5]
        assert len({pending.id for pending in await store.waiting(T0 + SECOND, 100)}) == 31

    async def test_one_that_was_started_before_is_given_alone(self, store):
        outcomes = [an_outcome(n, **STORED) for n in range(3)]
        await store.commit(an_envelope(1), key_of(1), outcomes, an_answer(), {}, starts=1)
        (taken,) = await begun(store)
        assert taken.number == 0

    async def test_a_patient_is_busy_while_a_message_is_stored(self, store):
        assert not await store.busy([a_patient(1)])
        await keep(store, 1, **STORED)
        assert await store.busy([a_patient(2), a_patient(1)])
        assert not await store.busy([a_patient(2)])
        assert not await store.busy([])
        (taken,) = await begun(store)
        assert await store.busy([a_patient(1)])
        await settled(store, taken, an_outcome(1, state=MessageState.HELD, due_at=T0 + MINUTE))
        # It waits for one that comes later: that one may come.
        assert not await store.busy([a_patient(1)])

    # --- held ---------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("state", [MessageState.DONE, MessageState.STORED])
    async def test_what_is_held_waits_for_its_time_or_for_the_next_of_its_patient(self, store, state):
        await keep(store, 1, **STORED)
        (taken,) = await begun(store)
        await settled(store, taken, an_outcome(1, state=MessageState.HELD, due_at=T0 + 10 * MINUTE))
        await keep(store, 2, patient=2, state=state)
        assert taken.id not in [pending.id for pending in await store.waiting(T0 + MINUTE, 10)]
        await keep(store, 3, state=state, at=T0 + MINUTE)
        given = [pending.id for pending in await store.waiting(T0 + MINUTE, 10)]
        # After what has come, where that is still to be worked.
        assert (taken.id in given) == (state is MessageState.DONE)
        for pending in await begun(store, T0 + MINUTE):
            await settled(store, pending, an_outcome(pending.id), T0 + MINUTE)
        for pending in await begun(store, T0 + MINUTE):
            await settled(store, pending, an_outcome(pending.id), T0 + MINUTE)
        row = await store.trace(taken.id)
        assert row.message.state == "done"
        moves = [line.moves for line in row.lines if line.what == "message"]
        assert moves == [">stored", "stored>held", "held>stored", "stored>done"]
        balanced(await store.status(T0))

    async def test_what_is_held_first_and_followed_in_the_same_envelope_is_due(self, store):
        outcomes = [an_outcome(n, **STORED) for n in range(2)]
        await store.commit(an_envelope(1), key_of(1), outcomes, an_answer(), {})
        first, second = await begun(store)
        held = an_outcome(1, state=MessageState.HELD, due_at=T0 + 10 * MINUTE)
        await store.settle([(first, held), (second, an_outcome(2))], T0, {})
        assert [pending.id for pending in await store.waiting(T0, 10)] == [first.id]

    async def test_what_is_put_off_keeps_those_behind_it(self, store):
        await keep(store, 1, **STORED)
        (taken,) = await begun(store)
        await settled(store, taken, an_outcome(1, due_at=T0 + MINUTE, **STORED))
        assert await store.waiting(T0, 10) == []
        await keep(store, 2, at=T0 + SECOND, **STORED)
        # Something has come: it waits no longer, and goes first.
        assert [pending.id for pending in await store.waiting(T0 + SECOND, 10)] == [taken.id]

    # --- what was kept as one message ---------------------------------------------------------------------

    async def test_a_message_becomes_those_that_its_envelope_falls_into(self, store):
        done = await keep(store, 1, patient=None, **STORED)
        (pending,) = await begun(store)
        await store.divide(pending, [an_outcome(n, patient=n, **STORED) for n in (1, 2, 2)], T0)
        given = await store.waiting(T0, 10)
        assert [(one.number, one.of, one.starts, one.envelope) for one in given] == [
            (n, 3, 0, done.envelope) for n in range(3)
        ]
        assert given[0].id == done.messages[0]
        assert given[1].patient == given[2].patient != given[0].patient
        assert balanced(await store.status(T0)).messages == {"stored": 3}
        with pytest.raises(StoreError):
            await store.divide(pending, [an_outcome(1, **STORED)] * 2, T0)
        assert balanced(await store.status(T0)).messages == {"stored": 3}

    async def test_any_message_is_shown_as_if_it_waited(self, store):
        outcomes = [an_outcome(n, patient=n) for n in range(3)]
        done = await store.commit(an_envelope(1), key_of(1), outcomes, an_answer(), {})
        shown = await store.as_pending(done.messages[2])
        assert (shown.id, shown.envelope, shown.number, shown.of) == (done.messages[2], done.envelope, 2, 3)
        assert await store.as_pending(1_000_000) is None

    # --- C5 -----------------------------------------------------------------------------------------------

    async def test_a_message_that_nobody_works_is_found(self, store):
        await keep(store, 1, **STORED)
        balanced(await store.status(T0 + 29 * SECOND))
        (found,) = (await store.status(T0 + 31 * SECOND)).differences
        assert found.startswith("C5")

    async def test_one_that_waits_for_its_turn_is_not_forgotten(self, store):
        await keep(store, 1, **STORED)
        await keep(store, 2, **STORED)
        await begun(store, T0 + MINUTE)
        balanced(await store.status(T0 + 90 * SECOND))
        assert (await store.status(T0 + 4 * MINUTE)).differences


NOTHING = {"documents": (), "deliveries": (), "readings": ()}
