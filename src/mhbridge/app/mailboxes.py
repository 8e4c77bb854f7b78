"""
Mailboxes of MESH, as the configuration names them.

This module must never ask one anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mhbridge import config as settings

if TYPE_CHECKING:
    from mhbridge.adapters.mesh import Mailbox
    from mhbridge.ports import Clock

__all__ = ["mailbox_of", "senders_of"]


def mailbox_of(access: settings.MailboxAccess, clock: Clock) -> Mailbox:
    """The mailbox that a receiver or a destination names. Raises `ConfigurationError`."""
    from mhbridge.adapters.mesh import Credentials, Mailbox
    from mhbridge.adapters.tls import client_context

    credentials = Credentials(access.mailbox, password=access.password, shared_key=access.shared_key, clock=clock)
    context = client_context(access.tls) if access.url.startswith("https:") else None
    return Mailbox(access.url, credentials, clock=clock, timeout=access.timeout, context=context)


def senders_of(config: settings.Config) -> dict[str, list[str]]:
    """Mailbox → the destinations that are sent to from there."""
    found: dict[str, list[str]] = {}
    for destination in config.destinations:
        if isinstance(destination, settings.MeshDestination):
            found.setdefault(destination.mailbox, []).append(destination.name)
    return found
