"""
What comes in and goes out: receivers, senders, files.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mhbridge.model import Envelope
from mhbridge.ports.deliveries import DueDelivery

__all__ = ["Delivered", "Files", "Notes", "Receive", "Receiver", "Report", "Sender", "Tracking"]


Receive = Callable[[Envelope], Any]
"""What a receiver calls for each envelope: an async function returning `model.Answer`."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A positive answer of a destination. `level` 1: handed over, 2: accepted (2xx, a folder's rename)."""

    level: int
    remote_id: str = ""


class Sender(Protocol):
    """One destination. `deliver` raises a `DeliveryError` that says what may be done next, and nothing else."""

    name: str

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def deliver(self, delivery: DueDelivery) -> Delivered: ...

    async def look(self, delivery: DueDelivery) -> Delivered | None:
        """
        After no answer: whether it arrived. `None` when it certainly did not; raises `DestinationSilent` when that
        cannot be told yet. Where the destination takes a repeat for what it is (PUT by id), this may deliver again.
        """


@runtime_checkable
class Tracking(Protocol):
    """A sender whose destination says on being asked whether what it took was collected by whom it is for."""

    async def collected(self, remote_id: str) -> bool:
        """Whether what the destination calls so was collected; raises `DestinationRejected` when it will not be."""


class Receiver(Protocol):
    """A listening transport. `open` returns when it accepts; `close` when what was read is answered."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    @property
    def address(self) -> str:
        """Where it listens, for people and tests: `127.0.0.1:2575`, `http://…`, a folder."""


@dataclass(frozen=True, slots=True)
class Report:
    """
    A destination says later, by the way that messages come in, that something it took was not delivered.

    Args:
        id: of the report itself.
        linked: what the destination calls what it is about; `local_id` is what we called it. Either may be empty.
        status: the code of what went wrong.
    """

    id: str
    linked: str = ""
    local_id: str = ""
    status: str = ""


class Notes(Protocol):
    """Whom a receiver tells that has a mailbox what it finds there besides messages."""

    async def reported(self, feed: str, mailbox: str, report: Report) -> None:
        """Something that was sent from this mailbox was not delivered. When this returns it is durable."""

    async def left(self, feed: str, code: str) -> None:
        """Something lies in the mailbox that is not taken."""

    async def cleared(self, feed: str) -> None:
        """Nothing lies there any more."""


class Files(Protocol):
    """File operations that must survive a crash; a port so that tests can count and break them."""

    def write(self, path: Path, body: bytes) -> None:
        """Write, fsync the file, fsync its directory."""

    def rename(self, old: Path, new: Path) -> None:
        """Rename on one file system and fsync both directories."""
