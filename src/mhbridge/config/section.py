"""
What every section of the configuration file is, and how a listener or a destination is made safe.

Must never know which sections there are.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from mhbridge.config.values import FileReference, Listen, Text, destination_url

__all__ = ["ClientTls", "Section", "Tls", "WebAddress", "listens_safely"]


def _web(value: str) -> str:
    return destination_url(value, ("https", "http"))


#: The address of something on the web: https unless it is on this machine.
WebAddress = Annotated[Text, AfterValidator(_web)]


class Section(BaseModel):
    """A table of the file: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def listens_safely(listen: Listen, tls: Tls | None, allowed: str = "") -> None:
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
