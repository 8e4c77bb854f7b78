"""
The meaning of the mapping language, as a table: `language/cases.txt`. Every case runs through both twins.
"""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mhbridge.fhir.bundle import dumps
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.compiler import Compiler
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.library import Library
from mhbridge.model import ABSENT, DELETED, State, Unknown

HERE = Path(__file__).parent
NOW = datetime(2025, 3, 14, 12, tzinfo=UTC)
HEAD = "MSH|^~\\&|PAS|ACME|GW|GW|20250314103000||ADT^A08|C1|P|2.4|||||||UNICODE UTF-8"


def cases() -> list[tuple[str, list[tuple[str, str]]]]:
    """(title, parts of it) of every case."""
    found = []
    for block in (HERE / "language" / "cases.txt").read_text("utf-8").split("\n=== ")[1:]:
        title, *parts = block.split("\n--- ")
        found.append((title.strip(), [(head, body) for head, _, body in (part.partition("\n") for part in parts)]))
    return found


def message(text: str) -> bytes:
    """`PV1 19=V1;16=S` a line → HL7 v2, with what the small mapping cannot do without."""
    segments = [HEAD]
    lines = [line for line in text.splitlines() if line]
    if not any(line.startswith("PV1") for line in lines):
        lines.insert(0, "PV1 19=V1^^^ACME")
    for line in lines:
        name, _, fields = line.partition(" ")
        cells = {int(number): value for number, value in re.findall(r"(?:^|;)(\d+)=([^;]*)", fields)}
        segments.append("|".join([name, *(cells.get(at, "") for at in range(1, max(cells) + 1))]))
    return "\r".join(segments).encode()


def state(text: str) -> Any:
    if text in ("absent", "deleted"):
        return ABSENT if text == "absent" else DELETED
    unknown = re.fullmatch(r"unknown\((.*)\)", text)
    return Unknown(unknown[1]) if unknown else json.loads(text)


def at(bundle: dict[str, Any], path: str) -> Any:
    """`Condition[1].code.text` of a Bundle; `Bundle.…` is the Bundle itself."""
    head, *steps = path.split(".")
    name, _, number = head.removesuffix("]").partition("[")
    found = [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == name]
    value: Any = bundle if name == "Bundle" else found[int(number or 0)] if len(found) > int(number or 0) else None
    for step in steps:
        if isinstance(value, list):
            value = value[int(step)] if len(value) > int(step) else None
        else:
            value = (value or {}).get(step)
    return ABSENT if value is None else value


@pytest.mark.parametrize("engine", [Compiler, Interpreter])
@pytest.mark.parametrize(("title", "parts"), cases(), ids=[title for title, _ in cases()])
def test_meaning(tmp_path: Path, title: str, parts: list[tuple[str, str]], engine) -> None:
    shutil.copytree(HERE / "small", tmp_path / "small")
    told = {head: body for head, body in parts if "/" not in head}
    for file, body in parts:
        if "/" in file:
            old, new = body.split("\n+++\n")
            path = tmp_path / "small" / file
            text = path.read_text("utf-8")
            assert old in text, f"{title}: the small library has changed"
            path.write_text(text.replace(old, new.rstrip("\n"), 1), "utf-8")
    catalogue = Catalogue(Library([tmp_path / "small"]), engine=engine)
    assert "\n".join(d.render() for d in catalogue.check()) == ""
    mapping = catalogue.mapping("acme/note")
    read, _ = next(iter(mapping.format.messages(message(told["message"]), [mapping.source])))
    reading = mapping.read(read, NOW)
    built = mapping.build(reading, reading.items, NOW)
    bundle = json.loads(dumps(built.resource))
    for line in told.get("items", "").splitlines():
        name, _, value = line.partition(" = ")
        assert not name or reading.items.get(name, ABSENT) == state(value), name
    for line in told.get("bundle", "").splitlines():
        path, _, value = line.partition(" = ")
        assert not path or at(bundle, path) == state(value), path
    codes = {issue.code for issue in built.issues}
    assert set(told.get("issues", "").split()) <= codes
    if "parked" in told:
        assert reading.parked == told["parked"].strip()
    elif "issues" not in told:
        assert not codes & {"I601", "I602", "I606"}
    assert not any(isinstance(value, State) and value is ABSENT for value in reading.items.values())
