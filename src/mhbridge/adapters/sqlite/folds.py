"""
The fold of an episode's readings, gone on with instead of begun again.

A long stay has hundreds of readings, and each message of it asks for their fold. A fold over the first of them can be
gone on with as long as the later ones come after them in order, which is nearly always; else all are folded anew. So
what is remembered saves time and changes nothing: `Known` is the same without it. This module must never keep a fold
whose readings it could not name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from mhbridge.mapping.known import fold
from mhbridge.model import NOTHING_KNOWN, Known

__all__ = ["Folds"]

#: Episodes remembered: those with messages now. A fold takes some tens of kilobytes.
_MOST: Final = 500


class _Fold(NamedTuple):
    readings: Sequence[int]
    known: Known


class Folds:
    """
    Remembers the folds of the episodes last asked for. For one thread.

    Args:
        read: the items of one reading.
    """

    def __init__(self, read: Callable[[int], Mapping[str, Any]], most: int = _MOST) -> None:
        self._read = read
        self._most = most
        self._folds: OrderedDict[object, _Fold] = OrderedDict()

    def known(self, episode: object, readings: Sequence[int]) -> Known:
        """The fold of these readings, which are in order and are all that there are of this episode."""
        if not readings:
            return NOTHING_KNOWN
        earlier = self._folds.pop(episode, _Fold((), NOTHING_KNOWN))
        folded = len(earlier.readings)
        if readings[:folded] != earlier.readings:
            earlier, folded = _Fold((), NOTHING_KNOWN), 0
        known = earlier.known
        if folded < len(readings):
            items = fold([known.items, *(self._read(number) for number in readings[folded:])])
            digest = sha256(b"".join(number.to_bytes(8, "big") for number in readings)).digest()
            known = Known(items, digest)
        self._folds[episode] = _Fold(readings, known)
        if len(self._folds) > self._most:
            self._folds.popitem(last=False)
        # A copy: what a caller does to the items must not be in the next fold.
        return Known(dict(known.items), known.digest)
