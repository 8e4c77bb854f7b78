"""
The names of envelopes and of series of documents: hashes over what they are of.

Names are derived, so that the same input has the same name on every machine and in every replay. This module must
never take a name from a counter or a clock.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mhbridge.model import Envelope, Reading

if TYPE_CHECKING:
    from mhbridge.pipeline.arriving import Intake

__all__ = ["dedupe_key", "series"]


def dedupe_key(envelope: Envelope, taken: Intake) -> bytes:
    """
    32 bytes that name an envelope: sender, control ids and content. The same again is a repeat, not a new message.

    The same control id with other content is a new message: senders that restart their counters exist.
    """
    ids = [part for message in taken.messages for part in (message.facts.sender, message.facts.control_id)]
    if not envelope.body.strip():
        # An empty file is an alarm every time that it comes.
        ids.append(envelope.received_at.isoformat())
    return _digest(envelope.supplier, *ids, envelope.body)


def series(reading: Reading) -> bytes:
    """Names (patient of an authority, episode, document type): the versions of one document (gateway design §1)."""
    whose = (reading.patient.system, reading.patient.value) if reading.patient else ("", "")
    return _digest(reading.supplier, *whose, reading.episode, reading.document)


def _digest(*parts: str | bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.digest()
