"""
The composition root: from a configuration to a running gateway. The one module that knows every other.

`build` makes everything and starts nothing; `App.open` starts in the order store, senders, gateway, receivers, and
`App.close` ends in the reverse order. This module must never decide anything about a message.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mhbridge import config as settings
from mhbridge import log as logs
from mhbridge import pipeline
from mhbridge.errors import ConfigurationError, Diagnostic, MappingError
from mhbridge.gateway import Gateway, Outbox, Outlet, Watch, Workers
from mhbridge.gateway.watch import Expected
from mhbridge.log import Event, Log

if TYPE_CHECKING:
    from aiohttp import web

    from mhbridge.mapping.catalogue import Catalogue, SupplierMapping
    from mhbridge.ports import Clock, Receiver, Sender, Store

_T = TypeVar("_T")

__all__ = ["App", "build", "loop_factory", "run", "steady"]

#: How long receivers have to answer what they have read, when the gateway stops.
_ANSWERING: Final = 5.0


@dataclass(slots=True)
class App:
    """
    A gateway with all that belongs to it.

    Args:
        receivers: what listens, by feed; `http` is the listener of the API.
    """

    store: Store
    senders: Sequence[Sender]
    gateway: Gateway
    outbox: Outbox
    watch: Watch
    receivers: Mapping[str, Receiver]
    log: Log
    workers: Workers | None = None
    _opened: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def open(self) -> None:
        """
        Start. When this returns, the gateway takes messages.

        Raises:
            StoreError: the store is not to be trusted as it is.
            ConfigurationError: something cannot be listened on.
        """
        try:
            await self._start()
        except BaseException:
            await self._opened.aclose()
            raise

    async def _start(self) -> None:
        push = self._opened.push_async_callback
        push(self.store.close)
        await self.store.open()
        for sender in self.senders:
            push(sender.close)
            try:
                await sender.open()
            except OSError as error:
                problem = f"destination {sender.name}: what it writes to cannot be used: {_reason(error)}"
                raise ConfigurationError([("C820", problem)]) from None
        if self.workers is not None:
            push(self.workers.close)
            await self.workers.open()
        push(self.gateway.close)
        await self.gateway.open()
        push(self.watch.close)
        await self.watch.open()
        push(self._stop_receiving)
        for feed, receiver in self.receivers.items():
            try:
                await receiver.open()
            except OSError as error:
                problem = f"{feed}: cannot listen on {receiver.address}: {_reason(error)}"
                raise ConfigurationError([("C820", problem)]) from None
        self.log.info(Event.STARTED)

    async def close(self) -> None:
        """Stop: take nothing more, answer what was read, let what is being sent end, close the store."""
        self.log.info(Event.STOPPING)
        await self._opened.aclose()
        self.log.info(Event.STOPPED)

    async def _stop_receiving(self) -> None:
        closing = [asyncio.create_task(receiver.close()) for receiver in self.receivers.values()]
        if closing:
            _, late = await asyncio.wait(closing, timeout=_ANSWERING)
            for task in late:
                task.cancel()
            await asyncio.gather(*closing, return_exceptions=True)


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def run(config: settings.Config) -> None:
    """
    Serve until SIGTERM or SIGINT, then stop in good order.

    Raises:
        ConfigurationError, MappingError, StoreError: it could not start.
    """
    if not config.receivers and config.http is None:
        where = f"{config.file}: " if config.file else "there is no configuration: "
        raise ConfigurationError([("C823", f"{where}nothing to receive from; give --config")])
    with asyncio.Runner(loop_factory=loop_factory(config)) as runner:
        runner.run(_serve(config))


def loop_factory(config: settings.Config) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop: uvloop where it is installed (the extra `fast`), `None` for Python's own."""
    if any(isinstance(receiver, settings.MllpReceiver) and receiver.tls for receiver in config.receivers):
        # The listener begins TLS itself, to see who fails to; uvloop never ends a handshake on an accepted connection.
        return None
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(config: settings.Config) -> None:
    log = logs.make()
    logs.adopt_logging(log)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    logs.adopt_asyncio(log, loop)
    app = build(config, log=log)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await app.open()
    steady()
    await stop.wait()
    await app.close()


def steady() -> None:
    """
    Tell the garbage collector that what there is now stays: mappings, definitions, modules.

    Without this it looks through all of that again and again, which is most of what it does. And since what a message
    makes is freed by counting references, it may look for circles seldom.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


# --- building ----------------------------------------------------------------------------------------------


def build(config: settings.Config, *, log: Log | None = None, clock: Clock | None = None) -> App:
    """
    Everything that a configuration asks for, made and not started.

    Raises:
        ConfigurationError: it names a supplier or document type that does not exist, or something that cannot be used.
        MappingError: a mapping that it needs has errors.
    """
    from mhbridge.adapters.clock import utc_now
    from mhbridge.adapters.sqlite import SqliteStore
    from mhbridge.mapping.catalogue import load

    log = log or logs.make()
    clock = clock or utc_now
    catalogue = load(config.gateway.mappings)
    feeds = _feeds(config, catalogue)
    store = SqliteStore(config.gateway.store_path)
    senders = [_of(f"destination {found.name}", _sender, found, clock) for found in config.destinations]
    outlets = [_outlet(sender, found) for sender, found in zip(senders, config.destinations, strict=True)]
    outbox = Outbox(store=store, outlets=outlets, clock=clock, log=log)
    deadlines = {destination.name: destination.deadline for destination in config.destinations}
    workers = None
    if config.gateway.workers:
        workers = Workers(partial(feeds_of, _without_secrets(config)), config.gateway.workers, log)
    gateway = Gateway(
        store=store, feeds=feeds, outbox=outbox, deadlines=deadlines, clock=clock, log=log, workers=workers
    )
    expected = {r.feed: _expected(r.expect) for r in config.receivers if r.expect is not None}
    watch = Watch(store=store, expected=expected, heard=gateway.heard, clock=clock, log=log)
    making = _Making(config, catalogue, feeds, gateway, outbox, store, clock, log)
    return App(store, senders, gateway, outbox, watch, making.receivers(), log, workers)


def feeds_of(config: settings.Config) -> dict[str, pipeline.Feed]:
    """The feeds of a configuration, from its mappings: what a worker needs of it."""
    from mhbridge.mapping.catalogue import load

    return _feeds(config, load(config.gateway.mappings))


def _without_secrets(config: settings.Config) -> settings.Config:
    """Without what opens doors, which a worker does not do."""
    nothing = dict.fromkeys(("auth", "tls", "token"))
    receivers = [one.model_copy(update={k: None for k in nothing if hasattr(one, k)}) for one in config.receivers]
    destinations = [one.model_copy(update={k: None for k in nothing if hasattr(one, k)}) for one in config.destinations]
    return replace(config, http=None, access=(), receivers=tuple(receivers), destinations=tuple(destinations))


def _feeds(config: settings.Config, catalogue: Catalogue) -> dict[str, pipeline.Feed]:
    """Every feed that an envelope may name: each receiver's, and over HTTP each mapping of its supplier alone."""
    problems: list[tuple[str, str]] = []
    routes = _routes(config, catalogue, problems)
    mappings = _mappings(config, catalogue, problems)
    if problems:
        raise ConfigurationError(problems)
    targets = {destination.name: destination.target for destination in config.destinations}
    # A relay takes the original along with whatever the documents say; it has no shape of its own.
    targets = {name: "r4" if target == "original" else target for name, target in targets.items()}
    feeds: dict[str, pipeline.Feed] = {}
    for receiver in config.receivers:
        own = mappings[receiver.supplier]
        make = partial(
            pipeline.Feed,
            receiver.supplier,
            routes=routes,
            parked=receiver.parked,
            live=config.gateway.mode == "live",
            targets=targets,
        )
        feeds[receiver.feed] = make(receiver.feed, own)
        if isinstance(receiver, settings.HttpReceiver):
            for mapping in own:
                feeds.setdefault(mapping.name, make(mapping.name, (mapping,)))
    return feeds


def _mappings(
    config: settings.Config, catalogue: Catalogue, problems: list[tuple[str, str]]
) -> dict[str, tuple[SupplierMapping, ...]]:
    found: dict[str, tuple[SupplierMapping, ...]] = {}
    diagnostics: list[Diagnostic] = []
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
                ready.append(catalogue.mapping(name))
            except MappingError as error:
                diagnostics += error.diagnostics
        found[receiver.supplier] = tuple(ready)
    if diagnostics:
        raise MappingError(dict.fromkeys(diagnostics))
    return found


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
        for (code, _), fault in faults.items():
            hint = f"; {fault.hint}" if fault.hint else ""
            problems.append(("C817", f"{where}: {code}: {fault.message}{hint}"))
        when = partial(_holds, conditions) if route.when else None
        routes.append(pipeline.Route(frozenset(route.documents), route.to, when))
    return tuple(routes)


def _holds(conditions: Mapping[str, Any], document: str, items: Mapping[str, Any]) -> bool:
    return bool(conditions[document](items))


def _meant(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _expected(expect: settings.Expect) -> Expected:
    return Expected(timedelta(seconds=expect.at_least), expect.between)


def _outlet(sender: Sender, destination: settings.Destination) -> Outlet:
    needs = 1 if destination.acknowledged_by == "sent" else 2
    return Outlet(sender, concurrency=destination.concurrency, timeout=destination.timeout, needs=needs)


def _of(whose: str, make: Callable[..., _T], *values: Any) -> _T:
    """Make something, and say whose it was to be when it cannot be made."""
    try:
        return make(*values)
    except ConfigurationError as error:
        raise ConfigurationError([(code, f"{whose}: {message}") for code, message in error.problems]) from None


def _sender(destination: settings.Destination, clock: Clock) -> Sender:
    from mhbridge.adapters.tls import client_context

    match destination:
        case settings.FhirDestination(name=name, url=url):
            from mhbridge.adapters.fhir_server import FhirSender
            from mhbridge.adapters.tokens import BearerToken, SignedTokens

            context = client_context(destination.tls) if url.startswith("https:") else None
            who: Any = {}
            if isinstance(destination.auth, settings.BearerAuth):
                who = {"authorise": BearerToken(destination.auth.token)}
            elif isinstance(destination.auth, settings.JwtAuth):
                token_context = client_context(None) if destination.auth.token_url.startswith("https:") else None
                who = {"authorise": SignedTokens(destination.auth, clock=clock, context=token_context)}
            return FhirSender(
                name=name,
                base=url,
                clock=clock,
                timeout=destination.timeout,
                concurrency=destination.concurrency,
                context=context,
                **who,
            )
        case settings.FolderDestination(name=name, path=path):
            from mhbridge.adapters.folder import DiskFiles, FolderSender

            return FolderSender(name=name, path=path, files=DiskFiles(), clock=clock)
        case settings.MllpDestination(name=name, url=url):
            from mhbridge.adapters.mllp import MllpSender

            context = client_context(destination.tls) if url.startswith("mllps:") else None
            return MllpSender(
                name=name,
                address=destination.address,
                timeout=destination.timeout,
                context=context,
                on_unknown=destination.on_unknown,
            )


@dataclass(frozen=True, slots=True)
class _Making:
    """What receivers are made of."""

    config: settings.Config
    catalogue: Catalogue
    feeds: Mapping[str, pipeline.Feed]
    gateway: Gateway
    outbox: Outbox
    store: Store
    clock: Clock
    log: Log

    def receivers(self) -> dict[str, Receiver]:
        """All that listens. The API's own listener is the first, so that health can be asked at once."""
        made: dict[str, Receiver] = {}
        shared = [r for r in self.config.receivers if isinstance(r, settings.HttpReceiver) and r.listen is None]
        if self.config.http is not None:
            routes = (*self._console(), *self._messages(shared))
            made["http"] = _of("[http]", self._http, self.config.http.listen, self.config.http.tls, routes, "")
        for receiver in self.config.receivers:
            whose = f"receiver {receiver.feed}"
            if isinstance(receiver, settings.MllpReceiver):
                made[receiver.feed] = _of(whose, self._mllp, receiver)
            elif isinstance(receiver, settings.FolderReceiver):
                made[receiver.feed] = self._folder(receiver)
            elif receiver.listen is not None:
                routes = self._messages([receiver])
                made[receiver.feed] = _of(whose, self._http, receiver.listen, receiver.tls, routes, receiver.feed)
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
        )

    def _folder(self, receiver: settings.FolderReceiver) -> Receiver:
        from mhbridge.adapters.folder import DiskFiles, FolderReceiver

        feed = self.feeds[receiver.feed]
        return FolderReceiver(
            supplier=receiver.supplier,
            feed=receiver.feed,
            path=receiver.path,
            receive=self.gateway.receive,
            refuse=self.gateway.refuse,
            files=DiskFiles(),
            clock=self.clock,
            log=self.log,
            parts=lambda file, before: pipeline.parts(file, feed, before),
            pattern=receiver.pattern,
            settle=receiver.settle,
            marker=receiver.marker or "",
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
        from mhbridge.adapters.http import Entrance, MessageDoor

        entrances: dict[str, Entrance] = {}
        for receiver in receivers:
            for name in (receiver.feed, *(mapping.name for mapping in self.feeds[receiver.feed].mappings)):
                entrances.setdefault(name, Entrance(receiver.supplier, name, receiver.limit, receiver.token))
        if not entrances:
            return ()
        return MessageDoor(
            entrances=entrances, take=self.gateway.take, refuse=self.gateway.refuse, clock=self.clock
        ).routes

    def _console(self) -> tuple[web.RouteDef, ...]:
        from mhbridge.adapters.http_translate import TranslateDoor
        from mhbridge.console import Access, HealthPages, MessagePages, routes

        access = Access(self.config.access, self.log)
        messages = MessagePages(store=self.store, access=access, wake=self.outbox.wake, clock=self.clock, log=self.log)
        health = HealthPages(
            store=self.store,
            access=access,
            ready=lambda: self.gateway.ready,
            shut=lambda: self.outbox.shut,
            mappings=self._shown_mappings(),
            leaves=self.gateway.leaves,
            mode=self.config.gateway.mode,
            clock=self.clock,
        )
        translate = TranslateDoor(
            mapping=self.catalogue.mapping, allow=partial(access.require, role="viewer"), clock=self.clock
        )
        return (*health.routes, *messages.routes, *translate.routes, *routes(self.config.gateway.name))

    def _shown_mappings(self) -> list[dict[str, str]]:
        mappings = {mapping.name: mapping for feed in self.feeds.values() for mapping in feed.mappings}
        return [
            {"mapping": m.name, "document": m.document.name, "format": m.format.name, "hash": m.hash}
            for _, m in sorted(mappings.items())
        ]
