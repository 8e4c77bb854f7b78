"""
Letters that something has overtaken: worked again by themselves, at most once an hour, or told to a person.

Which letters there are is known only here, in the transaction of the message that overtakes them. Working a letter
again is what a person could ask for too (`repairing.reprocess`): what then says the same is not sent. A letter that was
taken back stays taken back, and one older than five weeks is a person's. This module must never look into a letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mhbridge.adapters.sql import clocks, moves, tasks
from mhbridge.adapters.sql.books import GATEWAY, Books
from mhbridge.adapters.sql.repairing import Reprocessing, reprocess
from mhbridge.adapters.sql.tasks import Firing, Raising
from mhbridge.model import MessageState
from mhbridge.ports import Fired

__all__ = ["ReadyOvertaken", "fire", "hand_over", "overtake"]

_HOUR: Final = 3_600_000_000
#: So long a letter is sent anew by itself; after that somebody decides.
_FRESH: Final = 35 * 24 * _HOUR
#: What is being worked just now is looked at again so soon.
_SOON: Final = 60_000_000
_TOO_OLD, _STALE, _GONE = "M755", "M756", "M757"


class ReadyOvertaken(NamedTuple):
    """Letters that a message has overtaken, in the store's terms; an empty episode is every one."""

    patient: bytes
    episode: bytes
    kind: str
    then: str
    at: int | None


class _Letter(NamedTuple):
    """The message of which the newest version of a letter is. The columns of `letters_of`."""

    message: int
    received_at: int
    written_at: int


def overtake(books: Books, wanted: Sequence[tuple[int, int, int, ReadyOvertaken]]) -> None:
    """Note it: (message, patient, now, what it has overtaken) for each."""
    for message, patient, now, one in wanted:
        if one.then == "held":
            _hold_if_stale(books, message, patient, now, one)
            continue
        if one.then == "hold":
            books.each("note_stale", [(patient, one.kind, one.at)])
        query = "letters_of_stay" if one.episode else "letters_of_patient"
        episode = {"episode": one.episode} if one.episode else {}
        for letter in (_Letter(*row) for row in books.run(query, patient=patient, kind=one.kind, **episode)):
            if letter.message == message or (one.at is not None and letter.written_at >= one.at):
                continue
            if one.then == "hold":
                _hold(books, letter, now, one.kind)
            elif one.then == "tell":
                if now - letter.received_at <= _FRESH:
                    _tell(books, letter.message, _STALE, now)
            elif now - letter.received_at > _FRESH:
                # What holds for the patient has changed since every letter of long ago; that is no news of them.
                if one.episode:
                    _tell(books, letter.message, _TOO_OLD, now)
            else:
                _plan(books, patient, letter, now, at_once=one.then == "now")


def hand_over(books: Books, retired: int, survivor: int) -> None:
    """What makes letters of a patient stale makes those of the patient stale that it was merged into."""
    books.each("note_stale", [(survivor, kind, at) for kind, at in books.run("stale_of", patient=retired)])


def _hold_if_stale(books: Books, message: int, patient: int, now: int, one: ReadyOvertaken) -> None:
    """A letter that comes after what makes it stale does not leave by itself."""
    row = books.row("stale_since", patient=patient, kind=one.kind)
    if row is not None and one.at is not None and row[0] > one.at:
        _hold_back(books, message, one.kind, now)


def _hold(books: Books, letter: _Letter, now: int, kind: str) -> None:
    """What of a letter has not left does not leave by itself. Of what has, a person is told."""
    _hold_back(books, letter.message, kind, now)
    if now - letter.received_at <= _FRESH and books.value("has_left", message=letter.message, kind=kind):
        _tell(books, letter.message, _STALE, now)


def _hold_back(books: Books, message: int, kind: str, now: int) -> None:
    moves.hold(books, [about for (about,) in books.run("waiting_of_letter", message=message, kind=kind)], now)


def _plan(books: Books, patient: int, letter: _Letter, now: int, *, at_once: bool) -> None:
    due_at, done_at = books.row("letter_due", message=letter.message) or (None, None)
    when = now if at_once else max(now, max(done_at or 0, letter.received_at) + _HOUR)
    if due_at is None or when < due_at:
        books.run("plan_letter", message=letter.message, patient=patient, due_at=when)


def _tell(books: Books, message: int, cause: str, now: int) -> None:
    tasks.open_task(books, [Raising("letter", cause, now, message)])


def fire(books: Books, items: Sequence[Firing]) -> list[list[Fired]]:
    """All that is due by itself: steps of clocks, tasks that nobody takes, and letters that are worked again."""
    fired = clocks.fire(books, items)
    for item, found in zip(items, fired, strict=True):
        for message, patient in books.run("due_letters_again", now=item.now, most=item.most):
            if _fire(books, message, patient, item.now):
                found.append(Fired("again", message, "", "normal", ""))
    return fired


def _fire(books: Books, message: int, patient: int, now: int) -> bool:
    books.act_for([patient])
    row = books.row("letter_now", message=message)
    if row is not None and row[0] == MessageState.STORED:
        books.run("plan_letter", message=message, patient=patient, due_at=now + _SOON)
        return False
    books.run("letter_done", message=message, at=now)
    # One that was taken back or replaced meanwhile is none any more, and one that waits for a person is theirs.
    if row is None or row[0] != MessageState.DONE:
        return False
    (taken,) = reprocess(books, [Reprocessing([message], GATEWAY, now, 0)])
    if not taken:
        _tell(books, message, _GONE, now)
    return bool(taken)
