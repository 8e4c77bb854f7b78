"""`mhbridge check` as editors and people at work use it: lines, JSON, and again whenever a file is saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mhbridge.cli import main
from mhbridge.cli.watching import again

SMALL = Path(__file__).parent / "mapping" / "small"


@pytest.fixture
def broken(tmp_path, monkeypatch) -> Path:
    shutil.copytree(SMALL, tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small" / "suppliers" / "acme" / "note.yaml"
    path.write_text(path.read_text("utf-8").replace("| lines", "| lnes").replace("PID-5", "PID-99"), "utf-8")
    return path


def said(capsys, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(["check", *arguments])
    return int(end.value.code or 0), capsys.readouterr().out


@pytest.mark.usefixtures("broken")
def test_a_line_for_every_problem(capsys) -> None:
    code, out = said(capsys, "--lines", "small/suppliers/acme")
    assert code == 1
    assert out.splitlines() == [
        "small/suppliers/acme/note.yaml:11:23: E205 PID has no field 99 in HL7 v2.4 (its last field is PID-38)",
        "small/suppliers/acme/note.yaml:15:27: E104 unknown function 'lnes' (did you mean 'lines'?)",
    ]


@pytest.mark.usefixtures("broken")
def test_lines_and_json_say_the_same(capsys) -> None:
    _, lines = said(capsys, "--lines", "small/suppliers/acme")
    _, text = said(capsys, "--json", "small/suppliers/acme")
    found = json.loads(text)
    assert [line.split(" ")[:2] for line in lines.splitlines()] == [
        [f"{one['file']}:{one['line']}:{one['column']}:", one["code"]] for one in found
    ]
    assert all(one["end_column"] > one["column"] for one in found)


def test_it_runs_again_after_each_change_and_gives_the_last_result(broken) -> None:
    results: list[int] = []
    changes = iter(["# one more line\n", "# and another\n"])

    def work() -> int:
        results.append(broken.read_text("utf-8").count("\n#"))
        return len(results)

    def sleep(_: float) -> None:
        more = next(changes, None)
        if more is None:
            raise KeyboardInterrupt
        broken.write_text(broken.read_text("utf-8") + more, "utf-8")

    assert again(work, [broken.parent], sleep) == 3
    assert results == [0, 1, 2]


def test_what_is_no_mapping_file_does_not_count(broken) -> None:
    """The control: a note beside the mappings starts nothing."""
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        (broken.parent / "notes.txt").write_text("x" * len(naps), "utf-8")
        if len(naps) == 3:
            raise KeyboardInterrupt

    assert again(lambda: len(naps), [broken.parent], sleep) == 0
