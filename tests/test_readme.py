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
MAPPINGS = ROOT / "mappings"
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
def test_the_configuration_is_accepted(text: str, tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    for name in re.findall(r'"file:(tls/[\w.-]+)"', text):
        (tmp_path / name).touch()
    # What is in files there is in the environment here.
    shown = [re.sub(r'"file:/run/secrets/[\w-]+"', '"env:SECRET"', block) for block in blocks("toml", text)]
    configuration, *more = [
        parse(block, base=tmp_path, environ=dict.fromkeys(re.findall(r'"env:(\w+)"', block), "5a" * 32))
        for block in shown
    ]
    assert [r.kind for r in configuration.receivers] == ["mllp", "folder", *(["mesh"] if text is MANUAL else [])]
    assert [one.gateway.node for one in more] == (["", "alder"] if text is MANUAL else [])


def test_every_command_it_names_exists() -> None:
    named = set(re.findall(r"`?mhbridge ([a-z]+)", README + MANUAL)) - {"does", "stands", "compiles"}
    assert named <= COMMANDS.keys(), named - COMMANDS.keys()
    assert {"demo", "serve", "check", "translate", "replay"} <= named


def test_every_file_it_points_to_exists() -> None:
    for folder, text in ((ROOT, README), (ROOT / "docker", MANUAL)):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (folder / target).exists(), target


def test_the_reference_of_the_functions_is_what_they_say() -> None:
    """`mhbridge functions --markdown > mappings/FUNCTIONS.md` writes it anew."""
    from mhbridge.mapping.functions import functions
    from mhbridge.mapping.functions.reference import reference

    assert (MAPPINGS / "FUNCTIONS.md").read_text("utf-8") == reference(functions().values())


def test_the_language_is_taught_on_three_pages() -> None:
    """A page is what two screens hold."""
    text = (MAPPINGS / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 180
    for name in re.findall(r"\]\((\w+\.md)(?:#([\w-]+))?\)", text):
        target = (MAPPINGS / name[0]).read_text("utf-8")
        assert not name[1] or f"\n## {name[1].lower()}" in target.lower(), name


def test_the_commands_of_the_mapping_pages_are_there() -> None:
    from mhbridge.cli import COMMANDS

    text = (MAPPINGS / "README.md").read_text("utf-8") + (MAPPINGS / "REFERENCE.md").read_text("utf-8")
    assert set(re.findall(r"mhbridge ([a-z]+)", text)) <= COMMANDS.keys()


def test_the_mapping_that_is_shown_is_one(tmp_path) -> None:
    """The example of the tutorial, as a file: nothing of it is unknown but the tables that a supplier has."""
    from mhbridge.mapping.reader import read

    text = (MAPPINGS / "README.md").read_text("utf-8")
    [shown] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert read("README.md", shown.encode()).diagnostics == []
    root = tmp_path / "mappings" / "suppliers" / "riverside"
    root.mkdir(parents=True)
    (root / "supplier.yaml").write_text("supplier: riverside\ntitle: Riverside\n", "utf-8")
    (root / "letters.yaml").write_text(shown.replace("authors: true", "authors: true\ndraft: true"), "utf-8")
    found = load([tmp_path / "mappings"]).check()
    errors = {d.code for d in found if d.severity.value == "error" and "riverside" in d.span.file}
    assert errors <= {"E205", "E201", "E108"}, [d.render() for d in found if "riverside" in d.span.file]
