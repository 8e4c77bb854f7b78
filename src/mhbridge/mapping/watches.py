"""
Watches as a pack declares them: what is to be noticed of a patient beside a stay, and what is then told.

A watch is declared by the type of the document that tells of it (`documents/<type>/watches.yaml`). It looks at what
messages of other types have said: at stays, and at signals, which may be another sender's. Pure: what is noticed
follows from items, and this module must never know what was noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from mhbridge.errors import Span
from mhbridge.mapping.clocks import Length, instant_of
from mhbridge.mapping.nodes import (
    AllOf,
    AnyOf,
    Coded,
    Condition,
    Equal,
    Expression,
    ItemOf,
    Literal,
    OneOf,
    Present,
    Truth,
)

__all__ = ["Look", "ReadyLook", "ReadyWatch", "WatchRule"]

#: Whose it is, and whether records of two senders are one person's.
_WHO: Final = frozenset({"patient_key", "nhs_number", "nhs_number_status", "birth_date", "sensitivity"})


@dataclass(frozen=True, slots=True)
class Look:
    """
    How documents of one type are looked at.

    Args:
        identity: the items that say which of them belong together.
        begins, ends: of a stay, when that was.
        at: of a signal or a contact, when that was.
        when: what must be so, where not everything counts.
        untrue: what says that there is none, whatever other types say: a stay that was taken back.
        tells: the items that the record takes from it, and no others.
        whole: all documents of a patient are taken together, and not those of each stay.
        others: only those of other senders count.
        open: a stay that has not ended counts.
        reads: the items that decide whether there is one.
        also: those that say whether its NHS number is verified.
    """

    document: str
    identity: tuple[str, ...]
    begins: Expression | None = None
    ends: Expression | None = None
    at: Expression | None = None
    when: Condition | None = None
    untrue: Condition | None = None
    tells: tuple[str, ...] = ()
    whole: bool = False
    others: bool = False
    open: bool = False
    reads: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()

    @property
    def needs(self) -> frozenset[str]:
        """The items that must be kept of a message for it to be looked at later."""
        return _WHO.union(self.reads, self.also, self.tells, self.identity)


def sign_of(condition: Condition | None) -> Condition | None:
    """
    What is so of one reading at least wherever a condition is so of a fold of them; `None`: nothing that is known.

    A fold has each item as one reading said it. So what reads one item, and is not so where that item is absent, is so
    of that reading by itself. Of `a and b` either will do; what is negated may be so because nothing was said.
    """
    match condition:
        case AllOf(terms=terms):
            return next((sign for term in terms if (sign := sign_of(term)) is not None), None)
        case AnyOf(terms=terms):
            signs = [sign for term in terms if (sign := sign_of(term)) is not None]
            return replace(condition, terms=tuple(signs)) if len(signs) == len(terms) else None
        case Truth(value=ItemOf()) | Present(value=ItemOf()) | OneOf(value=ItemOf()) | Coded(value=ItemOf()):
            return condition
        case Equal(left=ItemOf(), right=Literal()) | Equal(left=Literal(), right=ItemOf()):
            return condition
    return None


@dataclass(frozen=True, slots=True)
class WatchRule:
    """
    A watch as it was read and checked.

    Args:
        document: type of the document that tells of it.
        stays, signals: types of which the first that says anything is believed.
        contacts: what else of the stay stands in the record.
        within: how long after the end of a stay a signal counts.
        forgotten_after: a signal that is heard of so much later is told nobody; `None`: it is always told.
        verified_when: that the NHS number of a record is its patient's: only then are records of two senders one
            person's; `None`: they never are.
    """

    name: str
    document: str
    stays: tuple[Look, ...]
    signals: tuple[Look, ...]
    contacts: tuple[Look, ...]
    within: Length
    forgotten_after: Length | None
    span: Span
    verified_when: Condition | None = None


@dataclass(frozen=True, slots=True)
class ReadyLook:
    """
    A look, ready: each function is called as `f(items, None, run, None, 0)`.

    Args:
        signs: one of these is so of a reading at least wherever `when` or `untrue` is so of several together
            (`sign_of`); empty: it is not known what would be.
    """

    look: Look
    begins: Callable[..., Any] | None
    ends: Callable[..., Any] | None
    at: Callable[..., Any] | None
    when: Callable[..., bool] | None
    untrue: Callable[..., bool] | None
    signs: tuple[Callable[..., bool], ...] = ()

    def may_say(self, items: Mapping[str, Any], run: Any) -> bool:
        """Whether a fold that has these items may hold, or be untrue, and might not without them."""
        if self.look.reads.isdisjoint(items):
            return False
        return not self.signs or any(sign(items, None, run, None, 0) for sign in self.signs)

    def holds(self, items: Mapping[str, Any], run: Any) -> bool:
        """What must be so is so."""
        return self.when is None or self.when(items, None, run, None, 0)

    def is_untrue(self, items: Mapping[str, Any], run: Any) -> bool:
        """They say that there is none."""
        return self.untrue is not None and self.untrue(items, None, run, None, 0)

    @staticmethod
    def instant(
        expression: Callable[..., Any] | None, items: Mapping[str, Any], run: Any, zone: ZoneInfo
    ) -> datetime | None:
        """What an expression of it says of these items, as an instant."""
        return None if expression is None else instant_of(expression(items, None, run, None, 0), zone)


@dataclass(frozen=True, slots=True)
class ReadyWatch:
    """A watch, ready."""

    rule: WatchRule
    stays: tuple[ReadyLook, ...]
    signals: tuple[ReadyLook, ...]
    contacts: tuple[ReadyLook, ...]
    verified: Callable[..., bool] | None = None

    def is_verified(self, items: Mapping[str, Any], run: Any) -> bool:
        """Whether the NHS number among these items is known to be the patient's."""
        return self.verified is not None and self.verified(items, None, run, None, 0)
