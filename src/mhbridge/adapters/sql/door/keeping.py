"""
What is asked of the store so that nothing is kept for too long, and what is kept is what was written.

This module must never read a body but to see that it opens.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from mhbridge.adapters.sql import attempts, expiring, following, searching, shredding
from mhbridge.adapters.sql.books import GATEWAY, Mark, micros
from mhbridge.adapters.sql.committing import log_head
from mhbridge.adapters.sql.door.desk import Desk
from mhbridge.adapters.sql.heads import Head, heads_in, line_of
from mhbridge.adapters.sql.purging import Purging
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.searching import tokens
from mhbridge.model import DeliveryState
from mhbridge.ports import Erased, Purged, Retention

__all__ = ["Keeping"]

#: Deliveries of a restored store that are doubted in one transaction.
_DOUBTED: Final = 500


class Keeping(Desk):
    """The port `Keeping`."""

    _retention: Retention

    async def purge(self, now: datetime, *, who: str = GATEWAY, dry_run: bool = False) -> Purged:
        purged = await self._purging().run(now, who=who, dry_run=dry_run)
        if purged.cleared:
            await self._forget()
        return purged

    async def erase(self, kind: str, patient: str, who: str, basis: str, now: datetime) -> Erased:
        self._require_writing()
        found = await self.ask(expiring.patients, kind, tuple(tokens(self._keys, kind, patient).values()))
        erased = await self._purging().erase(found, who, basis, now)
        await self._forget()
        return erased

    async def _forget(self) -> None:
        """What readers remember of patients may not be there any more."""
        self._keys.forget()
        searching.forget()
        await self._at_once(Reader.forget)
        for reading in (self._flow, self._desk):
            await self._ask(reading, Reader.forget)

    async def log_head(self, now: datetime) -> tuple[str, str]:
        mark: Mark = await self.write(log_head, None)
        return f"{mark.seq} {mark.mac.hex()}", line_of(
            self._keys, Head(micros(now), self._writer.number, mark.seq, mark.mac)
        )

    async def verify_heads(self, lines: Sequence[str]) -> int:
        heads = heads_in(self._keys, lines)
        await self.ask(following.has_heads, heads)
        return len(heads)

    async def verify_bodies(self) -> tuple[int, int, int]:
        """Open every body and reading: how many opened, how many are purged, how many do neither."""
        counts = [0, 0, 0]
        for table in ("body", "reading"):
            after, begun = 0, False
            while after or not begun:
                begun = True
                after, *some = await self.ask(expiring.bodies_page, table, after)
                counts = [sum(pair) for pair in zip(counts, some, strict=True)]
        opened, purged, damaged = counts
        return opened, purged, damaged

    async def begun_again(self, lines: Sequence[str], now: datetime) -> Sequence[str]:
        """
        What is told outside after a restore: from here on, other rows are the last ones of the log.

        Args:
            lines: what has been told. Who wrote the log since then, and is not in it any more, is told of as well.
        """
        writers = {head.writer for head in heads_in(self._keys, lines)} | set(await self.ask(following.writers))
        last = [(writer, await self.ask(following.last_of, writer)) for writer in sorted(writers)]
        return [line_of(self._keys, Head(micros(now), writer, *row, restored=True)) for writer, row in last]

    async def restored(self, of: datetime, who: str, now: datetime) -> int:
        """Once, after this store was made from a backup of an instant. Returns how many deliveries are doubtful."""
        await self.write(shredding.note, shredding.Noting(of, who, micros(now)))
        while await self.write(attempts.doubt, attempts.Doubting(_DOUBTED, micros(now))):
            pass
        await self.write(shredding.tidy, None)
        return (await self.status(now)).deliveries.get(DeliveryState.UNKNOWN, 0)

    def _purging(self) -> Purging:
        return Purging(self.ask, self.write, self._keys.ring, self._retention.days)
