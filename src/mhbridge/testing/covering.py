"""
What a feed's messages hold and what becomes of it: the field ledger of many messages, and codes that no table has.

It reads messages as the gateway would, under all mappings of the supplier that take them, and adds up. It keeps paths
and counts; the codes are values, so they are kept apart and given only to who asks for them.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor
from pathlib import Path
from typing import Any, Final

from mhbridge.errors import MessageError
from mhbridge.fhir.definitions import r4
from mhbridge.mapping import marks, nodes
from mhbridge.mapping.codes import Table
from mhbridge.mapping.ledger import Leaf, Taken, detailed
from mhbridge.mapping.packs import Item
from mhbridge.mapping.supplier import SupplierMapping
from mhbridge.model import LeafState
from mhbridge.testing.replaying import RECEIVED_AT

__all__ = ["CODE_HEADER", "Coverage", "Row", "Unmapped"]

#: The header of code tables (mapping language §4.2).
CODE_HEADER: Final = (
    "source_system", "source_version", "source_code",
    "target_system", "target_version", "target_code", "target_display", "equivalence",
)  # fmt: skip

_ORDER: Final = {state: place for place, state in enumerate(LeafState)}
_READ: Final = (marks.READ, marks.READ_IN_PART, marks.FAILED, marks.FAILED_WHOLE, marks.DELETES)


@dataclass(slots=True)
class Row:
    """
    All leaves of one path that are in one state.

    Args:
        messages: in how many messages there are any.
        leaves: how many there are.
        said: why they are ignored, or which paths of the mapping took them.
    """

    path: str
    state: LeafState
    messages: int = 0
    leaves: int = 0
    said: str = ""


@dataclass(slots=True)
class Unmapped:
    """The codes that a table did not have: (system, version, code) → how often. Values: only for who asks."""

    table: str
    #: Name of the file that the mapping reads it from.
    file: str
    codes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    #: The system that they are to be translated to, where only one is possible.
    target: str = ""

    def rows(self, there: str = "") -> str:
        """
        A table ready to be filled in, the commonest code first.

        Args:
            there: the table as it is; only what it does not have is given, and no header.
        """
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        known = list(csv.reader(there.splitlines()))
        width = len(known[0]) if known else len(CODE_HEADER)
        have = {tuple(row[:3:2]) for row in known[1:]}
        if not there:
            writer.writerow(CODE_HEADER)
        for (system, version, code), _ in sorted(self.codes.items(), key=lambda item: (-item[1], item[0])):
            if (system, code) not in have:
                writer.writerow([system, version, code, self.target, *[""] * (width - 4)])
        return written.getvalue()


class Coverage:
    """
    Adds up the ledgers of messages.

    Args:
        mapping: whose feed it is: only messages that it takes count.
        others: the supplier's other mappings, which may take the same messages.
    """

    def __init__(self, mapping: SupplierMapping, others: Iterable[SupplierMapping] = ()) -> None:
        self.mapping = mapping
        self._mappings = [mapping, *(one for one in others if one.format is mapping.format and one is not mapping)]
        self._rows: dict[tuple[str, LeafState], Row] = {}
        self._used: set[int] = set()
        self.messages = 0
        #: How many messages are not of this feed, or could not be read.
        self.others = 0
        self.unmapped: dict[str, Unmapped] = {}

    def add(self, body: bytes) -> None:
        """
        Count the messages of an envelope.

        Raises:
            MalformedMessage: nothing of it can be read.
        """
        for message, takers in self.mapping.format.messages(body, [one.source for one in self._mappings]):
            if isinstance(message, MessageError) or 0 not in takers:
                self.others += 1
                continue
            taken = [self._mappings[at].read_traced(message, RECEIVED_AT, self._unknown)[1] for at in takers]
            self.messages += 1
            self._count(detailed(message, taken))
            self._exercise(taken)

    def _count(self, leaves: Sequence[Leaf]) -> None:
        seen: set[tuple[str, LeafState]] = set()
        for leaf in leaves:
            key = (leaf.like, leaf.state)
            row = self._rows.setdefault(key, Row(leaf.like, leaf.state))
            row.leaves += 1
            row.messages += key not in seen
            row.said = row.said or leaf.reason or ", ".join(leaf.by)
            seen.add(key)

    def _exercise(self, taken: Sequence[Taken]) -> None:
        own = self.mapping.ledger
        for ledger, trace in taken:
            if ledger is own:
                self._used |= {id(mark) for mark, kind, _, _ in trace if kind > marks.PLAIN or kind in _READ}

    def _unknown(self, table: Table, codings: Sequence[Mapping[str, str]], text: str) -> None:
        file = Path(table.file).name or f"{table.name}.csv"
        known = self.unmapped.setdefault(table.name, Unmapped(table.name, file, target=self._target(table)))
        own = f"{self.mapping.supplier.name}-{table.name.replace('_', '-')}"
        for coding in codings or ({"code": text},):
            if code := coding.get("code", ""):
                system = coding.get("system", "") or table.source_system
                system = system or (own if self.mapping.systems.known(own) else "")
                version = next(
                    (r.source_version for rows in table.rows.values() for r in rows if r.source_system == system), ""
                )
                known.codes[(system, version, code)] += 1

    def _target(self, table: Table) -> str:
        """The code system that a table translates to; empty where it is not the only one."""
        systems = {row.target_system for rows in table.rows.values() for row in rows}
        if not systems:
            for bound in self.mapping.file.items:
                used = (node.value for node in nodes.walk(bound.body) if isinstance(node, nodes.Literal))
                if any(value is table for value in used):
                    systems |= self._possible(self.mapping.document.items[bound.name])
        return systems.pop() if len(systems) == 1 else ""

    def _possible(self, item: Item) -> set[str]:
        """The systems whose codes an item may have."""
        if item.systems or not item.binding:
            return set(item.systems)
        values = r4().valueset(item.binding)
        return {self.mapping.systems.of_uri(uri) for uri, _ in (values.codes or {})} if values is not None else set()

    # -- results --------------------------------------------------------------------------------------------

    @property
    def rows(self) -> list[Row]:
        """By path, in the order in which paths came, and by state."""
        paths = {path: place for place, path in enumerate(dict.fromkeys(path for path, _ in self._rows))}
        return sorted(self._rows.values(), key=lambda row: (paths[row.path], _ORDER[row.state]))

    @property
    def counts(self) -> dict[LeafState, int]:
        """How many leaves are in each state."""
        found = dict.fromkeys(LeafState, 0)
        for row in self._rows.values():
            found[row.state] += row.leaves
        return found

    @property
    def leaves(self) -> int:
        """How many populated leaves there are."""
        return sum(self.counts.values())

    @property
    def percent(self) -> float:
        """The share of populated leaves that are not unmapped, in percent."""
        return 100.0 * (1 - self.counts[LeafState.UNMAPPED] / self.leaves) if self.leaves else 100.0

    @property
    def shown(self) -> str:
        """The same for people. It is 100.0 only where nothing is left."""
        return f"{floor(self.percent * 10) / 10:.1f}"

    def unused(self) -> Iterator[tuple[str, str, str]]:
        """
        (place, item, path) of each path of the mapping that found nothing in any of the messages.

        The path of a loop is not read itself: what is read inside it is listed instead. What several conditions ask is
        read once for all of them.
        """
        known = self.mapping.ledger.marks
        asked = {(mark.path, mark.touches) for mark in known if id(mark) in self._used}
        for mark in known:
            loop = mark.conversion is None and not mark.decides
            shared = mark.decides and (mark.path, mark.touches) in asked
            if mark.touches and not (loop or shared) and id(mark) not in self._used:
                yield mark.rule, mark.item, mark.path

    def plain(self) -> dict[str, Any]:
        """All of it for machines, without the codes."""
        return {
            "mapping": self.mapping.name,
            "messages": self.messages,
            "other_messages": self.others,
            "leaves": self.leaves,
            "counts": {state.value: count for state, count in self.counts.items()},
            "percent": floor(self.percent * 100) / 100,
            "paths": [
                {"path": r.path, "state": r.state.value, "messages": r.messages, "leaves": r.leaves, "said": r.said}
                for r in self.rows
            ],
            "unused": [{"rule": rule, "item": item, "path": path} for rule, item, path in self.unused()],
            "unmapped_codes": {name: len(found.codes) for name, found in sorted(self.unmapped.items())},
        }
