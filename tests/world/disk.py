"""
The disk of a simulated world: real files, and a sync costs nothing.

A world is about processes, which a system outlives with all that was written. That a sync is asked for, and what is
lost without it, is the subject of `powerloss`, on the same real store.
"""

from __future__ import annotations

from typing import Any

import apsw

__all__ = ["connect"]

_NAME = "world"


class _Disk(apsw.VFS):
    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _File("", name, flags)


class _File(apsw.VFSFile):
    def xSync(self, flags: int) -> None:  # noqa: N802
        """The system has it."""


#: Registered for as long as the tests run.
_disk = _Disk(_NAME, "")


def connect(*values: Any, **named: Any) -> apsw.Connection:
    """A connection on this disk."""
    return apsw.Connection(*values, vfs=_NAME, **named)
