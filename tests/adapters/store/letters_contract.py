"""What every store must do with letters that something has overtaken, written against the port alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from series_contract import LETTER, STAY, a_version
from store_cases import MINUTE, T0, a_patient, an_answer, an_envelope, an_outcome, key_of

from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState, Overtaken, Withdrawal
from mhbridge.ports import Move

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLACE = round(T0.timestamp() * 1_000_000)


async def a_letter(store, number, *, at=T0, before=None, **others):
    """A letter of a stay, done; `before`: when it was written, where what is newer holds it."""
    envelope = an_envelope(number, at=at)
    outcome = a_version(number, "gp", **others)
    if before is not None:
        outcome = replace(outcome, overtaken=(of("held", episode=outcome.episode, at=before),))
    committed = await store.commit(envelope, key_of(number), [outcome], an_answer(at=at), {})
    return committed.messages[0]


async def an_event(store, number, at, *overtaken):
    """A message that has overtaken letters."""
    outcome = replace(an_outcome(number), overtaken=tuple(overtaken))
    await store.commit(an_envelope(number, at=at), key_of(number), [outcome], an_answer(at=at), {})


async def again(store, now):
    """The messages that are to be worked again now."""
    return [one.task for one in await store.fire(now) if one.kind == "again"]


def of(then="again", *, episode=STAY, document=LETTER, patient=1, at=None):
    return Overtaken(a_patient(patient), episode, document, then, at)


async def stands(store, message):
    """(state, code) of what a message sends."""
    return [(one["state"], one["code"]) for one in (await store.trace(message)).deliveries]


class LettersContract:
    async def test_a_letter_is_worked_again_when_an_hour_is_over(self, store):
        letter = await a_letter(store, 1)
        await an_event(store, 2, T0 + 10 * MINUTE, of())
        await an_event(store, 3, T0 + 20 * MINUTE, of())
        assert await again(store, T0 + HOUR - MINUTE) == []
        assert await store.next_fire() == T0 + HOUR
        assert await again(store, T0 + HOUR) == [letter]
        trace = await store.trace(letter)
        assert trace.message.state == "stored"
        assert await again(store, T0 + 2 * HOUR) == []

    async def test_what_bears_on_safety_is_worked_again_at_once(self, store):
        letter = await a_letter(store, 1)
        await an_event(store, 2, T0 + 10 * MINUTE, of())
        await an_event(store, 3, T0 + 20 * MINUTE, of("now"))
        assert await again(store, T0 + 20 * MINUTE) == [letter]

    async def test_while_it_is_being_worked_it_waits(self, store):
        letter = await a_letter(store, 1)
        await an_event(store, 2, T0 + HOUR, of())
        assert await again(store, T0 + HOUR) == [letter]
        await an_event(store, 3, T0 + HOUR, of("now"))
        assert await again(store, T0 + HOUR) == []
        assert await store.next_fire() == T0 + HOUR + MINUTE

    @pytest.mark.parametrize(
        "other",
        [of(episode="V2"), of(document="another"), of(patient=2), of(at=PLACE), of("tell", at=PLACE)],
        ids=["stay", "document", "patient", "written after", "written after, to tell"],
    )
    async def test_others_are_left_alone(self, store, other):
        await a_letter(store, 1)
        await an_event(store, 2, T0 + HOUR, other)
        assert await again(store, T0 + HOUR) == []
        assert await store.tasks() == []

    async def test_of_every_stay_the_newest_version_is_meant(self, store):
        await a_letter(store, 1)
        newest = await a_letter(store, 2, past=await store.past(a_patient(), STAY))
        other = await a_letter(store, 3, stay="V2")
        await an_event(store, 4, T0 + HOUR, of(episode=""))
        assert sorted(await again(store, T0 + HOUR)) == [newest, other]

    async def test_a_version_that_took_the_letter_back_is_none(self, store):
        await a_letter(store, 1)
        await a_letter(store, 2, past=await store.past(a_patient(), STAY), status="entered-in-error")
        await an_event(store, 3, T0 + HOUR, of())
        assert await again(store, T0 + HOUR) == []

    async def test_of_an_old_letter_a_person_is_told_once(self, store):
        letter = await a_letter(store, 1)
        for number in (2, 3):
            await an_event(store, number, T0 + 36 * DAY, of("now"))
        assert await again(store, T0 + 36 * DAY) == []
        (task,) = await store.tasks()
        assert (task.what, task.about, task.cause) == ("letter", letter, "M755")

    async def test_what_a_person_is_to_decide_is_a_task(self, store):
        letter = await a_letter(store, 1)
        await an_event(store, 2, T0 + HOUR, of("tell", at=PLACE + 1))
        (task,) = await store.tasks()
        assert (task.what, task.about, task.cause) == ("letter", letter, "M756")
        assert (await store.trace(letter)).message.state == "done"

    # --- what is held ---------------------------------------------------------------------------------------

    async def test_what_has_not_left_is_held_until_a_person_lets_it_go(self, store):
        letter = await a_letter(store, 1)
        (due,) = await store.due(T0, 9)
        await an_event(store, 2, T0 + HOUR, of("hold", episode="", at=PLACE + 1))
        assert await stands(store, letter) == [("parked", "M782")]
        assert await store.due(T0 + DAY, 9) == []
        (task,) = await store.tasks()
        assert (task.what, task.about, task.cause) == ("delivery", due.id, "M782")
        assert await store.release(due.id, "hazel", T0 + 2 * HOUR)
        assert [one.id for one in await store.due(T0 + 2 * HOUR, 9)] == [due.id]
        status = await store.status(T0 + 2 * HOUR)
        assert (status.differences, list(await store.tasks())) == ((), [])
        # It was known then, and holds nothing any more: something newer does.
        second = await a_letter(store, 3, past=await store.past(a_patient(), STAY), before=PLACE)
        assert await stands(store, second) == [("queued", "")]
        await an_event(store, 4, T0 + 3 * HOUR, of("hold", episode="", at=PLACE + 2))
        assert await stands(store, second) == [("parked", "M782")]

    @pytest.mark.parametrize(
        "other",
        [of("hold", at=PLACE), of("hold", document="another", at=PLACE + 1), of("hold", patient=2, at=PLACE + 1)],
        ids=["written after", "document", "patient"],
    )  # fmt: skip
    async def test_others_are_not_held(self, store, other):
        letter = await a_letter(store, 1)
        await an_event(store, 2, T0 + HOUR, replace(other, episode=""))
        late = await a_letter(store, 3, stay="V2", before=PLACE)
        assert [await stands(store, one) for one in (letter, late)] == [[("queued", "")]] * 2
        assert list(await store.tasks()) == []

    async def test_a_letter_that_comes_after_what_is_newer_is_held(self, store):
        await an_event(store, 1, T0, of("hold", episode="", at=PLACE + 5))
        await an_event(store, 2, T0, of("hold", episode="", at=PLACE + 3))
        letters = [await a_letter(store, n, stay=f"V{n}", before=PLACE + n) for n in (3, 4, 5, 6)]
        held, not_held = [("parked", "M782")], [("queued", "")]
        assert [await stands(store, one) for one in letters] == [held, held, not_held, not_held]

    async def test_what_is_held_is_replaced_and_never_named_as_replaced(self, store):
        first = await a_letter(store, 1)
        await an_event(store, 2, T0 + HOUR, of("hold", episode="", at=PLACE + 1))
        past = await store.past(a_patient(), STAY)
        ((sent,),) = [one.sent for series in past.series for one in series.versions]
        assert (sent.held, sent.waits, sent.may_have_left) == (True, True, False)
        gone = (Withdrawal(sent.delivery, DeliveryState.SUPERSEDED),)
        second = await a_letter(store, 3, past=past, withdrawals=gone, before=PLACE + 2)
        assert [await stands(store, one) for one in (first, second)] == [[("superseded", "")], [("queued", "")]]
        assert list(await store.tasks()) == []
        assert (await store.status(T0 + HOUR)).differences == ()

    async def test_what_waits_for_another_reason_is_not_taken_back(self, store):
        """The control: of that nobody knows whether it has left."""
        await a_letter(store, 1)
        (due,) = await store.due(T0, 9)
        await store.start([due.id], T0, T0 + MINUTE)
        await store.finish([Move(due.id, DeliveryState.PARKED, code="D946")], T0)
        past = await store.past(a_patient(), STAY)
        ((sent,),) = [one.sent for series in past.series for one in series.versions]
        assert (sent.held, sent.waits, sent.may_have_left) == (False, False, True)
        gone = (Withdrawal(sent.delivery, DeliveryState.SUPERSEDED),)
        with pytest.raises(StoreError, match="S212"):
            await a_letter(store, 2, past=past, withdrawals=gone)
        assert await stands(store, due.message) == [("parked", "D946")]
        await store.close_message(due.message, "hazel", "it is over", T0)

    async def test_what_holds_the_letters_of_a_patient_holds_those_of_whom_it_was_merged_into(self, store):
        await an_event(store, 1, T0, of("hold", episode="", patient=2, at=PLACE + 5))
        past = await store.joining(a_patient(2), a_patient(1))
        outcome = replace(an_outcome(2), past=(past,), merges=(past.joining,))
        await store.commit(an_envelope(2), key_of(2), [outcome], an_answer(), {})
        letter = await a_letter(store, 3, before=PLACE)
        assert await stands(store, letter) == [("parked", "M782")]
