"""
TLS contexts, for every listener and every destination, from one place, so that none can be weaker than another.

Must never make a context that does not verify its peer where the configuration names an authority, and never a client
context that verifies nobody.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from mhbridge.errors import ConfigurationError

if TYPE_CHECKING:
    from mhbridge.config import ClientTls, Tls

__all__ = ["client_context", "peer_name", "server_context"]

# Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else (OWASP ASVS 5.0, 12.1.1 and 12.1.2).
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(tls: Tls) -> ssl.SSLContext:
    """What a listener shows, and with `clients` wants to be shown. Raises `ConfigurationError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _strengthen(context)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.clients is not None:
            context.load_verify_locations(tls.clients)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            [("C821", "the certificate, key or authorities of a listener cannot be used")]
        ) from None
    return context


def client_context(tls: ClientTls | None) -> ssl.SSLContext:
    """How a destination is believed: always by certificate and name. Raises `ConfigurationError`."""
    context = ssl.create_default_context()
    _strengthen(context)
    try:
        if tls is not None and tls.authorities is not None:
            # Only these, and not also every authority that this machine happens to trust.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            _strengthen(context)
            context.load_verify_locations(tls.authorities)
        if tls is not None and tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            [("C821", "the certificate, key or authorities of a destination cannot be used")]
        ) from None
    return context


def _strengthen(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)


def peer_name(certificate: dict[str, Any] | None) -> str:
    """The common name of a peer's certificate, as `SSLObject.getpeercert` gives it; empty without one."""
    for relative in (certificate or {}).get("subject", ()):
        for key, value in relative:
            if key == "commonName":
                return str(value)
    return ""
