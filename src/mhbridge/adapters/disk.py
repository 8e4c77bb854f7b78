"""
The disk that something lies on: how much of it is free. Read by whoever decides whether more may be taken.
"""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["free_of"]


def free_of(path: Path) -> tuple[int, int]:
    """
    Bytes that are free where a file lies or will lie, and bytes in all.

    Raises:
        OSError: the disk cannot be asked.
    """
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    usage = shutil.disk_usage(there)
    return usage.free, usage.total
