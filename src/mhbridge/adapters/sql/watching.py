"""
What watches need: who was heard of, everything of that person, and what was told of them.

A message that may matter to a watch marks its patient in its own transaction; what follows from it is worked out after
that, from all that is known then. This module must never decide what is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mhbridge.adapters.sql.books import Books, when, when_said
from mhbridge.errors import StoreError
from mhbridge.mapping import record
from mhbridge.pipeline.persons import Heard, Person, Told, Trail
from mhbridge.pipeline.watching import ELSEWHERE, SIGNAL, STAY, may_meet
from mhbridge.ports import Noticed, SeenPerson

if TYPE_CHECKING:
    from mhbridge.adapters.sql.reading import Reader

__all__ = ["Noticing", "Seen", "due", "everything", "hand_over", "noticed", "see", "see_again"]

_EVERYTHING: Final = STAY | SIGNAL | ELSEWHERE

#: An NHS number that so many records have is nobody's.
_MOST: Final = 32
#: What a body that was purged is refused with.
_PURGED: Final = "S222"
#: The level of a delivery that the receiver's infrastructure, or somebody there, has acknowledged.
_ACKNOWLEDGED: Final = 4


class Seen(NamedTuple):
    """
    What was heard of a patient.

    Args:
        seen: what it may be to a watch.
        sender: who said all of it; empty: several did.
    """

    seen: int
    sender: str
    at: int

    def then(self, seen: int, sender: str, at: int) -> Seen:
        """With what is heard after it."""
        return Seen(self.seen | seen, sender if sender == self.sender else "", at)


class Noticing(NamedTuple):
    """What was worked out of these patients."""

    items: Sequence[Noticed]


# --- writing -----------------------------------------------------------------------------------------------


def see(books: Books, heard: Mapping[int, Seen]) -> None:
    """
    Something was heard of patients. They are looked at unless it is certain that nothing is to be told.

    That is certain of one who stands alone in what the transaction will leave, and of whom no stay and signal can meet.
    Where others write at the same time, each may leave what this one cannot see: there it is decided afterwards, when
    they are looked at.
    """
    alone = {who: before for who, *before in books.among("watched_alone", list(heard))} if books.alone else {}
    rows: list[tuple[int, int, str, int | None, int]] = []
    for patient, (seen, sender, at) in heard.items():
        before = alone.get(patient)
        if before is None:
            rows.append((patient, seen, sender, at, 1))
            continue
        whose, was = before
        now = seen | was, sender if sender == whose or not was else ""
        if may_meet([(now[1], now[0])]):
            rows.append((patient, seen, sender, at, 1))
        elif now != (was, whose):
            rows.append((patient, seen, sender, None, 1))
    books.each("see_watched", rows)


def hand_over(books: Books, retired: int, survivor: int, now: int) -> None:
    """What was told of a patient was told of another, who is looked at anew."""
    for sender, seen in books.run("watched_as", patient=retired):
        books.each("see_watched", [(survivor, seen, sender, now, 1)])
    books.run("move_notices", retired=retired, survivor=survivor)


def see_again(books: Books, patients: Sequence[int], now: int) -> None:
    """Of these patients everything may have been heard, and of whom is not known any more."""
    books.each("see_watched", [(patient, _EVERYTHING, "", now, 1) for patient in patients])


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
    heard = [row for one in patients for row in reader.rows("watched_as", patient=one)]
    return _everything(reader, patients) if may_meet(heard) else Person()


def everything(reader: Reader, patient: int) -> Person:
    """Everything of a person, opened whether anything may be to be told of them or not."""
    with reader.snapshot():
        return _everything(reader, _patients(reader, patient))


def _everything(reader: Reader, patients: Sequence[int]) -> Person:
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
