"""The README and the manual are true: mapping, diagnostic and configurations are real, commands and files exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mhbridge.cli import COMMANDS
from mhbridge.config import parse
from mhbridge.mapping.catalogue import load

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
MANUAL = (ROOT / "docker" / "OPERATING.md").read_text("utf-8")
MAPPING = "mappings/suppliers/example-mental-health/discharge-letter.yaml"


def blocks(kind: str, text: str = README) -> list[str]:
    found = re.findall(r"^```([a-z]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [text for named, text in found if named == kind]


def test_the_mapping_is_the_real_one() -> None:
    real = {line.split("  #")[0].rstrip() for line in (ROOT / MAPPING).read_text("utf-8").splitlines()}
    (shown,) = blocks("yaml")
    assert [line for line in shown.splitlines() if line.split("  #")[0].rstrip() not in real] == []


def test_the_diagnostic_is_what_check_prints(tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    path = tmp_path / MAPPING
    text = path.read_text("utf-8")
    path.write_text(text.replace('OBX[3.1="SAFETYPLAN"]-5 | lines', 'OBX[3.1="SAFETYPLAN"]-5 | lnes'), "utf-8")
    monkeypatch.chdir(tmp_path)
    printed = "\n".join(d.render() for d in load(["mappings"], only=True).check())
    assert f"{printed}\n" in blocks("")


@pytest.mark.parametrize("text", [README, MANUAL], ids=["README", "OPERATING"])
def test_the_configuration_is_accepted(text: str) -> None:
    # What is in files there is in the environment here.
    shown = [re.sub(r'"file:/run/secrets/[\w-]+"', '"env:SECRET"', block) for block in blocks("toml", text)]
    configuration, *more = [
        parse(block, environ=dict.fromkeys(re.findall(r'"env:(\w+)"', block), "5a" * 32)) for block in shown
    ]
    assert [r.kind for r in configuration.receivers] == ["mllp", "folder"]
    assert [one.gateway.node for one in more] == (["", "alder"] if text is MANUAL else [])


def test_every_command_it_names_exists() -> None:
    named = set(re.findall(r"`?mhbridge ([a-z]+)", README + MANUAL)) - {"does", "stands", "compiles"}
    assert named <= COMMANDS.keys(), named - COMMANDS.keys()
    assert {"demo", "serve", "check", "translate", "replay"} <= named


def test_every_file_it_points_to_exists() -> None:
    for folder, text in ((ROOT, README), (ROOT / "docker", MANUAL)):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (folder / target).exists(), target
