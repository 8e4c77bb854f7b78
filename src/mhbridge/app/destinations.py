"""
Senders, one for each destination of a configuration, and what the outbox must know of them.

This module must never send anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mhbridge import config as settings
from mhbridge.gateway import Outlet

if TYPE_CHECKING:
    from mhbridge.ports import Clock, Sender

__all__ = ["outlet_of", "sender_of"]


def outlet_of(sender: Sender, destination: settings.Destination) -> Outlet:
    """What the outbox must know of a destination beside its sender."""
    return Outlet(
        sender,
        concurrency=destination.concurrency,
        timeout=destination.timeout,
        catch_up=destination.catch_up,
    )


def sender_of(destination: settings.Destination, clock: Clock) -> Sender:
    """
    The sender of a destination.

    Raises:
        ConfigurationError: a certificate, key or token that it names cannot be used.
    """
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
