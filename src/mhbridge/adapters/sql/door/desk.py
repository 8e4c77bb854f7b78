"""
What is asked of the store by people who look: messages, their stories, the accounts, the audit, how the store is.

This module must never keep the flow waiting: what it asks has a session of its own.
"""

# ruff: noqa: D102 - the port says what each method promises

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mhbridge.adapters.sql import accounts, auditing, following, stories
from mhbridge.adapters.sql.books import Mark, micros
from mhbridge.adapters.sql.chain import Chain
from mhbridge.adapters.sql.committing import log_head, probe
from mhbridge.adapters.sql.door.calling import Calling
from mhbridge.adapters.sql.finding import LAST, Search
from mhbridge.adapters.sql.searching import tokens
from mhbridge.errors import StoreError
from mhbridge.model import Document
from mhbridge.ports import AuditLine, MessageRow, Sought, Status, Trace

__all__ = ["Desk"]


class Desk(Calling):
    """The port `Desk`, but for the sizes of the engine's files."""

    async def messages(
        self,
        *,
        state: str = "",
        feed: str = "",
        search: str = "",
        kind: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        before: int = 0,
        most: int = 100,
    ) -> Sequence[MessageRow]:
        self._require_open()
        sought = Search(
            state,
            feed,
            tokens(self._keys, kind, search) if search else {},
            search.strip() if kind in ("", Sought.REMOTE) else "",
            0 if since is None else micros(since),
            LAST if until is None else micros(until),
        )
        if search and not (sought.tokens or sought.remote_id):
            # What it says cannot be one of this kind.
            return []
        return await self.ask(stories.messages, sought, before or LAST, most)

    async def trace(self, message: int) -> Trace | None:
        return await self.ask(stories.trace, message)

    async def original(self, message: int) -> bytes | None:
        return await self.ask(stories.original, message)

    async def documents(self, message: int) -> Sequence[Document]:
        return await self.ask(stories.documents, message)

    async def receipts(self) -> int:
        return await self.ask(accounts.receipts)

    async def status(self, now: datetime) -> Status:
        return await self.ask(accounts.status, now)

    async def audit(self, who: str, act: str, about: int, now: datetime, *, why: str = "") -> None:
        await self.write(auditing.audit, auditing.Auditing(micros(now), who, act, about, why))

    async def audited(
        self, *, who: str = "", about: int = 0, since: datetime | None = None, before: int = 0, most: int = 100
    ) -> Sequence[AuditLine]:
        at = 0 if since is None else micros(since)
        return await self.ask(auditing.audited, who, about, at, before, most)

    async def verify_log(self) -> int:
        head: Mark | None = None if self._read_only else await self.write(log_head, None)
        held = 0
        for writer in await self.ask(following.writers):
            chain = Chain(self._keys.log, writer)
            held += await self.ask(following.log_from, chain)
            # The end may be cut off without breaking the chain: what was last written here must still be there.
            if head is not None and writer == self._writer.number and chain.seq < head.seq:
                raise _missing(chain.seq + 1)
            head = None if head is not None and writer == self._writer.number else head
        if head is not None and head.seq:
            raise _missing(1)
        return held

    async def probe(self, now: datetime) -> None:
        await self.write(probe, micros(now))


def _missing(row: int) -> StoreError:
    return StoreError("S207", f"row {row} of the log is missing")
