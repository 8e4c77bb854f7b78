"""
`[[receiver]]`: where messages come in, a class for each kind, and what is expected of a feed.

Must never listen.
"""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mhbridge.config.mailbox import MOST_OFTEN, MailboxAccess, MailboxId, WorkflowId
from mhbridge.config.section import Section, Tls, listens_safely
from mhbridge.config.values import (
    Address,
    Duration,
    Folder,
    Name,
    Pause,
    Rate,
    SecretReference,
    Size,
    Text,
    hours,
    rate,
    time_of_day,
)

__all__ = ["Expect", "FolderReceiver", "HttpReceiver", "MeshReceiver", "MllpReceiver", "Receiver"]


class Expect(Section):
    """
    The least that is expected of a feed, whatever it usually sends.

    Args:
        at_least: kept as the longest silence, in seconds.
        between: the hours of the day within which that counts, and the connection too.
        by: in the place of the longest silence: so many a day have come by this hour.
        days: `working` leaves out Saturdays, Sundays and the holidays of `[watch]`.
        connection: the longest that the sender may be without a connection, in seconds.
    """

    at_least: Annotated[Rate, BeforeValidator(rate)] | None = None
    between: Annotated[tuple[time, time], BeforeValidator(hours)] | None = None
    by: Annotated[time, BeforeValidator(time_of_day)] | None = None
    days: Literal["all", "working"] = "all"
    connection: Duration | None = None

    @model_validator(mode="after")
    def _something(self) -> Expect:
        if self.at_least is None and self.connection is None:
            raise PydanticCustomError("C804", "give at_least or connection")
        if self.by is not None:
            if self.at_least is None or self.at_least.unit != "d":
                raise PydanticCustomError("C804", 'by needs at_least with a number for each day, for example "1/d"')
            if self.between is not None and self.connection is None:
                raise PydanticCustomError("C806", "by and between do not go together: by counts from midnight")
        return self


class _Receiver(Section):
    #: It knows whether it is connected with whom it receives from.
    _connected: ClassVar[bool] = False

    supplier: Name
    name: Name = ""
    parked: Literal["accept", "refuse"] = "accept"
    expect: Expect | None = None

    @field_validator("expect")
    @classmethod
    def _knows(cls, value: Expect | None) -> Expect | None:
        if value is not None and value.connection is not None and not cls._connected:
            raise PydanticCustomError("C806", "only an mllp or mesh receiver knows whether it is connected")
        return value

    @property
    def feed(self) -> str:
        """`supplier/receiver`: what receipts are counted by."""
        return f"{self.supplier}/{self.name}"


class MllpReceiver(_Receiver):
    """
    A port for HL7 v2 over MLLP.

    Args:
        keepalive: an idle connection is asked after so long whether anybody is still there.
        idle: after so long an idle connection is closed; left out, never.
    """

    _connected: ClassVar[bool] = True

    kind: Literal["mllp"]
    name: Name = "mllp"
    listen: Address
    tls: Tls | None = None
    allow_plaintext: str = ""
    limit: Size = 20_000_000
    frame_time: Duration = 30.0
    keepalive: Duration = 60.0
    idle: Duration | None = None
    connections: Annotated[int, Field(ge=1, le=10_000)] = 200

    @model_validator(mode="after")
    def _safe(self) -> MllpReceiver:
        listens_safely(self.listen, self.tls, self.allow_plaintext)
        if not self.listen.loopback and self.tls is not None and self.tls.clients is None:
            raise PydanticCustomError("C816", "beyond this machine a sender must show a certificate: give tls.clients")
        return self


class HttpReceiver(_Receiver):
    """
    A path for messages over HTTP, on its own listener or on that of `[http]`.

    Args:
        at_most: requests of one sender, by its token or certificate; those above are told when to come again.
    """

    kind: Literal["http"]
    name: Name = "http"
    listen: Address | None = None
    tls: Tls | None = None
    token: SecretReference | None = None
    limit: Size = 20_000_000
    at_most: Annotated[Rate, BeforeValidator(rate)] | None = None

    @model_validator(mode="after")
    def _safe(self) -> HttpReceiver:
        if self.listen is None:
            if self.tls is not None:
                raise PydanticCustomError("C804", "tls needs a listen of its own; without one, [http] is used")
            return self
        listens_safely(self.listen, self.tls)
        if not self.listen.loopback and self.token is None and (self.tls is None or self.tls.clients is None):
            raise PydanticCustomError("C816", "beyond this machine a sender must be known: give tls.clients or token")
        return self


class FolderReceiver(_Receiver):
    """
    A folder that files are put into. What was taken goes to `archive`, what was refused to `rejected`.

    Args:
        settle: how long a file has to look the same to be complete.
        marker: an ending such as `.done`: a file is complete when one of its name with this ending is there.
        limit: of an envelope; a file of a format that is taken in parts (CSV) may be larger.
    """

    kind: Literal["folder"]
    name: Name = "folder"
    path: Folder
    pattern: Text = "*"
    settle: Pause = 5.0
    marker: str | None = None
    every: Duration = 2.0
    limit: Size = 200_000_000

    @field_validator("marker")
    @classmethod
    def _ending(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\.[A-Za-z0-9_-]{1,20}", value):
            raise PydanticCustomError("C806", "write an ending of names that begins with a dot, for example .done")
        return value


#: Between two polls of a mailbox: "a minimum of once a day" (mesh-api.yaml).
_LEAST_OFTEN: Final = 86_400.0


class MeshReceiver(_Receiver, MailboxAccess):
    """
    A mailbox of MESH that is polled. What is acknowledged there is gone for ever, so only what is durable here is.

    Args:
        workflows: only messages of these are taken; left out, all. What nobody takes stays there, and is a task.
        senders: only messages from these mailboxes are taken; left out, from any.
        every: between two polls.
        limit: of a message, all its chunks together and unpacked.
    """

    _connected: ClassVar[bool] = True

    kind: Literal["mesh"]
    name: Name = "mesh"
    #: There is nobody to answer: what waits for a person is taken, and said here.
    parked: Literal["accept"] = "accept"
    workflows: tuple[WorkflowId, ...] = ()
    senders: tuple[MailboxId, ...] = ()
    every: Duration = 300.0
    limit: Size = 100_000_000

    @model_validator(mode="after")
    def _as_asked(self) -> MeshReceiver:
        if not self.near and not MOST_OFTEN <= self.every <= _LEAST_OFTEN:
            raise PydanticCustomError("C840", "a mailbox is polled every 5m at most, and once in 24h at least")
        return self

    def apart(self, other: MeshReceiver) -> bool:
        """No message is for both."""
        if self.mailbox != other.mailbox:
            return True
        pairs = (self.workflows, other.workflows), (self.senders, other.senders)
        return any(one and two and not set(one) & set(two) for one, two in pairs)


Receiver = MllpReceiver | HttpReceiver | FolderReceiver | MeshReceiver
