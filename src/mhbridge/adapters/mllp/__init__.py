"""
MLLP over TCP, both ways: framing as a byte machine, a listener and a client.

What the two directions share is the framing alone. This package must never look into a message, but for what the
client relays itself.
"""

from __future__ import annotations

from mhbridge.adapters.mllp.receiver import MllpReceiver
from mhbridge.adapters.mllp.sender import MllpSender

__all__ = ["MllpReceiver", "MllpSender"]
