"""`status`: how things stand, for whoever has the shift. What needs attention comes first, in words, with its age."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from mhbridge.cli.looking import asking, config_option, table
from mhbridge.cli.options import as_json, say, show_json
from mhbridge.model import Severity
from mhbridge.ports import PARKED_TASKS, PARTS, ParkedCause, Status, Store, Task, Urgency

__all__ = ["Attention", "age", "attention", "served", "status"]

#: What a state means to who reads it (gateway design §2.1 and §2.2).
_MESSAGES: Final = {
    "stored": "received, being processed",
    "held": "waiting for an earlier message",
    "parked": "waiting for a person",
    "done": "processed",
    "filtered": "not for onward sending",
    "superseded": "replaced before they were worked",
    "closed": "ended by a person",
}
_DELIVERIES: Final = {
    "queued": "to be sent",
    "sending": "being sent",
    "unknown": "may have arrived; being looked up",
    "retry": "will be tried again",
    "awaiting": "sent, waiting for confirmation",
    "parked": "waiting for a person",
    "done": "delivered",
    "superseded": "replaced before sending",
    "cancelled": "withdrawn before sending",
    "closed": "ended by a person",
}
_TALLY: Final = frozenset({"received", "repeat", "refused"})
_WORST: Final[tuple[Urgency, ...]] = ("critical", "high", "normal")
#: A message that was acknowledged is translated in much less.
_LATE: Final = timedelta(minutes=5)
_MOST: Final = 1000
#: The bytes that SQLite locks for a transaction that excludes others (sqlite.org, "File Locking And Concurrency").
_LOCKED: Final = (0x40000002, 510)
#: Linux's `struct flock`.
_FLOCK: Final = "@hhqqi"


class Attention(NamedTuple):
    """Something that somebody must look at. `since` is when it began, where that is known."""

    severity: Urgency
    text: str
    since: datetime | None
    first: str


def attention(found: Status, parked: Sequence[ParkedCause], tasks: Sequence[Task]) -> list[Attention]:
    """Everything that needs attention, the worst first."""
    rows = [*_wrong(found), *_unheld(found), *_late(found), *_parked(found, parked, tasks), *_to_do(tasks)]
    return sorted(rows, key=lambda row: (_WORST.index(row.severity), row.since or found.at))


def served(store: Path) -> bool | None:
    """
    Whether a process has the store open for writing, as a gateway has; `None` where the system does not tell.

    It asks about SQLite's lock on the file beside the store and takes none itself, so no gateway that starts meanwhile
    is kept out. Never to be asked by the process that has the store: to close the file would give up its lock.
    """
    if sys.platform != "linux":
        return None
    import fcntl

    try:
        file = os.open(store.with_name(f"{store.name}.lock"), os.O_RDONLY)
    except OSError:
        return False
    try:
        asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, *_LOCKED, 0)
        kind, *_ = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except OSError:
        return None
    finally:
        os.close(file)
    return bool(kind == fcntl.F_WRLCK)


def _wrong(found: Status) -> Iterator[Attention]:
    for difference in found.differences:
        yield Attention("critical", f"The accounts do not add up. {difference}", None, "mhbridge explain D908")


def _unheld(found: Status) -> Iterator[Attention]:
    held = sum(found.nodes.values())
    if found.nodes and held < PARTS:
        text = f"{PARTS - held} of {PARTS} parts of the patients are no gateway's: nothing of theirs is worked"
        yield Attention("high", text, None, "mhbridge tasks")


def _late(found: Status) -> Iterator[Attention]:
    for name, n in found.late.items():
        yield Attention("critical", f"{_n(n, 'delivery')} to {name} past the deadline", None, "mhbridge parked")
    for clock, states in found.clocks.items():
        if missed := states.get("missed"):
            yield Attention("critical", f"{clock}: missed for {_n(missed, 'stay')}", None, "mhbridge tasks")
    stored = found.oldest.get("stored")
    if stored is not None and found.at - stored > _LATE:
        n = found.messages.get("stored", 0)
        text = f"{_n(n, 'message')} received and not yet processed"
        yield Attention("high", text, stored, "mhbridge messages --state stored")
    for name, n in found.behind.items():
        yield Attention("high", f"{_n(n, 'patient')} waiting to be sent to {name}", None, "GET /destinations")


def _parked(found: Status, parked: Sequence[ParkedCause], tasks: Sequence[Task]) -> Iterator[Attention]:
    asked: dict[str, set[Urgency]] = {}
    for task in tasks:
        if task.what in PARKED_TASKS:
            asked.setdefault(task.cause, set()).add(task.severity)
    whole: dict[tuple[str, str], list[ParkedCause]] = {}
    for cause in parked:
        whole.setdefault((cause.code, cause.destination), []).append(cause)
    for (code, destination), causes in whole.items():
        where = f" at {destination}" if destination else ""
        text = f"{_n(sum(cause.count for cause in causes), causes[0].what)} waiting for a person{where}: {_said(code)}"
        oldest = min(causes, key=lambda cause: cause.oldest)
        # As bad as the worst of its tasks says.
        severity = min(asked.get(code, {"high" if destination else "normal"}), key=_WORST.index)
        yield Attention(severity, text, oldest.oldest, f"mhbridge trace {oldest.example}")
    for name, n in found.held.items():
        yield Attention("high", f"{_n(n, 'patient')} held at {name} behind what is parked", None, "mhbridge parked")


def _to_do(tasks: Sequence[Task]) -> Iterator[Attention]:
    """Tasks but those about what is parked, by their cause."""
    by_cause: dict[tuple[str, str, Urgency], list[Task]] = {}
    for task in tasks:
        if task.what not in PARKED_TASKS:
            by_cause.setdefault((task.cause, task.queue, task.severity), []).append(task)
    for (cause, queue, severity), those in by_cause.items():
        free = sum(not task.holder for task in those)
        names = ", ".join(sorted({task.name for task in those if task.name})[:5])
        text = f"{_n(len(those), 'task')} of {queue}: {_said(cause)}{f' ({names})' if names else ''}"
        text += f"; {free} taken by nobody" if free else ""
        since = min(task.opened_at for task in those)
        yield Attention(severity, text, since, f"mhbridge tasks --queue {queue}")


def _said(code: str) -> str:
    """A code in words, which stand before it."""
    from mhbridge.errors import explanations

    known = explanations().get(code)
    return f"{known.title[:1].lower()}{known.title[1:]} ({code})" if known else code


def _n(n: int, what: str) -> str:
    many = {"delivery": "deliveries"}.get(what, f"{what}s")
    return f"{n:,} {what if n == 1 else many}"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, in the two largest units."""
    if since is None:
        return ""
    minutes = max(int((now - since).total_seconds() // 60), 0)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{minutes} min" if minutes else "just now"


@click.command()
@config_option
@as_json
def status(config: Path | None, as_json: bool) -> int:
    """Show how things stand: what needs attention, then the accounts. Exit code 1 when they do not add up."""
    from mhbridge.cli.operating import found as found_file
    from mhbridge.config import load

    now = datetime.now(UTC)

    async def ask(store: Store) -> tuple[Status, list[Attention]]:
        found = await store.status(now)
        return found, attention(found, await store.parked_causes(), await store.tasks(most=_MOST))

    found, rows = asking(config, ask)
    store = load(found_file(config)).gateway.store_path
    # Of a database its own list of sessions says who has it; the lock of a file is not there to be asked about.
    is_served = None if store is None else served(store)
    if is_served is False:
        text = "No gateway has this store open: nothing is received, and nothing is sent"
        rows.insert(0, Attention("critical", text, None, "mhbridge serve"))
    if as_json:
        show_json({"served": is_served, **_plain(found, rows)})
    else:
        _show(found, rows)
    return 1 if found.differences else 0


def _show(found: Status, rows: Sequence[Attention]) -> None:
    if rows:
        columns = ["how urgent", "what", "for", "first"]
        shown = [[row.severity, row.text, age(row.since, found.at), row.first] for row in rows]
        table("needs attention", columns, shown)
        for difference in found.differences:
            say(difference, severity=Severity.ERROR)
    else:
        click.echo("Nothing needs attention, and the accounts add up.")
    inside = [
        [word, f"{n:,}", age(found.oldest.get(state) if state in _OPEN else None, found.at)]
        for words, counts in ((_MESSAGES, found.messages), (_DELIVERIES, found.deliveries))
        for state, word in _named(words, "messages" if words is _MESSAGES else "deliveries")
        if (n := counts.get(state, 0))
    ]
    table("accounts", ["what", "how many", "the oldest for"], [*_door(found), *inside])
    if found.feeds:
        columns = ["feed", "received", "again", "refused", "processed", "waiting for a person", "other"]
        table("by feed", columns, [_feed(feed, states) for feed, states in found.feeds.items()])
    if found.destinations:
        columns = [
            "destination",
            "delivered",
            "confirmed by it",
            "on its way",
            "waiting for a person",
            "past the deadline",
        ]
        table("by destination", columns, [_destination(found, name) for name in found.destinations])
    for clock, states in found.clocks.items():
        click.echo(f"{clock}: " + ", ".join(f"{n:,} {state}" for state, n in states.items()))
    if found.nodes:
        shares = ", ".join(f"{node} {parts}" for node, parts in sorted(found.nodes.items()))
        click.echo(f"gateways, by parts of the patients: {shares}, nobody {PARTS - sum(found.nodes.values())}")


_OPEN: Final = frozenset({"stored", "held", "parked", "queued", "sending", "unknown", "retry", "awaiting"})


def _named(words: Mapping[str, str], what: str) -> Iterator[tuple[str, str]]:
    return ((state, f"{what} {word}") for state, word in words.items())


def _door(found: Status) -> list[list[str]]:
    return [
        ["received at the door", f"{found.receipts:,}", ""],
        ["of these, here before", f"{found.repeats:,}", ""],
        ["of these, refused", f"{found.refusals:,}", ""],
    ]


def _feed(feed: str, states: Mapping[str, int]) -> list[str]:
    other = sum(n for state, n in states.items() if state not in _TALLY | {"done", "parked"})
    counts = [states.get(state, 0) for state in ("received", "repeat", "refused", "done", "parked")]
    return [feed, *(f"{n:,}" if n else "" for n in (*counts, other))]


def _destination(found: Status, name: str) -> list[str]:
    states, levels = found.destinations[name], found.levels.get(name, {})
    confirmed = sum(n for level, n in levels.items() if level not in ("created", "sent"))
    on_its_way = sum(states.get(state, 0) for state in _OPEN - {"parked"})
    counts = (states.get("done", 0), confirmed, on_its_way, states.get("parked", 0), found.late.get(name, 0))
    return [name, *(f"{n:,}" if n else "" for n in counts)]


def _plain(found: Status, rows: Sequence[Attention]) -> dict[str, Any]:
    return {
        "at": found.at.isoformat(), "receipts": found.receipts, "repeats": found.repeats, "refusals": found.refusals,
        "messages": dict(found.messages), "deliveries": dict(found.deliveries), "acknowledged": found.acknowledged,
        "overdue": found.overdue, "late": dict(found.late), "behind": dict(found.behind), "waiting": found.waiting,
        "held": dict(found.held), "differences": list(found.differences), "tasks": list(found.tasks),
        "nodes": dict(found.nodes),
        "clocks": {name: dict(states) for name, states in found.clocks.items()},
        "feeds": {feed: dict(states) for feed, states in found.feeds.items()},
        "destinations": {name: dict(states) for name, states in found.destinations.items()},
        "levels": {name: dict(levels) for name, levels in found.levels.items()},
        "oldest": {state: at.isoformat() for state, at in found.oldest.items()},
        "oldest_open": found.oldest_open.isoformat() if found.oldest_open else None,
        "attention": [
            {"severity": row.severity, "text": row.text, "since": row.since.isoformat() if row.since else None,
             "first": row.first}
            for row in rows
        ],
    }  # fmt: skip
