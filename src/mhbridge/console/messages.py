"""
Messages over HTTP: lists, one message, its story, its bytes, and what a person may do with it.

This module must never put a value of a message anywhere but into the body of an answer to a `clinical` credential.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import orjson
from aiohttp import web

from mhbridge.console.access import Access, reason
from mhbridge.console.asking import FILTERS, filters
from mhbridge.errors import StoreError
from mhbridge.log import Event, Log
from mhbridge.model import Document, MessageState
from mhbridge.ports import Clock, Store, Trace

__all__ = ["MessagePages", "json", "object_of"]

_T = TypeVar("_T")


def json(value: Any) -> web.Response:
    """Any value of ours as JSON; instants in UTC."""
    body = orjson.dumps(value, option=orjson.OPT_UTC_Z)
    return web.Response(body=body, content_type="application/json", charset="utf-8")


class MessagePages:
    """
    Routes about messages.

    Args:
        wake: tell the outbox that there is something new to deliver.
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
            web.get("/messages", self._list),
            web.post("/messages/search", self._search),
            web.get("/parked", self._parked),
            web.get(r"/messages/{id:\d{1,18}}", self._one),
            web.get(r"/messages/{id:\d{1,18}}/trace", self._trace),
            web.get(r"/messages/{id:\d{1,18}}/original", self._original),
            web.get(r"/messages/{id:\d{1,18}}/documents", self._documents),
            web.post(r"/messages/{id:\d{1,18}}/resend", self._resend),
            web.post(r"/messages/{id:\d{1,18}}/close", self._close),
            web.post(r"/deliveries/{id:\d{1,18}}/release", self._release),
        )

    # --- states: viewer ---

    async def _list(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        if not set(request.query) <= set(FILTERS):
            raise web.HTTPBadRequest(
                text="Search by POST /messages/search: what is searched for belongs in no URL, which is kept in many"
                f" places. Known parameters here: {', '.join(FILTERS)}."
            )
        return await self._page(request.query)

    async def _parked(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        return await self._page({**request.query, "state": MessageState.PARKED.value})

    async def _search(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        wanted = await object_of(request)
        search = wanted.get("search")
        if not isinstance(search, str) or not search.strip():
            raise web.HTTPBadRequest(text="Give what is searched for as the text of the key search.")
        return await self._page(wanted)

    async def _page(self, given: Mapping[str, Any]) -> web.Response:
        """One page of a list, and what the next is asked with."""
        try:
            wanted = filters(given, self._clock())
            rows = await self._store.messages(**wanted)
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{str(error).capitalize()}.") from None
        # A page that is not full is the last one.
        return json({"messages": rows, "before": rows[-1].id if len(rows) == wanted["most"] else None})

    async def _one(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        return json((await self._found(request)).message)

    async def _trace(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        return json(await self._found(request))

    # --- values: clinical ---

    async def _original(self, request: web.Request) -> web.Response:
        who = await self._access.allow_reading(request, "read original")
        self._log.warning(Event.BODY_READ, message=_id(request), who=who, kind="original")
        body = await _kept(self._store.original(_id(request)))
        if body is None:
            raise web.HTTPNotFound(text="There is no message with this id.")
        headers = {"Content-Disposition": f'attachment; filename="message-{_id(request)}"'}
        return web.Response(body=body, content_type="application/octet-stream", headers=headers)

    async def _documents(self, request: web.Request) -> web.Response:
        who = await self._access.allow_reading(request, "read documents")
        self._log.warning(Event.BODY_READ, message=_id(request), who=who, kind="documents")
        await self._found(request)
        return json(
            {"documents": [_document(document) for document in await _kept(self._store.documents(_id(request)))]}
        )

    # --- acts: operator ---

    async def _resend(self, request: web.Request) -> web.Response:
        await self._access.require(request, "operator")
        to = (await object_of(request)).get("to", "")
        if not isinstance(to, str):
            raise web.HTTPBadRequest(text="The destination is the text of the key to.")
        who = await self._access.allow(request, "operator", "resend")
        self._log.warning(Event.RESENT, message=_id(request), who=who)
        await self._found(request)
        made = await self._store.resend(_id(request), who, self._clock(), to=to)
        if not made:
            raise web.HTTPConflict(
                text="Nothing of this message can be sent again: replaced, under way, or never made."
            )
        self._wake()
        return json({"deliveries": made})

    async def _close(self, request: web.Request) -> web.Response:
        await self._access.require(request, "operator")
        why = (await object_of(request)).get("why")
        if not isinstance(why, str) or not why.strip():
            raise web.HTTPBadRequest(text="Give the reason as the text of the key why.")
        why = reason(why)
        who = await self._access.allow(request, "operator", "close", why=why)
        self._log.warning(Event.CLOSED, message=_id(request), who=who)
        await self._found(request)
        if not await self._store.close_message(_id(request), who, why, self._clock()):
            raise web.HTTPConflict(text="Nothing of this message is parked.")
        self._wake()
        return json({"closed": True})

    async def _release(self, request: web.Request) -> web.Response:
        who = await self._access.allow(request, "operator", "release")
        self._log.warning(Event.RELEASED, delivery=_id(request), who=who)
        if not await self._store.release(_id(request), who, self._clock()):
            raise web.HTTPConflict(text="No delivery with this id is parked.")
        self._wake()
        return json({"released": True})

    # --- underneath ---

    async def _found(self, request: web.Request) -> Trace:
        trace = await self._store.trace(_id(request))
        if trace is None:
            raise web.HTTPNotFound(text="There is no message with this id.")
        return trace


async def _kept(asked: Awaitable[_T]) -> _T:
    """What is asked for, unless it was purged."""
    try:
        return await asked
    except StoreError as error:
        if error.code != "S222":
            raise
        raise web.HTTPGone(text="It was kept for as long as it was to be, and has been purged.") from None


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


async def object_of(request: web.Request) -> dict[str, Any]:
    """The body of a request, which must be a JSON object. Raises 400 where it is not."""
    try:
        value = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise web.HTTPBadRequest(text="The body must be a JSON object.")
    return value


def _document(document: Document) -> dict[str, Any]:
    # JSON stands in JSON as it is, to the last digit of a decimal.
    written = document.media_type.endswith("json")
    return {
        "type": document.type,
        "target": document.target,
        "identifier": document.identifier,
        "status": document.status,
        "media_type": document.media_type,
        "content": orjson.Fragment(document.body) if written else document.body.decode("utf-8"),
    }
