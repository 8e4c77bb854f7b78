"""
What is asked of the store by watches.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

from collections.abc import Sequence

from mhbridge.adapters.sql import watching
from mhbridge.adapters.sql.door.calling import Calling
from mhbridge.ports import Noticed, SeenPerson

__all__ = ["Watching"]


class Watching(Calling):
    """The port `Watching`."""

    async def seen(self, most: int = 20) -> Sequence[SeenPerson]:
        return await self.ask(watching.due, most)

    async def noticed(self, noticed: Sequence[Noticed]) -> None:
        await self.write(watching.noticed, watching.Noticing(noticed))
