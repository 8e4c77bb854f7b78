"""
Clocks: which there are follows from what messages say and what has been delivered, in the transaction of either.

    reconcile   a message was worked: insert, move, cancel
    follow      deliveries were moved: met, or no longer met
    fire        a step has come: step + 1, the time of the next, a task, a row of the log

A met clock stays met when a newer version replaces the delivered one; a version that never arrived meets nothing. A
step that was taken stays taken. This module must never move a message or a delivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson

from mhbridge.adapters.sql import tasks
from mhbridge.adapters.sql.books import Books
from mhbridge.adapters.sql.tasks import Firing, Raising
from mhbridge.model import DeliveryState
from mhbridge.ports import Fired

__all__ = ["ReadyDeadline", "ReadyEntry", "fire", "follow", "hand_over", "reconcile", "take_back"]

#: Nobody has met it yet; `missed` is that, and the time is over.
_OPEN: Final = frozenset({"running", "missed"})
_MET: Final = frozenset({"met", "late"})
#: A person has ended it, with a reason.
_CLOSED: Final = "closed"
_LIVE: Final = _OPEN | _MET | {_CLOSED}

#: In the column `met`, of a clock that another document has excluded: it runs on when that is taken back.
_BY_WORD: Final = -1

#: In the same column, of the clock of an entry that its own document says is done.
_BY_ENTRY: Final = -2

_ARRIVED: Final = frozenset({DeliveryState.DONE, DeliveryState.AWAITING})

#: A start that nobody said. The first one stays: later messages only say again that it has begun.
_SECOND_BEST: Final = 9

#: Stands for the recipient where the document goes to nobody, or where nobody is sent anything.
_NOBODY: Final = 0


class ReadyEntry(NamedTuple):
    """What a clock says of one entry of a list, in the store's terms."""

    token: bytes
    place: int
    due_at: int
    ladder: str
    done_at: int | None
    excluded: bool
    near: bool


class ReadyDeadline(NamedTuple):
    """A clock that a message speaks of, in the store's terms. `ladder` is JSON: [[at, queue, severity], …]."""

    name: str
    kind: str
    patient: bytes
    episode: bytes
    rank: int
    recipients: Sequence[str]
    authored: bool
    needs: int
    started_at: int | None
    due_at: int | None
    ladder: str
    ended: str
    says: str
    met_at: int | None
    entries: Sequence[ReadyEntry] | None = None


class _Clock(NamedTuple):
    """A clock as it stands. The columns of `clocks_of`."""

    id: int
    kind: str
    destination: int
    rank: int
    started_at: int
    due_at: int
    ladder: str
    next_at: int | None
    step: int
    state: str
    met: int | None
    entry: bytes = b""
    place: int = 0

    @property
    def is_live(self) -> bool:
        """It runs, or has come to its end; another document that excludes it may be taken back."""
        return self.state in _LIVE or (self.state == "excluded" and self.met == _BY_WORD)


class _Begun(NamedTuple):
    """How a clock stands when it begins. The columns of `begin_clock`, in the order of `add_clock`."""

    needs: int
    rank: int
    started_at: int | None
    due_at: int | None
    ladder: str
    next_at: int | None
    state: str
    met: int | None


class _Step(Protocol):
    """What `follow` needs to know of a move of a delivery."""

    @property
    def about(self) -> int: ...

    @property
    def new(self) -> str: ...

    @property
    def at(self) -> int: ...


# --- what messages say -------------------------------------------------------------------------------------


def reconcile(books: Books, wanted: Sequence[tuple[int, int, ReadyDeadline]]) -> None:
    """Make it so: (patient, now, clock) for each, in the order of the messages that say so."""
    for patient, now, one in wanted:
        if one.says:
            _hear(books, patient, one, now)
        elif one.entries is not None:
            _reconcile_entries(books, patient, now, one, one.entries)
            _settle_by_words(books, patient, one.name, now)
        else:
            _reconcile(books, patient, now, one)
            if not one.needs and not one.ended:
                _settle_by_words(books, patient, one.name, now)


def _reconcile(books: Books, patient: int, now: int, one: ReadyDeadline) -> None:
    rows = [_Clock(*row) for row in books.run("clocks_of", patient=patient, episode=one.episode, name=one.name)]
    live = {row.destination: row for row in rows if row.kind == one.kind and row.is_live}
    if one.ended:
        for row in live.values():
            # What the patient's events started is not ended by a letter that is taken back.
            if row.rank >= one.rank:
                _end(books, row, one.ended, now)
        return
    if one.authored:
        # The stay has a document after all, and this is it: nobody waits for one of another type.
        for row in rows:
            if row.kind != one.kind and row.state in _OPEN:
                _end(books, row, "cancelled", now)
    first = min(live.values(), key=lambda row: row.rank, default=None)
    if first is not None and (first.rank < one.rank or (first.rank == one.rank == _SECOND_BEST)):
        one = one._replace(rank=first.rank, started_at=first.started_at, due_at=first.due_at, ladder=first.ladder)
    recipients = {books.destination(name) for name in one.recipients} or {_NOBODY}
    if live and not one.authored and live.keys() != {_NOBODY}:
        recipients = set(live)
    for destination, row in live.items():
        if destination not in recipients:
            _end(books, row, "cancelled", now)
    ended = {row.destination: row for row in rows if row.kind == one.kind and not row.is_live}
    for destination in sorted(recipients):
        if destination in live:
            _move(books, live[destination], one, now)
        else:
            _begin(books, patient, destination, one, ended.get(destination), now)


def _reconcile_entries(books: Books, patient: int, now: int, one: ReadyDeadline, entries: Sequence[ReadyEntry]) -> None:
    """The clocks of the entries of a list are those of the entries that there are now."""
    found = (_Clock(*row) for row in books.run("clocks_of", patient=patient, episode=one.episode, name=one.name))
    rows = {row.entry: row for row in found if row.kind == one.kind}
    there = {entry.token for entry in entries}
    for token, row in rows.items():
        if token not in there and row.is_live:
            _end(books, row, "cancelled", now)
    for entry in entries:
        standing = rows.get(entry.token)
        live = standing is not None and standing.is_live
        if entry.excluded:
            if standing is not None and live:
                _end(books, standing, "excluded", now)
        elif standing is None or not live:
            if entry.done_at is None and entry.near:
                _begin_entry(books, patient, one, entry, standing, now)
        else:
            _move_entry(books, patient, standing, one, entry, now)


def _begin_entry(
    books: Books, patient: int, one: ReadyDeadline, entry: ReadyEntry, ended: _Clock | None, now: int
) -> None:
    begun = _Begun(
        one.needs, one.rank, one.started_at, entry.due_at, entry.ladder, _next_at(entry.ladder, 0), "running", None
    )
    about = _put(books, patient, one, begun, ended, entry=entry.token, place=entry.place)
    if ended is not None:
        books.run("place_clock", id=about, place=entry.place)
    books.log(now, "clock", about, f">running {one.name} of entry {entry.place}")


def _move_entry(books: Books, patient: int, row: _Clock, one: ReadyDeadline, entry: ReadyEntry, now: int) -> None:
    """The newest version says something else of an entry, or the same again."""
    if row.due_at != entry.due_at > now and entry.done_at is None and (row.step > 0 or row.state == _CLOSED):
        # Somebody was told that it was overdue, or has ended it for that: there is another time for it now.
        books.run("end_tasks_of_clock", about=row.id, at=now, as_what="due at another time", even="")
        _begin_entry(books, patient, one, entry, row, now)
        return
    if row.place != entry.place:
        books.run("place_clock", id=row.id, place=entry.place)
    moved = one._replace(started_at=row.started_at, due_at=entry.due_at, ladder=entry.ladder, rank=row.rank)
    _move(books, row, moved, now)
    row = row._replace(due_at=entry.due_at, ladder=entry.ladder)
    if entry.done_at is not None:
        if row.state in _OPEN:
            _meet(books, row.id, one.name, row.state, _how(entry.done_at, entry.due_at), now, _BY_ENTRY)
    elif row.met == _BY_ENTRY:
        # It was said to be done, and is to be done again.
        books.run("settle_clock", id=row.id, state="running", next_at=_next_at(row.ladder, row.step), met=None)
        books.log(now, "clock", row.id, f"{row.state}>running")
        if _next_at(row.ladder, row.step) is None:
            books.run("settle_clock", id=row.id, state="missed", next_at=None, met=None)
            _tell_again(books, row.id, one.name, row.ladder, row.due_at, now)


def _how(at: int, due_at: int) -> str:
    return "met" if at <= due_at else "late"


def _begin(books: Books, patient: int, destination: int, one: ReadyDeadline, ended: _Clock | None, now: int) -> None:
    """A clock begins, or one that had ended begins anew. It may be met already."""
    met, state = None, "running"
    if one.needs and destination != _NOBODY:
        row = books.row(
            "met_already", patient=patient, episode=one.episode, kind=one.kind, destination=destination,
            needs=one.needs,
        )  # fmt: skip
        if row is not None:
            met = row[0]
            state = "late" if one.due_at is not None and row[1] is not None and row[1] > one.due_at else "met"
    next_at = _ladder(one.ladder)[0][0] if met is None else None
    begun = _Begun(one.needs, one.rank, one.started_at, one.due_at, one.ladder, next_at, state, met)
    about = _put(books, patient, one, begun, ended, destination=destination)
    books.log(now, "clock", about, f">{state} {one.name}")


def _put(
    books: Books,
    patient: int,
    one: ReadyDeadline,
    begun: _Begun,
    ended: _Clock | None,
    *,
    destination: int = _NOBODY,
    entry: bytes = b"",
    place: int = 0,
) -> int:
    """The row of a clock that begins: the one that had ended, or a new one."""
    if ended is not None:
        books.run("begin_clock", id=ended.id, **begun._asdict())
        return ended.id
    about = books.id()
    books.each("add_clock", [(about, one.name, patient, one.kind, one.episode, destination, *begun, entry, place)])
    return about


def _move(books: Books, row: _Clock, one: ReadyDeadline, now: int) -> None:
    """The start is another one than was thought: it is due at another time. What was told stays told."""
    if (row.started_at, row.due_at, row.ladder, row.rank) == (one.started_at, one.due_at, one.ladder, one.rank):
        return
    assert one.due_at is not None
    state = row.state
    if state in _OPEN:
        state = "running" if one.due_at > now else row.state
    books.run(
        "move_clock", id=row.id, started_at=one.started_at, due_at=one.due_at, ladder=one.ladder, rank=one.rank,
        next_at=_next_at(one.ladder, row.step) if state in _OPEN else None, state=state,
    )  # fmt: skip
    if row.due_at != one.due_at:
        books.log(now, "clock", row.id, f"{row.state}>{state} due at another time")


def _end(books: Books, row: _Clock, state: str, now: int) -> None:
    """It ought not to run. Whoever was told loudly has still to say that they know: that task stays."""
    books.run("settle_clock", id=row.id, state=state, next_at=None, met=None)
    books.log(now, "clock", row.id, f"{row.state}>{state}")
    books.run("end_tasks_of_clock", about=row.id, at=now, as_what=state, even="")


def hand_over(books: Books, retired: int, survivor: int, now: int) -> None:
    """The clocks of a patient are another's. Where that one has the same already, one is enough."""
    books.run("move_clocks", retired=retired, survivor=survivor)
    for row in (_Clock(*columns) for columns in books.run("clocks_left_behind", patient=retired)):
        if row.state in _OPEN:
            _end(books, row, "cancelled", now)
    books.run("move_words", retired=retired, survivor=survivor)
    settle_words(books, survivor, now)


def take_back(books: Books, retired: int, survivor: int, now: int) -> None:
    """The same undone: what came under the identifier belongs to it again."""
    for query in ("move_clocks_back", "move_words_back"):
        books.run(query, retired=retired, survivor=survivor)
    for patient in (retired, survivor):
        settle_words(books, patient, now)


def settle_words(books: Books, patient: int, now: int) -> None:
    """Each clock of a patient stands as what other documents say."""
    for (name,) in books.run("clocks_by_word", patient=patient):
        _settle_by_words(books, patient, name, now)


def _ladder(text: str) -> list[tuple[int, str, Any]]:
    found: list[tuple[int, str, Any]] = orjson.loads(text)
    return found


def _next_at(ladder: str, step: int) -> int | None:
    """When the step after so many comes, or `None`."""
    rungs = _ladder(ladder)
    return rungs[step][0] if step < len(rungs) else None


# --- what is delivered -------------------------------------------------------------------------------------


def follow(books: Books, steps: Sequence[_Step]) -> None:
    """After moves of deliveries: clocks that are met by them, and clocks that are not any more."""
    moved = {step.about: step.at for step in steps if step.new in _ARRIVED or step.new == DeliveryState.PARKED}
    if not moved:
        return
    for row in books.among("clocks_of_deliveries", list(moved)):
        delivery, state, level, newest, about, name, clock, due_at, ladder, step, needs, met = row
        now = moved[delivery]
        if state in _ARRIVED:
            if clock in _OPEN and level >= needs and newest:
                _meet(books, about, name, clock, "met" if now <= due_at else "late", now, delivery)
        elif clock in _MET and met == delivery:
            # The receiver took it and has said since that it is of no use: nobody has it.
            again = "running" if now < due_at else "missed"
            books.run("settle_clock", id=about, state=again, next_at=_next_at(ladder, step), met=None)
            books.log(now, "clock", about, f"{clock}>{again} by delivery {delivery}")


def _meet(books: Books, about: int, name: str, old: str, new: str, now: int, met: int | None) -> None:
    books.run("settle_clock", id=about, state=new, next_at=None, met=met)
    by = f" by delivery {met}" if met is not None and met > 0 else ""
    books.log(now, "clock", about, f"{old}>{new}{by}")
    # Also a critical task: what it was about has been done, and it says so.
    books.run("end_tasks_of_clock", about=about, at=now, as_what=f"{new}: {name}{by}", even="critical")


def _hear(books: Books, patient: int, one: ReadyDeadline, now: int) -> None:
    """Another document of the patient says that the clocks of this name are met or excluded, or no longer says so."""
    if one.met_at is None:
        books.run("drop_word", patient=patient, name=one.name, by=one.episode)
    else:
        books.each("add_word", [(patient, one.name, one.episode, one.says, one.met_at)])
    _settle_by_words(books, patient, one.name, now)


def _settle_by_words(books: Books, patient: int, name: str, now: int) -> None:
    """
    Each clock of this name of a patient stands as all that other documents say of it.

    What meets it is not before it began: a contact, or a readmission, whenever it is heard of. What excludes it holds
    whenever it was.
    """
    words = books.run("words_of", patient=patient, name=name)
    excluded = any(says == "excluded" for says, _ in words)
    for about, state, started_at, due_at, ladder, step, met in books.run("clocks_to_meet", patient=patient, name=name):
        first = min((at for says, at in words if says == "met" and at >= started_at), default=None)
        if excluded:
            new = "excluded"
        elif first is not None:
            new = _how(first, due_at)
        elif met == _BY_ENTRY or state in _OPEN:
            new = state
        else:
            # Where a step is left, that one says that it is missed.
            new = "running" if now < due_at or _next_at(ladder, step) is not None else "missed"
        if new == state:
            continue
        if new in _MET:
            _meet(books, about, name, state, new, now, None)
            continue
        by_word = _BY_WORD if new == "excluded" else None
        next_at = _next_at(ladder, step) if new in _OPEN else None
        books.run("settle_clock", id=about, state=new, next_at=next_at, met=by_word)
        books.log(now, "clock", about, f"{state}>{new}")
        if new == "excluded":
            books.run("end_tasks_of_clock", about=about, at=now, as_what=f"{new}: {name}", even="")
        elif new == "missed":
            _tell_again(books, about, name, ladder, due_at, now)


def _tell_again(books: Books, about: int, name: str, ladder: str, due_at: int, now: int) -> None:
    """What met it was taken back after it was due: all steps may be taken, and somebody must know all the same."""
    _, queue, severity = _ladder(ladder)[-1]
    tasks.tell(books, Raising("clock", name, now, about, "", queue, severity, due_at))


# --- time --------------------------------------------------------------------------------------------------


def fire(books: Books, items: Sequence[Firing]) -> list[list[Fired]]:
    """Steps whose time has come, and tasks that nobody takes."""
    found = [[_fire(books, row, item.now) for row in _due(books, item)] for item in items]
    handed_on = tasks.fire(books, items)
    return [[*steps, *others] for steps, others in zip(found, handed_on, strict=True)]


def _due(books: Books, item: Firing) -> list[Any]:
    return books.run("due_clocks", now=item.now, most=item.most)


def _fire(books: Books, row: Sequence[Any], now: int) -> Fired:
    """Of the steps that have come, the latest: after a time without the gateway nobody is told what is past."""
    about, name, step, ladder, due_at, state, patient = row
    books.act_for([patient])
    rungs = _ladder(ladder)
    last = max(number for number, (at, *_) in enumerate(rungs) if number >= step and at <= now)
    _, queue, severity = rungs[last]
    new = "missed" if due_at <= now else state
    next_at = rungs[last + 1][0] if last + 1 < len(rungs) else None
    books.run("step_clock", id=about, step=last + 1, next_at=next_at, state=new)
    passed = f", {last - step} before it untold" if last > step else ""
    books.log(now, "clock", about, f"{state}>{new} step {last + 1} of {len(rungs)} to {queue}{passed}")
    task, queue = tasks.tell(books, Raising("clock", name, now, about, "", queue, severity, due_at))
    return Fired("missed" if new == "missed" and state != new else "step", task, queue, severity, name)
