"""
A session that reads: what is known of patients, and bodies. What else is read has modules of its own:

    upcoming    the next deliveries
    stories     what people ask for
    following   the log

Each question takes a session that does not write and holds its snapshot for one answer. Every body is checked against
its seal before it is used. This module must never hold a snapshot while somebody waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, Final

from mhbridge.adapters.sql import merging, series
from mhbridge.adapters.sql.counts import Counts
from mhbridge.adapters.sql.folds import Folds, Said
from mhbridge.adapters.sql.ready import episode_token, patient_token
from mhbridge.adapters.sql.sealing import Keys, Seal
from mhbridge.adapters.sql.session import Session
from mhbridge.errors import StoreError
from mhbridge.mapping import record
from mhbridge.mapping.known import only
from mhbridge.model import (
    Carry,
    Document,
    Joining,
    Key,
    Known,
    Later,
    Past,
    Place,
    Recorded,
)

__all__ = ["PURGED", "Reader"]

#: What a body that was purged is refused with.
PURGED: Final = "S222"

#: Patients of whom it is remembered how many readings they have: more than `Folds` remembers.
_STAMPS: Final = 4_000


class Reader:
    """
    Answers from one session that only reads, for one thread.

    Args:
        keys: what tokens and seals are made with.
        alone: nobody but this process writes, and whoever commits tells it: what patients are known by is remembered
            from one question to the next. Where others write too, each question is looked up anew.
    """

    def __init__(self, session: Session, keys: Keys, *, alone: bool = True) -> None:
        self.session = session
        self.keys = keys
        self.seal = Seal(keys)
        self.alone = alone
        #: Of each patient who is remembered, how many readings there were and what their ids add up to; and the same of
        #: the merges that are remembered.
        self._stamps: dict[bytes, tuple[int, int]] = {}
        self._merges: tuple[Any, ...] = ()
        #: What has ended and need not be counted again.
        self.counts = Counts()
        #: What patients are known by; whoever commits tells it.
        self.folds = Folds(self._readings)

    def rows(self, name: str, /, **values: Any) -> list[Any]:
        """The rows that the query of this name finds."""
        return self.session.run(name, values)

    def among(self, name: str, keys: Sequence[Any]) -> list[Any]:
        """The rows that a query with `:each` finds for these keys."""
        return self.session.among(name, keys)

    def row(self, name: str, /, **values: Any) -> Any:
        """Its first row, or `None`."""
        return next(iter(self.rows(name, **values)), None)

    def value(self, name: str, /, **values: Any) -> Any:
        """The one value of its first row, or `None`."""
        return next(iter(self.row(name, **values) or ()), None)

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read inside is of one instant."""
        return self.session.snapshot()

    # --- for the flow ---

    def seen(self, key: bytes) -> bool:
        """Whether an envelope with this dedupe key is here."""
        return self.row("seen", dedupe=key) is not None

    def known(self, patient: Key, episode: str, document: str, before: Place | None) -> Known:
        """The fold of the readings of one patient: of one episode and document type, or without them of all."""
        token = episode_token(self.keys, episode) if episode else b""
        whose = patient_token(self.keys, patient)
        if not self.alone:
            self._catch_up(whose)
        return self.folds.known(self.root(whose), document, token, before)

    def said(self, patient: Key, episode: str, carry: Carry) -> list[Later]:
        """What readings say of the items that a letter may carry, in order. Letters are few: all are opened."""
        self._look_anew()
        token = episode_token(self.keys, episode)
        found: list[tuple[Said, Mapping[str, Any]]] = []
        for one in sorted(self._readings(self.root(patient)), key=lambda one: one.order):
            stay, ever = carry.sources.get(one.document, ((), ()))
            if items := only(one.items, (*stay, *ever) if one.episode == token else ever):
                found.append((one, items))
        by_reading = {about: row for about, *row in self.among("messages_of_readings", [one.id for one, _ in found])}
        return [
            Later(one.order[:2], items, one.own, one.id, Recorded(one.document, kind, one.event_at, message))
            for one, items in found
            for message, kind in (by_reading[one.id],)
        ]

    def final(self, patient: Key) -> bytes:
        """As `root`, of the instant at which it is asked."""
        self._look_anew()
        return self.root(patient)

    def _look_anew(self) -> None:
        """Where others write too, what is remembered of merges may not be so any more."""
        if not self.alone:
            self._compare_merges(*self.row("merges"))

    def _compare_merges(self, *merges: Any) -> None:
        if merges != self._merges:
            self.forget()
            self._merges = merges

    def _catch_up(self, patient: bytes) -> None:
        """
        What others have written of a patient since it was last asked for joins what is remembered.

        How many readings there are and what their ids add up to says whether what has come is all that has changed.
        It is asked first: what comes meanwhile is looked for the next time.
        """
        count, total, *merges = self.row("stamp_of_patient", token=patient)
        self._compare_merges(*merges)
        if self.root(patient) != patient or self._parts.get(patient):
            # Those of several identifiers are read together, and few were ever merged.
            self.folds.drop(self.root(patient))
            return
        stamp, before = (count, int(total)), self._stamps.get(patient)
        if stamp == before:
            return
        if len(self._stamps) >= _STAMPS:
            self._stamps.clear()
        self._stamps[patient] = stamp
        newest = self.folds.newest(patient)
        if newest is None or before is None:
            self.folds.drop(patient)
            return
        rows = self.rows("readings_after", token=patient, after=newest)
        if (before[0] + len(rows), before[1] + sum(row[0] for row in rows)) != stamp:
            self.folds.drop(patient)
            return
        for said in sorted(self._opened(rows), key=lambda said: said.order):
            self.folds.add(patient, said)

    def root(self, patient: Key | bytes) -> bytes:
        """The token of the identifier to which one was merged in the end; most often the same."""
        token = patient if isinstance(patient, bytes) else patient_token(self.keys, patient)
        while token in self.merged:
            token = self.merged[token]
        return token

    @cached_property
    def merged(self) -> dict[bytes, bytes]:
        """Token of an identifier → of the one that it was merged into. They are few; whoever commits one says so."""
        return dict(self.rows("merged_tokens"))

    @cached_property
    def _parts(self) -> dict[bytes, set[bytes]]:
        """The same the other way round."""
        found: dict[bytes, set[bytes]] = {}
        for token, into in self.merged.items():
            found.setdefault(into, set()).add(token)
        return found

    def note_merge(self, retired: bytes, survivor: bytes, undone: bool) -> None:
        """Identifiers were merged, or parted: what is known of them is to be read again."""
        if not undone:
            retired, survivor = self.root(retired), self.root(survivor)
        # Whoever asks for the parts first makes them of what is merged, so before that changes.
        parts = self._parts
        before = self.merged.pop(retired, None)
        if before is not None:
            parts[before].discard(retired)
        if not undone and retired != survivor:
            parts.setdefault(survivor, set()).add(retired)
            self.merged[retired] = survivor
        self.folds.clear()

    def forget(self) -> None:
        """Readings or patients have gone: what is remembered of them is to be read again."""
        self.folds.clear()
        self._stamps.clear()
        for remembered in ("merged", "_parts"):
            self.__dict__.pop(remembered, None)

    def joining(self, retired: Key, survivor: Key, undone: bool) -> Past:
        """How two identifiers of a merge stand to each other."""
        tokens = patient_token(self.keys, retired), patient_token(self.keys, survivor)
        with self.snapshot():
            found = merging.joining(self.rows, Joining(retired, survivor, undone), *tokens)
        return Past(survivor, "", joining=found)

    def past(self, patient: Key, episode: str, bodies: bool) -> Past:
        """Which documents of an episode there are, and what of them may have left."""
        tokens = patient_token(self.keys, patient), episode_token(self.keys, episode)
        with self.snapshot():
            return series.past(self.rows, Past(patient, episode), *tokens, self._kept_body if bodies else None)

    def _kept_body(self, document: int) -> bytes:
        """The bytes of a document; empty when they are not kept any more or are damaged."""
        try:
            return self.body("document", document)
        except StoreError:
            return b""

    def _readings(self, patient: bytes) -> Iterator[Said]:
        yield from self._opened(self.rows("readings", token=patient))
        for part in self._parts.get(patient, ()):
            for one in self._readings(part):
                yield one._replace(own=False)

    def _opened(self, rows: Sequence[Any]) -> Iterator[Said]:
        for number, document, episode, event_at, sent_at, key, items in rows:
            try:
                said = record.loads(self.seal.open("reading", number, items, key))
            except StoreError as error:
                if error.code != PURGED:
                    raise
                # Its key is gone, and the row follows in a moment.
                continue
            yield Said(number, document, episode, event_at, sent_at, said)

    # --- bodies ---

    def document(self, row: Sequence[Any] | None) -> Document:
        """A document, of its columns."""
        if row is None:
            raise StoreError("S208", "a document has a delivery, and is not there")
        about, series, _, kind, target, bundle, identifier, media_type, _, status, _ = row
        body = self.body("document", about)
        return Document(kind, target, bundle, series, identifier, body, media_type, status)

    def body(self, table: str, about: int) -> bytes:
        """The bytes of an envelope or a document, which are what was closed."""
        row = self.row("body", id=about)
        if row is None:
            raise StoreError("S208", f"{table} {about} has no body")
        return self.seal.open(table, about, row[1], row[0])
