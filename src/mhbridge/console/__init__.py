"""
The reading side of HTTP: messages and their stories, what is parked, tasks, the accounts, health and metrics.

Everything here shows states, codes, counts and times to whoever may see them. What holds a patient's values (originals,
documents) needs the role `clinical`, what acts needs `operator`, and either is in the log before it happens.
Identifiers to search by come in a request's body and never in a URL, which proxies and browsers keep.
"""

from __future__ import annotations

from mhbridge.console.access import Access
from mhbridge.console.destinations import DestinationPages
from mhbridge.console.health import HealthPages
from mhbridge.console.mappings import MappingPages
from mhbridge.console.messages import MessagePages
from mhbridge.console.metrics import METRICS, Nodes, Sources
from mhbridge.console.openapi import description, routes
from mhbridge.console.repairing import RepairPages
from mhbridge.console.tasks import TaskPages

__all__ = [
    "METRICS",
    "Access",
    "DestinationPages",
    "HealthPages",
    "MappingPages",
    "MessagePages",
    "Nodes",
    "RepairPages",
    "Sources",
    "TaskPages",
    "description",
    "routes",
]
