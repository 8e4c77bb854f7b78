"""
Time that is not waited for, for whatever needs no network: a simulated month takes as long as its work.

`world/` has a loop of its own, which knows of connections as well.
"""

from __future__ import annotations

import asyncio


class Jumping(asyncio.SelectorEventLoop):
    """An event loop in which nothing is waited for: when nothing else is to do, it is the time of the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0
        select = self._selector.select

        def jump(timeout):
            found = select(0 if timeout is None or timeout > 0 else timeout)
            if not found and timeout is not None and timeout > 0:
                self.at += timeout
            return found

        self._selector.select = jump

    def time(self) -> float:
        return self.at
