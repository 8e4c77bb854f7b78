"""What every store must keep of a month in figures: counted once, in the month of London, outliving what is purged."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from store_cases import FEED, MINUTE, T0, a_patient, a_reading, an_answer, an_envelope, an_outcome, key_of, take

from mhbridge.adapters.sql.books import NAMED_AT_MOST
from mhbridge.model import Deadline, DeliveryState, Issue, Ledger, Letter, MessageState, Severity
from mhbridge.ports import Measure, Move

LETTERS = "example-mental-health/letters"
SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, 23, tzinfo=UTC)
SAID = (("allergies", "present"), ("plan", "absent"))


def a_letter(number, *to, unmapped=(), codes=(), headings=SAID, **others):
    """A letter, and what is counted of it."""
    issues = tuple(Issue("I602", Severity.WARNING, f"the code is not in the table {one}", "PV1-4") for one in codes)
    return an_outcome(
        number, *to, readings=[a_reading({}, mapping=LETTERS, document="letter", patient=a_patient(number))],
        letters=(Letter(LETTERS, "letter", headings),), ledger=Ledger(unmapped=tuple(unmapped)), issues=issues,
        patient=number, **others,
    )  # fmt: skip


async def keep_letter(store, number, *to, at=T0, **others):
    envelope = an_envelope(number, at=at)
    return await store.commit(envelope, key_of(number), [a_letter(number, *to, **others)], an_answer(at=at), {})


async def counted(store, month="2026-03", now=T0):
    """(measure, name, said) → n of what is counted of messages."""
    figures = await store.figures(month, SINCE, UNTIL, now)
    return {(one.measure, one.name, one.said): one.n for one in figures if one.sender == LETTERS}


async def figures_of(store, measure, now=T0):
    figures = await store.figures("2026-03", SINCE, UNTIL, now)
    return {(one.sender, one.recipient, one.name, one.said): one.n for one in figures if one.measure is measure}


#: A month's figures of two letters, of which the second has a code and a field that are not mapped.
TWO = {
    (Measure.MESSAGE, "", ""): 2,
    (Measure.LETTER, "", ""): 2,
    (Measure.HEADING, "allergies", "present"): 2,
    (Measure.HEADING, "plan", "absent"): 2,
    (Measure.FIELD, "OBX-5", ""): 1,
    (Measure.CODE, "gender PV1-4", ""): 1,
}


class FiguresContract:
    async def test_nothing_was_counted_at_first(self, store):
        assert list(await store.figures("2026-03", SINCE, UNTIL, T0)) == []

    async def test_what_was_counted_is_there_after_opening_again(self, store, reopened):
        await keep_letter(store, 1)
        await keep_letter(store, 2, unmapped=["OBX[3]-5", "OBX[7]-5"], codes=["gender"])
        assert await counted(store) == TWO
        await store.close()
        store = await reopened()
        assert await counted(store) == TWO
        await keep_letter(store, 3)
        assert (await counted(store))[Measure.LETTER, "", ""] == 3

    async def test_a_repeat_counts_nothing(self, store):
        await keep_letter(store, 1)
        await keep_letter(store, 1)
        assert (await counted(store))[Measure.LETTER, "", ""] == 1

    async def test_it_is_counted_in_the_month_that_it_is_in_london(self, store):
        await keep_letter(store, 1, at=UNTIL - MINUTE)
        await keep_letter(store, 2, at=UNTIL + MINUTE)
        assert (await counted(store))[Measure.LETTER, "", ""] == 1
        assert (await counted(store, "2026-04"))[Measure.LETTER, "", ""] == 1

    async def test_what_waits_is_counted_when_it_was_worked(self, store):
        await keep_letter(store, 1, state=MessageState.STORED)
        assert await counted(store) == {}
        (pending,) = await store.begin(await store.waiting(T0, 10), T0, T0 + MINUTE)
        await store.settle([(pending, a_letter(1))], T0, {})
        assert (await counted(store))[Measure.LETTER, "", ""] == 1

    async def test_what_is_worked_again_was_counted_before(self, store):
        done = await keep_letter(store, 1, state=MessageState.PARKED, code="M741")
        await store.reprocess(done.messages, "anna", T0)
        (pending,) = await store.begin(await store.waiting(T0, 10), T0, T0 + MINUTE)
        await store.settle([(pending, a_letter(1))], T0, {})
        assert (await counted(store))[Measure.LETTER, "", ""] == 1

    async def test_names_that_there_are_too_many_of_are_counted_together(self, store):
        for first in range(0, NAMED_AT_MOST + 100, 100):
            await keep_letter(store, first + 1, unmapped=[f"[C{n}]" for n in range(first, first + 100)])
        fields = {name: n for (measure, name, _), n in (await counted(store)).items() if measure is Measure.FIELD}
        assert len(fields) == NAMED_AT_MOST + 1
        assert fields["(others)"] == 100

    @pytest.mark.parametrize("name", ["[Jones 9990041016]", "[" + "x" * 200 + "]", "[\N{BELL}]"])
    async def test_a_name_that_is_no_name_of_a_field_is_not_kept(self, store, name):
        await keep_letter(store, 1, unmapped=[name])
        assert (await counted(store))[Measure.FIELD, "(others)", ""] == 1

    async def test_how_far_each_letter_got_and_what_was_refused(self, store):
        for number in (1, 2, 3):
            outcome = a_letter(number, "gp")
            outcome = replace(outcome, documents=(replace(outcome.documents[0], bundle="document"),))
            await store.commit(an_envelope(number), key_of(number), [outcome], an_answer(), {})
        first, second, _ = await take(store, T0)
        await store.finish([Move(first.id, DeliveryState.DONE, level=2)], T0)
        await store.finish([Move(second.id, DeliveryState.PARKED, "D946")], T0)
        assert await figures_of(store, Measure.DELIVERY) == {
            (FEED, "gp", "", "accepted"): 1,
            (FEED, "gp", "", "under way"): 1,
            (FEED, "gp", "", "waits for a person"): 1,
        }
        assert await figures_of(store, Measure.REFUSED) == {(FEED, "gp", "", ""): 1}

    async def test_how_deadlines_were_kept(self, store):
        for number in (1, 2, 3):
            clock = Deadline(
                "summary-24h", "letter", a_patient(number), "V1", recipients=("gp",), needs=2, started_at=T0,
                due_at=T0 + timedelta(hours=24), ladder=((T0 + timedelta(hours=24), "safety", "critical"),),
            )  # fmt: skip
            outcome = an_outcome(number, "gp", patient=number, episode="V1", deadlines=(clock,))
            document = replace(outcome.documents[0], type="letter", bundle="document", episode="V1")
            outcome = replace(outcome, documents=(document,))
            await store.commit(an_envelope(number), key_of(number), [outcome], an_answer(), {})
        first, second, _ = await take(store, T0)
        await store.finish([Move(first.id, DeliveryState.DONE, level=2)], T0 + timedelta(hours=3))
        late = T0 + timedelta(hours=30)
        assert (await figures_of(store, Measure.CLOCK))[FEED, "gp", "summary-24h", "running"] == 2
        await store.fire(late)
        await store.finish([Move(second.id, DeliveryState.DONE, level=2)], late)
        assert await figures_of(store, Measure.CLOCK, now=late) == {
            (FEED, "gp", "summary-24h", "met"): 1,
            (FEED, "gp", "summary-24h", "within 72 h"): 1,
            (FEED, "gp", "summary-24h", "missed"): 1,
        }

    async def test_they_outlive_what_is_purged_and_who_is_erased(self, store):
        await keep_letter(store, 1)
        await keep_letter(store, 2, unmapped=["OBX[3]-5"], codes=["gender"])
        await store.purge(T0 + timedelta(days=4_000))
        await keep_letter(store, 3, at=T0 + timedelta(days=4_000))
        await store.erase("patient", "P0003", "anna", "Art. 17", T0 + timedelta(days=4_000))
        assert await counted(store) == TWO
