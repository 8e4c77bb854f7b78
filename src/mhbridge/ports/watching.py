"""
Of whom something was heard that may be told onwards, and what was told.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mhbridge.pipeline.persons import Person, Told

__all__ = ["Noticed", "SeenPerson", "Watching"]


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """
    A patient of whom something was heard.

    Args:
        turn: which hearing it was.
        at: when that was.
        person: everything of the person; nothing, where no stay and no signal can meet.
    """

    patient: int
    turn: int
    at: datetime
    person: Person = field(repr=False)


@dataclass(frozen=True, slots=True)
class Noticed:
    """What was told of a patient after a hearing."""

    patient: int
    turn: int
    told: tuple[Told, ...] = ()


class Watching(Protocol):
    """Of whom something was heard that may be told onwards, and what was told."""

    async def seen(self, most: int = 20) -> Sequence[SeenPerson]:
        """Patients of whom something was heard since they were last looked at, the longest waiting first."""

    async def noticed(self, noticed: Sequence[Noticed]) -> None:
        """They were looked at, and this was told. One of whom more was heard meanwhile is `seen` again."""
