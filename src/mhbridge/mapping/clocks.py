"""
Clocks as a pack declares them: from when, within what time, met by what, and whom to tell on the way (§9).

A clock has no condition for running, only for being excluded, so missing values never stop one. Pure: what a clock
ought to be follows from items; this module must never know which clocks there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from mhbridge.errors import Span
from mhbridge.mapping.known import moment
from mhbridge.mapping.nodes import Condition, Expression

__all__ = [
    "LEVELS",
    "ClockRule",
    "Length",
    "MetBy",
    "ReadyClock",
    "ReadyWord",
    "Rung",
    "Word",
    "instant_of",
    "length_of",
]

#: What `met_by: {delivered: …}` asks of the receiver, as the level of a delivery (gateway design §2.2).
LEVELS: Final[Mapping[str, int]] = {"sent": 1, "accepted": 2, "business": 5}

_LENGTH: Final = re.compile(r"PT([1-9]\d{0,3})H|P([1-9]\d{0,2})D")
_ZONED: Final = re.compile(r"T.*(?:Z|[+-]\d\d:\d\d)")
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


@dataclass(frozen=True, slots=True)
class Rung:
    """
    A step of a ladder: when somebody is told.

    Args:
        at: so long after the start; `None`: when it is due.
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
class ClockRule:
    """
    A clock as it was read and checked.

    Args:
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
    starts: Expression
    noticed_when: Condition | None
    excluded_when: Condition | None
    within: Length
    met_by: MetBy
    ladder: tuple[Rung, ...]
    begins: frozenset[str]
    reads: frozenset[str]
    span: Span


@dataclass(frozen=True, slots=True)
class ReadyWord:
    """A word, ready to be asked for."""

    word: Word
    when: Callable[..., bool]
    at: Callable[..., Any]

    def of(self, items: Mapping[str, Any], run: Any, zone: ZoneInfo) -> datetime | None:
        """Of when these items say it; `None`: they do not."""
        return instant_of(self.at(items, None, run, None, 0), zone) if self.when(items, None, run, None, 0) else None


@dataclass(frozen=True, slots=True)
class ReadyClock:
    """
    The same, ready to run: what the compiler (or the interpreter) made of its expressions.

    Each function is called as `f(items, None, run, None, 0)`.
    """

    rule: ClockRule
    starts: Callable[..., Any]
    noticed: Callable[..., bool] | None
    excluded: Callable[..., bool] | None
    words: tuple[ReadyWord, ...] = ()

    @property
    def name(self) -> str:
        """Its name."""
        return self.rule.name

    def due(self, start: datetime, zone: ZoneInfo) -> datetime:
        """By when it must be met."""
        return self.rule.within.after(start, zone)

    def ladder(self, start: datetime, zone: ZoneInfo) -> tuple[tuple[datetime, str, str], ...]:
        """When who is told, and how loudly."""
        due = self.due(start, zone)
        return tuple(
            (due if rung.at is None else rung.at.after(start, zone), rung.queue, rung.severity)
            for rung in self.rule.ladder
        )
