"""
FHIR messaging in: `POST /fhir/$process-message`, answered in kind (FHIR R4 §2.4.3 and the operation process-message).

A message comes through the same door as any other; what it gets back is a message, too: a MessageHeader that says to
which, and an OperationOutcome. A repeat (the same Bundle.identifier or MessageHeader.id, and the same bytes) gets the
first answer again. This module must never decide about a message.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from mhbridge.adapters.http import Entrance, MessageDoor, said
from mhbridge.model import Answer, Envelope, Verdict
from mhbridge.ports import Committed

__all__ = ["MessagingDoor"]

#: In which a message of FHIR comes, and its answer with it.
_KINDS: Final = {
    "application/fhir+json": "application/fhir+json",
    "application/json": "application/fhir+json",
    "application/fhir+xml": "application/fhir+xml",
    "application/xml": "application/fhir+xml",
    "text/xml": "application/fhir+xml",
}


class MessagingDoor(MessageDoor):
    """
    Args:
        entrances: those who take messages of FHIR here, as they are now.
        take: what takes an envelope and makes it durable.
        acknowledge: the answer to a message, in kind; empty for what is no message.
        more: as of `MessageDoor`.
    """

    def __init__(
        self,
        *,
        entrances: Callable[[], Sequence[Entrance]],
        take: Callable[[Envelope], Awaitable[Committed]],
        acknowledge: Callable[[bytes, Answer], bytes],
        **more: Any,
    ) -> None:
        super().__init__(entrance=lambda _: None, take=take, **more)
        self._entrances = entrances
        self._committed = take
        self._acknowledge = acknowledge

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """For `HttpServer`."""
        return (web.post("/fhir/$process-message", self._process),)

    async def _process(self, request: web.Request) -> web.Response:
        kind = _KINDS.get(request.content_type)
        if kind is None:
            raise web.HTTPUnsupportedMediaType(
                text="A message of FHIR is application/fhir+json or application/fhir+xml."
            )
        envelope = await self.received(request, self._whose(request))
        committed = await self._committed(envelope)
        outcome = said(committed)
        body = self._acknowledge(envelope.body, committed.answer)
        if not body:
            return outcome
        accepted = committed.answer.verdict is Verdict.ACCEPTED
        response = web.Response(
            status=HTTPStatus.OK if accepted else outcome.status, body=body, content_type=kind, charset="utf-8"
        )
        if "Location" in outcome.headers:
            response.headers["Location"] = outcome.headers["Location"]
        return response

    def _whose(self, request: web.Request) -> Entrance:
        """The one who takes messages of FHIR here; of several, the one whose token the sender has."""
        entrances = self._entrances()
        if len(entrances) == 1:
            return entrances[0]
        _, _, given = request.headers.get("Authorization", "").partition(" ")
        token = given.strip().encode()
        known = [one for one in entrances if one.token and hmac.compare_digest(token, one.token.reveal().encode())]
        if len(known) == 1:
            return known[0]
        if not entrances:
            raise web.HTTPNotFound(text="No receiver takes messages of FHIR here.")
        raise web.HTTPUnauthorized(
            text="Several suppliers send messages of FHIR here: a token says which.",
            headers={"WWW-Authenticate": "Bearer"},
        )
