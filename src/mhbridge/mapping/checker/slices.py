"""
What a profile says of the entries of a list that it slices: a closed list takes no entry that is of no slice.

Told here is what the build itself states; what only a message says is for the validator. This module must never guess
what an expression will give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mhbridge.errors import Span
from mhbridge.fhir.definitions import Profile
from mhbridge.mapping import nodes

__all__ = ["of_no_slice"]

#: What stands at a path is said by a message, or nothing stands there.
_OPEN: Final = object()
_NOTHING: Final = object()


def of_no_slice(profile: Profile, path: str, node: nodes.Node) -> Iterator[tuple[Span, str, list[str]]]:
    """
    The entries at an element that are surely of none of its slices, where the profile takes no others.

    Args:
        path: of the element: `Observation.component`.

    Returns:
        For each: where it stands, the path in it by which slices are told, and what would tell one.
    """
    said = profile.constraints.get(path)
    if said is None or said.slicing[:1] != ("closed",) or len(said.slicing) != 2:
        return
    kind, _, told_by = said.slicing[1].partition(":")
    head, tail = f"{path}:", f".{told_by}"
    known = [one.fixed for name, one in profile.constraints.items() if name.startswith(head) and name.endswith(tail)]
    if kind != "value" or not known or None in known:
        return
    for entry in _entries(node):
        if (value := _at(entry, told_by.split("."))) is not _OPEN and value not in known:
            yield entry.span, told_by, [str(one) for one in known]


def _entries(node: nodes.Node) -> Iterator[nodes.Node]:
    match node:
        case nodes.BuildList():
            for entry in node.entries:
                yield from _entries(entry)
        case nodes.BuildWhen() | nodes.BuildEach():
            yield from _entries(node.body)
        case nodes.BuildCase():
            for _, body in node.branches:
                yield from _entries(body)
        case _:
            yield node


def _at(node: nodes.Node, steps: list[str]) -> Any:
    """What the build states at a path in an object."""
    for at, step in enumerate(steps):
        match node:
            case nodes.Build(base=None):
                put = next((one for one in node.puts if one.key == step), None)
                if put is None:
                    return _NOTHING
                node = put.node
            case nodes.Fixed():
                value = node.value
                for name in steps[at:]:
                    value = value.get(name, _NOTHING) if isinstance(value, Mapping) else _NOTHING
                return value
            case _:
                return _OPEN
    return node.value if isinstance(node, nodes.Fixed) else _OPEN
