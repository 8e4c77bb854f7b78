"""
The real clock, for `app` alone. Everything else is given a clock, so that a test can be at any instant.
"""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present instant, aware and in UTC."""
    return datetime.now(UTC)
