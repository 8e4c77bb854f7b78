"""
Months as people have them: those of London.

This module must never ask what time it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

__all__ = ["Month"]

_LONDON: Final = ZoneInfo("Europe/London")
_WRITTEN: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Month:
    """A month of a year, in London."""

    year: int
    number: int

    @classmethod
    def of(cls, text: str) -> Month:
        """
        The month that is written so: `2026-11`.

        Raises:
            ValueError: it is none.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise ValueError("write a month as 2026-11")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def before(cls, now: datetime) -> Month:
        """The last month that is over."""
        local = now.astimezone(_LONDON)
        return cls(local.year, local.month - 1) if local.month > 1 else cls(local.year - 1, 12)

    @property
    def since(self) -> datetime:
        """Its first instant."""
        return datetime(self.year, self.number, 1, tzinfo=_LONDON).astimezone(UTC)

    @property
    def until(self) -> datetime:
        """The first instant after it."""
        year, number = (self.year, self.number + 1) if self.number < 12 else (self.year + 1, 1)
        return datetime(year, number, 1, tzinfo=_LONDON).astimezone(UTC)

    @property
    def title(self) -> str:
        """For people: `November 2026`."""
        return f"{datetime(self.year, self.number, 1, tzinfo=UTC):%B %Y}"

    def __str__(self) -> str:
        return f"{self.year}-{self.number:02}"
