"""
Where two JSON values or texts differ: the place, what was expected, what came.

What is new in a list or gone from it is found first, so that one entry more does not make all after it differ. It shows
values: it is for fixtures, which are invented.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

from mhbridge.fhir.bundle import dumps

__all__ = ["NOTHING", "Difference", "json_differences", "text_differences"]

#: In the place of a value that is not there.
NOTHING: Final = "nothing"
#: Characters of a value that are shown.
_SHOWN: Final = 160


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One difference.

    Args:
        file: the golden file.
        path: the place in it: `$.entry[3](Condition).resource.code.text`.
        expected: what the file says there, as JSON.
        got: what came.
    """

    file: str
    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: expected {self.expected}, got {self.got}"


def json_differences(file: str, expected: Any, got: Any) -> Iterator[Difference]:
    """What differs between two JSON values."""
    yield from _walk(file, expected, got, "$")


def text_differences(file: str, expected: bytes, got: bytes) -> Iterator[Difference]:
    """What differs between two texts, by lines; a carriage return ends one, too."""
    before, after = (one.decode("utf-8", "backslashreplace").splitlines() for one in (expected, got))
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for step in range(max(j - i, m - k)):
            old = before[i + step] if i + step < j else None
            new = after[k + step] if k + step < m else None
            yield Difference(file, f"line {i + step + 1}", _shown(old), _shown(new))


def _walk(file: str, old: Any, new: Any, path: str) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _walk(file, old.get(key), new.get(key), f"{path}.{key}")
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(file, old, new, path)
    elif old != new or type(old) is not type(new):
        yield Difference(file, path, _shown(old), _shown(new))


def _lists(file: str, old: list[Any], new: list[Any], path: str) -> Iterator[Difference]:
    before, after = [_key(one) for one in old], [_key(one) for one in new]
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            for step in range(j - i):
                yield from _walk(file, old[i + step], new[k + step], _place(path, i + step, old[i + step]))
            continue
        for step in range(max(j - i, m - k)):
            one = old[i + step] if i + step < j else None
            other = new[k + step] if k + step < m else None
            yield from _walk(file, one, other, _place(path, (i if one is not None else k) + step, one or other))


def _key(entry: Any) -> str:
    """What an entry of a list is known by: an entry of a Bundle by its URL, anything else by all that it says."""
    if isinstance(entry, dict) and isinstance(entry.get("fullUrl"), str):
        return str(entry["fullUrl"])
    return dumps({"value": entry}).decode()


def _place(path: str, number: int, entry: Any) -> str:
    kind = entry.get("resource", {}).get("resourceType", "") if isinstance(entry, dict) else ""
    return f"{path}[{number}]{f'({kind})' if kind else ''}"


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    text = dumps({"value": value}).decode()[len('{"value":') : -1]
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
