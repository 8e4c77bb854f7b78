"""
The legal moves of messages and deliveries, as one table each.

A store asks `require` before it writes a state, and writes states nowhere else. This module must never know who moves
what, or why.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState, MessageState

__all__ = ["DELIVERY_MOVES", "IN_LANE", "MESSAGE_MOVES", "NEW", "OPEN_DELIVERIES", "OPEN_MESSAGES", "What", "require"]

What = Literal["message", "delivery"]

#: The state of what does not exist yet.
NEW: Final = ""

_M = MessageState
_D = DeliveryState

MESSAGE_MOVES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        NEW: frozenset({_M.STORED, _M.DONE, _M.PARKED, _M.FILTERED}),
        _M.STORED: frozenset({_M.DONE, _M.HELD, _M.PARKED, _M.FILTERED, _M.SUPERSEDED}),
        _M.HELD: frozenset({_M.STORED, _M.DONE, _M.SUPERSEDED}),
        _M.PARKED: frozenset({_M.STORED, _M.CLOSED, _M.SUPERSEDED}),
        # A person has it worked again, with the mapping as it is now.
        _M.DONE: frozenset({_M.STORED}),
        _M.FILTERED: frozenset({_M.STORED}),
        _M.SUPERSEDED: frozenset(),
        _M.CLOSED: frozenset(),
    }
)

DELIVERY_MOVES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        NEW: frozenset({_D.QUEUED}),
        # What waits may be parked unsent, when its bytes turn out to be damaged. Only what certainly has not left
        # may be superseded or cancelled: from `sending` and `unknown` the receiver may have it.
        _D.QUEUED: frozenset({_D.SENDING, _D.PARKED, _D.SUPERSEDED, _D.CANCELLED}),
        _D.RETRY: frozenset({_D.SENDING, _D.PARKED, _D.SUPERSEDED, _D.CANCELLED}),
        _D.SENDING: frozenset({_D.DONE, _D.AWAITING, _D.RETRY, _D.UNKNOWN, _D.PARKED}),
        # Looked at again: still unknown, or a level higher and still awaited.
        _D.UNKNOWN: frozenset({_D.UNKNOWN, _D.DONE, _D.AWAITING, _D.RETRY, _D.PARKED}),
        _D.AWAITING: frozenset({_D.AWAITING, _D.DONE, _D.PARKED}),
        # What is held has not left: a newer version, or a cancellation, takes its place. What may have left is never.
        _D.PARKED: frozenset({_D.QUEUED, _D.CLOSED, _D.SUPERSEDED, _D.CANCELLED}),
        _D.DONE: frozenset(),
        _D.SUPERSEDED: frozenset(),
        _D.CANCELLED: frozenset(),
        _D.CLOSED: frozenset(),
    }
)

#: Something is still to happen to these.
OPEN_MESSAGES: Final = frozenset({_M.STORED, _M.HELD, _M.PARKED})
OPEN_DELIVERIES: Final = frozenset({_D.QUEUED, _D.SENDING, _D.UNKNOWN, _D.RETRY, _D.AWAITING, _D.PARKED})

#: A delivery in one of these holds those behind it. `awaiting` has left the lane: a business answer may take days.
IN_LANE: Final = OPEN_DELIVERIES - {_D.AWAITING}

_MOVES: Final[Mapping[What, Mapping[str, frozenset[str]]]] = MappingProxyType(
    {"message": MESSAGE_MOVES, "delivery": DELIVERY_MOVES}
)


def require(what: What, old: str, new: str) -> None:
    """
    Raises:
        StoreError: S212, when nothing may go from `old` to `new`.
    """
    if new not in _MOVES[what].get(old, ()):
        raise StoreError("S212", f"a {what} may not go from {old or 'new'!r} to {new!r}")
