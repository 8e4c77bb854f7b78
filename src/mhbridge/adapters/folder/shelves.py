"""
Where claimed files end: `archive`, or `rejected` with the reason beside it.

This module must never let other bytes take the place of a file that was put away.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

from mhbridge.adapters.folder.opened import digest, open_claimed
from mhbridge.adapters.folder.progress import Progress
from mhbridge.adapters.folder.together import Waiting
from mhbridge.errors import explanations
from mhbridge.model import Answer, Verdict
from mhbridge.ports import Files

__all__ = ["ARCHIVE", "CLAIMED", "REJECTED", "Shelves"]

CLAIMED: Final = ".claimed"
ARCHIVE: Final = "archive"
REJECTED: Final = "rejected"


class Shelves:
    """
    Args:
        path: the folder that is watched.
        marker: the ending of the files that say that another is complete; empty: there are none.
    """

    def __init__(self, path: Path, *, marker: str, files: Files, progress: Progress, waiting: Waiting) -> None:
        self._path = path
        self._claimed = path / CLAIMED
        self._marker = marker
        self._files = files
        self._progress = progress
        self._waiting = waiting

    def put_away(self, name: str, of: str, answer: Answer) -> None:
        """
        To the folder where it ends: reason, marker, file, in this order, so that a stop between two is no loss.

        Args:
            of: the digest of its bytes.
        """
        kept = answer.verdict is Verdict.ACCEPTED or bool(answer.reference)
        # The same bytes under the same name may come again; other bytes never push them out.
        end = self._path / (ARCHIVE if kept else REJECTED) / _put_away_as(name, of)
        if answer.verdict is not Verdict.ACCEPTED:
            known = explanations().get(answer.code)
            reason = {"code": answer.code, "text": answer.text, "reference": answer.reference}
            if known is not None:
                # Who finds the file seldom has the command that explains codes.
                reason["mend"] = known.mend
            self._files.write(end.with_name(f"{end.name}.reason.json"), orjson.dumps(reason))
        if self._marker:
            self.put_marker_away(name)
        self._files.rename(self._claimed / name, end)
        self._progress.end(name)

    def put_rest_away(self) -> None:
        """Files that were answered together, as far as they are not put away."""
        for note, digests, answer in self._waiting.to_be_put_away():
            for name, of in digests.items():
                if (self._claimed / name).exists():
                    self.put_away(name, of, answer)
            self._progress.end(note.name.removeprefix(".").removesuffix(".answered"))
            note.unlink(missing_ok=True)

    def put_marker_away(self, name: str) -> None:
        """What said that a file is complete."""
        marker = self._claimed / f"{name}{self._marker}"
        with suppress(FileNotFoundError):
            with open_claimed(marker) as file:
                of = digest(file)
            self._files.rename(marker, self._path / ARCHIVE / _put_away_as(marker.name, of))


def _put_away_as(name: str, of: str) -> str:
    """The name that its owner knows it by, behind a digest; without it where the two would be too long for a disk."""
    return f"{of}-{name}" if len(os.fsencode(name)) <= 200 else f"{of}{Path(name).suffix[:20]}"
