"""
What people put right over HTTP: triage by cause, messages worked again, alone or all of one cause, and rehearsals.

This module must never put a value of a message anywhere but into the body of an answer to a `clinical` credential.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from aiohttp import web

from mhbridge.console.access import Access
from mhbridge.console.messages import json, object_of
from mhbridge.errors import explanations
from mhbridge.log import Event, Log
from mhbridge.ports import Clock, ParkedCause, Store

__all__ = ["RATE", "RepairPages", "cause_of"]

#: So many messages a second are worked again, where nobody says how many: those that come keep their place.
RATE: Final = 10.0
_FASTEST: Final = 1000.0
_MOST: Final = 10_000


class Rehearsed(Protocol):
    """What became of a message, and what would."""

    def plain(self, *, values: bool) -> dict[str, Any]:
        """As JSON has it; what documents say only with `values`."""


class RepairPages:
    """
    Routes about what is put right.

    Args:
        rehearse: what would become of a message.
        wake: tell the backlog that there is something to work.
    """

    def __init__(
        self,
        *,
        store: Store,
        access: Access,
        rehearse: Callable[[int], Awaitable[Rehearsed | None]],
        wake: Callable[[], None],
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._access = access
        self._rehearse = rehearse
        self._wake = wake
        self._clock = clock
        self._log = log

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """For the HTTP server."""
        return (
            web.get("/parked/causes", self._causes),
            web.post("/parked/reprocess", self._reprocess_cause),
            web.post(r"/messages/{id:\d{1,18}}/reprocess", self._reprocess),
        )

    async def _causes(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        return json({"causes": [cause_of(cause) for cause in await self._store.parked_causes()]})

    async def _reprocess(self, request: web.Request) -> web.Response:
        about = int(request.match_info["id"])
        if "dry-run" in request.query:
            return await self._rehearsed(request, about)
        who = await self._access.allow(request, "operator", "reprocess")
        if not await self._store.reprocess([about], who, self._clock()):
            raise web.HTTPConflict(
                text="There is no such message, or it is under way, was closed by a person, or has been purged."
            )
        self._log.warning(Event.REPROCESSED, message=about, who=who, count=1)
        self._wake()
        return json({"messages": 1})

    async def _rehearsed(self, request: web.Request, about: int) -> web.Response:
        values = "values" in request.query
        if values:
            who = await self._access.allow_reading(request, "read difference")
            self._log.warning(Event.BODY_READ, message=about, who=who, kind="difference")
        else:
            await self._access.require(request, "operator")
        found = await self._rehearse(about)
        if found is None:
            raise web.HTTPNotFound(text="There is no message with this id.")
        return json(found.plain(values=values))

    async def _reprocess_cause(self, request: web.Request) -> web.Response:
        await self._access.require(request, "operator")
        wanted = await object_of(request)
        cause, feed, rate = wanted.get("cause"), wanted.get("feed", ""), wanted.get("rate", RATE)
        if not isinstance(cause, str) or not cause.isalnum() or not isinstance(feed, str):
            raise web.HTTPBadRequest(text="Give the code that they wait for as the text of the key cause.")
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= _FASTEST:
            raise web.HTTPBadRequest(text=f"The rate is a number of messages a second, at most {_FASTEST:.0f}.")
        who = await self._access.allow(request, "operator", f"reprocess {cause}")
        messages = await self._store.parked_of(cause, feed=feed, most=_MOST)
        taken = await self._store.reprocess(messages, who, self._clock(), every=1 / rate)
        self._log.warning(Event.REPROCESSED, code=cause, who=who, count=len(taken))
        self._wake()
        return json({"messages": len(taken)})


def cause_of(cause: ParkedCause) -> dict[str, Any]:
    """A cause in words, as people and programs read it."""
    explained = explanations().get(cause.code)
    return {
        "cause": cause.code,
        "title": explained.title if explained else "",
        "mend": explained.mend if explained else "",
        "what": cause.what,
        "feed": cause.feed,
        "mapping": cause.mapping,
        "destination": cause.destination,
        "count": cause.count,
        "oldest": cause.oldest.isoformat(),
        "example": cause.example,
    }
