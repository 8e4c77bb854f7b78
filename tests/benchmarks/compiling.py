"""
How long each mapping takes to load and compile: `python tests/benchmarks/compiling.py [part of a name …]`.

"alone" is from nothing but the files' bytes: its document type with all its parts is read, resolved and compiled as
well. "beside others" is what it takes where another mapping of the document type is loaded, as it is for all but the
first of them. The best of several runs, in CPU time; and millions of instructions, where they can be counted.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable

from counting import instructions

from mhbridge.mapping import reader
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, Snapshot, built_in

#: design §11, milliseconds.
BAR = 20
RUNS = 3

#: Milliseconds, and millions of instructions.
Figures = tuple[float, float]
_count = instructions() or (lambda: 0)


def alone(snapshot: Snapshot, name: str) -> Figures:
    """From the bytes of the files."""
    reader._read.cache_clear()
    return counted(lambda: Catalogue(Library(snapshot)).mapping(name))


def beside(snapshot: Snapshot, name: str, other: str) -> Figures:
    """Where another mapping of its document type is there."""
    reader._read.cache_clear()
    catalogue = Catalogue(Library(snapshot))
    catalogue.mapping(other)
    return counted(lambda: catalogue.mapping(name))


def counted(work: Callable[[], object]) -> Figures:
    gc.collect()
    begun, before = time.process_time(), _count()
    work()
    return (time.process_time() - begun) * 1e3, (_count() - before) / 1e6


def main() -> None:
    """Measure, and print."""
    snapshot = Snapshot.of([built_in("mappings")])
    catalogue = Catalogue(Library(snapshot))
    types: dict[str, list[str]] = {}
    for name in catalogue.names():
        types.setdefault(catalogue.mapping(name).document.name, []).append(name)
    print(f"{'ms, and millions of instructions':<44}{'alone':>16}{'beside others':>16}   (the bar is {BAR})")
    for names in types.values():
        for name in names:
            if sys.argv[1:] and not any(part in name for part in sys.argv[1:]):
                continue
            other = next((one for one in names if one != name), "")
            runs = [[alone(snapshot, name) for _ in range(RUNS)]]
            if other:
                runs.append([beside(snapshot, name, other) for _ in range(RUNS)])
            best = [tuple(min(figure) for figure in zip(*run, strict=True)) for run in runs]
            print(f"{name:<44}" + "".join(f"{time_:>9.1f}{count:>7.0f}" for time_, count in best))


if __name__ == "__main__":
    main()
