"""
Finding messages among many, and the accounts of as many: `python tests/benchmarks/search.py [-n 1000000]`.

Fills a store by rows, without bodies: ten messages of each patient, over half a year, nearly all of them done. Then
each kind of search is asked for many times, each time for something else, on the store's own reader. Prints p50 and
p95 in milliseconds, and whether a plan reads a table whole. `--keep FOLDER` uses the store that is there, or leaves it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import apsw

from mhbridge.adapters.sql import queries
from mhbridge.adapters.sql.books import micros
from mhbridge.adapters.sql.chain import Chain
from mhbridge.adapters.sql.sealing import Keys
from mhbridge.adapters.sql.searching import NUMBERS
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.adapters.sqlite.opening import find_files
from mhbridge.adapters.sqlite.session import WRITER_ID
from mhbridge.ports import Sought

END = datetime(2026, 6, 30, 12, tzinfo=UTC)
SPAN = timedelta(days=180)
FEEDS = [f"example-{name}/{kind}" for name in ("mental-health", "acute", "community") for kind in ("mllp", "http")]
DESTINATIONS = ["gp", "community-fhir", "archive"]
#: Gateway design §4.4, seconds.
BAR = 1.0

COLUMNS = {
    "envelope": "id feed received_at transport peer dedupe size messages answer",
    "message": "id envelope feed kind place received_at patient state code due_at mapping mapping_hash fanout issues",
    "document": "id series version message kind target bundle identifier media_type sha256 status",
    "patient": "id token",
    "lane": "patient destination last_seq depth next_at held",
    "delivery": "id message document destination patient seq state code level due_at deadline remote_id sent_at",
    "log": "writer seq at what about moves who mac",
    "property": "token message kind",
    "identity": "token patient kind",
    "destination": "id name",
    "task": "id what about cause queue severity opened_at next_at",
}


def person(number: int) -> str:
    """An invented surname and date of birth, which a few share."""
    return f"Sample{number % 9000} {1930 + number % 90}-06-{number % 28 + 1:02}"


class Filling:
    """
    Rows of a store of so many messages.

    Args:
        keys: of the store, as its tokens and its chain need them.
    """

    def __init__(self, connection: apsw.Connection, keys: Keys, count: int) -> None:
        self._connection = connection
        self._keys = keys
        self._count = count
        self._random = random.Random(1)
        self._chain = Chain(keys.log, WRITER_ID)
        self._id = 0
        self._patients: list[int] = []
        self._lanes: dict[tuple[int, int], list[Any]] = {}
        self._tallies: Counter[tuple[str, str, str]] = Counter()
        self._rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in COLUMNS}

    def fill(self) -> None:
        """Write them, a portion at a time."""
        numbers = iter(range(self._count))
        self._connection.execute("begin")
        self._destinations = [self._new("destination", name) for name in DESTINATIONS]
        for number in range(max(self._count // 10, 1)):
            about = self._new("patient", self._token("lane", f"example-mrn{number}"))
            self._patients.append(about)
            self._found("identity", about, Sought.PATIENT, f"p{number:07}")
            self._found("identity", about, Sought.NHS, f"{9990000000 + number}")
            self._found(
                "identity", about, Sought.PERSON, f"sample{number % 9000} {1930 + number % 90}-06-{number % 28 + 1:02}"
            )
        self._write()
        while portion := list(islice(numbers, 20_000)):
            for number in portion:
                self._message(number)
            self._write()
        for (patient, destination), (last, depth, due) in self._lanes.items():
            self._rows["lane"].append((patient, destination, last, depth, due, ""))
        self._write()
        for (feed, what, state), n in self._tallies.items():
            self._connection.execute(queries()["add_tally"], (WRITER_ID, feed, what, state, n))
        self._connection.execute("commit")

    def _message(self, number: int) -> None:
        chance = self._random.random
        at = micros(END - SPAN * (1 - number / self._count))
        feed = FEEDS[int(chance() * chance() * len(FEEDS))]
        patient = self._patients[int(chance() * len(self._patients))]
        drawn = chance()
        state = "done" if drawn < 0.97 else "filtered" if drawn < 0.99 else "closed" if drawn < 0.9995 else "parked"
        to = self._destinations[: 1 if chance() < 0.8 else 2] if state == "done" else []
        digest = blake2b(str(number).encode(), digest_size=32).digest()
        envelope = self._new("envelope", feed, at, "mllp", "192.0.2.7", digest, 900, 1, '{"verdict":"accepted"}')
        code = "M740" if state == "parked" else ""
        message = self._new(
            "message", envelope, feed, "ADT^A03", "", at, patient, state, code, None, f"{feed}/adt", "0" * 32, len(to),
            "[]",
        )  # fmt: skip
        self._found("property", message, Sought.CONTROL, f"c{number}")
        self._found("property", message, Sought.VISIT, f"sp-{number // 5}")
        self._tallies[feed, "message", state] += 1
        self._tallies[feed, "receipt", "received"] += 1
        self._log(at, "message", message, f">{state}")
        if state == "parked":
            self._new("task", "message", message, "M740", "operator", "normal", at, at + 10**15)
        if to:
            document = self._new(
                "document", digest, 1, message, "letter", "r4", "document", f"urn:uuid:{number}",
                "application/fhir+json", digest, "current",
            )  # fmt: skip
            if number % 5 == 0:
                self._found("property", message, Sought.DOCUMENT, str(number))
        for destination in to:
            self._delivery(number, message, document, destination, patient, at)

    def _delivery(self, number: int, message: int, document: int, destination: int, patient: int, at: int) -> None:
        state = "done" if self._random.random() < 0.999 else "queued"
        lane = self._lanes.setdefault((patient, destination), [0, 0, None])
        lane[0] += 1
        due = None if state == "done" else micros(END) + 10**12
        if state == "queued":
            lane[1] += 1
            lane[2] = due if lane[1] == 1 else lane[2]
        name = DESTINATIONS[self._destinations.index(destination)]
        about = self._new(
            "delivery", message, document, destination, patient, lane[0], state, "", 2 if state == "done" else 0, due,
            micros(END) + 10**12, f"Bundle/{number}" if state == "done" else "", at,
        )  # fmt: skip
        self._tallies[name, "delivery", state] += 1
        self._log(at, "delivery", about, f"sending>{state}")

    def _new(self, table: str, *values: Any) -> int:
        self._id += 1
        self._rows[table].append((self._id, *values))
        return self._id

    def _token(self, kind: str, form: str) -> bytes:
        return self._keys.token(kind, form)

    def _found(self, table: str, about: int, kind: Sought, form: str) -> None:
        self._rows[table].append((self._token(kind.value, form), about, NUMBERS[kind]))

    def _log(self, at: int, what: str, about: int, moves: str) -> None:
        self._rows["log"].append(self._chain.link(at, what, about, moves, "gateway"))

    def _write(self) -> None:
        for table, rows in self._rows.items():
            names = COLUMNS[table].split()
            marks = ", ".join("?" * len(names))
            text = f"insert into {table} ({', '.join(names)}) values ({marks}) on conflict do nothing"
            self._connection.executemany(text, rows)
            rows.clear()


async def filled(path: Path, count: int) -> None:
    """Make the store, and fill it."""
    store = SqliteStore(path)
    await store.open()
    await store.close()
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", 0)
    connection.pragma("cache_size", -1_500_000)
    begun = time.perf_counter()
    Filling(connection, find_files(path), count).fill()
    connection.pragma("wal_checkpoint", "truncate")
    connection.close()
    size = path.stat().st_size
    took = time.perf_counter() - begun
    print(f"{count:,} messages in {took:.0f} s, {size / 1e9:.2f} GB, {size / count / 1000:.2f} kB each")


def questions(store: SqliteStore, count: int) -> Iterator[tuple[str, Callable[[], Awaitable[Any]]]]:
    """Each kind of search, asked for something else each time."""
    draw = random.Random(2).randrange

    def ask(**terms: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
        return lambda: store.messages(**{name: make() for name, make in terms.items()})

    def past() -> datetime:
        return END - SPAN * (draw(1000) / 1000)

    patients = max(count // 10, 1)
    yield "control id", ask(search=lambda: f"C{draw(count)}", kind=lambda: "control")
    yield "patient number", ask(search=lambda: f"P{draw(patients):07}", kind=lambda: "patient")
    yield "NHS number", ask(search=lambda: f"{9990000000 + draw(patients)}", kind=lambda: "nhs")
    yield (
        "surname and birth date",
        ask(
            search=lambda: person(draw(patients)),
            kind=lambda: "person",
        ),
    )
    yield "visit", ask(search=lambda: f"SP-{draw(count // 5)}", kind=lambda: "visit")
    yield "document", ask(search=lambda: f"urn:uuid:{draw(count // 5) * 5}", kind=lambda: "document")
    yield "receiver's id", ask(search=lambda: f"Bundle/{draw(count)}", kind=lambda: "remote")
    yield "any identifier", ask(search=lambda: f"P{draw(patients):07}")
    yield (
        "patient, feed and time",
        ask(search=lambda: f"P{draw(patients):07}", feed=lambda: FEEDS[draw(6)], since=past, until=lambda: END),
    )
    yield "the newest", ask()
    yield "a feed's day", ask(feed=lambda: FEEDS[draw(6)], until=past)
    yield "a time, all feeds", ask(until=past)
    yield "a time, most 1000", ask(until=past, most=lambda: 1000)
    yield "a page far back", ask(before=lambda: draw(count * 4) + 100)
    yield "parked", ask(state=lambda: "parked")
    yield "parked in a time", ask(state=lambda: "parked", until=past)
    yield "closed of a feed", ask(state=lambda: "closed", feed=lambda: FEEDS[draw(6)], until=past)
    yield "nothing of the kind", ask(search=lambda: f"Z{draw(count)}")

    async def trace() -> Any:
        (row, *_) = await store.messages(search=f"C{draw(count)}", kind="control")
        return await store.trace(row.id)

    yield "control id, then trace", trace


async def measure(path: Path, count: int, times: int) -> None:
    """Ask, and print."""
    store = SqliteStore(path, read_only=True)
    await store.open()
    print(f"\n{'search':<26}{'p50 ms':>9}{'p95 ms':>9}{'most ms':>9}{'found':>7}{'bar ms':>8}")
    worst = 0.0
    for name, ask in questions(store, count):
        took, found = [], 0
        for _ in range(times):
            begun = time.perf_counter()
            answer = await ask()
            took.append(time.perf_counter() - begun)
            found = max(found, len(answer) if isinstance(answer, list) else 1)
        took.sort()
        p50, p95 = took[len(took) // 2], took[int(len(took) * 0.95)]
        worst = max(worst, p95)
        print(f"{name:<26}{p50 * 1e3:>9.2f}{p95 * 1e3:>9.2f}{took[-1] * 1e3:>9.2f}{found:>7}{BAR * 1e3:>8.0f}")
    print(f"the slowest p95 is {worst * 1e3:.1f} ms: {'within' if worst < BAR else 'NOT within'} the bar")
    print()
    for number in (1, 2, 3):
        begun = time.perf_counter()
        status = await store.status(END)
        print(f"accounts, time {number}: {time.perf_counter() - begun:.2f} s, {len(status.differences)} differences")
        for difference in status.differences[:5]:
            print("   ", difference)
    await store.close()


def main() -> None:
    """Fill, and measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-n", type=int, default=1_000_000)
    options.add_argument("--times", type=int, default=200)
    options.add_argument("--keep", type=Path, metavar="FOLDER")
    asked = options.parse_args()
    with ExitStack() as stack:
        folder = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mhbridge-benchmark-")))
        path = folder / "store" / "mhbridge.db"
        if not path.exists():
            asyncio.run(filled(path, asked.n))
        asyncio.run(measure(path, asked.n, asked.times))


if __name__ == "__main__":
    main()
