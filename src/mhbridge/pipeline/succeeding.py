"""
Versions: what a new version replaces at each receiver, and how every document of an episode is taken back.

    authored message   each destination gets a version that replaces the last one which that one got or may have got
    the same again     nothing: what says the same is there already
    cancellation       what has not left does not leave; whoever got or may have got a version gets a withdrawal

Pure: what may have left is an argument, as the store said it. This module must never guess that something did not
leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from mhbridge.fhir.bundle import dumps, full_url, loads, resource_id
from mhbridge.fhir.succession import replacing, withdrawn, written
from mhbridge.model import DeliveryState, Document, Past, Reading, Series, Version, Withdrawal

__all__ = ["WITHDRAWN", "Replacement", "not_yet_used", "replacements", "series_of", "told", "withdrawals"]

#: The status of a version that takes a document back (FHIR R4 composition-status).
WITHDRAWN: Final = "entered-in-error"


class Replacement(NamedTuple):
    """One body and who gets it. Where there is nothing to send but something not to be sent, `document` is `None`."""

    document: Document | None
    to: tuple[str, ...]
    withdrawals: tuple[Withdrawal, ...] = ()


@dataclass(frozen=True, slots=True)
class _Standing:
    """
    A series as one destination knows it.

    Args:
        replaces: identifiers of what it got or may have got, the newest first, down to the first that it certainly got.
        waiting: deliveries that have not left.
        newest: the version that it has, may have or is about to get; `None`: it has none.
        last: the newest of those that it got or may have got.
    """

    replaces: tuple[str, ...] = ()
    waiting: tuple[int, ...] = ()
    newest: Version | None = None
    last: Version | None = None


def _standing(series: Series | None, destination: str) -> _Standing:
    replaces: dict[str, None] = {}
    waiting: list[int] = []
    newest: Version | None = None
    last: Version | None = None
    for version in reversed(series.versions if series else ()):
        theirs = [sent for sent in version.sent if sent.destination == destination]
        waiting += [sent.delivery for sent in theirs if sent.waits]
        left = any(sent.may_have_left for sent in theirs)
        if left:
            replaces[version.identifier] = None
            last = last or version
        if left or any(sent.waits for sent in theirs):
            newest = newest or version
        if any(sent.arrived for sent in theirs):
            break
    return _Standing(tuple(replaces), tuple(waiting), newest, last)


def series_of(past: Sequence[Past], reading: Reading) -> Series | None:
    """The series that a reading's document belongs to; `None`: it is the first."""
    for one in past:
        if (one.patient, one.episode) == (reading.patient, reading.episode):
            return next((series for series in one.series if series.document == reading.document), None)
    return None


def told(past: Sequence[Past]) -> tuple[Past, ...]:
    """What a step was told, as it is compared at the commit: without bodies."""
    return tuple(
        replace(one, series=tuple(replace(each, versions=tuple(map(_bare, each.versions))) for each in one.series))
        for one in past
    )


def _bare(version: Version) -> Version:
    return replace(version, body=b"") if version.body else version


def not_yet_used(series: Series | None, identifier: str) -> bool:
    """Whether no version of the series has this name: a sender that begins its numbers anew would use one twice."""
    return series is None or all(version.identifier != identifier for version in series.versions)


def replacements(
    document: Document, resource: Mapping[str, Any], to: Sequence[str], earlier: Series | None
) -> Iterator[Replacement]:
    """
    A new version, once for each way in which its receivers have to be told what it replaces.

    Who has one that says the same, or is about to get it, gets nothing.

    Args:
        document: with its `content`, and the body that replaces nothing.
    """
    if not to:
        # Nobody gets it; a person may want to see it.
        yield Replacement(document, ())
        return
    groups: dict[tuple[str, ...], list[str]] = {}
    waiting: dict[tuple[str, ...], list[int]] = {}
    for destination in to:
        standing = _standing(earlier, destination)
        has = standing.newest
        if has is not None and (has.content, has.target, has.status) == (
            document.content,
            document.target,
            document.status,
        ):
            continue
        groups.setdefault(standing.replaces, []).append(destination)
        waiting.setdefault(standing.replaces, []).extend(standing.waiting)
    for replaces, destinations in groups.items():
        body = dumps(replacing(resource, replaces)) if replaces else document.body
        gone = tuple(Withdrawal(one, DeliveryState.SUPERSEDED) for one in waiting[replaces])
        yield Replacement(replace(document, body=body), tuple(destinations), gone)


def withdrawals(
    past: Sequence[Past], reading: Reading, now: datetime
) -> Iterator[tuple[Replacement, Mapping[str, Any]]]:
    """
    What takes back every document of the episodes that a cancellation is about, with the Bundle of each.

    Raises:
        LookupError: a document that left cannot be taken back, since no version of it is kept any more.
    """
    for one in past:
        if (one.patient, one.episode) != (reading.patient, reading.episode):
            continue
        for series in one.series:
            yield from _withdrawals(series, reading, now)


def _withdrawals(series: Series, reading: Reading, now: datetime) -> Iterator[tuple[Replacement, Mapping[str, Any]]]:
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    waiting: list[Withdrawal] = []
    for destination in dict.fromkeys(sent.destination for version in series.versions for sent in version.sent):
        standing = _standing(series, destination)
        if standing.newest is None or standing.newest.status == WITHDRAWN:
            continue
        waiting += [Withdrawal(one, DeliveryState.CANCELLED) for one in standing.waiting]
        if standing.last is not None and standing.last.status != WITHDRAWN:
            groups.setdefault((standing.last.target, standing.replaces), []).append(destination)
    if waiting:
        yield Replacement(None, (), tuple(waiting)), {}
    facts = reading.facts
    identity, again = "", 0
    while not identity or not not_yet_used(series, full_url(identity)):
        again += 1
        identity = resource_id(series.name.hex(), facts.sender, facts.control_id, str(again), WITHDRAWN)
    for (target, replaces), destinations in groups.items():
        bodies = (version.body for version in reversed(series.versions) if version.target == target and version.body)
        body = next(bodies, None)
        if body is None:
            raise LookupError(series.document)
        instant = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        # An event says when it was; a letter that is taken back, only what it was a letter about.
        date = "" if reading.authors else reading.effective_at
        resource = replacing(
            withdrawn(loads(body), identifier=full_url(identity), date=date or instant, timestamp=instant),
            replaces,
        )
        body, says = written(resource)
        document = Document(
            series.document, target, "document", series.name, full_url(identity), body,
            status=WITHDRAWN, content=says, episode=reading.episode,
        )  # fmt: skip
        yield Replacement(document, tuple(destinations)), resource
