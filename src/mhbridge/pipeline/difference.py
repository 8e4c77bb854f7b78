"""
What is different between two JSON documents, by place.

Places are as FHIRPath writes them: `entry[2].resource.status`. This module must never decide whether a difference
matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Difference", "differences"]


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One place where two documents differ.

    Args:
        was: the value in the first, `None` where it was added.
        now: the value in the second, `None` where it was removed.
    """

    path: str
    change: Literal["added", "removed", "changed"]
    was: Any = None
    now: Any = None


def differences(was: Any, now: Any, path: str = "") -> Iterator[Difference]:
    """Every place that differs, in the order of the first document; of what is only on one side, the topmost."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*was, *now]):
            yield from _member(was, now, name, f"{path}.{name}" if path else name)
    elif _is_list(was) and _is_list(now):
        for number in range(max(len(was), len(now))):
            place = f"{path}[{number}]"
            if number >= len(now):
                yield Difference(place, "removed", was=was[number])
            elif number >= len(was):
                yield Difference(place, "added", now=now[number])
            else:
                yield from differences(was[number], now[number], place)
    elif was != now or type(was) is not type(now):
        yield Difference(path, "changed", was, now)


def _member(was: Mapping[str, Any], now: Mapping[str, Any], name: str, place: str) -> Iterator[Difference]:
    if name not in now:
        yield Difference(place, "removed", was=was[name])
    elif name not in was:
        yield Difference(place, "added", now=now[name])
    else:
        yield from differences(was[name], now[name], place)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
