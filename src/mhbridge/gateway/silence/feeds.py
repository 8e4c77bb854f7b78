"""
Listens to every feed: what it usually sends, the least that is expected of it, and the numbers that it leaves out.

Each silence and each gap is an event of level error and a task, once when it begins; when it ends, that is an event,
and the task is closed. What was learned is in the store, so a start forgets nothing. This module must never hold up a
message: what is done for each is a few additions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from mhbridge.errors import StoreError
from mhbridge.gateway.silence.arrivals import Arrivals
from mhbridge.gateway.silence.floors import Expected, is_absent, is_silent
from mhbridge.gateway.silence.numbers import Numbers
from mhbridge.log import Event, Log
from mhbridge.model import Outcome
from mhbridge.ports import Clock, Gap, Profile, Sought, Store

__all__ = ["Silence"]

#: A number may be late for so long: another connection of its sender is slower.
_LATE: Final = timedelta(minutes=10)
#: What was missed so long ago is not looked for any more.
_FORGOTTEN: Final = timedelta(days=35)
#: So many numbers are looked up in the store before people are told: they may have come by another feed.
_LOOKED_UP: Final = 500

#: What a task is about.
_SILENCE: Final = "silence"
#: What has begun: by what a feed usually sends, by the least that is expected of it …
_ARRIVALS: Final = "arrivals"
_FLOOR: Final = "floor"
_CONNECTION: Final = "connection"
_GAP: Final = "gap"


class Silence:
    """
    What is known of all feeds.

    Args:
        feeds: their names.
        expected: feed → the least that is expected of it.
        holidays: days that are like Sundays.
        connections: feed → how many connections its receiver has, where it knows.
        k: what must have been expected in vain; a test sets it.
    """

    def __init__(
        self,
        *,
        store: Store,
        feeds: Collection[str],
        expected: Mapping[str, Expected],
        clock: Clock,
        log: Log,
        holidays: Collection[date] = (),
        connections: Mapping[str, Callable[[], int]] | None = None,
        k: float | None = None,
    ) -> None:
        self._store = store
        self._names = tuple(dict.fromkeys((*feeds, *expected)))
        self._expected = expected
        self._clock = clock
        self._log = log
        self._holidays = frozenset(holidays)
        self._k = k
        #: Feed → how many connections it has; filled when receivers have been made.
        self.connections = dict(connections or {})
        #: Feed → envelopes that were heard of since this listens, and how many there were in the store by then.
        self._heard: dict[str, int] = {}
        self._kept: dict[str, int] = {}
        #: What is remembered of feeds that were not heard or named yet.
        self._profiles: dict[str, Profile] = {}
        self._gaps: dict[str, list[Gap]] = {}
        self._arrivals: dict[str, Arrivals] = {}
        self._numbers: dict[str, Numbers] = {}
        #: Feed → when it was last seen to have a connection.
        self._connected: dict[str, datetime] = {}
        #: Feed → from when it is known what came.
        self._since: dict[str, datetime] = {}
        self._begun: set[tuple[str, str]] = set()
        #: What a task from before the start can no longer be about.
        self._sure: set[tuple[str, str]] = set()
        #: Feed → when it began to be listened to, in this process.
        self._started: dict[str, datetime] = {}
        #: (feed, when it was last heard) of floors that were broken: only a message ends that.
        self._broken: dict[str, datetime] = {}

    async def open(self) -> None:
        """Remember what was learned. The store is open."""
        now = self._clock()
        for remembered in (self._heard, self._kept, self._arrivals, self._broken):
            remembered.clear()
        self._begun.clear()
        self._sure.clear()
        self._profiles = {profile.feed: profile for profile in await self._store.profiles()}
        self._gaps.clear()
        for gap in await self._store.gaps():
            self._gaps.setdefault(gap.feed, []).append(gap)
        for feed in self._names:
            self._listen(feed, now)

    async def close(self) -> None:
        """Keep what was learned since the last look."""
        if self._arrivals:
            await self._keep(self._clock())
        self._begun.clear()

    def taken(self, feed: str, at: datetime, outcomes: Sequence[Outcome]) -> None:
        """An envelope is durable that was not there before. For each envelope, so it does as little as it can."""
        arrivals = self._arrivals.get(feed) or self._listen(feed, at)
        arrivals.heard(at)
        self._heard[feed] = self._heard.get(feed, 0) + 1
        numbers = self._numbers[feed]
        for outcome in outcomes:
            facts = outcome.facts
            numbers.heard(at, facts.control_id, facts.sequence)

    def heard_elsewhere(self, feeds: Mapping[str, Mapping[str, int]], now: datetime) -> None:
        """
        What other nodes have taken since this one listens for all, by the accounts: they tell it nothing else.

        Of their messages no numbers are known, so gaps are found among those that came here; and what seems to be
        missing is looked for in the store, where theirs are, before people are told.
        """
        for feed, states in feeds.items():
            kept = states.get("received", 0) - states.get("repeat", 0) - states.get("refused", 0)
            if feed not in self._kept:
                self._kept[feed], self._heard[feed] = kept, 0
            arrivals = self._arrivals.get(feed) or self._listen(feed, now)
            # What was counted here before it was heard of makes up for itself at the next look.
            elsewhere = kept - self._kept[feed] - self._heard.get(feed, 0)
            if elsewhere > 0:
                arrivals.heard(now, elsewhere)
                self._heard[feed] = self._heard.get(feed, 0) + elsewhere

    async def look(self, now: datetime) -> None:
        """
        What has begun or ended by now. To be asked every minute.

        Raises:
            StoreError: what was found could not be kept. It is found again.
        """
        for feed, arrivals in tuple(self._arrivals.items()):
            await self._look_at_arrivals(feed, arrivals, now)
            await self._look_at_floor(feed, arrivals, now)
            if arrivals.heard_at > self._started[feed] and feed not in self.silent:
                await self._make_sure(_SILENCE, feed, now)
            await self._look_at_connections(feed, now)
            await self._look_at_numbers(feed, now)
        await self._keep(now)

    @property
    def silent(self) -> frozenset[str]:
        """The feeds that are silent now, by what they usually send or by the least that is expected of them."""
        return frozenset(feed for what, feed in self._begun if what in (_ARRIVALS, _FLOOR))

    # --- underneath ---

    def _listen(self, feed: str, now: datetime) -> Arrivals:
        """Begin to listen to a feed, with what is remembered of it."""
        profile, gaps = self._profiles.pop(feed, None), self._gaps.pop(feed, [])
        arrivals = Arrivals(feed, now, profile, holidays=self._holidays, k=self._k)
        self._arrivals[feed] = arrivals
        self._numbers[feed] = Numbers(feed, gaps)
        self._connected[feed] = self._started[feed] = now
        # Of a feed that was listened to before, also what came earlier today is known.
        self._since[feed] = now - timedelta(days=1) if profile else now
        if profile is not None and profile.silent_since is not None:
            self._begun.add((_ARRIVALS, feed))
        if any(gap.told for gap in gaps):
            self._begun.add((_GAP, feed))
        return arrivals

    async def _look_at_arrivals(self, feed: str, arrivals: Arrivals, now: datetime) -> None:
        arrivals.look(now)
        # By how it stands and not by what has changed: what the store would not take is said at the next look.
        since, begun = arrivals.silent_since, (_ARRIVALS, feed) in self._begun
        if since is not None and not begun:
            seconds = round((now - since).total_seconds())
            await self._begin(_ARRIVALS, feed, now, code="D970", seconds=seconds, count=round(arrivals.expected))
        elif since is None and begun:
            await self._end(_ARRIVALS, feed, now)

    async def _look_at_floor(self, feed: str, arrivals: Arrivals, now: datetime) -> None:
        expected = self._expected.get(feed)
        if expected is None:
            return
        heard, since = arrivals.heard_at, self._since[feed]
        silent = is_silent(expected, now, heard=heard, today=arrivals.today, since=since, holidays=self._holidays)
        # Neither the end of its hours nor that of a day makes up for what did not come: what ends it is a message.
        silent = silent or self._broken.get(feed) == heard
        if silent and (_FLOOR, feed) not in self._begun:
            self._broken[feed] = heard
            await self._begin(_FLOOR, feed, now, code="D971", seconds=round((now - heard).total_seconds()))
        elif not silent and (_FLOOR, feed) in self._begun:
            self._broken.pop(feed, None)
            await self._end(_FLOOR, feed, now)

    async def _look_at_connections(self, feed: str, now: datetime) -> None:
        expected, count = self._expected.get(feed), self.connections.get(feed)
        if expected is None or count is None or expected.connection is None:
            return
        connected = count()
        if connected:
            self._connected[feed] = now
        about = (_CONNECTION, feed)
        absent = not connected and is_absent(expected, now, self._connected[feed], self._holidays)
        if absent and about not in self._begun:
            seconds = round((now - self._connected[feed]).total_seconds())
            await self._store.raise_task(_CONNECTION, "D972", now, name=feed)
            self._begun.add(about)
            self._log.error(Event.NO_CONNECTION, feed=feed, code="D972", seconds=seconds)
        elif connected and about in self._begun:
            await self._store.close_task(_CONNECTION, "connected again", now, name=feed)
            self._begun.discard(about)
            self._log.info(Event.CONNECTED_AGAIN, feed=feed)
        elif connected:
            await self._make_sure(_CONNECTION, feed, now)

    async def _look_at_numbers(self, feed: str, now: datetime) -> None:
        numbers = self._numbers[feed]
        numbers.forget(now - _FORGOTTEN)
        late = [gap for gap in numbers.open() if not gap.told and now - gap.seen_at > _LATE]
        left = _LOOKED_UP
        for gap in late:
            here = {number for number, text in numbers.written(gap, left) if await self._is_here(text)}
            if here:
                numbers.fill(gap, here)
            left = max(0, left - (gap.last - gap.first + 1))
        missing = [gap for gap in numbers.open() if not gap.told and now - gap.seen_at > _LATE]
        if missing:
            count = sum(gap.last - gap.first + 1 for gap in missing)
            await self._store.raise_task(_GAP, "D973", now, name=feed)
            self._log.error(Event.NUMBERS_MISSING, feed=feed, code="D973", count=count)
            numbers.told(missing)
            self._begun.add((_GAP, feed))
        elif (_GAP, feed) in self._begun and not any(gap.told for gap in numbers.open()):
            await self._store.close_task(_GAP, "nothing is missing any more", now, name=feed)
            self._begun.discard((_GAP, feed))
            self._log.info(Event.NUMBERS_CAME, feed=feed)
        elif (_GAP, feed) not in self._begun:
            await self._make_sure(_GAP, feed, now)

    async def _is_here(self, control_id: str) -> bool:
        return bool(await self._store.messages(search=control_id, kind=Sought.CONTROL, most=1))

    async def _begin(self, what: str, feed: str, now: datetime, **about: object) -> None:
        await self._store.raise_task(_SILENCE, str(about["code"]), now, name=feed)
        self._begun.add((what, feed))
        self._log.error(Event.SILENT, feed=feed, kind=what, **about)

    async def _end(self, what: str, feed: str, now: datetime) -> None:
        if {(_ARRIVALS, feed), (_FLOOR, feed)} & self._begun == {(what, feed)}:
            await self._store.close_task(_SILENCE, "it was heard again", now, name=feed)
        self._begun.discard((what, feed))
        self._log.info(Event.HEARD_AGAIN, feed=feed, kind=what)

    async def _make_sure(self, what: str, feed: str, now: datetime) -> None:
        """Once after a start: a task from before it, of which nothing is so any more, has ended."""
        if (what, feed) not in self._sure:
            await self._store.close_task(what, "it is so no more", now, name=feed)
            self._sure.add((what, feed))

    async def _keep(self, now: datetime) -> None:
        profiles = [arrivals.profile() for arrivals in self._arrivals.values()]
        await self._store.keep_profiles(profiles)
        for profile in profiles:
            self._arrivals[profile.feed].kept(profile)
        changed = {feed: numbers for feed, numbers in self._numbers.items() if numbers.changed}
        for numbers in changed.values():
            numbers.changed = False
        try:
            await asyncio.gather(*(self._store.keep_gaps(feed, one.kept(now)) for feed, one in changed.items()))
        except StoreError:
            for numbers in changed.values():
                numbers.changed = True
            raise
