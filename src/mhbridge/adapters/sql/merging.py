"""
Merging two identifiers of one patient, and undoing that: a barrier between what came before it and what comes after.

What waits under the retired identifier moves behind what waits under the one that stays, in its order, in the
transaction of the merge; the merge's own deliveries come behind both. Readings keep the identifier that they
came under: `patient.merged_into` alone says where they fold, so that a merge can be undone. Documents and clocks, of
which each stay has one series, go along, and back. This module must
never move what is being sent: who sends it would not find it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mhbridge.adapters.sql import letters, watching
from mhbridge.adapters.sql.books import Books
from mhbridge.adapters.sql.clocks import hand_over, take_back
from mhbridge.model import Joining

__all__ = ["joining", "merge", "unmerge"]

Rows = Callable[..., Sequence[Any]]
"""Runs a named query with named values."""


def joining(rows: Rows, told: Joining, retired: bytes, survivor: bytes) -> Joining:
    """
    How two identifiers stand to each other.

    Args:
        told: names them; what it says of them is not looked at.
        retired, survivor: their tokens.
    """
    gone, stays = _chain(rows, retired), _chain(rows, survivor)
    joined = bool(gone and stays) and gone[-1] == stays[-1]
    # The one that stays was merged into the one that goes, or that into a third.
    contrary = bool(gone) and (gone[0] in stays if joined else len(gone) > 1)
    query = "waits_in_lane" if told.undone else "may_be_leaving"
    # A merge waits for what is being sent under the retired identifier, its undoing for all that waits under the other.
    whose = stays[-1:] if told.undone else gone[-1:]
    busy = any(rows(query, patient=patient) for patient in whose)
    return Joining(told.retired, told.survivor, told.undone, joined and not contrary, contrary, busy)


def _chain(rows: Rows, token: bytes) -> list[int]:
    """The ids from an identifier to the one that stays in the end; empty when it is not known."""
    found: list[int] = []
    row = next(iter(rows("patient_of_token", token=token)), None)
    while row is not None and row[0] not in found:
        found.append(row[0])
        row = next(iter(rows("patient_with_id", id=row[1])), None)
    return found


def merge(books: Books, retired: int, survivor: int, message: int, now: int) -> None:
    """What belongs to one patient belongs to another from now on."""
    retired, survivor = books.root(retired), books.root(survivor)
    books.join(retired, survivor)
    moved = 0
    for destination, last_seq, depth, waiting in books.run("lanes_of_patient", patient=retired):
        books.run("open_lane", patient=survivor, destination=destination)
        books.run("move_deliveries", retired=retired, survivor=survivor, destination=destination)
        books.run("lengthen_lane", patient=survivor, destination=destination, by=last_seq)
        books.each("settle_lane", [(survivor, destination, depth, waiting), (retired, destination, -depth, -waiting)])
        moved += depth
    for query in ("move_waiting_messages", "move_waiting_merges", "move_documents"):
        books.run(query, retired=retired, survivor=survivor)
    hand_over(books, retired, survivor, now)
    watching.hand_over(books, retired, survivor, now)
    letters.hand_over(books, retired, survivor)
    books.log(now, "message", message, f"merged {retired} into {survivor}, {moved} deliveries with it")


def unmerge(books: Books, retired: int, message: int, now: int) -> None:
    """An identifier stands for itself again, and what has come under it belongs to it."""
    survivor = books.root(retired)
    books.join(retired, None)
    books.run("move_documents_back", retired=retired, survivor=survivor)
    take_back(books, retired, survivor, now)
    watching.see_again(books, [retired, survivor], now)
    books.log(now, "message", message, f"{retired} is merged no longer")
