"""
Claimed files, open: for us alone, looked at for changes, and read a block at a time.

This module must never follow a link, and never hold a large file in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from mhbridge.formats.several import File, written

__all__ = ["as_one", "digest", "looks", "open_claimed", "size"]


def open_claimed(path: Path) -> BinaryIO:
    """A claimed file, and no link. From now on it is for us alone, where it is ours."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    if hasattr(os, "fchmod"):
        with suppress(PermissionError):
            os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "rb")


def size(file: BinaryIO) -> int:
    """In bytes."""
    return os.fstat(file.fileno()).st_size


def looks(files: Iterable[BinaryIO]) -> tuple[int, ...]:
    """By what files are seen to have changed: of each its size, and when it was written to."""
    found = (os.fstat(file.fileno()) for file in files)
    return tuple(number for status in found for number in (status.st_size, status.st_mtime_ns))


def digest(file: BinaryIO) -> str:
    """Of its bytes, a block in memory at a time."""
    file.seek(0)
    made = sha256()
    while block := file.read(1 << 20):
        made.update(block)
    return made.hexdigest()[:16]


def as_one(files: Mapping[str, tuple[str, BinaryIO]]) -> bytes:
    """Several files as one envelope, in the order of their names, so that it is the same however they came."""
    made: list[File] = []
    for name, file in sorted(files.values(), key=lambda pair: pair[0]):
        file.seek(0)
        made.append(File(name, file.read()))
    return written(made)
