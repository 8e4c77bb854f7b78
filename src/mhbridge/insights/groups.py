"""
Figures of a store as groups of counts that add up, by sender and recipient.

A sender is a supplier, whichever of its feeds and mappings it came through. This module must never leave out a count of
a group: what may be shown is decided of whole groups.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mhbridge.insights.suppressing import SMALL, Shown, shown
from mhbridge.ports import Figure, Measure

__all__ = ["ACKNOWLEDGED", "KEPT", "NAMELESS", "SAID", "Group", "Names", "groups"]

#: How a deadline was kept, from the best on.
KEPT: Final = ("met", "within 72 h", "later", "missed")
#: How far a letter got, from the farthest on.
ACKNOWLEDGED: Final = (
    "business", "infrastructure", "collected", "accepted", "sent", "under way", "waits for a person",
    "ended by a person", "withdrawn",
)  # fmt: skip
#: What a letter says under a heading.
SAID: Final = ("present", "text only", "withheld", "unreadable", "absent")
#: Stands for names of which there were too few to be shown.
NAMELESS: Final = "(others)"

#: For whom a deadline does not hold, and whose is not over.
_NOT_COUNTED: Final = frozenset({"excluded", "running"})


@dataclass(frozen=True, slots=True)
class Names:
    """
    What people call things; what has no name here goes by its own.

    Args:
        headings: heading → its title, and how strongly the record standard asks for it, in its order.
    """

    suppliers: Mapping[str, str] = field(default_factory=dict)
    documents: Mapping[str, str] = field(default_factory=dict)
    headings: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """
    Counts that add up.

    Args:
        measure: `deadline`, `acknowledgement`, `refusal`, `heading`, `letters`, `code` or `field`.
        name: of the deadline, heading, code or field.
    """

    measure: str
    sender: str
    recipient: str
    document: str
    name: str
    shown: Shown


_Key = tuple[str, str, str, str, str]


def groups(figures: Iterable[Figure], small: int = SMALL) -> list[Group]:
    """All groups, each with what may be shown of it, in order."""
    counts: defaultdict[_Key, Counter[str]] = defaultdict(Counter)
    unmapped: Counter[tuple[str, str, str]] = Counter()
    for one in figures:
        sender = one.sender.partition("/")[0]
        match one.measure:
            case Measure.LETTER:
                counts["letters", sender, "", one.document, ""]["letters"] += one.n
            case Measure.HEADING:
                counts["heading", sender, "", one.document, one.name][one.said] += one.n
            case Measure.DELIVERY:
                counts["acknowledgement", sender, one.recipient, one.document, ""][one.said] += one.n
            case Measure.REFUSED:
                counts["refusal", sender, one.recipient, one.document, ""]["refused"] += one.n
            case Measure.CLOCK if one.said not in _NOT_COUNTED:
                counts["deadline", sender, one.recipient, one.document, one.name][one.said] += one.n
            case Measure.CODE | Measure.FIELD:
                unmapped[one.measure.value, sender, one.name] += one.n
    for key in [key for key in counts if key[0] == "acknowledgement"]:
        # Of how many.
        refused = counts["refusal", *key[1:]]
        refused["not refused"] = sum(counts[key].values()) - refused["refused"]
    order = {"heading": SAID, "acknowledgement": ACKNOWLEDGED, "deadline": KEPT, "refusal": ("refused", "not refused")}
    found = [
        Group(*key, shown({name: parts[name] for name in order.get(key[0], tuple(parts))}, small))
        for key, parts in sorted(counts.items())
    ]
    return [*found, *_lists(unmapped, small)]


def _lists(unmapped: Mapping[tuple[str, str, str], int], small: int) -> Iterator[Group]:
    """
    Codes and fields, each by itself, those in the most messages first.

    What is rare is not even named, since a name may be the sender's own; nor is it said of how many messages.
    """
    rare = dict.fromkeys((measure, sender) for (measure, sender, _), n in sorted(unmapped.items()) if n < small)
    for (measure, sender, name), n in sorted(unmapped.items(), key=lambda one: (one[0][:2], -one[1], one[0][2])):
        if n >= small:
            yield Group(measure, sender, "", "", name, Shown(n, {}))
    for measure, sender in rare:
        yield Group(measure, sender, "", "", NAMELESS, Shown(None, {}))
