"""
The real clock, for `app` alone. Everything else is given a clock, so that a test can be at any instant.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present instant, aware and in UTC."""
    return datetime.now(UTC)


def elapsed() -> float:
    """Seconds that only ever go forward, and that go on while the machine sleeps, where the system counts that."""
    # Linux leaves the time that it was suspended out of CLOCK_MONOTONIC.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
