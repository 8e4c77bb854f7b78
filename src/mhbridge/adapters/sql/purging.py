"""
Purging: what was kept as long as it was to be is shredded by dropping its key; its rows follow in small portions.

First all that expires is looked through by a reader, a page at a time, and what is still open is closed under a key of
a later month. Then the writer looks once more, in one short transaction, and drops the key. From that instant nobody
can read what it closed, whatever copies of the database there are. This module must never drop a key under which
something is open, and never delete what the accounts count: envelopes, messages, documents and deliveries stay as
rows without a body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from mhbridge.adapters.sql.books import CLASS_OF, GATEWAY, Books, micros
from mhbridge.adapters.sql.keyring import ERASED, PURGED, DataKey, Keyring, expiry
from mhbridge.adapters.sql.reading import PURGED as CODE_PURGED
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.sealing import Seal
from mhbridge.errors import StoreError
from mhbridge.ports import Erased, Expired, Purged, RetentionClass, Sought

__all__ = ["SKIPPED", "VERBS", "Purging", "patients"]

#: Rows looked at with one snapshot, and rows changed in one transaction: some milliseconds each.
_PAGE: Final = 500
_PORTION: Final = 100

#: More than are given between a backup and the end of its store.
SKIPPED: Final = 1_000_000_000

_TABLE_OF: Final[Mapping[RetentionClass, str]] = {retention: table for table, retention in CLASS_OF.items()}

Ask = Callable[..., Awaitable[Any]]
"""Lets a reader answer: a function of `Reader`, and its values."""

Write = Callable[[Any, Any], Awaitable[Any]]
"""Lets the writer work one item with a verb of this module."""


# --- what the writer does ----------------------------------------------------------------------------------


class Closing(NamedTuple):
    """Bodies to be closed under the key of a later month, where they are still under the old one."""

    table: str
    rows: Sequence[int]
    old: int
    expires: int


class Dropping(NamedTuple):
    """A key to be dropped, if nothing under it is open."""

    key: int
    now: int
    who: str


class Clearing(NamedTuple):
    """A dropped key, of which a portion of rows is to go."""

    key: int


class Adopting(NamedTuple):
    """Bodies of schema 1 to be encrypted, from a row on."""

    table: str
    after: int


class Forgetting(NamedTuple):
    """What is searched by and stands in no body that can be opened: tokens, each with the row that it finds."""

    properties: Sequence[tuple[bytes, int]] = ()
    identities: Sequence[tuple[bytes, int]] = ()
    patients: Sequence[int] = ()


class Erasing(NamedTuple):
    """Patients whose bodies and readings go now, whatever their keys."""

    patients: Sequence[int]
    properties: Sequence[tuple[bytes, int]]
    identities: Sequence[tuple[bytes, int]]
    who: str
    basis: str
    now: int


class Noting(NamedTuple):
    """A store that came from a backup of an instant."""

    of: datetime
    who: str
    now: int


def close_later(books: Books, items: Sequence[Closing]) -> list[int]:
    """Close bodies under the key of a later month. Returns how many were."""
    return [_close_later(books, item) for item in items]


def _close_later(books: Books, item: Closing) -> int:
    key = books.keys.ring.id_for(CLASS_OF[item.table], item.expires)
    query = "reading" if item.table == "reading" else "body"
    closed = 0
    for row in item.rows:
        found = books.row(f"stored_{query}", id=row)
        if found is None or found[0] != item.old:
            continue
        # What is damaged cannot be closed anew; whoever wants it learns that when they read it.
        with suppress(StoreError):
            body = books.seal.open(item.table, row, found[1], item.old)
            books.run(f"reclose_{query}", id=row, key_id=key, data=books.seal.close(item.table, row, body, key))
            closed += 1
    return closed


def drop(books: Books, items: Sequence[Dropping]) -> list[bool]:
    """Drop a key, unless something is open under it. Returns whether it was."""
    return [_drop(books, item) for item in items]


def _drop(books: Books, item: Dropping) -> bool:
    key = books.keys.ring.key(item.key)
    if key is None or not key.wrapped:
        return True
    if books.row(f"{key.retention}_open_under", key=key.id) is not None:
        return False
    # Before the commit: a crash between the two leaves rows of a dropped key, which the next purge finds.
    books.keys.ring.drop(key.id)
    books.log(item.now, "purge", 0, f"{_month(key)}; kept by: {books.retention.why(key.retention)}", item.who)
    return True


def clear(books: Books, items: Sequence[Clearing]) -> list[int]:
    """Rows under a dropped key lose what nobody can open. Returns how many did."""
    return [_clear(books, item) for item in items]


def _clear(books: Books, item: Clearing) -> int:
    if item.key not in books.keys.ring.dropped:
        raise ValueError(f"key {item.key} is in use")
    changed = 0
    for query in ("clear_bodies", "clear_readings"):
        books.run(query, key=item.key, purged=PURGED, most=_PORTION)
        changed += books.changed
    return changed


def adopt(books: Books, items: Sequence[Adopting]) -> list[tuple[int, int]]:
    """Bodies of schema 1 are encrypted. Returns the last row that was looked at, 0 at the end, and how many were."""
    return [_adopt(books, item) for item in items]


def _adopt(books: Books, item: Adopting) -> tuple[int, int]:
    query = "reading" if item.table == "reading" else "body"
    rows = books.run(f"unencrypted_{query}", after=item.after, most=_PORTION)
    adopted = 0
    for row, data, table, at, kind in rows:
        with suppress(StoreError):
            body = books.seal.open(table, row, data, Seal.AUTHENTICATED)
            key, closed = books.sealed(table, row, body, at, kind)
            books.run(f"reclose_{query}", id=row, key_id=key, data=closed)
            adopted += 1
    return (rows[-1][0] if len(rows) == _PORTION else 0), adopted


def forget(books: Books, items: Sequence[Forgetting]) -> list[int]:
    """Delete tokens, and patients of whom nothing is left. Returns how many rows went."""
    return [_forget(books, item) for item in items]


def _forget(books: Books, item: Forgetting) -> int:
    gone = 0
    for query, rows in (("drop_property", item.properties), ("drop_identity", item.identities)):
        for token, about in rows:
            books.run(query, token=token, about=about)
            gone += books.changed
    for patient in item.patients:
        # Again, since something may have come of the patient meanwhile.
        if books.row("patient_is_needed", id=patient) is None:
            gone += _forget_patient(books, patient)
    return gone


def _forget_patient(books: Books, patient: int) -> int:
    gone = 0
    for query in ("drop_lanes_of", "drop_patient"):
        books.run(query, id=patient)
        gone += books.changed
    for query in ("drop_words_of", "drop_watch_of", "drop_notices_of"):
        books.run(query, id=patient)
    books.forget_names()
    return gone


def erase(books: Books, items: Sequence[Erasing]) -> list[Erased]:
    """
    All that says who a patient is goes, at once: bodies, readings, tokens, clocks. The rows that are counted stay.

    Raises:
        StoreError: S228, when something of the patient is still open.
    """
    return [_erase(books, item) for item in items]


def _erase(books: Books, item: Erasing) -> Erased:
    open_ones = sum(books.value("open_of_patient", id=patient) for patient in item.patients)
    if open_ones:
        raise StoreError("S228", f"{open_ones} messages or deliveries of the patient are open: end them first")
    bodies = readings = shared = 0
    for patient in item.patients:
        for envelope, others in books.run("envelopes_of_patient", id=patient):
            if others:
                if books.row("raw_open_of", id=envelope) is not None:
                    raise StoreError("S228", f"envelope {envelope} has messages of others that are open")
                shared += 1
            books.run("reclose_body", id=envelope, key_id=ERASED, data=b"")
            bodies += books.changed
        for (document,) in books.run("documents_of_patient", id=patient):
            books.run("reclose_body", id=document, key_id=ERASED, data=b"")
            bodies += books.changed
        # The name of a series is made from the sender's number of the patient and could be tried out.
        books.run("hide_series_of", id=patient)
        books.run("drop_readings_of", id=patient)
        readings += books.changed
        books.run("drop_clocks_of", id=patient)
    tokens = _forget(books, Forgetting(item.properties, item.identities))
    for patient in item.patients:
        _forget_patient(books, patient)
    books.log(item.now, "erasure", 0, f"{bodies} bodies, {readings} readings, {tokens} tokens: {item.basis}", item.who)
    return Erased(len(item.patients), bodies, readings, tokens, shared)


def note(books: Books, items: Sequence[Noting]) -> list[None]:
    """
    The log says that the store came from a backup; ids go on far behind those of the backup.

    What was numbered since then is not here, but receivers may have it under its number.
    """
    for item in items:
        last = books.value("last_id") or 0
        books.log(item.now, "restore", last + SKIPPED, f"from the backup of {item.of:%Y-%m-%d %H:%M:%S} UTC", item.who)
    return [None] * len(items)


def tidy(books: Books, items: Sequence[None]) -> list[None]:
    """After this the write-ahead log is copied back whole and cut to nothing: it had what is now deleted."""
    books.tidy = True
    return [None] * len(items)


#: Of this module, in the order in which a batch works them.
VERBS: Final = (note, erase, adopt, close_later, drop, clear, forget, tidy)


def _month(key: DataKey) -> str:
    """Class and month, for people."""
    last = datetime.fromtimestamp(key.expires / 1_000_000, UTC) - timedelta(days=1)
    return f"{key.retention} until {last:%Y-%m}"


# --- what readers look for ---------------------------------------------------------------------------------


class Page(NamedTuple):
    """
    A page of rows under one key.

    Args:
        last: the last row of the page; 0 when there is none after it.
        seen: how many there were.
        keep: row → the instant until which its month must last.
    """

    last: int
    seen: int
    keep: Mapping[int, int]


def raw_page(reader: Reader, key: int, after: int, until: int) -> Page:
    """Envelopes of which a message or delivery is open: kept."""
    rows = reader.rows("raw_page", key=key, after=after, most=_PAGE)
    return _page(rows, {row: until for row, is_open in rows if is_open})


def document_page(reader: Reader, key: int, after: int, now: int, days: Callable[[str], int]) -> Page:
    """Documents that are not delivered, or not long ago: kept."""
    rows = reader.rows("document_page", key=key, after=after, most=_PAGE)
    keep = {}
    for row, kind, sent_at, is_open in rows:
        begun = now if is_open else sent_at
        if begun and expiry(begun, days(kind or "")) > now:
            keep[row] = expiry(begun, days(kind or ""))
    return _page(rows, keep)


def episode_page(reader: Reader, key: DataKey, after: int, until: int, busy: Busy, months: Mapping[int, int]) -> Page:
    """Readings of an episode of which something came later, or of a patient with something open: kept."""
    rows = reader.rows("episode_page", key=key.id, after=after, most=_PAGE)
    keep = {}
    for row, patient, episode in rows:
        # Whoever was merged goes on as the one who stays: the episode is one, whoever of them its messages name.
        group = busy.groups.get(patient, (patient,))
        newest = [reader.value("newest_of_episode", patient=one, episode=episode) for one in group]
        last = max(months.get(number, 0) for number in newest)
        if last > key.expires:
            keep[row] = last
        elif not busy.patients.isdisjoint(group):
            keep[row] = until
    return _page(rows, keep)


def _page(rows: Sequence[Sequence[Any]], keep: Mapping[int, int]) -> Page:
    return Page(rows[-1][0] if len(rows) == _PAGE else 0, len(rows), keep)


def bodies_page(reader: Reader, table: str, after: int) -> tuple[int, int, int, int]:
    """Open a page of bodies or readings: where it ends, how many opened, how many are purged, how many are damaged."""
    opened = purged = damaged = 0
    rows = reader.rows(f"{table}_page", after=after, most=_PAGE)
    for row, of, key, data in rows:
        try:
            reader.seal.open(of, row, data, key)
            opened += 1
        except StoreError as error:
            if error.code == CODE_PURGED:
                purged += 1
            else:
                damaged += 1
    return (rows[-1][0] if len(rows) == _PAGE else 0), opened, purged, damaged


class Busy(NamedTuple):
    """
    Who has something open.

    Args:
        groups: of those who were merged, all who were merged with them.
    """

    patients: frozenset[int]
    groups: Mapping[int, frozenset[int]]


def busy_patients(reader: Reader) -> Busy:
    """Patients of whom a message or a delivery is open, or a clock runs."""
    groups: dict[int, frozenset[int]] = {}
    for retired, into in reader.rows("merged_patients"):
        group = groups.get(retired, frozenset((retired,))) | groups.get(into, frozenset((into,)))
        groups.update((one, group) for one in group)
    return Busy(frozenset(patient for (patient,) in reader.rows("busy_patients")), groups)


def rows_under(reader: Reader, keys: Collection[int]) -> list[int]:
    """Which of these keys have rows."""
    return [key for key in keys if reader.row("any_under", key=key) is not None]


def dead_properties(
    reader: Reader, after: tuple[bytes, int]
) -> tuple[tuple[bytes, int] | None, list[tuple[bytes, int]]]:
    """A page of the tokens of messages: where it ends, and those of which no body is left."""
    rows = reader.rows("property_page", token=after[0], message=after[1], most=_PAGE)
    dead = [(token, message) for token, message, is_dead in rows if is_dead]
    return ((rows[-1][0], rows[-1][1]) if len(rows) == _PAGE else None), dead


def dead_patients(reader: Reader, after: int) -> tuple[int, list[int]]:
    """A page of patients: where it ends, and those of whom nothing is left but rows that are counted."""
    rows = reader.rows("patient_page", after=after, most=_PAGE)
    return (rows[-1][0] if len(rows) == _PAGE else 0), [patient for patient, is_dead in rows if is_dead]


def tokens_of(
    reader: Reader, patients: Collection[int], messages_too: bool
) -> tuple[list[tuple[bytes, int]], list[tuple[bytes, int]]]:
    """
    The tokens that patients are found under, and those of their messages.

    Tokens are not indexed by what they find, since that is asked for only here: all are walked over, a page at a time.
    """
    wanted = frozenset(patients)
    identities = [(token, patient) for token, patient in _walk(reader, "identity_walk") if patient in wanted]
    if not messages_too:
        return [], identities
    messages = {message for patient in wanted for (message,) in reader.rows("messages_of_patient", id=patient)}
    return [(token, message) for token, message in _walk(reader, "property_walk") if message in messages], identities


def patients(reader: Reader, kind: str, tokens: Sequence[bytes]) -> list[int]:
    """
    The patients of these tokens, with all that are merged with them.

    Raises:
        StoreError: S229, when there is none, or there are several who need not be one person.
    """
    found = {patient for token in tokens for (patient,) in reader.rows("patients_of_token", token=token)}
    if not found:
        raise StoreError("S229", "nobody is found by it")
    groups: list[set[int]] = []
    while found:
        group, new = set[int](), {found.pop()}
        while new:
            group |= new
            new = {other for one in new for (other,) in reader.rows("merged_with", id=one)} - group
        found -= group
        groups.append(group)
    # A verified number is one person's, whoever sent it; one sender's number may be another person's at another sender.
    if len(groups) > 1 and kind != Sought.NHS:
        raise StoreError("S229", f"{len(groups)} patients of different senders are found by it: use the NHS number")
    return sorted(set[int]().union(*groups))


def _walk(reader: Reader, query: str) -> Any:
    token, about = b"", -1
    while rows := reader.rows(query, token=token, about=about, most=_PAGE * 4):
        yield from rows
        token, about = rows[-1]


# --- the order of it all -----------------------------------------------------------------------------------


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
        for key in await self._ask(rows_under, self._ring.dropped):
            while changed := await self._write(clear, Clearing(key)):
                cleared += changed
        forgotten = await self._forget() if cleared else 0
        if adopted or cleared:
            await self._write(tidy, None)
        return Purged(tuple(expired), cleared, forgotten, adopted)

    async def erase(self, patients: Sequence[int], who: str, basis: str, now: datetime) -> Erased:
        """Erase patients and those that were merged into them."""
        properties, identities = await self._ask(tokens_of, patients, True)
        erased: Erased = await self._write(
            erase, Erasing(tuple(patients), properties, identities, who, basis, micros(now))
        )
        await self._write(tidy, None)
        return erased

    async def _adopt(self) -> int:
        adopted = 0
        for table in ("body", "reading"):
            after, begun = 0, False
            while after or not begun:
                begun = True
                after, some = await self._write(adopt, Adopting(table, after))
                adopted += some
        return adopted

    async def _expired(self, key: DataKey, now: int, who: str, *, dry_run: bool) -> Expired:
        seen, kept = await self._keep(key, now, dry_run=dry_run)
        done = not dry_run and await self._write(drop, Dropping(key.id, now, who))
        return Expired(key.retention, _month(key), seen - kept, kept, done)

    async def _keep(self, key: DataKey, now: int, *, dry_run: bool) -> tuple[int, int]:
        """Close what is open under keys of later months. Returns how many rows there were and how many of them stay."""
        table = _TABLE_OF[key.retention]
        until = expiry(now, self._days(key.retention, ""))
        busy = await self._ask(busy_patients) if key.retention == "episode" else Busy(frozenset(), {})
        months = {one.id: one.expires for one in self._ring.living()}
        seen = kept = after = 0
        while True:
            page: Page
            if key.retention == "raw":
                page = await self._ask(raw_page, key.id, after, until)
            elif key.retention == "document":
                page = await self._ask(document_page, key.id, after, now, lambda kind: self._days("document", kind))
            else:
                page = await self._ask(episode_page, key, after, until, busy, months)
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
            for first in range(0, len(rows), _PORTION):
                await self._write(close_later, Closing(table, rows[first : first + _PORTION], key.id, expires))

    async def _forget(self) -> int:
        """Tokens of messages without a body, and patients of whom nothing is left."""
        gone = 0
        after: tuple[bytes, int] | None = (b"", -1)
        while after is not None:
            after, properties = await self._ask(dead_properties, after)
            gone += await self._in_portions(properties, lambda some: Forgetting(properties=some))
        dead: list[int] = []
        last, begun = 0, False
        while last or not begun:
            begun = True
            last, some = await self._ask(dead_patients, last)
            dead += some
        if dead:
            _, identities = await self._ask(tokens_of, dead, False)
            gone += await self._in_portions(identities, lambda some: Forgetting(identities=some))
            gone += await self._in_portions(dead, lambda some: Forgetting(patients=some))
        return gone

    async def _in_portions(self, rows: Sequence[Any], made: Callable[[Sequence[Any]], Forgetting]) -> int:
        gone = 0
        for first in range(0, len(rows), _PORTION):
            gone += await self._write(forget, made(rows[first : first + _PORTION]))
        return gone
