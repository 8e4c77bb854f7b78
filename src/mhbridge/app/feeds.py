"""
The feeds that an envelope may name, from the mappings and routes of a configuration: what a worker needs of it.

All problems are found at once. This module must never need a secret: it runs in workers, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any

from mhbridge import config as settings
from mhbridge import pipeline
from mhbridge.app.recipients import is_for, unfit
from mhbridge.errors import ConfigurationError, Diagnostic, MappingError

if TYPE_CHECKING:
    from mhbridge.mapping.catalogue import Catalogue, SupplierMapping
    from mhbridge.mapping.clocks import ReadyClock
    from mhbridge.mapping.library import Snapshot

__all__ = ["feeds_from", "feeds_needed", "feeds_of", "without_secrets"]


def feeds_of(config: settings.Config, snapshot: Snapshot) -> dict[str, pipeline.Feed]:
    """The feeds of a configuration, from these mapping files: what a worker needs of it."""
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.mapping.library import Library

    return feeds_from(config, Catalogue(Library(snapshot)))


def without_secrets(config: settings.Config) -> settings.Config:
    """Without what opens doors, which a worker does not do."""
    nothing = dict.fromkeys(("auth", "tls", "token", "secret", "acknowledgements"))
    receivers = [one.model_copy(update={k: None for k in nothing if hasattr(one, k)}) for one in config.receivers]
    destinations = [one.model_copy(update={k: None for k in nothing if hasattr(one, k)}) for one in config.destinations]
    return replace(config, http=None, access=(), receivers=tuple(receivers), destinations=tuple(destinations))


@dataclass(frozen=True, slots=True)
class Needed:
    """What a configuration needs of the mapping files: its routes; and by supplier the mappings, and their clocks."""

    routes: tuple[pipeline.Route, ...]
    mappings: Mapping[str, tuple[SupplierMapping, ...]]
    clocks: Mapping[str, Mapping[str, tuple[ReadyClock, ...]]]


def feeds_needed(config: settings.Config, catalogue: Catalogue) -> Needed:
    """
    What a configuration needs of the mapping files.

    Raises:
        ConfigurationError: it names what is not there; with it, what is wrong with mappings, too.
        MappingError: nothing is wrong but mappings.
    """
    problems: list[tuple[str, str]] = []
    diagnostics: list[Diagnostic] = []
    routes = _routes(config, catalogue, problems)
    mappings = _mappings(config, catalogue, problems, diagnostics)
    clocks = {supplier: pipeline.clocks_by_document(own) for supplier, own in mappings.items()}
    problems += _unknown_queues(config, [one for found in clocks.values() for of in found.values() for one in of])
    faults = list(dict.fromkeys(diagnostics))
    if problems:
        raise ConfigurationError([*problems, *((fault.code, fault.short()) for fault in faults)])
    if faults:
        raise MappingError(faults)
    return Needed(routes, mappings, clocks)


def feeds_from(config: settings.Config, catalogue: Catalogue) -> dict[str, pipeline.Feed]:
    """
    Every feed that an envelope may name: each receiver's, and over HTTP each mapping of its supplier alone.

    Raises as `feeds_needed`.
    """
    needed = feeds_needed(config, catalogue)
    routes, mappings, clocks = needed.routes, needed.mappings, needed.clocks
    told = {
        supplier: [one for one in own if catalogue.watches(one.document.name)] for supplier, own in mappings.items()
    }
    looks = pipeline.looks_of(
        watch
        for name in dict.fromkeys(m.document.name for own in told.values() for m in own)
        for watch in catalogue.watches(name)
    )
    targets = {destination.name: destination.target for destination in config.destinations}
    # A relay takes the original along with whatever the documents say; it has no shape of its own.
    targets = {name: "r4" if target == "original" else target for name, target in targets.items()}
    feeds: dict[str, pipeline.Feed] = {}
    for receiver in config.receivers:
        # Messages of our own come from nowhere else.
        own = tuple(one for one in mappings[receiver.supplier] if one not in told[receiver.supplier])
        make = partial(
            pipeline.Feed,
            receiver.supplier,
            looks=looks,
            routes=routes,
            parked=receiver.parked,
            live=config.gateway.mode == "live",
            targets=targets,
            clocks=clocks[receiver.supplier],
            carries=pipeline.carries_by_document(own),
            stale=pipeline.stale_by_document(own),
            needs={destination.name: destination.needs for destination in config.destinations},
            extracts=catalogue.extracts(own, {name for route in config.routes for name in route.documents}),
        )
        feeds[receiver.feed] = make(receiver.feed, own)
        for mapping in told[receiver.supplier]:
            feeds[mapping.name] = make(mapping.name, (mapping,), watches=catalogue.watches(mapping.document.name))
        if isinstance(receiver, settings.HttpReceiver):
            for mapping in own:
                feeds.setdefault(mapping.name, make(mapping.name, (mapping,)))
    return feeds


def _mappings(
    config: settings.Config, catalogue: Catalogue, problems: list[tuple[str, str]], diagnostics: list[Diagnostic]
) -> dict[str, tuple[SupplierMapping, ...]]:
    found: dict[str, tuple[SupplierMapping, ...]] = {}
    for number, receiver in enumerate(config.receivers):
        if receiver.supplier in found:
            continue
        names = catalogue.feeds(receiver.supplier)
        if not names:
            key, meant = config.where("receiver", number, "supplier"), _meant(receiver.supplier, catalogue.suppliers())
            problems.append(("C818", f"{key}: there is no mapping of this supplier{meant}"))
        ready: list[SupplierMapping] = []
        for name in names:
            try:
                mapping = catalogue.mapping(name)
                ready.append(mapping)
                if config.gateway.mode == "live":
                    problems += _unreviewed(config.where("receiver", number, "supplier"), mapping, catalogue)
            except MappingError as error:
                diagnostics += error.diagnostics
        found[receiver.supplier] = tuple(ready)
    return found


def _unreviewed(key: str, mapping: SupplierMapping, catalogue: Catalogue) -> list[tuple[str, str]]:
    """What keeps a mapping from patients: that it is a draft, or that nobody has signed for what it is now."""
    if mapping.file.draft:
        return [("C852", f"{key}: {mapping.name} is a draft, and this gateway is live")]
    if catalogue.review(mapping) is None:
        earlier = [one for one in catalogue.reviews(mapping.supplier.name) if one.mapping == mapping.name]
        since = f"; it has changed since {earlier[-1].who} reviewed it on {earlier[-1].when}" if earlier else ""
        what = f"nobody has reviewed {mapping.name} as it is now ({mapping.hash[:12]}), and this gateway is live{since}"
        return [("C851", f"{key}: {what}: mhbridge review {mapping.name}")]
    return []


def _routes(
    config: settings.Config, catalogue: Catalogue, problems: list[tuple[str, str]]
) -> tuple[pipeline.Route, ...]:
    routes = []
    known = catalogue.library.folders("documents")
    for number, route in enumerate(config.routes):
        key, where = config.where("route", number, "documents"), config.where("route", number, "when")
        conditions: dict[str, Any] = {}
        faults: dict[tuple[str, int], Diagnostic] = {}
        for document in route.documents:
            if document not in known:
                problems.append(("C819", f"{key}: there is no such document type{_meant(document, known)}"))
            elif route.when:
                try:
                    conditions[document] = catalogue.condition(route.when, document, where=where)
                except MappingError as error:
                    # One fault is found again for each document type.
                    faults = {(d.code, d.span.column): d for d in error.diagnostics} | faults
            if route.recipients is not None and (type_ := catalogue.document(document)) is not None:
                place = config.where("route", number, "recipients")
                unknown = unfit(route.recipients, type_)
                problems += [("C828", f"{place}: {document} names no organisation in {name}") for name in unknown]
        for (code, _), fault in faults.items():
            hint = f"; {fault.hint}" if fault.hint else ""
            problems.append(("C817", f"{where}: {code}: {fault.message}{hint}"))
        when = partial(_holds, conditions) if route.when else None
        if route.recipients is not None:
            when = partial(_is_for, is_for(route.recipients), when)
        routes.append(pipeline.Route(frozenset(route.documents), route.to, when))
    return tuple(routes)


def _is_for(
    named: Callable[[Mapping[str, Any]], bool],
    when: Callable[[str, Mapping[str, Any]], bool] | None,
    document: str,
    items: Mapping[str, Any],
) -> bool:
    return named(items) and (when is None or when(document, items))


def _holds(conditions: Mapping[str, Any], document: str, items: Mapping[str, Any]) -> bool:
    return bool(conditions[document](items))


def _unknown_queues(config: settings.Config, clocks: Sequence[ReadyClock]) -> list[tuple[str, str]]:
    """Queues that a clock tells and that are not there: whoever was meant would never hear of it."""
    queues = settings.duties_of(config).queues
    # A clock is declared once and starts with several document types.
    told = dict.fromkeys((str(one.rule.span), one.name, rung.queue) for one in clocks for rung in one.rule.ladder)
    return [
        ("C829", f"{place}: the clock {clock} tells the queue {queue!r}{_meant(queue, sorted(queues))}")
        for place, clock, queue in told
        if queue not in queues
    ]


def _meant(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
