"""
What every `source:` block is checked for alike: the zone, the character set, its keys, how dates are written.

It must never correct a declaration: what is not plainly right is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final
from zoneinfo import ZoneInfo

from mhbridge.formats import DeclarationError
from mhbridge.formats.encoding import codec_named

__all__ = ["check_charset", "check_keys", "check_utf8", "check_zone", "dates"]

_DATES: Final = re.compile(r"(?:dd|mm|yyyy)(?:[-/. ]?(?:dd|mm|yyyy)){2}(?:[T ]hh:mm(?::ss)?)?")


def check_zone(timezone: str) -> None:
    """
    Raises:
        DeclarationError: `timezone` is not an IANA time zone.
    """
    try:
        ZoneInfo(timezone)
    except (LookupError, ValueError, OSError):  # OSError: a directory of the zone files, such as `Europe`
        raise DeclarationError(
            "timezone", f"{timezone!r} is not an IANA time zone", "for example Europe/London"
        ) from None


def check_charset(charset: str) -> None:
    """
    Raises:
        DeclarationError: `charset` names no character set that a supplier may use; empty is the format's default.
    """
    if charset and codec_named(charset) is None:
        raise DeclarationError("charset", f"{charset!r} is not a known character set", "for example UTF-8 or cp1252")


def check_utf8(charset: str, what: str, hint: str) -> None:
    """
    Raises:
        DeclarationError: `charset` is another than UTF-8, of which ASCII is a part.
    """
    check_charset(charset)
    if charset and codec_named(charset) not in ("utf-8", "ascii"):
        raise DeclarationError("charset", f"{what} is UTF-8, not {charset}", hint)


def check_keys(given: Iterable[str], known: Collection[str], source: str) -> None:
    """
    Args:
        source: what has these keys: `a csv source`.

    Raises:
        DeclarationError: a key is none of those that are known.
    """
    for key in given:
        if key not in known:
            raise DeclarationError(key, f"{key!r} is not a key of {source}", f"it has {', '.join(known)}")


def dates(given: object, hint: str) -> str:
    """
    How dates are written, of numbers alone.

    Raises:
        DeclarationError: it does not say where day, month and year stand.
    """
    pattern = given if isinstance(given, str) else ""
    parts = re.findall(r"dd|mm|yyyy", pattern.partition(":")[0].replace("hh", ""))
    if not _DATES.fullmatch(pattern) or sorted(parts) != ["dd", "mm", "yyyy"]:
        raise DeclarationError("dates", f"{given!r} does not say how a date is written", hint)
    return pattern
