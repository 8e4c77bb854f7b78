"""
The file in which it is noted how far the log of the store has come.

Lines are only ever added, and are on the disk when `add` returns. This module must never know what a line says.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["HeadsFile"]


class HeadsFile:
    """
    Args:
        path: best on another disk or machine than the store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> Sequence[str]:
        """Every line; none, when there is no such file."""
        return self._path.read_text("utf-8").splitlines() if self._path.exists() else ()

    def add(self, line: str) -> None:
        """Add a line, and put an end to one that a power cut left without it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            torn = size and file.read(1) != b"\n"
            if torn:
                # What is left of it was never told anybody.
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
