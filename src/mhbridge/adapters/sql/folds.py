"""
The folds of a patient's readings, gone on with instead of begun again.

A long stay has hundreds of readings, and each message of it asks for what they say together: of the stay, of all stays,
of everything. A fold over the first of them can be gone on with as long as the later ones come after them in order,
which is nearly always; else all are folded anew. So what is remembered saves time and changes nothing: `Known` is the
same without it. This module must never keep a fold whose readings it could not name, nor one that misses a reading.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from mhbridge.mapping.known import fold_on
from mhbridge.model import NOTHING_KNOWN, Known, Later, Place

__all__ = ["Folds", "Said"]

#: Patients remembered: those with messages now. A fold takes some tens of kilobytes.
_MOST: Final = 2_000

_Of = tuple[str, bytes]
"""What a fold is of: document type and episode; an empty one is every one."""

_Order = tuple[int, int, int]

_ALL: Final[_Of] = ("", b"")


class Said(NamedTuple):
    """
    What one reading said. Readings fold in the order of event time, sent time and arrival.

    Args:
        own: it came under the identifier that stays, where several were merged.
    """

    id: int
    document: str
    episode: bytes
    event_at: int
    sent_at: int
    items: Mapping[str, Any]
    own: bool = True

    @property
    def order(self) -> _Order:
        """Its place among others."""
        return self.event_at, self.sent_at, self.id

    @property
    def folds(self) -> tuple[_Of, ...]:
        """The folds that it is part of."""
        return (self.document, self.episode), (self.document, b""), _ALL


@dataclass(slots=True)
class _Fold:
    """
    The fold of some readings.

    Args:
        last: the place of the last of them.
        named: a hash over their ids, in order.
        own: the fold of those that came under the identifier that stays; `None` while all did.
    """

    last: _Order = (0, 0, 0)
    items: dict[str, Any] = field(default_factory=dict)
    named: Any = field(default_factory=hashlib.sha256)
    own: dict[str, Any] | None = None

    def add(self, said: Said) -> None:
        self.last = said.order
        if self.own is None and not said.own:
            self.own = dict(self.items)
        if self.own is not None and said.own:
            fold_on(self.own, said.items)
        fold_on(self.items, said.items)
        self.named.update(said.id.to_bytes(8, "big"))


@dataclass(slots=True)
class _Patient:
    """
    What is remembered of a patient.

    Args:
        newest: the largest id of the readings that were folded.
    """

    newest: int = 0
    folds: dict[_Of, _Fold] = field(default_factory=dict)

    def add(self, said: Said) -> None:
        self.newest = max(self.newest, said.id)
        for of in said.folds:
            found = self.folds.get(of)
            if found is None:
                found = self.folds[of] = _Fold()
            found.add(said)

    def comes_late(self, said: Said) -> bool:
        """Whether a reading belongs before some that are folded already."""
        return any(said.order < found.last for of in said.folds if (found := self.folds.get(of)) is not None)


class Folds:
    """
    Remembers the folds of the patients last asked for. For one thread.

    Args:
        stored: all readings of a patient, in any order.
    """

    def __init__(self, stored: Callable[[bytes], Iterable[Said]], most: int = _MOST) -> None:
        self._stored = stored
        self._most = most
        self._noted = 0
        self._patients: OrderedDict[bytes, _Patient] = OrderedDict()

    def known(self, patient: bytes, document: str, episode: bytes, before: Place | None = None) -> Known:
        """
        The fold of a patient's readings of an episode and a document type; of all of them, where these are empty.

        Args:
            before: readings after this place are not folded but said one by one.
        """
        remembered = self._patients.get(patient)
        if remembered is None:
            remembered = _Patient()
            for said in sorted(self._stored(patient), key=lambda said: said.order):
                remembered.add(said)
            self._patients[patient] = remembered
            if len(self._patients) > self._most:
                self._patients.popitem(last=False)
        else:
            self._patients.move_to_end(patient)
        found = remembered.folds.get((document, episode))
        if found is None:
            return NOTHING_KNOWN
        if before is not None and found.last[:2] > before:
            return self._split(patient, (document, episode), before)
        # A copy: what a caller does to the items must not be in the next fold.
        own = None if found.own is None else dict(found.own)
        return Known(dict(found.items), found.named.digest(), own=own)

    def _split(self, patient: bytes, of: _Of, before: Place) -> Known:
        """What a message that comes late knows. Folds that end in between are not remembered: few come late."""
        whole, earlier, later = _Fold(), _Fold(), list[Later]()
        for said in sorted(self._stored(patient), key=lambda said: said.order):
            if of not in said.folds:
                continue
            whole.add(said)
            if said.order[:2] <= before:
                earlier.add(said)
            else:
                later.append(Later(said.order[:2], said.items, said.own, said.id))
        return Known(earlier.items, whole.named.digest(), tuple(later), earlier.own)

    def clear(self) -> None:
        """Remember nothing: patients were merged, or readings have gone."""
        self._patients.clear()

    def drop(self, patient: bytes) -> None:
        """Remember nothing of one patient."""
        self._patients.pop(patient, None)

    def newest(self, patient: bytes) -> int | None:
        """The largest id of the readings of a patient who is remembered."""
        remembered = self._patients.get(patient)
        return None if remembered is None else remembered.newest

    def add(self, patient: bytes, said: Said) -> None:
        """Go on with the folds of a patient who is remembered."""
        remembered = self._patients.get(patient)
        if remembered is None:
            return
        if remembered.comes_late(said):
            del self._patients[patient]
        else:
            remembered.add(said)

    def note(self, number: int, patient: bytes, said: Said) -> None:
        """
        A reading has become durable.

        Args:
            number: one more than that of the last one. After a gap nothing is known to be whole, and all is read again.
        """
        if number != self._noted + 1:
            self._patients.clear()
        self._noted = number
        newest = self.newest(patient)
        # Ids are given in the order of commits: what was read from the store meanwhile has all up to its newest.
        if newest is not None and said.id > newest:
            self.add(patient, said)
