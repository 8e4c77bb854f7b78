"""
A mailbox of MESH, as receivers and destinations name it: its address, who we are, and what its ids may be.

Which workflows there are and whose mailboxes is agreed with others and stands in the file, never here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mhbridge.config.section import ClientTls, Section, WebAddress
from mhbridge.config.values import Duration, SecretReference, is_loopback

__all__ = ["MOST_OFTEN", "MailboxAccess", "MailboxId", "WorkflowId"]

#: Between two polls of a mailbox: "a maximum of once every five minutes" (mesh-api.yaml).
MOST_OFTEN: Final = 300.0


def _mailbox(value: Any) -> str:
    # The specification asks for capitals in the Authorization header, and has no other rule.
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z0-9_-]{1,100}", value):
        raise PydanticCustomError("C806", "the id of a mailbox is capital letters and digits")
    return value


def _workflow(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.:-]{1,300}", value):
        raise PydanticCustomError("C806", "the id of a workflow is letters, digits, and _ . : -")
    return value


MailboxId = Annotated[str, BeforeValidator(_mailbox)]
WorkflowId = Annotated[str, BeforeValidator(_workflow)]


class MailboxAccess(Section):
    """
    A mailbox, and who we are there.

    Args:
        url: of MESH: that of the environment, as the NHS's specification lists them.
        password: of the mailbox.
        shared_key: of the environment.
        timeout: seconds for one request, a download included.
    """

    url: WebAddress
    mailbox: MailboxId
    password: SecretReference
    shared_key: SecretReference
    tls: ClientTls | None = None
    timeout: Duration = 60.0

    @property
    def near(self) -> bool:
        """It is on this machine: a sandbox."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @field_validator("url")
    @classmethod
    def _base(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _mutual(self) -> MailboxAccess:
        if not self.near and (self.tls is None or self.tls.certificate is None):
            raise PydanticCustomError(
                "C804", "MESH asks for a certificate of ours, too: give tls.certificate and tls.key"
            )
        return self
