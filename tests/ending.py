"""What is undone when a process of the tests ends. `atexit` is no place for it: processes of pytest-xdist skip it."""

from __future__ import annotations

from contextlib import ExitStack

__all__ = ["at_the_end"]

at_the_end = ExitStack()
