"""
An HTTP server of a test or a demonstration: on this machine alone, started and stopped as often as one likes.

This module must never listen on anything but the loopback address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

__all__ = ["Site"]


class Site:
    """
    Where a server listens.

    Args:
        port: on 127.0.0.1; 0 takes a free one. A site that is started again has the same one.
        context: TLS.
        receive: takes what is asked; left out, with every method and at every path.
    """

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext | None,
        receive: Callable[[web.Request], Awaitable[web.StreamResponse]],
        *,
        method: str = "*",
        path: str = "/{path:.*}",
    ) -> None:
        self._port = port
        self._context = context
        self._route = web.route(method, path, receive)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Returns when it accepts."""
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_routes([self._route])
        # Whoever waits for a slow answer is cut off at the end, not waited for.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._context).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and cut off whoever is connected."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self._port}"
