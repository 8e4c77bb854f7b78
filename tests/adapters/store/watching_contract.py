"""What every store must do for watches: say of whom was heard, with all of the person, and keep what was told."""

from store_cases import MINUTE, T0, a_patient, a_reading, keep

from mhbridge.pipeline.persons import Told
from mhbridge.pipeline.watching import ELSEWHERE, MORE, SIGNAL, STAY
from mhbridge.ports import Noticed

NUMBER = "9990001014"


SENDER = "example-mental-health"


async def heard(store, number, role, patient=1, *, nhs=NUMBER, at=T0, sender=SENDER):
    """A message that may be something to a watch."""
    reading = a_reading(
        {"nhs_number": nhs, "n": number}, patient=a_patient(patient), episode=f"V{patient}", mapping=f"{sender}/adt"
    )
    return await keep(store, number, at=at, patient=patient, readings=[reading], watched=role)


async def looked_at(store):
    """Those of whom anything is opened. Where others write too, who stands alone is known when they are looked at."""
    return [one for one in await store.seen() if one.person.heard]


def said(person):
    return sorted((one.supplier, one.items["n"], one.own) for one in person.person.heard)


class WatchingContract:
    async def test_nobody_is_seen_of_whom_nothing_was_heard(self, store):
        await heard(store, 1, 0)
        assert list(await store.seen()) == []

    async def test_a_stay_alone_or_a_signal_alone_is_nothing(self, store):
        await heard(store, 1, STAY)
        await heard(store, 2, SIGNAL, patient=2, nhs="9990020108")
        assert await looked_at(store) == []
        await store.noticed([Noticed(one.patient, one.turn) for one in await store.seen()])
        assert list(await store.seen()) == []

    async def test_what_only_other_senders_are_told_of_is_nothing_by_one_sender_alone(self, store):
        await heard(store, 1, STAY | ELSEWHERE)
        await heard(store, 2, STAY | MORE)
        assert await looked_at(store) == []
        await heard(store, 3, MORE, sender="example-acute")
        (seen,) = await looked_at(store)
        assert [n for _, n, _ in said(seen)] == [3, 1, 2]
        # Whoever is known by several senders stays so.
        await store.noticed([Noticed(seen.patient, seen.turn)])
        await heard(store, 4, MORE)
        assert len(await looked_at(store)) == 1

    async def test_records_with_one_number_are_seen_together(self, store):
        await heard(store, 1, STAY)
        await heard(store, 2, SIGNAL, patient=2)
        await heard(store, 3, SIGNAL, patient=3, nhs="9990020108")
        found = [said(one) for one in await looked_at(store)]
        # The first is alone until the second comes; and whoever is looked at brings the whole person.
        assert found[-1:] == [[(SENDER, 1, True), (SENDER, 2, True)]]
        assert all(one == found[0] for one in found)

    async def test_what_was_told_is_there_the_next_time(self, store, reopened):
        await heard(store, 1, STAY | SIGNAL)
        (seen,) = await store.seen()
        told = Told(seen.patient, "a-watch", b"", 1, b"what")
        await store.noticed([Noticed(seen.patient, seen.turn, (told,))])
        await store.close()
        store = await reopened()
        assert list(await store.seen()) == []
        await heard(store, 2, STAY, at=T0 + MINUTE)
        (seen,) = await store.seen()
        assert (list(seen.person.told), seen.at) == ([told], T0 + MINUTE)
        again = Told(seen.patient, "a-watch", b"", 2, b"")
        await store.noticed([Noticed(seen.patient, seen.turn, (again,))])
        await heard(store, 3, MORE)
        assert [list(one.person.told) for one in await store.seen()] == [[again]]

    async def test_whoever_is_heard_of_meanwhile_is_seen_again(self, store):
        await heard(store, 1, STAY | SIGNAL)
        (seen,) = await store.seen()
        await heard(store, 2, STAY)
        await store.noticed([Noticed(seen.patient, seen.turn)])
        assert [one.patient for one in await store.seen()] == [seen.patient]

    async def test_a_merge_joins_what_was_heard_and_told(self, store):
        from merge_contract import merge

        await heard(store, 1, STAY | SIGNAL, nhs="9990020108")
        await heard(store, 2, MORE, patient=2)
        seen = await store.seen()
        told = Told(seen[0].patient, "a-watch", b"", 1, b"what")
        await store.noticed([Noticed(one.patient, one.turn, (told,) if one is seen[0] else ()) for one in seen])
        await merge(store, 3, a_patient(1), a_patient(2))
        (found,) = await store.seen()
        assert said(found) == [(SENDER, 1, False), (SENDER, 2, True)]
        assert [one.patient for one in found.person.told] == [found.patient]
        assert {one.patient for one in found.person.heard} == {found.patient}
        await merge(store, 4, a_patient(1), a_patient(2), undone=True)
        assert len(await store.seen()) == 2
