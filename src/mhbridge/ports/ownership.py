"""
Whose work it is, where several gateways share one store: parts of the patients, each leased to one node.

A patient is in one of 256 parts. Whoever holds the lease of a part works its messages and sends its deliveries, and
nobody else does; what comes in, any node takes. Time is the store's own. A store of one gateway has no such thing: all
of it is that gateway's, at no cost. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, runtime_checkable

from mhbridge.model import Key
from mhbridge.ports.store import Store

__all__ = ["LEADING", "PARTS", "Holding", "SharedStore", "part_of"]

PARTS: Final = 256

#: Whoever holds this part does what is done once for all: accounts, silences, alarms, purge, heartbeat. That needs no
#: lease of its own, so there is nothing that could be held without being fenced in the same way.
LEADING: Final = 0


def part_of(patient: int) -> int:
    """The part of a patient, by the number that a shared store has given it. Who was merged is in the survivor's."""
    return patient % PARTS


@dataclass(frozen=True, slots=True)
class Holding:
    """
    What a node holds after a renewal.

    Args:
        held: part → the token of its lease, which grows whenever the part is taken.
        taken: those of them that were taken just now, and whether whoever had it gave it up in good order.
        wanted: those of them that another node needs beside one of its own, for a merge.
        nodes: node → how many parts it holds, of those that are alive.
        lost: nodes that are not, and did not say that they stop, and since when.
        namesake: since this node's last renewal another life with its name has renewed: the one before it, when this
            was the first, and else a second gateway that was given the same name.
    """

    held: Mapping[int, int] = field(default_factory=dict)
    taken: Mapping[int, bool] = field(default_factory=dict)
    wanted: frozenset[int] = frozenset()
    nodes: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, datetime] = field(default_factory=dict)
    namesake: bool = False


@runtime_checkable
class SharedStore(Store, Protocol):
    """
    A store that several nodes share.

    Whatever acts for a part is refused (S260) when this node does not hold its lease any more, by a check in the same
    transaction: `begin`, `settle`, `divide`, `start`, `finish`, `lapse`, `fire`, `take_over`, and a `commit` of what is
    not only `stored`. What people do, and what receivers say, any node may record.
    """

    node: str

    async def renew(self, lease: float, *, leave: Collection[int] = (), want: Collection[int] = ()) -> Holding:
        """
        Renew what this node holds, give up `leave`, and take what nobody holds, up to this node's fair share.

        Args:
            lease: seconds, from now on, by the store's clock.
            want: parts that others hold and that this node needs; it takes them, beyond its share, when they are left.
        """

    async def resign(self, leave: Collection[int]) -> None:
        """The node stops: it gives these up, and is not alive any more. What else it holds ends by itself."""

    def listen(self, heard: Callable[[bool], None]) -> None:
        """
        Have this called, on the event loop, when another node has made something durable that may be due here: false;
        or when parts were given up: true.
        """

    def work_for(self, held: Mapping[int, int], parts: Collection[int]) -> None:
        """
        From now on this node acts for what it holds, by part and token, and is told what is due of these parts of it.
        """

    async def parts_of(self, patients: Sequence[Key]) -> Collection[int]:
        """The parts of these patients, whichever of the identifiers that were merged is named."""

    async def take_over(self, parts: Collection[int], now: datetime, until: datetime) -> int:
        """
        Whoever had these parts does nothing for them any more. To be called before anything of theirs is asked for.

        Messages that it had in hand are due now, and their start counts. Deliveries that it was sending, or looking up,
        may have arrived, or may yet: they are `unknown`, and due then. Returns how many.
        """
