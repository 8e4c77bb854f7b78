"""
Who is told of alarms, and who hears that the gateway is well.

This module must never send anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mhbridge import config as settings
from mhbridge.app.making import made_for
from mhbridge.gateway import Gateway, Watch
from mhbridge.log import Log

if TYPE_CHECKING:
    import ssl

    from mhbridge.adapters.outward import AlarmWebhook, Heartbeat
    from mhbridge.gateway.parts import Parts
    from mhbridge.ports import Clock

__all__ = ["alarm_targets", "context_for", "heartbeat_of"]


def alarm_targets(config: settings.Config, clock: Clock, log: Log) -> list[AlarmWebhook]:
    """A webhook for each `[[alarm]]`. They log what becomes of themselves where no alarm is made of it."""
    from mhbridge.adapters.outward import AlarmWebhook

    return [
        AlarmWebhook(
            url=found.url,
            key=found.key,
            clock=clock,
            log=log,
            gateway=config.gateway.name,
            least=found.severity,
            context=made_for(f"alarm[{number}]", context_for, found.url, found.tls),
        )
        for number, found in enumerate(config.alarms)
    ]


def heartbeat_of(
    config: settings.Config, gateway: Gateway, watch: Watch, clock: Clock, log: Log, parts: Parts | None = None
) -> tuple[Heartbeat, ...]:
    """The heartbeat, where there is one. Of several nodes the one that leads sends it."""
    from mhbridge.adapters.outward import Heartbeat

    found = config.watch.heartbeat
    if found is None:
        return ()
    beat = Heartbeat(
        url=found.url,
        well=lambda: (parts is None or parts.leads) and gateway.ready and watch.well,
        clock=clock,
        log=log,
        gateway=config.gateway.name,
        every=found.every,
        context=made_for("watch.heartbeat", context_for, found.url, found.tls),
    )
    return (beat,)


def context_for(url: str, tls: settings.ClientTls | None) -> ssl.SSLContext | None:
    """How whoever is told is believed; `None`: it is on this machine."""
    from mhbridge.adapters.tls import client_context

    return client_context(tls) if url.startswith("https:") else None
