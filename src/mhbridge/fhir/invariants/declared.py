"""
An invariant, and a list of those that are declared, each where it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mhbridge.fhir.invariants.asking import Node
from mhbridge.model import Severity

__all__ = ["Declared", "Invariant"]

_Holds = Callable[[Node], bool]


@dataclass(frozen=True, slots=True)
class Invariant:
    """
    One invariant of a type.

    Args:
        key: as the definitions have it, `per-1`.
        text: what it asks, in our words.
        holds: whether it holds for a node of the type.
        when: it can be broken only where one of these elements is there; empty for anywhere.
        severity: error, or warning where the definitions say so.
    """

    key: str
    text: str
    holds: Callable[[Node], bool]
    when: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR


class Declared:
    """Type path or profile → its own invariants, in the order in which they are declared with `on`."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[Invariant, ...]] = {}

    def on(
        self, type_path: str, key: str, *when: str, severity: Severity = Severity.ERROR
    ) -> Callable[[_Holds], _Holds]:
        """Declare the function that follows as an invariant; its docstring is what it asks."""

        def declare(holds: _Holds) -> _Holds:
            text = " ".join((holds.__doc__ or "").split())
            invariant = Invariant(key, text, holds, when, severity)
            self.found[type_path] = (*self.found.get(type_path, ()), invariant)
            return holds

        return declare
