"""
The present instant, from whoever has a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

__all__ = ["Clock"]

Clock = Callable[[], datetime]
"""The present instant, aware and in UTC. The only way to learn the time outside the adapters' own timeouts."""
