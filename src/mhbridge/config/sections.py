"""
The sections of the configuration file as frozen values, one class a table. What a key means is said here only.

A section checks what it alone can know; what sections say of each other is checked by the reading. Must never read the
configuration file itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mhbridge.config.values import (
    POSTGRES,
    Address,
    Duration,
    FilePath,
    FileReference,
    Folder,
    ItemName,
    Listen,
    MappingFolder,
    Name,
    OdsCode,
    Pause,
    Rate,
    SecretReference,
    Size,
    Text,
    destination_url,
    hours,
    pace,
    rate,
    store_reference,
    time_of_day,
)

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s|\"<>]{1,500}")
_EVENT = re.compile(rf"{_URI.pattern}(\|[^\s|]{{1,100}})?")


class Section(BaseModel):
    """A table of the file: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def _listens_safely(listen: Listen, tls: Tls | None, allowed: str = "") -> None:
    """What is not encrypted stays on this machine, unless somebody wrote down why it need not (SEC-06)."""
    if tls is None and not listen.loopback and not allowed:
        raise PydanticCustomError("C809", "without tls it may listen on loopback only, for example 127.0.0.1")


class Tls(Section):
    """TLS of a listener. With `clients`, only holders of a certificate of that authority may connect."""

    certificate: FileReference
    key: FileReference
    clients: FileReference | None = None


class ClientTls(Section):
    """TLS towards a destination: whom to believe, and who we are."""

    authorities: FileReference | None = None
    certificate: FileReference | None = None
    key: FileReference | None = None

    @model_validator(mode="after")
    def _pair(self) -> ClientTls:
        if (self.certificate is None) != (self.key is None):
            raise PydanticCustomError("C804", "certificate and key are given together or not at all")
        return self


class GatewaySection(Section):
    """`[gateway]`: this gateway."""

    name: Text = "mhbridge"
    store: Annotated[str, BeforeValidator(store_reference)] = Field(
        default="sqlite:var/mhbridge.db", validate_default=True
    )
    #: The key that the data keys are wrapped under, 64 hexadecimal digits; left out, it is made beside the store. Where
    #: the store is a database, it must be given: the wrapped keys are in it, and what unwraps them must not be.
    store_key: SecretReference | None = None
    #: The password of the database; left out, libpq finds it where it always does (`~/.pgpass`, a certificate).
    store_password: SecretReference | None = None
    #: Where it is noted how far the log has come, best on another machine's disk; left out, beside the store.
    log_heads: FilePath | None = None
    mappings: tuple[MappingFolder, ...] = ()
    mode: Literal["live", "test"] = "live"
    #: Processes that translate; 0: it is done in the gateway's own.
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    #: Its name among the gateways that share a PostgreSQL database, each of which has its own; left out, its machine's.
    node: Name = ""
    #: Of these gateways each has its patients for so long, and renews that four times as often.
    lease: Annotated[Duration, Field(ge=1, le=600)] = 15.0

    @model_validator(mode="before")
    @classmethod
    def _beside_nothing(cls, values: Any) -> Any:
        """A database has nothing beside it."""
        if isinstance(values, dict) and str(values.get("store")).startswith(POSTGRES):
            return {"log_heads": "var/mhbridge.heads", **values}
        return values

    @model_validator(mode="after")
    def _keys_elsewhere(self) -> GatewaySection:
        if self.database and self.store_key is None:
            raise PydanticCustomError("C804", "a store on PostgreSQL needs store_key: the master key is kept elsewhere")
        if self.store_password is not None and not self.database:
            raise PydanticCustomError("C804", "store_password is of a store on PostgreSQL")
        return self

    @property
    def database(self) -> str:
        """The address of the database, where the store is in one."""
        return self.store if self.store.startswith(POSTGRES) else ""

    @property
    def store_path(self) -> Path | None:
        """The file of the store, where it is in one."""
        return None if self.database else Path(self.store.removeprefix("sqlite:"))

    @property
    def heads_path(self) -> Path:
        """The file in which it is noted how far the log has come."""
        if self.log_heads is not None:
            return self.log_heads
        assert self.store_path is not None
        return self.store_path.with_name(f"{self.store_path.name}.heads")


class HttpSection(Section):
    """`[http]`: the listener of the API and of every http receiver that has none of its own."""

    listen: Address
    tls: Tls | None = None
    #: Why it may listen beyond this machine without TLS: inside a container, or behind a proxy that does the TLS.
    allow_plaintext: str = ""

    @model_validator(mode="after")
    def _safe(self) -> HttpSection:
        _listens_safely(self.listen, self.tls, self.allow_plaintext)
        return self

    @property
    def open_to_strangers(self) -> bool:
        """Whoever reaches it is let in to ask: other machines can, and no client certificate is wanted."""
        return not self.listen.loopback and (self.tls is None or self.tls.clients is None)


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


class HeartbeatSection(Section):
    """Where it is said every so often that the gateway is well: something that raises the alarm when it is not."""

    url: Text
    every: Duration = 60.0
    tls: ClientTls | None = None

    @field_validator("url")
    @classmethod
    def _https(cls, value: str) -> str:
        return destination_url(value, ("https", "http"))


class WatchSection(Section):
    """
    `[watch]`: what is known of the days, and who watches from outside.

    Args:
        holidays: days on which feeds send as on a Sunday: bank holidays, and those of the trust.
    """

    holidays: tuple[date, ...] = ()
    heartbeat: HeartbeatSection | None = None


class AlarmSection(Section):
    """
    `[[alarm]]`: where alarms are sent, besides the log.

    Args:
        key: signs what is sent, by reference.
        severity: alarms below are not sent.
    """

    url: Text
    key: SecretReference
    severity: Literal["normal", "high", "critical"] = "normal"
    tls: ClientTls | None = None

    @field_validator("url")
    @classmethod
    def _https(cls, value: str) -> str:
        return destination_url(value, ("https", "http"))


class _Receiver(Section):
    #: Its senders stay connected.
    _connected: ClassVar[bool] = False

    supplier: Name
    name: Name = ""
    parked: Literal["accept", "refuse"] = "accept"
    expect: Expect | None = None

    @field_validator("expect")
    @classmethod
    def _knows(cls, value: Expect | None) -> Expect | None:
        if value is not None and value.connection is not None and not cls._connected:
            raise PydanticCustomError("C806", "only an mllp receiver knows whether its sender is connected")
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
        _listens_safely(self.listen, self.tls, self.allow_plaintext)
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
        _listens_safely(self.listen, self.tls)
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
    token_url: Text
    algorithm: Literal["RS384", "RS512", "ES384"] = "RS512"
    scope: str = ""

    @field_validator("token_url")
    @classmethod
    def _https(cls, value: str) -> str:
        return destination_url(value, ("https", "http"))


#: What counts as delivered, as levels (gateway design §2.2).
_LEVELS: Final = {"sent": 1, "accepted": 2, "infrastructure": 4, "business": 5}


class _Destination(Section):
    """
    What all destinations have.

    Args:
        catch_up: deliveries each second, at most, after it could not be reached.
    """

    _ACKNOWLEDGED_BY: ClassVar[tuple[str, ...]] = ("sent", "accepted")

    name: Name
    acknowledged_by: Literal["sent", "accepted", "infrastructure", "business"] = "accepted"
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
    url: Text
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
    def _https(cls, value: str) -> str:
        return destination_url(value, ("https", "http")).rstrip("/")

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
    url: Text
    target: Literal["r4"] = "r4"
    secret: SecretReference
    auth: Annotated[BearerAuth | JwtAuth, Field(discriminator="kind")] | None = None
    tls: ClientTls | None = None

    @field_validator("url")
    @classmethod
    def _https(cls, value: str) -> str:
        return destination_url(value, ("https", "http"))


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


Days = Annotated[int, Field(ge=1, le=36_500)]


class Retention(Section):
    """How long what this route delivered is kept, and on what legal basis."""

    days: Days
    basis: Text


class RetentionSection(Section):
    """
    `[retention]`: for how many days what is kept is kept, and on what legal basis, where a route does not say.

    Args:
        raw: messages as they came, after their receipt.
        document: documents, after they were sent.
        episode: what is known of an episode, after its last message.
    """

    raw: Days = 90
    document: Days = 30
    episode: Days = 400
    basis: Text = "UK GDPR Art. 6(1)(e) and 9(2)(h), direct care"


class Recipients(Section):
    """
    Organisations that a route is for.

    Args:
        items: that name the recipients of a document: an organisation, a person or place of one, or a list of these.
        organisations: ODS codes, of which one must be among them.
    """

    items: Annotated[tuple[ItemName, ...], Field(min_length=1)]
    organisations: Annotated[tuple[OdsCode, ...], Field(min_length=1)]


def _towards(value: Any) -> Any:
    """Destinations; none of them only in so many words."""
    if value == "nobody":
        return ()
    if value == []:
        raise PydanticCustomError("C806", 'must not be empty; for what is sent nowhere say "nobody"')
    return value


class Route(Section):
    """
    Which documents go to which destinations, and when.

    Args:
        to: names of destinations, or the word `nobody`: what fits is known here and sent nowhere, which must be said
            and cannot be left out.
        recipients: only those that are for one of these organisations.
    """

    documents: Annotated[tuple[Name, ...], Field(min_length=1)]
    to: Annotated[tuple[Name, ...], BeforeValidator(_towards)]
    when: str = ""
    recipients: Recipients | None = None
    retention: Retention | None = None

    @field_validator("when")
    @classmethod
    def _expression(cls, value: str) -> str:
        if value and not value.startswith("="):
            raise PydanticCustomError("C806", 'a condition is an expression and begins with "="')
        return value


class Access(Section):
    """A credential for the API: a bearer token and its roles. `name` stands in the log for whoever holds it."""

    token: SecretReference
    roles: Annotated[tuple[Literal["viewer", "operator", "clinical"], ...], Field(min_length=1)]
    name: Name | None = None

    @property
    def who(self) -> str:
        """What the log calls the holder."""
        return self.name or self.token.reference


class QueueSection(Section):
    """
    `[[queue]]`: where tasks wait for somebody. One that comes with mhbridge may be described anew by its name.

    Args:
        role: who looks after it.
        next: the queue that a task goes to which nobody has taken in time.
    """

    name: Name
    role: str = ""
    next: Name | Literal[""] = ""
    unclaimed_after: Duration = 14_400.0


class DutySection(Section):
    """
    `[[duty]]`: whose task it is, how bad it is and by when it is to be done, by the code of its cause.

    Args:
        causes: codes such as `M740`; `*` is every other one.
    """

    causes: Annotated[tuple[Text, ...], Field(min_length=1)]
    queue: Name
    severity: Literal["normal", "high", "critical"] = "normal"
    within: Duration = 28_800.0

    @field_validator("causes")
    @classmethod
    def _codes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[A-Z]\d{3}|\*", cause) for cause in value):
            raise PydanticCustomError("C806", 'a cause is a code such as "M740", or "*" for every other')
        return value


Place = tuple[str | int, ...]
Receiver = MllpReceiver | HttpReceiver | FolderReceiver
Destination = FhirDestination | FolderDestination | MllpDestination | WebhookDestination


@dataclass(frozen=True, slots=True)
class Config:
    """
    A whole configuration that has been checked.

    Args:
        file: where it was read; empty when there was none.
        places: key → file and line, or the variable that it is from.
    """

    gateway: GatewaySection = field(default_factory=GatewaySection)
    http: HttpSection | None = None
    access: tuple[Access, ...] = ()
    watch: WatchSection = field(default_factory=WatchSection)
    alarms: tuple[AlarmSection, ...] = ()
    retention: RetentionSection = field(default_factory=RetentionSection)
    receivers: tuple[Receiver, ...] = ()
    destinations: tuple[Destination, ...] = ()
    routes: tuple[Route, ...] = ()
    queues: tuple[QueueSection, ...] = ()
    duties: tuple[DutySection, ...] = ()
    file: str = ""
    places: Mapping[Place, str] = field(default_factory=dict, repr=False, compare=False)

    def where(self, *place: str | int) -> str:
        """Where a key was given and what it is called: `mhbridge.toml:12: route[0].when`."""
        return named(place, self.places, self.file)


def named(place: Place, places: Mapping[Place, str], file: str) -> str:
    """The key at `place`, behind the line that it or what holds it begins in."""
    key = ""
    for step in place:
        key += f"[{step}]" if isinstance(step, int) else f".{step}" if key else str(step)
    ends = (places.get(place[:end]) for end in range(len(place), 0, -1))
    where = next((found for found in ends if found is not None), file)
    return ": ".join(part for part in (where, key) if part)
