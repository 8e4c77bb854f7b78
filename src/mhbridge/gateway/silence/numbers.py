"""
Which numbers of a sender's counting have not come. Pure: it is told the time.

A message has a number where the sender gives it one (HL7 v2 MSH-13), or where its control id (MSH-10) ends in one that
grows by one from message to message. What is not counted has no gaps: an id that happens to end in digits says nothing
(gateway design §9). This module must never keep or give away the text of a control id, but for a digest of its prefix.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2s
from typing import Final

from mhbridge.ports import OPEN_ENDED, Gap

__all__ = ["Numbers"]

#: The digits at the end, few enough for 63 bits.
_TAIL: Final = re.compile(r"(?<!\d)\d{1,18}\Z")
#: So many of the last so many steps must be by one, and so many there must be at all.
_SEEN: Final = 500
_SHARE: Final = 0.95
_ENOUGH: Final = 100
#: A number so far below the highest is the beginning of a new counting; one that is nearer came late, or again.
_FAR: Final = 1_000
#: Whoever leaves out so many numbers counts what it sends to others, too, or does not count.
_SCATTERED: Final = 50
#: Countings of one feed, and gaps of those that began again.
_PREFIXES: Final = 16
_GAPS: Final = 1_000
#: What MSH-13 counts has no prefix, and a control id has no such prefix.
_SEQUENCE: Final = "\0"


class _Series:
    """One counting: the highest number so far, the gaps below it, and whether it counts at all."""

    __slots__ = ("by_one", "gaps", "name", "none", "steps", "sure", "top", "width")

    def __init__(self, name: str, *, sure: bool) -> None:
        self.name = name
        self.top = -1
        #: How many digits it is written with.
        self.width = 0
        self.gaps: list[Gap] = []
        #: Of the last steps, which were by one: a ring of bits and how many of them are set.
        self.steps = bytearray()
        self.by_one = 0
        #: The sender says that it counts, or it was a counting before.
        self.sure = sure
        #: It turned out to be none.
        self.none = False

    @property
    def counts(self) -> bool:
        """Whether a number that is left out means a message that is missing."""
        return self.sure or (len(self.steps) >= _ENOUGH and self.by_one >= _SHARE * len(self.steps))

    def step(self, by_one: bool) -> None:
        self.steps.append(by_one)
        self.by_one += by_one
        if len(self.steps) > _SEEN:
            self.by_one -= self.steps.pop(0)


class Numbers:
    """
    The numbers of one feed.

    Args:
        gaps: those that were kept before; the open-ended one of a series says what its highest number was.
    """

    def __init__(self, feed: str, gaps: Iterable[Gap] = ()) -> None:
        self._feed = feed
        self._series: dict[str, _Series] = {}
        self._kept: dict[str, _Series] = {}
        self._old: list[Gap] = []
        self.changed = False
        for gap in sorted(gaps, key=lambda gap: gap.first):
            series = self._kept.setdefault(gap.series, _Series(gap.series, sure=True))
            if gap.last == OPEN_ENDED:
                series.top = gap.first - 1
            else:
                series.gaps.append(gap)
        # Gaps of a counting that has begun again are only ever closed by a person or by time.
        for name in [name for name, series in self._kept.items() if series.top < 0]:
            self._old += self._kept.pop(name).gaps

    # --- told and asked ---

    def heard(self, at: datetime, control_id: str, sequence: str = "") -> None:
        """A message has come. For each message, so it does as little as it can."""
        if sequence.isdecimal() and len(sequence) <= 18:
            prefix, number, width = _SEQUENCE, int(sequence), 0
        else:
            found = _TAIL.search(control_id)
            if found is None:
                return
            prefix, number, width = control_id[: found.start()], int(found[0]), len(found[0])
        series = self._series.get(prefix) or self._begin(prefix)
        top, series.width = series.top, width
        if number == top + 1:
            series.top = number
            series.step(True)
        elif top < 0:
            series.top = number
        else:
            self._odd(series, prefix, number, at)
        self.changed = True

    def open(self) -> Sequence[Gap]:
        """What has not come, the oldest first."""
        gaps = [gap for series in self._all() for gap in series.gaps]
        return sorted((*self._old, *gaps), key=lambda gap: gap.seen_at)

    def told(self, gaps: Iterable[Gap]) -> None:
        """People know of these."""
        known = set(gaps)
        for found in (self._old, *(series.gaps for series in self._all())):
            found[:] = [replace(gap, told=True) if gap in known else gap for gap in found]
        self.changed = True

    def forget(self, before: datetime) -> None:
        """What was missed so long ago will not come."""
        for found in (self._old, *(series.gaps for series in self._all())):
            kept = [gap for gap in found if gap.seen_at >= before]
            if len(kept) != len(found):
                found[:] = kept
                self.changed = True

    def fill(self, gap: Gap, numbers: Iterable[int]) -> None:
        """These numbers of a gap did come, somewhere else."""
        for series in self._all():
            if series.name == gap.series:
                for number in numbers:
                    _fill(series.gaps, number)
                self.changed = True

    def written(self, gap: Gap, most: int) -> Iterator[tuple[int, str]]:
        """
        The first numbers of a gap with the control ids that they would be in, where those are known.

        A number that is written with noughts before it is given with and without them.
        """
        for prefix, series in self._series.items():
            if series.name == gap.series and prefix != _SEQUENCE:
                for number in range(gap.first, min(gap.last, gap.first + most - 1) + 1):
                    for digits in dict.fromkeys((str(number), str(number).zfill(series.width))):
                        yield number, prefix + digits

    def kept(self, now: datetime) -> Sequence[Gap]:
        """What must not be forgotten: the gaps, and for each series that counts where it ends."""
        counting = [one for one in self._all() if one.counts and not one.none and one.top >= 0]
        ends = [Gap(self._feed, series.name, series.top + 1, OPEN_ENDED, now) for series in counting]
        return [*self.open(), *ends]

    # --- underneath ---

    def _all(self) -> list[_Series]:
        return [*self._series.values(), *self._kept.values()]

    def _begin(self, prefix: str) -> _Series:
        name = blake2s(prefix.encode("utf-8", "surrogatepass"), digest_size=8, person=b"series").hexdigest()
        series = self._kept.pop(name, None) or _Series(name, sure=prefix == _SEQUENCE)
        self._series[prefix] = series
        if len(self._series) > _PREFIXES:
            others = [(one.counts, len(one.steps), other) for other, one in self._series.items() if other != prefix]
            self._old += self._series.pop(min(others)[2]).gaps
        return series

    def _odd(self, series: _Series, prefix: str, number: int, at: datetime) -> None:
        """A number that is not the next one."""
        if _fill(series.gaps, number):
            return
        series.step(False)
        if number > series.top:
            if series.counts and not series.none:
                series.gaps.append(Gap(self._feed, series.name, series.top + 1, number - 1, at))
                if len(series.gaps) > _SCATTERED:
                    # It looked like a counting and is none of ours, so nothing of it is missing.
                    series.gaps, series.none = [], True
                    self._old = [gap for gap in self._old if gap.series != series.name]
            series.top = number
        elif number < series.top - _FAR or (prefix == _SEQUENCE and number <= 1):
            # It counts from the beginning again; what was missing before that is still missing.
            self._old = (self._old + series.gaps)[-_GAPS:]
            series.gaps = []
            series.top = number


def _fill(gaps: list[Gap], number: int) -> bool:
    """Take a number out of the gap that it is in. They stand in the order of their numbers."""
    at = bisect_right(gaps, number, key=lambda gap: gap.first) - 1
    if at < 0 or gaps[at].last < number:
        return False
    gap = gaps[at]
    left = [replace(gap, last=number - 1)] if gap.first < number else []
    right = [replace(gap, first=number + 1)] if number < gap.last else []
    gaps[at : at + 1] = left + right
    return True
