"""
What the writer does when something is shredded: it closes what stays under a later key, drops keys, clears the rows.

Each verb is one short transaction. This module must never drop a key under which something is open, and never delete
what the accounts count: envelopes, messages, documents and deliveries stay as rows without a body.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from mhbridge.adapters.sql.books import CLASS_OF, Books
from mhbridge.adapters.sql.keyring import ERASED, PURGED
from mhbridge.adapters.sql.sealing import Seal
from mhbridge.errors import StoreError
from mhbridge.ports import Erased

__all__ = [
    "PORTION",
    "SKIPPED",
    "VERBS",
    "Adopting",
    "Clearing",
    "Closing",
    "Dropping",
    "Erasing",
    "Forgetting",
    "Noting",
    "adopt",
    "clear",
    "close_later",
    "drop",
    "erase",
    "forget",
    "note",
    "tidy",
]

#: Rows changed in one transaction: some milliseconds.
PORTION: Final = 100
#: More than are given between a backup and the end of its store.
SKIPPED: Final = 1_000_000_000


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
    books.log(item.now, "purge", 0, f"{key.month}; kept by: {books.retention.why(key.retention)}", item.who)
    return True


def clear(books: Books, items: Sequence[Clearing]) -> list[int]:
    """Rows under a dropped key lose what nobody can open. Returns how many did."""
    return [_clear(books, item) for item in items]


def _clear(books: Books, item: Clearing) -> int:
    if item.key not in books.keys.ring.dropped:
        raise ValueError(f"key {item.key} is in use")
    changed = 0
    for query in ("clear_bodies", "clear_readings"):
        books.run(query, key=item.key, purged=PURGED, most=PORTION)
        changed += books.changed
    return changed


def adopt(books: Books, items: Sequence[Adopting]) -> list[tuple[int, int]]:
    """Bodies of schema 1 are encrypted. Returns the last row that was looked at, 0 at the end, and how many were."""
    return [_adopt(books, item) for item in items]


def _adopt(books: Books, item: Adopting) -> tuple[int, int]:
    query = "reading" if item.table == "reading" else "body"
    rows = books.run(f"unencrypted_{query}", after=item.after, most=PORTION)
    adopted = 0
    for row, data, table, at, kind in rows:
        with suppress(StoreError):
            body = books.seal.open(table, row, data, Seal.AUTHENTICATED)
            key, closed = books.sealed(table, row, body, at, kind)
            books.run(f"reclose_{query}", id=row, key_id=key, data=closed)
            adopted += 1
    return (rows[-1][0] if len(rows) == PORTION else 0), adopted


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
    for query in ("drop_words_of", "drop_watch_of", "drop_notices_of", "drop_stale_of"):
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
