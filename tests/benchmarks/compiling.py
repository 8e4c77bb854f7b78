"""
How long each mapping takes to load and compile: `python tests/benchmarks/compiling.py`.

"alone" is from nothing but the files' bytes: its document type with all its parts is read, resolved and compiled as
well. "beside others" is what it takes where another mapping of the document type is loaded, as it is for all but the
first of them. The best of several runs, in CPU time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mhbridge.mapping import reader
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, Snapshot, built_in

#: design §11, milliseconds.
BAR = 20
RUNS = 3


def alone(snapshot: Snapshot, name: str) -> float:
    """Milliseconds from the bytes of the files."""
    reader._read.cache_clear()
    return timed(lambda: Catalogue(Library(snapshot)).mapping(name))


def beside(snapshot: Snapshot, name: str, other: str) -> float:
    """Milliseconds where another mapping of its document type is there."""
    reader._read.cache_clear()
    catalogue = Catalogue(Library(snapshot))
    catalogue.mapping(other)
    return timed(lambda: catalogue.mapping(name))


def timed(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1e3


def main() -> None:
    """Measure, and print."""
    snapshot = Snapshot.of([built_in("mappings")])
    catalogue = Catalogue(Library(snapshot))
    types: dict[str, list[str]] = {}
    for name in catalogue.names():
        types.setdefault(catalogue.mapping(name).document.name, []).append(name)
    print(f"{'ms':<44}{'alone':>9}{'beside others':>15}   (the bar is {BAR})")
    for names in types.values():
        for name in names:
            other = next((one for one in names if one != name), "")
            first = min(alone(snapshot, name) for _ in range(RUNS))
            then = min(beside(snapshot, name, other) for _ in range(RUNS)) if other else None
            print(f"{name:<44}{first:>9.1f}" + (f"{then:>15.1f}" if then is not None else f"{'':>15}"))


if __name__ == "__main__":
    main()
