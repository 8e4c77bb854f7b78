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
        tracks=destination.tracks
        if isinstance(destination, settings.MeshDestination) and destination.needs > 2
        else None,
    )


def sender_of(destination: settings.Destination, gateway: str, clock: Clock) -> Sender:
    """
    The sender of a destination.

    Args:
        gateway: our own name.

    Raises:
        ConfigurationError: a certificate, key or token that it names cannot be used.
    """
    from mhbridge.adapters.tls import client_context

    match destination:
        case settings.FhirDestination(name=name, url=url):
            from mhbridge.adapters.fhir_server import FhirSender, Messaging

            messaging = None
            if destination.how == "message":
                recognised = destination.repeats == "recognised"
                messaging = Messaging(destination.event, destination.source, gateway, recognised)
            return FhirSender(
                name=name,
                base=url,
                clock=clock,
                timeout=destination.timeout,
                concurrency=destination.concurrency,
                context=client_context(destination.tls) if url.startswith("https:") else None,
                messaging=messaging,
                **_who(destination.auth, clock),
            )
        case settings.WebhookDestination(name=name, url=url):
            from mhbridge.adapters.webhook import WebhookSender

            return WebhookSender(
                name=name,
                url=url,
                secret=destination.secret,
                clock=clock,
                timeout=destination.timeout,
                concurrency=destination.concurrency,
                context=client_context(destination.tls) if url.startswith("https:") else None,
                **_who(destination.auth, clock),
            )
        case settings.FolderDestination(name=name, path=path):
            from mhbridge.adapters.folder import DiskFiles, FolderSender

            return FolderSender(name=name, path=path, files=DiskFiles(), clock=clock)
        case settings.MeshDestination(name=name):
            from mhbridge.adapters.mesh import MeshSender
            from mhbridge.app.mailboxes import mailbox_of

            return MeshSender(
                name=name,
                mailbox=mailbox_of(destination, clock),
                workflow=destination.workflow,
                clock=clock,
                recipient=destination.recipient,
                organisation=destination.organisation or "",
                chunk=destination.chunk,
                packs=destination.compress,
                subject=destination.subject,
            )
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


def _who(auth: settings.BearerAuth | settings.JwtAuth | None, clock: Clock) -> dict[str, Any]:
    """Who we say that we are."""
    from mhbridge.adapters.tls import client_context
    from mhbridge.adapters.tokens import BearerToken, SignedTokens

    if isinstance(auth, settings.BearerAuth):
        return {"authorise": BearerToken(auth.token)}
    if isinstance(auth, settings.JwtAuth):
        context = client_context(None) if auth.token_url.startswith("https:") else None
        return {"authorise": SignedTokens(auth, clock=clock, context=context)}
    return {}
