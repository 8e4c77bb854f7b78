"""Where things are in a row: a cell is a leaf, by the name of its column."""

from __future__ import annotations

from mhbridge.formats import Scope
from mhbridge.formats.csv import FORMAT

COLUMNS = ["No", "Name", "Allergies"]
SOURCE = FORMAT.declare("Europe/London", "", {"columns": COLUMNS, "control_id": "No", "separators": {"Allergies": ";"}})
BODY = b"Name,No,Allergies,Mood\r\nAsh,1,nuts; bees,calm\r\n,2, ,\r\n"


def rows(body: bytes = BODY):
    return [row for row, _ in FORMAT.messages(body, [SOURCE])]


def leaves(row) -> dict[str, str]:
    return {
        FORMAT.path(row, cell, 0, SOURCE, exact=True): FORMAT.leaf(row, cell, 0) for cell, _ in FORMAT.populated(row)
    }


def test_cells_that_hold_something_whoever_declared_them() -> None:
    first, second = rows()
    assert leaves(first) == {"[Name]": "Ash", "[No]": "1", "[Allergies]": "nuts; bees", "[Mood]": "calm"}
    assert leaves(second) == {"[No]": "2"}


def test_the_column_that_identifies_a_row_is_acted_upon() -> None:
    row = rows()[0]
    assert [FORMAT.path(row, cell, 0, SOURCE, exact=True) for cell, _ in FORMAT.structural(row, SOURCE)] == ["[No]"]


def test_a_loop_over_the_values_of_a_cell_reads_that_cell() -> None:
    path, _ = FORMAT.scan_loop("[Allergies]", 0, 11)
    _, inside = FORMAT.loop(path, Scope(SOURCE))
    value, _ = FORMAT.scan(".", 0, 1)
    row = rows()[0]
    ((cell, _),) = FORMAT.spot(value, inside, many=False).cells("nuts", frozenset("*"))
    assert FORMAT.path(row, cell, 0, SOURCE, exact=True) == "[Allergies]"


def test_a_changed_cell_is_the_only_one_that_differs() -> None:
    row = rows()[0]
    for cell, _ in FORMAT.populated(row):
        path = FORMAT.path(row, cell, 0, SOURCE, exact=True)
        (other,) = rows(FORMAT.altered(row, cell, 0, 'Q"7, x', SOURCE))
        assert leaves(other) == leaves(row) | {path: 'Q"7, x'}
