"""The gateway that the simulated tests run: its configuration, with one supplier that has events and letters."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
SUPPLIER = "example-mental-health"
FEED = f"{SUPPLIER}/mllp"
MLLP = ("127.0.0.1", 2575)

_GATEWAY = f"""
[gateway]
name = "world"
mode = "test"
workers = 0
store = "sqlite:store/mhbridge.db"
mappings = ["{ROOT / "mappings"}"]

[[receiver]]
supplier = "{SUPPLIER}"
kind = "mllp"
listen = "{MLLP[0]}:{MLLP[1]}"
"""

_DESTINATION = """
[[destination]]
name = "{name}"
kind = "fhir"
url = "{url}"
deadline = "{deadline}"
concurrency = {concurrency}
"""

_ROUTE = """
[[route]]
documents = ["encounter-event", "mental-health-inpatient-discharge"]
to = [{to}]
"""


def configuration(*urls: str, deadline: str = "24h", concurrency: int = 4) -> str:
    """A gateway that sends all it makes to each of these servers, which are called `d0`, `d1` …"""
    named = {f"d{n}": url for n, url in enumerate(urls)}
    destinations = [
        _DESTINATION.format(name=name, url=url, deadline=deadline, concurrency=concurrency)
        for name, url in named.items()
    ]
    return "".join([_GATEWAY, *destinations, _ROUTE.format(to=", ".join(f'"{name}"' for name in named))])
