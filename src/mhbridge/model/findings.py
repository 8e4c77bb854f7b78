"""
What is said about a message: issues, and what became of each of its leaves (mapping language §10).

Must never hold a value of a message.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from mhbridge.model.frozen import frozen

__all__ = ["NO_LEDGER", "Issue", "LeafState", "Ledger", "Severity"]


class Severity(StrEnum):
    """FHIR's issue-severity, without `fatal`: that is a refusal, and a refusal is an exception."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@frozen(frozen=True, slots=True)
class Issue:
    """
    One thing to know about one message. It names places and codes and never holds a value of the message.

    Args:
        code: stable code of the catalogue, for example `I601`.
        severity: how bad it is.
        text: what is wrong, for a person, without any value of the message.
        path: where in the source, for example `PV1-45`, or a FHIRPath for a validation issue.
        item: the item concerned, for example `discharged_at`.
        rule: the place in the mapping that decided, as `file:line:column`.
    """

    code: str
    severity: Severity
    text: str
    path: str = ""
    item: str = ""
    rule: str = ""


class LeafState(StrEnum):
    """What became of one populated leaf of a message; the first that holds, in this order."""

    FAILED = "failed"
    BOUND = "bound"
    SELECTOR = "selector"
    IGNORED = "ignored"
    PASSED_OVER = "passed over"
    UNMAPPED = "unmapped"


@frozen(frozen=True, slots=True)
class Ledger:
    """
    What became of every populated leaf of one message: counts, and the paths of those to be looked at. No contents.

    Args:
        bound: how many were read into items.
        selector: how many decided something: a predicate, a condition, how the message itself is read or answered.
        ignored: how many the mapping names under `ignore`, with a reason.
        passed_over: those that the mapping reaches, where it took another alternative, repetition or branch.
        failed: those that would not convert, or whose code was refused or omitted; an issue says why.
        unmapped: those that no mapping mentions.
        not_written: items, and fields of items, that are present and that a target does not write: `r4: ward.bed`.
    """

    bound: int = 0
    selector: int = 0
    ignored: int = 0
    passed_over: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()
    not_written: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[LeafState, int]:
        """How many leaves are in each state."""
        return {
            LeafState.FAILED: len(self.failed),
            LeafState.BOUND: self.bound,
            LeafState.SELECTOR: self.selector,
            LeafState.IGNORED: self.ignored,
            LeafState.PASSED_OVER: len(self.passed_over),
            LeafState.UNMAPPED: len(self.unmapped),
        }

    @property
    def leaves(self) -> int:
        """How many populated leaves there are."""
        return sum(self.counts.values())


#: Of a message that nothing could read.
NO_LEDGER: Final = Ledger()
