"""
Frozen dataclasses that cost no more than others, for what is made of each message and of each line of a mapping.

That nobody changes one is held by the type checker, which reads `frozen` as a frozen dataclass of the standard library.
Python is not asked to hold it as well: each field would then be set by a call, which takes seven times as long as an
assignment; a message has more than a hundred, and a mapping a thousand. They are compared and hashed as frozen ones
are. This module must never be used for what is made less often, nor for what others may make a subclass of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["frozen"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as frozen
else:
    from dataclasses import dataclass

    def frozen(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Makes a class as `dataclass` does, with the same options."""
        assert frozen
        return dataclass(slots=slots, unsafe_hash=True)
