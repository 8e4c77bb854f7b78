"""
Leases of parts: a row for each part, a row for each gateway that lives, and the fence that looks at the former.

All of it is done by the one thread that writes, as verbs: whatever acts for a part holds its row until it is committed,
and a renewal of another connection would wait for that, or the other way round. Time is the database's. This module
must never decide which parts are given up: that is the gateway's.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from mhbridge.adapters.sql import moves
from mhbridge.adapters.sql.books import Books, when
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.session import Session
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import PARTS, Holding, part_of

__all__ = ["TABLES", "VERBS", "LeaseFence", "Renewing", "Resigning", "TakingOver", "alive", "array", "renew", "resign"]
__all__ += ["run_of", "take_over"]

#: What the tables of both engines have not. `run` tells one life of a gateway from the next: a part is not its own
#: again because it has the same name. `wanted`: who needs it beside another.
TABLES: Final = (
    "create table node (name text primary key, run text not null, until bigint not null)",
    """create table part (part bigint primary key, owner text not null, token bigint not null, until bigint not null,
      wanted text not null) with (fillfactor = 50)""",
    "insert into part select n, '', 0, 0, '' from generate_series(0, 255) n",
)


#: Of a node that has not come back for so long, in microseconds, nobody is told again.
_FORGOTTEN: Final = 86_400_000_000


class Renewing(NamedTuple):
    """What a node holds, for so long from now on, in microseconds."""

    run: str
    lease: int
    leave: Collection[int]
    want: Collection[int]


class Resigning(NamedTuple):
    """A node stops, and gives up these parts."""

    run: str
    leave: Collection[int]


class TakingOver(NamedTuple):
    """Parts for which nobody else does anything any more. What may yet arrive has done so by `until`, or never will."""

    parts: Collection[int]
    now: int
    until: int


def run_of(node: str) -> str:
    """A life of a node: its name, and what no other life of it has."""
    return f"{node}/{secrets.token_hex(8)}"


def array(parts: Iterable[int]) -> str:
    """Numbers as PostgreSQL writes an array of them."""
    return "{" + ",".join(map(str, sorted(parts))) + "}"


class LeaseFence:
    """
    Lets nobody write for a part whose lease is another's, and no other take a part while something is written for it.

    Args:
        run: this life of the node.
    """

    def __init__(self, session: Session, run: str) -> None:
        self._session = session
        self._run = run
        self.by_anybody = False
        #: Part → the token under which this node holds it; `None`: it holds none, and does only what anybody may.
        self.tokens: Mapping[int, int] | None = None
        #: Parts in which there is something for whoever has them; `None`: for everybody.
        self._told: set[int] | None = set()
        self._held: set[int] = set()

    def check(self, patients: Iterable[int]) -> None:
        """
        Raises:
            StoreError: S260, when another node has one of them.
        """
        parts = {part_of(patient) for patient in patients} - self._held
        if not parts:
            return
        tokens = self.tokens
        if self.by_anybody or tokens is None:
            self.tell_others(parts)
            # Alone with these parts until it is committed: whoever has them sees the lanes before or after it.
            self._session.run("keep_parts", {"some": array(parts)})
            return
        found = dict(self._session.run("hold_parts", {"some": array(parts), "owner": self._run}))
        if any(part not in tokens or found.get(part) != tokens[part] for part in parts):
            raise StoreError("S260", "the patient is another gateway's now")
        self._held |= parts

    def tell_others(self, patients: Iterable[int] | None) -> None:
        """What is committed next may be for whoever has these patients; `None`: parts are free to be taken."""
        if patients is None:
            self._told = None
        elif self._told is not None:
            self._told.update(map(part_of, patients))

    def news(self) -> str:
        """Who has news, and in which parts, when there is any; there is none after it was asked for."""
        told, self._told = self._told, set()
        if told is None:
            return f"{self._run} *"
        return f"{self._run} {' '.join(map(str, told))}" if told else ""

    def forget(self) -> None:
        """Nothing is held any more."""
        self._held.clear()


def renew(books: Books, items: Sequence[Renewing]) -> list[Holding]:
    """Leases are renewed, given up and taken. The first of a transaction, so that it waits for nobody of this node."""
    return [_renew(books, item) for item in items]


def _renew(books: Books, item: Renewing) -> Holding:
    name = item.run.partition("/")[0]
    renewed = [run for (run,) in books.run("life_of_node", name=name)]
    books.run("node_lives", name=name, run=item.run, lease=item.lease)
    if item.leave:
        books.run("leave_parts", owner=item.run, some=array(item.leave))
        books.tell_others(None)
    if item.want:
        books.run("want_parts", owner=item.run, some=array(item.want))
    books.run("renew_parts", owner=item.run, lease=item.lease)
    books.run("forget_nodes", after=_FORGOTTEN)
    alive: dict[str, int] = {}
    lost = {}
    for node, run, parts, until, lives in books.run("nodes"):
        if lives:
            alive[run] = parts
        else:
            lost[node] = when(until)
    most = max(-(-PARTS // len(alive)) - alive[item.run], 0) + len(item.want)
    taken = {}
    if most:
        rows = books.run("take_parts", owner=item.run, lease=item.lease, most=most)
        taken = {part: before == "" for part, before in rows if part not in item.leave}
    held, wanted = {}, set()
    for part, token, wants in books.run("parts_of_node", owner=item.run):
        held[part] = token
        if wants in alive and wants != item.run:
            wanted.add(part)
    alive[item.run] = len(held)
    nodes = {run.partition("/")[0]: parts for run, parts in alive.items()}
    return Holding(held, taken, frozenset(wanted), nodes, lost, namesake=renewed not in ([], [item.run]))


def alive(reader: Reader) -> dict[str, int]:
    """The nodes that are alive, and how many parts each has."""
    return {node: parts for node, _, parts, _, lives in reader.rows("nodes") if lives}


def resign(books: Books, items: Sequence[Resigning]) -> list[None]:
    """Nodes stop in good order."""
    for item in items:
        books.run("leave_parts", owner=item.run, some=array(item.leave))
        books.run("node_ends", run=item.run)
        books.tell_others(None)
    return [None] * len(items)


def take_over(books: Books, items: Sequence[TakingOver]) -> list[int]:
    """What somebody who is gone had in hand is due, and what it was sending or looking up is looked up in time."""
    counts = []
    for item in items:
        books.act_for(item.parts)
        some = array(item.parts)
        books.run("left_in_hand", now=item.now, these=some)
        found = books.run("found_sending", these=some) + books.run("found_unknown", these=some, until=item.until)
        for (about,) in found:
            moves.shift(books, about, DeliveryState.UNKNOWN, at=item.now, due_at=item.until)
        counts.append(len(found))
    return counts


#: Before all others.
VERBS: Final = (renew, resign, take_over)
