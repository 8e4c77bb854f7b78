"""Alarm rules, dashboard and scrape configuration: of metrics that there are, and each alarm says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mhbridge.console.metrics import METRICS

DOCKER = Path(__file__).parent.parent / "docker"
ALARMS: dict[str, Any] = yaml.safe_load((DOCKER / "prometheus" / "alarms.yml").read_text("utf-8"))
SCRAPING: dict[str, Any] = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text("utf-8"))
DASHBOARD: dict[str, Any] = json.loads((DOCKER / "grafana" / "mhbridge.json").read_text("utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
RULES = [rule for group in ALARMS["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [target["expr"] for panel in PANELS for target in panel["targets"]]


def series() -> dict[str, set[str]]:
    """Every series that Prometheus has of the gateway → its labels."""
    found: dict[str, set[str]] = {"up": {"job", "instance"}}
    for metric in METRICS:
        labels = {*metric.labels, "job", "instance"}
        if metric.kind == "histogram":
            found |= {
                f"{metric.name}_bucket": labels | {"le"},
                f"{metric.name}_sum": labels,
                f"{metric.name}_count": labels,
            }
        else:
            found[metric.name] = labels
    return found


SERIES = series()


# --- the part of PromQL that is used here, as a grammar ----------------------------------------------------

TOKEN = re.compile(
    r'\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<range>\[\d+[smhd]\])|(?P<sign>==|!=|=~|!~|<=|>=|[-+*/<>=(){},]))"
)
AGGREGATIONS = {"sum", "max", "min", "count", "avg"}
#: Function → the kinds of its arguments: a range of a series, a number, or an instant value.
FUNCTIONS = {
    "topk": ("n", "v"),
    "rate": "r", "increase": "r", "resets": "r", "deriv": "r", "predict_linear": "rn", "histogram_quantile": "nv",
    "time": "",
}  # fmt: skip
COUNTERS = {"rate", "increase", "resets"}
LEVELS = (("or",), ("and", "unless"), ("==", "!=", "<=", "<", ">=", ">"), ("+", "-"), ("*", "/"))


class Bad(Exception):
    """It is not an expression of the grammar."""


class Parser:
    """Reads an expression and gives the labels that its value may have."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise Bad(f"not a token: {text[at:]}")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self.at = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def next(self, *wanted: str) -> str:
        kind, text = self.peek()
        if wanted and text not in wanted and kind not in wanted:
            raise Bad(f"{text!r} where {wanted} was to be")
        self.at += 1
        return text

    def whole(self) -> set[str]:
        labels = self.level(0)
        if self.peek()[0] != "end":
            raise Bad(f"{self.peek()[1]!r} behind the end")
        return labels

    def level(self, level: int) -> set[str]:
        if level == len(LEVELS):
            return self.atom()
        labels = self.level(level + 1)
        while self.peek()[1] in LEVELS[level]:
            self.next()
            labels = labels | self.level(level + 1)
        return labels

    def atom(self) -> set[str]:
        kind, text = self.peek()
        if kind == "number":
            self.next()
            return set()
        if text == "(":
            self.next()
            labels = self.level(0)
            self.next(")")
            return labels
        name = self.next("name")
        if name in AGGREGATIONS:
            return self.aggregation()
        if name in FUNCTIONS:
            return self.call(name)
        labels = self.selector(name)
        if self.peek()[0] == "range":
            raise Bad("a range is for a function")
        return labels

    def aggregation(self) -> set[str]:
        by: set[str] | None = None
        if self.peek()[1] == "by":
            self.next()
            self.next("(")
            by = {self.next("name")}
            while self.peek()[1] == ",":
                self.next()
                by.add(self.next("name"))
            self.next(")")
        self.next("(")
        labels = self.level(0)
        self.next(")")
        if by and not by <= labels:
            raise Bad(f"by {by - labels}, which is no label of it")
        return by or set()

    def call(self, name: str) -> set[str]:
        self.next("(")
        labels: set[str] = set()
        for number, kind in enumerate(FUNCTIONS[name]):
            if number:
                self.next(",")
            if kind == "n":
                self.next("number")
            elif kind == "v":
                labels = self.level(0)
                if name == "histogram_quantile" and "le" not in labels:
                    raise Bad("a quantile needs the label le")
            else:
                metric = self.next("name")
                labels = self.selector(metric)
                self.next("range")
                counts = metric.endswith(("_total", "_count", "_sum", "_bucket"))
                if counts != (name in COUNTERS):
                    raise Bad(f"{name} of {metric}")
        self.next(")")
        return labels - {"le"} if name == "histogram_quantile" else labels

    def selector(self, name: str) -> set[str]:
        if name not in SERIES:
            raise Bad(f"there is no {name}")
        if self.peek()[1] == "{":
            self.next()
            while self.peek()[1] != "}":
                label = self.next("name")
                if label not in SERIES[name]:
                    raise Bad(f"{name} has no label {label}")
                self.next("=", "!=", "=~", "!~")
                re.compile(self.next("text").strip('"'))
                if self.peek()[1] == ",":
                    self.next()
            self.next("}")
        return SERIES[name]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_is_of_metrics_that_there_are(expression: str) -> None:
    Parser(expression).whole()


@pytest.mark.parametrize(
    "expression",
    [
        "mhbridge_patients > 0", "rate(mhbridge_ready[5m])", "rate(mhbridge_receipts_total)",
        "sum by (ward) (mhbridge_tasks)",
        'mhbridge_tasks{ward="7"}',
        "histogram_quantile(0.9, sum by (feed) (rate(mhbridge_acknowledge_seconds_bucket[5m])))",
        "mhbridge_ready[5m]", "(mhbridge_ready", "mhbridge_ready >", "time(1)", "mhbridge_ready mhbridge_ready", "§",
    ],
)  # fmt: skip
def test_an_expression_that_is_wrong_is_found(expression: str) -> None:
    with pytest.raises(Bad):
        Parser(expression).whole()


# --- alarms --------------------------------------------------------------------------------------------------


def test_alarms_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names) > 20
    assert all(re.fullmatch(r"([A-Z][a-z]+)+", name) for name in names)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alarm_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "high", "normal")
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))
    summary, runbook = rule["annotations"]["summary"], rule["annotations"]["runbook"]
    assert rule["annotations"].keys() == {"summary", "runbook"}
    assert summary.endswith(".")
    assert runbook.endswith(".")
    assert len(runbook) > 40
    assert "!" not in summary + runbook
    # A label that an aggregation has taken away would be empty in the text.
    labels = Parser(rule["expr"]).whole()
    assert set(re.findall(r"\{\{ \$labels\.(\w+) \}\}", summary + runbook)) <= labels


def test_what_a_runbook_names_there_is() -> None:
    from mhbridge.cli import COMMANDS
    from mhbridge.errors import explanations
    from mhbridge.log import Event

    said = " ".join(rule["annotations"]["runbook"] for rule in RULES)
    assert set(re.findall(r"mhbridge ([a-z]+)", said)) <= COMMANDS.keys()
    assert set(re.findall(r"\b[DSMC]\d{3}\b", said)) <= explanations().keys()
    assert set(re.findall(r"\b[a-z]+_[a-z]+\b", said)) - SERIES.keys() <= {event.value for event in Event}
    assert set(re.findall(r"\bmhbridge_\w+", said)) <= {metric.name for metric in METRICS}


def test_every_trouble_that_a_metric_can_show_has_an_alarm() -> None:
    alarmed = set(re.findall(r"mhbridge_\w+", " ".join(rule["expr"] for rule in RULES)))
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in alarmed}
    trouble = {
        "ready", "differences", "accounts_timestamp_seconds", "feed_silent", "intake_shut", "deliveries_overdue",
        "destination_shut", "lanes_held", "oldest_seconds", "tasks", "tasks_unclaimed", "tasks_overdue",
        "messages_waiting",
        "clocks",
        "disk_free_bytes", "commit_seconds", "acknowledge_seconds", "store_wal_bytes", "workers_waiting",
        "certificate_expiry_timestamp_seconds", "refusals_total", "repeats_total",
    }  # fmt: skip
    assert {f"mhbridge_{name}" for name in trouble} <= plain


# --- the dashboard ---------------------------------------------------------------------------------------------


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set(
        re.findall(r"mhbridge_\w+", " ".join(target["expr"] for panel in PANELS for target in panel["targets"]))
    )
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    seldom = {
        "mhbridge_info",
        "mhbridge_accounts_timestamp_seconds",
        "mhbridge_intake_shut",
        "mhbridge_disk_size_bytes",
    }
    assert plain | seldom == {metric.name for metric in METRICS}


def test_panels_are_whole_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource"]


def test_a_legend_names_labels_that_there_are() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            labels = Parser(target["expr"]).whole()
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels


# --- the services ------------------------------------------------------------------------------------------------


def mounted(service: str) -> Iterator[tuple[Path, str]]:
    for volume in COMPOSE["services"][service]["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            yield (DOCKER / source).resolve(), target


def test_prometheus_asks_the_gateway_with_the_token_of_a_viewer() -> None:
    (job,) = SCRAPING["scrape_configs"]
    assert job["job_name"] == "mhbridge"
    ((target,),) = [config["targets"] for config in job["static_configs"]]
    host, port = target.split(":")
    assert COMPOSE["services"]["mhbridge"]["network_mode"] == f"service:{host}"
    assert f'listen = "0.0.0.0:{port}"' in (DOCKER / "mhbridge.toml").read_text("utf-8")
    token = Path(job["authorization"]["credentials_file"])
    assert token.name in COMPOSE["services"]["prometheus"]["secrets"]
    access = (DOCKER / "mhbridge.toml").read_text("utf-8").split(f'token = "file:{token}"')[1]
    assert access.strip().startswith('roles = ["viewer"]')
    targets = {target for _, target in mounted("prometheus")}
    assert {"/etc/prometheus/prometheus.yml", *SCRAPING["rule_files"]} == targets


def test_grafana_finds_its_dashboard_and_has_no_default_password() -> None:
    providers = yaml.safe_load((DOCKER / "grafana/provisioning/dashboards/mhbridge.yml").read_text("utf-8"))[
        "providers"
    ]
    assert (DOCKER / "grafana/mhbridge.json", f"{providers[0]['options']['path']}/mhbridge.json") in mounted("grafana")
    sources = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/mhbridge.yml").read_text("utf-8"))[
        "datasources"
    ]
    assert sources[0]["url"] == "http://prometheus:9090"
    environment = COMPOSE["services"]["grafana"]["environment"]
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment


def test_watching_is_asked_for() -> None:
    assert {name for name, service in COMPOSE["services"].items() if "profiles" in service} == {"prometheus", "grafana"}
