"""
The configuration: one TOML file, overrides from the environment, secrets by reference; checked whole before any start.

Every problem is reported at once, each with its code, file, line and key; a key that is not known is an error. Nothing
here may show a value that was configured, since an operator may have put a secret in the wrong place, so pydantic's own
messages (which quote their input) never leave this package.
"""

from __future__ import annotations

from mhbridge.config.destinations import (
    BearerAuth,
    Destination,
    FhirDestination,
    FolderDestination,
    JwtAuth,
    MeshDestination,
    MllpDestination,
    WebhookDestination,
)
from mhbridge.config.duties import duties_of
from mhbridge.config.keeping import key_at, master_key_of, retention_of
from mhbridge.config.mailbox import MailboxAccess
from mhbridge.config.reading import load, parse
from mhbridge.config.receivers import (
    Expect,
    FolderReceiver,
    HttpReceiver,
    MeshReceiver,
    MllpReceiver,
    Receiver,
)
from mhbridge.config.section import (
    ClientTls,
    Tls,
)
from mhbridge.config.sections import (
    Access,
    Config,
    GatewaySection,
    HttpSection,
    Recipients,
    Retention,
    Route,
)
from mhbridge.config.values import Listen, Secret
from mhbridge.config.watch import (
    AlarmSection,
    DutySection,
    HeartbeatSection,
    QueueSection,
    WatchSection,
)

__all__ = [
    "Access",
    "AlarmSection",
    "BearerAuth",
    "ClientTls",
    "Config",
    "Destination",
    "DutySection",
    "Expect",
    "FhirDestination",
    "FolderDestination",
    "FolderReceiver",
    "GatewaySection",
    "HeartbeatSection",
    "HttpReceiver",
    "HttpSection",
    "JwtAuth",
    "Listen",
    "MailboxAccess",
    "MeshDestination",
    "MeshReceiver",
    "MllpDestination",
    "MllpReceiver",
    "QueueSection",
    "Receiver",
    "Recipients",
    "Retention",
    "Route",
    "Secret",
    "Tls",
    "WatchSection",
    "WebhookDestination",
    "duties_of",
    "key_at",
    "load",
    "master_key_of",
    "parse",
    "retention_of",
]
