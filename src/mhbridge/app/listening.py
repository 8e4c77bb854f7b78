"""
What listens: receivers, and the API with its pages.

This module must never open a port.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mhbridge import config as settings
from mhbridge import pipeline
from mhbridge.app.making import made_for
from mhbridge.app.mappings import Mappings, Reloading
from mhbridge.gateway import Clocks, Gateway, Outbox
from mhbridge.gateway.silence import Silence
from mhbridge.log import Log

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from mhbridge.console import Nodes, Sources
    from mhbridge.gateway.parts import Parts
    from mhbridge.ports import Clock, Receiver, Store

__all__ = ["Listening"]


@dataclass(frozen=True, slots=True)
class Listening:
    """What receivers are made of."""

    config: settings.Config
    mappings: Mappings
    reloading: Reloading
    gateway: Gateway
    outbox: Outbox
    silence: Silence
    clocks: Clocks
    store: Store
    clock: Clock
    log: Log
    parts: Parts | None = None

    def receivers(self) -> dict[str, Receiver]:
        """All that listens. The API's own listener is the first, so that health can be asked at once."""
        made: dict[str, Receiver] = {}
        shared = [r for r in self.config.receivers if isinstance(r, settings.HttpReceiver) and r.listen is None]
        if self.config.http is not None:
            routes = (*self._console(), *self._messages(shared))
            made["http"] = made_for("[http]", self._http, self.config.http.listen, self.config.http.tls, routes, "")
        for receiver in self.config.receivers:
            whose = f"receiver {receiver.feed}"
            if isinstance(receiver, settings.MllpReceiver):
                made[receiver.feed] = made_for(whose, self._mllp, receiver)
            elif isinstance(receiver, settings.FolderReceiver):
                made[receiver.feed] = self._folder(receiver)
            elif isinstance(receiver, settings.MeshReceiver):
                made[receiver.feed] = made_for(whose, self._mesh, receiver)
            elif receiver.listen is not None:
                routes = self._messages([receiver])
                made[receiver.feed] = made_for(whose, self._http, receiver.listen, receiver.tls, routes, receiver.feed)
        return made

    def _mllp(self, receiver: settings.MllpReceiver) -> Receiver:
        from mhbridge.adapters.mllp import MllpReceiver
        from mhbridge.adapters.tls import server_context
        from mhbridge.formats import format_named

        format_ = format_named("hl7v2")
        assert format_ is not None
        return MllpReceiver(
            supplier=receiver.supplier,
            feed=receiver.feed,
            listen=receiver.listen,
            receive=self.gateway.receive,
            refuse=self.gateway.refuse,
            acknowledge=partial(format_.acknowledge, name=self.config.gateway.name),
            clock=self.clock,
            log=self.log,
            context=None if receiver.tls is None else server_context(receiver.tls),
            limit=receiver.limit,
            frame_time=receiver.frame_time,
            connections=receiver.connections,
            keepalive=receiver.keepalive,
            idle=receiver.idle,
        )

    def _folder(self, receiver: settings.FolderReceiver) -> Receiver:
        from mhbridge.adapters.folder import DiskFiles, FolderReceiver

        return FolderReceiver(
            supplier=receiver.supplier,
            feed=receiver.feed,
            path=receiver.path,
            receive=self.gateway.receive,
            refuse=self.gateway.refuse,
            files=DiskFiles(),
            clock=self.clock,
            log=self.log,
            parts=lambda file, before: pipeline.parts(file, self.mappings.feeds[receiver.feed], before),
            gatherings=lambda: pipeline.gatherings(self.mappings.feeds[receiver.feed]),
            pattern=receiver.pattern,
            settle=receiver.settle,
            marker=receiver.marker or "",
            every=receiver.every,
            limit=receiver.limit,
        )

    def _mesh(self, receiver: settings.MeshReceiver) -> Receiver:
        from mhbridge.adapters.mesh import MeshReceiver, Mine
        from mhbridge.app.mailboxes import mailbox_of, senders_of
        from mhbridge.gateway.mailboxes import Mailboxes

        def mine(one: settings.MeshReceiver) -> Mine:
            return Mine(frozenset(one.workflows), frozenset(one.senders))

        others = [
            mine(other)
            for other in self.config.receivers
            if isinstance(other, settings.MeshReceiver) and other.mailbox == receiver.mailbox and other != receiver
        ]
        return MeshReceiver(
            supplier=receiver.supplier,
            feed=receiver.feed,
            mailbox=mailbox_of(receiver, self.clock),
            take=self.gateway.take,
            refuse=self.gateway.refuse,
            notes=Mailboxes(store=self.store, destinations=senders_of(self.config), clock=self.clock, log=self.log),
            clock=self.clock,
            log=self.log,
            mine=mine(receiver),
            others=others,
            shut=lambda: self.gateway.pressure.shut,
            polls=lambda: self.parts is None or self.parts.leads,
            every=receiver.every,
            limit=receiver.limit,
        )

    def _http(
        self, listen: settings.Listen, tls: settings.Tls | None, routes: Sequence[web.RouteDef], feed: str
    ) -> Receiver:
        from mhbridge.adapters.http import HttpServer
        from mhbridge.adapters.tls import server_context

        context = None if tls is None else server_context(tls)
        return HttpServer(listen=listen, routes=routes, log=self.log, context=context, feed=feed)

    def _messages(self, receivers: Sequence[settings.HttpReceiver]) -> tuple[web.RouteDef, ...]:
        from mhbridge.adapters.allowance import Allowance
        from mhbridge.adapters.http import Entrance, MessageDoor
        from mhbridge.adapters.http_messaging import MessagingDoor
        from mhbridge.formats import format_named

        if not receivers:
            return ()
        allowances = {receiver.feed: Allowance(receiver.at_most) for receiver in receivers if receiver.at_most}

        def entrance(name: str) -> Entrance | None:
            for receiver in receivers:
                own = self.mappings.feeds[receiver.feed].mappings
                if name == receiver.feed or any(name == mapping.name for mapping in own):
                    allowance = allowances.get(receiver.feed)
                    return Entrance(receiver.supplier, name, receiver.limit, receiver.token, allowance)
            return None

        def messaging() -> list[Entrance]:
            found = [entrance(receiver.feed) for receiver in receivers if self._speaks_fhir(receiver.feed)]
            return [one for one in found if one is not None]

        doors = MessageDoor(
            entrance=entrance,
            take=self.gateway.take,
            refuse=self.gateway.refuse,
            clock=self.clock,
            shut=lambda: self.gateway.pressure.shut,
        ).routes
        format_ = format_named("fhir")
        assert format_ is not None
        more = MessagingDoor(
            entrances=messaging,
            take=self.gateway.take,
            acknowledge=partial(format_.acknowledge, name=self.config.gateway.name),
            refuse=self.gateway.refuse,
            clock=self.clock,
            shut=lambda: self.gateway.pressure.shut,
        )
        return (*doors, *more.routes)

    def _speaks_fhir(self, feed: str) -> bool:
        return any(mapping.format.name == "fhir" for mapping in self.mappings.feeds[feed].mappings)

    def _sources(self) -> Sources:
        """Where the metrics come from."""
        from mhbridge.adapters.certificates import Certificates
        from mhbridge.console import Sources

        gateway, pressure = self.gateway, self.gateway.pressure
        return Sources(
            ready=lambda: gateway.ready,
            shut=lambda: self.outbox.shut,
            intake_shut=lambda: pressure.shut,
            inside=lambda: (pressure.inside, pressure.size),
            workers=lambda: gateway.workers,
            silent=lambda: self.silence.silent,
            meters=self.store.meters,
            certificates=Certificates(certificates_of(self.config)),
            leaves=gateway.leaves,
            headings=gateway.headings,
            acknowledged=gateway.acknowledged,
            feeds=tuple(receiver.feed for receiver in self.config.receivers),
            destinations=tuple(destination.name for destination in self.config.destinations),
            mode=self.config.gateway.mode,
            nodes=None if self.parts is None else self._nodes,
        )

    def _nodes(self) -> Nodes:
        """How the gateways stand that share the store, as this one knows it."""
        from mhbridge.console import Nodes

        assert self.parts is not None
        parts = self.parts
        return Nodes(parts.node, parts.nodes, parts.leads, len(parts.working), parts.unheld)

    def _console(self) -> tuple[web.RouteDef, ...]:
        from mhbridge.adapters.http_translate import TranslateDoor
        from mhbridge.console import (
            Access,
            DestinationPages,
            HealthPages,
            MappingPages,
            MessagePages,
            RepairPages,
            TaskPages,
            routes,
        )

        access = Access(self.config.access, store=self.store, clock=self.clock, log=self.log)
        messages = MessagePages(store=self.store, access=access, wake=self.outbox.wake, clock=self.clock, log=self.log)
        repairs = RepairPages(
            store=self.store,
            access=access,
            rehearse=self.gateway.rehearse,
            wake=self.gateway.backlog.wake,
            clock=self.clock,
            log=self.log,
        )
        tasks = TaskPages(store=self.store, access=access, wake=self.clocks.wake, clock=self.clock, log=self.log)
        health = HealthPages(
            store=self.store,
            access=access,
            unready=lambda: self.gateway.unready,
            sources=self._sources(),
            clock=self.clock,
        )
        destinations = DestinationPages(
            names=tuple(destination.name for destination in self.config.destinations),
            shut=lambda: self.outbox.shut,
            let_go=self.outbox.let_go,
            tokens={
                destination.name: destination.acknowledgements
                for destination in self.config.destinations
                if isinstance(destination, settings.FhirDestination) and destination.acknowledgements is not None
            },
            store=self.store,
            access=access,
            clock=self.clock,
            log=self.log,
        )
        mappings = MappingPages(shown=self.mappings.shown, reload=self.reloading.reload, access=access)
        translate = TranslateDoor(
            mapping=self.mappings.mapping,
            allow=partial(access.require, role="viewer"),
            clock=self.clock,
        )
        return (
            *health.routes,
            *messages.routes,
            *repairs.routes,
            *tasks.routes,
            *destinations.routes,
            *mappings.routes,
            *translate.routes,
            *routes(self.config.gateway.name),
        )


def certificates_of(config: settings.Config) -> dict[str, Path]:
    """What each certificate is for that the gateway shows or relies on → its file."""
    found: dict[str, Path | None] = {}
    ours = [(f"receiver {one.feed}", getattr(one, "tls", None)) for one in config.receivers]
    ours += [(f"destination {one.name}", getattr(one, "tls", None)) for one in config.destinations]
    if config.http is not None:
        ours.append(("http", config.http.tls))
    for whose, tls in ours:
        if isinstance(tls, settings.Tls):
            found |= {whose: tls.certificate, f"{whose} clients": tls.clients}
        elif isinstance(tls, settings.ClientTls):
            found |= {whose: tls.certificate, f"{whose} authorities": tls.authorities}
    return {whose: path for whose, path in found.items() if path is not None}
