"""What every store must do with letters that something has overtaken, written against the port alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from series_contract import LETTER, STAY, a_version
from store_cases import MINUTE, T0, a_patient, an_answer, an_envelope, an_outcome, key_of

from mhbridge.model import Overtaken

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLACE = round(T0.timestamp() * 1_000_000)


async def a_letter(store, number, *, at=T0, **others):
    """A letter of a stay, done."""
    envelope = an_envelope(number, at=at)
    outcome = a_version(number, "gp", **others)
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
