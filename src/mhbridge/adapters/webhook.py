"""
Delivery to a webhook: a signed POST, and the same again under the same key after no answer.

The address gets the document as it is. What makes a repeat harmless is the receiver's duty and stands in its contract:
it keeps the `Idempotency-Key` of what it took, and answers a key that it knows as it did the first time. The signature
is that of Standard Webhooks (https://www.standardwebhooks.com), so that a receiver can check it with what there is:

    webhook-id           the Idempotency-Key again
    webhook-timestamp    seconds since 1970
    webhook-signature    v1,BASE64(HMAC-SHA256(secret, "ID.TIMESTAMP.BODY"))

`mhbridge.testing.hooks` checks it, as an example. This module must never put anything of a document into a header but
the id that was derived for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mhbridge.adapters.calling import MAYBE_DONE, Authorise, Caller, nobody, refusal
from mhbridge.adapters.signing import require_strong, sign
from mhbridge.errors import DestinationRejected, DestinationSilent
from mhbridge.ports import Clock, Delivered, DueDelivery

if TYPE_CHECKING:
    import ssl

    from mhbridge.config import Secret

__all__ = ["WebhookSender"]

#: The receiver is still at the first request with this key (IETF draft, The Idempotency-Key HTTP Header Field).
_STILL_AT_IT: Final = 409


class WebhookSender:
    """
    One address.

    Args:
        url: where to.
        secret: what requests are signed with: `whsec_` and base64, or 24 characters and more; read for each request.
        timeout: seconds for one delivery, from connecting to the last byte of the answer.
        context: TLS; `None` only for a receiver on this machine.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        secret: Secret,
        clock: Clock,
        authorise: Authorise = nobody,
        timeout: float = 30.0,
        concurrency: int = 4,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self._clock = clock
        self._secret = secret
        self._caller = Caller(
            base=url, accept="*/*", authorise=authorise, timeout=timeout, concurrency=concurrency, context=context
        )
        # At the start, so that a secret that cannot sign is found before anything waits to be sent.
        require_strong(secret.reveal())

    async def open(self) -> None:
        """Make the pool of connections; nothing is connected yet."""
        await self._caller.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._caller.close()

    async def deliver(self, delivery: DueDelivery) -> Delivered:
        """Post it, signed."""
        document = delivery.document
        # The delivery's own id alone would come again from a store that was put back to an earlier day.
        key = f"{delivery.id}-{document.identifier.removeprefix('urn:uuid:')}"
        at = int(self._clock().timestamp())
        headers = {
            "Idempotency-Key": key,
            "webhook-id": key,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(self._secret.reveal(), key, at, document.body),
        }
        reply = await self._caller.ask("POST", "", document.body, document.media_type, self._caller.deadline(), headers)
        if reply.success:
            if reply.content is None or "html" in reply.headers.get("Content-Type", ""):
                # A proxy's page with status 200 is not a receiver's acceptance.
                raise DestinationSilent("D943", "the answer is too long, or is a page")
            return Delivered(2, key)
        if reply.status == _STILL_AT_IT or reply.status in MAYBE_DONE:
            raise DestinationSilent("D942", "the destination is still at it, or failed at it")
        if reply.status == 412:
            raise DestinationRejected("D946", "the destination does not take this content")
        raise refusal(reply, self._clock())

    async def look(self, delivery: DueDelivery) -> Delivered | None:
        """The same again under the same key: a receiver that has it says so."""
        return await self.deliver(delivery)
