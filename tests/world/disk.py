"""
The disk of a simulated world: real files, a sync costs nothing, and it can be full or fail.

A world is about processes, which a system outlives with all that was written. That a sync is asked for, and what is
lost without it, is the subject of `powerloss`, on the same real store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apsw

__all__ = ["Disk", "connect", "put_in"]

_NAME = "world"


@dataclass
class Disk:
    """
    Attributes:
        full: nothing more can be written.
        full_at: only the write of this number finds no room, as on a disk that others fill and empty.
        broken_at: the sync of this number fails.
    """

    full: bool = False
    full_at: int | None = None
    broken_at: int | None = None
    writes: int = 0
    syncs: int = 0

    def write(self) -> None:
        self.writes += 1
        if self.full or self.writes - 1 == self.full_at:
            raise apsw.FullError

    def sync(self) -> None:
        self.syncs += 1
        if self.syncs - 1 == self.broken_at:
            raise apsw.IOError


class _Files(apsw.VFS):
    disk = Disk()

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _File(self.disk, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._disk.write()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802
        """The system has it."""
        self._disk.sync()


#: Registered for as long as the tests run; one world after the other puts its disk in.
_files = _Files(_NAME, "")


def put_in(disk: Disk) -> Disk:
    """Files that are opened from now on are on this disk."""
    _files.disk = disk
    return disk


def connect(*values: Any, **named: Any) -> apsw.Connection:
    """A connection on the disk that is in."""
    return apsw.Connection(*values, vfs=_NAME, **named)
