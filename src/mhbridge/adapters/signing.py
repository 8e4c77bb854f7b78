"""
Signatures of what is posted, as Standard Webhooks has them (https://www.standardwebhooks.com): HMAC-SHA-256 over id,
time and bytes, so that a receiver can check them with what there is.

This module must never send anything, the key least of all.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

from mhbridge.errors import ConfigurationError

__all__ = ["require_strong", "sign"]

_PREFIX: Final = "whsec_"
#: Standard Webhooks: a key has at least so many bytes.
_SHORTEST: Final = 24


def sign(key: str, name: str, at: int, body: bytes) -> str:
    """
    What `webhook-signature` holds.

    Args:
        key: as given, or base64 behind `whsec_`.
        name: what `webhook-id` holds.
        at: seconds since 1970, so that what was caught cannot be sent again years later.
    """
    digest = hmac.digest(_bytes(key) or key.encode(), f"{name}.{at}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def require_strong(key: str) -> None:
    """
    Raises:
        ConfigurationError: the key cannot be read, or could be guessed.
    """
    found = _bytes(key)
    if found is None:
        raise ConfigurationError([("C826", f"the secret begins with {_PREFIX}, and no base64 follows")])
    if len(found) < _SHORTEST:
        raise ConfigurationError([("C826", f"the secret has fewer than {_SHORTEST} bytes")])


def _bytes(key: str) -> bytes | None:
    if not key.startswith(_PREFIX):
        return key.encode()
    try:
        return base64.b64decode(key.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return None
