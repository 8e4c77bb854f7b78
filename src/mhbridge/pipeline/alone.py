"""
Intake and step at once, for bytes before which nothing came: what a person tries, and what a test replays.

This module must never be used by what delivers: it knows nothing of earlier messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO

from mhbridge.model import Envelope, Outcome
from mhbridge.pipeline.arriving import intake, parts
from mhbridge.pipeline.routing import Feed
from mhbridge.pipeline.stepping import step

__all__ = ["outcome_now", "outcomes_of_file"]


def outcomes_of_file(file: BinaryIO, feed: Feed, now: datetime) -> Iterator[Outcome]:
    """
    What becomes of a file for which nothing came before, as `outcome_now`; a large extract is not held in memory.

    Raises:
        MalformedMessage: nothing of it can be read, or nothing more.
    """
    taken = False
    for part in parts(file, feed) or ():
        envelope = Envelope(part.body, feed.supplier, feed.name, now, "file", before=part.before)
        taken = True
        for message in intake(envelope, feed).messages:
            yield step(message, {}, now, feed)
    if not taken:
        file.seek(0)
        yield from outcome_now(file.read(), feed, now)


def outcome_now(body: bytes, feed: Feed, now: datetime) -> list[Outcome]:
    """
    What becomes of some bytes for which nothing came before: intake and step at once, with no store between them.

    Raises:
        MalformedMessage: nothing of it can be read.
    """
    envelope = Envelope(body, feed.supplier, feed.name, now, "file")
    return [step(taken, {}, now, feed) for taken in intake(envelope, feed).messages]
