"""
µs for each stage of one message, on one core: `python tests/benchmarks/stages.py [--profile NAME] [NAME …]`.

Each figure is the best of several rounds, so that what else runs on the machine disturbs it least; where the machine
counts instructions, they are there as well, and more to be trusted. The messages of a round are of patients who differ
in all that is theirs.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from counting import instructions
from workload import FIXTURES_BY_NAME, MAPPINGS, Fixture, varied

from mhbridge import pipeline
from mhbridge.fhir.validate import default_validator
from mhbridge.mapping.catalogue import Catalogue, load
from mhbridge.mapping.ledger import drawn_up
from mhbridge.model import Envelope

NOW = datetime(2025, 3, 14, 18, tzinfo=UTC)
#: design §11, µs: a 12-segment event of about 10 resources, without and with validation.
BARS = {"translate": 60.0, "validated": 150.0}
#: Of so many patients is what is translated in turn.
PATIENTS = 64

Work = Callable[[], Any]


def best(work: Work, *, seconds: float = 0.4, rounds: int = 60) -> float:
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


def counted(work: Work, count: Callable[[], int]) -> float:
    """Thousands of instructions of one call: the mean of all patients."""
    for _ in range(PATIENTS):
        work()
    begun = count()
    for _ in range(PATIENTS):
        work()
    return (count() - begun) / PATIENTS / 1000


def stages(catalogue: Catalogue, fixture: Fixture) -> dict[str, Work]:
    """What each stage does with the messages of a fixture in turn, given what the stage before made of each."""
    mapping = catalogue.mapping(fixture.mapping)
    sources, validator = [mapping.source], default_validator()
    feed = pipeline.Feed(fixture.supplier, fixture.mapping, (mapping,), live=False)
    make = varied(fixture, PATIENTS, "s") if fixture.control else None
    bodies = [fixture.body] if make is None else [make(n) for n in range(PATIENTS)]

    def parse(body: bytes) -> Any:
        return next(iter(mapping.format.messages(body, sources)))[0]

    def bind(body: bytes) -> Any:
        message = parse(body)
        return mapping.bind(mapping.format.cursor(message), mapping.run(message.facts, NOW))

    def whole(envelope: Envelope) -> Any:
        return step(pipeline.intake(envelope, feed))

    def step(taken: Any) -> Any:
        return [pipeline.step(one, {}, NOW, feed, validator=lambda _: ()) for one in taken.messages]

    def build(reading: Any) -> Any:
        return mapping.build(reading, reading.items, NOW)

    envelopes = [Envelope(body, fixture.supplier, fixture.mapping, NOW, "mllp") for body in bodies]
    taken = [pipeline.intake(envelope, feed) for envelope in envelopes]
    messages = [parse(body) for body in bodies]
    traced = [(message, mapping.read_traced(message, NOW)) for message in messages]
    readings = [reading for _, (reading, _) in traced]
    translations = [build(reading) for reading in readings]

    def turns(work: Callable[[Any], Any], given: list[Any]) -> Work:
        following = cycle(given).__next__
        return lambda: work(following())

    return {
        "decode, parse": turns(parse, bodies),
        "parse, facts": turns(lambda body: parse(body).facts, bodies),
        "parse, bind": turns(bind, bodies),
        "ledger": turns(lambda one: drawn_up(one[0], (one[1][1],)), traced),
        "parse, bind, ledger": turns(lambda body: mapping.read(parse(body), NOW), bodies),
        "build": turns(build, readings),
        "validate": turns(lambda one: validator(one.resource), translations),
        "serialise": turns(lambda one: one.json(), translations),
        "intake": turns(lambda one: pipeline.intake(one, feed), envelopes),
        "step unvalidated": turns(step, taken),
        "dedupe key": turns(lambda one: pipeline.dedupe_key(*one), list(zip(envelopes, taken, strict=True))),
        "translate": turns(whole, envelopes),
    }


def show(fixture: Fixture, found: dict[str, tuple[float, float]], resources: int) -> None:
    """A table of one fixture."""
    print(f"\n{fixture.name}: {fixture.supplier}/{fixture.file}, {len(fixture.body)} bytes → {resources} resources")
    print(f"  {'stage':<28}{'µs':>9}{'messages/s':>12}{'thousand instructions':>24}")
    both = tuple(found["translate"][n] + found["validate"][n] for n in (0, 1))
    for name, (micros, count) in {**found, "translate and validate": both}.items():
        print(f"  {name:<28}{micros:9.1f}{1e6 / micros:12,.0f}{f'{count:24,.0f}' if count else ''}")
    if fixture.name == "event":
        for name, micros in (("translate", found["translate"][0]), ("validated", both[0])):
            print(f"  bar {name}: {BARS[name]:.0f} µs; measured {micros:.0f} µs, {micros / BARS[name]:.1f} × the bar")


def main() -> None:
    """Measure what was asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", default=list(FIXTURES_BY_NAME), help="fixtures")
    options.add_argument("--profile", metavar="STAGE", help="show where this stage spends its time")
    asked = options.parse_args()
    catalogue, count = load([str(MAPPINGS)], only=True), instructions()
    for name in asked.names:
        fixture = FIXTURES_BY_NAME[name]
        work = stages(catalogue, fixture)
        gc.collect()
        gc.freeze()
        if asked.profile:
            _profile(work[asked.profile])
            continue
        resources = len(work["build"]().resource["entry"])
        found = {
            stage: (best(call), counted(call, count) if count is not None else 0.0) for stage, call in work.items()
        }
        show(fixture, found, resources)


def _profile(work: Work) -> None:
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(500):
        work()
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
