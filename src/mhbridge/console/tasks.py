"""
Tasks over HTTP: what people have to do, and who says that they do it or have done it.

This module must never end a task about something parked: that ends with the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from mhbridge.console.access import Access, reason
from mhbridge.console.messages import json, object_of
from mhbridge.errors import StoreError
from mhbridge.log import Event, Log
from mhbridge.ports import Clock, Store

__all__ = ["TaskPages"]

_MOST: Final = 1000
_FILTERS: Final = frozenset({"queue", "ended", "before", "most"})


class TaskPages:
    """
    Routes about tasks.

    Args:
        wake: tell the loop that what is due next may have changed.
    """

    def __init__(self, *, store: Store, access: Access, wake: Callable[[], None], clock: Clock, log: Log) -> None:
        self._store = store
        self._access = access
        self._wake = wake
        self._clock = clock
        self._log = log

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """For the HTTP server."""
        return (
            web.get("/tasks", self._list),
            web.post(r"/tasks/{id:\d{1,18}}/take", self._take),
            web.post(r"/tasks/{id:\d{1,18}}/done", self._done),
        )

    async def _list(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        given = request.query
        if unknown := set(given) - _FILTERS:
            raise web.HTTPBadRequest(text=f"Known parameters: {', '.join(sorted(_FILTERS))}; {len(unknown)} are not.")
        before, most, ended = given.get("before", "0"), given.get("most", "100"), given.get("ended", "no")
        if not (before.isdecimal() and most.isdecimal() and len(before) < 19 and 0 < int(most[:9]) <= _MOST):
            raise web.HTTPBadRequest(text=f"before is an id, and most a number up to {_MOST}.")
        if ended not in ("yes", "no"):
            raise web.HTTPBadRequest(text="ended is yes or no.")
        found = await self._store.tasks(
            queue=given.get("queue", ""), ended=ended == "yes", before=int(before), most=int(most)
        )
        return json({"tasks": found})

    async def _take(self, request: web.Request) -> web.Response:
        who, task = await self._access.allow(request, "operator", "take task"), int(request.match_info["id"])
        self._log.info(Event.TASK_TAKEN, task=task, who=who)
        if not await self._store.take_task(task, who, self._clock()):
            raise web.HTTPConflict(text="No task with this id is open, or somebody else has taken it.")
        self._wake()
        return json({"taken": True})

    async def _done(self, request: web.Request) -> web.Response:
        await self._access.require(request, "operator")
        as_what = (await object_of(request)).get("as")
        if not isinstance(as_what, str) or not as_what.strip():
            raise web.HTTPBadRequest(text="Say how it ended as the text of the key as.")
        as_what = reason(as_what)
        who = await self._access.allow(request, "operator", "end task", why=as_what)
        task = int(request.match_info["id"])
        self._log.info(Event.TASK_DONE, task=task, who=who)
        try:
            done = await self._store.finish_task(task, who, as_what, self._clock())
        except StoreError as error:
            if error.code != "S230":
                raise
            raise web.HTTPConflict(text="It is about something parked, and ends with that.") from None
        if not done:
            raise web.HTTPConflict(text="No task with this id is open.")
        return json({"done": True})
