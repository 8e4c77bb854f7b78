"""
How the gateway is: alive, ready, its accounts, its metrics. Counts and names from the configuration only.

`live` says that the process answers, and nothing else: whoever restarts for it must not do so because a disk is full.
`ready` says whether a message would be taken now, and to know that it writes. Neither says a version, or who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final

from aiohttp import web

from mhbridge.console.access import Access
from mhbridge.console.messages import json
from mhbridge.console.metrics import Sources, exposition, samples
from mhbridge.errors import StoreError
from mhbridge.ports import Clock, Status, Store

__all__ = ["HealthPages"]

#: Nobody needs the accounts more often, nor to know so often that the store can be written to.
_FRESH: Final = timedelta(seconds=5)
#: A store that has not written by then does not write.
_PATIENCE: Final = 3.0
_UNWRITABLE: Final = "The store cannot be written to."


class HealthPages:
    """
    Routes about the gateway itself.

    Args:
        unready: why no envelope can be taken now, in words, as far as is known without trying; empty when they can.
        sources: of the metrics.
    """

    def __init__(
        self,
        *,
        store: Store,
        access: Access,
        unready: Callable[[], str],
        sources: Sources,
        clock: Clock,
    ) -> None:
        self._store = store
        self._access = access
        self._unready = unready
        self._sources = sources
        self._clock = clock
        self._status: Status | None = None
        self._counting = asyncio.Lock()
        self._written: datetime | None = None
        self._writing: asyncio.Task[None] | None = None

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """For the HTTP server."""
        return (
            web.get("/health/live", self._live),
            web.get("/health/ready", self._is_ready),
            web.get("/status", self._accounts),
            web.get("/metrics", self._metrics),
        )

    async def _live(self, _request: web.Request) -> web.Response:
        return json({"live": True})

    async def _is_ready(self, _request: web.Request) -> web.Response:
        if why := self._unready() or await self._unwritable():
            raise web.HTTPServiceUnavailable(text=why)
        return json({"ready": True, "mode": self._sources.mode})

    async def _unwritable(self) -> str:
        """Why the store cannot be written to; it is tried, but for all that ask within some seconds only once."""
        now = self._clock()
        if self._written is not None and timedelta(0) <= now - self._written < _FRESH:
            return ""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._store.probe(now))
        try:
            # Whoever is impatient leaves it going: a second one would wait behind it.
            async with asyncio.timeout(_PATIENCE):
                await asyncio.shield(self._writing)
        except (StoreError, TimeoutError):
            return _UNWRITABLE
        self._written = now
        return ""

    async def _accounts(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        status = asdict(await self._counted())
        sources = self._sources
        shared = {} if sources.nodes is None else {"nodes": asdict(sources.nodes())}
        said = {"mode": sources.mode, "ready": sources.ready(), "shut": dict(sources.shut()), **shared}
        return json({**status, **said})

    async def _metrics(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        body = exposition(samples(await self._counted(), self._sources))
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _counted(self) -> Status:
        async with self._counting:
            now = self._clock()
            if self._status is None or not timedelta(0) <= now - self._status.at <= _FRESH:
                self._status = await self._store.status(now)
            return self._status
