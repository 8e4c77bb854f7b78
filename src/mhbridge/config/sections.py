"""
The sections of the configuration file as frozen values, one class a table. What a key means is said here only: of
receivers in `receivers`, of destinations in `destinations`, of alarms and tasks in `watch`.

A section checks what it alone can know; what sections say of each other is checked by the reading. Must never read the
configuration file itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mhbridge.config.destinations import Destination
from mhbridge.config.receivers import Receiver
from mhbridge.config.section import Section, Tls, listens_safely
from mhbridge.config.values import (
    POSTGRES,
    Address,
    Duration,
    FilePath,
    ItemName,
    MappingFolder,
    Name,
    OdsCode,
    SecretReference,
    Text,
    store_reference,
)
from mhbridge.config.watch import AlarmSection, DutySection, QueueSection, WatchSection

__all__ = [
    "Access",
    "Config",
    "GatewaySection",
    "HttpSection",
    "Place",
    "Recipients",
    "Retention",
    "RetentionSection",
    "Route",
    "named",
]


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
        listens_safely(self.listen, self.tls, self.allow_plaintext)
        return self

    @property
    def open_to_strangers(self) -> bool:
        """Whoever reaches it is let in to ask: other machines can, and no client certificate is wanted."""
        return not self.listen.loopback and (self.tls is None or self.tls.clients is None)


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


Place = tuple[str | int, ...]


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
