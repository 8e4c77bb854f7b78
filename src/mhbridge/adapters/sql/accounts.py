"""
The accounts: what was counted where it happened, against the rows (gateway design §2.3, C1 to C6).

Each check reads one snapshot, so that rows and tallies are of one instant. This module must never mend what it finds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Final

from mhbridge.adapters.sql.books import micros, when
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.transitions import OPEN_MESSAGES
from mhbridge.model import MessageState
from mhbridge.ports import LEVELS, OpenTasks, Status, Urgency

__all__ = ["receipts", "status"]

#: What should have been looked at so long ago has been forgotten. Half of what it may take until somebody is told.
_FORGOTTEN: Final = 30_000_000

#: The level from which on the receiver itself has confirmed it.
_ACKNOWLEDGED: Final = LEVELS.index("accepted")

_BY_COUNTING: Final = ("C1", "C2", "C3", "C4")

_Counts = Mapping[tuple[str, str], int]


def status(reader: Reader, now: datetime) -> Status:
    """
    The accounts of this instant, and every difference in them.

    A difference is said only after everything was counted again, and what has been said is not counted for again.
    """
    reader.counts.seal(reader)
    found = _look(reader, now)
    if (wrong := _of_counts(found)) and wrong != reader.counts.said:
        reader.counts.forget()
        found = _look(reader, now)
    reader.counts.said = _of_counts(found)
    return found


def _of_counts(status: Status) -> tuple[str, ...]:
    """The differences that stand on what is counted once. The others are looked up each time."""
    return tuple(one for one in status.differences if one.startswith(_BY_COUNTING))


def _look(reader: Reader, now: datetime) -> Status:
    at = micros(now)
    with reader.snapshot():
        tallies: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        for feed, what, state, n in reader.rows("tallies"):
            tallies[what][feed, state] = n
        counted = reader.counts.count(reader)
        names: dict[int, str] = dict(reader.rows("destinations"))
    deliveries: Counter[tuple[str, str]] = Counter()
    levels: Counter[tuple[str, str]] = Counter()
    for (destination, state, level), n in counted.deliveries.items():
        name = names.get(destination, "?")
        deliveries[name, state] += n
        levels[name, LEVELS[level]] += n
    receipts, messages = tallies["receipt"], {pair: n for pair, n in counted.messages.items() if n}
    differences = [
        *_receipts(receipts, counted.envelopes),
        *_wrong("C2", counted.envelopes_wrong, "envelopes have not the messages that were counted in them"),
        *_wrong("C3", counted.fanout_wrong, "messages have not the deliveries that were planned"),
        *_states("messages", tallies["message"], messages),
        *_states("deliveries", tallies["delivery"], deliveries),
        *_forgotten(reader, at - _FORGOTTEN, messages),
        *_unseen(reader, messages),
    ]
    late: dict[str, int] = {name or "?": n for name, n in reader.rows("overdue", now=at)}
    kinds = _by_state(receipts)
    oldest = _oldest(reader, messages)
    return Status(
        at=now,
        receipts=kinds.get("received", 0),
        repeats=kinds.get("repeat", 0),
        refusals=kinds.get("refused", 0),
        messages=_by_state(messages),
        deliveries=_by_state(deliveries),
        acknowledged=sum(n for (_, level), n in levels.items() if LEVELS.index(level) >= _ACKNOWLEDGED),
        overdue=sum(late.values()),
        oldest_open=min(oldest.values(), default=None),
        differences=tuple(differences),
        waiting=_by_state(messages).get("parked", 0) + reader.value("parked_by_deliveries"),
        late=late,
        behind={name or "?": n for name, n in reader.rows("lanes_forgotten", limit=at - _FORGOTTEN)},
        tasks=tuple([_open_tasks(*row) for row in reader.rows("count_tasks", now=at)]),
        clocks=_clocks(reader),
        feeds=_nested({**messages, **receipts}),
        destinations=_nested(deliveries),
        levels=_nested(levels),
        oldest=oldest,
        held={name or "?": n for name, n in reader.rows("lanes_held")},
    )


def receipts(reader: Reader) -> int:
    """How many receipts were counted, ever."""
    return sum(n for _, what, state, n in reader.rows("tallies") if (what, state) == ("receipt", "received"))


def _by_state(counts: _Counts) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (_, state), n in sorted(counts.items()):
        found[state] += n
    return {state: n for state, n in found.items() if n}


def _nested(counts: _Counts) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (whose, state), n in sorted(counts.items()):
        if n:
            found.setdefault(whose, {})[state] = n
    return found


def _receipts(receipts: _Counts, envelopes: Mapping[str, int]) -> Iterator[str]:
    """C1, for each feed: receipts = envelopes + repeats + refusals."""
    for feed in sorted({feed for feed, _ in receipts} | set(envelopes)):
        received = receipts.get((feed, "received"), 0)
        parts = (envelopes.get(feed, 0), receipts.get((feed, "repeat"), 0), receipts.get((feed, "refused"), 0))
        if received != sum(parts):
            kept, repeats, refusals = parts
            yield f"C1: {feed} received {received}, of which {kept} are kept, {repeats} repeats and {refusals} refused"


def _states(what: str, tallies: _Counts, rows: _Counts) -> Iterator[str]:
    """C4, for each feed and state: what the moves counted against the rows."""
    for feed, state in sorted({*tallies, *rows}):
        counted, found = tallies.get((feed, state), 0), rows.get((feed, state), 0)
        if counted != found:
            yield f"C4: {counted} {what} of {feed} were counted as {state}, and {found} are"


def _counted(reader: Reader, check: str, query: str, text: str, **values: int | str) -> Iterator[str]:
    yield from _wrong(check, reader.value(query, **values), text)


def _wrong(check: str, wrong: int, text: str) -> Iterator[str]:
    if wrong:
        yield f"{check}: {wrong} {text}"


def _forgotten(reader: Reader, limit: int, messages: _Counts) -> Iterator[str]:
    """
    C5: everything open has a time at which it is looked at, and that time is not long past.

    But for lanes: whether one waits for its destination, only the outbox can say. Their number is said apart.
    """
    yield from _counted(reader, "C5", "messages_forgotten", "open messages lie behind their time", limit=limit)
    if any(state in ("stored", "held") for _, state in messages):
        yield from _counted(reader, "C5", "messages_without_time", "open messages have no time to be looked at")
    yield from _counted(reader, "C5", "awaiting_forgotten", "deliveries await an answer behind their time", limit=limit)
    yield from _counted(reader, "C5", "lanes_wrong", "lanes are not due when their heads are")
    yield from _counted(reader, "C5", "tasks_without_time", "tasks lie behind their time", limit=limit)
    yield from _counted(reader, "C5", "clocks_forgotten", "clocks lie behind their time", limit=limit)


def _unseen(reader: Reader, messages: _Counts) -> Iterator[str]:
    """C6: what is parked is somebody's, and what is somebody's is parked."""
    for feed, state in messages:
        if state == MessageState.PARKED:
            text = f"messages of {feed} are parked, and nobody's task"
            yield from _counted(reader, "C6", "parked_without_task", text, feed=feed)
    yield from _counted(reader, "C6", "parked_deliveries_without_task", "deliveries are parked, and nobody's task")
    yield from _counted(reader, "C6", "tasks_of_nothing_parked", "tasks are about what is not parked")


def _clocks(reader: Reader) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, state, count in reader.rows("count_clocks"):
        found.setdefault(name, {})[state] = count
    return found


def _open_tasks(queue: str, severity: Urgency, count: int, unclaimed: int, overdue: int, oldest: int) -> OpenTasks:
    return OpenTasks(queue, severity, count, unclaimed, overdue, when(oldest))


def _oldest(reader: Reader, messages: _Counts) -> dict[str, datetime]:
    """Receipt of the oldest message that is in an open state, or of which a delivery is."""
    found = [(state, when(at)) for state, at in reader.rows("oldest_by_delivery")]
    for feed, state in messages:
        if state in OPEN_MESSAGES and (at := reader.value("oldest_in_state", feed=feed, state=state)) is not None:
            found.append((state, when(at)))
    # A delivery may be parked as a message may; the older of the two stands for both.
    return dict(sorted(found, key=itemgetter(1), reverse=True))
