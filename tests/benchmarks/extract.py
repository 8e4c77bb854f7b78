"""
Memory while a large CSV extract is taken: `python tests/benchmarks/extract.py 1000000 [--gateway] [--on FOLDER]`.

The file is written first, each row about another patient, stay and letter. Then it is taken in parts, as the folder
receiver takes it, and every row is translated and validated; with `--gateway` it is put into the watched folder of a
gateway with a store on this disk. Memory is that of the process, asked ten times on the way; it is to stay flat.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from workload import MAPPINGS, ROW, varied

from mhbridge import pipeline
from mhbridge.app import build
from mhbridge.config import load as configuration
from mhbridge.mapping.catalogue import load
from mhbridge.model import Envelope

NOW = datetime(2025, 3, 14, 18, tzinfo=UTC)
#: design §11: MB for an extract of a million rows.
BAR = 200.0

CONFIGURATION = """\
[gateway]
name = "benchmark"
store = "sqlite:store/mhbridge.db"
mode = "test"
mappings = ["{mappings}"]

[[receiver]]
supplier = "example-community"
kind = "folder"
path = "in"
pattern = "*.csv"
settle = "0ms"
every = "100ms"
"""


def write(path: Path, rows: int) -> None:
    """An extract of so many rows."""
    message = varied(ROW, min(rows, 400_000), "x")
    header = len(ROW.body.split(b"\r\n", 1)[0]) + 2
    with path.open("wb") as file:
        file.write(ROW.body[:header])
        for n in range(rows):
            file.write(message(n)[header:])


def memory() -> float:
    """What this process holds now, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Watched:
    """Memory and speed, shown ten times."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._next = max(rows // 10, 1)
        self._begun, self._cpu = time.monotonic(), time.process_time()
        self.most = memory()
        print(f"  {'rows':>10}{'MB':>8}{'rows/s':>9}{'CPU µs/row':>12}", flush=True)
        print(f"  {0:>10}{self.most:8.1f}", flush=True)

    def at(self, rows: int) -> None:
        """So many rows are done."""
        self.most = max(self.most, memory())
        if rows >= self._next:
            self._next += max(self._rows // 10, 1)
            wall, cpu = time.monotonic() - self._begun, time.process_time() - self._cpu
            print(f"  {rows:>10}{memory():8.1f}{rows / wall:9,.0f}{cpu / rows * 1e6:12.0f}", flush=True)


def in_parts(path: Path, watched: Watched) -> None:
    """Parts → intake → step: all but the store."""
    mapping = load([str(MAPPINGS)], only=True).mapping(ROW.mapping)
    feed = pipeline.Feed(ROW.supplier, ROW.mapping, (mapping,), live=False)
    with path.open("rb") as file:
        for part in pipeline.parts(file, feed) or ():
            envelope = Envelope(part.body, feed.supplier, feed.name, NOW, "folder", before=part.before)
            for taken in pipeline.intake(envelope, feed).messages:
                assert pipeline.step(taken, {}, NOW, feed).documents
            watched.at(part.after.rows)


async def through_a_gateway(path: Path, folder: Path, watched: Watched) -> None:
    """The whole way from the folder into the store."""
    config = folder / "mhbridge.toml"
    config.write_text(CONFIGURATION.format(mappings=MAPPINGS))
    app = build(configuration(config, {}))
    await app.open()
    path.rename(folder / "in" / path.name)
    while not any((folder / "in" / "archive").iterdir()):
        await asyncio.sleep(0.5)
        status = await app.store.status(datetime.now(UTC))
        watched.at(sum(status.messages.values()))
    status = await app.store.status(datetime.now(UTC))
    print(f"  {dict(status.messages)}, differences: {list(status.differences)}")
    await app.close()


def main() -> None:
    """Measure what was asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("rows", type=int, nargs="?", default=100_000)
    options.add_argument("--gateway", action="store_true", help="through a watched folder into a store")
    options.add_argument("--on", help="a folder of the disk to use")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.on) as name:
        folder = Path(name)
        path = folder / "extract.csv"
        write(path, asked.rows)
        print(f"{asked.rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB, {'gateway' if asked.gateway else 'in parts'}")
        watched = Watched(asked.rows)
        if asked.gateway:
            asyncio.run(through_a_gateway(path, folder, watched))
        else:
            in_parts(path, watched)
        print(f"  most: {watched.most:.0f} MB; bar {BAR:.0f} MB")


if __name__ == "__main__":
    main()
