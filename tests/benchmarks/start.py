"""
How long `mhbridge translate` takes for one file, from nothing: `python tests/benchmarks/start.py`.

The best of several runs, wall and CPU; and what of it is the interpreter's own start and the imports of the gateway.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from workload import EVENT, FIXTURES, LETTER

#: design §11, seconds.
BAR = 0.5
RUNS = 10


def best(*command: str) -> tuple[float, float, float]:
    """Seconds of wall and of CPU, and megabytes, of the best run."""
    walls, cpus = [], []
    for _ in range(RUNS):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        walls.append(time.perf_counter() - begun)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(walls), min(cpus), after.ru_maxrss / 1e3


def main() -> None:
    """Measure, and print."""
    print(f"{'':<36}{'wall s':>8}{'CPU s':>8}{'most MB':>9}{'bar':>6}{'ratio':>7}")
    runs = {
        "python": ("-c", "pass"),
        "import mhbridge.app": ("-c", "import mhbridge.app"),
        "mhbridge translate, an event": ("-m", "mhbridge", "translate", str(FIXTURES / EVENT.supplier / EVENT.file)),
        "mhbridge translate, a letter": ("-m", "mhbridge", "translate", str(FIXTURES / LETTER.supplier / LETTER.file)),
    }
    for name, arguments in runs.items():
        wall, cpu, memory = best(sys.executable, *arguments)
        bar = f"{BAR:>6}{wall / BAR:>7.2f}" if "translate" in name else ""
        print(f"{name:<36}{wall:>8.2f}{cpu:>8.2f}{memory:>9.0f}{bar}")


if __name__ == "__main__":
    main()
