"""
How the gateway is: alive, ready, its accounts, its metrics. Counts and names from the configuration only.

Metrics carry no label but `state`, `feed` and `queue`: a label with a value of a message would be a leak that is kept
for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Final

from aiohttp import web

from mhbridge.console.access import Access
from mhbridge.console.messages import json
from mhbridge.ports import Clock, Status, Store

__all__ = ["HealthPages"]

#: The accounts are counted from the rows; nobody needs that more often.
_FRESH: Final = timedelta(seconds=5)


class HealthPages:
    """
    Routes about the gateway itself.

    Args:
        ready: envelopes can be taken now.
        shut: destinations that are not being sent to, and why.
        leaves: (feed, state of the field ledger) → how many values of the messages taken since the start.
        mode: `live` or `test`; fixtures are replayed against a gateway that says `test`, and no other.
    """

    def __init__(
        self,
        *,
        store: Store,
        access: Access,
        ready: Callable[[], bool],
        shut: Callable[[], Mapping[str, str]],
        leaves: Mapping[tuple[str, str], int],
        mode: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._access = access
        self._ready = ready
        self._shut = shut
        self._leaves = leaves
        self._mode = mode
        self._clock = clock
        self._status: Status | None = None

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """For the HTTP server."""
        return (
            web.get("/health/live", self._live),
            web.get("/health/ready", self._is_ready),
            web.get("/status", self._accounts),
            web.get("/metrics", self._metrics),
        )

    async def _live(self, _request: web.Request) -> web.Response:
        return json({"live": True})

    async def _is_ready(self, _request: web.Request) -> web.Response:
        if not self._ready():
            raise web.HTTPServiceUnavailable(text="The gateway is starting or stopping, or its store is failing.")
        return json({"ready": True, "mode": self._mode})

    async def _accounts(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        status = asdict(await self._counted())
        return json({"mode": self._mode, "ready": self._ready(), "shut": dict(self._shut()), **status})

    async def _metrics(self, request: web.Request) -> web.Response:
        await self._access.require(request, "viewer")
        status = await self._counted()
        oldest = 0.0 if status.oldest_open is None else (status.at - status.oldest_open).total_seconds()
        lines = [
            *_metric("receipts_total", "counter", "Arrivals at the door.", status.receipts),
            *_metric("repeats_total", "counter", "Arrivals that were here before.", status.repeats),
            *_metric("refusals_total", "counter", "Arrivals refused at the door.", status.refusals),
            *_metric("messages", "gauge", "Messages by state.", status.messages),
            *_metric("deliveries", "gauge", "Deliveries by state.", status.deliveries),
            *_metric("acknowledged", "gauge", "Deliveries that their destination has taken.", status.acknowledged),
            *_metric("overdue", "gauge", "Deliveries past their deadline.", status.overdue),
            *_metric("waiting", "gauge", "Messages that wait for a person.", status.waiting),
            *_tasks(status),
            *_metric("oldest_open_seconds", "gauge", "Age of the oldest open work.", round(oldest, 3)),
            *_metric("differences", "gauge", "Conservation checks that do not add up.", len(status.differences)),
            *_metric("destinations_shut", "gauge", "Destinations down or held.", len(self._shut())),
            *_leaves(self._leaves),
            *_metric("ready", "gauge", "Envelopes can be taken now.", int(self._ready())),
        ]
        body = "\n".join(lines).encode() + b"\n"
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _counted(self) -> Status:
        now = self._clock()
        if self._status is None or now - self._status.at > _FRESH:
            self._status = await self._store.status(now)
        return self._status


def _tasks(status: Status) -> list[str]:
    """Open tasks. Queues are named by the configuration, and there are few."""
    counts, ages = [], []
    for tasks in status.tasks:
        labels = f'queue="{tasks.queue}",state="{tasks.severity}"'
        counts.append(f"mhbridge_tasks{{{labels}}} {tasks.count}")
        age = round((status.at - tasks.oldest).total_seconds(), 3)
        ages.append(f"mhbridge_tasks_oldest_seconds{{{labels}}} {age}")
    overdue = sum(tasks.overdue for tasks in status.tasks)
    return [
        "# HELP mhbridge_tasks Open tasks by queue and severity.",
        "# TYPE mhbridge_tasks gauge",
        *counts,
        "# HELP mhbridge_tasks_oldest_seconds Age of the oldest open task by queue and severity.",
        "# TYPE mhbridge_tasks_oldest_seconds gauge",
        *ages,
        *_metric("tasks_overdue", "gauge", "Open tasks that were to be done by now.", overdue),
    ]


def _leaves(counts: Mapping[tuple[str, str], int]) -> list[str]:
    """The field ledger of what was taken since the start. Feeds are named by the configuration, and there are few."""
    head = [
        "# HELP mhbridge_leaves_total Values of messages by what became of them.",
        "# TYPE mhbridge_leaves_total counter",
    ]
    rows = [
        f'mhbridge_leaves_total{{feed="{feed}",state="{state}"}} {count}'
        for (feed, state), count in sorted(counts.items())
    ]
    return head + rows


def _metric(name: str, kind: str, help_: str, value: float | Mapping[str, int]) -> list[str]:
    """One metric in Prometheus's text format, version 0.0.4."""
    head = [f"# HELP mhbridge_{name} {help_}", f"# TYPE mhbridge_{name} {kind}"]
    if isinstance(value, Mapping):
        return head + [f'mhbridge_{name}{{state="{state}"}} {number}' for state, number in sorted(value.items())]
    return [*head, f"mhbridge_{name} {value}"]
