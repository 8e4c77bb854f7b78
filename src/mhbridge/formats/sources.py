"""
What a mapping declares of the messages it takes. This module must never know a format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DeclarationError", "Source"]


class DeclarationError(Exception):
    """
    A `source:` block says something the format does not understand; `key` is the key concerned, with `/` before one
    that is within it.
    """

    def __init__(self, key: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.key, self.message, self.hint = key, message, hint


@dataclass(frozen=True, slots=True)
class Source:
    """
    What a mapping declares of the messages it takes (its `source:` block), checked by the format.

    Args:
        format: the format's name.
        timezone: IANA name for times without an offset.
        charset: encoding where the message itself does not name one; empty means the format's default.
        options: the format's own keys, as the format's `declare` returned them; immutable.
    """

    format: str
    timezone: str = "Europe/London"
    charset: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
