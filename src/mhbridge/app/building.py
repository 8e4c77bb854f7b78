"""
Everything that a configuration asks for, made and not started.

This module must never open a file, a port or a process.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from mhbridge import config as settings
from mhbridge import log as logs
from mhbridge.app.destinations import outlet_of, sender_of
from mhbridge.app.faults import faults_of
from mhbridge.app.listening import Listening, certificates_of
from mhbridge.app.making import made_for
from mhbridge.app.mappings import Mappings, Reloading
from mhbridge.app.outward import alarm_targets, heartbeat_of
from mhbridge.app.running import App
from mhbridge.app.storing import store_of
from mhbridge.errors import ConfigurationError, MappingError, MhbridgeError
from mhbridge.gateway import Clocks, Disk, Gateway, Keeping, Noticing, Outbox, Pressure, Watch, Workers
from mhbridge.gateway.alarms import Alarms
from mhbridge.gateway.expiry import Expiry
from mhbridge.gateway.parts import SETTLE, Parts
from mhbridge.gateway.silence import Expected, Silence
from mhbridge.ports import SharedStore

if TYPE_CHECKING:
    from mhbridge.adapters.mesh import MeshReceiver
    from mhbridge.adapters.mllp import MllpReceiver
    from mhbridge.adapters.outward import AlarmWebhook, Heartbeat
    from mhbridge.log import Log
    from mhbridge.ports import Clock, Store

__all__ = ["build"]


def build(
    config: settings.Config, *, log: Log | None = None, clock: Clock | None = None, store: Store | None = None
) -> App:
    """
    Everything that a configuration asks for, made and not started.

    Args:
        store: left out, the one that the configuration names.

    Raises:
        ConfigurationError: it names a supplier or document type that does not exist, or something that cannot be used.
        MappingError: nothing is wrong but mappings that it needs.
    """
    try:
        return _built(config, log, clock, store)
    except MhbridgeError as error:
        # The first thing that cannot be made ended it; what else there is that cannot is said with it.
        found = faults_of(config)
        if len(found) <= 1 or (isinstance(error, MappingError) and len(found) == len(error.diagnostics)):
            raise
        raise ConfigurationError(found) from None


def _built(config: settings.Config, log: Log | None, clock: Clock | None, store: Store | None) -> App:
    from mhbridge.adapters.certificates import Certificates
    from mhbridge.adapters.clock import utc_now
    from mhbridge.adapters.heads import HeadsFile
    from mhbridge.adapters.mesh import MeshReceiver
    from mhbridge.adapters.mllp import MllpReceiver

    log = log or logs.make()
    clock = clock or utc_now
    targets = alarm_targets(config, clock, log)
    log = Alarms(log=log, tell=[one.tell for one in targets], clock=clock, gateway=config.gateway.name).log
    mappings = Mappings(config)
    store = store or store_of(config)
    senders = [
        made_for(f"destination {found.name}", sender_of, found, config.gateway.name, clock)
        for found in config.destinations
    ]
    outlets = [outlet_of(sender, found) for sender, found in zip(senders, config.destinations, strict=True)]
    parts = _parts(config, store, clock, log)
    outbox = Outbox(
        store=store, outlets=outlets, clock=clock, log=log, may_send=None if parts is None else parts.may_send
    )
    deadlines = {destination.name: destination.deadline for destination in config.destinations}
    workers = None
    if config.gateway.workers:
        workers = Workers(mappings.maker(mappings.snapshot), config.gateway.workers, log)
    silence = Silence(
        store=store,
        feeds=mappings.feeds,
        expected={r.feed: _expected(r.expect) for r in config.receivers if r.expect is not None},
        holidays=config.watch.holidays,
        clock=clock,
        log=log,
    )
    clocks = Clocks(store=store, clock=clock, log=log)
    gateway = Gateway(
        store=store,
        feeds=mappings.feeds,
        outbox=outbox,
        deadlines=deadlines,
        clock=clock,
        log=log,
        workers=workers,
        taken=silence.taken,
        clocks=clocks,
        parts=parts,
        pressure=Pressure(log=log, disk=_disk_of(config)),
    )
    noticing = Noticing(store=store, gateway=gateway, feeds=lambda: mappings.feeds, clock=clock, log=log)
    gateway.tell_of_watched(noticing.wake)
    watch = Watch(
        store=store,
        clock=clock,
        log=log,
        silence=silence,
        expiry=Expiry(store=store, certificates=Certificates(certificates_of(config))(), log=log),
        shut=lambda: gateway.pressure.shut,
        answered=lambda: gateway.answered,
        crowded=lambda: outbox.crowded,
        parts=parts,
    )
    keeping = Keeping(
        store=store,
        heads=HeadsFile(config.gateway.heads_path),
        clock=clock,
        log=log,
        leads=lambda: parts is None or parts.leads,
    )
    reloading = Reloading(mappings=mappings, gateway=gateway, workers=workers, log=log)
    listening = Listening(config, mappings, reloading, gateway, outbox, silence, clocks, store, clock, log, parts)
    receivers = listening.receivers()
    silence.connections.update(
        (f, _connections(r)) for f, r in receivers.items() if isinstance(r, MllpReceiver | MeshReceiver)
    )
    outward: tuple[AlarmWebhook | Heartbeat, ...] = (*targets, *heartbeat_of(config, gateway, watch, clock, log, parts))
    return App(
        store, senders, gateway, outbox, watch, clocks, noticing, keeping, receivers, reloading, log, workers, outward
    )


def _parts(config: settings.Config, store: Store, clock: Clock, log: Log) -> Parts | None:
    """Which patients are this gateway's; `None` where they all are."""
    from mhbridge.adapters.clock import elapsed

    if not isinstance(store, SharedStore):
        return None
    timeout = max((destination.timeout for destination in config.destinations), default=0.0)
    return Parts(store=store, lease=config.gateway.lease, quiet=timeout + SETTLE, clock=clock, log=log, elapsed=elapsed)


def _expected(expect: settings.Expect) -> Expected:
    rate = expect.at_least
    return Expected(
        silence=None if rate is None or expect.by is not None else timedelta(seconds=rate),
        hours=expect.between,
        by=expect.by,
        count=rate.count if rate is not None else 1,
        working_days=expect.days == "working",
        connection=None if expect.connection is None else timedelta(seconds=expect.connection),
    )


def _connections(receiver: MllpReceiver | MeshReceiver) -> Callable[[], int]:
    return lambda: receiver.connected


def _disk_of(config: settings.Config) -> Callable[[], Disk] | None:
    """What looks at the disk of the store. That of a database is another machine's: whoever runs it looks at it."""
    from mhbridge.adapters.disk import free_of

    path = config.gateway.store_path
    return None if path is None else lambda: Disk(*free_of(path))
