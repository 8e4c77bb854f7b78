"""`mhbridge serve` in a process of its own, from a watched folder `in` to a destination `out`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Serving", "serving"]

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
documents = ["{document}"]
to = ["gp"]
"""


@dataclass(frozen=True)
class Serving:
    """A gateway that runs."""

    folder: Path
    process: asyncio.subprocess.Process

    def put(self, name: str, body: bytes) -> None:
        """A file into the watched folder, as a sender puts one there: under its name when it is whole."""
        part = self.folder / "in" / f"{name}.part"
        part.write_bytes(body)
        part.rename(part.with_suffix(""))

    def archived(self) -> list[str]:
        """The names of what was taken."""
        return sorted(file.name.partition("-")[2] for file in (self.folder / "in" / "archive").iterdir())

    def delivered(self) -> list[dict[str, Any]]:
        """The documents that were sent."""
        return [json.loads(path.read_bytes()) for path in sorted((self.folder / "out").glob("*.json"))]

    async def ask(self, *arguments: str) -> Any:
        """What the command answers."""
        config = ["--config", str(self.folder / "mhbridge.toml"), "--json"]
        command = [sys.executable, "-m", "mhbridge", *arguments, *config]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
        return json.loads(done.stdout)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to be so, as long as the gateway runs."""
        async with asyncio.timeout(60):
            while not condition():
                assert self.process.returncode is None
                await asyncio.sleep(0.02)


@asynccontextmanager
async def serving(folder: Path, supplier: str, document: str) -> AsyncIterator[Serving]:
    """A gateway for what a supplier puts into a folder; with mappings of its own, where there are some in `ours`."""
    own = 'mappings = ["ours"]\n' if (folder / "ours").is_dir() else ""
    text = CONFIGURATION.format(supplier=supplier, document=document, own=own)
    (folder / "mhbridge.toml").write_text(text)
    with (folder / "log").open("ab") as log:
        begun = (folder / "log").stat().st_size
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mhbridge", "serve", "--config", str(folder / "mhbridge.toml"),
            stderr=log, env={**os.environ, "PYTHONWARNINGS": "error"},
        )  # fmt: skip
        gateway = Serving(folder, process)
        await gateway.until(lambda: b'"started"' in (folder / "log").read_bytes()[begun:])
        try:
            yield gateway
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), 40)
