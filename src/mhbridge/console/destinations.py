"""
Destinations over HTTP: how each is doing, letting one go that is held, and what it says of what it was sent.

A destination acknowledges with a token of its own, which opens nothing else. This module must never let one say
anything of what another was sent.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Final

import orjson
from aiohttp import web

from mhbridge.config import Secret
from mhbridge.console.access import Access
from mhbridge.console.messages import json
from mhbridge.fhir.response import response_in
from mhbridge.log import Event, Log
from mhbridge.ports import LEVELS, Clock, Store

__all__ = ["DestinationPages"]

_BUSINESS: Final = LEVELS.index("business")
_REFUSED: Final = "D961"


class DestinationPages:
    """
    Routes about destinations.

    Args:
        names: of those that are configured.
        shut: those that are not being sent to, and why.
        let_go: have one sent to again at once; false when it is already.
        tokens: of those that acknowledge, the token that they do it with.
    """

    def __init__(
        self,
        *,
        names: tuple[str, ...],
        shut: Callable[[], Mapping[str, str]],
        let_go: Callable[[str], bool],
        tokens: Mapping[str, Secret],
        store: Store,
        access: Access,
        clock: Clock,
        log: Log,
    ) -> None:
        self._names = names
        self._shut = shut
        self._let_go = let_go
        self._tokens = tokens
        self._store = store
        self._access = access
        self._clock = clock
        self._log = log

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """For the HTTP server."""
        return (
            web.get("/destinations", self._list),
            web.post("/destinations/{name}/release", self._release),
            web.post("/destinations/{name}/acknowledgements", self._acknowledge),
        )

    async def _list(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        shut = self._shut()
        return json({"destinations": [{"name": name, "state": shut.get(name, "open")} for name in self._names]})

    async def _release(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        known = name if name in self._names else ""
        who = await self._access.allow(request, "operator", f"release destination {known}")
        if not known:
            raise web.HTTPNotFound(text="There is no destination of this name.")
        if not self._let_go(name):
            raise web.HTTPConflict(text="It is being sent to already.")
        self._log.warning(Event.RELEASED, destination=name, who=who)
        return json({"released": True})

    async def _acknowledge(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self._require(request, name)
        try:
            resource = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            resource = None
        response = response_in(resource if isinstance(resource, dict) else None)
        if response is None:
            raise web.HTTPBadRequest(text="This is no response: a Bundle of type message, whose MessageHeader has one.")
        refused = "" if response.code == "ok" else _REFUSED
        found = await self._store.acknowledge(name, response.message, _BUSINESS, self._clock(), refused=refused)
        if not found:
            raise web.HTTPNotFound(text="No message of this id was sent to you, as far as is known here. Try later.")
        self._log.info(Event.ACKNOWLEDGED, destination=name, code=refused or "ok")
        return json({"acknowledged": True})

    def _require(self, request: web.Request, name: str) -> None:
        """Whoever acknowledges must be the destination that does it."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        token = self._tokens.get(name)
        known = token.reveal().encode() if token is not None else b""
        # Whether there is such a destination is told to nobody who does not know its token.
        same = hmac.compare_digest(given.strip().encode(), known)
        if scheme.lower() != "bearer" or not known or not same:
            self._log.warning(Event.ACCESS_DENIED, route="/destinations/{name}/acknowledgements", method="POST")
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
