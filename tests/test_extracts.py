"""
An extract from a watched folder into the store, the whole way: `mhbridge serve` in its own process, real files.

Every row is taken once and accounted for, whatever the file looks like and whenever the process ends.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from mhbridge.config import load
from mhbridge.mapping.library import built_in
from watched import Serving
from watched import serving as serving_of

HEADER, ROW, *_ = (built_in("fixtures") / "example-community/referrals/plain.csv").read_bytes().split(b"\r\n")


def extract(rows: int, *, letter: str = "A", bad: int = -1) -> bytes:
    """So many referrals of different patients; one of them with a cell too many."""
    lines = [HEADER]
    for n in range(rows):
        row = ROW.replace(b"RF-2025-02001", b"RF-%b-%05d" % (letter.encode(), n)).replace(b"EC102001", b"EC2%05d" % n)
        lines.append(row + b",more" if n == bad else row)
    return b"\r\n".join([*lines, b""])


def serving(folder: Path) -> AbstractAsyncContextManager[Serving]:
    return serving_of(folder, "example-community", "community-referral")


async def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        gateway.put("monday.csv", extract(250, bad=149))
        await gateway.until(lambda: len(gateway.archived()) == 1)
        found = await gateway.ask("status")
        assert found["messages"] == {"done": 249, "parked": 1}
        assert found["differences"] == []
        (waiting,) = await gateway.ask("parked", "--all")
        assert (waiting["code"], waiting["place"]) == ("M771", "row 150"), "the row of the file, not of a part"
        # The same file again is a repeat; one row more is a row more.
        gateway.put("again.csv", extract(250, bad=149))
        await gateway.until(lambda: len(gateway.archived()) == 2)
        assert (await gateway.ask("status"))["messages"] == {"done": 249, "parked": 1}
        await gateway.until(lambda: len(gateway.delivered()) == 249)


async def test_killed_in_the_middle_of_a_file_every_row_is_taken_once(tmp_path: Path) -> None:
    whole = extract(1200)
    async with serving(tmp_path) as gateway:
        gateway.put("large.csv", whole)
        store = load(tmp_path / "mhbridge.toml", {}).gateway.store_path
        await gateway.until(lambda: any(store.parent.iterdir()))
        async with asyncio.timeout(60):
            while not (await gateway.ask("status"))["messages"].get("done"):
                pass
        gateway.process.kill()
        await gateway.process.wait()
    assert [file.name for file in (tmp_path / "in" / ".claimed").iterdir() if file.suffix == ".csv"] == ["large.csv"]
    async with serving(tmp_path) as gateway:
        await gateway.until(lambda: len(gateway.archived()) == 1)
        found = await gateway.ask("status")
    assert found["messages"] == {"done": 1200}
    assert found["differences"] == []
    (archived,) = (tmp_path / "in" / "archive").glob("*.csv")
    assert archived.read_bytes() == whole


async def test_a_file_that_is_another_waits_and_one_that_is_none_is_rejected(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        gateway.put("changed.csv", extract(3).replace(b"Allergies,", b"Allergy,", 1))
        gateway.put("workbook.csv", b"PK\x03\x04")
        gateway.put("nothing.csv", b"")
        gateway.put("quiet.csv", HEADER + b"\r\n")
        rejected = tmp_path / "in" / "rejected"
        await gateway.until(lambda: len(gateway.archived()) == 3 and len(list(rejected.glob("*.csv"))) == 1)
        found = await gateway.ask("parked", "--all")
        assert sorted(one["code"] for one in found) == ["M700", "M770"], "a header alone says that nothing happened"
        assert (await gateway.ask("status"))["differences"] == []
        (reason,) = rejected.glob("*.reason.json")
        assert json.loads(reason.read_bytes())["code"] == "M770"
