"""
Does something again whenever a mapping file is saved (`check --watch`).

It looks at the times and sizes of the files a few times a second: there are some hundred, and that works the same on
every system and on a network drive, which notices of the system do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from mhbridge.cli.options import say

__all__ = ["again"]

_SUFFIXES: Final = (".yaml", ".csv")
_EVERY: Final = 0.3


def again(work: Callable[[], int], folders: Iterable[Path], sleep: Callable[[float], None] = time.sleep) -> int:
    """
    Do some work now and after every change below some folders, until it is interrupted.

    Returns:
        What the work returned last.
    """
    roots = tuple(folders)
    seen = _seen(roots)
    result = work()
    try:
        while True:
            say("Waiting for a change; stop with Ctrl-C.")
            while (now := _seen(roots)) == seen:
                sleep(_EVERY)
            changed = sorted({path.name for path, _, _ in seen ^ now})
            seen = now
            say(f"\n{', '.join(changed[:3])}{' …' if len(changed) > 3 else ''}:")
            result = work()
    except KeyboardInterrupt:
        return result


def _seen(roots: Iterable[Path]) -> frozenset[tuple[Path, int, int]]:
    found = set()
    for root in roots:
        for path in root.rglob("*"):
            if path.suffix in _SUFFIXES:
                try:
                    stat = path.stat()
                except OSError:
                    continue  # an editor puts a new file in the place of an old one
                found.add((path, stat.st_mtime_ns, stat.st_size))
    return frozenset(found)
