"""The metrics of a running gateway are those of the documented table, well formed, and with nothing of a patient."""

from __future__ import annotations

import asyncio
import io
import re
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

import shipped
from mhbridge import config
from mhbridge import log as logs
from mhbridge.app import build
from mhbridge.console.metrics import METRICS, Metric, Sample, exposition
from mhbridge.errors import DestinationRejected
from mhbridge.meters import Histogram

ROOT = Path(__file__).parents[1]
LETTERS = ROOT / "fixtures" / "example-mental-health" / "discharge-letter"
PLAIN = (LETTERS / "plain.hl7").read_bytes()
TABLE = (ROOT / "docker" / "METRICS.md").read_text("utf-8")

CONFIGURATION = f"""
[gateway]
name = "test"
store = "sqlite:store/store.db"
mappings = ["{ROOT / "mappings"}"]
mode = "test"
[http]
listen = "127.0.0.1:0"
[[receiver]]
supplier = "example-mental-health"
kind = "http"
[[receiver]]
supplier = "example-acute"
kind = "http"
[[destination]]
name = "out"
kind = "folder"
path = "out"
[[destination]]
name = "unused"
kind = "folder"
path = "unused"
[[route]]
documents = ["encounter-event", "mental-health-inpatient-discharge"]
to = ["out"]
"""

#: Prometheus' own shape of a line: a name, labels whose values are quoted, a number.
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.e+-]+|[+-]Inf|NaN)')


def documented() -> dict[str, Metric]:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", TABLE, re.MULTILINE)
    return {
        name: Metric(name, kind, tuple(re.findall(r"`(\w+)`", labels)), help_) for name, kind, labels, help_ in rows
    }


def read(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples by name. Every line is of the format."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+", line)
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        pairs = dict(re.findall(r'([a-z]+)="((?:[^"\\]|\\.)*)"', labels or ""))
        found.setdefault(name, []).append((pairs, float(value)))
    return found


@pytest.fixture
async def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a gateway says of which a bit of everything has happened."""
    catalogue = shipped.catalogue()
    monkeypatch.setattr("mhbridge.mapping.catalogue.load", lambda _: catalogue)
    app = build(config.parse(CONFIGURATION, base=tmp_path, environ={}), log=logs.make(io.BytesIO()))
    await app.open()
    try:
        async with aiohttp.ClientSession(app.receivers["http"].address) as session:
            sender = next(sender for sender in app.senders if sender.name == "out")

            async def refuse(_delivery: object) -> None:
                raise DestinationRejected("D946", "not wanted")

            sender.deliver = refuse
            path = "/feeds/example-mental-health/http/messages"
            for body in (PLAIN, PLAIN, b"nothing", (LETTERS / "restricted-patient.hl7").read_bytes()):
                async with session.post(path, data=body) as response:
                    await response.read()
            async with asyncio.timeout(5):
                while not (await app.store.status(datetime.now(UTC))).deliveries.get("parked"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            async with session.get("/metrics") as response:
                assert response.content_type == "text/plain"
                return await response.text()
    finally:
        await app.close()


#: These are there only when something is wrong, or is configured that this gateway has not.
SELDOM = {"mhbridge_clocks", "mhbridge_destination_shut", "mhbridge_certificate_expiry_timestamp_seconds"}
#: These where several gateways share a database.
SELDOM |= {"mhbridge_node_parts", "mhbridge_node_leads", "mhbridge_parts_unheld"}


async def test_what_is_told_is_what_is_documented(told: str) -> None:
    table = documented()
    assert list(table.values()) == list(METRICS)
    samples = read(told)
    by_metric = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in table else name for name in samples}
    assert by_metric == table.keys() - SELDOM
    for name, metric in table.items():
        assert f"# TYPE {name} {metric.kind}\n" in told
        assert f"# HELP {name} " in told
        parts = [f"{name}_{part}" for part in ("bucket", "sum", "count")] if metric.kind == "histogram" else [name]
        for part in parts:
            for labels, _ in samples.get(part, []):
                assert list(labels) == [*metric.labels, *(["le"] if part.endswith("_bucket") else [])]


def test_names_follow_the_conventions() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"mhbridge_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not re.search(r"_(ms|minutes|hours|days|kb|mb|percent)$", metric.name)
        assert metric.help.endswith(".")


async def test_the_figures_are_right(told: str) -> None:
    samples = read(told)

    def of(name: str, **labels: str) -> float:
        (value,) = [value for found, value in samples[f"mhbridge_{name}"] if labels.items() <= found.items()]
        return value

    feed = "example-mental-health/http"
    assert (of("receipts_total", feed=feed), of("repeats_total", feed=feed)) == (4, 1)
    assert (of("refusals_total", feed=feed), of("receipts_total", feed="example-acute/http")) == (1, 0)
    assert (of("messages", feed=feed, state="done"), of("messages", feed=feed, state="parked")) == (1, 1)
    assert of("deliveries", destination="out", state="parked") == 1
    assert (of("deliveries_overdue", destination="unused"), of("lanes_held", destination="out")) == (0, 1)
    assert of("messages_waiting") == 2
    assert all(of("differences", check=f"C{number}") == 0 for number in range(1, 7))
    assert (of("ready"), of("intake_shut"), of("inside_envelopes")) == (1, 0, 0)
    assert of("acknowledge_seconds_count", feed=feed) == 4
    assert of("disk_size_bytes") > of("disk_free_bytes") > 0
    assert of("oldest_seconds", state="parked") > 0
    assert of("commit_seconds_count") == of("commit_size_count") > 3


async def test_what_letters_say_is_told_by_heading_and_no_more(told: str) -> None:
    asked = shipped.catalogue().document("mental-health-inpatient-discharge")
    assert asked is not None
    samples = read(told)["mhbridge_headings_total"]
    assert {labels["heading"] for labels, _ in samples} <= {one.heading for one in asked.headings}
    assert {labels["said"] for labels, _ in samples} <= {"said", "not"}
    # Two letters, each under every heading once.
    assert sum(n for _, n in samples) == 2 * len(asked.headings)


async def test_buckets_grow_and_end_with_all(told: str) -> None:
    samples = read(told)
    for metric in METRICS:
        if metric.kind == "histogram":
            buckets = samples[f"{metric.name}_bucket"]
            values = [value for labels, value in buckets if labels.get("feed", "example-mental-health/http")]
            assert values == sorted(values)
            assert buckets[-1][0]["le"] == "+Inf"
            assert buckets[-1][1] == samples[f"{metric.name}_count"][-1][1]


async def test_no_label_is_of_a_message(told: str) -> None:
    allowed = {
        "certificate", "check", "clock", "destination", "document", "feed", "heading", "le", "level", "mode", "node",
        "queue", "reason", "said", "severity", "state",
    }  # fmt: skip
    assert {label for metric in METRICS for label in metric.labels} | {"le"} == allowed
    patient = {part for part in re.split(rb"[|^~\r]", PLAIN) if len(part) > 5}
    assert not [part for part in patient if part in told.encode()]


def test_what_is_not_in_the_table_cannot_be_told() -> None:
    with pytest.raises(KeyError):
        exposition([Sample("mhbridge_patients", ("Sample",), 1)])
    with pytest.raises(ValueError, match="zip"):
        exposition([Sample("mhbridge_messages", ("feed", "done", "Sample"), 1)])


def test_a_name_cannot_leave_its_quotes() -> None:
    said = exposition([Sample("mhbridge_feed_silent", ('a"} 1\nmhbridge_ready 0 # \\',), 1)]).decode()
    (line,) = [line for line in said.splitlines() if line.startswith("mhbridge_feed_silent")]
    assert line == r'mhbridge_feed_silent{feed="a\"} 1\nmhbridge_ready 0 # \\"} 1'


def test_a_histogram_counts_each_value_once() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5, 99.0):
        histogram.add(value)
    assert list(histogram.cumulative()) == [("1", 2), ("2", 4), ("+Inf", 6)]
    assert (histogram.count, histogram.sum) == (6, 106.5)
