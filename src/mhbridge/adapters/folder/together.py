"""
Files that belong together: told by their names, taken when all are there, or when the others have not come in time.

Since when some of them wait, and that they were answered, is written down beside the claimed files, so that neither a
stop nor a kill begins the wait anew or takes half of what was answered for something by itself. This module must never
open a file that was received.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from mhbridge.model import Answer, Verdict
from mhbridge.ports import Files

if TYPE_CHECKING:
    from mhbridge.formats import Gathering

__all__ = ["Group", "Waiting", "grouped"]


@dataclass(frozen=True, slots=True)
class Group:
    """
    Files that belong together.

    Args:
        files: what each is → its name.
    """

    gathering: Gathering
    key: str
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        """By which it is noted; nothing of the names of its files is in it."""
        return sha256(f"{type(self.gathering).__name__}|{self.key}".encode()).hexdigest()[:16]

    @property
    def lacks(self) -> bool:
        """Whether something is still to come."""
        return self.gathering.lacking(self.files)


def grouped(gatherings: Sequence[Gathering], names: Iterable[str]) -> tuple[list[Group], list[str]]:
    """
    What belongs together among some files, and the files that are by themselves; each in the order of the names.

    A second file that is the same as one before it is in neither: it waits until that one is gone.
    """
    found: dict[tuple[int, str], dict[str, str]] = {}
    alone: list[str] = []
    for name in names:
        for number, gathering in enumerate(gatherings):
            place = gathering.place(name)
            if place is not None:
                found.setdefault((number, place[0]), {}).setdefault(place[1], name)
                break
        else:
            alone.append(name)
    return [Group(gatherings[number], key, files) for (number, key), files in found.items()], alone


class Waiting:
    """What is written down of groups, in the folder of claimed files."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files

    # --- since when they wait ---

    def is_due(self, group: Group, now: datetime) -> bool:
        """Whether a group that lacks something has waited for it long enough; the first time that is seen is noted."""
        note = self._folder / f".{group.name}.waits"
        try:
            since = datetime.fromisoformat(note.read_text())
        except (FileNotFoundError, ValueError):
            since = now
            self._files.write(note, now.isoformat().encode())
        return now - since >= timedelta(seconds=group.gathering.wait)

    def forget_others(self, groups: Iterable[Group]) -> None:
        """Only these wait; of another of the same name the wait begins anew."""
        wanted = {f".{group.name}.waits" for group in groups}
        for note in self._folder.glob(".*.waits"):
            if note.name not in wanted:
                note.unlink(missing_ok=True)

    # --- that they were answered ---

    def answered(self, group: Group, digests: Mapping[str, str], answer: Answer) -> None:
        """Write down that files, each with the digest of its bytes, were answered, before they are put away."""
        said = [answer.verdict, answer.text, answer.answered_at, answer.code, answer.reference]
        self._files.write(self._folder / f".{group.name}.answered", orjson.dumps([dict(digests), said]))

    def to_be_put_away(self) -> list[tuple[Path, dict[str, str], Answer]]:
        """What was answered and perhaps not put away: the note, file → digest, and the answer."""
        found: list[tuple[Path, dict[str, str], Answer]] = []
        for note in sorted(self._folder.glob(".*.answered")):
            try:
                digests, (verdict, text, at, code, reference) = orjson.loads(note.read_bytes())
                answer = Answer(Verdict(verdict), text, datetime.fromisoformat(at), code, reference=reference)
            except (ValueError, TypeError):
                # Written as the power went: the files are received again, and are a repeat.
                with suppress(FileNotFoundError):
                    note.unlink()
                continue
            found.append((note, digests, answer))
        return found
