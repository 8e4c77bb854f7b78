"""
Files that belong together, from a watched folder into a destination: `mhbridge serve` in its own process.

A letter and the file that says whose it is wait for each other, through a kill between the two; what does not come is a
person's to look at; tables come as a set of files or as an archive.
"""

from __future__ import annotations

import base64
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from zipfile import ZipFile

from mhbridge.formats.several import read_files
from mhbridge.mapping.library import built_in
from watched import Serving
from watched import serving as serving_of

LETTERS = "example-liaison"
TABLES = "example-inpatient"


def fixture(name: str) -> dict[str, bytes]:
    """The files of a fixture."""
    return {file.name: file.body for file in read_files((built_in("fixtures") / name).read_bytes())}


def serving(folder: Path, supplier: str) -> AbstractAsyncContextManager[Serving]:
    return serving_of(folder, supplier, "mental-health-inpatient-discharge")


async def test_a_letter_waits_for_its_index_through_a_kill(tmp_path: Path) -> None:
    (letter, text), (index, said) = fixture(f"{LETTERS}/letters/rtf.mime").items()
    async with serving(tmp_path, LETTERS) as gateway:
        gateway.put(letter, text)
        waits = tmp_path / "in" / ".claimed"
        await gateway.until(lambda: any(waits.glob(".*.waits")))
        gateway.process.send_signal(signal.SIGKILL)
        await gateway.process.wait()
    async with serving(tmp_path, LETTERS) as gateway:
        assert gateway.archived() == []
        gateway.put(index, said)
        await gateway.until(lambda: len(gateway.delivered()) == 1)
        await gateway.until(lambda: gateway.archived() == sorted([letter, index]))
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
        await gateway.until(lambda: gateway.archived() == ["LET_7006.xml"])
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
        await gateway.until(lambda: len(gateway.archived()) == len(tables))
        archive = tmp_path / "x.part"
        with ZipFile(archive, "w") as made:
            for name, body in tables.items():
                made.writestr(name.replace("202504", "202505"), body.replace(b"\nL1,", b"\nL7,"))
        archive.rename(tmp_path / "in" / "months.zip")
        await gateway.until(lambda: "months.zip" in gateway.archived())
        found = await gateway.ask("status")
        assert (found["messages"], found["differences"]) == ({"done": len(months)}, [])
        await gateway.until(lambda: len(gateway.delivered()) == len(months))
