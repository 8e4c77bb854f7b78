"""
Putting values together: lists, records and objects, and the state that one is in of which nothing is present.

This module must never read a value, but for the texts of an atomic record of which a part failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mhbridge.mapping import nodes
from mhbridge.mapping.marks import KEPT, Trace
from mhbridge.mapping.run import Run
from mhbridge.model import ABSENT, DELETED, State, Unknown

__all__ = [
    "as_list",
    "better",
    "data_absent",
    "fill",
    "gathered",
    "present_alone",
    "settled",
    "settling",
    "splice",
    "whole_as_text",
    "whole_settling",
]

#: FHIR R4 §2.5.1.1: why a required element has no value.
DATA_ABSENT_REASON: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

_SINGLE: Final = frozenset({dict, str})


def as_list(value: Any) -> Any:
    """A list element given one value gets a list of one (mapping language §6.2.5)."""
    return value if type(value) is list or isinstance(value, State) else [value]


def splice(into: list[Any], value: Any, state: State) -> State:
    """
    Append a value, or every entry of a list.

    Returns:
        What an empty list is to be: the first state met that says more than absent.
    """
    if isinstance(value, State):
        return value if state is ABSENT else state
    if isinstance(value, list):
        into.extend(value)
    else:
        into.append(value)
    return state


def gathered(values: list[Any]) -> Any:
    """A list of these values and of the entries of lists among them, or the state that it has when there is none."""
    if _SINGLE.issuperset(map(type, values)):
        return values or ABSENT
    found: list[Any] = []
    state: State = ABSENT
    for value in values:
        state = splice(found, value, state)
    return found or state


def better(first: Any, other: Any) -> Any:
    """`first or other`, where the first is absent or unknown: what is unknown stays if the other says no more."""
    return first if isinstance(other, State) and other.passes and first is not ABSENT else other


def present_alone(items: dict[str, Any]) -> dict[str, Any]:
    """Items without those that are absent."""
    if ABSENT not in items.values():
        return items
    return {name: value for name, value in items.items() if value is not ABSENT}


def settled(record: dict[str, Any]) -> Any:
    """
    A record of values of which each counts: itself when anything is present in it, deleted when all there was is
    deleted. What is absent is taken away.
    """
    values = record.values()
    if ABSENT in values:
        record = present_alone(record)
        values = record.values()
    for value in values:
        if value is not DELETED:
            return record
    return DELETED if record else ABSENT


def settling(said: frozenset[str], *, solid: bool) -> Callable[[dict[str, Any]], Any]:
    """
    What settles a record.

    Args:
        said: the fields that the mapping states, which do not count.
        solid: see `nodes.BindRecord`.
    """

    def settle(record: dict[str, Any]) -> Any:
        record = present_alone(record)
        if not record.keys() <= said and any(record[name] is not DELETED for name in record if name not in said):
            return record
        return DELETED if DELETED in record.values() else ABSENT

    def settle_solid(record: dict[str, Any]) -> Any:
        parts = {name: value for name, value in record.items() if not isinstance(value, State)}
        if not parts.keys() <= said:
            return parts
        return next((one for one in reversed(record.values()) if isinstance(one, State) and one is not ABSENT), ABSENT)

    return settle_solid if solid else settle if said else settled


def whole_settling(
    node: nodes.BindRecord, settle: Callable[[dict[str, Any]], Any]
) -> Callable[[dict[str, Any], int, Any, Run], Any]:
    """What settles an atomic record, which is kept as text when more failed than had before it."""
    solid = node.solid

    def settle_whole(record: dict[str, Any], failures: int, cursor: Any, run: Run) -> Any:
        if run.failures == failures:
            return settle(record)
        parts = {
            name: value
            for name, value in record.items()
            if not (isinstance(value, State) if solid else value is ABSENT)
        }
        return whole_as_text(parts, node, cursor, run) or settle(record)

    return settle_whole


def fill(into: dict[str, Any], key: str, value: Any) -> None:
    """Put a value where there is none."""
    into.setdefault(key, value)


def data_absent(into: dict[str, Any], key: str, value: Unknown, primitive: bool, many: bool) -> None:
    """Say why a required element has no value, unless it has one from the object that was started from."""
    if key in into:
        return
    reason = {"extension": [{"url": DATA_ABSENT_REASON, "valueCode": value.reason}]}
    if primitive:
        into[f"_{key}"] = [reason] if many else reason
        if many:
            into[key] = [None]
    else:
        into[key] = [reason] if many else reason


def whole_as_text(record: Mapping[str, Any], node: nodes.BindRecord, cursor: Any, run: Run) -> dict[str, Any]:
    """
    An atomic record of which a part failed, kept whole as the text received, never in part.

    A dose without its drug, or a drug without its route, is more dangerous than a line to be read by a person.
    """
    words = list(_received(tuple(body for _, body in node.fields), cursor, set(), run.trace))
    if words:
        return {node.whole: {"text": "; ".join(words)}}
    return {key: value for key, value in record.items() if value is not DELETED}


def _received(tree: Any, cursor: Any, seen: set[str], trace: Trace) -> Iterator[str]:
    """The texts at every path below a binding; `seen` are the paths read at this cursor already."""
    for node in nodes.walk(tree, closed=(nodes.BindEach,)):
        if isinstance(node, nodes.BindEach):
            for inner in node.loop.cursors(cursor):
                yield from _received(node.body, inner, set(), trace)
        elif isinstance(node, nodes.Read) and node.path not in seen:
            seen.add(node.path)
            trace.append((node.mark, KEPT, None, cursor))
            yield from node.texts(cursor)
