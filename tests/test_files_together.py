"""
Files that belong together, from a watched folder into a destination: `mhbridge serve` in its own process.

A letter and the file that says whose it is wait for each other, through a kill between the two; what does not come is a
person's to look at; tables come as a set of files or as an archive.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from mhbridge.formats.several import read_files
from mhbridge.mapping.library import built_in

CONFIGURATION = """\
[gateway]
name = "test"
store = "sqlite:store/mhbridge.db"
mode = "test"
{own}
[[receiver]]
supplier = "{supplier}"
kind = "folder"
path = "in"
settle = "10ms"
every = "20ms"

[[destination]]
name = "gp"
kind = "folder"
path = "out"

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["gp"]
"""
LETTERS = "example-liaison"
TABLES = "example-inpatient"


def fixture(name: str) -> dict[str, bytes]:
    """The files of a fixture."""
    return {file.name: file.body for file in read_files((built_in("fixtures") / name).read_bytes())}


class Serving:
    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder, self.process = folder, process

    def put(self, name: str, body: bytes) -> None:
        part = self.folder / "in" / f"{name}.part"
        part.write_bytes(body)
        part.rename(part.with_suffix(""))

    def archived(self) -> list[str]:
        return sorted(file.name.partition("-")[2] for file in (self.folder / "in" / "archive").iterdir())

    def waits(self) -> bool:
        return bool(list((self.folder / "in" / ".claimed").glob(".*.waits")))

    def delivered(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_bytes()) for path in sorted((self.folder / "out").glob("*.json"))]

    async def ask(self, *arguments: str) -> Any:
        return await asyncio.to_thread(_ask, self.folder, *arguments)


def _ask(folder: Path, *arguments: str) -> Any:
    import subprocess

    command = [sys.executable, "-m", "mhbridge", *arguments, "--config", str(folder / "mhbridge.toml"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return json.loads(done.stdout)


@asynccontextmanager
async def serving(folder: Path, supplier: str) -> AsyncIterator[Serving]:
    own = 'mappings = ["ours"]\n' if (folder / "ours").is_dir() else ""
    (folder / "mhbridge.toml").write_text(CONFIGURATION.format(supplier=supplier, own=own))
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


async def test_a_letter_waits_for_its_index_through_a_kill(tmp_path: Path) -> None:
    (letter, text), (index, said) = fixture(f"{LETTERS}/letters/rtf.mime").items()
    async with serving(tmp_path, LETTERS) as gateway:
        gateway.put(letter, text)
        await until(gateway.waits, gateway.process)
        gateway.process.send_signal(signal.SIGKILL)
        await gateway.process.wait()
    async with serving(tmp_path, LETTERS) as gateway:
        assert gateway.archived() == []
        gateway.put(index, said)
        await until(lambda: len(gateway.delivered()) == 1, gateway.process)
        await until(lambda: gateway.archived() == sorted([letter, index]), gateway.process)
        found = await gateway.ask("status")
        assert (found["messages"], found["differences"]) == ({"done": 1}, [])
        (bundle,) = gateway.delivered()
    resources = [entry["resource"] for entry in bundle["entry"]]
    (attached,) = [one["content"][0]["attachment"] for one in resources if one["resourceType"] == "DocumentReference"]
    assert (attached["contentType"], base64.b64decode(attached["data"])) == ("text/rtf", text)
    (composition,) = [one for one in resources if one["resourceType"] == "Composition"]
    assert any("51½ kg" in section["text"]["div"] for section in composition["section"])


async def test_half_a_letter_becomes_a_task_when_its_wait_is_over(tmp_path: Path) -> None:
    mapping = built_in("mappings") / "suppliers" / LETTERS / "letters.yaml"
    own = tmp_path / "ours" / "suppliers" / LETTERS / "letters.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(mapping.read_text("utf-8").replace("wait: 2h", "wait: 1s"), "utf-8")
    async with serving(tmp_path, LETTERS) as gateway:
        for name, body in fixture(f"{LETTERS}/letters/document-missing.mime").items():
            gateway.put(name, body)
        await until(lambda: gateway.archived() == ["LET_7006.xml"], gateway.process)
        found = await gateway.ask("status")
        assert (found["messages"], found["differences"]) == ({"parked": 1}, [])
        (waiting,) = await gateway.ask("parked", "--all")
        assert waiting["code"] == "M860"
        assert await gateway.ask("tasks")


async def test_tables_come_as_files_or_in_an_archive(tmp_path: Path) -> None:
    tables = fixture(f"{TABLES}/discharges/plain.mime")
    months = {"202504": b"L1,", "202505": b"L7,"}
    async with serving(tmp_path, TABLES) as gateway:
        for name, body in tables.items():
            gateway.put(name, body)
        await until(lambda: len(gateway.archived()) == len(tables), gateway.process)
        archive = tmp_path / "x.part"
        with ZipFile(archive, "w") as made:
            for name, body in tables.items():
                made.writestr(name.replace("202504", "202505"), body.replace(b"\nL1,", b"\nL7,"))
        archive.rename(tmp_path / "in" / "months.zip")
        await until(lambda: "months.zip" in gateway.archived(), gateway.process)
        found = await gateway.ask("status")
        assert (found["messages"], found["differences"]) == ({"done": len(months)}, [])
        await until(lambda: len(gateway.delivered()) == len(months), gateway.process)
