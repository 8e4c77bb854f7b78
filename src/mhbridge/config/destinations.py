"""
`[[destination]]`: where documents go, a class for each kind, and how it is told who we are.

Must never connect.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mhbridge.config.mailbox import MOST_OFTEN, MailboxAccess, MailboxId, WorkflowId
from mhbridge.config.section import ClientTls, Section, WebAddress
from mhbridge.config.values import (
    Duration,
    Folder,
    Listen,
    Name,
    OdsCode,
    SecretReference,
    Size,
    Text,
    destination_url,
    pace,
)

__all__ = [
    "BearerAuth",
    "Destination",
    "FhirDestination",
    "FolderDestination",
    "JwtAuth",
    "MeshDestination",
    "MllpDestination",
    "WebhookDestination",
]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s|\"<>]{1,500}")
_EVENT = re.compile(rf"{_URI.pattern}(\|[^\s|]{{1,100}})?")


class BearerAuth(Section):
    """A fixed token."""

    kind: Literal["bearer"]
    token: SecretReference


class JwtAuth(Section):
    """
    A signed assertion is exchanged for a token: SMART Backend Services, and the NHS API platform's signed JWT.

    Args:
        key: PEM of the private key, by reference.
        key_id: the `kid` that the server knows it by.
    """

    kind: Literal["private_key_jwt"]
    client_id: Text
    key: SecretReference
    key_id: str = ""
    token_url: WebAddress
    algorithm: Literal["RS384", "RS512", "ES384"] = "RS512"
    scope: str = ""


def _piece(value: int) -> int:
    # "The largest data payload the MESH API accepts in a single request is 100MB."
    if value > 100_000_000:
        raise PydanticCustomError("C806", "must be at most 100MB")
    return value


#: What counts as delivered, as levels (gateway design §2.2).
_LEVELS: Final = {"sent": 1, "accepted": 2, "collected": 3, "infrastructure": 4, "business": 5}


class _Destination(Section):
    """
    What all destinations have.

    Args:
        catch_up: deliveries each second, at most, after it could not be reached.
    """

    _ACKNOWLEDGED_BY: ClassVar[tuple[str, ...]] = ("sent", "accepted")

    name: Name
    acknowledged_by: Literal["sent", "accepted", "collected", "infrastructure", "business"] = "accepted"
    deadline: Duration = 86400.0
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    timeout: Duration = 30.0
    catch_up: Annotated[float, BeforeValidator(pace)] | None = Field(default="100/s", validate_default=True)

    @property
    def needs(self) -> int:
        """The level at which a delivery there is done (gateway design §2.2)."""
        return _LEVELS[self.acknowledged_by]

    @field_validator("acknowledged_by")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if value not in cls._ACKNOWLEDGED_BY:
            # It would wait for ever and be overdue each time: an alarm that means nothing.
            raise PydanticCustomError(
                "C815", "a destination of this kind sends no such acknowledgement; write accepted"
            )
        return value


class FhirDestination(_Destination):
    """
    A FHIR server.

    Args:
        how: `document`: documents are put there and events are transactions; `message`: everything is a message, sent
            to `$process-message`.
        event: of messages: what happened, as agreed with the destination: a URI, or `system|code`.
        source: of messages: the address that the destination answers to, or knows us by.
        repeats: `recognised`: a message that comes again is known for what it is, so that it may be sent again after
            no answer; left out, a person is asked.
        acknowledgements: the token with which the destination posts what became of messages to our
            `/destinations/{name}/acknowledgements`.
    """

    _ACKNOWLEDGED_BY = ("sent", "accepted", "business")

    kind: Literal["fhir"]
    url: WebAddress
    target: Literal["r4"] = "r4"
    auth: Annotated[BearerAuth | JwtAuth, Field(discriminator="kind")] | None = None
    tls: ClientTls | None = None
    how: Literal["document", "message"] = "document"
    event: str = ""
    source: str = ""
    repeats: Literal["recognised"] | None = None
    acknowledgements: SecretReference | None = None

    @field_validator("url")
    @classmethod
    def _base(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _message(self) -> FhirDestination:
        if self.how == "message":
            for key, pattern in (("event", _EVENT), ("source", _URI)):
                if not pattern.fullmatch(getattr(self, key)):
                    raise PydanticCustomError("C827", f"a message needs {key}: a URI, or for an event system|code")
        elif self.event or self.source or self.repeats or self.acknowledgements:
            raise PydanticCustomError("C827", 'event, source, repeats and acknowledgements go with how = "message"')
        if (self.acknowledged_by == "business") != (self.acknowledgements is not None):
            raise PydanticCustomError(
                "C815", 'acknowledged_by = "business" and acknowledgements, the token that they come with, go together'
            )
        return self


class WebhookDestination(_Destination):
    """
    An address that documents are posted to, signed as Standard Webhooks has it.

    Args:
        secret: what they are signed with: `whsec_` and base64, or 24 characters and more.
    """

    kind: Literal["webhook"]
    url: WebAddress
    target: Literal["r4"] = "r4"
    secret: SecretReference
    auth: Annotated[BearerAuth | JwtAuth, Field(discriminator="kind")] | None = None
    tls: ClientTls | None = None


class FolderDestination(_Destination):
    """A folder that documents are put into, whole and under their final name only."""

    kind: Literal["folder"]
    path: Folder
    target: Literal["r4"] = "r4"


class MllpDestination(_Destination):
    """An MLLP listener that the sender's own messages are relayed to, `mllp://` or, with TLS, `mllps://`."""

    kind: Literal["mllp"]
    url: Text
    target: Literal["original"] = "original"
    concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    on_unknown: Literal["resend", "ask"] = "resend"
    tls: ClientTls | None = None

    @field_validator("url")
    @classmethod
    def _mllps(cls, value: str) -> str:
        value = destination_url(value, ("mllps", "mllp"))
        if urlsplit(value).port is None:
            raise PydanticCustomError("C810", "an MLLP address names its port: mllps://HOST:PORT")
        return value

    @property
    def address(self) -> Listen:
        """Host and port."""
        parts = urlsplit(self.url)
        return Listen(parts.hostname or "", parts.port or 0)


class MeshDestination(_Destination, MailboxAccess):
    """
    A mailbox of MESH that documents are sent to, from one of ours, under one workflow.

    Args:
        recipient: their mailbox; or `organisation`: their ODS code, by which MESH is asked for it.
        compress: send it compressed; MESH undoes that for those who do not take it so.
        chunk: send what is larger in pieces of so many bytes; left out, in one, as not everybody takes pieces.
        subject: of every message; the same for all patients.
        tracks: with `acknowledged_by = "collected"`, so often MESH is asked whether they have taken it.
    """

    _ACKNOWLEDGED_BY = ("sent", "accepted", "collected")

    kind: Literal["mesh"]
    target: Literal["r4"] = "r4"
    workflow: WorkflowId
    recipient: MailboxId = ""
    organisation: OdsCode | None = None
    compress: bool = False
    chunk: Annotated[Size, AfterValidator(_piece)] | None = None
    subject: Annotated[str, StringConstraints(pattern=r"^[ -~]*$", max_length=500)] = ""
    tracks: Duration = 900.0
    timeout: Duration = 60.0

    @model_validator(mode="after")
    def _addressed(self) -> MeshDestination:
        if bool(self.recipient) == (self.organisation is not None):
            raise PydanticCustomError("C842", "give recipient, a mailbox, or organisation, an ODS code, and not both")
        if not self.near and self.tracks < MOST_OFTEN:
            raise PydanticCustomError("C840", "MESH is asked every 5m at most what became of something")
        return self


Destination = FhirDestination | FolderDestination | MeshDestination | MllpDestination | WebhookDestination
