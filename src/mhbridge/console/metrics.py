"""
What Prometheus is told: every metric there is, as one table, and its text format (version 0.0.4).

Labels are names from the configuration and from the packs, states and codes: there are few of each, and none is of a
message. What is not in the table cannot be told. `docker/METRICS.md` is the same table for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from mhbridge.meters import Histogram
from mhbridge.ports import Meters, Status

__all__ = ["METRICS", "Metric", "Nodes", "Sample", "Sources", "exposition", "samples"]


class Metric(NamedTuple):
    """A metric as the table has it. `kind` is `counter`, `gauge` or `histogram`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


class Sample(NamedTuple):
    """A value of a metric, with the values of its labels in their order."""

    name: str
    labels: tuple[str, ...]
    value: float | Histogram


def _metric(name: str, kind: str, labels: str, help_: str) -> Metric:
    return Metric(f"mhbridge_{name}", kind, tuple(labels.split()), help_)


METRICS: Final = (
    _metric("info", "gauge", "mode", "Always 1: live or test."),
    _metric("ready", "gauge", "", "1 when messages can be taken."),
    # What came, and what became of it.
    _metric("receipts_total", "counter", "feed", "Arrivals at the door."),
    _metric("repeats_total", "counter", "feed", "Arrivals that had been here before and got their first answer again."),
    _metric("refusals_total", "counter", "feed", "Arrivals that were refused at the door, of which nothing is kept."),
    _metric("headings_total", "counter", "document heading said", "Letters since the start, by what they say."),
    _metric("leaves_total", "counter", "feed state", "Values of messages since the start, by what became of them."),
    _metric("acknowledge_seconds", "histogram", "feed", "From an arrival to its answer, when it is durable."),
    _metric("messages", "gauge", "feed state", "Messages by state."),
    _metric("messages_waiting", "gauge", "", "Messages that wait for a person: parked, or a delivery is."),
    _metric("feed_silent", "gauge", "feed", "1 while a feed is silent that should not be."),
    # What leaves.
    _metric("deliveries", "gauge", "destination state", "Deliveries by state."),
    _metric("deliveries_level", "gauge", "destination level", "Deliveries by how far they got."),
    _metric("deliveries_overdue", "gauge", "destination", "Open deliveries past their deadline."),
    _metric("destination_shut", "gauge", "destination reason", "1 while nothing is sent there: down or held."),
    _metric("lanes_held", "gauge", "destination", "Patients whose deliveries wait behind one that is parked."),
    _metric("oldest_seconds", "gauge", "state", "Age of the oldest message that is, or a delivery of it is, so open."),
    # What people must do.
    _metric("tasks", "gauge", "queue severity", "Open tasks."),
    _metric("tasks_unclaimed", "gauge", "queue severity", "Open tasks that nobody has taken."),
    _metric("tasks_overdue", "gauge", "queue severity", "Open tasks that were to be done by now."),
    _metric("tasks_oldest_seconds", "gauge", "queue severity", "Age of the oldest open task."),
    _metric("clocks", "gauge", "clock state", "Deadlines of stays, by how they stand."),
    # Whether it all adds up.
    _metric("differences", "gauge", "check", "Conservation checks that do not hold; each 0 when all is well."),
    _metric("accounts_timestamp_seconds", "gauge", "", "When the accounts were last looked at."),
    # Of gateways that share a database.
    _metric("node_parts", "gauge", "node", "Of 256 parts of the patients, those of each gateway, as this one knows."),
    _metric("node_leads", "gauge", "", "1 where what is done once for all is done by this gateway."),
    _metric("parts_unheld", "gauge", "", "Parts that are no gateway's: theirs has just gone."),
    # What it stands on.
    _metric("inside_envelopes", "gauge", "", "Envelopes that are being taken now."),
    _metric("inside_bytes", "gauge", "", "Their bytes."),
    _metric("intake_shut", "gauge", "", "1 while nothing is taken, for want of room on the disk."),
    _metric("workers", "gauge", "", "Processes that translate; 0 when the gateway does it itself."),
    _metric("workers_waiting", "gauge", "", "Requests that a worker has not answered yet."),
    _metric("commit_seconds", "histogram", "", "How long a commit took: its statements and the fsync."),
    _metric("commit_size", "histogram", "", "How many calls were committed together."),
    _metric("store_waiting", "gauge", "", "Calls that wait for the store's writer."),
    _metric("store_bytes", "gauge", "", "Size of the store's database."),
    _metric("store_wal_bytes", "gauge", "", "Size of its write-ahead log."),
    _metric("disk_free_bytes", "gauge", "", "Free on the disk of the store."),
    _metric("disk_size_bytes", "gauge", "", "Size of the disk of the store."),
    _metric("certificate_expiry_timestamp_seconds", "gauge", "certificate", "When what is shown or relied on ends."),
)  # fmt: skip

_BY_NAME: Final = {metric.name: metric for metric in METRICS}
_CHECKS: Final = ("C1", "C2", "C3", "C4", "C5", "C6")


@dataclass(frozen=True, slots=True)
class Nodes:
    """
    How the gateways stand that share a store.

    Args:
        node: the name of this one.
        parts: node → how many parts of the patients it has.
        leads: what is done once for all is done here.
        working: parts of its own for which this one begins things; it is about to give up the others.
        unheld: parts that nobody has.
    """

    node: str
    parts: Mapping[str, int]
    leads: bool
    working: int
    unheld: int


@dataclass(frozen=True, slots=True)
class Sources:
    """
    Where the values come from that are not in the accounts.

    Args:
        ready: envelopes can be taken now.
        shut: destinations that are not being sent to, and why.
        intake_shut: why nothing is taken: a code, or empty.
        inside: envelopes and bytes that are being taken now.
        workers: processes, and requests that they have not answered.
        silent: feeds that are silent now.
        leaves: (feed, state of the field ledger) → how many values of the messages taken since the start.
        headings: (document type, heading, `said` or `not`) → how many letters worked since the start.
        acknowledged: feed → how long its answers took.
        certificates: what it is for → when it ends.
        meters: of the store.
        feeds: every feed that there is, so that what was never heard is told, too.
        destinations: every destination.
        mode: `live` or `test`.
        nodes: how the gateways stand that share the store; `None` where there is one.
    """

    ready: Callable[[], bool]
    shut: Callable[[], Mapping[str, str]]
    intake_shut: Callable[[], str]
    inside: Callable[[], tuple[int, int]]
    workers: Callable[[], tuple[int, int]]
    silent: Callable[[], Iterable[str]]
    meters: Callable[[], Meters]
    certificates: Callable[[], Mapping[str, datetime]] = dict
    leaves: Mapping[tuple[str, str], int] = field(default_factory=dict)
    headings: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    acknowledged: Mapping[str, Histogram] = field(default_factory=dict)
    feeds: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    mode: str = "live"
    nodes: Callable[[], Nodes] | None = None


def samples(status: Status, sources: Sources) -> Iterator[Sample]:
    """Every value there is."""
    for name, labels, value in (
        *_gateway(sources),
        *_feeds(status, sources),
        *_destinations(status, sources),
        *_people(status),
        *_shared(sources.nodes),
        *_store(sources.meters()),
    ):
        yield Sample(f"mhbridge_{name}", labels, value)


_Said = Iterator[tuple[str, tuple[str, ...], float | Histogram]]


def _gateway(sources: Sources) -> _Said:
    yield "info", (sources.mode,), 1
    yield "ready", (), int(sources.ready())
    envelopes, size = sources.inside()
    yield "inside_envelopes", (), envelopes
    yield "inside_bytes", (), size
    yield "intake_shut", (), int(bool(sources.intake_shut()))
    count, waiting = sources.workers()
    yield "workers", (), count
    yield "workers_waiting", (), waiting
    for certificate, ends in sorted(sources.certificates().items()):
        yield "certificate_expiry_timestamp_seconds", (certificate,), round(ends.timestamp())


def _feeds(status: Status, sources: Sources) -> _Said:
    silent = set(sources.silent())
    for feed in sorted({*sources.feeds, *status.feeds}):
        states = dict(status.feeds.get(feed, {}))
        for name, kind in (("receipts_total", "received"), ("repeats_total", "repeat"), ("refusals_total", "refused")):
            yield name, (feed,), states.pop(kind, 0)
        for state, n in states.items():
            yield "messages", (feed, state), n
        yield "feed_silent", (feed,), int(feed in silent)
    for about, n in sorted(sources.headings.items()):
        yield "headings_total", about, n
    for (feed, state), n in sorted(sources.leaves.items()):
        yield "leaves_total", (feed, state), n
    for feed, histogram in sorted(sources.acknowledged.items()):
        yield "acknowledge_seconds", (feed,), histogram
    yield "messages_waiting", (), status.waiting
    for state, at in sorted(status.oldest.items()):
        yield "oldest_seconds", (state,), round((status.at - at).total_seconds(), 3)


def _destinations(status: Status, sources: Sources) -> _Said:
    for destination in sorted({*sources.destinations, *status.destinations}):
        for state, n in status.destinations.get(destination, {}).items():
            yield "deliveries", (destination, state), n
        for level, n in status.levels.get(destination, {}).items():
            yield "deliveries_level", (destination, level), n
        yield "deliveries_overdue", (destination,), status.late.get(destination, 0)
        yield "lanes_held", (destination,), status.held.get(destination, 0)
    for destination, reason in sorted(sources.shut().items()):
        yield "destination_shut", (destination, reason), 1


def _people(status: Status) -> _Said:
    for tasks in status.tasks:
        labels = (tasks.queue, tasks.severity)
        yield "tasks", labels, tasks.count
        yield "tasks_unclaimed", labels, tasks.unclaimed
        yield "tasks_overdue", labels, tasks.overdue
        yield "tasks_oldest_seconds", labels, round((status.at - tasks.oldest).total_seconds(), 3)
    for clock, states in status.clocks.items():
        for state, n in states.items():
            yield "clocks", (clock, state), n
    for check in _CHECKS:
        yield "differences", (check,), sum(one.startswith(check) for one in status.differences)
    yield "accounts_timestamp_seconds", (), round(status.at.timestamp(), 3)


def _shared(nodes: Callable[[], Nodes] | None) -> _Said:
    if nodes is None:
        return
    found = nodes()
    for node, parts in sorted(found.parts.items()):
        yield "node_parts", (node,), parts
    yield "node_leads", (), int(found.leads)
    yield "parts_unheld", (), found.unheld


def _store(meters: Meters) -> _Said:
    yield "commit_seconds", (), meters.commit_seconds
    yield "commit_size", (), meters.commit_size
    yield "store_waiting", (), meters.waiting
    yield "store_bytes", (), meters.size
    yield "store_wal_bytes", (), meters.wal_size
    if meters.disk_size:
        yield "disk_free_bytes", (), meters.disk_free
        yield "disk_size_bytes", (), meters.disk_size


def exposition(found: Iterable[Sample]) -> bytes:
    """
    Samples in Prometheus's text format, in the order of the table.

    Raises:
        KeyError: a metric is not in the table.
        ValueError: a sample has other labels than the table says.
    """
    by_name: dict[str, list[Sample]] = {metric.name: [] for metric in METRICS}
    for sample in found:
        by_name[sample.name].append(sample)
    lines: list[str] = []
    for name, those in by_name.items():
        metric = _BY_NAME[name]
        lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
        for sample in those:
            labels = tuple(zip(metric.labels, sample.labels, strict=True))
            if isinstance(sample.value, Histogram):
                lines += _histogram(name, labels, sample.value)
            else:
                lines.append(f"{name}{_labels(labels)} {sample.value}")
    return "\n".join(lines).encode() + b"\n"


def _histogram(name: str, labels: tuple[tuple[str, str], ...], histogram: Histogram) -> Iterator[str]:
    for bound, count in histogram.cumulative():
        yield f"{name}_bucket{_labels((*labels, ('le', bound)))} {count}"
    yield f"{name}_sum{_labels(labels)} {round(histogram.sum, 6)}"
    yield f"{name}_count{_labels(labels)} {count}"


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    said = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{said}}}" if said else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
