"""
What is remembered of one place of a mapping, because it comes again in messages about others: codes, and who and what
works there (`fhir.recurring`).

This module must never keep what may be a patient's own, nor words that somebody wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any, Final

from mhbridge.fhir.recurring import RECURRING, Again, forget, recur
from mhbridge.mapping.marks import PLAIN, Mark
from mhbridge.mapping.run import Run
from mhbridge.model import ABSENT

__all__ = ["REMEMBERED", "Assembled", "begun", "comes_again", "forgotten", "full", "kept_again", "recurs"]

#: Values of one place of a mapping that are remembered; real feeds use a few dozen.
REMEMBERED: Final = 512


def full(known: Sized) -> bool:
    """Whether what is remembered of a place is as many values as that may be."""
    return len(known) >= REMEMBERED


def recurs(value: Any) -> None:
    """Say of a value that it is remembered: of a concept, which may be given words of its own, its codes as well."""
    if type(value) is dict:
        recur(value)
        if "coding" in value:
            recur(value["coding"])


def comes_again(value: Any) -> bool:
    """Whether a value is worth remembering: words that somebody wrote beside a code are not, and may be of anybody."""
    return type(value) is str or (type(value) is dict and "text" not in value)


def forgotten(values: Iterable[Any]) -> None:
    """Say of values that they are no longer remembered: of concepts, which may have their own words, the codes."""
    for value in values:
        if type(value) is dict:
            forget([value, *([value["coding"]] if "coding" in value else ())])


class Assembled:
    """
    Records made of what stands at one place of a row and comes again in messages about others (`Plan.common`): each is
    made once, and remembered with what the ledger is told of it.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        #: What stands at the place → what tells its parts apart, what the ledger is told, and the record.
        self._known: dict[str, tuple[Any, list[tuple[Mark, int]], dict[str, Any]]] = {}

    def recall(self, held: str, row: Any, run: Run) -> dict[str, Any] | None:
        """The record, if it was made before."""
        known = self._known.get(held)
        if known is None or known[0] is not row.delimiters:
            return None
        run.trace += [(mark, kind, held, row) for mark, kind in known[1]]
        return known[2]

    def keep(self, held: str, row: Any, run: Run, begun: tuple[int, int], record: Any) -> None:
        """
        Remember a record, if all that was read for it was plain and there was nothing to note.

        Args:
            begun: how much there was when its making began (`begun`).
        """
        traced, noted = begun
        read = run.trace[traced:]
        if not held or type(record) is not dict or len(run.issues) > noted or any(one[1] <= PLAIN for one in read):
            return
        if full(self._known):
            forgotten([one for _, _, one in self._known.values()])
            self._known.clear()
        self._known[held] = row.delimiters, [(mark, kind) for mark, kind, _, _ in read], record
        recur(record)


def begun(run: Run) -> tuple[int, int]:
    """How much was read, and noted."""
    return len(run.trace), len(run.issues)


def kept_again(again: Again, items: tuple[Any, ...], whole: Any, run: Run) -> None:
    """Remember what was made of items that are remembered, unless there was something to note."""
    for item in items:
        if item is not ABSENT and id(item) not in RECURRING:
            return
    if type(whole) is dict and not run.issues:
        again.keep(items[0] if len(items) == 1 else items, whole)
