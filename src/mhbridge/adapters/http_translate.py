"""
`POST /translate/{supplier}/{feed}`: bytes in, documents out, nothing kept. A test harness's door.

The same pure flow as for messages that are kept, without store, history and routes. This module must never write
anything anywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from mhbridge import pipeline
from mhbridge.adapters.http import outcome, read_body
from mhbridge.errors import MappingError
from mhbridge.model import Issue, Outcome, Severity
from mhbridge.ports import Clock

if TYPE_CHECKING:
    from mhbridge.mapping.catalogue import SupplierMapping

__all__ = ["TranslateDoor"]

_FHIR = "application/fhir+json"


class TranslateDoor:
    """
    Translates with one mapping.

    Args:
        mapping: gives a compiled mapping by `supplier/feed`; raises `KeyError` or `MappingError`.
        allow: raises aiohttp's HTTP exception for whoever may not.
        limit: the largest body.
    """

    def __init__(
        self,
        *,
        mapping: Callable[[str], SupplierMapping],
        allow: Callable[[web.Request], Awaitable[object]],
        clock: Clock,
        limit: int = 20_000_000,
    ) -> None:
        self._mapping = mapping
        self._allow = allow
        self._clock = clock
        self._limit = limit

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """For `HttpServer`."""
        return (web.post("/translate/{supplier}/{feed}", self._post),)

    async def _post(self, request: web.Request) -> web.Response:
        await self._allow(request)
        supplier = request.match_info["supplier"]
        name = f"{supplier}/{request.match_info['feed']}"
        try:
            mapping = self._mapping(name)
        except KeyError:
            raise web.HTTPNotFound(text="There is no mapping of this supplier and feed.") from None
        except MappingError:
            raise web.HTTPUnprocessableEntity(text="The mapping has errors; mhbridge check lists them.") from None
        target = request.query.get("target", "r4")
        if target not in (*mapping.builds, "letter"):
            known = ", ".join(sorted((*mapping.builds, "letter")))
            raise web.HTTPBadRequest(text=f"Known targets: {known}.")
        feed = pipeline.Feed(supplier, name, (mapping,), live=False)
        outcomes = pipeline.outcome_now(await read_body(request, self._limit), feed, self._clock())
        if len(outcomes) == 1 and not outcomes[0].documents:
            status = 422 if outcomes[0].code else 200
            return web.Response(status=status, body=_said(outcomes[0]), content_type=_FHIR, charset="utf-8")
        if target == "letter":
            return _letter(outcomes)
        lines = [_written(result) for result in outcomes]
        kind = _FHIR if len(lines) == 1 else "application/x-ndjson"
        return web.Response(body=b"\n".join(lines), content_type=kind, charset="utf-8")


def _letter(outcomes: Sequence[Outcome]) -> web.Response:
    """The page that a person reads, of one message that makes a document."""
    from mhbridge.fhir.bundle import loads
    from mhbridge.fhir.letter import letter

    made = [document for result in outcomes for document in result.documents]
    if len(outcomes) != 1 or made[0].bundle != "document":
        raise web.HTTPUnprocessableEntity(text="A letter is made of one message, and of one that makes a document.")
    # Words of a sender, shown by a browser under this gateway's address: they may do nothing there.
    headers = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    page = letter(loads(made[0].body)).encode()
    return web.Response(body=page, content_type="text/html", charset="utf-8", headers=headers)


def _written(result: Outcome) -> bytes:
    """A message's document, or what there is to say where it makes none: one line either way."""
    return result.documents[0].body if result.documents else _said(result)


def _said(result: Outcome) -> bytes:
    text = "the message makes no document"
    return outcome(result.issues or (Issue(result.code or "D900", Severity.INFORMATION, text),))
