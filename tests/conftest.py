"""
What all tests share: how property tests run.

No test depends on the time it takes, so hypothesis has no deadline. In CI the examples are always the same, so that a
change is judged by its own doing; elsewhere they are new each time, and what fails is kept to be tried again.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "mhbridge", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mhbridge")
