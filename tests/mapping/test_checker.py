"""
Broken mappings and the exact diagnostic of each: the table is `broken/mappings.txt`, the language is the author's own.

A case changes one file of the small library beside this file and expects what `mhbridge check` then prints.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mhbridge.errors import explanations
from mhbridge.mapping.catalogue import load

HERE = Path(__file__).parent
TABLE = HERE / "broken" / "mappings.txt"


def table() -> list[tuple[str, str, str, str, str]]:
    """(title, file, old, new, expected) of every case. Cases begin with `=== `, parts with `--- `."""
    found = []
    for block in TABLE.read_text("utf-8").split("\n=== ")[1:]:
        title, rest = block.split("\n", 1)
        file, old, new, expected = (part.strip("\n") for part in rest.split("\n--- ")[0:4])
        found.append((title.strip(), file.strip("- "), *(_body(part) for part in (old, new, expected))))
    return found


def _body(part: str) -> str:
    return part.split("\n", 1)[1] if "\n" in part else ""


def rendered(root: Path) -> str:
    return "\n".join(d.render() for d in load([root], only=True).check())


@pytest.mark.parametrize(("title", "file", "old", "new", "expected"), table(), ids=[case[0] for case in table()])
def test_broken_mapping(tmp_path, monkeypatch, title, file, old, new, expected) -> None:
    shutil.copytree(HERE / "small", tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small" / file
    text = path.read_text("utf-8")
    assert old in text, f"{title}: the small library has changed"
    path.write_text(text.replace(old, new, 1), "utf-8")
    assert rendered(Path("small")) == expected


def test_the_small_library_is_clean() -> None:
    """The control: unbroken, it has nothing to report."""
    assert rendered(HERE / "small") == ""


def test_every_code_of_the_table_is_explained() -> None:
    codes = {line.split(": ")[1] for case in table() for line in case[4].splitlines() if line.startswith("small/")}
    assert codes <= explanations().keys()
    assert len(codes) > 20
