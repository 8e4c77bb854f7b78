"""What every store must do with clocks, written against the port alone. Inherited as the store's own contract is."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from store_cases import MINUTE, T0, Interrupt, SwallowedError, a_document, a_patient, an_outcome, keep, take

from mhbridge.model import Deadline, DeliveryState, Entry, MessageState
from mhbridge.ports import Move

HOUR = timedelta(hours=1)
LETTER = "discharge-letter"


def a_clock(*to, started=T0, patient=1, episode="V1", **others):
    """A summary within 24 hours, with a word to the ward at 18."""
    due = started + 24 * HOUR
    ladder = ((started + 18 * HOUR, "ward", "normal"), (due, "safety", "critical"))
    values = {"recipients": to, "needs": 2, "started_at": started, "due_at": due, "ladder": ladder}
    return Deadline("summary-24h", LETTER, a_patient(patient), episode, **(values | others))


def ended(how, **others):
    """The same, which ought not to run."""
    nothing = {"started_at": None, "due_at": None, "ladder": (), "ended": how}
    return a_clock(**(nothing | others))


def a_word(episode="C1", says="met", **others):
    """What another document of the patient says of the clock; without `met_at`, that it says so no more."""
    return Deadline("summary-24h", LETTER, a_patient(1), episode, says=says, **others)


def an_entry(called, place=1, due=T0 + 24 * HOUR, **others):
    """An entry of a list that is due then, with a word to safety a day later."""
    ladder = ((due, "plan-actions", "normal"), (due + 24 * HOUR, "safety", "high"))
    return Entry(called, place, due, ladder, **others)


def a_list(*entries, patient=1, episode="V1"):
    """The entries that the newest letter of a stay has."""
    whose = ("planned-action", LETTER, a_patient(patient), episode)
    return Deadline(*whose, started_at=T0, entries=entries)


async def entries(store, message):
    """(entry, state, due, next step) of each."""
    return [(c.entry, c.state, c.due_at, c.next_at) for c in (await store.trace(message)).clocks]


def a_letter(number, *to, episode="V1", status="final", series="letter", **others):
    """A version of the letter of a stay."""
    outcome = an_outcome(number, *(to or ("gp",)), series=series, **others)
    document = replace(
        a_document(number, series=series), type=LETTER, bundle="document", episode=episode, status=status
    )
    return replace(outcome, documents=(document,), deliveries=outcome.deliveries if to else ())


async def said(store, number, *deadlines, at=T0, **others):
    """A message that says nothing but which clocks ought to run."""
    return (await keep(store, number, at=at, deadlines=deadlines, **others)).messages[0]


async def written(store, number, outcome, *, at=T0):
    """A message of this outcome."""
    from store_cases import an_answer, an_envelope, key_of

    committed = await store.commit(an_envelope(number, at=at), key_of(number), [outcome], an_answer(at=at), {})
    return committed.messages[0]


async def delivered(store, at, state=DeliveryState.DONE, level=2, **others):
    """Deliver what is due."""
    found = await take(store, at)
    due_at = at + HOUR if state in (DeliveryState.AWAITING, DeliveryState.RETRY) else None
    await store.finish([Move(one.id, state, level=level, due_at=due_at, **others) for one in found], at)
    return [one.id for one in found]


async def clocks(store, message):
    """(recipient, state, due, next step) of each."""
    return [(c.recipient, c.state, c.due_at, c.next_at) for c in (await store.trace(message)).clocks]


async def states(store, message):
    return {c.recipient: c.state for c in (await store.trace(message)).clocks}


class ClockContract:
    # --- what messages say --------------------------------------------------------------------------------

    async def test_a_clock_runs_for_each_recipient(self, store):
        message = await said(store, 1, a_clock("gp", "team"))
        due, first = T0 + 24 * HOUR, T0 + 18 * HOUR
        assert await clocks(store, message) == [("gp", "running", due, first), ("team", "running", due, first)]
        assert await store.next_fire() == first
        status = await store.status(T0)
        assert (status.clocks, status.differences) == ({"summary-24h": {"running": 2}}, ())

    async def test_each_entry_of_a_list_has_a_clock(self, store):
        due = T0 + 24 * HOUR
        message = await said(store, 1, a_list(an_entry("a"), an_entry("b", 2, due + HOUR)))
        both = [(1, "running", due, due), (2, "running", due + HOUR, due + HOUR)]
        assert await entries(store, message) == both
        rows = len((await store.trace(message)).lines)
        await said(store, 2, a_list(an_entry("a"), an_entry("b", 2, due + HOUR)))
        assert (await entries(store, message), len((await store.trace(message)).lines)) == (both, rows)
        assert [(one.kind, one.queue) for one in await store.fire(due, 9)] == [("missed", "plan-actions")]
        # Of the one another place, of the other that it is there no more; and what was told stays told.
        await said(store, 3, a_list(an_entry("c"), an_entry("a", 7)), at=due)
        assert await entries(store, message) == [
            (7, "missed", due, due + 24 * HOUR), (2, "cancelled", due + HOUR, None), (1, "running", due, due),
        ]  # fmt: skip
        assert (await store.status(due)).differences == ()

    async def test_an_entry_is_done_and_undone_as_the_newest_letter_says(self, store):
        due = T0 + 24 * HOUR
        message = await said(store, 1, a_list(an_entry("a")))
        for number, (at, done_at, state) in enumerate(
            [
                (T0 + HOUR, T0 + HOUR, "met"),
                (T0 + 2 * HOUR, None, "running"),
                (due + HOUR, due + HOUR, "late"),
                (due + 2 * HOUR, None, "running"),
            ],
            2,
        ):
            await said(store, number, a_list(an_entry("a", done_at=done_at)), at=at)
            assert [one[1] for one in await entries(store, message)] == [state]
        (fired,) = await store.fire(due + 3 * HOUR, 9)
        assert (fired.kind, fired.queue) == ("missed", "plan-actions")
        await said(store, 9, a_list(an_entry("a", excluded=True)), at=due + 4 * HOUR)
        assert [one[1] for one in await entries(store, message)] == ["excluded"]
        assert not await store.tasks()

    async def test_what_is_not_near_does_not_begin_and_what_runs_goes_on(self, store):
        message = await said(
            store, 1, a_list(an_entry("a"), an_entry("b", 2, near=False), an_entry("c", 3, done_at=T0))
        )
        await said(store, 2, a_list(an_entry("a", near=False)))
        assert [one[:2] for one in await entries(store, message)] == [(1, "running")]

    async def test_an_entry_with_another_time_is_told_of_again(self, store):
        due = T0 + 24 * HOUR
        message = await said(store, 1, a_list(an_entry("a")))
        (fired,) = await store.fire(due, 9)
        await store.finish_task(fired.task, "hazel", "next week, they say", due + HOUR)
        assert [one[1] for one in await entries(store, message)] == ["closed"]
        await said(store, 2, a_list(an_entry("a")), at=due + 2 * HOUR)
        assert [one[1] for one in await entries(store, message)] == ["closed"]
        later = due + 72 * HOUR
        await said(store, 3, a_list(an_entry("a", due=later)), at=due + 2 * HOUR)
        assert await entries(store, message) == [(1, "running", later, later)]
        (fired,) = await store.fire(later, 9)
        assert (fired.kind, fired.queue) == ("missed", "plan-actions")

    async def test_another_document_excludes_every_entry_and_takes_it_back(self, store):
        word = Deadline("planned-action", LETTER, a_patient(1), "D1", says="excluded")
        message = await said(store, 1, a_list(an_entry("a"), an_entry("b", 2)))
        await said(store, 2, replace(word, met_at=T0))
        assert [one[1] for one in await entries(store, message)] == ["excluded", "excluded"]
        # Also one that is first heard of then.
        await said(store, 3, a_list(an_entry("a"), an_entry("b", 2), an_entry("c", 3)))
        assert [one[1] for one in await entries(store, message)] == ["excluded"] * 3
        await said(store, 4, word)
        assert [one[1] for one in await entries(store, message)] == ["running"] * 3

    async def test_the_entries_of_two_stays_are_not_each_others(self, store):
        message = await said(store, 1, a_list(an_entry("a")), a_list(an_entry("a"), episode="V2"))
        await said(store, 2, a_list(episode="V2"))
        assert sorted(one[1] for one in await entries(store, message)) == ["cancelled", "running"]

    async def test_the_same_said_again_changes_nothing(self, store):
        first = await said(store, 1, a_clock("gp"))
        rows = len((await store.trace(first)).lines)
        for number in range(2, 5):
            await said(store, number, a_clock("gp"))
        assert await clocks(store, first) == [("gp", "running", T0 + 24 * HOUR, T0 + 18 * HOUR)]
        assert len((await store.trace(first)).lines) == rows

    async def test_a_parked_message_starts_its_clocks_too(self, store):
        message = await said(store, 1, a_clock("gp"), state=MessageState.PARKED, code="M601")
        assert await states(store, message) == {"gp": "running"}

    async def test_without_a_recipient_it_runs_for_nobody_until_there_is_one(self, store):
        message = await said(store, 1, a_clock())
        assert await states(store, message) == {"": "running"}
        await said(store, 2, a_clock("gp"))
        assert await states(store, message) == {"": "cancelled", "gp": "running"}

    async def test_the_document_itself_says_who_gets_it_and_events_do_not(self, store):
        message = await said(store, 1, a_clock("gp", "team"))
        await said(store, 2, a_clock("gp", "clinic", rank=1, authored=True))
        assert await states(store, message) == {"gp": "running", "team": "cancelled", "clinic": "running"}
        await said(store, 3, a_clock("gp", "team"))
        assert await states(store, message) == {"gp": "running", "team": "cancelled", "clinic": "running"}

    async def test_another_start_moves_what_is_to_come(self, store):
        message = await said(store, 1, a_clock("gp"))
        await said(store, 2, a_clock("gp", started=T0 + 3 * HOUR))
        assert await clocks(store, message) == [("gp", "running", T0 + 27 * HOUR, T0 + 21 * HOUR)]
        moved = [line.moves for line in (await store.trace(message)).lines if line.what == "clock"]
        assert moved[-1].endswith("due at another time")

    async def test_what_is_believed_more_is_believed(self, store):
        message = await said(store, 1, a_clock("gp", started=T0 + HOUR, rank=9))
        await said(store, 2, a_clock("gp", started=T0 + 2 * HOUR, rank=9))
        assert (await clocks(store, message))[0][2] == T0 + 25 * HOUR
        await said(store, 3, a_clock("gp", started=T0, rank=0))
        await said(store, 4, a_clock("gp", started=T0 + 5 * HOUR, rank=1))
        assert (await clocks(store, message))[0][2] == T0 + 24 * HOUR

    @pytest.mark.parametrize("how", ["cancelled", "excluded"])
    async def test_what_ought_not_to_run_does_not(self, store, how):
        message = await said(store, 1, a_clock("gp", "team"))
        await said(store, 2, ended(how))
        assert await states(store, message) == {"gp": how, "team": how}
        assert await store.next_fire() is None
        assert (await store.status(T0)).differences == ()

    async def test_a_letter_that_is_taken_back_does_not_end_what_events_started(self, store):
        message = await said(store, 1, a_clock("gp"))
        await said(store, 2, ended("cancelled", rank=1))
        assert await states(store, message) == {"gp": "running"}

    async def test_one_that_ended_begins_anew_from_its_first_step(self, store):
        message = await said(store, 1, a_clock("gp"))
        assert len(await store.fire(T0 + 18 * HOUR)) == 1
        await said(store, 2, ended("cancelled"), at=T0 + 19 * HOUR)
        assert await store.tasks() == []
        await said(store, 3, a_clock("gp", started=T0 + 20 * HOUR), at=T0 + 20 * HOUR)
        assert await clocks(store, message) == [("gp", "running", T0 + 44 * HOUR, T0 + 38 * HOUR)]
        assert [one.kind for one in await store.fire(T0 + 38 * HOUR)] == ["step"]

    async def test_stays_patients_and_names_are_kept_apart(self, store):
        first = await said(store, 1, a_clock("gp"), a_clock("gp", episode="V2"))
        second = await said(store, 2, a_clock("gp", patient=2), patient=2)
        await said(store, 3, ended("cancelled"))
        assert [state for _, state, *_ in await clocks(store, first)] == ["cancelled", "running"]
        assert await states(store, second) == {"gp": "running"}

    async def test_a_document_of_another_type_is_the_one_that_was_waited_for(self, store):
        message = await said(store, 1, a_clock("gp"), replace(a_clock("gp"), document="other-letter"))
        await said(store, 2, a_clock("gp", rank=1, authored=True))
        found = {c.document: c.state for c in (await store.trace(message)).clocks}
        assert found == {LETTER: "running", "other-letter": "cancelled"}

    # --- what is delivered --------------------------------------------------------------------------------

    async def test_the_letter_meets_it_in_the_transaction_of_its_arrival(self, store):
        message = await said(store, 1, a_clock("gp", "team"))
        await written(store, 2, a_letter(2, "gp"))
        assert await states(store, message) == {"gp": "running", "team": "running"}
        await delivered(store, T0 + HOUR)
        assert await states(store, message) == {"gp": "met", "team": "running"}
        assert (await store.status(T0)).clocks == {"summary-24h": {"met": 1, "running": 1}}

    async def test_arrived_late_is_late_and_ends_what_people_were_told(self, store):
        message = await said(store, 1, a_clock("gp"))
        await written(store, 2, a_letter(2, "gp"))
        await store.fire(T0 + 25 * HOUR)
        assert [(task.queue, task.severity) for task in await store.tasks()] == [("safety", "critical")]
        await delivered(store, T0 + 26 * HOUR)
        assert await states(store, message) == {"gp": "late"}
        assert await store.tasks() == []
        (task,) = await store.tasks(ended=True)
        assert task.closed_as.startswith("late: summary-24h by delivery")

    async def test_what_has_arrived_before_meets_it_at_once(self, store):
        await written(store, 1, a_letter(1, "gp"))
        await delivered(store, T0 + HOUR)
        message = await said(store, 2, a_clock("gp", "team"), at=T0 + 2 * HOUR)
        assert await states(store, message) == {"gp": "met", "team": "running"}

    @pytest.mark.parametrize(("level", "met"), [(1, "running"), (2, "met"), (5, "met")])
    async def test_it_is_met_at_the_level_that_it_needs(self, store, level, met):
        message = await said(store, 1, a_clock("gp"))
        await written(store, 2, a_letter(2, "gp"))
        await delivered(store, T0 + HOUR, DeliveryState.AWAITING, level)
        assert await states(store, message) == {"gp": met}

    async def test_a_business_answer_that_says_no_unmeets_it(self, store):
        message = await said(store, 1, a_clock("gp"))
        await written(store, 2, a_letter(2, "gp"))
        (about,) = await delivered(store, T0 + HOUR, DeliveryState.AWAITING, 2)
        assert await states(store, message) == {"gp": "met"}
        await store.finish([Move(about, DeliveryState.PARKED, code="D955", level=4)], T0 + 20 * HOUR)
        assert await clocks(store, message) == [("gp", "running", T0 + 24 * HOUR, T0 + 18 * HOUR)]
        assert [one.kind for one in await store.fire(T0 + 20 * HOUR)] == ["step"]

    async def test_a_replaced_version_that_arrives_meets_nothing(self, store):
        message = await said(store, 1, a_clock("gp"))
        await written(store, 2, a_letter(2, "gp"))
        (first,) = await take(store, T0 + HOUR)
        await written(store, 3, a_letter(3, "gp"), at=T0 + HOUR)
        await store.finish([Move(first.id, DeliveryState.DONE, level=2)], T0 + HOUR)
        assert await states(store, message) == {"gp": "running"}
        await delivered(store, T0 + 2 * HOUR)
        assert await states(store, message) == {"gp": "met"}

    async def test_a_newer_version_to_others_does_not_concern_a_recipient(self, store):
        message = await said(store, 1, a_clock("gp"))
        await written(store, 2, a_letter(2, "gp"))
        await written(store, 3, a_letter(3, "team"))
        await delivered(store, T0 + HOUR)
        assert await states(store, message) == {"gp": "met"}

    async def test_a_newer_version_does_not_start_it_again(self, store):
        message = await said(store, 1, a_clock("gp"))
        await written(store, 2, a_letter(2, "gp"))
        await delivered(store, T0 + HOUR)
        await written(store, 3, a_letter(3, "gp", deadlines=(a_clock("gp", rank=1, authored=True),)), at=T0 + 40 * HOUR)
        assert await states(store, message) == {"gp": "met"}
        assert await store.next_fire() is None

    async def test_a_letter_that_takes_itself_back_meets_nothing(self, store):
        message = await said(store, 1, a_clock("gp"))
        await written(store, 2, a_letter(2, "gp", status="entered-in-error"))
        await delivered(store, T0 + HOUR)
        assert await states(store, message) == {"gp": "running"}

    async def test_what_is_of_another_stay_meets_nothing(self, store):
        message = await said(store, 1, a_clock("gp"))
        await written(store, 2, a_letter(2, "gp", episode="V2"))
        await delivered(store, T0 + HOUR)
        assert await states(store, message) == {"gp": "running"}

    async def test_another_document_of_the_patient_meets_it(self, store):
        message = await said(store, 1, a_clock(needs=0))
        await said(store, 2, a_word(met_at=T0 - HOUR))
        assert await states(store, message) == {"": "running"}
        await said(store, 3, a_word(met_at=T0 + HOUR), at=T0 + 30 * HOUR)
        assert await states(store, message) == {"": "met"}

    async def test_what_it_said_it_can_take_back(self, store):
        message = await said(store, 1, a_clock(needs=0))
        for number, episode in enumerate(("C1", "C2"), 2):
            await said(store, number, a_word(episode, met_at=T0 + HOUR))
        await said(store, 4, a_word("C1"))
        assert await states(store, message) == {"": "met"}
        await said(store, 5, a_word("C2"), at=T0 + 2 * HOUR)
        assert (await clocks(store, message)) == [("", "running", T0 + 24 * HOUR, T0 + 18 * HOUR)]
        assert [one.kind for one in await store.fire(T0 + 25 * HOUR)] == ["missed"]
        await said(store, 6, a_word("C3", met_at=T0 + HOUR), at=T0 + 26 * HOUR)
        assert await store.tasks() == []
        await said(store, 7, a_word("C3"), at=T0 + 27 * HOUR)
        assert await states(store, message) == {"": "missed"}
        assert [task.queue for task in await store.tasks()] == ["safety"]

    async def test_what_is_heard_of_before_the_clock_meets_it_too(self, store):
        await said(store, 1, a_word(met_at=T0 + HOUR))
        message = await said(store, 2, a_clock(needs=0))
        assert await states(store, message) == {"": "met"}
        # Not another stay, which begins later.
        await said(store, 3, a_clock(needs=0, episode="V2", started=T0 + 2 * HOUR))
        assert [state for _, state, *_ in await clocks(store, message)] == ["met", "running"]

    async def test_another_document_excludes_it_until_that_is_taken_back(self, store):
        message = await said(store, 1, a_clock(needs=0))
        await said(store, 2, a_word("D1", says="excluded", met_at=T0 + HOUR))
        await said(store, 3, a_clock(needs=0))
        assert await states(store, message) == {"": "excluded"}
        assert await store.next_fire() is None
        await said(store, 4, a_word("D1", says="excluded"))
        assert await states(store, message) == {"": "running"}

    async def test_a_person_ends_one_that_was_missed(self, store):
        message = await said(store, 1, a_clock("gp"))
        (fired,) = await store.fire(T0 + 19 * HOUR)
        assert await store.finish_task(fired.task, "ann", "rang the ward", T0 + 19 * HOUR)
        assert await states(store, message) == {"gp": "running"}
        (fired,) = await store.fire(T0 + 25 * HOUR)
        assert await store.finish_task(fired.task, "ann", "sent on paper", T0 + 26 * HOUR)
        await said(store, 2, a_clock("gp"))
        assert await states(store, message) == {"gp": "closed"}
        (line,) = [
            line for line in (await store.trace(message)).lines if ">closed" in line.moves and line.what == "clock"
        ]
        assert (line.moves, line.who) == ("missed>closed sent on paper", "ann")
        assert (await store.status(T0 + 30 * HOUR)).differences == ()

    async def test_a_stay_is_the_same_under_either_of_two_identifiers_that_were_merged(self, store):
        from merge_contract import merge  # which takes its clocks from here

        message = await said(store, 1, a_clock("gp", "team"))
        await written(store, 2, a_letter(2, "team"))
        await merge(store, 3, a_patient(1), a_patient(2))
        await said(store, 4, a_clock("gp", "team", patient=2), patient=2)
        assert await states(store, message) == {"gp": "running", "team": "running"}
        await written(store, 5, a_letter(5, "gp", patient=2, series="other"))
        await delivered(store, T0 + HOUR)
        assert await states(store, message) == {"gp": "met", "team": "met"}

    async def test_stays_of_one_number_of_two_patients_are_two(self, store):
        message = await said(store, 1, a_clock("gp"))
        await written(store, 2, a_letter(2, "gp", patient=2, series="other"))
        await said(store, 3, ended("cancelled", patient=2), patient=2)
        await delivered(store, T0 + HOUR)
        assert await states(store, message) == {"gp": "running"}

    # --- time ---------------------------------------------------------------------------------------------

    async def test_each_step_is_taken_once_and_told_to_one_queue(self, store):
        message = await said(store, 1, a_clock("gp"))
        assert await store.fire(T0 + 18 * HOUR - MINUTE) == []
        (first,) = await store.fire(T0 + 18 * HOUR)
        assert await store.fire(T0 + 18 * HOUR) == []
        (second,) = await store.fire(T0 + 22 * HOUR)
        assert (first.kind, first.queue, second.kind) == ("step", "ward", "handed_on")
        (third,) = await store.fire(T0 + 24 * HOUR)
        assert (third.kind, third.queue, third.severity, third.cause) == ("missed", "safety", "critical", "summary-24h")
        assert [(task.queue, task.about) for task in await store.tasks()] == [
            ("safety", (await store.trace(message)).clocks[0].id)
        ]
        assert await states(store, message) == {"gp": "missed"}

    async def test_who_has_taken_it_keeps_it_and_the_next_is_told_as_well(self, store):
        await said(store, 1, a_clock("gp"))
        (first,) = await store.fire(T0 + 18 * HOUR)
        await store.take_task(first.task, "ann", T0 + 19 * HOUR)
        await store.fire(T0 + 24 * HOUR)
        assert [(task.queue, task.holder) for task in await store.tasks()] == [("safety", ""), ("ward", "ann")]

    async def test_a_task_that_has_come_further_does_not_go_back(self, store):
        ladder = ((T0 + HOUR, "records", "normal"), (T0 + 24 * HOUR, "records", "high"))
        await said(store, 1, a_clock("gp", ladder=ladder))
        for hours in (1, 3, 7):
            await store.fire(T0 + hours * HOUR)
        assert [task.queue for task in await store.tasks()] == ["safety"]
        (fired, *_) = await store.fire(T0 + 24 * HOUR)
        assert (fired.kind, fired.queue) == ("missed", "safety")
        assert [(task.queue, task.severity) for task in await store.tasks()] == [("safety", "high")]

    async def test_after_a_time_without_a_gateway_the_latest_step_is_told_and_says_so(self, store):
        message = await said(store, 1, a_clock("gp"))
        assert [(one.kind, one.queue) for one in await store.fire(T0 + 100 * HOUR)] == [("missed", "safety")]
        lines = [line.moves for line in (await store.trace(message)).lines if line.what == "clock"]
        assert lines[-1] == "running>missed step 2 of 2 to safety, 1 before it untold"

    @pytest.mark.parametrize("how", ["before", "after"])
    async def test_a_crash_in_a_step_takes_it_once(self, store, how):
        message = await said(store, 1, a_clock("gp"))
        with pytest.raises(SwallowedError):
            await Interrupt(store, "fire", how).fire(T0 + 18 * HOUR)
        again = await store.fire(T0 + 18 * HOUR)
        assert len(again) == (how == "before")
        assert len(await store.tasks()) == 1
        steps = [line for line in (await store.trace(message)).lines if line.what == "clock" and "step" in line.moves]
        assert len(steps) == 1

    async def test_it_goes_on_after_a_restart(self, store, reopened):
        message = await said(store, 1, a_clock("gp"))
        before = await clocks(store, message)
        await store.close()
        again = await reopened()
        assert await clocks(again, message) == before
        assert [one.kind for one in await again.fire(T0 + 18 * HOUR)] == ["step"]

    async def test_much_at_once_is_right(self, store):
        await asyncio.gather(*[said(store, n, a_clock("gp", patient=n), patient=n) for n in range(1, 41)])
        await asyncio.gather(
            *[written(store, 100 + n, a_letter(100 + n, "gp", patient=n, series=f"s{n}")) for n in range(1, 41, 2)]
        )
        await delivered(store, T0 + HOUR)
        status = await store.status(T0 + HOUR)
        assert (status.clocks, status.differences) == ({"summary-24h": {"met": 20, "running": 20}}, ())
        assert len(await store.fire(T0 + 18 * HOUR)) == 20

    async def test_a_forgotten_clock_is_found(self, store):
        await said(store, 1, a_clock("gp"))
        assert (await store.status(T0 + 18 * HOUR)).differences == ()
        assert (await store.status(T0 + 19 * HOUR)).differences == ("C5: 1 clocks lie behind their time",)
