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
from mhbridge.adapters.fhir_server.transactions import Transactions
from mhbridge.errors import DestinationRejected
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

    async def open(self) -> None:
        """Make the pool of connections; nothing is connected yet."""
        await self._caller.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._caller.close()

    async def deliver(self, delivery: DueDelivery) -> Delivered:
        """Send it, in the way that its kind of Bundle is sent."""
        deadline = self._caller.deadline()
        match delivery.document.bundle:
            case "transaction" | "batch":
                return await self._transactions.deliver(delivery, deadline)
            case "message":
                body = delivery.document.body
                return self._asking.judge(await self._asking.ask("POST", "/$process-message", body, deadline))
        return await self._documents.deliver(delivery, deadline)

    async def look(self, delivery: DueDelivery) -> Delivered | None:
        """
        What was put by id or as a transaction is sent again: it is the same there, once or twice. A POST is searched
        for, twice, since it may still be executed after the first search.
        """
        deadline = self._caller.deadline()
        match delivery.document.bundle:
            case "transaction" | "batch":
                return await self._transactions.look(delivery, deadline)
            case "message":
                raise DestinationRejected("D948", "the server cannot be asked whether a message arrived")
        return await self._documents.look(delivery, deadline)
