"""
The store alone: `python tests/benchmarks/store.py [--postgres] [--profile]`. Commits of worked events, and deliveries
of them.

64 callers at a time, as 64 connections would; everything durable before each answer.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import itertools
import pstats
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workload import EVENT, LETTER, MAPPINGS, varied

from mhbridge import pipeline
from mhbridge.adapters.sql.door import Door
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.mapping.catalogue import load
from mhbridge.model import DeliveryState, Envelope
from mhbridge.ports import Move

NOW = datetime(2025, 3, 14, 18, tzinfo=UTC)
CALLERS = 64


def worked(fixture: Any, count: int) -> list[Any]:
    """Envelopes with all that is committed of them."""
    catalogue = load([str(MAPPINGS)], only=True)
    mapping = catalogue.mapping(fixture.mapping)
    routes = (pipeline.Route(frozenset([mapping.document.name]), ("community-team",)),)
    feed = pipeline.Feed(fixture.supplier, fixture.mapping, (mapping,), routes, live=False)
    message = varied(fixture, max(count // 4, 1), "S")
    found = []
    for number in range(count):
        envelope = Envelope(message(number), fixture.supplier, fixture.mapping, NOW, "mllp", "127.0.0.1")
        intake = pipeline.intake(envelope, feed)
        outcomes = [pipeline.step(taken, {}, NOW, feed, validator=lambda _: ()) for taken in intake.messages]
        answer = pipeline.answer(outcomes, feed, NOW)
        found.append((envelope, pipeline.dedupe_key(envelope, intake), outcomes, answer, {"community-team": 86400.0}))
    return found


def cpu() -> dict[str, float]:
    """Seconds of CPU by thread."""
    return {
        thread.name: time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0))
        for thread in threading.enumerate()
    }


@contextmanager
def a_store(*, postgres: bool) -> Iterator[Door]:
    """One with nothing in it: on the disk, or in a PostgreSQL beside it."""
    if not postgres:
        with tempfile.TemporaryDirectory(prefix="mhbridge-benchmark-") as folder:
            yield SqliteStore(Path(folder) / "store" / "mhbridge.db")
        return
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from databases import database
    from mhbridge.adapters.postgres import Address, PostgresStore

    with database() as address:
        yield PostgresStore(Address(address), master=lambda: b"m" * 32)


async def measure(name: str, work: list[Any], *, postgres: bool) -> None:
    """Commit all of it, then deliver all of it."""
    with a_store(postgres=postgres) as store:
        await store.open()
        calls = iter(work)

        async def commit() -> None:
            for one in calls:
                await store.repeat(one[0], one[1])
                reading = one[2][0].readings[0]
                for episode, document in ((reading.episode, reading.document), ("", reading.document), ("", "")):
                    await store.known(reading.patient, episode, document)
                await store.commit(*one)

        await timed(f"{name}: commit", len(work), *[commit() for _ in range(CALLERS)])
        numbers = itertools.count()

        async def deliver() -> None:
            while due := await store.due(NOW, CALLERS):
                taken = await store.start([one.id for one in due], NOW, NOW)
                await asyncio.gather(*[store.finish([Move(one, DeliveryState.DONE, level=2)], NOW) for one in taken])
                next(numbers)

        await timed(f"{name}: deliver", len(work), deliver())
        status = await store.status(NOW)
        assert not status.differences, status.differences
        assert status.deliveries == {"done": len(work)}, status.deliveries
        await store.close()


async def timed(what: str, count: int, *work: Any) -> None:
    """Await it, and say how long it took."""
    before, begun = cpu(), time.perf_counter()
    await asyncio.gather(*work)
    seconds, after = time.perf_counter() - begun, cpu()
    by_thread = ", ".join(f"{name} {(used - before.get(name, 0)) / count * 1e6:.0f}" for name, used in after.items())
    print(f"{what:<20}{count / seconds:>9,.0f}/s   CPU µs each: {by_thread}")


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-n", type=int, default=4_000)
    options.add_argument("--profile", action="store_true", help="where the writer's thread spends its time")
    options.add_argument("--postgres", action="store_true", help="in a PostgreSQL from a wheel")
    asked = options.parse_args()
    profile = cProfile.Profile()
    if asked.profile:
        from mhbridge.adapters.sql.committing import Writer

        together = Writer.work

        def work(self: Any, batch: Any) -> Any:
            profile.enable()
            try:
                return together(self, batch)
            finally:
                profile.disable()

        Writer.work = work  # type: ignore[method-assign]
    asyncio.run(measure("event", worked(EVENT, asked.n), postgres=asked.postgres))
    if asked.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        return
    asyncio.run(measure("letter", worked(LETTER, asked.n // 4), postgres=asked.postgres))


if __name__ == "__main__":
    main()
