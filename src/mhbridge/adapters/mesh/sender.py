"""
Delivery by MESH: posted once, and after no answer looked for, never posted again by itself.

    post ──answered──▶ accepted, under the id that MESH gives ──tracked──▶ collected
      └──no answer──▶ looked for by the id that we gave: there ──▶ accepted; not there ──▶ a person

To post again makes another message, so whatever may have been taken is a person's to judge, unless MESH itself knows
exactly one that we called so. A message in chunks is delivered by its last one alone: until that was posted everything
may be begun anew. This module must never post what may have been taken.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from mhbridge.adapters.mesh.mailbox import Gone, Letter, Mailbox, Whole
from mhbridge.errors import (
    DestinationHeld,
    DestinationRejected,
    DestinationSilent,
    DestinationUnavailable,
)
from mhbridge.ports import Clock, Delivered, DueDelivery

__all__ = ["MeshSender"]

#: "The largest data payload the MESH API accepts in a single request is 100MB."
_LARGEST: Final = 100_000_000
_ACCEPTED, _COLLECTED = 2, 3
#: So long it is looked for, and so often: what is not there then, nobody can say anything of.
_PATIENCE: Final = timedelta(minutes=5)
_AGAIN: Final = 60.0
#: A chunk is posted so often, with so many seconds between.
_TRIES, _PAUSE = 3, 0.2
#: What a look-up found is believed for so long.
_KNOWN: Final = timedelta(hours=1)

_T = TypeVar("_T")


class MeshSender:
    """
    One recipient, or one organisation, of one workflow.

    Args:
        recipient: their mailbox; empty: it is looked up by the ODS code of `organisation`.
        chunk: bytes of a chunk, where the recipient takes such; `None`: what is larger than one request is not sent.
        packs: send it compressed, which MESH undoes for those who do not take it so.
        subject: of every message; the same for all patients.
    """

    def __init__(
        self,
        *,
        name: str,
        mailbox: Mailbox,
        workflow: str,
        clock: Clock,
        recipient: str = "",
        organisation: str = "",
        chunk: int | None = None,
        packs: bool = False,
        subject: str = "",
    ) -> None:
        self.name = name
        self._mailbox = mailbox
        self._workflow = workflow
        self._clock = clock
        self._recipient = recipient
        self._organisation = organisation
        self._chunk = chunk
        self._packs = packs
        self._subject = subject
        self._found_at: datetime | None = None

    async def open(self) -> None:
        """Make the pool of connections; nothing is connected yet."""
        await self._mailbox.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._mailbox.close()

    async def deliver(self, delivery: DueDelivery) -> Delivered:
        """Post it, once."""
        deadline = self._mailbox.deadline()
        pieces = await asyncio.to_thread(self._pieces, delivery.document.body)
        to = await _before_anything_left(self._to())
        local_id = _local_id(delivery)
        letter = Letter(to, self._workflow, local_id, delivery.document.media_type, pieces, self._packs, self._subject)
        try:
            message = await self._mailbox.send(letter, deadline)
        except DestinationSilent as error:
            if len(pieces) > 1:
                # Without its other chunks it is never delivered, whether the first one was taken or not.
                raise DestinationUnavailable(error.code, "the first chunk was not answered") from error
            raise DestinationSilent(error.code, error.message, remote_id=local_id) from error
        for number in range(2, len(pieces) + 1):
            await self._send_chunk(message, number, letter, deadline)
        return Delivered(_ACCEPTED, message)

    async def look(self, delivery: DueDelivery) -> Delivered | None:
        """Whether MESH knows one that we called so. That it does not is no proof: then a person decides."""
        local_id = _local_id(delivery)
        try:
            found = await self._mailbox.track_ours(local_id)
        except (Gone, DestinationRejected):
            # It is not there; or there are several (300), or MESH does not answer this question any more.
            found = None
        if found is not None and found.lost:
            raise DestinationRejected("D982", "MESH says that it reaches nobody")
        if found is not None and found.there:
            return Delivered(_COLLECTED if found.collected else _ACCEPTED, found.id)
        if delivery.sent_at is not None and self._clock() - delivery.sent_at < _PATIENCE:
            raise DestinationSilent("D958", "it is not there yet", after=_AGAIN, remote_id=local_id)
        raise DestinationRejected("D948", "no answer came, and MESH knows of none that we called so")

    async def collected(self, remote_id: str) -> bool:
        """
        Whether the recipient has taken what MESH calls so.

        Raises:
            DestinationRejected: D982, it will not reach them.
            DestinationHeld: the question was refused, which says nothing of what was sent.
        """
        try:
            await self._mailbox.greet()
            found = await self._mailbox.track(remote_id)
        except Gone:
            return False
        except DestinationRejected as error:
            raise DestinationHeld(error.code, error.message) from error
        if found.lost:
            raise DestinationRejected("D982", "MESH says that it reaches nobody")
        return found.collected

    def _pieces(self, body: bytes) -> list[bytes]:
        size = self._chunk or len(body)
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        if self._packs:
            pieces = [gzip.compress(piece, mtime=0) for piece in pieces]
        if max(map(len, pieces)) > _LARGEST:
            raise DestinationRejected("D986", "it is larger than MESH takes in one request")
        return pieces

    async def _to(self) -> str:
        now = self._clock()
        if self._organisation and (self._found_at is None or now - self._found_at > _KNOWN):
            found = await self._mailbox.lookup(self._organisation, self._workflow)
            if len(found) != 1 or not found[0]:
                raise DestinationHeld("D985", "the organisation has no mailbox for this workflow, or several")
            self._recipient, self._found_at = found[0], now
        return self._recipient

    async def _send_chunk(self, message: str, number: int, letter: Letter, deadline: float) -> None:
        last, silent = number == len(letter.pieces), False
        for left in reversed(range(_TRIES)):
            try:
                await self._mailbox.send_chunk(message, number, letter, deadline)
            except Whole:
                # It was taken when nobody answered.
                return
            except (DestinationSilent, DestinationUnavailable, DestinationHeld) as error:
                silent = silent or isinstance(error, DestinationSilent)
                if isinstance(error, DestinationHeld) and not (last and silent):
                    raise
                if left:
                    await asyncio.sleep(_PAUSE)
                elif last and silent:
                    raise DestinationSilent("D942", "the last chunk was not answered", remote_id=message) from error
                else:
                    raise DestinationUnavailable(
                        error.code, "a chunk was not taken: the message is not whole"
                    ) from error
            else:
                return


async def _before_anything_left(asking: Awaitable[_T]) -> _T:
    """What is asked before the post: that nobody answers it says nothing of the document."""
    try:
        return await asking
    except DestinationSilent as error:
        raise DestinationUnavailable(error.code, error.message) from error
    except DestinationRejected as error:
        raise DestinationHeld("D985", error.message) from error


def _local_id(delivery: DueDelivery) -> str:
    """
    What we call it. It "must not contain PID" (`mesh-api.yaml`, Outbox workflow): both its parts are of our own making.

    The delivery's own id alone would come again from a store that was put back to an earlier day.
    """
    return f"{delivery.id}-{delivery.document.identifier.removeprefix('urn:uuid:')}"
