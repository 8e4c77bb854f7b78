"""
All that keeps a configuration from being served, found at once: mappings, routes, certificates, keys and secrets.

It makes each of the things that can fail, and nothing of them is used. This module must never open a port or a store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mhbridge import config as settings
from mhbridge.app.destinations import sender_of
from mhbridge.app.feeds import feeds_needed
from mhbridge.app.mailboxes import mailbox_of
from mhbridge.app.making import made_for
from mhbridge.app.outward import context_for
from mhbridge.errors import ConfigurationError, MappingError

if TYPE_CHECKING:
    from mhbridge.ports import Clock

__all__ = ["faults_of"]


def faults_of(config: settings.Config) -> list[tuple[str, str]]:
    """Every problem with its code, in the order in which a gateway would come upon them."""
    from mhbridge.adapters.clock import utc_now
    from mhbridge.adapters.tls import server_context

    found: list[tuple[str, str]] = []

    def attempt(make: Callable[..., Any], *values: Any) -> None:
        try:
            make(*values)
        except ConfigurationError as error:
            found.extend(error.problems)
        except MappingError as error:
            found.extend((fault.code, fault.short()) for fault in error.diagnostics)

    clock: Clock = utc_now
    attempt(_feeds, config)
    for number, alarm in enumerate(config.alarms):
        attempt(made_for, f"alarm[{number}]", context_for, alarm.url, alarm.tls)
    for destination in config.destinations:
        attempt(made_for, f"destination {destination.name}", sender_of, destination, config.gateway.name, clock)
    if config.http is not None and config.http.tls is not None:
        attempt(made_for, "[http]", server_context, config.http.tls)
    for receiver in config.receivers:
        whose = f"receiver {receiver.feed}"
        match receiver:
            case settings.MeshReceiver():
                attempt(made_for, whose, mailbox_of, receiver, clock)
            case settings.MllpReceiver(tls=settings.Tls() as tls) | settings.HttpReceiver(tls=settings.Tls() as tls):
                attempt(made_for, whose, server_context, tls)
            case _:
                pass  # nothing of a folder can fail before it is looked into
    if (heartbeat := config.watch.heartbeat) is not None:
        attempt(made_for, "watch.heartbeat", context_for, heartbeat.url, heartbeat.tls)
    return found


def _feeds(config: settings.Config) -> None:
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.mapping.library import Library, Snapshot, default_roots

    feeds_needed(config, Catalogue(Library(Snapshot.of(default_roots(config.gateway.mappings)))))
