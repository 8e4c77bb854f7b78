"""
What is kept, while messages are taken: `python tests/benchmarks/keeping.py [-n 60000]`. Backup, purge, restore.

For each, how long it takes, and how long the messages that come meanwhile wait for their answer, against none of it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "adapters" / "store"))
from store_cases import T0, a_document, a_patient, a_reading, an_answer, an_envelope, an_outcome, key_of, take

from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.adapters.sqlite.backup import back_up, restore
from mhbridge.model import DeliveryState
from mhbridge.ports import Move

FILLING, LOADING = 64, 8
PATIENTS = 20_000
#: When all that was filled in has expired.
LATER = timedelta(days=450)

rng = random.Random(1)


async def commit(store: SqliteStore, number: int, at: Any = T0) -> None:
    """An envelope of 2 kB with a document of 4 kB; every fourth says something to be remembered."""
    patient = number % PATIENTS
    readings = [a_reading({"n": number}, patient=a_patient(patient))] if number % 4 == 0 else []
    document = a_document(number, body=rng.randbytes(4_000))
    outcome = replace(an_outcome(number, "gp", patient=patient, readings=readings), documents=(document,))
    envelope = an_envelope(number, at=at, body=rng.randbytes(2_000))
    await store.commit(envelope, key_of(number), [outcome], an_answer(at=at), {})


async def fill(store: SqliteStore, wanted: int) -> None:
    """So many messages, delivered."""
    numbers = iter(range(wanted))

    async def work() -> None:
        for number in numbers:
            await commit(store, number)

    await asyncio.gather(*[work() for _ in range(FILLING)])
    while due := await take(store, T0, 500):
        await store.finish([Move(one.id, DeliveryState.DONE, level=2) for one in due], T0)


numbers = count(10_000_000)


async def under_load(what: str, store: SqliteStore, job: Awaitable[Any]) -> Any:
    """Await it while messages come, and say how long these waited."""
    waited: list[float] = []
    ended = False

    async def load() -> None:
        while not ended:
            begun = time.perf_counter()
            await commit(store, next(numbers), T0 + LATER)
            waited.append(time.perf_counter() - begun)

    loads = [asyncio.create_task(load()) for _ in range(LOADING)]
    begun = time.perf_counter()
    found = await job
    seconds = time.perf_counter() - begun
    ended = True
    await asyncio.gather(*loads)
    waited.sort()
    half, most, longest = (waited[int(len(waited) * part)] * 1e3 for part in (0.5, 0.99, 0.999999))
    print(
        f"{what:<10}{seconds:>7.1f} s   meanwhile {len(waited):>6} taken, which waited"
        f" {half:.1f} ms (p99 {most:.0f}, longest {longest:.0f})"
    )
    return found


async def measure(wanted: int, folder: Path) -> None:
    """All of it, in one run."""
    path = folder / "store" / "mhbridge.db"
    store = SqliteStore(path)
    await store.open()
    await fill(store, wanted)
    await under_load("nothing", store, asyncio.sleep(3))
    done = await under_load("backup", store, asyncio.to_thread(back_up, path, folder / "backup", T0))
    purged = await under_load("purge", store, store.purge(T0 + LATER))
    print(
        f"the backup has {done.size / 1e6:,.0f} MB; the purge cleared {purged.cleared} rows, forgot {purged.forgotten}"
    )
    await store.close()
    other = folder / "other"
    other.mkdir(mode=0o700)
    shutil.copy2(path.with_name("mhbridge.db.key"), other)
    restored = await restore(folder / "backup", other / "mhbridge.db", T0, who="benchmark")
    print(f"restore   {restored.seconds:>7.1f} s   {restored.bodies} bodies opened, {restored.doubtful} in doubt")


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-n", type=int, default=60_000)
    with tempfile.TemporaryDirectory(prefix="mhbridge-benchmark-") as folder:
        asyncio.run(measure(options.parse_args().n, Path(folder)))


if __name__ == "__main__":
    main()
