"""
What readers look for when something is to be shredded, a page at a time: what is open, and of whom nothing is left.

This module must never change anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mhbridge.adapters.sql.keyring import DataKey, expiry
from mhbridge.adapters.sql.reading import PURGED, Reader
from mhbridge.errors import StoreError
from mhbridge.ports import Sought

__all__ = [
    "Busy",
    "Page",
    "bodies_page",
    "busy_patients",
    "dead_patients",
    "dead_properties",
    "document_page",
    "episode_page",
    "patients",
    "raw_page",
    "rows_under",
    "tokens_of",
]

#: Rows looked at with one snapshot: some milliseconds.
_PAGE: Final = 500


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
            if error.code == PURGED:
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
