"""
Safety checks as a pack declares them: what must not be so of a letter, and what follows when it is (§9).

A check reads items and says what it finds; what it cannot know it leaves undecided. It must never change a document,
and this module must never know which checks there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mhbridge.errors import Span
from mhbridge.mapping.nodes import Condition, Expression
from mhbridge.mapping.run import Run
from mhbridge.model import Issue, Severity, Unknown

__all__ = ["ACTIONS", "Action", "CheckRule", "ReadyCheck"]


class Action(StrEnum):
    """What follows when a check fails."""

    #: The sender is told, and the letter leaves.
    FLAG = "flag"
    #: A person looks before anything leaves.
    HOLD = "hold"
    #: The same, and the sender is told that it was not accepted.
    REFUSE = "refuse"


ACTIONS: Final = tuple(action.value for action in Action)


@dataclass(frozen=True, slots=True)
class CheckRule:
    """
    A check as it was read and checked.

    Args:
        fails_when: what must not be so.
        over: the list that it is asked of, element by element, under the name `alias`.
        says: what is wrong, in words for the sender.
        source: where the rule comes from.
        hazard: which hazard of the log it is a control of.
        reads: the items that decide it.
    """

    name: str
    fails_when: Condition
    over: Expression | None
    alias: str
    severity: Severity
    action: Action
    says: str
    source: str
    hazard: str
    reads: frozenset[str]
    span: Span


@dataclass(frozen=True, slots=True)
class ReadyCheck:
    """
    The same, ready to run: what the compiler (or the interpreter) made of its expressions.

    Each function is called as `f(items, None, run, element, place)`.
    """

    rule: CheckRule
    fails: Callable[..., bool]
    over: Callable[..., Any] | None

    def issues(self, items: Mapping[str, Any], run: Run) -> Iterator[Issue]:
        """
        What there is to say of one letter: that it fails, once, or that it cannot be decided (I608).

        What is withheld was decided by somebody else, and nothing is said of it. A check that cannot be decided never
        holds anything back, so where it would have, that is a warning (mapping language §9).
        """
        rule = self.rule
        unknown = [value.reason for name in rule.reads if isinstance(value := items.get(name), Unknown)]
        if "masked" in unknown:
            return
        if "error" in unknown:
            text = f"it cannot be told whether this is so, because a value could not be read: {rule.says}"
            severity = Severity.INFORMATION if rule.action is Action.FLAG else Severity.WARNING
            yield Issue("I608", severity, text, item=rule.name, rule=str(rule.span))
        elif self._fails(items, run):
            yield Issue("I650", rule.severity, rule.says, item=rule.name, rule=str(rule.span))

    def _fails(self, items: Mapping[str, Any], run: Run) -> bool:
        if self.over is None:
            return bool(self.fails(items, None, run, None, 0))
        elements = self.over(items, None, run, None, 0)
        if not isinstance(elements, list):
            return False
        return any(self.fails(items, None, run, element, place) for place, element in enumerate(elements, 1))
