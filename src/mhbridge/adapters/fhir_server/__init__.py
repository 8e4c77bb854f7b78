"""
Delivery to a FHIR server, so that a repeat changes nothing there: documents, transactions and messages.

Of the rest of mhbridge only the door is seen, `FhirSender`. This package must never put anything of a document into a
URL but the ids that were derived for it.
"""

from __future__ import annotations

from mhbridge.adapters.fhir_server.messages import Messaging
from mhbridge.adapters.fhir_server.sender import FhirSender

__all__ = ["FhirSender", "Messaging"]
