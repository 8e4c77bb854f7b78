"""
The clocks that ought to run, as one message with what is known says (mapping language §9, gateway design §8).

A clock is computed, not commanded: what is said here is made so by the store, in the transaction of the message. Values
that are missing never stop one; only a cancellation does, a deleted start, or an exclusion. Pure. This module must
never ask which clocks there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from mhbridge.mapping.clocks import ClockRule, ReadyClock, ReadyWord, instant_of
from mhbridge.mapping.run import Run
from mhbridge.mapping.translation import identity_text
from mhbridge.model import DELETED, NOTHING_KNOWN, Act, Deadline, Known, Reading, Unknown
from mhbridge.pipeline.ordering import folded
from mhbridge.pipeline.routing import Feed, destinations

if TYPE_CHECKING:
    from mhbridge.mapping.catalogue import SupplierMapping
    from mhbridge.pipeline.arriving import Taken

__all__ = ["clocks_by_document", "deadlines"]

#: What these wait for a person for: they are about no patient, or nobody can say about which.
_ABOUT_NOBODY: Final = frozenset({"M710", "M711", "M720", "M721", "M722", "M742"})

#: What began so long before it is heard of is no longer what a clock is for: the first news of a feed that was begun
#: late tells of old stays, and an alarm for each would hide the one that matters.
_OLD: Final = timedelta(days=35)

_SECOND_BEST: Final = 9
"""The rank of a start that nobody said: what anybody says is believed before it."""


def clocks_by_document(mappings: Iterable[SupplierMapping]) -> dict[str, tuple[ReadyClock, ...]]:
    """
    Document type → the clocks that its messages start or meet, among those of all mappings of a supplier.

    A clock that another document meets is left out where the supplier sends none such: nothing could ever meet it, and
    a task for every discharge would hide those that matter.
    """
    found: dict[str, dict[tuple[str, str], ReadyClock]] = {}
    mappings = tuple(mappings)
    sent = {mapping.document.name for mapping in mappings}
    for mapping in mappings:
        for clock in mapping.clocks:
            rule = clock.rule
            # What starts it may meet it, too, as a readmission does: it would wait for that alone for nearly everybody.
            meets = set(rule.met_by.documents).difference(rule.sources)
            if meets and meets.isdisjoint(sent):
                continue
            for document in (*rule.sources, *(word.document for word in rule.met_by.words)):
                found.setdefault(document, {})[rule.document, rule.name] = clock
    return {document: tuple(clocks.values()) for document, clocks in found.items()}


def deadlines(taken: Taken, known: Mapping[str, Known], now: datetime, feed: Feed) -> tuple[Deadline, ...]:
    """The clocks that ought to run, or ought not to, by what this message says with what is known."""
    if not feed.clocks or taken.parked in _ABOUT_NOBODY:
        return ()
    found: list[Deadline] = []
    for mapping, reading in taken.readings:
        if reading.act is Act.CANCEL and reading.patient is not None:
            found += _withdrawn(reading, feed)
        clocks = feed.clocks.get(reading.document)
        if clocks and reading.patient is not None and reading.act not in (Act.NONE, Act.MERGE):
            found += _of_reading(clocks, mapping, reading, known.get(reading.document, NOTHING_KNOWN), now, feed)
    return tuple(found)


def _of_reading(
    clocks: Iterable[ReadyClock], mapping: SupplierMapping, reading: Reading, before: Known, now: datetime, feed: Feed
) -> Iterator[Deadline]:
    said = [before.items, reading.items, *(one.items for one in before.later)]
    items: Mapping[str, Any] | None = None
    run: Run | None = None
    for clock in clocks:
        rule = clock.rule
        starts = _speaks_of(rule, reading, said)
        words = [one for one in clock.words if one.word.document == reading.document]
        if not starts and not words:
            continue
        if items is None:
            identifies = mapping.document.identifies
            items = reading.items if reading.authors else folded(before, reading.items, identifies)
            run = mapping.run(reading.facts, now)
        assert run is not None
        zone = ZoneInfo(mapping.supplier.timezone)
        if starts and rule.each is not None:
            yield from _of_entries(clock, reading, items, run, zone, now)
        elif starts:
            yield from _started(clock, mapping, reading, before, items, run, zone, now, feed)
        for word in words:
            yield from _said_of(clock, word, reading, before, items, run, zone)


def _withdrawn(reading: Reading, feed: Feed) -> Iterator[Deadline]:
    """What takes the documents of a stay back (`succeeding.withdrawals`) takes back what they ask for."""
    for clock in {(one.rule.document, one.name): one for clocks in feed.clocks.values() for one in clocks}.values():
        if clock.rule.each is not None:
            assert reading.patient is not None
            yield Deadline(clock.name, clock.rule.document, reading.patient, reading.episode, entries=())


def _speaks_of(rule: ClockRule, reading: Reading, said: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a message says anything of when a clock begins. Most do not, and cost no more than this."""
    if reading.document not in rule.sources:
        return False
    cancels = reading.act is Act.CANCEL
    if rule.each is None and cancels:
        return True
    if rule.each is not None and cancels:
        # `_withdrawn` says it.
        return False
    if rule.each is not None and reading.authors:
        # A letter has the whole of the list, also where it has none.
        return True
    return not all(rule.begins.isdisjoint(one) for one in said)


def _of_entries(
    clock: ReadyClock, reading: Reading, items: Mapping[str, Any], run: Run, zone: ZoneInfo, now: datetime
) -> Iterator[Deadline]:
    rule = clock.rule
    episode = _stay(rule, items)
    if any(isinstance(items.get(name), Unknown) for name in rule.begins):
        # Nobody can say which there are now: those that were known go on.
        return
    if episode:
        assert reading.patient is not None
        entries = tuple(clock.entries(items, run, zone, now))
        yield Deadline(rule.name, rule.document, reading.patient, episode, started_at=now, entries=entries)


def _stay(rule: ClockRule, items: Mapping[str, Any]) -> str:
    return "|".join(filter(None, (identity_text(items.get(name)) for name in rule.identity)))


def _said_of(
    clock: ReadyClock,
    word: ReadyWord,
    reading: Reading,
    before: Known,
    items: Mapping[str, Any],
    run: Run,
    zone: ZoneInfo,
) -> Iterator[Deadline]:
    """What another document says of the clocks of this name of the patient, where it has not said so before."""
    at = word.of(items, run, zone)
    # Of a letter, what came before it is not known in full: it says it every time.
    had = word.of(before.items, run, zone) if before.items and not before.later and not reading.authors else None
    if at == had and not (at is None and (before.later or reading.authors)):
        return
    assert reading.patient is not None
    says = "excluded" if word.word.excludes else "met"
    rule = clock.rule
    yield Deadline(rule.name, rule.document, reading.patient, reading.episode, says=says, met_at=at)


def _started(
    clock: ReadyClock,
    mapping: SupplierMapping,
    reading: Reading,
    before: Known,
    items: Mapping[str, Any],
    run: Run,
    zone: ZoneInfo,
    now: datetime,
    feed: Feed,
) -> Iterator[Deadline]:
    rule = clock.rule
    episode = _stay(rule, items)
    if not episode:
        return
    assert clock.starts is not None
    assert reading.patient is not None
    rank = rule.sources.index(reading.document)
    if clock.excluded is not None and clock.excluded(items, None, run, None, 0):
        yield Deadline(rule.name, rule.document, reading.patient, episode, rank=rank, ended="excluded")
        return
    start = instant_of(clock.starts(items, None, run, None, 0), zone)
    if _taken_back(clock, reading, before, start):
        yield Deadline(rule.name, rule.document, reading.patient, episode, rank=rank, ended="cancelled")
        return
    if start is None and clock.noticed is not None and clock.noticed(items, None, run, None, 0):
        start, rank = instant_of(reading.effective_at, zone) or now, _SECOND_BEST
    if start is None or now - start > _OLD:
        return
    own = reading.document == rule.document
    to: tuple[str, ...] = ()
    if rule.met_by.needs:
        to = destinations(mapping, reading, items, feed, now, document=rule.document)
    yield Deadline(
        rule.name,
        rule.document,
        reading.patient,
        episode,
        rank=rank,
        recipients=to,
        authored=own,
        needs=rule.met_by.needs,
        started_at=start,
        due_at=clock.due(start, zone),
        ladder=clock.ladder(start, zone),
    )


def _taken_back(clock: ReadyClock, reading: Reading, before: Known, start: datetime | None) -> bool:
    """Whether this message takes back what started the clock, and nothing newer has said it again."""
    reads = clock.rule.begins
    if start is not None and any(not reads.isdisjoint(one.items) for one in before.later):
        return False
    if reading.act is Act.CANCEL:
        return True
    return start is None and any(reading.items.get(name) is DELETED for name in reads)
