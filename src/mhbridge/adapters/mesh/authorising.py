"""
The Authorization header of MESH: whose mailbox it is, proved with two secrets and good for one request.

    NHSMESH MAILBOX:NONCE:COUNT:TIMESTAMP:HMAC-SHA256(shared key, "MAILBOX:NONCE:COUNT:PASSWORD:TIMESTAMP")

(`mesh-api.yaml`, MESH Authorization header.) This module must never let a secret into anything but the hash.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

from mhbridge.ports import Clock

if TYPE_CHECKING:
    from mhbridge.config import Secret

__all__ = ["Credentials"]


class Credentials:
    """
    Says who we are, for `Caller`.

    Args:
        mailbox: its id, in capitals.
        password: of the mailbox; `shared_key` of the environment. Both are read for each request, so that they can be
            changed while the gateway runs.
    """

    def __init__(self, mailbox: str, *, password: Secret, shared_key: Secret, clock: Clock) -> None:
        self.mailbox = mailbox
        self._password = password
        self._shared_key = shared_key
        self._clock = clock
        self._nonce = str(uuid4())
        self._count = 0

    async def __call__(self) -> Mapping[str, str]:
        """The header for one request: no two are the same."""
        known = f"{self.mailbox}:{self._nonce}:{self._count}"
        self._count += 1
        at = self._clock().strftime("%Y%m%d%H%M")
        message = f"{known}:{self._password.reveal()}:{at}"
        digest = hmac.new(self._shared_key.reveal().encode(), message.encode(), hashlib.sha256).hexdigest()
        return {"Authorization": f"NHSMESH {known}:{at}:{digest}"}
