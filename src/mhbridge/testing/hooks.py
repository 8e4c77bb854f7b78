"""
A small webhook receiver on this machine, for tests and demonstrations, and how a receiver checks what it gets.

`verify` is the example for those who build a receiver: it needs nothing but Python's own library. The receiver counts
effects by Idempotency-Key, answers a key that it knows as it did the first time, and fails by plan. This module must
never be used for patients' data.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

from mhbridge.testing.faults import OK, Answered, Asked, Fault, Kind, Plan
from mhbridge.testing.site import Site

if TYPE_CHECKING:
    import ssl

__all__ = ["ReceivingHook", "verify"]

_REMEMBERED: Final = 10_000
_LONG: Final = 6_000_000
#: A request that was signed longer ago, or later, is not ours, or was sent again by somebody who recorded it.
_TOLERANCE: Final = 300


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """
    Whether a request was signed with `secret`, and lately.

    Compare bytes as they came, before anything reads them as JSON; compare in constant time; believe no other header.

    Args:
        secret: `whsec_` and base64, or the text of the secret.
        headers: of the request; names in any case.
    """
    given = {name.lower(): value for name, value in headers.items()}
    key, timestamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not key or not timestamp.isdecimal() or abs(int(timestamp) - now.timestamp()) > _TOLERANCE:
        return False
    secret_bytes = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(secret_bytes, f"{key}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    wanted = f"v1,{base64.b64encode(digest).decode()}"
    # There may be several, while a secret is being changed.
    return any(hmac.compare_digest(one, wanted) for one in given.get("webhook-signature", "").split())


class ReceivingHook:
    """
    A webhook receiver, from entering the context to leaving it::

        async with ReceivingHook(secret="…") as hook:
            ...  # deliver to hook.url
            assert hook.effects[key] == 1

    Args:
        secret: what requests must be signed with; empty takes any.
        recognises: keep its side of the contract: a key that is known has no second effect.
        plan: what happens to each request; left out, all are answered.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        secret: str = "",
        recognises: bool = True,
        plan: Plan | None = None,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.plan: Plan = plan or (lambda _: OK)
        #: How often something was done for an Idempotency-Key, and what came, in the order in which it had an effect.
        self.effects: Counter[str] = Counter()
        self.order: list[bytes] = []
        self.requests: deque[Answered] = deque(maxlen=_REMEMBERED)
        self._secret = secret
        self._recognises = recognises
        self._clock = clock
        self._asked = 0
        self._repeats: Counter[str] = Counter()
        self._late: list[tuple[str, bytes]] = []
        self._site = Site(port, context, self._receive, method="POST", path="/hook")

    async def start(self) -> None:
        """Listen. Returns when it accepts; one that is started again has the same port."""
        await self._site.start()

    async def stop(self) -> None:
        """Stop listening and cut off whoever is connected. What was counted stays."""
        await self._site.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The address to deliver to."""
        return f"{self._site.url}/hook"

    def carry_out_late(self) -> int:
        """Carry out what was cut off as late, in the order in which it came. Returns how much."""
        late, self._late = self._late, []
        for key, body in late:
            self._carry_out(key, body)
        return len(late)

    async def _receive(self, request: web.Request) -> web.Response:
        body, key = await request.read(), request.headers.get("Idempotency-Key", "")
        self._asked += 1
        self._repeats[key] += 1
        asked = Asked(self._asked, request.method, request.path.strip("/"), self._repeats[key])
        fault = self.plan(asked)
        response = None
        if not key or (self._secret and not verify(self._secret, request.headers, body, self._clock())):
            response = web.Response(status=400 if not key else 401)
        elif fault.kind not in (Kind.DROP_BEFORE, Kind.LATE):
            response = await self._fated(fault, key, body)
        elif fault.kind is Kind.LATE:
            self._late.append((key, body))
        self.requests.append(Answered(asked, fault, response.status if response is not None else 0))
        if response is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return response

    async def _fated(self, fault: Fault, key: str, body: bytes) -> web.Response | None:
        if fault.kind is Kind.STATUS:
            headers = {"Retry-After": str(ceil(fault.seconds))} if fault.seconds else {}
            if fault.status // 100 == 3:
                headers["Location"] = f"{self.url}/elsewhere"
            return web.Response(status=fault.status, headers=headers)
        if fault.kind is Kind.NOT_FHIR:
            return web.Response(text="<html><body>Welcome</body></html>", content_type="text/html")
        self._carry_out(key, body)
        if fault.kind is Kind.TWICE:
            self._carry_out(key, body)
        if fault.kind is Kind.LONG:
            return web.Response(body=b"x" * _LONG)
        if fault.kind is Kind.SLOW:
            await asyncio.sleep(fault.seconds)
        return None if fault.kind is Kind.DROP_AFTER else web.Response(status=204)

    def _carry_out(self, key: str, body: bytes) -> None:
        if not (self._recognises and self.effects[key]):
            self.effects[key] += 1
            self.order.append(body)
