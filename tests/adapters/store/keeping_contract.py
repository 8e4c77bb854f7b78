"""What every store must do when what it keeps has been kept as long as it was to be, and when a patient is erased."""

from dataclasses import replace
from datetime import timedelta

import pytest
from merge_contract import merge
from store_cases import EVENT, MINUTE, T0, a_patient, a_reading, an_answer, an_envelope, an_outcome, keep, key_of, take

from mhbridge.errors import StoreError
from mhbridge.model import NOTHING_KNOWN, DeliveryState, MessageState
from mhbridge.ports import Move

DAY = timedelta(days=1)

#: With the usual 90, 30 and 400 days: when the months of T0 are over.
DOCUMENTS_GONE = T0 + 60 * DAY
ALL_GONE = T0 + 450 * DAY

LEVEL = 2


async def deliver(store, at=T0):
    """All that is due."""
    while taken := await take(store, at):
        await store.finish([Move(due.id, DeliveryState.DONE, level=LEVEL) for due in taken], at)


async def purged_code(call):
    with pytest.raises(StoreError) as raised:
        await call
    return raised.value.code


class KeepingContract:
    async def test_what_has_expired_cannot_be_read_and_is_still_counted(self, store):
        done = await keep(store, 1, "gp", readings=[a_reading({"n": 1})])
        await deliver(store)
        before = await store.status(T0)
        assert (await store.purge(T0 + 25 * DAY)).expired == ()
        purged = await store.purge(DOCUMENTS_GONE)
        assert [(e.retention, e.rows, e.kept, e.dropped) for e in purged.expired] == [("document", 1, 0, True)]
        assert await purged_code(store.documents(done.messages[0])) == "S222"
        assert await store.original(done.messages[0]) == b"original 1"
        purged = await store.purge(ALL_GONE)
        assert {e.retention: (e.rows, e.dropped) for e in purged.expired} == {"raw": (1, True), "episode": (1, True)}
        assert await purged_code(store.original(done.messages[0])) == "S222"
        assert await store.known(a_patient(), "V1", EVENT) == NOTHING_KNOWN
        assert replace(await store.status(T0), at=before.at) == before
        trace = await store.trace(done.messages[0])
        assert [one["state"] for one in trace.deliveries] == ["done"]
        await store.verify_log()
        assert await store.purge(ALL_GONE) == replace(purged, expired=(), cleared=0, forgotten=0)

    async def test_a_repeat_of_what_was_purged_is_still_known(self, store):
        await keep(store, 1, "gp")
        await deliver(store)
        await store.purge(ALL_GONE)
        assert (await keep(store, 1, "gp", at=ALL_GONE)).repeated

    async def test_nothing_that_is_open_is_purged(self, store):
        waits = await keep(store, 1, "gp", patient=1)
        parked = await keep(store, 2, patient=2, state=MessageState.PARKED)
        stored = await keep(store, 3, patient=3, state=MessageState.STORED)
        done = await keep(store, 4, patient=4)
        for at in (DOCUMENTS_GONE, ALL_GONE, ALL_GONE + 800 * DAY):
            await store.purge(at)
            assert await store.original(waits.messages[0]) == b"original 1"
            assert await store.original(parked.messages[0]) == b"original 2"
            assert await store.original(stored.messages[0]) == b"original 3"
            assert (await store.documents(waits.messages[0]))[0].body
        assert await purged_code(store.original(done.messages[0])) == "S222"
        (due,) = await take(store, ALL_GONE)
        assert due.original().envelope == b"original 1"
        await store.finish([Move(due.id, DeliveryState.DONE, level=LEVEL)], ALL_GONE)
        assert (await store.status(ALL_GONE)).deliveries == {"done": 1}
        await store.close_message(parked.messages[0], "anna", "test", ALL_GONE)
        # Delivered long after it was made, it is kept as if it had been made then.
        at = ALL_GONE + 1000 * DAY
        await store.purge(at)
        for gone in (waits, parked):
            assert await purged_code(store.original(gone.messages[0])) == "S222"
        assert await store.original(stored.messages[0]) == b"original 3"

    @pytest.mark.parametrize(
        "state", [DeliveryState.RETRY, DeliveryState.UNKNOWN, DeliveryState.AWAITING, DeliveryState.PARKED]
    )
    async def test_what_is_under_way_keeps_its_document(self, store, state):
        done = await keep(store, 1, "gp")
        (due,) = await take(store, T0)
        await store.finish([Move(due.id, state, code="D904", due_at=T0 + 2000 * DAY, level=1)], T0)
        await store.purge(ALL_GONE)
        assert (await store.documents(done.messages[0]))[0].body
        assert await store.original(done.messages[0])

    async def test_a_document_is_kept_from_when_it_was_sent(self, store):
        late = await keep(store, 1, "gp", patient=1)
        soon = await keep(store, 2, "gp", patient=2)
        (first, second) = await take(store, T0)
        by_message = {first.message: first, second.message: second}
        await store.finish([Move(by_message[soon.messages[0]].id, DeliveryState.DONE, level=LEVEL)], T0)
        again = T0 + 55 * DAY
        await store.finish([Move(by_message[late.messages[0]].id, DeliveryState.RETRY, due_at=again)], T0 + MINUTE)
        await deliver(store, again)
        await store.purge(DOCUMENTS_GONE)
        assert await purged_code(store.documents(soon.messages[0])) == "S222"
        assert (await store.documents(late.messages[0]))[0].body
        await store.purge(DOCUMENTS_GONE + 60 * DAY)
        assert await purged_code(store.documents(late.messages[0])) == "S222"

    async def test_readings_are_kept_while_their_episode_goes_on(self, store):
        stays = [a_reading({f"n{n}": n}, patient=a_patient(1)) for n in range(3)]
        gone = a_reading({"n": 9}, patient=a_patient(2))
        for number, (reading, days) in enumerate(((stays[0], 0), (stays[1], 300), (stays[2], 600), (gone, 0)), 1):
            await keep(store, number, at=T0 + days * DAY, readings=[reading], patient=int(reading.patient.value[1:]))
        for days in (450, 700, 900):
            await store.purge(T0 + days * DAY)
            assert (await store.known(a_patient(1), "V1", EVENT)).items == {"n0": 0, "n1": 1, "n2": 2}
            assert await store.known(a_patient(2), "V1", EVENT) == NOTHING_KNOWN
        await store.purge(T0 + 1100 * DAY)
        assert await store.known(a_patient(1), "V1", EVENT) == NOTHING_KNOWN

    async def test_readings_of_who_was_merged_are_kept_while_the_episode_of_who_stays_goes_on(self, store):
        for number in (1, 2, 3):
            reading = a_reading({f"n{number}": number}, patient=a_patient(number))
            await keep(store, number, readings=[reading], patient=number)
        await merge(store, 4, a_patient(1), a_patient(2))
        # Of another episode, so the third's goes.
        for number, at in ((5, T0 + 200 * DAY), (6, T0 + 400 * DAY)):
            await keep(store, number, at=at, readings=[a_reading({f"n{number}": 1}, patient=a_patient(2))], patient=2)
        await store.purge(T0 + 700 * DAY)
        assert set((await store.known(a_patient(1), "V1", EVENT)).items) == {"n1", "n2", "n5", "n6"}
        assert await store.known(a_patient(3), "V1", EVENT) == NOTHING_KNOWN
        await store.purge(T0 + 1400 * DAY)
        assert await store.known(a_patient(2), "V1", EVENT) == NOTHING_KNOWN
        assert await store.messages(search="P0001") == []
        await keep(store, 7, "gp", at=T0 + 1400 * DAY, patient=1)
        await keep(store, 8, "gp", at=T0 + 1400 * DAY, patient=2)
        assert (await store.status(T0 + 1400 * DAY)).differences == ()

    async def test_readings_are_kept_while_something_of_the_patient_is_open(self, store):
        await keep(store, 1, readings=[a_reading({"n": 1})], patient=1)
        await keep(store, 2, "gp", patient=1)
        await store.purge(ALL_GONE)
        assert (await store.known(a_patient(1), "V1", EVENT)).items == {"n": 1}

    async def test_what_was_purged_is_not_found_any_more_and_the_patient_may_come_again(self, store):
        await keep(store, 1, "gp", readings=[a_reading({"n": 1})])
        await deliver(store)
        assert len(await store.messages(search="P0001")) == 1
        await store.purge(ALL_GONE)
        assert await store.messages(search="P0001") == []
        assert await store.messages(search="C1") == []
        assert len(await store.messages()) == 1
        await keep(store, 2, "gp", at=ALL_GONE, readings=[a_reading({"n": 2})])
        await deliver(store, ALL_GONE)
        assert len(await store.messages(search="P0001")) == 1
        assert (await store.known(a_patient(), "V1", EVENT)).items == {"n": 2}
        assert (await store.status(ALL_GONE)).differences == ()

    async def test_a_dry_run_says_what_would_go_and_changes_nothing(self, store):
        await keep(store, 1, "gp", patient=1)
        await deliver(store)
        waits = await keep(store, 2, "gp", patient=2)
        would = await store.purge(ALL_GONE, dry_run=True)
        assert {e.retention: (e.rows, e.kept, e.dropped) for e in would.expired} == {
            "raw": (1, 1, False),
            "document": (1, 1, False),
        }
        assert await store.original(waits.messages[0])
        did = await store.purge(ALL_GONE)
        assert [(e.month, e.rows, e.kept) for e in did.expired] == [(e.month, e.rows, e.kept) for e in would.expired]

    async def test_what_was_purged_is_not_sent_again(self, store):
        done = await keep(store, 1, "gp")
        await deliver(store)
        await store.purge(ALL_GONE)
        assert await store.resend(done.messages[0], "anna", ALL_GONE) == 0

    # --- one patient ---

    async def test_a_patient_is_erased_and_others_are_not(self, store):
        mine = await keep(store, 1, "gp", patient=1, readings=[a_reading({"n": 1}, patient=a_patient(1))])
        other = await keep(store, 2, "gp", patient=2, readings=[a_reading({"n": 2}, patient=a_patient(2))])
        await deliver(store)
        before = await store.status(T0)
        erased = await store.erase("patient", "P0001", "anna", "Art. 17, request of 3 March", T0)
        assert (erased.patients, erased.bodies, erased.readings, erased.shared) == (1, 2, 1, 0)
        assert await purged_code(store.original(mine.messages[0])) == "S222"
        assert await purged_code(store.documents(mine.messages[0])) == "S222"
        assert await store.known(a_patient(1), "V1", EVENT) == NOTHING_KNOWN
        for search in ("P0001", "C1"):
            assert await store.messages(search=search) == []
        assert await store.original(other.messages[0]) == b"original 2"
        assert (await store.known(a_patient(2), "V1", EVENT)).items == {"n": 2}
        assert len(await store.messages(search="P0002")) == 1
        assert replace(await store.status(T0), at=before.at) == before
        await store.verify_log()
        assert (await keep(store, 1, "gp")).repeated
        # Who comes again is somebody new.
        await keep(store, 3, "gp", patient=1)
        await deliver(store)
        assert len(await store.messages(search="P0001")) == 1

    @pytest.mark.parametrize("state", [MessageState.STORED, MessageState.PARKED, MessageState.DONE])
    async def test_a_patient_with_something_open_is_not_erased(self, store, state):
        done = await keep(store, 1, *(["gp"] if state is MessageState.DONE else []), patient=1, state=state)
        assert await purged_code(store.erase("patient", "P0001", "anna", "Art. 17", T0)) == "S228"
        assert await store.original(done.messages[0]) == b"original 1"
        assert len(await store.messages(search="P0001")) == 1

    async def test_an_envelope_that_is_shared_goes_when_nothing_in_it_is_open(self, store):
        outcomes = [an_outcome(1, patient=1), an_outcome(2, "gp", patient=2)]
        done = await store.commit(an_envelope(1), key_of(1), outcomes, an_answer(), {})
        assert await purged_code(store.erase("patient", "P0001", "anna", "Art. 17", T0)) == "S228"
        assert await store.original(done.messages[0]) == b"original 1"
        await deliver(store)
        erased = await store.erase("patient", "P0001", "anna", "Art. 17", T0)
        assert (erased.bodies, erased.shared) == (1, 1)
        assert await purged_code(store.original(done.messages[1])) == "S222"
        # The other patient's own document is not in it.
        assert (await store.documents(done.messages[1]))[0].body
        assert len(await store.messages(search="P0002")) == 1

    async def test_nobody_is_not_erased(self, store):
        assert await purged_code(store.erase("patient", "P0001", "anna", "Art. 17", T0)) == "S229"

    async def test_two_patients_of_two_senders_with_one_number_are_not_erased_as_one(self, store):
        await keep(store, 1, patient=1)
        outcome = replace(an_outcome(2), patient=replace(a_patient(1), system="another-mrn"))
        await store.commit(an_envelope(2), key_of(2), [outcome], an_answer(), {})
        assert await purged_code(store.erase("patient", "P0001", "anna", "Art. 17", T0)) == "S229"
        assert len(await store.messages(search="P0001")) == 2
