"""What every store must do with the versions of a document, written against the port alone."""

from dataclasses import replace

import pytest
from store_cases import MINUTE, T0, a_document, a_patient, a_reading, an_answer, an_envelope, key_of, take

from mhbridge.errors import PastChanged, StoreError
from mhbridge.model import (
    DeliveryState,
    MessageFacts,
    MessageState,
    Outcome,
    Past,
    Planned,
    Withdrawal,
)
from mhbridge.ports import Move

STAY = "V1"
LETTER = "discharge-letter"


def a_version(number, *to, past=None, withdrawals=(), patient=1, stay=STAY, **others):
    """A message that makes a version of the letter of a stay, to be delivered to each of `to`."""
    document = replace(
        a_document(number, series=f"letter {stay}"), type=LETTER, bundle="document", content=b"says %d" % number,
        episode=stay, **others,
    )  # fmt: skip
    whose = a_patient(patient)
    return Outcome(
        facts=MessageFacts("hl7v2", "MDM^T02", control_id=f"C{number}"),
        state=MessageState.DONE,
        readings=(a_reading({"n": str(number)}, patient=whose, document=LETTER, episode=stay),),
        documents=(document,),
        deliveries=tuple(Planned(0, name) for name in to),
        patient=whose,
        episode=stay,
        past=() if past is None else (past,),
        withdrawals=tuple(withdrawals),
    )


async def keep_version(store, number, *to, **others):
    return await store.commit(an_envelope(number), key_of(number), [a_version(number, *to, **others)], an_answer(), {})


class SeriesContract:
    async def test_of_a_new_stay_there_is_nothing(self, store):
        assert await store.past(a_patient(), STAY) == Past(a_patient(), STAY)

    async def test_the_versions_of_a_stay_are_told_with_what_became_of_them(self, store):
        await keep_version(store, 1, "gp", "team")
        (gp, team) = sorted(await take(store, T0), key=lambda one: one.destination)
        await store.finish([Move(gp.id, DeliveryState.DONE, level=2)], T0)
        await store.finish([Move(team.id, DeliveryState.UNKNOWN, due_at=T0)], T0)
        await keep_version(store, 2, "gp")
        (series,) = (await store.past(a_patient(), STAY)).series
        assert (series.document, series.name) == (LETTER, a_document(1, series=f"letter {STAY}").series)
        first, second = series.versions
        assert (first.number, first.content, first.status, first.body) == (1, b"says 1", "final", b"")
        assert first.identifier == a_document(1).identifier
        became = {(one.destination, one.state, one.attempts) for one in first.sent}
        assert became == {("gp", DeliveryState.DONE, 1), ("team", DeliveryState.UNKNOWN, 1)}
        (waiting,) = second.sent
        assert (waiting.state, waiting.waits, waiting.may_have_left) == (DeliveryState.QUEUED, True, False)

    async def test_bodies_are_told_when_they_are_asked_for(self, store):
        await keep_version(store, 1, "gp")
        (series,) = (await store.past(a_patient(), STAY, bodies=True)).series
        assert [version.body for version in series.versions] == [a_document(1).body]

    async def test_other_patients_stays_and_events_are_not_told(self, store):
        await keep_version(store, 1, "gp", patient=2)
        await keep_version(store, 2, "gp", stay="V2")
        event = a_version(3, "gp", stay="V1")
        event = replace(event, documents=(replace(event.documents[0], bundle="transaction"),))
        await store.commit(an_envelope(3), key_of(3), [event], an_answer(), {})
        assert (await store.past(a_patient(), STAY)).series == ()

    async def test_what_has_not_left_is_withdrawn_before_what_is_new_joins_the_lane(self, store):
        first = await keep_version(store, 1, "gp")
        past = await store.past(a_patient(), STAY)
        (waiting,) = past.series[0].versions[0].sent
        gone = [Withdrawal(waiting.delivery, DeliveryState.SUPERSEDED)]
        second = await keep_version(store, 2, "gp", past=past, withdrawals=gone)
        (due,) = await store.due(T0, 10)
        assert due.message == second.messages[0]
        trace = await store.trace(first.messages[0])
        assert [one["state"] for one in trace.deliveries] == ["superseded"]
        assert f"queued>superseded: by message {second.messages[0]}" in {line.moves for line in trace.lines}
        assert (await store.status(T0)).differences == ()

    async def test_a_cancelled_delivery_is_not_sent_again(self, store):
        first = await keep_version(store, 1, "gp")
        past = await store.past(a_patient(), STAY)
        (waiting,) = past.series[0].versions[0].sent
        gone = [Withdrawal(waiting.delivery, DeliveryState.CANCELLED)]
        outcome = replace(a_version(2, past=past, withdrawals=gone), documents=())
        await store.commit(an_envelope(2), key_of(2), [outcome], an_answer(), {})
        assert await store.due(T0, 10) == []
        assert await store.resend(first.messages[0], "somebody", T0) == 0
        assert (await store.status(T0)).differences == ()

    @pytest.mark.parametrize("what", ["a version came", "a delivery began", "a delivery ended"])
    async def test_what_has_changed_since_the_step_was_told_is_not_stored(self, store, what):
        await keep_version(store, 1, "gp")
        if what == "a delivery ended":
            await take(store, T0)
        past = await store.past(a_patient(), STAY)
        if what == "a version came":
            await keep_version(store, 2, "gp")
        elif what == "a delivery began":
            await take(store, T0)
        else:
            (due,) = await store.due(T0 + 2 * MINUTE, 1)
            await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
        before = await store.status(T0)
        with pytest.raises(PastChanged):
            await keep_version(store, 3, "gp", past=past)
        assert await store.status(T0) == before
        # Told anew, it is.
        again = await keep_version(store, 3, "gp", past=await store.past(a_patient(), STAY))
        assert not again.repeated
        assert (await store.status(T0)).differences == ()

    async def test_the_same_past_serves_one_of_two(self, store):
        import asyncio

        past = await store.past(a_patient(), STAY)
        both = [keep_version(store, number, "gp", past=past) for number in (1, 2)]
        done = await asyncio.gather(*both, return_exceptions=True)
        assert sum(isinstance(one, PastChanged) for one in done) == 1
        (series,) = (await store.past(a_patient(), STAY)).series
        assert len(series.versions) == 1
        assert (await store.status(T0)).differences == ()

    async def test_what_has_left_cannot_be_withdrawn(self, store):
        await keep_version(store, 1, "gp")
        (due,) = await take(store, T0)
        with pytest.raises(StoreError) as raised:
            await keep_version(store, 2, "gp", withdrawals=[Withdrawal(due.id, DeliveryState.SUPERSEDED)])
        assert raised.value.code == "S212"
        assert (await store.status(T0)).differences == ()

    async def test_the_newest_version_of_a_message_is_sent_again_to_each_that_got_it(self, store):
        """Versions of one message, made because its receivers have to be told different things, do not replace each
        other."""
        one = a_version(1, "gp")
        both = replace(
            one,
            documents=(*one.documents, replace(one.documents[0], body=b"{}")),
            deliveries=(Planned(0, "gp"), Planned(1, "team")),
        )
        done = await store.commit(an_envelope(1), key_of(1), [both], an_answer(), {})
        for delivery in await take(store, T0):
            await store.finish([Move(delivery.id, DeliveryState.DONE, level=2)], T0)
        assert await store.resend(done.messages[0], "somebody", T0) == 2
