"""
What is asked of the store about feeds that may fall silent.

This module must never judge whether one has.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

from collections.abc import Sequence

from mhbridge.adapters.sql import silence
from mhbridge.adapters.sql.door.calling import Calling
from mhbridge.ports import Gap, Profile

__all__ = ["Silence"]


class Silence(Calling):
    """The port `Silence`."""

    async def profiles(self) -> Sequence[Profile]:
        return await self.ask(silence.profiles)

    async def keep_profiles(self, profiles: Sequence[Profile]) -> None:
        await self.write(silence.keep_profiles, tuple(profiles))

    async def gaps(self) -> Sequence[Gap]:
        return await self.ask(silence.gaps)

    async def keep_gaps(self, feed: str, gaps: Sequence[Gap]) -> None:
        await self.write(silence.keep_gaps, silence.Missing(feed, tuple(gaps)))
