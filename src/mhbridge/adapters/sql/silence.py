"""
What is learned of feeds, and the numbers that are missing, in the store.

Neither is logged or counted: it says nothing about a message, and what it leads to is an alarm or a task. This module
must never decide what is usual or missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from mhbridge.adapters.sql.books import Books, micros, when, when_said
from mhbridge.ports import Gap, Profile

if TYPE_CHECKING:
    from mhbridge.adapters.sql.reading import Reader

__all__ = ["Missing", "gaps", "keep_gaps", "keep_profiles", "profiles"]


class Missing(NamedTuple):
    """The gaps of one feed, all of them."""

    feed: str
    gaps: tuple[Gap, ...]


def profiles(reader: Reader) -> list[Profile]:
    """Of every feed that was ever listened to."""
    hours: dict[str, dict[int, tuple[int, ...]]] = {}
    for feed, hour, counts in reader.rows("profile_hours"):
        hours.setdefault(feed, {})[hour] = tuple(map(int, counts.split()))
    return [
        Profile(
            feed,
            hours.get(feed, {}),
            date.fromisoformat(day),
            count,
            expected,
            when_said(silent_since),
        )
        for feed, day, count, expected, silent_since in reader.rows("listening")
    ]


def keep_profiles(books: Books, items: Sequence[tuple[Profile, ...]]) -> list[None]:
    """Keep how feeds stand, and the hours that were learned."""
    found = [profile for item in items for profile in item]
    hours = [(p.feed, hour, " ".join(map(str, counts))) for p in found for hour, counts in p.hours.items()]
    books.each("keep_profile_hour", hours)
    stands = [
        (p.feed, p.day.isoformat(), p.count, p.expected, None if p.silent_since is None else micros(p.silent_since))
        for p in found
    ]
    books.each("keep_listening", stands)
    return [None] * len(items)


def gaps(reader: Reader) -> list[Gap]:
    """Of every feed."""
    return [
        Gap(feed, series, first, last, when(seen_at), bool(told))
        for feed, series, first, last, seen_at, told in reader.rows("gaps")
    ]


def keep_gaps(books: Books, items: Sequence[Missing]) -> list[None]:
    """Put the gaps of these feeds in the place of those that were kept."""
    for item in items:
        books.run("drop_gaps", feed=item.feed)
        rows = [(item.feed, g.series, g.first, g.last, micros(g.seen_at), int(g.told)) for g in item.gaps]
        books.each("add_gap", rows)
    return [None] * len(items)
