"""
What watches need: who was heard of, everything of that person, and what was told of them.

A message that may matter to a watch marks its patient in its own transaction; what follows from it is worked out after
that, from all that is known then. This module must never decide what is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mhbridge.adapters.sql.books import Books, when, when_said
from mhbridge.errors import StoreError
from mhbridge.mapping import record
from mhbridge.pipeline.persons import Heard, Person, Told, Trail
from mhbridge.pipeline.watching import SIGNAL, STAY
from mhbridge.ports import Noticed, SeenPerson

if TYPE_CHECKING:
    from mhbridge.adapters.sql.reading import Reader

__all__ = ["EVERYTHING", "Noticing", "due", "hand_over", "noticed", "see"]

EVERYTHING: Final = STAY | SIGNAL

#: An NHS number that so many records have is nobody's.
_MOST: Final = 32
#: What a body that was purged is refused with.
_PURGED: Final = "S222"
#: The level of a delivery that the receiver's infrastructure, or somebody there, has acknowledged.
_ACKNOWLEDGED: Final = 4


class Noticing(NamedTuple):
    """What was worked out of these patients."""

    items: Sequence[Noticed]


# --- writing -----------------------------------------------------------------------------------------------


def see(books: Books, rows: Sequence[tuple[int, int, int]]) -> None:
    """Patients of whom something was heard: (patient, what it may be to a watch, when)."""
    books.each("see_watched", [(*row, 1) for row in rows])


def hand_over(books: Books, retired: int, survivor: int, now: int) -> None:
    """What was told of a patient was told of another, who is looked at anew."""
    seen = books.value("watched_as", patient=retired)
    if seen:
        see(books, [(survivor, seen, now)])
    books.run("move_notices", retired=retired, survivor=survivor)


def noticed(books: Books, items: Sequence[Noticing]) -> list[None]:
    """What was told of patients is kept; one of whom more was heard meanwhile is looked at again."""
    for item in items:
        for one in item.items:
            books.act_for([one.patient])
            books.each("keep_notice", [(t.patient, t.watch, t.subject, t.number, t.said) for t in one.told])
            books.run("watched_done", patient=one.patient, turn=one.turn)
    return [None] * len(items)


# --- reading -----------------------------------------------------------------------------------------------


def due(reader: Reader, most: int) -> list[SeenPerson]:
    """Patients of whom something was heard, the longest waiting first, with everything of the person."""
    with reader.snapshot():
        rows = reader.rows("watched_due", most=most)
        return [SeenPerson(patient, turn, when(at), _person(reader, patient)) for patient, at, turn in rows]


def _person(reader: Reader, patient: int) -> Person:
    """Everything of a person; nothing, where no stay and no signal can meet."""
    patients = _patients(reader, patient)
    seen = 0
    for one in patients:
        seen |= reader.value("watched_as", patient=one) or 0
    if seen != EVERYTHING:
        return Person()
    roots = {one: _root(reader, one) for one in patients}
    heard = [said for one, root in roots.items() for said in _heard(reader, one, root)]
    trail = [line for root in sorted(set(roots.values())) for line in _trail(reader, root)]
    told = [
        Told(root, name, bytes(subject), number, bytes(said))
        for root in sorted(set(roots.values()))
        for name, subject, number, said in reader.rows("notices_of", patient=root)
    ]
    return Person(heard, trail, told)


def _patients(reader: Reader, patient: int) -> list[int]:
    """The patients that may be one person's. Whether they are is decided by what is said of each."""
    found = {patient}
    new = [patient]
    while new:
        others: set[int] = set()
        for one in new:
            others |= {other for (other,) in reader.rows("merged_with", id=one)}
            others |= {other for (other,) in reader.rows("same_number", patient=one)}
        new = sorted(others - found)
        found |= others
        if len(found) > _MOST:
            return [patient]
    return sorted(found)


def _root(reader: Reader, patient: int) -> int:
    seen = set()
    while patient not in seen:
        seen.add(patient)
        row = reader.row("patient_with_id", id=patient)
        if row is None or row[1] is None:
            return patient
        patient = row[1]
    return patient


def _heard(reader: Reader, patient: int, root: int) -> Iterator[Heard]:
    for number, document, episode, event_at, sent_at, key, items, mapping in reader.rows("heard_of", patient=patient):
        try:
            said = record.loads(reader.seal.open("reading", number, items, key))
        except StoreError as error:
            if error.code != _PURGED:
                raise
            # Its key is gone, and the row follows in a moment.
            continue
        supplier = mapping.partition("/")[0]
        yield Heard(root, supplier, document, bytes(episode), (event_at, sent_at, number), said, own=patient == root)


def _trail(reader: Reader, patient: int) -> Iterator[Trail]:
    for episode, due_at, name, who, state in reader.rows("clocks_seen", patient=patient):
        yield Trail(patient, bytes(episode), when(due_at), "deadline", name, who, state)
    for episode, sent_at, kind, who, state, level in reader.rows("deliveries_seen", patient=patient):
        yield Trail(patient, bytes(episode), when_said(sent_at), "delivery", kind, who, _state(state, level))


def _state(state: str, level: int) -> str:
    """How a delivery stands, and of one that was taken, whether a person or a system there said that it is of use."""
    if state in ("done", "awaiting"):
        return "acknowledged" if level >= _ACKNOWLEDGED else "delivered" if state == "done" else "awaiting"
    return state
