"""
What every store must do, written against the port alone.

A store's own tests inherit it and give it two fixtures: `store`, and `reopened`, which opens the same store again.
"""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from store_cases import (
    EVENT,
    FEED,
    MINUTE,
    T0,
    Interrupt,
    SwallowedError,
    a_document,
    a_patient,
    a_reading,
    an_answer,
    an_envelope,
    an_outcome,
    keep,
    keep_reading,
    key_of,
    take,
)

from mhbridge.errors import StoreError
from mhbridge.mapping.known import moment
from mhbridge.model import (
    DELETED,
    NOTHING_KNOWN,
    UNKNOWN_ERROR,
    Act,
    Carry,
    DeliveryState,
    Issue,
    Key,
    MessageState,
    Planned,
    Severity,
)
from mhbridge.ports import Move, Original, Waiting


class StoreContract:
    # --- receipts -----------------------------------------------------------------------------------------

    async def test_a_commit_is_answered_and_found_again(self, store):
        done = await keep(store, 1, "gp")
        assert done.answer == replace(an_answer(), reference=str(done.envelope))
        assert not done.repeated
        assert len(done.messages) == 1
        assert await store.original(done.messages[0]) == b"original 1"
        assert await store.documents(done.messages[0]) == [a_document(1)]

    async def test_a_repeat_gets_the_first_answer_word_for_word(self, store):
        assert await store.repeat(an_envelope(1), key_of(1)) is None
        issues = (Issue("I602", Severity.WARNING, "code not in the table", "PV1-36", "outcome", "a.yaml:3:4"),)
        answer = replace(an_answer("with a word of warning"), code="I602", issues=issues)
        first = await store.commit(an_envelope(1), key_of(1), [an_outcome(1, "gp")], answer, {})
        again = await store.repeat(an_envelope(1, at=T0 + MINUTE), key_of(1))
        assert again == replace(first, repeated=True, answer=replace(first.answer, repeated=True))
        assert again.answer.issues == issues
        status = await store.status(T0)
        assert (status.receipts, status.repeats, sum(status.messages.values())) == (2, 1, 1)

    async def test_a_second_commit_of_one_key_writes_nothing(self, store):
        first = await keep(store, 1, "gp")
        again = await keep(store, 1, "gp", "ward", at=T0 + MINUTE)
        assert again == replace(first, repeated=True, answer=replace(first.answer, repeated=True))
        status = await store.status(T0)
        assert status.deliveries == {"queued": 1}
        assert status.differences == ()

    async def test_of_racing_duplicates_one_is_kept(self, store):
        done = await asyncio.gather(*[keep(store, n % 5, "gp") for n in range(50)])
        assert sum(not one.repeated for one in done) == 5
        assert {one.envelope for one in done} == {one.envelope for one in done if not one.repeated}
        assert {one.answer.reference for one in done} == {str(one.envelope) for one in done}
        status = await store.status(T0)
        assert (status.receipts, status.repeats, status.deliveries) == (50, 45, {"queued": 5})
        assert status.differences == ()

    async def test_an_envelope_of_many_messages_has_them_in_order(self, store):
        outcomes = [an_outcome(n, "gp", patient=n) for n in range(1, 4)]
        outcomes.append(an_outcome(4, patient=4, state=MessageState.PARKED, code="M702"))
        outcomes.append(an_outcome(5, patient=5, state=MessageState.FILTERED, code="R12"))
        done = await store.commit(an_envelope(1), key_of(1), outcomes, an_answer(), {})
        assert list(done.messages) == sorted(done.messages)
        rows = await store.messages()
        assert [row.id for row in rows] == list(reversed(done.messages))
        assert {row.envelope for row in rows} == {done.envelope}
        assert [row.state for row in rows] == ["filtered", "parked", "done", "done", "done"]

    async def test_an_envelope_without_messages_is_kept(self, store):
        done = await store.commit(an_envelope(1), key_of(1), [], an_answer(), {})
        assert done.messages == ()
        assert (await store.status(T0)).differences == ()

    async def test_a_refused_receipt_is_counted(self, store):
        await store.refuse(FEED, "M701", T0)
        status = await store.status(T0)
        assert (status.receipts, status.refusals, status.messages) == (1, 1, {})
        assert status.differences == ()

    @pytest.mark.parametrize("state", [MessageState.HELD, MessageState.CLOSED, MessageState.SUPERSEDED])
    async def test_a_message_begins_in_a_state_in_which_messages_begin(self, store, state):
        with pytest.raises(StoreError) as raised:
            await keep(store, 1, state=state)
        assert raised.value.code == "S212"
        assert (await store.status(T0)).receipts == 0

    async def test_a_delivery_of_a_document_that_is_not_there_is_refused(self, store):
        outcome = replace(an_outcome(1, "gp"), deliveries=(Planned(1, "gp"),))
        with pytest.raises(ValueError, match="document 1"):
            await store.commit(an_envelope(1), key_of(1), [outcome], an_answer(), {})
        assert (await store.status(T0)).receipts == 0

    async def test_a_reading_that_cannot_be_kept_exactly_is_refused_without_its_value(self, store):
        reading = a_reading({"weight": 71.5})
        with pytest.raises(TypeError) as raised:
            await keep_reading(store, 1, reading)
        assert "weight" in str(raised.value)
        assert "71" not in str(raised.value)

    # --- what is known ------------------------------------------------------------------------------------

    async def test_nothing_is_known_at_first(self, store):
        assert await store.known(a_patient(), "V1", EVENT) == NOTHING_KNOWN

    async def test_what_comes_after_a_place_is_said_one_by_one(self, store):
        days = ("2026-02-01", "2026-02-05", "2026-02-03")
        for number, day in enumerate(days):
            said = {"ward": day, "bed": str(number)}
            await keep_reading(store, number, a_reading(said, effective_at=f"{day}T10:00:00Z", sent_at="20260201"))
        at = moment("2026-02-03T10:00:00Z"), moment("20260201")
        for document, episode in ((EVENT, "V1"), ("", "")):
            whole = await store.known(a_patient(), episode, document)
            assert (whole.items, whole.later) == ({"ward": "2026-02-05", "bed": "1"}, ())
            late = await store.known(a_patient(), episode, document, at)
            assert late.items == {"ward": "2026-02-03", "bed": "2"}
            (after,) = late.later
            assert (after.items, after.place[1]) == ({"ward": "2026-02-05", "bed": "1"}, at[1])
            assert late.digest == whole.digest
            # Of equal places, what is at hand comes last.
            assert (await store.known(a_patient(), episode, document, after.place)) == whole
            first = await store.known(a_patient(), episode, document, (at[0] - 1, at[1]))
            assert [one.items["bed"] for one in first.later] == ["2", "1"]

    async def test_known_is_the_fold_of_the_earlier_readings(self, store):
        first = {"ward": "Elm", "dose": Decimal("1.10"), "bed": "4", "team": {"name": ["a"]}}
        await keep_reading(store, 1, a_reading(first, effective_at="2026-03-01T10:00:00Z"))
        second = {"bed": DELETED, "ward": UNKNOWN_ERROR, "team": {"name": ["b"]}}
        await keep_reading(store, 2, a_reading(second, effective_at="2026-03-02T10:00:00Z"))
        known = await store.known(a_patient(), "V1", EVENT)
        assert known.items == {"ward": UNKNOWN_ERROR, "dose": Decimal("1.10"), "team": {"name": ["b"]}}
        assert str(known.items["dose"]) == "1.10"

    @pytest.mark.parametrize(
        ("first", "second", "last"),
        [
            ({"effective_at": "2026-03-02"}, {"effective_at": "2026-03-01"}, 1),
            ({"effective_at": "2026-03-01T10:00:00+01:00"}, {"effective_at": "2026-03-01T09:30:00Z"}, 2),
            ({"sent_at": "20260303080100"}, {"sent_at": "20260303080000"}, 1),
            ({"effective_at": "2026-03-01", "sent_at": "2"}, {"effective_at": "2026-03-01", "sent_at": "1"}, 2),
            ({"effective_at": "2036-03-01"}, {"effective_at": "2026-03-03T09:00:01Z"}, 2),
            ({}, {}, 2),
        ],
        ids=["event time", "event time in two zones", "sent time", "arrival", "a clock years ahead", "no times"],
    )
    async def test_readings_fold_in_the_order_of_event_sending_and_arrival(self, store, first, second, last):
        await keep_reading(store, 1, a_reading({"n": 1}, **first))
        await keep_reading(store, 2, a_reading({"n": 2}, **second))
        assert (await store.known(a_patient(), "V1", EVENT)).items == {"n": last}

    async def test_what_a_letter_may_carry_is_said_reading_by_reading(self, store):
        later, first = "2026-03-03T08:00:00+00:00", "2026-03-01T08:00:00+00:00"
        said = {"ward": "ELM", "gp": "one", "other": "x"}
        for number, (items, others) in enumerate(
            [
                (said, {"effective_at": later}),
                (said | {"gp": DELETED}, {"effective_at": first}),
                (said | {"gp": "two"}, {"episode": "V2", "effective_at": later}),
                ({"other": "x"}, {}),
                (said, {"document": "note"}),
                (said, {"patient": a_patient(2)}),
            ]
        ):
            await keep_reading(store, number, a_reading(items, **others))
        carry = Carry("letter", {EVENT: (("ward",), ("gp",))})
        found = await store.said(a_patient(), "V1", carry)
        assert [one.items for one in found] == [
            {"ward": "ELM", "gp": DELETED},
            {"ward": "ELM", "gp": "one"},
            {"gp": "two"},
        ]
        assert [one.place[0] == one.recorded.at for one in found] == [True] * 3
        assert {(one.recorded.document, one.recorded.kind) for one in found} == {(EVENT, "ADT^A03")}
        traced = [await store.trace(one.recorded.message) for one in found]
        assert [one.message.received_at for one in traced] == [T0] * 3
        assert await store.said(a_patient(), "V1", Carry("letter", {})) == []

    async def test_known_is_the_same_however_often_it_is_asked_for(self, store, reopened):
        days = [5, 6, 3, 8, 8, 1, 9]
        for number, day in enumerate(days):
            items = {"n": number, f"day{day}": number, f"day{day - 1}": DELETED}
            await keep_reading(store, number, a_reading(items, effective_at=f"2026-02-{day:02}"))
            known = await store.known(a_patient(), "V1", EVENT)
            known.items.clear()
            again = await store.known(a_patient(), "V1", EVENT)
            assert again.items
            assert again.digest == known.digest
        await store.close()
        store = await reopened()
        assert await store.known(a_patient(), "V1", EVENT) == again
        assert again.items == {"n": 6, "day1": 5, "day3": 2, "day6": 1, "day9": 6}

    async def test_the_digest_names_the_readings_folded(self, store):
        await keep_reading(store, 1, a_reading({"n": 1}))
        before = await store.known(a_patient(), "V1", EVENT)
        assert await store.known(a_patient(), "V1", EVENT) == before
        await keep_reading(store, 2, a_reading({}))
        after = await store.known(a_patient(), "V1", EVENT)
        assert after.items == before.items
        assert after.digest != before.digest

    async def test_nothing_is_known_from_other_patients_episodes_and_documents(self, store):
        await keep_reading(store, 1, a_reading({"n": 1}))
        for patient, episode, document in [
            (a_patient(2), "V1", EVENT),
            (Key("other-mrn", a_patient().value), "V1", EVENT),
            (a_patient(), "V2", EVENT),
            (a_patient(), "V1", "mental-health-inpatient-discharge"),
        ]:
            assert await store.known(patient, episode, document) == NOTHING_KNOWN

    async def test_what_is_parked_or_says_nothing_is_not_known(self, store):
        await keep_reading(store, 1, a_reading({"n": 1}), state=MessageState.PARKED)
        await keep_reading(store, 2, a_reading({"n": 2}, act=Act.NONE))
        await keep_reading(store, 3, a_reading({"n": 3}, parked="M705"))
        await keep_reading(store, 4, a_reading({"n": 4}), state=MessageState.FILTERED)
        assert await store.known(a_patient(), "V1", EVENT) == NOTHING_KNOWN

    async def test_a_repeat_adds_nothing_to_what_is_known(self, store):
        await keep_reading(store, 1, a_reading({"n": 1}))
        known = await store.known(a_patient(), "V1", EVENT)
        await keep_reading(store, 1, a_reading({"n": 2}))
        assert await store.known(a_patient(), "V1", EVENT) == known

    # --- lanes --------------------------------------------------------------------------------------------

    async def test_what_is_due_has_all_that_a_sender_needs(self, store):
        done = await keep(store, 1, "gp")
        (due,) = await store.due(T0, 10)
        assert (due.message, due.destination, due.number) == (done.messages[0], "gp", 1)
        assert (due.state, due.attempts, due.document) == (DeliveryState.QUEUED, 0, a_document(1))
        assert due.deadline == T0 + timedelta(hours=1)
        assert due.original is not None
        assert due.original() == Original(b"original 1")
        assert await store.next_due() == T0

    async def test_each_message_of_an_envelope_knows_which_of_them_it_is(self, store):
        await keep(store, 9, "gp", patient=9)
        outcomes = [an_outcome(number, "gp", patient=number) for number in range(3)]
        done = await store.commit(an_envelope(1), key_of(1), outcomes, an_answer(), {"gp": 60.0})
        found = {due.message: due.original() for due in await store.due(T0, 10)}
        assert [found[message] for message in done.messages] == [Original(b"original 1", n, 3) for n in range(3)]

    async def test_a_lane_lets_one_go_at_a_time_in_order(self, store):
        for number in range(1, 4):
            await keep(store, number, "gp")
        seen = []
        while taken := await take(store, T0):
            assert len(taken) == 1
            assert await store.due(T0, 10) == []
            seen.append(taken[0].number)
            await store.finish([Move(taken[0].id, DeliveryState.DONE, level=2)], T0)
        assert seen == [1, 2, 3]
        assert await store.next_due() is None

    async def test_lanes_do_not_hold_each_other(self, store):
        for number in range(1, 4):
            await keep(store, number, "gp", "acute", patient=number)
            await keep(store, 10 + number, "gp", "acute", patient=number)
        taken = await take(store, T0)
        assert {(due.patient, due.destination) for due in taken} == {(d.patient, d.destination) for d in taken}
        assert len(taken) == 6
        assert len({(due.patient, due.destination) for due in taken}) == 6

    async def test_the_longest_waiting_is_due_first(self, store):
        for number, minutes in ((1, 3), (2, 1), (3, 2)):
            await keep(store, number, "gp", patient=number, at=T0 + minutes * MINUTE)
        due = await store.due(T0 + 2 * MINUTE, 10)
        assert [one.document.identifier[-1] for one in due] == ["2", "3"]
        assert len(await store.due(T0 + 5 * MINUTE, 2)) == 2

    async def test_where_much_waits_letters_go_before_events_and_the_sooner_due_first(self, store):
        """Also the letter that waits behind an event of the same patient: the event goes first, and then the letter."""
        for number, bundle, patient, deadline in (
            (1, "transaction", 1, 60.0),
            (2, "transaction", 2, 60.0),
            (3, "document", 2, 60.0),
            (4, "document", 3, 7200.0),
            (5, "document", 4, 3600.0),
        ):
            outcome = an_outcome(number, "gp", patient=patient)
            outcome = replace(outcome, documents=tuple(replace(one, bundle=bundle) for one in outcome.documents))
            at = T0 + number * MINUTE
            await store.commit(an_envelope(number, at=at), key_of(number), [outcome], an_answer(), {"gp": deadline})
        seen, now = [], T0 + 10 * MINUTE
        while due := await store.due(now, 10):
            await store.start([due[0].id], now, now)
            await store.finish([Move(due[0].id, DeliveryState.DONE, level=2)], now)
            seen.append(int(due[0].document.identifier[-1]))
        assert seen == [2, 3, 5, 4, 1]
        assert await store.next_due() is None
        assert (await store.status(now)).differences == ()

    async def test_messages_without_a_patient_share_no_lane(self, store):
        await keep(store, 1, "gp", patient=None)
        await keep(store, 2, "gp", patient=None)
        assert len(await take(store, T0)) == 2

    async def test_a_destination_may_be_left_out(self, store):
        await keep(store, 1, "gp", "acute")
        await keep(store, 2, "gp", "acute", patient=2, at=T0 + MINUTE)
        now = T0 + 2 * MINUTE
        assert [due.destination for due in await store.due(now, 10, without={"gp"})] == ["acute", "acute"]
        assert await store.next_due(without={"gp", "acute"}) is None
        assert await store.next_due(without={"gp"}) == T0

    async def test_a_retry_holds_its_own_lane_until_its_time(self, store):
        await keep(store, 1, "gp")
        await keep(store, 2, "gp")
        await keep(store, 3, "gp", patient=2)
        (first, other) = await take(store, T0)
        later = T0 + 5 * MINUTE
        moves = [
            Move(first.id, DeliveryState.RETRY, code="D901", due_at=later),
            Move(other.id, DeliveryState.DONE, level=2),
        ]
        await store.finish(moves, T0)
        assert await store.next_due() == later
        assert await take(store, T0 + 4 * MINUTE) == []
        again = await store.due(later, 10)
        assert (again[0].id, again[0].attempts, again[0].state) == (first.id, 1, DeliveryState.RETRY)

    async def test_a_try_that_is_not_burnt_is_not_counted(self, store):
        await keep(store, 1, "gp")
        for burnt, attempts in ((False, 0), (True, 1), (False, 1)):
            (due,) = await take(store, T0)
            await store.finish([Move(due.id, DeliveryState.RETRY, code="D944", due_at=T0, burnt=burnt)], T0)
            assert [one.attempts for one in await store.due(T0, 10)] == [attempts]

    async def test_a_parked_delivery_holds_its_own_lane_until_it_is_released(self, store):
        await keep(store, 1, "gp")
        await keep(store, 2, "gp")
        (first,) = await take(store, T0)
        await store.finish([Move(first.id, DeliveryState.PARKED, code="D904")], T0)
        assert await store.due(T0 + timedelta(days=1), 10) == []
        assert await store.next_due() is None
        assert await store.release(first.id, "operator-7", T0 + MINUTE)
        assert not await store.release(first.id, "operator-7", T0 + MINUTE)
        (again,) = await store.due(T0 + MINUTE, 10)
        assert again.id == first.id
        status = await store.status(T0 + MINUTE)
        assert status.differences == ()

    async def test_a_parked_delivery_makes_its_message_wait_for_a_person(self, store):
        """It holds its patient's lane: it must be on the list of what waits, and what is behind it must say so."""
        held = await keep(store, 1, "gp")
        behind = await keep(store, 2, "gp")
        alone = await keep(store, 3, state=MessageState.PARKED, code="M702", patient=2)
        (first,) = await take(store, T0)
        assert [row.id for row in await store.messages(state="parked")] == [alone.messages[0]]
        await store.finish([Move(first.id, DeliveryState.PARKED, code="D946")], T0)
        rows = await store.messages(state="parked")
        assert [row.id for row in rows] == [alone.messages[0], held.messages[0]]
        assert [row.state for row in rows] == ["parked", "done"]
        assert [row.waiting for row in rows] == [(), (Waiting(first.id, "gp", "D946"),)]
        assert await store.messages(state="parked", feed="nobody/adt") == []
        assert [row.id for row in await store.messages(state="parked", before=alone.messages[0])] == [first.message]
        assert [row.id for row in await store.messages(state="parked", search="C1")] == [first.message]
        assert await store.messages(state="parked", search="C2") == []
        assert len(await store.messages(state="parked", most=1)) == 1
        assert (await store.status(T0)).waiting == 2
        (waits,) = (await store.trace(behind.messages[0])).deliveries
        head = {"delivery": first.id, "message": first.message, "state": "parked", "code": "D946"}
        assert waits["behind"] == head
        assert (await store.trace(first.message)).deliveries[0]["behind"] is None
        # Another destination, another lane.
        (other,) = (await store.trace((await keep(store, 4, "ward")).messages[0])).deliveries
        assert other["behind"] is None
        await store.release(first.id, "operator-7", T0)
        assert [row.id for row in await store.messages(state="parked")] == [alone.messages[0]]
        assert (await store.status(T0)).waiting == 1

    async def test_a_closed_delivery_lets_its_lane_go_on(self, store):
        done = await keep(store, 1, "gp")
        await keep(store, 2, "gp")
        (first,) = await take(store, T0)
        await store.finish([Move(first.id, DeliveryState.PARKED, code="D904")], T0)
        assert await store.close_message(done.messages[0], "operator-7", "sent by post", T0)
        (second,) = await store.due(T0, 10)
        assert second.number == 2
        status = await store.status(T0)
        assert (status.deliveries, status.messages) == ({"closed": 1, "queued": 1}, {"done": 2})

    async def test_awaiting_leaves_the_lane(self, store):
        await keep(store, 1, "gp")
        await keep(store, 2, "gp")
        (first,) = await take(store, T0)
        answer_by = T0 + timedelta(days=2)
        await store.finish([Move(first.id, DeliveryState.AWAITING, level=1, due_at=answer_by, remote_id="M1")], T0)
        (second,) = await take(store, T0)
        assert second.number == 2
        await store.finish([Move(first.id, DeliveryState.DONE, level=5)], T0)
        await store.finish([Move(second.id, DeliveryState.DONE, level=2)], T0)
        status = await store.status(T0)
        assert (status.deliveries, status.acknowledged, status.differences) == ({"done": 2}, 2, ())

    async def test_an_answer_that_says_no_puts_it_back_into_its_lane(self, store):
        await keep(store, 1, "gp")
        await keep(store, 2, "gp")
        (first,) = await take(store, T0)
        await store.finish([Move(first.id, DeliveryState.AWAITING, level=1, due_at=T0 + MINUTE)], T0)
        await store.finish([Move(first.id, DeliveryState.PARKED, code="D905")], T0)
        assert await store.due(T0, 10) == []
        assert (await store.status(T0)).differences == ()

    # --- attempts -----------------------------------------------------------------------------------------

    async def test_only_due_heads_can_be_started(self, store):
        await keep(store, 1, "gp")
        await keep(store, 2, "gp")
        (head,) = await store.due(T0, 10)
        behind = head.id + 1_000_000
        assert await store.start([behind, head.id], T0 - MINUTE, T0) == []
        assert await store.start([head.id, head.id], T0, T0 + MINUTE) == [head.id]
        assert await store.start([head.id], T0, T0 + MINUTE) == []

    async def test_what_was_being_sent_at_a_crash_is_unknown_and_due(self, store):
        await keep(store, 1, "gp")
        await keep(store, 2, "gp", patient=2)
        (first, _) = await take(store, T0)
        await store.finish([Move(first.id, DeliveryState.DONE, level=2)], T0)
        assert await store.recover(T0) == 1
        assert await store.recover(T0) == 0
        (due,) = await store.due(T0, 10)
        assert (due.state, due.attempts) == (DeliveryState.UNKNOWN, 1)

    async def test_what_nobody_came_back_with_is_looked_up(self, store):
        await keep(store, 1, "gp")
        (first,) = await take(store, T0)
        assert await store.due(T0, 10) == []
        later = T0 + 2 * MINUTE
        (due,) = await store.due(later, 10)
        assert (due.id, due.state) == (first.id, DeliveryState.SENDING)
        assert len(await take(store, later)) == 1
        assert await store.due(later, 10) == []
        (due,) = await store.due(later + MINUTE, 10)
        assert (due.state, due.attempts) == (DeliveryState.UNKNOWN, 1)
        await store.finish([Move(first.id, DeliveryState.RETRY, due_at=later)], later)
        (again,) = await take(store, later)
        assert again.state == DeliveryState.RETRY
        (sent,) = (await store.trace(again.message)).deliveries
        assert (sent["state"], sent["attempts"]) == ("sending", 2)

    @pytest.mark.parametrize("state", [DeliveryState.RETRY, DeliveryState.UNKNOWN, DeliveryState.AWAITING])
    async def test_what_goes_on_must_say_when(self, store, state):
        await keep(store, 1, "gp")
        (first,) = await take(store, T0)
        with pytest.raises(ValueError, match="no time"):
            await store.finish([Move(first.id, state)], T0)

    async def test_results_are_recorded_together_or_not_at_all(self, store):
        await keep(store, 1, "gp")
        await keep(store, 2, "gp", patient=2)
        one, two = await take(store, T0)
        await store.finish([Move(one.id, DeliveryState.DONE, level=2)], T0)
        moves = [Move(two.id, DeliveryState.DONE, level=2), Move(one.id, DeliveryState.RETRY, due_at=T0)]
        with pytest.raises(StoreError) as raised:
            await store.finish(moves, T0)
        assert raised.value.code == "S212"
        assert (await store.status(T0)).deliveries == {"done": 1, "sending": 1}

    async def test_a_result_of_nothing_is_refused(self, store):
        with pytest.raises(StoreError) as raised:
            await store.finish([Move(7, DeliveryState.DONE)], T0)
        assert raised.value.code == "S214"

    async def test_a_level_only_rises(self, store):
        done = await keep(store, 1, "gp")
        (first,) = await take(store, T0)
        await store.finish([Move(first.id, DeliveryState.AWAITING, level=4, due_at=T0, remote_id="M1")], T0)
        await store.finish([Move(first.id, DeliveryState.DONE, level=3)], T0)
        (delivery,) = (await store.trace(done.messages[0])).deliveries
        assert (delivery["level"], delivery["remote_id"]) == (4, "M1")

    # --- people -------------------------------------------------------------------------------------------

    async def test_resending_makes_new_deliveries_at_the_end_of_the_lane(self, store):
        done = await keep(store, 1, "gp", "acute")
        for first in await take(store, T0):
            await store.finish([Move(first.id, DeliveryState.DONE, level=2)], T0)
        await keep(store, 2, "gp")
        now = T0 + MINUTE
        assert await store.resend(done.messages[0], "operator-7", now) == 2
        assert await store.resend(done.messages[0], "operator-7", now) == 0
        gp = [due for due in await take(store, now) if due.destination == "gp"]
        assert [due.document for due in gp] == [a_document(2)]
        await store.finish([Move(gp[0].id, DeliveryState.DONE, level=2)], now)
        (again,) = await take(store, now)
        assert (again.number, again.document, again.deadline) == (3, a_document(1), now + timedelta(hours=1))
        assert (await store.status(now)).differences == ()

    async def test_an_old_version_is_not_sent_again(self, store):
        old = await keep(store, 1, "gp", series="stay")
        new = await keep(store, 2, "gp", series="stay")
        for _ in range(2):
            (due,) = await take(store, T0)
            await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
        assert await store.resend(old.messages[0], "operator-7", T0) == 0
        assert await store.resend(new.messages[0], "operator-7", T0) == 1
        versions = [(await store.trace(one.messages[0])).documents[0] for one in (old, new)]
        assert [document["version"] for document in versions] == [1, 2]
        assert versions[1]["replaces"] == versions[0]["id"]

    async def test_versions_of_a_series_are_numbered_also_within_one_envelope(self, store):
        outcomes = [an_outcome(n, "gp", series="stay") for n in (1, 2, 3)]
        done = await store.commit(an_envelope(1), key_of(1), outcomes, an_answer(), {})
        versions = [(await store.trace(message)).documents[0]["version"] for message in done.messages]
        assert versions == [1, 2, 3]

    async def test_a_parked_message_is_closed_once_with_a_reason(self, store):
        done = await keep(store, 1, state=MessageState.PARKED, code="M702")
        (message,) = done.messages
        assert await store.close_message(message, "operator-7", "sent by post", T0)
        assert not await store.close_message(message, "operator-7", "sent by post", T0)
        assert not await store.close_message(message + 100, "operator-7", "sent by post", T0)
        trace = await store.trace(message)
        assert (trace.message.state, trace.message.code) == (MessageState.CLOSED, "M702")
        assert trace.lines[-1].who == "operator-7"
        assert "sent by post" in trace.lines[-1].moves
        assert (await store.status(T0)).differences == ()

    async def test_what_is_not_parked_cannot_be_closed_or_released(self, store):
        done = await keep(store, 1, "gp")
        (due,) = await store.due(T0, 1)
        assert not await store.close_message(done.messages[0], "operator-7", "why not", T0)
        assert not await store.release(due.id, "operator-7", T0)
        assert not await store.release(due.id + 1_000_000, "operator-7", T0)

    async def test_messages_are_found_by_state_feed_and_place(self, store):
        for number in range(1, 7):
            state = MessageState.PARKED if number % 2 else MessageState.DONE
            feed = f"example-mental-health/{'adt' if number < 4 else 'mdm'}"
            envelope = an_envelope(number, feed=feed)
            await store.commit(envelope, key_of(number), [an_outcome(number, state=state)], an_answer(), {})

        async def found(**terms):
            return [int((await store.original(row.id)).split()[1]) for row in await store.messages(**terms)]

        assert await found() == [6, 5, 4, 3, 2, 1]
        assert await found(most=2) == [6, 5]
        assert await found(state="parked") == [5, 3, 1]
        assert await found(feed="example-mental-health/adt") == [3, 2, 1]
        assert await found(state="done", feed="example-mental-health/mdm") == [6, 4]
        assert await found(state="closed") == []
        assert await found(feed="nobody/nothing") == []
        third = (await store.messages(most=3))[-1]
        assert await found(before=third.id) == [3, 2, 1]
        assert await found(before=third.id, state="parked", most=1) == [3]

    async def test_a_trace_tells_the_story(self, store):
        issue = Issue("I602", Severity.WARNING, "code not in the table", "PV1-36")
        reading = a_reading({"n": 1})
        done = await keep(store, 1, "gp", issues=(issue,), readings=[reading])
        (due,) = await take(store, T0)
        await store.finish([Move(due.id, DeliveryState.RETRY, code="D901", due_at=T0 + MINUTE)], T0 + MINUTE / 2)
        (due,) = await take(store, T0 + MINUTE)
        await store.finish([Move(due.id, DeliveryState.DONE, level=2, remote_id="R7")], T0 + MINUTE)
        await store.repeat(an_envelope(1, at=T0 + 2 * MINUTE), key_of(1))
        trace = await store.trace(done.messages[0])
        assert trace.message.deliveries == {"done": 1}
        assert trace.message.mapping == reading.mapping
        assert [(line.what, line.moves) for line in trace.lines] == [
            ("envelope", "mllp: accepted"),
            ("message", ">done, 1 queued"),
            ("delivery", "queued>sending"),
            ("delivery", "sending>retry D901"),
            ("delivery", "retry>sending"),
            ("delivery", "sending>done"),
            ("repeat", ""),
        ]
        assert trace.lines[0].who == "sender.example"
        assert [dict(said) for said in trace.issues] == [
            {"code": "I602", "severity": "warning", "text": "code not in the table", "path": "PV1-36"}
        ]
        (delivery,) = trace.deliveries
        assert (delivery["destination"], delivery["state"], delivery["attempts"]) == ("gp", "done", 2)
        assert delivery["remote_id"] == "R7"
        (failed,) = delivery["tried"]
        assert (failed["n"], failed["result"], failed["ended_at"] - failed["started_at"]) == (1, "retry", MINUTE / 2)
        (document,) = trace.documents
        assert document["sha256"] == hashlib.sha256(a_document(1).body).hexdigest()

    async def test_what_is_not_there_is_not_found(self, store):
        assert await store.trace(7) is None
        assert await store.original(7) is None
        assert await store.documents(7) == []
        assert await store.resend(7, "operator-7", T0) == 0

    # --- accounts -----------------------------------------------------------------------------------------

    async def test_the_accounts_of_an_empty_store_are_even(self, store):
        status = await store.status(T0)
        assert (status.receipts, status.messages, status.deliveries, status.oldest_open) == (0, {}, {}, None)
        assert status.differences == ()

    async def test_what_is_past_its_deadline_is_overdue(self, store):
        await keep(store, 1, "gp")
        await keep(store, 2, "gp", patient=2)
        later = T0 + timedelta(minutes=59)
        (first, _) = await take(store, later)
        await store.finish([Move(first.id, DeliveryState.DONE, level=2)], later)
        assert (await store.status(later)).overdue == 0
        status = await store.status(T0 + timedelta(minutes=61))
        assert (status.overdue, status.acknowledged, status.oldest_open) == (1, 1, T0)
        assert status.late == {"gp": 1}

    async def test_the_oldest_open_is_a_parked_message_or_an_open_delivery(self, store):
        await keep(store, 1, "gp", at=T0 + MINUTE)
        assert (await store.status(T0)).oldest_open == T0 + MINUTE
        await keep(store, 2, state=MessageState.PARKED, at=T0)
        assert (await store.status(T0)).oldest_open == T0

    @pytest.mark.parametrize("how", ["swallow", "before", "after", "twice"])
    async def test_a_result_that_is_not_recorded_is_noticed(self, store, how):
        await keep(store, 1, "gp")
        broken = Interrupt(store, "finish", how)
        (due,) = await take(store, T0)
        with suppress(SwallowedError, StoreError):
            await broken.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
        status = await store.status(T0 + 3 * MINUTE)
        recorded = how in ("after", "twice")
        assert status.deliveries == ({"done": 1} if recorded else {"sending": 1})
        assert status.behind == ({} if recorded else {"gp": 1})

    async def test_what_nobody_takes_is_noticed(self, store):
        await keep(store, 1, "gp")
        assert (await store.status(T0 + MINUTE / 2)).behind == {}
        assert (await store.status(T0 + MINUTE)).behind == {"gp": 1}

    async def test_receipts_are_counted_whatever_became_of_them(self, store):
        assert await store.receipts() == 0
        await keep(store, 1, "gp")
        await keep(store, 1, "gp")
        await store.refuse(FEED, "M701", T0)
        assert await store.receipts() == 3

    async def test_a_message_that_nobody_works_is_noticed(self, store):
        await keep(store, 1, state=MessageState.STORED)
        assert (await store.status(T0)).differences == ()
        (difference,) = (await store.status(T0 + 2 * MINUTE)).differences
        assert difference.startswith("C5")

    async def test_the_log_holds(self, store):
        assert await store.verify_log() == 0
        await keep(store, 1, "gp")
        (due,) = await take(store, T0)
        await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
        await store.refuse(FEED, "M701", T0)
        assert await store.verify_log() == 4

    # --- opening again ------------------------------------------------------------------------------------

    async def test_all_of_it_is_there_after_opening_again(self, store, reopened):
        done = await keep(store, 1, "gp", readings=[a_reading({"n": 1})])
        await keep(store, 2, "gp")
        (first,) = await take(store, T0)
        before = await store.status(T0)
        await store.close()
        store = await reopened()
        assert await store.status(T0) == before
        assert (await store.known(a_patient(), "V1", EVENT)).items == {"n": 1}
        assert (await store.repeat(an_envelope(1), key_of(1))).envelope == done.envelope
        assert await store.recover(T0) == 1
        (due,) = await store.due(T0, 10)
        assert (due.id, due.state) == (first.id, DeliveryState.UNKNOWN)
        third = await keep(store, 3, "gp")
        assert third.envelope > done.envelope
        await store.verify_log()
        assert (await store.status(T0)).differences == ()

    async def test_a_closed_store_takes_nothing(self, store):
        await store.close()
        await store.close()
        for call in (keep(store, 1), store.status(T0), store.due(T0, 1), store.verify_log()):
            with pytest.raises(StoreError) as raised:
                await call
            assert raised.value.code == "S215"

    # --- audit --------------------------------------------------------------------------------------------

    async def test_what_is_audited_is_in_the_chained_log_and_found_again(self, store, reopened):
        done = await keep(store, 1, "gp")
        for number, (who, about) in enumerate([("a", 7), ("b", done.messages[0]), ("a", 10**17)]):
            await store.audit(who, "read original", about, T0 + number * MINUTE, why="asked: by the ward")
        await store.audit("c", "resend", 0, T0 + 3 * MINUTE)
        lines = await store.audited()
        assert [(line.who, line.about) for line in lines] == [
            ("c", 0),
            ("a", 10**17),
            ("b", done.messages[0]),
            ("a", 7),
        ]
        assert [(line.act, line.why) for line in lines[:2]] == [("resend", ""), ("read original", "asked: by the ward")]
        assert [line.about for line in await store.audited(who="a")] == [10**17, 7]
        assert [line.who for line in await store.audited(about=7)] == ["a"]
        assert [line.who for line in await store.audited(since=T0 + 2 * MINUTE)] == ["c", "a"]
        assert [line.who for line in await store.audited(before=lines[1].number, most=1)] == ["b"]
        assert "read original: asked: by the ward" in [
            line.moves for line in (await store.trace(done.messages[0])).lines
        ]
        assert await store.verify_log() == 5
        await store.close()
        again = await reopened()
        # What somebody only asked for was never there: its number is not in use.
        assert (await keep(again, 2)).envelope < 10**6
