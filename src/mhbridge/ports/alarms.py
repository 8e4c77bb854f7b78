"""
What somebody outside is told at once.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mhbridge.ports.tasks import Urgency

__all__ = ["Alarm"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """
    Something that somebody should know now.

    Args:
        id: the same for its beginning and its end.
        state: `begun` and later `ended`, or `once`.
        about: the event's keys, as they stand in the log.
        count: how often it has happened since it was last said.
    """

    id: str
    name: str
    severity: Urgency
    state: Literal["begun", "ended", "once"]
    says: str
    at: datetime
    about: Mapping[str, Any] = field(default_factory=dict)
    count: int = 1
