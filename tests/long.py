"""
The long forms of the tests that prove that nothing is lost: the same tests with larger numbers.

    python tests/long.py                 all of them, one after the other; some hours
    python tests/long.py power kill      some of them
    python tests/long.py seeds 500       chaos with so many seeds

Each is started with the lowest priority, and its time is printed. A failure of a simulated one is replayed by its seed:
`MHBRIDGE_TEST_SEED=17 python -m pytest tests/world/test_chaos.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent
#: Name → which tests, and with which numbers.
LONG = {
    "power": (["adapters/store/test_sqlite_crash.py", "-k", "power_cut"], {"POWER_CUTS": "10000"}),
    "kill": (["world/test_kill.py"], {"SERVE_KILLS": "1000"}),
    "chaos": (["world/test_chaos.py", "-k", "thousand"], {"MESSAGES": "100000"}),
    "cluster": (["world/test_cluster.py"], {"CLUSTER_ROUNDS": "50"}),
    "interrupt": (["world/test_interrupt.py"], {"LONG": "1"}),
    "canary": (["canary"], {"CANARIES": "10000"}),
    "year": (["world/test_year.py", "-s", "-k", "every_discharge"], {"YEAR": "1"}),
}


def run(name: str, tests: list[str], numbers: dict[str, str]) -> bool:
    """One of them; whether it holds."""
    environ = os.environ | {f"MHBRIDGE_TEST_{key}": value for key, value in numbers.items()}
    begun = time.monotonic()
    command = ["nice", "-n", "19", sys.executable, "-m", "pytest", "-q", str(TESTS / tests[0]), *tests[1:]]
    held = subprocess.run(command, env=environ, cwd=TESTS.parent, check=False).returncode == 0
    print(f"{name}: {'held' if held else 'FAILED'} in {(time.monotonic() - begun) / 60:.1f} minutes", flush=True)
    return held


def main(asked: list[str]) -> int:
    """Run what was asked for; how many of them do not hold."""
    if asked[:1] == ["seeds"]:
        chaos = ["world/test_chaos.py", "-k", "thousand or killed"]
        return sum(not run(f"seed {n}", chaos, {"SEED": str(n)}) for n in range(1, int(asked[1]) + 1))
    return sum(not run(name, *LONG[name]) for name in asked or LONG)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
