"""
Who may do what: bearer tokens with roles, from the configuration, and nothing else.

Without any credential configured, states can be read (the listener is on loopback then) and nothing more can be done.
There is no default credential, and there must never be one. What a patient is the subject of is read, and what acts is
done, only after it is in the log who does it; so is who was refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final, Literal

from aiohttp import web

from mhbridge import config
from mhbridge.log import Event, Log
from mhbridge.ports import Clock, Store

__all__ = ["REASON", "Access", "Role", "reason"]

Role = Literal["viewer", "operator", "clinical"]

#: A header, since a parameter would stand in a URL, which is kept in many places.
REASON: Final = "X-Reason"
_LONGEST: Final = 200
_DIGITS: Final = 19

_LOCAL: Final = "local"
_NOBODY: Final = "nobody"


class Access:
    """
    Decides about one request at a time.

    Args:
        credentials: tokens with their roles. Any of them may do what a `viewer` may.
        store: whose log says who did what, and who was refused.
    """

    def __init__(self, credentials: Sequence[config.Access], *, store: Store, clock: Clock, log: Log) -> None:
        self._credentials = tuple(credentials)
        self._store = store
        self._clock = clock
        self._log = log

    async def require(self, request: web.Request, role: Role) -> str:
        """
        The name of whoever asks, for the log.

        Raises:
            web.HTTPException: 401 without a token that is known, 403 without the role, which is in the log then.
        """
        if not self._credentials and role == "viewer":
            return _LOCAL
        who = self._holder(request)
        if who is None and self._credentials:
            self._log.warning(Event.ACCESS_DENIED, route=_route(request), method=request.method)
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        if who is None or (role != "viewer" and role not in who.roles):
            name = _NOBODY if who is None else who.who
            self._log.warning(Event.ACCESS_DENIED, route=_route(request), method=request.method, who=name)
            await self._audit(name, f"denied {request.method} {_route(request)}", _about(request), "")
            raise web.HTTPForbidden(text=f"This needs a credential with the role {role}.")
        return who.who

    async def allow(self, request: web.Request, role: Role, act: str, *, why: str = "") -> str:
        """
        The same for what is in the log before it is done; when this returns, it is.

        Args:
            act: what is about to be done with what the request names.

        Raises:
            web.HTTPException: as `require`.
            StoreError: it cannot be in the log, so it must not be done.
        """
        who = await self.require(request, role)
        await self._audit(who, act, _about(request), why)
        return who

    async def allow_reading(self, request: web.Request, act: str) -> str:
        """
        The same for reading what is about a patient, for which a reason must be given (SEC-13).

        Raises:
            web.HTTPException: as `require`, and 400 without a reason.
            StoreError: as `allow`.
        """
        await self.require(request, "clinical")
        return await self.allow(request, "clinical", act, why=reason(request.headers.get(REASON, "")))

    async def _audit(self, who: str, act: str, about: int, why: str) -> None:
        await self._store.audit(who, act, about, self._clock(), why=why)

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


def reason(given: str) -> str:
    """
    A reason as it may stand in the log.

    Raises:
        web.HTTPException: 400 where there is none, or it is no line of text.
    """
    text = given.strip()
    if not text or len(text) > _LONGEST or not text.isprintable():
        raise web.HTTPBadRequest(
            text=f"Give the reason, a line of at most {_LONGEST} characters that names no patient: it stays in the log."
            f" For what is read it is the header {REASON}."
        )
    return text


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _about(request: web.Request) -> int:
    """The id that a path has, where it has one."""
    found = request.match_info.get("id", "0")
    return int(found) if found.isdecimal() and len(found) < _DIGITS else 0
