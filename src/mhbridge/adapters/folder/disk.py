"""
Files on a disk such that what was said to be done has survived a power cut, as far as the disk is honest.

What others are to see is written under a name that nobody reads, and renamed: that is one step for everybody. This
module must never delete a file.
"""

from __future__ import annotations

import os
from pathlib import Path

from mhbridge.adapters.disk import sync_names

__all__ = ["DiskFiles", "make_folders"]


class DiskFiles:
    """`Files` on a real disk. What returned has survived a power cut, as far as the disk is honest."""

    def write(self, path: Path, body: bytes) -> None:
        """Write, fsync the file, fsync its directory."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        try:
            view = memoryview(body)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_names(path.parent)

    def rename(self, old: Path, new: Path) -> None:
        """Rename on one file system and fsync both directories."""
        os.rename(old, new)  # noqa: PTH104  Path.rename is the same; this names the system call meant
        sync_names(new.parent)
        if old.parent != new.parent:
            sync_names(old.parent)


def make_folders(path: Path, *below: str) -> None:
    """Folders for us alone. Whoever else is to use one makes it first, and gives it the rights wanted."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in below:
        (path / name).mkdir(mode=0o700, exist_ok=True)
