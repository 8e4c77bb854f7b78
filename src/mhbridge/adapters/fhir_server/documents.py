"""
Documents: `PUT Bundle/{id}`, the id derived from the document; where a server takes no PUT, `POST Bundle`.

A PUT is the same there once or twice. A POST is not: after no answer it is looked for by the identifier that was sent,
twice, and only what certainly is not there is posted again. This module must never believe that a document was found
because something was.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

import orjson

from mhbridge.adapters.calling import CONFLICTS, MAYBE_DONE
from mhbridge.adapters.fhir_server.abilities import Abilities
from mhbridge.adapters.fhir_server.asking import (
    Answer,
    Asking,
    canonical,
    own_identifiers,
    takes_no_put,
    takes_no_search,
)
from mhbridge.adapters.fhir_server.conflicts import Conflicts
from mhbridge.errors import DestinationRejected, DestinationSilent
from mhbridge.ports import Delivered, DueDelivery

__all__ = ["Documents"]

#: How long a POST may go on being executed after its answer was lost; two looks lie so far apart (gateway design §7).
_TWO_LOOKS: Final = timedelta(seconds=30)


class Documents:
    """How one server is given documents."""

    def __init__(self, asking: Asking, abilities: Abilities) -> None:
        self._asking = asking
        self._abilities = abilities
        self._conflicts = Conflicts()
        #: The server takes no PUT of a Bundle: learnt from its answer, forgotten at the next start.
        self._no_put = False
        #: Deliveries that were looked for and not found, and when.
        self._missed: dict[int, datetime] = {}

    async def deliver(self, delivery: DueDelivery, deadline: float) -> Delivered:
        """Put it, or where that is not taken, post it."""
        delivered = await self._put(delivery, deadline)
        if delivered is not None:
            return delivered
        return await self._post(delivery, deadline)

    async def look(self, delivery: DueDelivery, deadline: float) -> Delivered | None:
        """Put it again, or where that is not taken, search for it."""
        return await self._put(delivery, deadline) or await self._search(delivery, deadline)

    async def _put(self, delivery: DueDelivery, deadline: float) -> Delivered | None:
        """Update by id; `None` where the server has no such thing."""
        if self._no_put:
            return None
        # The document's own id: the UUID of its identifier, which `Bundle.id` repeats.
        path = f"/Bundle/{delivery.document.identifier.removeprefix('urn:uuid:')}"
        answer = await self._asking.ask("PUT", path, delivery.document.body, deadline)
        if takes_no_put(answer):
            self._no_put = True
            return None
        if answer.status in CONFLICTS:
            held = await self._asking.ask("GET", path, None, deadline)
            if _is_same(held, delivery):
                return Delivered(2, held.remote_id)
            raise self._conflicts.again(delivery.id)
        delivered = self._asking.judge(answer)
        self._conflicts.over(delivery.id)
        return delivered

    async def _post(self, delivery: DueDelivery, deadline: float) -> Delivered:
        """Create it, on the condition that it is not there where the server knows such a condition."""
        able = await self._abilities.known(deadline)
        once = {"If-None-Exist": _query(delivery)} if "Bundle" in able.creates else {}
        answer = await self._asking.ask("POST", "/Bundle", delivery.document.body, deadline, once)
        if answer.status in MAYBE_DONE:
            # Only an update is the same there once or twice. This may have been made before it went wrong.
            raise DestinationSilent("D942", "the destination failed while it was making the document")
        if answer.status in CONFLICTS:
            if await self._is_there(delivery, deadline):
                return Delivered(2)
            raise self._conflicts.again(delivery.id)
        delivered = self._asking.judge(answer)
        self._conflicts.over(delivery.id)
        return delivered

    async def _search(self, delivery: DueDelivery, deadline: float) -> Delivered | None:
        """Whether it is there; that it is not is believed at the second look."""
        if await self._is_there(delivery, deadline):
            self._missed.pop(delivery.id, None)
            return Delivered(2)
        now = self._asking.now()
        first = self._missed.setdefault(delivery.id, now)
        if now - first < _TWO_LOOKS:
            raise DestinationSilent("D958", "not found yet", after=(first + _TWO_LOOKS - now).total_seconds())
        del self._missed[delivery.id]
        return None

    async def _is_there(self, delivery: DueDelivery, deadline: float) -> bool:
        answer = await self._asking.search("Bundle", _query(delivery), deadline)
        if takes_no_search(answer):
            raise DestinationRejected("D948", "the server cannot be asked whether it arrived")
        self._asking.judge(answer)
        found = answer.matches()
        if found is None:
            raise DestinationSilent("D943", "the answer to a search is no Bundle")
        if any(delivery.document.identifier in own_identifiers(resource) for resource in found):
            return True
        if any(resource.get("resourceType") == "Bundle" for resource in found):
            # A server that passes over what it does not know finds all documents (R4, Search, "Handling Errors").
            raise DestinationRejected("D948", "the server does not search by what it is asked for")
        return False


def _query(delivery: DueDelivery) -> str:
    """How a document is searched for. Its identifier was derived for it, and is nobody's."""
    return urlencode({"identifier": f"urn:ietf:rfc:3986|{delivery.document.identifier}"})


def _is_same(held: Answer, delivery: DueDelivery) -> bool:
    """Whether what the server has is what was to be put there."""
    if not held.reply.success or held.resource is None:
        return False
    return bool(canonical(held.resource, {}) == canonical(orjson.loads(delivery.document.body), {}))
