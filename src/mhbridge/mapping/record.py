"""
A record of items as bytes and back, exactly: the states of a value, decimals and text to the last character.

What comes back equals what went in, so a fold of kept readings equals a fold of the readings themselves. A value
that has no exact form here (a float, a date object) is refused; this module must never guess one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from mhbridge.model import DELETED, Deleted, Unknown

__all__ = ["dumps", "loads"]

# JSON has no decimals, no deleted and no unknown: they are objects of one key that begins with this mark. An object
# of the source whose own keys begin with it is wrapped in one, so that nothing can be taken for what it is not.
_MARK: Final = "$"

# Integers beyond 64 bits are written as text: orjson refuses some of them, and other readers round them.
_SMALLEST: Final = -(1 << 63)
_LARGEST: Final = (1 << 63) - 1


_STRICT: Final = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def dumps(items: Mapping[str, Any]) -> bytes:
    """
    The items as JSON. The same items give the same bytes.

    Raises:
        TypeError: an item holds something that no item may hold. The text names the item and the type, never the value.
    """
    body = _at_once(items)
    return _one_by_one(items) if body is None else body


def _at_once(items: Mapping[str, Any]) -> bytes | None:
    """
    The items as JSON, written by orjson alone but for what JSON has no form for.

    `None` where that might not be exact: a number that is not a small integer, or something that looks like a mark.
    """
    if not _is_plain(items.values()):
        return None
    marked = 0

    def coded(value: Any) -> Any:
        nonlocal marked
        marked += 1
        if (mark := _marked(value)) is None:
            raise TypeError
        return mark

    try:
        body = orjson.dumps(items, coded, _STRICT)
    except TypeError:
        return None
    return body if body.count(b'"$') == marked else None


def _is_plain(values: Iterable[Any]) -> bool:
    """Whether no value is a number that orjson would write as it is and must not: a float, or one that is too large."""
    left = [values]
    # What is found inside is put behind what there is, and looked at in its turn.
    for some in left:
        for value in some:
            kind = type(value)
            if kind is str:
                continue
            if kind is dict:
                left.append(value.values())
            elif kind is list or kind is tuple:
                left.append(value)
            elif kind is float or (kind is int and not _SMALLEST <= value <= _LARGEST):
                return False
    return True


def _one_by_one(items: Mapping[str, Any]) -> bytes:
    coded: dict[str, Any] = {}
    for name, value in items.items():
        try:
            coded[name] = _code(value)
        except TypeError as error:
            raise TypeError(f"item {name!r}: {error}") from None
    return orjson.dumps(coded)


def loads(body: bytes) -> dict[str, Any]:
    """The items that `dumps` was given."""
    found: dict[str, Any] = orjson.loads(body)
    # As many as there are marks, or more: a text may look like one.
    left = body.count(b'"$')
    todo: list[Any] = [found] if left else []
    for one in todo:
        for place, value in one.items() if type(one) is dict else enumerate(one):
            kind = type(value)
            if kind is dict:
                if len(value) == 1:
                    ((key, part),) = value.items()
                    if key.startswith(_MARK):
                        one[place] = _decode_marked(key, part)
                        left -= 1
                        if not left:
                            return found
                        continue
                todo.append(value)
            elif kind is list:
                todo.append(value)
    return found


def _marked(value: Any) -> dict[str, Any] | None:
    """What JSON has no form for, under a mark; `None` when it is nothing that an item may hold."""
    kind = type(value)
    if kind is Decimal:
        return {"$decimal": str(value)}
    if kind is Deleted:
        return {"$deleted": True}
    if kind is Unknown:
        return {"$unknown": value.reason}
    return None


def _code(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is dict:
        coded = {}
        marked = False
        for key, part in value.items():
            if type(key) is not str:
                raise TypeError(f"a key of type {type(key).__name__}")
            marked = marked or key.startswith(_MARK)
            coded[key] = _code(part)
        return {"$object": coded} if marked else coded
    if kind is list or kind is tuple:
        return [_code(part) for part in value]
    if kind is int:
        return value if _SMALLEST <= value <= _LARGEST else {"$integer": str(value)}
    if (mark := _marked(value)) is not None:
        return mark
    raise TypeError(f"a value of type {kind.__name__} is not one that an item may hold")


def _decode(value: Any) -> Any:
    if type(value) is list:
        return [_decode(part) for part in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((key, part),) = value.items()
        if key.startswith(_MARK):
            return _decode_marked(key, part)
    return {key: _decode(part) for key, part in value.items()}


def _decode_marked(mark: str, part: Any) -> Any:
    match mark:
        case "$decimal":
            return Decimal(part)
        case "$unknown":
            return Unknown(part)
        case "$deleted":
            return DELETED
        case "$integer":
            return int(part)
        case "$object":
            return {key: _decode(value) for key, value in part.items()}
    raise ValueError(f"mark {mark} is not one of this version")
