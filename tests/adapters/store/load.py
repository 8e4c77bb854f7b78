"""
A process that is killed: commits and delivers without end, and says on standard output what was acknowledged.

Run as `load.py DATABASE FIRST [early]`. With `early` it says so before the commit: the fault that the test must see.
"""

import asyncio
import itertools
import os
import sys
from pathlib import Path

from store_cases import T0, keep, take

from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.model import DeliveryState
from mhbridge.ports import Move


def say(number: int) -> None:
    # One write is whole or not there, however the process ends.
    os.write(1, b"%d\n" % number)


async def send(store: SqliteStore, numbers: "itertools.count[int]", *, early: bool) -> None:
    for number in numbers:
        if early:
            say(number)
        await keep(store, number, "gp", "acute", patient=number % 50)
        if not early:
            say(number)


async def deliver(store: SqliteStore) -> None:
    while True:
        taken = await take(store, T0, 16)
        await asyncio.gather(*[store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0) for due in taken])
        await asyncio.sleep(0)


async def main(path: str, first: str, how: str = "") -> None:
    store = SqliteStore(Path(path))
    await store.open()
    await store.recover(T0)
    numbers = itertools.count(int(first))
    await asyncio.gather(deliver(store), *[send(store, numbers, early=how == "early") for _ in range(32)])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
