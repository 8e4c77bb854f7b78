"""
The mappings in force, and the request to use the files as they are now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from mhbridge.console.access import Access
from mhbridge.console.messages import json

__all__ = ["MappingPages"]


class MappingPages:
    """
    Routes about mappings.

    Args:
        shown: each mapping with its document type, format and hash.
        reload: given who asks, uses the files as they are now; returns what changed, or what is wrong with them.
    """

    def __init__(
        self,
        *,
        shown: Callable[[], Sequence[Mapping[str, Any]]],
        reload: Callable[[str], Awaitable[tuple[Sequence[str], Sequence[str]]]],
        access: Access,
    ) -> None:
        self._shown = shown
        self._reload = reload
        self._access = access

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """For the HTTP server."""
        return web.get("/mappings", self._list), web.post("/mappings/reload", self._post)

    async def _list(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        return json({"mappings": self._shown()})

    async def _post(self, request: web.Request) -> web.Response:
        changed, problems = await self._reload(await self._access.allow(request, "operator", "reload mappings"))
        if problems:
            # As `check` shows them: place, what is wrong, what to do.
            raise web.HTTPUnprocessableEntity(text="\n".join(problems))
        return json({"changed": changed, "mappings": self._shown()})
