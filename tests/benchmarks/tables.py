"""
Memory while a large set of tables is joined and taken: `python tests/benchmarks/tables.py 1000000 [--steps]`.

The files are written first, in the layout of `example-inpatient/discharges`, so many rows in all, and no table in the
order of another. Then they are joined in parts, as the folder receiver joins them; with `--steps` every record is
translated and validated as well. Memory is that of the process, asked ten times on the way; it is to stay flat.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

from extract import BAR, NOW, Watched, memory
from workload import MAPPINGS

from mhbridge import pipeline
from mhbridge.mapping.catalogue import load
from mhbridge.model import NOTHING_BEFORE, Envelope

FEED = "example-inpatient/discharges"
#: Table → what stands in a row of the n-th letter; `{o}` is the number of another letter, so that keys are in no order.
ROWS: dict[str, tuple[str, ...]] = {
    "DischargeLetter": (
        (
            "L{n},S{n},Signed,2025-04-02,16:20:00,Dr Ada Testwriter,Ward doctor,GMC,9990010,0113 496 0101,Mania,"
            "Recovered on the ward.,Overwork.,Walks into traffic.,None known.,None known,Call my sister.,0113 496 0000,"
            "Example Team,Lithium level.,Sleep diary.,Leaflet."
        ),
    ),
    "LetterMedicine": ("L{o},Lithium carbonate 400 mg tablets,One at night,New,Mood", "L{o},Senna 7.5 mg,Two,Same,"),
    "LetterAllergy": (),
    "MHS501HospProvSpell": ("S{o},R{o},2025-03-03,22:40:00,19,25,2025-03-31,2025-04-02,15:05:00,1,19",),
    "MHS502WardStay": ("W{o}2,A,S{o},2025-03-11,09:00:00,2025-04-02,15:05:00", "W{o}1,B,S{o},2025-03-03,22:40:00,,"),
    "MHS903WardDetails": (),
    "MHS503AssignedCareProf": ("S{o},C77,2025-03-03,",),
    "MHS901StaffDetails": (),
    "MHS101Referral": ("R{o},P{o},2025-03-03",),
    "MHS604PrimDiag": ("R{o},06,191618007,2025-03-20T11:00:00+00:00",),
    "MHS201CareContact": ("K{o},R{o},2025-04-04,10:30:00,11,0",),
    "MHS001MPI": ("P{o},,07,1984-05-11,LS1 9ZZ,1,A,",),
    "PatientDetails": ("P{o},Mr,TESTPATIENT,Testforename,1 Invented Lane,Exampleton,0113 496 0201,N",),
    "MHS002GP": ("P{o},V81998,2001-01-01,2019-06-30", "P{o},V81000,2019-07-01,"),
    "MHS401MHActPeriod": ("M{o},P{o},2025-03-20,12:00:00,,,,01",),
}
EACH = sum(map(len, ROWS.values()))


def write(folder: Path, rows: int, columns: dict[str, tuple[str, ...]]) -> dict[str, Path]:
    """The tables of so many rows in all."""
    letters = max(rows // EACH, 1)
    step = next(step for step in range(letters // 2 + 1, letters * 2) if _coprime(step, letters))
    found: dict[str, Path] = {}
    for table, said in ROWS.items():
        path = found[table] = folder / f"{table}.csv"
        with path.open("w", newline="") as file:
            file.write(",".join(columns[table]) + "\r\n")
            if table == "MHS903WardDetails":
                file.write("A,RZZ01,03\r\nB,RZZ02,03\r\n")
            if table == "MHS901StaffDetails":
                file.write("C77,03,9990001\r\n")
            for n in range(letters):
                for row in said:
                    file.write(row.format(n=n, o=n * step % letters) + "\r\n")
    return found


def _coprime(one: int, other: int) -> bool:
    while other:
        one, other = other, one % other
    return one == 1


def main() -> None:
    """Measure what was asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("rows", type=int, nargs="?", default=100_000)
    options.add_argument("--steps", action="store_true", help="translate and validate each record")
    options.add_argument("--on", help="a folder of the disk to use")
    asked = options.parse_args()
    mapping = load([str(MAPPINGS)], only=True).mapping(FEED)
    feed = pipeline.Feed(FEED.partition("/")[0], FEED, (mapping,), live=False)
    (gathering,) = pipeline.gatherings(feed)
    columns = {name: table.columns for name, table in mapping.source.options["set"].by_name.items()}
    with tempfile.TemporaryDirectory(dir=asked.on) as name, ExitStack() as stack:
        paths = write(Path(name), asked.rows, columns)
        size = sum(path.stat().st_size for path in paths.values())
        print(f"{asked.rows:,} rows in {len(paths)} tables, {size / 1e6:,.0f} MB")
        letters = max(asked.rows // EACH, 1)
        files = {table: (path.name, stack.enter_context(path.open("rb"))) for table, path in paths.items()}
        begun = time.monotonic()
        watched = Watched(letters)

        def spill() -> BinaryIO:
            return cast("BinaryIO", tempfile.TemporaryFile(dir=name))  # ends with whoever holds it

        first = True
        for part in gathering.parts(files, NOTHING_BEFORE, spill) or ():
            if first:
                print(f"  indexed after {time.monotonic() - begun:.1f} s, {memory():.1f} MB")
                first = False
            if asked.steps:
                envelope = Envelope(part.body, feed.supplier, feed.name, NOW, "folder", before=part.before)
                for taken in pipeline.intake(envelope, feed).messages:
                    assert pipeline.step(taken, {}, NOW, feed).documents
            watched.at(part.after.rows)
        print(f"  most: {watched.most:.0f} MB; bar {BAR:.0f} MB")


if __name__ == "__main__":
    main()
