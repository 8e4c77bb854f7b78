"""
What all tests share: how property tests run.

No test depends on the time it takes, so hypothesis has no deadline. In CI the examples are always the same, so that a
change is judged by its own doing; elsewhere they are new each time, and what fails is kept to be tried again.
"""

from __future__ import annotations

import os
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
