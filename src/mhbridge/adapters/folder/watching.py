"""
Which files of a folder are complete: those that have looked the same for a while, or that their sender has marked.

A file is looked at, never opened. This module must never follow a link, and never take a name for more than a name.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mhbridge.formats.archive import is_set_aside

__all__ = ["Settling", "regular_files"]


@dataclass(frozen=True, slots=True)
class _Seen:
    """How a file looked, and since when it has looked so."""

    size: int
    changed: int
    since: float


class Settling:
    """
    Tells which files are complete.

    Args:
        pattern: which names are looked at (`*.csv`).
        settle: seconds without change, seen at least twice.
        marker: an ending such as `.done`; given, a file is complete when one of its name with this ending is there.
    """

    def __init__(self, folder: Path, *, pattern: str, settle: float, marker: str) -> None:
        self._folder = folder
        self._pattern = pattern
        self._settle = settle
        self._marker = marker
        self._seen: dict[str, _Seen] = {}

    def complete(self, now: float) -> list[str]:
        """Names of the complete files, the oldest first, so that a sender's order is kept."""
        names = [name for name in regular_files(self._folder) if not is_set_aside(name)]
        if self._marker:
            marked = {name.removesuffix(self._marker) for name in names if name.endswith(self._marker)}
            return [name for name in names if name in marked and self._wanted(name)]
        settled, seen = [], {}
        for name in filter(self._wanted, names):
            try:
                found = os.lstat(self._folder / name)
            except FileNotFoundError:
                continue
            before = self._seen.get(name)
            if before is None or (before.size, before.changed) != (found.st_size, found.st_mtime_ns):
                seen[name] = _Seen(found.st_size, found.st_mtime_ns, now)
                continue
            seen[name] = before
            if now - before.since >= self._settle:
                settled.append(name)
        self._seen = seen
        return settled

    def forget(self, name: str) -> None:
        """The file of this name is gone; another one of it has to settle by itself."""
        self._seen.pop(name, None)

    def _wanted(self, name: str) -> bool:
        return fnmatchcase(name, self._pattern)


def regular_files(folder: Path) -> list[str]:
    """Names of the regular files (a link may point anywhere), the oldest first."""
    found: list[tuple[int, str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                found.append((status.st_mtime_ns, entry.name))
    return [name for _, name in sorted(found)]
