"""
An extract from a watched folder into the store, the whole way: `mhbridge serve` in its own process, real files.

Every row is taken once and accounted for, whatever the file looks like and whenever the process ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mhbridge.config import load
from mhbridge.mapping.library import built_in

CONFIGURATION = """\
[gateway]
name = "test"
store = "sqlite:store/mhbridge.db"
mode = "test"

[[receiver]]
supplier = "example-community"
kind = "folder"
path = "in"
pattern = "*.csv"
settle = "10ms"
every = "20ms"

[[destination]]
name = "gp"
kind = "folder"
path = "out"

[[route]]
documents = ["community-referral"]
to = ["gp"]
"""
HEADER, ROW, *_ = (built_in("fixtures") / "example-community/referrals/plain.csv").read_bytes().split(b"\r\n")


def extract(rows: int, *, letter: str = "A", bad: int = -1) -> bytes:
    """So many referrals of different patients; one of them with a cell too many."""
    lines = [HEADER]
    for n in range(rows):
        row = ROW.replace(b"RF-2025-02001", b"RF-%b-%05d" % (letter.encode(), n)).replace(b"EC102001", b"EC2%05d" % n)
        lines.append(row + b",more" if n == bad else row)
    return b"\r\n".join([*lines, b""])


class Serving:
    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder, self.process = folder, process

    def put(self, name: str, body: bytes) -> None:
        part = self.folder / "in" / f"{name}.part"
        part.write_bytes(body)
        part.rename(part.with_suffix(""))

    def archived(self) -> int:
        return len([file for file in (self.folder / "in" / "archive").iterdir() if file.suffix == ".csv"])

    async def status(self) -> dict[str, Any]:
        found = await asyncio.to_thread(_ask, self.folder, "status", "--json")
        assert isinstance(found, dict)
        return found


def _ask(folder: Path, *arguments: str) -> Any:
    import subprocess

    command = [sys.executable, "-m", "mhbridge", *arguments, "--config", str(folder / "mhbridge.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return json.loads(done.stdout)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Serving]:
    (folder / "mhbridge.toml").write_text(CONFIGURATION)
    with (folder / "log").open("ab") as log:
        begun = (folder / "log").stat().st_size
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mhbridge", "serve", "--config", str(folder / "mhbridge.toml"),
            stderr=log, env={**os.environ, "PYTHONWARNINGS": "error"},
        )  # fmt: skip
        await until(lambda: b'"started"' in (folder / "log").read_bytes()[begun:], process)
        try:
            yield Serving(folder, process)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), 40)


async def until(condition: Callable[[], bool], process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while not condition():
            assert process.returncode is None
            await asyncio.sleep(0.02)


async def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        gateway.put("monday.csv", extract(250, bad=149))
        await until(lambda: gateway.archived() == 1, gateway.process)
        found = await gateway.status()
        assert found["messages"] == {"done": 249, "parked": 1}
        assert found["differences"] == []
        (waiting,) = await asyncio.to_thread(_ask, tmp_path, "parked", "--all", "--json")
        assert (waiting["code"], waiting["place"]) == ("M771", "row 150"), "the row of the file, not of a part"
        # The same file again is a repeat; one row more is a row more.
        gateway.put("again.csv", extract(250, bad=149))
        await until(lambda: gateway.archived() == 2, gateway.process)
        assert (await gateway.status())["messages"] == {"done": 249, "parked": 1}
        await until(lambda: len(list((tmp_path / "out").glob("*.json"))) == 249, gateway.process)


async def test_killed_in_the_middle_of_a_file_every_row_is_taken_once(tmp_path: Path) -> None:
    whole = extract(1200)
    async with serving(tmp_path) as gateway:
        gateway.put("large.csv", whole)
        store = load(tmp_path / "mhbridge.toml", {}).gateway.store_path
        await until(lambda: any(store.parent.iterdir()), gateway.process)
        async with asyncio.timeout(60):
            while not (await gateway.status())["messages"].get("done"):
                pass
        gateway.process.kill()
        await gateway.process.wait()
    assert [file.name for file in (tmp_path / "in" / ".claimed").iterdir() if file.suffix == ".csv"] == ["large.csv"]
    async with serving(tmp_path) as gateway:
        await until(lambda: gateway.archived() == 1, gateway.process)
        found = await gateway.status()
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
        await until(lambda: gateway.archived() == 3 and len(list(rejected.glob("*.csv"))) == 1, gateway.process)
        found = await asyncio.to_thread(_ask, tmp_path, "parked", "--all", "--json")
        assert sorted(one["code"] for one in found) == ["M700", "M770"], "a header alone says that nothing happened"
        assert (await gateway.status())["differences"] == []
        (reason,) = rejected.glob("*.reason.json")
        assert json.loads(reason.read_bytes())["code"] == "M770"
