"""
Parts of resources that come again in messages about others: a code of a table, and who and what works there.

Such a part is one object wherever it comes, as long as it is remembered; so what is made of it, and what was found out
about it, is told by its id. What is stated (`stated`) lasts as long as the process. Of these only so many are
remembered, and whoever remembers one says when it is forgotten. Nobody may change one, and nothing that is a patient's
own may ever become one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

__all__ = ["LASTING", "RECURRING", "Again", "forget", "recur"]

#: The id of a part that is stated, or that recurs → the part: so no other object has that id while it is here.
LASTING: Final[dict[int, Any]] = {}
#: Those of them that recur.
RECURRING: Final[dict[int, Any]] = {}
#: What is made of parts in one place is forgotten when there is more.
MOST: Final = 2048
#: Mappings that are no longer used forget nothing: so many, and it is only slower from then on.
_MOST_OF_ALL: Final = 1 << 16


def recur(part: Any) -> None:
    """Say that an object, or a list, is remembered, and will come again."""
    if id(part) not in LASTING and len(RECURRING) < _MOST_OF_ALL:
        LASTING[id(part)] = RECURRING[id(part)] = part


def forget(parts: Iterable[Any]) -> None:
    """Say that these are no longer remembered."""
    for part in parts:
        if RECURRING.pop(id(part), None) is not None:
            del LASTING[id(part)]


class Again:
    """
    What was made of parts that last: it recurs as they do.

    `known` is for who reads: the id of a part → what was made of it; of several, their ids in order.
    """

    __slots__ = ("_parts", "known")

    def __init__(self) -> None:
        self.known: dict[Any, Any] = {}
        #: Those of the parts that recur, which hold their ids for as long as `known` has them.
        self._parts: dict[Any, Any] = {}

    def keep(self, part: Any, whole: Any) -> None:
        """Remember what was made of a part that recurs, or of several (a tuple)."""
        if len(self._parts) >= MOST:
            forget([self.known.pop(one) for one in self._parts])
            self._parts.clear()
        key = tuple(map(id, part)) if type(part) is tuple else id(part)
        self.known[key], self._parts[key] = whole, part
        recur(whole)
