"""
Which files of a folder are one set of tables: those whose names differ in nothing but the table.

`MHS501HospProvSpell_202503.csv` and `MHS502WardStay_202503.csv` belong together, and those of another month do not. A
set is taken when all its tables are there; when some do not come within `wait`, what is there is taken, and whether
that is enough is said by `reading`. This module must never open a file to learn what it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from itertools import chain
from typing import BinaryIO, Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats import Part, Spill
from mhbridge.formats.csv.lines import lines_of_file
from mhbridge.formats.csv.sets.declaration import Table, Tables
from mhbridge.formats.csv.sets.joining import parts_of_set
from mhbridge.formats.csv.sets.reading import header_of, unfit
from mhbridge.model import Before

__all__ = ["SetGathering"]

#: Bytes of files that are another set than was declared, and are kept whole in the store all the same.
_WHOLE: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class SetGathering:
    """`Gathering` of tables."""

    tables: Tables

    @property
    def wait(self) -> float:
        """As it is declared."""
        return self.tables.wait

    def place(self, name: str) -> tuple[str, str] | None:
        """The name without that of the table, and the table."""
        table = self.tables.holding(name)
        return None if table is None else (_rest(table, name.lower()), table.name)

    def lacking(self, present: Collection[str]) -> bool:
        """Whether a table, be it an optional one, is not there."""
        return any(name not in present for name in self.tables.by_name)

    def parts(self, files: Mapping[str, tuple[str, BinaryIO]], before: Before, spill: Spill) -> Iterator[Part] | None:
        """The parts; what is another set than was declared, and not large, is taken whole, so that a person sees it."""
        if unfit(self.tables, [name for name, _ in files.values()]) is not None:
            return None
        size = 0
        for table, (_, file) in files.items():
            size += file.seek(0, 2)
            file.seek(0)
            if not isinstance(header_of(self.tables.by_name[table], next(lines_of_file(file.read), b"")), Exception):
                continue
            if size <= _WHOLE:
                return None
        parts = parts_of_set(self.tables, {table: file for table, (_, file) in files.items()}, before, spill)
        if size > _WHOLE:
            return parts
        try:
            first = next(parts, None)
        except MalformedMessage:
            return None
        return iter(()) if first is None else chain((first,), parts)


def _rest(table: Table, name: str) -> str:
    if not table.pattern:
        return (name.rpartition(".")[0] or name)[len(table.name) :]
    found = _wild(table.pattern).fullmatch(name)
    return "" if found is None else "|".join(found.groups())


@lru_cache(maxsize=256)
def _wild(pattern: str) -> re.Pattern[str]:
    """A pattern of names whose `*` are groups."""
    return re.compile(
        "(.*)".join(translate(piece).removeprefix("(?s:").removesuffix(r")\Z") for piece in pattern.split("*"))
    )
