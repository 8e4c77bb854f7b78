"""
Clocks as a pack declares them: from when, within what time, met by what, and whom to tell on the way (§9).

A clock has no condition for running, only for being excluded, so missing values never stop one. Pure: what a clock
ought to be follows from items; this module must never know which clocks there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from mhbridge.errors import Span
from mhbridge.mapping.known import moment
from mhbridge.mapping.nodes import Condition, Expression, ItemOf, reads
from mhbridge.model import Entry, Issue, Severity

__all__ = [
    "LEVELS",
    "ClockRule",
    "EachRule",
    "Length",
    "MetBy",
    "ReadyClock",
    "ReadyEach",
    "ReadyWord",
    "Rung",
    "Word",
    "end_of",
    "instant_of",
    "length_of",
]

#: What `met_by: {delivered: …}` asks of the receiver, as the level of a delivery (gateway design §2.2).
LEVELS: Final[Mapping[str, int]] = {"sent": 1, "accepted": 2, "business": 5}

_LENGTH: Final = re.compile(r"PT([1-9]\d{0,3})H|P([1-9]\d{0,2})D")
_ZONED: Final = re.compile(r"T.*(?:Z|[+-]\d\d:\d\d)")
_PARTIAL: Final = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Length:
    """`PTnH`: so many hours go by, whatever the wall clock does. `PnD`: to the end of the nth day after, local time."""

    hours: int = 0
    days: int = 0

    def after(self, start: datetime, zone: ZoneInfo) -> datetime:
        """The instant so long after another, in UTC."""
        if self.hours:
            return (start + timedelta(hours=self.hours)).astimezone(UTC)
        day = start.astimezone(zone).date() + timedelta(days=self.days + 1)
        return datetime.combine(day, time(), zone).astimezone(UTC)

    @property
    def about(self) -> tuple[str, int]:
        """Unit and number: lengths of one unit can be compared."""
        return ("H", self.hours) if self.hours else ("D", self.days)


def length_of(text: str) -> Length | None:
    """A length as it is written, or `None`."""
    found = _LENGTH.fullmatch(text)
    return None if found is None else Length(int(found[1] or 0), int(found[2] or 0))


def instant_of(value: Any, zone: ZoneInfo) -> datetime | None:
    """The instant of a FHIR date or dateTime. A date alone is its beginning, where the clock ends the soonest."""
    at = moment(value) if isinstance(value, str) else None
    if at is None:
        return None
    found = _EPOCH + timedelta(microseconds=at)
    return found if _ZONED.search(value) else found.replace(tzinfo=zone).astimezone(UTC)


def end_of(value: Any, zone: ZoneInfo) -> datetime | None:
    """The instant by which something is to be done that is due then. A date, a month or a year alone is its end."""
    found = _PARTIAL.fullmatch(value) if isinstance(value, str) else None
    if found is None or instant_of(value, zone) is None:
        return instant_of(value, zone)
    year, month, day = int(found[1]), int(found[2] or 12), found[3]
    try:
        last = date(year, month, int(day)) if day else date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        return datetime.combine(last + timedelta(days=1), time(), zone).astimezone(UTC)
    except (ValueError, OverflowError):
        # The calendar ends there, and so does what can be waited for.
        return None


@dataclass(frozen=True, slots=True)
class Rung:
    """
    A step of a ladder: when somebody is told.

    Args:
        at: so long after the start, or after it was due where each entry of a list has a clock; `None`: when it is due.
    """

    at: Length | None
    queue: str
    severity: Literal["normal", "high", "critical"] = "normal"


@dataclass(frozen=True, slots=True)
class Word:
    """
    What another document of the patient says of a clock.

    Args:
        document: type of that.
        when: that it says so, over its items.
        at: of when that is.
        excludes: that the clock ought not to run; otherwise, that it is met.
    """

    document: str
    when: Condition
    at: Expression
    excludes: bool = False


@dataclass(frozen=True, slots=True)
class MetBy:
    """
    What ends a clock.

    Args:
        needs: the level that the newest version must have reached at the recipient; 0: other documents meet it.
        words: what those say, and others that exclude it.
    """

    needs: int = 0
    words: tuple[Word, ...] = ()

    @property
    def documents(self) -> tuple[str, ...]:
        """Types of the documents that meet it."""
        return tuple(word.document for word in self.words if not word.excludes)


@dataclass(frozen=True, slots=True)
class EachRule:
    """
    Of a clock that each entry of a list has: which there are, and what they say of themselves.

    Args:
        over: the list, whose entries have the name `alias`.
        called: what an entry is known by from version to version.
        due: by when it is to be done.
        done_when: that it is done.
        done_at: since when; where an entry does not say it, since it was heard of.
    """

    over: Expression
    alias: str
    called: Expression
    due: Expression
    done_when: Condition
    done_at: Expression | None


@dataclass(frozen=True, slots=True)
class ClockRule:
    """
    A clock as it was read and checked.

    Args:
        starts, within: `None` where each entry of a list says itself when it is due.
        document: type of the document whose pack it is in.
        sources: document types whose readings start it, the one to be believed first.
        identity: the items that say which stay it is, in all of them.
        noticed_when: that it has begun, where the start itself is missing: it then counts from the event.
        begins: the items that say when it begins.
        reads: those, and the items that exclude it.
    """

    name: str
    document: str
    sources: tuple[str, ...]
    identity: tuple[str, ...]
    starts: Expression | None
    noticed_when: Condition | None
    excluded_when: Condition | None
    within: Length | None
    met_by: MetBy
    ladder: tuple[Rung, ...]
    begins: frozenset[str]
    reads: frozenset[str]
    span: Span
    each: EachRule | None = None


@dataclass(frozen=True, slots=True)
class ReadyWord:
    """A word, ready to be asked for."""

    word: Word
    when: Callable[..., bool]
    at: Callable[..., Any]

    def of(self, items: Mapping[str, Any], run: Any, zone: ZoneInfo) -> datetime | None:
        """Of when these items say it; `None`: they do not."""
        return instant_of(self.at(items, None, run, None, 0), zone) if self.when(items, None, run, None, 0) else None


#: What was due so long before it is heard of, or is not for so long, is not watched: it would be noise, or for ever.
_PAST: Final = timedelta(days=35)
_AHEAD: Final = timedelta(days=2 * 366)


@dataclass(frozen=True, slots=True)
class ReadyEach:
    """The entries of a list, ready to be asked. Each function is called as `f(items, None, run, entry, place)`."""

    over: Callable[..., Any]
    called: Callable[..., Any]
    due: Callable[..., Any]
    done: Callable[..., bool]
    done_at: Callable[..., Any] | None


class _Standing(NamedTuple):
    """How an entry of a list stands; without a time by which it is due nobody can watch it."""

    place: int
    entry: Any
    due: datetime | None
    is_done: bool
    is_excluded: bool


@dataclass(frozen=True, slots=True)
class ReadyClock:
    """
    The same, ready to run: what the compiler (or the interpreter) made of its expressions.

    Each function is called as `f(items, None, run, None, 0)`; where each entry of a list has a clock, as those of
    `ReadyEach` are.
    """

    rule: ClockRule
    starts: Callable[..., Any] | None
    noticed: Callable[..., bool] | None
    excluded: Callable[..., bool] | None
    words: tuple[ReadyWord, ...] = ()
    each: ReadyEach | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.rule.name

    def entries(self, items: Mapping[str, Any], run: Any, zone: ZoneInfo, now: datetime) -> Iterator[Entry]:
        """The entries that can be watched, each with when it is due."""
        assert self.each is not None
        seen: dict[str, int] = {}
        for one in self._entries(items, run, zone):
            if one.due is None:
                continue
            name = str(self.each.called(items, None, run, one.entry, one.place))
            # Two that are called the same are two.
            seen[name] = seen.get(name, 0) + 1
            done_at = None
            if one.is_done:
                ask = self.each.done_at
                said = None if ask is None else ask(items, None, run, one.entry, one.place)
                done_at = instant_of(said, zone) or now
            called = name if seen[name] == 1 else f"{name}|{seen[name]}"
            ladder = self._after(one.due, zone)
            yield Entry(called, one.place, one.due, ladder, done_at, one.is_excluded, _is_near(one.due, now))

    def unwatched(self, items: Mapping[str, Any], run: Any, zone: ZoneInfo, now: datetime) -> Iterator[Issue]:
        """What there is to say of entries that are to be done, and of which nobody will hear that they are not."""
        if self.each is None:
            return
        to_do = [one for one in self._entries(items, run, zone) if not one.is_done and not one.is_excluded]
        undated = [one.place for one in to_do if one.due is None]
        far = [one.place for one in to_do if one.due is not None and not _is_near(one.due, now)]
        whose, rule = _list(self.rule), str(self.rule.span)
        if undated:
            text = f"by when entry {_numbers(undated)} is to be done is not said: nobody is told when it is overdue"
            yield Issue("I670", Severity.WARNING, text, item=whose, rule=rule)
        if far:
            text = (
                f"when entry {_numbers(far)} is due is too long ago or too far ahead: it does not begin to be watched"
            )
            yield Issue("I671", Severity.WARNING, text, item=whose, rule=rule)

    def _entries(self, items: Mapping[str, Any], run: Any, zone: ZoneInfo) -> Iterator[_Standing]:
        assert self.each is not None
        found = self.each.over(items, None, run, None, 0)
        for place, entry in enumerate(found, 1) if isinstance(found, list) else ():
            due = end_of(self.each.due(items, None, run, entry, place), zone)
            is_done = self.each.done(items, None, run, entry, place)
            is_excluded = self.excluded is not None and self.excluded(items, None, run, entry, place)
            yield _Standing(place, entry, due, is_done, is_excluded)

    def _after(self, due: datetime, zone: ZoneInfo) -> tuple[tuple[datetime, str, str], ...]:
        """The ladder of an entry: it begins when that is due."""
        return tuple(
            (due if rung.at is None else _later(due, rung.at, zone), rung.queue, rung.severity)
            for rung in self.rule.ladder
        )

    def due(self, start: datetime, zone: ZoneInfo) -> datetime:
        """By when it must be met."""
        assert self.rule.within is not None
        return self.rule.within.after(start, zone)

    def ladder(self, start: datetime, zone: ZoneInfo) -> tuple[tuple[datetime, str, str], ...]:
        """When who is told, and how loudly."""
        due = self.due(start, zone)
        return tuple(
            (due if rung.at is None else rung.at.after(start, zone), rung.queue, rung.severity)
            for rung in self.rule.ladder
        )


def _is_near(due: datetime, now: datetime) -> bool:
    """Whether what is due then can be begun to be watched."""
    return now - _PAST <= due <= now + _AHEAD


def _later(due: datetime, so_long: Length, zone: ZoneInfo) -> datetime:
    # What is due by the end of a day is due on that day, and not on the next.
    at = due if so_long.hours else due - timedelta(microseconds=1)
    try:
        return so_long.after(at, zone)
    except OverflowError:
        # The calendar ends first.
        return due


def _list(rule: ClockRule) -> str:
    """The item that is the list."""
    return next((read.name for read in reads(rule.each.over) if isinstance(read, ItemOf)), "") if rule.each else ""


def _numbers(places: list[int]) -> str:
    return ", ".join(map(str, places))
