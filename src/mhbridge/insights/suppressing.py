"""
Which counts of a group may be shown.

The counts of a group add up to its total. A small count other than nought is left out, as somebody could know who it
was. So that it cannot be found again by taking the others from the total, one that is not small is left out with it;
and where their sum would still say something of the small one, nothing is shown but the total. Of a group that is small
as a whole not even that. Whoever knows these rules and all that is shown finds every small count to be possibly any.

The facts name no rule of NHS England for such figures, so how small is small is the reader's to say. This module must
never be given half of a group: what is shown elsewhere of the same counts would undo it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["SMALL", "Shown", "shown"]

#: Counts below it are small, where nobody says otherwise.
SMALL: Final = 5
_WORTH_SAYING: Final = 50


@dataclass(frozen=True, slots=True)
class Shown:
    """
    What of a group is shown.

    Args:
        total: `None` where it is small.
        parts: `None` where a count is left out; empty where there is too little for any.
        at_least: of the count that is left out only because of others, how many in a hundred it is at least, in tens:
            no more than follows from what else is shown.
    """

    total: int | None
    parts: Mapping[str, int | None]
    at_least: Mapping[str, int] = field(default_factory=dict)

    def percent(self, *names: str) -> int | None:
        """How many of a hundred are of these parts together; `None` where that cannot be shown."""
        counts = [self.parts.get(name, 0) for name in names]
        if not self.parts or not self.total or None in counts:
            return None
        return round(100 * sum(count or 0 for count in counts) / self.total)

    def over(self, *names: str) -> int:
        """How many of a hundred are of these parts at least, in tens, where some of them are left out."""
        if not self.total:
            return 0
        known = 100 * sum(self.parts.get(name) or 0 for name in names) / self.total
        return int(known + sum(self.at_least.get(name, 0) for name in names)) // 10 * 10

    @property
    def left_out(self) -> int:
        """How many are in the parts that are left out, together."""
        if self.total is None or not self.parts:
            return 0
        return self.total - sum(count or 0 for count in self.parts.values())


def shown(parts: Mapping[str, int], small: int = SMALL) -> Shown:
    """
    What may be shown of a group of counts.

    Which is left out with the small ones goes by their order, the last first, and not by how great it is: that would
    say how great those are that are shown.
    """
    total = sum(parts.values())
    if 0 < total < small:
        return Shown(None, {})
    if 0 < total < 2 * small:
        return Shown(total, {})
    few = [name for name, count in parts.items() if 0 < count < small]
    if not few:
        return Shown(total, dict(parts))
    other = next((name for name in reversed(list(parts)) if parts[name] >= small), None)
    if other is None:
        return Shown(total, {})
    hidden = {*few, other}
    # What everybody can work out: how many are left out together, and how many of these the small ones are at most.
    together, at_most = sum(parts[name] for name in hidden), len(few) * (small - 1)
    if together < small + at_most:
        return Shown(total, {})
    tens = 100 * (together - at_most) // total // 10 * 10
    return Shown(
        total,
        {name: None if name in hidden else count for name, count in parts.items()},
        {other: tens} if tens >= _WORTH_SAYING else {},
    )
