"""What every store must remember of feeds, so that a start does not forget what is usual, written against the port."""

from datetime import date, timedelta

from store_cases import FEED, MINUTE, T0

from mhbridge.ports import OPEN_ENDED, Gap, Profile

TODAY = date(2026, 3, 3)


class SilenceContract:
    async def test_nothing_was_learned_at_first(self, store):
        assert list(await store.profiles()) == []
        assert list(await store.gaps()) == []

    async def test_what_was_learned_is_there_after_opening_again(self, store, reopened):
        profiles = [
            Profile(FEED, {9: (4, 5, 6), 167: (0,)}, TODAY, 17, 3.25),
            Profile("other/csv", {}, TODAY, 0, 0.0, T0 - timedelta(hours=4)),
        ]
        await store.keep_profiles(profiles)
        await store.close()
        assert list(await (await reopened()).profiles()) == profiles

    async def test_hours_that_are_not_named_are_kept_and_the_rest_is_replaced(self, store):
        await store.keep_profiles([Profile(FEED, {9: (4, 5), 10: (7,)}, TODAY, 17, 3.25, T0)])
        await store.keep_profiles([Profile(FEED, {10: (7, 8)}, TODAY + timedelta(days=1), 2)])
        assert list(await store.profiles()) == [Profile(FEED, {9: (4, 5), 10: (7, 8)}, TODAY + timedelta(days=1), 2)]

    async def test_the_gaps_of_a_feed_are_those_that_were_kept_last(self, store, reopened):
        ended = Gap(FEED, "a1", 18, OPEN_ENDED, T0)
        first = [Gap(FEED, "a1", 3, 3, T0), Gap(FEED, "a1", 7, 9, T0 + MINUTE, told=True), ended]
        other = [Gap("other/csv", "b2", 1, 2, T0)]
        await store.keep_gaps(FEED, first)
        await store.keep_gaps("other/csv", other)
        await store.close()
        store = await reopened()
        assert list(await store.gaps()) == [*first, *other]
        await store.keep_gaps(FEED, [ended])
        assert list(await store.gaps()) == [ended, *other]
        await store.keep_gaps(FEED, [])
        assert list(await store.gaps()) == other
