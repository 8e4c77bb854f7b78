"""
Purging: what was kept as long as it was to be is shredded by dropping its key; its rows follow in small portions.

First all that expires is looked through by a reader, a page at a time, and what is still open is closed under a key of
a later month. Then the writer looks once more, in one short transaction, and drops the key. From that instant nobody
can read what it closed, whatever copies of the database there are. What the writer does is in `shredding`, what readers
look for in `expiring`; this module must never touch the database itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from mhbridge.adapters.sql import expiring, shredding
from mhbridge.adapters.sql.books import CLASS_OF, GATEWAY, micros
from mhbridge.adapters.sql.keyring import DataKey, Keyring, expiry
from mhbridge.ports import Erased, Expired, Purged, RetentionClass

__all__ = ["Purging"]

_TABLE_OF: Final[Mapping[RetentionClass, str]] = {retention: table for table, retention in CLASS_OF.items()}

Ask = Callable[..., Awaitable[Any]]
"""Lets a reader answer: a function of `Reader`, and its values."""

Write = Callable[[Any, Any], Awaitable[Any]]
"""Lets the writer work one item with a verb of `shredding`."""


class Purging:
    """
    What a store does when it purges, in small steps between whatever else it does.

    Args:
        ask: lets a reader answer.
        write: lets the writer work.
        days: days of a class, and of a type of document.
    """

    def __init__(self, ask: Ask, write: Write, ring: Keyring, days: Callable[[RetentionClass, str], int]) -> None:
        self._ask = ask
        self._write = write
        self._ring = ring
        self._days = days

    async def run(self, now: datetime, *, who: str = GATEWAY, dry_run: bool = False) -> Purged:
        """Purge what has expired; in a dry run, say what would be."""
        at = micros(now)
        await asyncio.to_thread(self._ring.refresh)
        adopted = 0 if dry_run else await self._adopt()
        expired = [await self._expired(key, at, who, dry_run=dry_run) for key in self._ring.expired(at)]
        if dry_run:
            return Purged(tuple(expired))
        cleared = 0
        for key in await self._ask(expiring.rows_under, self._ring.dropped):
            while changed := await self._write(shredding.clear, shredding.Clearing(key)):
                cleared += changed
        forgotten = await self._forget() if cleared else 0
        if adopted or cleared:
            await self._write(shredding.tidy, None)
        return Purged(tuple(expired), cleared, forgotten, adopted)

    async def erase(self, patients: Sequence[int], who: str, basis: str, now: datetime) -> Erased:
        """Erase patients and those that were merged into them."""
        properties, identities = await self._ask(expiring.tokens_of, patients, True)
        erased: Erased = await self._write(
            shredding.erase, shredding.Erasing(tuple(patients), properties, identities, who, basis, micros(now))
        )
        await self._write(shredding.tidy, None)
        return erased

    async def _adopt(self) -> int:
        adopted = 0
        for table in ("body", "reading"):
            after, begun = 0, False
            while after or not begun:
                begun = True
                after, some = await self._write(shredding.adopt, shredding.Adopting(table, after))
                adopted += some
        return adopted

    async def _expired(self, key: DataKey, now: int, who: str, *, dry_run: bool) -> Expired:
        seen, kept = await self._keep(key, now, dry_run=dry_run)
        done = not dry_run and await self._write(shredding.drop, shredding.Dropping(key.id, now, who))
        return Expired(key.retention, key.month, seen - kept, kept, done)

    async def _keep(self, key: DataKey, now: int, *, dry_run: bool) -> tuple[int, int]:
        """Close what is open under keys of later months. Returns how many rows there were and how many of them stay."""
        table = _TABLE_OF[key.retention]
        until = expiry(now, self._days(key.retention, ""))
        busy = await self._ask(expiring.busy_patients) if key.retention == "episode" else expiring.Busy(frozenset(), {})
        months = {one.id: one.expires for one in self._ring.living()}
        seen = kept = after = 0
        while True:
            page: expiring.Page
            if key.retention == "raw":
                page = await self._ask(expiring.raw_page, key.id, after, until)
            elif key.retention == "document":
                page = await self._ask(
                    expiring.document_page, key.id, after, now, lambda kind: self._days("document", kind)
                )
            else:
                page = await self._ask(expiring.episode_page, key, after, until, busy, months)
            seen += page.seen
            kept += len(page.keep)
            if not dry_run:
                await self._close_later(table, key, page.keep)
            after = page.last
            if not after:
                return seen, kept

    async def _close_later(self, table: str, key: DataKey, keep: Mapping[int, int]) -> None:
        by_month: dict[int, list[int]] = {}
        for row, expires in keep.items():
            by_month.setdefault(expires, []).append(row)
        for expires, rows in by_month.items():
            for first in range(0, len(rows), shredding.PORTION):
                await self._write(
                    shredding.close_later,
                    shredding.Closing(table, rows[first : first + shredding.PORTION], key.id, expires),
                )

    async def _forget(self) -> int:
        """Tokens of messages without a body, and patients of whom nothing is left."""
        gone = 0
        after: tuple[bytes, int] | None = (b"", -1)
        while after is not None:
            after, properties = await self._ask(expiring.dead_properties, after)
            gone += await self._in_portions(properties, lambda some: shredding.Forgetting(properties=some))
        dead: list[int] = []
        last, begun = 0, False
        while last or not begun:
            begun = True
            last, some = await self._ask(expiring.dead_patients, last)
            dead += some
        if dead:
            _, identities = await self._ask(expiring.tokens_of, dead, False)
            gone += await self._in_portions(identities, lambda some: shredding.Forgetting(identities=some))
            gone += await self._in_portions(dead, lambda some: shredding.Forgetting(patients=some))
        return gone

    async def _in_portions(self, rows: Sequence[Any], made: Callable[[Sequence[Any]], shredding.Forgetting]) -> int:
        gone = 0
        for first in range(0, len(rows), shredding.PORTION):
            gone += await self._write(shredding.forget, made(rows[first : first + shredding.PORTION]))
        return gone
