"""
What all tests share: how property tests run.

No test depends on the time it takes, so hypothesis has no deadline. In CI the examples are always the same, so that a
change is judged by its own doing; elsewhere they are new each time, and what fails is kept to be tried again.

Files of tests lie in memory where there is room: a disk under eight stores that sync each commit is waited for, and
no test cuts the machine's power. `--basetemp` says another place.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests are not a package; what they share is found beside them, and its asserts explain themselves too.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("ward")

settings.register_profile(
    "mhbridge", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mhbridge")

MEMORY = Path("/dev/shm")
#: So much room a run needs there, in bytes.
ROOM = 4 << 30
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the files of tests, those that take longest are begun first, so that none waits."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.parent.name not in ("world", "oracle", "backlog"))


def pytest_collection_finish() -> None:
    """All those tests stay to the end: to look through them again and again for garbage is of no use."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    if ending := sys.modules.get("ending"):
        ending.at_the_end.close()
