"""What every store must do with what people put right, written against the port alone."""

from datetime import timedelta

import pytest
from store_cases import FEED, MINUTE, T0, a_patient, a_reading, an_answer, an_envelope, an_outcome, keep, key_of, take

from mhbridge.model import DeliveryState, MessageState
from mhbridge.ports import Move, ParkedCause

SECOND = timedelta(seconds=1)
EVENT = "encounter-event"


async def worked(store, outcome, now=T0):
    """Work the one message that waits."""
    (pending,) = await store.begin(await store.waiting(now, 10), now, now + MINUTE)
    await store.settle([(pending, outcome)], now, {"gp": 3600.0})
    return pending


async def delivered(store, now=T0):
    await store.finish([Move(one.id, DeliveryState.DONE, level=2) for one in await take(store, now)], now)


class RepairingContract:
    # --- reprocess ----------------------------------------------------------------------------------------

    async def test_what_is_parked_is_worked_again_and_its_task_ends(self, store):
        done = await keep(store, 1, state=MessageState.PARKED, code="M710")
        assert len(await store.tasks()) == 1
        assert await store.reprocess(done.messages, "Ada Test", T0) == list(done.messages)
        assert await store.tasks() == []
        assert await store.reprocess(done.messages, "Ada Test", T0) == []
        pending = await worked(store, an_outcome(1, "gp"))
        assert (pending.historic, pending.starts) == (True, 1)
        trace = await store.trace(done.messages[0])
        assert (trace.message.state, trace.message.code, trace.message.fanout) == ("done", "", 1)
        story = [(line.moves, line.who) for line in trace.lines if line.what == "message"]
        assert story == [
            (">parked M710", "gateway"),
            ("parked>stored again", "Ada Test"),
            ("stored>done, 1 queued, historic", "gateway"),
        ]
        assert (await store.status(T0)).differences == ()

    async def test_what_is_parked_again_has_a_task_again(self, store):
        done = await keep(store, 1, state=MessageState.PARKED, code="M710")
        await store.reprocess(done.messages, "Ada Test", T0)
        await worked(store, an_outcome(1, state=MessageState.PARKED, code="M720"))
        assert [task.cause for task in await store.tasks()] == ["M720"]
        assert (await store.status(T0)).differences == ()

    async def test_of_what_is_done_only_what_is_new_is_sent(self, store):
        done = await keep(store, 1, "gp", "ward")
        await delivered(store)
        await store.reprocess(done.messages, "Ada Test", T0)
        await worked(store, an_outcome(1, "gp", "ward", "lab"))
        trace = await store.trace(done.messages[0])
        assert trace.message.deliveries == {"done": 2, "queued": 1}
        assert [row["destination"] for row in trace.deliveries] == ["gp", "ward", "lab"]
        await delivered(store)
        await store.reprocess(done.messages, "Ada Test", T0)
        await worked(store, an_outcome(1, "gp", "ward", "lab"))
        trace = await store.trace(done.messages[0])
        assert (trace.message.deliveries, trace.message.fanout, len(trace.documents)) == ({"done": 3}, 3, 2)
        await store.reprocess(done.messages, "Ada Test", T0)
        await worked(store, an_outcome(2, "gp", series="series 1"))
        trace = await store.trace(done.messages[0])
        assert trace.message.deliveries == {"done": 3, "queued": 1}
        assert [document["version"] for document in trace.documents] == [1, 2, 3]
        assert (await store.status(T0)).differences == ()

    async def test_what_it_said_before_no_longer_serves(self, store):
        done = await keep(store, 1, readings=[a_reading({"ward": "Elm", "bed": "4"})])
        await keep(store, 2, readings=[a_reading({"site": "North"})])
        assert (await store.known(a_patient(), "V1", EVENT)).items == {"ward": "Elm", "bed": "4", "site": "North"}
        await store.reprocess(done.messages, "Ada Test", T0)
        assert (await store.known(a_patient(), "V1", EVENT)).items == {"site": "North"}
        await worked(store, an_outcome(1, readings=[a_reading({"ward": "Oak"})]))
        assert (await store.known(a_patient(), "V1", EVENT)).items == {"ward": "Oak", "site": "North"}

    async def test_one_after_the_other_so_many_a_second_and_at_once_when_something_newer_comes(self, store):
        parked = [await keep(store, n, patient=n, state=MessageState.PARKED, code="M710") for n in range(4)]
        messages = [about for done in parked for about in done.messages]
        await store.reprocess(messages, "Ada Test", T0, every=10.0)
        assert [len(await store.waiting(T0 + n * SECOND, 10)) for n in (0, 9, 10, 30)] == [1, 1, 2, 4]
        assert await store.next_waiting(T0) == T0 + 10 * SECOND
        # Its patient's next message does not wait for that.
        await keep(store, 9, patient=3, state=MessageState.STORED)
        assert [pending.id for pending in await store.waiting(T0, 10)] == [messages[0], messages[3]]

    @pytest.mark.parametrize("state", ["stored", "closed", "nowhere"])
    async def test_what_is_under_way_or_was_closed_is_left_alone(self, store, state):
        began = MessageState.STORED if state == "stored" else MessageState.PARKED
        done = await keep(store, 1, state=began, code="M710")
        about = done.messages[0]
        if state == "closed":
            await store.close_message(about, "Ada Test", "sent by hand", T0)
        assert await store.reprocess([about if state != "nowhere" else 1_000_000], "Ada Test", T0) == []

    # --- triage -------------------------------------------------------------------------------------------

    async def test_what_waits_is_grouped_by_why_it_does(self, store):
        assert await store.parked_causes() == []
        first = [await keep(store, n, state=MessageState.PARKED, code="M710", at=T0 + n * MINUTE) for n in range(3)]
        second = await keep(store, 5, state=MessageState.PARKED, code="M750", patient=2)
        sent = await keep(store, 6, "gp", patient=3)
        (delivery,) = await take(store, T0)
        await store.finish([Move(delivery.id, DeliveryState.PARKED, "D951")], T0)
        assert await store.parked_causes() == [
            ParkedCause("message", "M710", FEED, "", 3, T0, "", first[0].messages[0]),
            ParkedCause("message", "M750", FEED, "", 1, T0, "", second.messages[0]),
            ParkedCause("delivery", "D951", FEED, "", 1, T0, "gp", sent.messages[0]),
        ]
        assert [cause.code for cause in await store.parked_causes()] == ["M710", "M750", "D951"]
        assert await store.parked_of("M710") == [done.messages[0] for done in first]
        assert await store.parked_of("M710", feed=FEED, most=2) == [done.messages[0] for done in first[:2]]
        assert await store.parked_of("M710", feed="other/feed") == []
        await store.reprocess(await store.parked_of("M710"), "Ada Test", T0)
        assert [cause.code for cause in await store.parked_causes()] == ["M750", "D951"]

    # --- resend -------------------------------------------------------------------------------------------

    async def test_a_message_is_sent_again_to_one_destination(self, store):
        done = await keep(store, 1, "gp", "ward")
        await delivered(store)
        assert await store.resend(done.messages[0], "Ada Test", T0, to="nowhere") == 0
        assert await store.resend(done.messages[0], "Ada Test", T0, to="ward") == 1
        assert [due.destination for due in await store.due(T0, 10)] == ["ward"]

    async def test_nothing_else_of_its_envelope_is_worked_again(self, store):
        outcomes = [an_outcome(n, patient=n, state=MessageState.PARKED, code="M710") for n in range(3)]
        done = await store.commit(an_envelope(1), key_of(1), outcomes, an_answer(), {})
        await store.reprocess(done.messages[1:2], "Ada Test", T0)
        (pending,) = await store.waiting(T0, 10)
        assert (pending.id, pending.number, pending.of) == (done.messages[1], 1, 3)
