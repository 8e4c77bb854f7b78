"""
Who is told, and whose a task is: `[watch]`, `[[alarm]]`, `[[queue]]`, `[[duty]]`.

Must never tell anybody.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from mhbridge.config.section import ClientTls, Section, WebAddress
from mhbridge.config.values import Duration, Name, SecretReference, Text

__all__ = ["AlarmSection", "DutySection", "HeartbeatSection", "QueueSection", "WatchSection"]


class HeartbeatSection(Section):
    """Where it is said every so often that the gateway is well: something that raises the alarm when it is not."""

    url: WebAddress
    every: Duration = 60.0
    tls: ClientTls | None = None


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

    url: WebAddress
    key: SecretReference
    severity: Literal["normal", "high", "critical"] = "normal"
    tls: ClientTls | None = None


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
