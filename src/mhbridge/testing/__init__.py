"""
The kit for testing what is built with mhbridge: a receiving FHIR server that fails on request, and golden comparison.

Its parts are loaded when they are first asked for, so that a golden comparison does not load an HTTP server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mhbridge.testing.faults import (
        DROP_AFTER,
        DROP_BEFORE,
        LATE,
        LONG,
        NOT_FHIR,
        OK,
        TWICE,
        UNAUTHORISED,
        UNPROCESSABLE,
        Answered,
        Asked,
        Fault,
        Plan,
        first_time,
        in_turn,
        refused,
        slow,
        unavailable,
    )
    from mhbridge.testing.holdings import Holdings
    from mhbridge.testing.receiving import ReceivingServer

__all__ = [
    "DROP_AFTER",
    "DROP_BEFORE",
    "LATE",
    "LONG",
    "NOT_FHIR",
    "OK",
    "TWICE",
    "UNAUTHORISED",
    "UNPROCESSABLE",
    "Answered",
    "Asked",
    "Fault",
    "Holdings",
    "Plan",
    "ReceivingServer",
    "first_time",
    "in_turn",
    "refused",
    "slow",
    "unavailable",
]

_ELSEWHERE = {"Holdings": "holdings", "ReceivingServer": "receiving"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'faults')}"), name)
