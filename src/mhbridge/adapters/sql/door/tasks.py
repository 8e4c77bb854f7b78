"""
What is asked of the store about tasks and clocks.

This module must never open a task of what is parked: that is the move's own.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mhbridge.adapters.sql import letters, stories, tasks
from mhbridge.adapters.sql.books import micros, when_said
from mhbridge.adapters.sql.door.calling import Calling
from mhbridge.adapters.sql.reading import Reader
from mhbridge.ports import Fired, Task, Urgency

__all__ = ["Tasks"]


class Tasks(Calling):
    """The port `Tasks`."""

    async def raise_task(
        self,
        what: str,
        cause: str,
        now: datetime,
        *,
        about: int = 0,
        name: str = "",
        queue: str = "",
        severity: Urgency | None = None,
        deadline: datetime | None = None,
    ) -> int:
        until = None if deadline is None else micros(deadline)
        raising = tasks.Raising(what, cause, micros(now), about, name, queue, severity, until)
        task: int = await self.write(tasks.open_task, raising)
        return task

    async def close_task(self, what: str, as_what: str, now: datetime, *, about: int = 0, name: str = "") -> bool:
        ended: bool = await self.write(tasks.end, tasks.Ending(what, as_what, micros(now), about, name))
        return ended

    async def tasks(self, *, queue: str = "", ended: bool = False, before: int = 0, most: int = 100) -> Sequence[Task]:
        return await self.ask(stories.tasks, queue, ended, before, most)

    async def take_task(self, task: int, who: str, now: datetime) -> bool:
        taken: bool = await self.write(tasks.take, tasks.Taking(task, who, micros(now)))
        return taken

    async def finish_task(self, task: int, who: str, as_what: str, now: datetime) -> bool:
        ended: bool = await self.write(tasks.finished, tasks.Finished(task, who, as_what, micros(now)))
        return ended

    async def fire(self, now: datetime, most: int = 100) -> Sequence[Fired]:
        fired: list[Fired] = await self.write(letters.fire, tasks.Firing(micros(now), most), self._fired)
        return fired

    def _fired(self, fired: Sequence[Fired]) -> None:
        """What was folded of the readings of a letter that is worked again is not known any more."""
        if self._near.alone and any(one.kind == "again" for one in fired):
            self._near.folds.clear()

    async def next_fire(self) -> datetime | None:
        at = await self._ask(self._flow, Reader.value, "next_fire")
        return when_said(at)
