"""
What is asked of the store about a month, in figures without identities.

This module must never show anything of one message.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mhbridge.adapters.sql import months
from mhbridge.adapters.sql.books import micros
from mhbridge.adapters.sql.door.calling import Calling
from mhbridge.ports import Figure

__all__ = ["Figures"]


class Figures(Calling):
    """The port `Figures`."""

    async def figures(self, month: str, since: datetime, until: datetime, now: datetime) -> Sequence[Figure]:
        return await self.ask(months.figures, month, micros(since), micros(until), micros(now))
