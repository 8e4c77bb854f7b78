"""
Messages: `POST $process-message` of a Bundle that begins with a MessageHeader, made around what is delivered.

A message is acted on, so a repeat is harmless only where the destination says that it knows one by its id
(`repeats = "recognised"`); there the very same Bundle is sent again, and elsewhere a person is asked. This module must
never make a message that differs from one attempt to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from mhbridge.adapters.calling import CONFLICTS, MAYBE_DONE
from mhbridge.adapters.fhir_server.asking import Asking
from mhbridge.adapters.fhir_server.conflicts import Conflicts
from mhbridge.errors import DestinationRejected, DestinationSilent, DestinationUnavailable
from mhbridge.fhir.bundle import dumps, loads, plain_bundle, resource_id
from mhbridge.fhir.response import response_in
from mhbridge.ports import Delivered, DueDelivery

__all__ = ["Messages", "Messaging"]

#: The receiver has acted on it, and says so (gateway design §2.2).
_BUSINESS = 5


@dataclass(frozen=True, slots=True)
class Messaging:
    """
    How messages to one destination are made.

    Args:
        event: what happened, as agreed with the destination: a URI, or `system|code`.
        source: the address that it answers to, or knows us by.
        gateway: our name.
        recognised: it knows a repeat for what it is.
    """

    event: str
    source: str
    gateway: str
    recognised: bool = False


class Messages:
    """How one server is given messages."""

    def __init__(self, asking: Asking, messaging: Messaging, endpoint: str) -> None:
        self._asking = asking
        self._messaging = messaging
        self._endpoint = endpoint
        self._conflicts = Conflicts()

    async def deliver(self, delivery: DueDelivery, deadline: float) -> Delivered:
        """Send the message, and read what is answered at once, if anything is."""
        identity, body = message_of(delivery, self._messaging, self._endpoint)
        try:
            answer = await self._asking.ask("POST", "/$process-message", body, deadline)
        except DestinationSilent as error:
            raise DestinationSilent(error.code, error.message, remote_id=identity) from error
        if answer.status in MAYBE_DONE:
            raise DestinationSilent("D942", "the destination failed at a message", remote_id=identity)
        if answer.status in CONFLICTS:
            raise self._conflicts.again(delivery.id)
        taken = self._asking.judge(answer)
        self._conflicts.over(delivery.id)
        response = response_in(answer.resource)
        if response is None:
            if answer.resource is not None and answer.resource.get("resourceType") == "Bundle":
                raise DestinationSilent("D943", "the answer to a message is no response", remote_id=identity)
            return Delivered(taken.level, identity)
        if response.message != identity:
            raise DestinationSilent("D943", "the response is to another message", remote_id=identity)
        if response.code == "transient-error":
            raise DestinationUnavailable("D941", "the destination cannot act on it now")
        if response.code == "fatal-error":
            raise DestinationRejected("D961", "the destination has acted on it and refuses it")
        return Delivered(_BUSINESS, identity)

    async def look(self, delivery: DueDelivery, deadline: float) -> Delivered:
        """The very same again, where a repeat is known for what it is."""
        if not self._messaging.recognised:
            raise DestinationRejected("D948", "the server cannot be asked whether a message arrived")
        return await self.deliver(delivery, deadline)


def message_of(delivery: DueDelivery, messaging: Messaging, endpoint: str) -> tuple[str, bytes]:
    """
    A delivery as a message: its id, which the header, the Bundle and the Bundle's identifier have in common, and its
    bytes. The same for every attempt; another for another delivery of the same document, which a person wants acted on.
    """
    document = delivery.document
    if document.bundle == "message":
        return str(orjson.loads(document.body).get("id", "")), document.body
    identity = resource_id(document.identifier, delivery.destination, str(delivery.id), "message")
    bundle = loads(document.body)
    inner: str = ""
    if document.bundle == "document":
        inner = f"urn:uuid:{bundle['id']}"
        # As it was made, to the last digit.
        content = [{"fullUrl": inner, "resource": orjson.Fragment(document.body)}]
    else:
        content = [{"fullUrl": e["fullUrl"], "resource": e["resource"]} for e in bundle.get("entry") or ()]
        inner = str(content[0]["fullUrl"]) if content else ""
    system, bar, code = messaging.event.rpartition("|")
    header: dict[str, Any] = {"resourceType": "MessageHeader", "id": identity}
    header |= {"eventCoding": {"system": system, "code": code}} if bar else {"eventUri": messaging.event}
    header["destination"] = [{"name": delivery.destination, "endpoint": endpoint}]
    header["source"] = {"name": messaging.gateway, "software": "mhbridge", "endpoint": messaging.source}
    if inner:
        header["focus"] = [{"reference": inner}]
    message = plain_bundle(
        "message",
        (),
        identifier={"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{identity}"},
        timestamp=str(bundle.get("timestamp", "")),
        identity=identity,
    )
    message["entry"] = [{"fullUrl": f"urn:uuid:{identity}", "resource": header}, *content]
    return identity, dumps(message)
