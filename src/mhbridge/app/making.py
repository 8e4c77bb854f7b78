"""
Making one thing of a configuration, so that what cannot be made says whose it was to be.

This module must never know what it makes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mhbridge.errors import ConfigurationError

__all__ = ["made_for"]

_T = TypeVar("_T")


def made_for(whose: str, make: Callable[..., _T], *values: Any) -> _T:
    """Make something, and say whose it was to be when it cannot be made."""
    try:
        return make(*values)
    except ConfigurationError as error:
        raise ConfigurationError([(code, f"{whose}: {message}") for code, message in error.problems]) from None
