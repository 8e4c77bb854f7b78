"""
The pure flow: bytes → messages → readings (`intake`), then reading + known → documents and deliveries (`step`).

Two functions, because order matters only for the second: intake depends on nothing but the message, the step on what
came before for the same patient. Both are pure: no I/O, no clock, no logging, everything they need is an argument and
everything they find is returned. Neither raises for a bad message, except that `intake` raises `MalformedMessage` when
nothing of an envelope can be read: then there is nothing to keep, and the sender is told so.
"""

from __future__ import annotations

from mhbridge.pipeline.alone import Earlier, outcome_now, outcomes_of_file
from mhbridge.pipeline.answering import answer
from mhbridge.pipeline.arriving import Intake, Taken, gatherings, intake, parts, take, taken_of
from mhbridge.pipeline.carrying import Carried, carried_of, carries_by_document, stale_by_document
from mhbridge.pipeline.clocking import clocks_by_document
from mhbridge.pipeline.completing import letters
from mhbridge.pipeline.naming import dedupe_key
from mhbridge.pipeline.ordering import by_who_stays, is_own, known_at, needs_known, place
from mhbridge.pipeline.routing import Feed, Route
from mhbridge.pipeline.stepping import carrying, needs_past, serving, step
from mhbridge.pipeline.watching import active, looks_of, notices

__all__ = [
    "Carried",
    "Earlier",
    "Feed",
    "Intake",
    "Route",
    "Taken",
    "active",
    "answer",
    "by_who_stays",
    "carried_of",
    "carries_by_document",
    "carrying",
    "clocks_by_document",
    "dedupe_key",
    "gatherings",
    "intake",
    "is_own",
    "known_at",
    "letters",
    "looks_of",
    "needs_known",
    "needs_past",
    "notices",
    "outcome_now",
    "outcomes_of_file",
    "parts",
    "place",
    "serving",
    "stale_by_document",
    "step",
    "take",
    "taken_of",
]
