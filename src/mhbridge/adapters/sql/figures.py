"""
Figures without identities: what is counted of a message as it is made durable.

Of a message is counted what no row says once its bodies are purged: under which headings of its record standard
something is said, and which tables and fields of its mapping did not know what it brought. All else is computed from
the rows when somebody asks (`months`). This module must never count by a name that a message could choose freely.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from mhbridge.adapters.sql.books import OTHERS, Books
from mhbridge.model import Outcome
from mhbridge.ports import Measure

__all__ = ["count", "month_of", "of_outcome"]

#: What a figure is of: mapping, document type, what, name and what is said.
Counted = tuple[str, str, str, str, str]

_LONDON: Final = ZoneInfo("Europe/London")
_HOUR: Final = 3_600_000_000
_NOT_MAPPED: Final = "I602"
#: Which table, of what I602 says: the code is not in it, or has no counterpart in it.
_TABLE: Final = re.compile(r"the code is not in the table |the table (?=.* has no)| has no counterpart for the code")
#: Which of several: `OBX[19]-5.1` is like `OBX[3]-5.1`.
_NUMBER: Final = re.compile(r"\[\d+\]")
#: A name that a person would give a field: short, and no number in it that could be anybody's.
_PLAIN: Final = re.compile(r"(?!.*\d{5})[\w\[\]().:/#@ -]{1,120}")


def of_outcome(outcome: Outcome) -> tuple[Counted, ...]:
    """What is counted of a message that was worked."""
    if not outcome.readings:
        return ()
    mapping = outcome.readings[0].mapping
    found: list[Counted] = [(mapping, "", Measure.MESSAGE.value, "", "")]
    for letter in outcome.letters:
        found.append((letter.mapping, letter.document, Measure.LETTER.value, "", ""))
        found += [
            (letter.mapping, letter.document, Measure.HEADING.value, name, said) for name, said in letter.headings
        ]
    if outcome.ledger.unmapped:
        found += [
            (mapping, "", Measure.FIELD.value, name, "") for name in dict.fromkeys(map(_like, outcome.ledger.unmapped))
        ]
    # Text and path are the mapping's own words.
    codes = [one for one in outcome.issues if one.code == _NOT_MAPPED]
    if codes:
        names = (f"{_TABLE.sub('', one.text)} {_NUMBER.sub('', one.path)}".strip() for one in codes)
        found += [(mapping, "", Measure.CODE.value, name[:200], "") for name in dict.fromkeys(names)]
    return tuple(found)


@lru_cache(maxsize=4096)
def _like(path: str) -> str:
    """All fields like this one. Names of the sender's own, as of columns, are taken only where plain."""
    like = _NUMBER.sub("", path)
    return like if _PLAIN.fullmatch(like) else OTHERS


def count(books: Books, counted: Sequence[Counted], at: int) -> None:
    """Count them in the month of an instant."""
    if counted:
        month = month_of(at)
        for one in counted:
            books.figure(month, one)


def month_of(at: int) -> str:
    """The month that it is in London at an instant in microseconds: `2026-11`."""
    return _month_of_hour(at // _HOUR)


@lru_cache(maxsize=64)
def _month_of_hour(hour: int) -> str:
    # London is whole hours from UTC.
    return f"{datetime.fromtimestamp(hour * 3600, UTC).astimezone(_LONDON):%Y-%m}"
