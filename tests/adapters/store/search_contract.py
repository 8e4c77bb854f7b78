"""How every store finds messages again: by identifiers in one form, by feed, state and time, in pages."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from store_cases import (
    MINUTE,
    T0,
    a_document,
    a_patient,
    a_reading,
    an_answer,
    an_envelope,
    an_outcome,
    keep,
    key_of,
    take,
)

from mhbridge.model import DELETED, Act, DeliveryState, Key, MessageState, Planned
from mhbridge.ports import Move, Sought

LETTER = "urn:uuid:00000000-0000-4000-8000-0000000000a{}"


def a_letter(number, **items):
    """A letter about an invented person, with everything that people search by."""
    said = {
        "nhs_number": f"99900000{number:02}",
        "birth_date": "1987-06-21",
        "patient_name": [{"family": f"O'Sample-Née{'x' * number}", "given": ["Ann"]}, {"family": "Alias"}],
        "local_identifiers": [
            {"system": "example-mrn", "value": f"P{number:04}"},
            {"system": "old", "value": f"OLD-{number}"},
        ],
        "spell_id": {"system": "example-spell", "value": f"SP-{number}"},
        "sender_document": {"system": "example-letter", "value": f"L-{number}"},
        **items,
    }
    return a_reading(said, patient=a_patient(number), episode=f"example-spell|SP-{number}")


async def keep_letter(store, number, at=T0, **items):
    document = replace(a_document(number), bundle="document", identifier=LETTER.format(number))
    outcome = replace(
        an_outcome(number, patient=number, readings=[a_letter(number, **items)]),
        documents=(document,),
        deliveries=(Planned(0, "gp"),),
    )
    done = await store.commit(an_envelope(number, at=at), key_of(number), [outcome], an_answer(), {})
    return done.messages[0]


#: What finds the second of three letters: as it was written, and as people type it.
FOUND = [
    ("control", "C2"), ("control", " c2 "), ("patient", "P0002"), ("patient", "p 0002"), ("patient", "old-2"),
    ("nhs", "9990000002"), ("nhs", "999 000 0002"), ("nhs", "999-000-0002"), ("visit", "SP-2"), ("visit", "sp-2"),
    ("document", "L-2"), ("document", LETTER.format(2)), ("document", LETTER.format(2)[9:].upper()),
    ("person", "O'Sample-Néexx 1987-06-21"), ("person", "osample neexx 21/06/1987"),
    ("person", "OSAMPLENEEXX 21.6.1987"),
    ("remote", "Bundle/R-2"),
]  # fmt: skip


class SearchContract:
    @pytest.fixture
    async def three(self, store):
        """Three letters, of which each was delivered and has its receiver's id."""
        found = [await keep_letter(store, number) for number in (1, 2, 3)]
        for due in await take(store, T0):
            number = found.index(due.message) + 1
            await store.finish([Move(due.id, DeliveryState.DONE, level=2, remote_id=f"Bundle/R-{number}")], T0)
        return found

    @pytest.mark.parametrize(("kind", "text"), FOUND)
    async def test_a_message_is_found_by_each_identifier(self, store, three, kind, text):
        assert [row.id for row in await store.messages(kind=kind, search=text)] == [three[1]]
        others = [one for one in Sought if one not in (kind, Sought.PERSON)]
        assert [await store.messages(kind=other, search=text) for other in others] == [[]] * len(others)
        if kind != "person":
            assert [row.id for row in await store.messages(search=text)] == [three[1]]
        assert await store.messages(kind=kind, search=text, state="parked") == []
        assert await store.messages(kind=kind, search=text, feed="nobody/nothing") == []

    async def test_what_many_have_finds_all_of_them(self, store, three):
        found = await store.messages(kind="person", search="alias 1987-06-21")
        assert [row.id for row in found] == three[::-1]

    @pytest.mark.parametrize(
        ("kind", "text"),
        [("person", "Sample"), ("person", "1987-06-22"), ("person", "Sample 1987"), ("person", "' 1987-06-22")],
    )
    async def test_what_is_not_of_its_shape_is_refused_without_being_said(self, store, kind, text):
        with pytest.raises(ValueError, match="a surname and then a date of birth") as raised:
            await store.messages(kind=kind, search=text)
        assert text not in str(raised.value)

    @pytest.mark.parametrize(
        "items",
        [
            {"birth_date": DELETED},
            {"birth_date": "1987"},
            {"patient_name": [{"text": "Alias"}]},
            {"nhs_number": DELETED},
        ],
    )
    async def test_what_a_message_does_not_say_finds_nothing(self, store, items):
        message = await keep_letter(store, 1, **items)
        found = await store.messages(kind="person", search="alias 1987-06-21")
        assert [row.id for row in found] == ([message] if "nhs_number" in items else [])
        assert [row.id for row in await store.messages(search="P0001")] == [message]

    async def test_all_messages_of_a_patient_are_found_by_what_one_of_them_says(self, store):
        first = await keep_letter(store, 1)
        bare = (await keep(store, 2, patient=1, readings=[a_reading({}, patient=a_patient(1))])).messages[0]
        for kind, text in (("nhs", "9990000001"), ("person", "alias 1987-06-21"), ("patient", "OLD-1")):
            assert [row.id for row in await store.messages(kind=kind, search=text)] == [bare, first]

    async def test_a_message_without_a_patient_of_its_own_is_found_by_what_it_says(self, store):
        reading = replace(a_letter(1), patient=None)
        done = await keep(store, 1, patient=None, state=MessageState.PARKED, code="M712", readings=[reading])
        for text in ("9990000001", "OLD-1", "SP-1"):
            assert [row.id for row in await store.messages(search=text)] == list(done.messages)

    async def test_a_merge_is_found_by_both_of_its_patients(self, store):
        reading = replace(a_reading({}, patient=a_patient(1)), act=Act.MERGE, merged_from=Key("example-mrn", "P0009"))
        done = await keep(store, 1, patient=1, readings=[reading])
        for text in ("P0001", "P0009"):
            assert [row.id for row in await store.messages(kind="patient", search=text)] == list(done.messages)

    async def test_a_visit_that_is_only_in_the_episode_is_found(self, store):
        done = await keep(store, 1, episode="V2", readings=[a_reading({}, episode="V2")])
        assert [row.id for row in await store.messages(kind="visit", search="v2")] == list(done.messages)

    async def test_a_search_has_pages(self, store):
        for number in range(1, 8):
            await keep(store, number, state=MessageState.PARKED if number == 1 else MessageState.DONE)
        for text in ("P0001", ""):
            pages, before = [], 0
            while page := await store.messages(search=text, most=3, before=before):
                pages.append(page)
                before = page[-1].id
            assert [len(page) for page in pages] == [3, 3, 1]
            assert [await _number(store, row) for page in pages for row in page] == [7, 6, 5, 4, 3, 2, 1]
        assert len(await store.messages(search="P0001", most=1, state="parked")) == 1

    async def test_times_narrow_every_search_and_pages_stay_whole(self, store):
        # Received in another order than they were committed in: the clock was set back.
        ats = [0, 1, 2, 5, 4, 3, 6, 6, 6, 7]
        for number, minutes in enumerate(ats):
            await keep(store, number, at=T0 + minutes * MINUTE, patient=1)
        for since, until, text in product((None, 0, 3, 6), (None, 3, 6, 8), ("", "P0001")):
            times = {
                name: T0 + minutes * MINUTE
                for name, minutes in (("since", since), ("until", until))
                if minutes is not None
            }
            expected = {n for n, at in enumerate(ats) if (since or 0) <= at < (99 if until is None else until)}
            found, before = [], 0
            while page := await store.messages(search=text, most=2, before=before, **times):
                found += [await _number(store, row) for row in page]
                before = page[-1].id
            assert len(found) == len(expected)
            assert set(found) == expected
        newest = [row.received_at for row in await store.messages()]
        assert newest == sorted(newest, reverse=True)

    async def test_what_a_parked_delivery_makes_wait_is_looked_for_as_parked(self, store):
        message = await keep_letter(store, 1)
        (due,) = await take(store, T0)
        await store.finish([Move(due.id, DeliveryState.PARKED, code="D946")], T0)
        for terms in ({"search": "P0001"}, {"search": "C1"}, {"since": T0}, {}):
            assert [row.id for row in await store.messages(state="parked", **terms)] == [message]
        assert await store.messages(state="parked", since=T0 + timedelta(hours=1)) == []


async def _number(store, row):
    return int((await store.original(row.id)).split()[1])
