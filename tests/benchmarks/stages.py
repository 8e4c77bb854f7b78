"""
µs for each stage of one message, on one core: `python tests/benchmarks/stages.py [--profile NAME] [NAME …]`.

Each figure is the best of several rounds, so that what else runs on the machine disturbs it least.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from workload import FIXTURES_BY_NAME, MAPPINGS, Fixture

from mhbridge import pipeline
from mhbridge.fhir.validate import default_validator
from mhbridge.mapping.catalogue import Catalogue, load
from mhbridge.model import Envelope

NOW = datetime(2025, 3, 14, 18, tzinfo=UTC)
#: design §11, µs: a 12-segment event of about 10 resources, without and with validation.
BARS = {"translate": 60.0, "validated": 150.0}


def best(work: Callable[[], Any], *, seconds: float = 0.4, rounds: int = 60) -> float:
    """
    The µs of CPU of one call, in the best of many short rounds: between two of them others may run, within one seldom.
    """
    work()
    begun = time.thread_time()
    work()
    once = time.thread_time() - begun
    times = max(1, int(seconds / rounds / max(once, 1e-6)))
    found = []
    for _ in range(rounds):
        begun = time.thread_time()
        for _ in range(times):
            work()
        found.append((time.thread_time() - begun) / times)
    return min(found) * 1e6


def stages(catalogue: Catalogue, fixture: Fixture) -> dict[str, Callable[[], Any]]:
    """What each stage does with this fixture, given what the one before it made."""
    mapping, body = catalogue.mapping(fixture.mapping), fixture.body
    sources, validator = [mapping.source], default_validator()
    message, _ = next(iter(mapping.format.messages(body, sources)))
    reading = mapping.read(message, NOW)
    translation = mapping.build(reading, reading.items, NOW)
    feed = pipeline.Feed(fixture.supplier, fixture.mapping, (mapping,), live=False)
    envelope = Envelope(body, fixture.supplier, fixture.mapping, NOW, "mllp")
    taken = pipeline.intake(envelope, feed)

    def parse() -> Any:
        return next(iter(mapping.format.messages(body, sources)))

    def fresh() -> Any:
        found = parse()[0]
        return mapping.read(found, NOW)

    def whole() -> Any:
        found = pipeline.intake(envelope, feed)
        return [pipeline.step(one, {}, NOW, feed, validator=lambda _: ()) for one in found.messages]

    return {
        "decode, parse": parse,
        "parse, facts": lambda: (parse()[0].facts, message.facts),
        "parse, bind": fresh,
        "build": lambda: mapping.build(reading, reading.items, NOW),
        "validate": lambda: validator(translation.resource),
        "serialise": translation.json,
        "intake": lambda: pipeline.intake(envelope, feed),
        "step unvalidated": lambda: [
            pipeline.step(one, {}, NOW, feed, validator=lambda _: ()) for one in taken.messages
        ],
        "dedupe key": lambda: pipeline.dedupe_key(envelope, taken),
        "translate": whole,
    }


def show(fixture: Fixture, found: dict[str, float], resources: int) -> None:
    """A table of one fixture."""
    print(f"\n{fixture.name}: {fixture.supplier}/{fixture.file}, {len(fixture.body)} bytes → {resources} resources")
    print(f"  {'stage':<28}{'µs':>9}{'messages/s':>12}")
    for name, micros in found.items():
        print(f"  {name:<28}{micros:9.1f}{1e6 / micros:12,.0f}")
    validated = found["translate"] + found["validate"]
    print(f"  {'translate and validate':<28}{validated:9.1f}{1e6 / validated:12,.0f}")
    if fixture.name == "event":
        for name, micros in (("translate", found["translate"]), ("validated", validated)):
            print(f"  bar {name}: {BARS[name]:.0f} µs; measured {micros:.0f} µs, {micros / BARS[name]:.1f} × the bar")


def main() -> None:
    """Measure what was asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", default=list(FIXTURES_BY_NAME), help="fixtures")
    options.add_argument("--profile", metavar="STAGE", help="show where this stage spends its time")
    asked = options.parse_args()
    catalogue = load([str(MAPPINGS)], only=True)
    for name in asked.names:
        fixture = FIXTURES_BY_NAME[name]
        work = stages(catalogue, fixture)
        gc.collect()
        gc.freeze()
        if asked.profile:
            _profile(work[asked.profile])
            continue
        resources = len(work["build"]().resource["entry"])
        show(fixture, {stage: best(call) for stage, call in work.items()}, resources)


def _profile(work: Callable[[], Any]) -> None:
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(500):
        work()
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
