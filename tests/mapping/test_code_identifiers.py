"""
Every SNOMED CT identifier that a mapping or a table writes can be one: a digit that was mistyped is found by its check
digit, and an identifier of an extension has one of the namespaces that are known here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mhbridge.mapping.library import built_in

#: The namespaces of the long identifiers that the sources of these tables have. Another is a typing error, or a list
#: that nobody has looked at: then it is added here.
NAMESPACES = {"1000000", "1000237", "1000119", "1000124"}

#: Where a code stands in a table of ours, beside the column that names its system.
COLUMNS = (("system", "code"), ("source_system", "source_code"), ("target_system", "target_code"))


def _tables() -> tuple[list[list[int]], list[list[int]]]:
    """Verhoeff's: the dihedral group of ten, and the permutations of a digit's place (SNOMED CT TIG, check digit)."""
    group = [[(b + a) % 5 + 5 * (b // 5) if a < 5 else (a - b) % 5 + 5 * (b < 5) for b in range(10)] for a in range(10)]
    places = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    while len(places) < 8:
        places.append([places[-1][places[1][one]] for one in range(10)])
    return group, places


GROUP, PLACES = _tables()


def can_be_a_concept(code: str) -> bool:
    """Whether a text has the form of the identifier of a SNOMED CT concept."""
    if not re.fullmatch("[1-9][0-9]{5,17}", code):
        return False
    folded = 0
    for place, digit in enumerate(reversed(code)):
        folded = GROUP[folded][PLACES[place % 8][int(digit)]]
    partition = code[-3:-1]
    return folded == 0 and (partition == "00" or (partition == "10" and code[-10:-3] in NAMESPACES))


def written() -> Iterator[tuple[str, str]]:
    """(file, identifier) of all that is written."""
    folder: Path = built_in("mappings")
    for file in sorted(folder.rglob("*.csv")):
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                for system, code in COLUMNS:
                    if row.get(system) == "snomed" and row.get(code):
                        yield file.name, row[code]
                if row.get("snomed"):
                    yield file.name, row["snomed"]
    for file in sorted(folder.rglob("*.yaml")):
        for code in re.findall(r"\bsnomed#([0-9]+)", file.read_text("utf-8")):
            yield file.name, code


def test_every_identifier_that_is_written_can_be_one() -> None:
    found = set(written())
    assert len(found) > 300
    assert [(file, code) for file, code in sorted(found) if not can_be_a_concept(code)] == []


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("72313003", "its check digit is another"),
        ("27311300", "two digits are swapped"),
        ("1091811000000120", "two digits are swapped"),
        ("999791000000016", "it is the identifier of a description"),
        ("1091811000009992", "nobody has this namespace"),
        ("0072313002", "it begins with nought"),
        ("F33.2", "it is a code of another system"),
    ],
)
def test_what_cannot_be_one_is_found(code: str, why: str) -> None:
    assert not can_be_a_concept(code), why


@pytest.mark.parametrize("code", ["72313002", "1091811000000102", "3531000237106", "48031000119106", "428041000124106"])
def test_what_is_one_is_believed(code: str) -> None:
    assert can_be_a_concept(code)
