"""
What others agree that a CSV file says: the cases of csv-spectrum, each beside what it means.

Set TEST_CORPUS to the folder of the corpus. What runs without it is `test_csv.py`.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from mhbridge.formats.csv import FORMAT, Row


def cases() -> list:
    corpus = os.environ.get("TEST_CORPUS")
    files = sorted(Path(corpus).glob("**/csv-spectrum/csvs/*.csv")) if corpus else []
    if not files:
        return [pytest.param(None, marks=pytest.mark.skip(reason="TEST_CORPUS names no folder with csv-spectrum"))]
    return [pytest.param(path, id=path.stem) for path in files]


@pytest.mark.parametrize("path", cases())
def test_a_file_says_what_everybody_reads(path: Path) -> None:
    expected = json.loads((path.parent.parent / "json" / f"{path.stem}.json").read_text("utf-8"))
    with path.open(newline="", encoding="utf-8") as file:
        columns = next(csv.reader(file))
    if b"\r" not in path.read_bytes():
        # A copy of the corpus may have lost the line ends that one case is about; then the file no longer says them.
        expected = [{name: cell.replace("\r\n", "\n") for name, cell in row.items()} for row in expected]
    source = FORMAT.declare("Europe/London", "", {"columns": columns})
    found = [item for item, _ in FORMAT.messages(path.read_bytes(), [source])]
    assert all(isinstance(item, Row) for item in found), [getattr(item, "code", "") for item in found]
    assert [item.cells for item in found if isinstance(item, Row)] == expected
