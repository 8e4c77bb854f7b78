"""
How far claimed files were taken, so that a large one is gone on with where it was left.

It is kept in memory and, now and then, beside the claimed files. It saves work and nothing depends on it: what is
received once more is a repeat. This module must never open a file that was received.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import orjson

from mhbridge.model import NOTHING_BEFORE, Answer, Before, Verdict
from mhbridge.ports import Files

__all__ = ["Progress", "Taken"]

_ORDER: Final = (Verdict.ACCEPTED, Verdict.REFUSED, Verdict.REJECTED)


@dataclass(frozen=True, slots=True)
class Taken:
    """How far a file was taken, and the worst of the answers so far."""

    upto: Before = NOTHING_BEFORE
    worst: Answer | None = None

    def further(self, upto: Before, answer: Answer) -> Taken:
        """The same after one more part, or one more member of an archive."""
        worse = self.worst is None or _ORDER.index(answer.verdict) > _ORDER.index(self.worst.verdict)
        return Taken(upto, answer if worse else self.worst)


class Progress:
    """
    Args:
        folder: that of the claimed files.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._taken: dict[str, Taken] = {}

    def of(self, name: str, looked: tuple[int, ...]) -> Taken:
        """How far this very file, or these files together, were taken, as far as that is known."""
        return self._taken.get(name) or self._noted(name, looked)

    def keep(self, name: str, taken: Taken) -> None:
        """In memory."""
        self._taken[name] = taken

    def forget(self, name: str) -> None:
        """It is read from its beginning, or from where it was noted."""
        self._taken.pop(name, None)

    def end(self, name: str) -> None:
        """It was put away."""
        self.forget(name)
        self._note_of(name).unlink(missing_ok=True)

    def end_others(self, names: Iterable[str]) -> None:
        """Notes of whatever else was put away as the process ended."""
        wanted = {self._note_of(name) for name in names}
        for note in self._folder.glob(".*.taken"):
            if note not in wanted:
                note.unlink(missing_ok=True)

    def note(self, name: str, looked: tuple[int, ...], taken: Taken) -> None:
        """Write down how far a file was taken."""
        worst = taken.worst
        if worst is None:
            return
        said = [worst.verdict, worst.text, worst.answered_at, worst.code, worst.reference]
        told = [looked, taken.upto.rows, taken.upto.lines, taken.upto.offset, said]
        self._files.write(self._note_of(name), orjson.dumps(told))

    def _note_of(self, name: str) -> Path:
        return self._folder / f".{sha256(os.fsencode(name)).hexdigest()[:16]}.taken"

    def _noted(self, name: str, looked: tuple[int, ...]) -> Taken:
        try:
            seen, rows, lines, offset, said = orjson.loads(self._note_of(name).read_bytes())
            if tuple(seen) != looked:
                return Taken()
            verdict, text, at, code, reference = said
            worst = Answer(Verdict(verdict), text, datetime.fromisoformat(at), code, reference=reference)
        except (FileNotFoundError, ValueError, TypeError):
            # Written as the power went: then it is read from its beginning, and what was taken is a repeat.
            return Taken()
        return Taken(Before(rows, lines, offset), worst)
