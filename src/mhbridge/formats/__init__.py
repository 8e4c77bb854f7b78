"""
The door that every source format comes through: bytes → messages, paths into a message, and the answer to its sender.

A format is one module that implements `Format` (`format`) and is registered in `registry`, or by the entry point
`mhbridge.formats`; what some do besides is in `abilities`. They speak of `sources`, `messages` and `paths`, and to the
field ledger of `places`. Formats are pure: they must never open, log, wait or read a clock, and must raise nothing but
`MalformedMessage` for bad bytes, `PathError` for a bad path, `DeclarationError` for a bad `source:` block.

Words: a *message* is parsed lazily; a *cursor* is a place in it (the message itself, a segment, a repetition, a row);
a *raw* value is what a path finds there, before the mapping language converts it to the item's type.
"""

from __future__ import annotations

from mhbridge.formats.abilities import Divisible, Doubting, Gathered, Gathering, Nested, Planned, Prefixed, Typed
from mhbridge.formats.format import Format
from mhbridge.formats.messages import BrokenMessage, Message, Part, Spill
from mhbridge.formats.paths import Loop, Path, PathError, Plain, PlainValue, Plan, Scope
from mhbridge.formats.places import (
    PLACE,
    PLACE_BITS,
    STATE_BITS,
    Asked,
    Became,
    Cell,
    Ignoring,
    LoopSpot,
    NestedLoopSpot,
    NestedSpot,
    Placed,
    Spot,
    States,
    no_more,
    nowhere,
)
from mhbridge.formats.registry import BUILT_IN, format_named, formats, sniff
from mhbridge.formats.sources import DeclarationError, Source

__all__ = [
    "BUILT_IN",
    "PLACE",
    "PLACE_BITS",
    "STATE_BITS",
    "Asked",
    "Became",
    "BrokenMessage",
    "Cell",
    "DeclarationError",
    "Divisible",
    "Doubting",
    "Format",
    "Gathered",
    "Gathering",
    "Ignoring",
    "Loop",
    "LoopSpot",
    "Message",
    "Nested",
    "NestedLoopSpot",
    "NestedSpot",
    "Part",
    "Path",
    "PathError",
    "Placed",
    "Plain",
    "PlainValue",
    "Plan",
    "Planned",
    "Prefixed",
    "Scope",
    "Source",
    "Spill",
    "Spot",
    "States",
    "Typed",
    "format_named",
    "formats",
    "no_more",
    "nowhere",
    "sniff",
]
