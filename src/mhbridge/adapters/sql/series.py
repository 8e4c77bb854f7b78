"""
The versions of an episode's documents, and what of them may have left.

Read before a step on one connection, and again at its commit on the writing one: where the two differ, the step was
told what does not hold any more, and is done again. This module must never write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mhbridge.model import DeliveryState, Past, Sent, Series, Version

__all__ = ["past"]

Rows = Callable[..., Sequence[Any]]
"""Runs a named query with named values."""


def past(rows: Rows, told: Past, patient: bytes, episode: bytes, body: Callable[[int], bytes] | None = None) -> Past:
    """
    What there is of an episode.

    Args:
        told: names the episode; what it says of it is not looked at.
        patient: the token of any of the identifiers that were merged.
        body: finds the bytes of a document, where they are wanted.
    """
    by_type: dict[str, list[tuple[bytes, Version]]] = {}
    for about, message, series, version, kind, target, identifier, content, status in rows(
        "versions_of_episode", token=patient, episode=episode
    ):
        rows_of = rows("sent_of_document", message=message, document=about)
        sent = tuple([Sent(delivery, to, DeliveryState(state), *more) for delivery, to, state, *more in rows_of])
        found = Version(version, identifier, target, content, status, sent, body(about) if body else b"")
        by_type.setdefault(kind, []).append((series, found))
    series_of = (Series(one[-1][0], kind, tuple([each for _, each in one])) for kind, one in by_type.items())
    return Past(told.patient, told.episode, tuple(series_of))
