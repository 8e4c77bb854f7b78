"""
The disk that something lies on: how much of it is free, and that the names on it outlast a power cut.

This module must never write what is in a file.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["free_of", "sync_names"]


def free_of(path: Path) -> tuple[int, int]:
    """
    Bytes that are free where a file lies or will lie, and bytes in all.

    Raises:
        OSError: the disk cannot be asked.
    """
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    usage = shutil.disk_usage(there)
    return usage.free, usage.total


def sync_names(folder: Path) -> None:
    """Make the names in a folder durable: what is written into a file does not make its name so."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
