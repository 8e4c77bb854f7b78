"""
What can be said of a section although something in it is wrong.

What is wrong is left open: whatever looks at it is not judged, and all else is. So a fault hides none beside it, and
none is found that only comes of another. This module must never make a section that a gateway could run with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

from pydantic import Field, ValidationError, create_model

from mhbridge.config.section import Section

__all__ = ["each", "judged", "partly"]

_T = TypeVar("_T")


class _OpenError(RuntimeError):
    """Something looked at what is left open."""


class _Open:
    """A value that is not known, because what was written is wrong. Nothing can be asked of it."""

    def _asked(self, *_: object) -> NoReturn:
        raise _OpenError

    __bool__ = __len__ = __iter__ = __str__ = __format__ = __float__ = _asked
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __getitem__ = _asked
    __hash__ = _asked

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _OpenError


_OPEN: Final = _Open()


def partly(
    kind: type[Section], table: Mapping[str, Any], wrong: Collection[str], context: Mapping[str, Any]
) -> tuple[Section | None, ValidationError | None]:
    """
    A section with what is wrong left open, and what else is wrong with it; nothing, where that cannot be judged.

    Args:
        wrong: keys at which something is wrong, or that are missing.
    """
    fields = {key: (Any, Field(default_factory=lambda: _OPEN)) for key in wrong if key in kind.model_fields}
    lenient: type[Section] = create_model(kind.__name__, __base__=kind, **fields)  # type: ignore[call-overload]
    rest = {key: value for key, value in table.items() if key not in wrong}
    try:
        return lenient.model_validate(rest, context=context), None
    except ValidationError as failure:
        return None, failure
    except (_OpenError, TypeError):
        # What the section as a whole must be depends on what is open, of which a pattern or a path makes a TypeError.
        return None, None


def each(entries: Sequence[Any], get: Callable[[Any], _T]) -> list[tuple[int, _T]]:
    """What is got of each entry, with its number; nothing of one that is not there, or open there."""
    found: list[tuple[int, _T]] = []
    for number, entry in enumerate(entries):
        if entry is None:
            continue
        try:
            found.append((number, get(entry)))
        except _OpenError:
            continue
    return found


def judged(ask: Callable[[], bool]) -> bool:
    """Whether something is so; no, where it depends on what is open."""
    try:
        return ask()
    except _OpenError:
        return False
