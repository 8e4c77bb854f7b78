"""
Who may do what: bearer tokens with roles, from the configuration, and nothing else.

Without any credential configured, states can be read (the listener is on loopback then) and nothing more can be done.
There is no default credential, and there must never be one.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final, Literal

from aiohttp import web

from mhbridge import config
from mhbridge.log import Event, Log

__all__ = ["Access", "Role"]

Role = Literal["viewer", "operator", "clinical"]

_LOCAL: Final = "local"


class Access:
    """
    Decides about one request at a time.

    Args:
        credentials: tokens with their roles. Any of them may do what a `viewer` may.
    """

    def __init__(self, credentials: Sequence[config.Access], log: Log) -> None:
        self._credentials = tuple(credentials)
        self._log = log

    def require(self, request: web.Request, role: Role) -> str:
        """
        The name of whoever asks, for the log.

        Raises:
            web.HTTPException: 401 without a token that is known, 403 without the role.
        """
        if not self._credentials and role == "viewer":
            return _LOCAL
        who = self._holder(request)
        if who is None and self._credentials:
            self._denied(request, "")
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        if who is None or (role != "viewer" and role not in who.roles):
            self._denied(request, "" if who is None else who.who)
            raise web.HTTPForbidden(text=f"This needs a credential with the role {role}.")
        return who.who

    def _holder(self, request: web.Request) -> config.Access | None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        found = None
        for credential in self._credentials:
            # Every one is compared, in constant time: how long it takes tells nothing.
            if hmac.compare_digest(given.strip().encode(), credential.token.reveal().encode()):
                found = credential
        return found

    def _denied(self, request: web.Request, who: str) -> None:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else ""
        self._log.warning(Event.ACCESS_DENIED, route=route, method=request.method, who=who)
