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

__all__ = ["LASTING", "Again", "forget", "recur", "recurs"]

#: The id of a part that is stated, or that recurs → the part: so no other object has that id while it is here.
LASTING: Final[dict[int, Any]] = {}
_RECURRING: Final[dict[int, Any]] = {}
#: What is made of parts in one place, or found out about them, is forgotten when there is more.
MOST: Final = 2048


def recur(part: Any) -> None:
    """Say that an object, or a list, is remembered, and will come again."""
    if id(part) not in LASTING:
        LASTING[id(part)] = _RECURRING[id(part)] = part


def recurs(part: Any) -> bool:
    """Whether a part is remembered now."""
    return id(part) in _RECURRING


def forget(parts: Iterable[Any]) -> None:
    """Say that these are no longer remembered."""
    for part in parts:
        if _RECURRING.pop(id(part), None) is not None:
            del LASTING[id(part)]


class Again:
    """
    What was made of parts that last: it recurs as they do.

    `known` is for who reads: the id of a part → what was made of it.
    """

    __slots__ = ("_parts", "known")

    def __init__(self) -> None:
        self.known: dict[int, Any] = {}
        #: Those of the parts that recur, which hold their ids for as long as `known` has them.
        self._parts: dict[int, Any] = {}

    def keep(self, part: Any, whole: Any) -> None:
        """Remember what was made of a part, if that recurs."""
        if id(part) not in _RECURRING:
            return
        if len(self._parts) >= MOST:
            forget([self.known.pop(one) for one in self._parts])
            self._parts.clear()
        self.known[id(part)], self._parts[id(part)] = whole, part
        recur(whole)
