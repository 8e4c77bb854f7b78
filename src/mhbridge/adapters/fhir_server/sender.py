"""
The door to one FHIR server: each kind of Bundle in the way in which a repeat of it changes nothing there.

    document       PUT Bundle/{id}, the id derived from the document; where a server takes no PUT, POST Bundle
    transaction    POST to the base; its entries are PUTs by derived ids or by business identifier, on the last version
    message        POST $process-message

This module must never put anything of a document into a URL but the id that was derived for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mhbridge.adapters.calling import Authorise, Caller, nobody
from mhbridge.adapters.fhir_server.abilities import Abilities
from mhbridge.adapters.fhir_server.asking import MEDIA_TYPE, Asking
from mhbridge.adapters.fhir_server.documents import Documents
from mhbridge.adapters.fhir_server.messages import Messages, Messaging
from mhbridge.adapters.fhir_server.transactions import Transactions
from mhbridge.ports import Clock, Delivered, DueDelivery

if TYPE_CHECKING:
    import ssl

__all__ = ["FhirSender"]


class FhirSender:
    """
    One FHIR server.

    Args:
        base: its base address, without a slash at the end.
        authorise: who we are.
        timeout: seconds for one delivery, from connecting to the last byte of the answer.
        context: TLS; `None` only for a server on this machine.
        messaging: everything is sent as a message, made so; left out, only what is one already.
    """

    def __init__(
        self,
        *,
        name: str,
        base: str,
        clock: Clock,
        authorise: Authorise = nobody,
        timeout: float = 30.0,
        concurrency: int = 4,
        context: ssl.SSLContext | None = None,
        messaging: Messaging | None = None,
    ) -> None:
        self.name = name
        self._caller = Caller(
            base=base,
            accept=MEDIA_TYPE,
            authorise=authorise,
            timeout=timeout,
            concurrency=concurrency,
            context=context,
        )
        self._asking = Asking(self._caller, clock)
        abilities = Abilities(self._asking)
        self._documents = Documents(self._asking, abilities)
        self._transactions = Transactions(self._asking, abilities)
        self._wraps = messaging is not None
        self._messages = Messages(self._asking, messaging or Messaging("", "", ""), base)

    async def open(self) -> None:
        """Make the pool of connections; nothing is connected yet."""
        await self._caller.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._caller.close()

    async def deliver(self, delivery: DueDelivery) -> Delivered:
        """Send it, in the way that its kind of Bundle is sent."""
        deadline = self._caller.deadline()
        return await self._way(delivery).deliver(delivery, deadline)

    async def look(self, delivery: DueDelivery) -> Delivered | None:
        """
        What was put by id or as a transaction is sent again: it is the same there, once or twice. A POST is searched
        for, twice, since it may still be executed after the first search. A message is sent again where a repeat is
        known for what it is.
        """
        deadline = self._caller.deadline()
        return await self._way(delivery).look(delivery, deadline)

    def _way(self, delivery: DueDelivery) -> Documents | Transactions | Messages:
        """How what it is is sent."""
        kind = delivery.document.bundle
        if self._wraps or kind == "message":
            return self._messages
        return self._transactions if kind in ("transaction", "batch") else self._documents
